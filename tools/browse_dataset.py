"""Draw what the model is given: one sheet a sample, one row a camera.

Left the image as loaded with the LiDAR's depth, in the middle the same after all transforms, right
the cells of the feature map that the training targets mark as overlapping, lit.
"""

from __future__ import annotations

import argparse
import copy
import random
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from mmdet3d.datasets.transforms import Pack3DDetInputs
from mmdet3d.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import init_default_scope

import nclr_mm  # noqa: F401 (registers datasets and transforms)
from nclr_mm.datasets.transforms.images import resize
from nclr_mm.engine.command_line import DictAction, read_config
from nclr_mm.models.data_preprocessors import voxelize
from nclr_mm.models.heads.targets import Cameras, calibration_targets
from nclr_mm.visualization import file_name, project_overlay, save_image, tile

STRIDE = 4  # of the feature map
PANEL_WIDTH = 640  # pixels


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config with dataloaders; a Python program, which runs')
    parser.add_argument('-o', '--out-dir', type=Path, required=True, help='where sheets go')
    parser.add_argument('-n', '--num', type=int, default=4, help='sheets; default: %(default)s')
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='train')
    parser.add_argument('--seed', type=int, default=0, help='of the augmentation')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='as for tools/train.py')
    return parser.parse_args(argv)


def prepare(dataset, index: int) -> tuple[dict, dict]:
    """Results of a sample when all is loaded, and after the last transform but packing."""
    results = copy.deepcopy(dataset.get_data_info(index))
    loaded = None
    for transform in dataset.pipeline.transforms:
        if isinstance(transform, Pack3DDetInputs):
            break
        results = transform(results)
        if loaded is None and 'points' in results and 'img' in results:
            loaded = copy.deepcopy(results)
    if loaded is None:
        raise ValueError('The pipeline must load points and images before it packs them.')
    return loaded, results


def panel(results: dict, camera: int) -> tuple[np.ndarray, np.ndarray]:
    """RGB image of one camera in the width of a panel, and its camera matrix."""
    image = cv2.cvtColor(results['img'][camera], cv2.COLOR_BGR2RGB)
    height = round(PANEL_WIDTH * image.shape[0] / image.shape[1])
    image, affine = resize(image, PANEL_WIDTH, height)
    return image, affine @ results['cam2img'][camera]


def depth_panel(results: dict, camera: int) -> np.ndarray:
    """Panel of one camera with the depth of the points."""
    image, cam2img = panel(results, camera)
    points = results['points'].tensor[:, :3].numpy()
    return project_overlay(image, points, results['lidar2cam'][camera], cam2img, radius=1)


def lit_panel(results: dict, camera: int, cells: np.ndarray) -> np.ndarray:
    """Panel of one camera with the marked cells (h, w) lit and the others dark."""
    image, _ = panel(results, camera)
    lit = cv2.resize(cells.astype(np.uint8), image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return np.where(lit[..., None] > 0, image, image // 4)


def targets_of(results: dict, config: Config) -> tuple[np.ndarray, np.ndarray]:
    """What the head is trained on: visible (V, N) and occupied (V, h, w).

    Points are voxelised as the config's model does; without a model they count as they are.
    """
    points = results['points'].tensor
    model = config.get('model', {})
    if model:
        batch_index = torch.zeros(len(points), dtype=torch.long)
        voxel_size = torch.tensor(model.data_preprocessor.voxel_size, dtype=torch.float32)
        points = voxelize(points, batch_index, voxel_size, 1)[0]
    height, width = results['img'][0].shape[:2]
    cameras = Cameras(
        cam2img=torch.from_numpy(results['cam2img']).float()[None],
        lidar2cam=torch.from_numpy(results['lidar2cam']).float()[None],
        image_size=(height, width),
        map_size=(height // STRIDE, width // STRIDE),
    )
    mask = torch.ones(1, len(points), dtype=torch.bool)
    occlusion = model.get('calib_head', {}).get('occlusion')
    targets = calibration_targets(points[None, :, :3], mask, cameras, occlusion)
    return targets.visible[0].numpy(), targets.occupied[0].numpy()


def sheet(dataset, index: int, config: Config) -> tuple[np.ndarray, str]:
    """The sheet of a sample, RGB, and its name."""
    loaded, results = prepare(dataset, index)
    visible, occupied = targets_of(results, config)
    panels, titles = [], []
    for camera, name in enumerate(results['cam_names']):
        panels += [
            depth_panel(loaded, camera),
            depth_panel(results, camera),
            lit_panel(results, camera, occupied[camera]),
        ]
        size = results['img'][camera].shape
        mirrored = ', mirrored' if results['cam2img'][camera][0, 0] < 0 else ''
        titles += [
            f'{name}, as loaded',
            f'after transforms: {size[1]}x{size[0]}{mirrored}',
            f'targets: {visible[camera].sum()} of {visible.shape[1]} voxels in view, '
            f'{occupied[camera].sum()} of {occupied[camera].size} cells',
        ]
    name = file_name(f'{index:04d}', results['sample_idx'])
    return tile(panels, columns=3, titles=titles), f'{name}.jpg'


def load_config(args: argparse.Namespace) -> Config:
    """The config with the options of the command line; ValueError if it has no such loader."""
    config = read_config(args.config, args.cfg_options)
    loader = config.get(f'{args.split}_dataloader')
    if not isinstance(loader, dict) or 'dataset' not in loader:
        raise ValueError(f'The config {args.config} has no {args.split}_dataloader.dataset.')
    return config


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    random.seed(args.seed)
    try:
        config = load_config(args)
        init_default_scope(config.get('default_scope', 'mmdet3d'))
        args.out_dir.mkdir(parents=True, exist_ok=True)
        dataset = DATASETS.build(config[f'{args.split}_dataloader'].dataset)
        for index in range(min(args.num, len(dataset))):
            image, name = sheet(dataset, index, config)
            print(save_image(args.out_dir / name, image))
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
