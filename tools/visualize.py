"""Draw what a trained model makes of samples: pictures, and scenes to turn in a browser.

Calibration (NCLR): a sheet for each camera. Segmentation: classes, and objects of panoptic models,
predicted and true, from above. Detection: boxes, predicted (orange) and true (green), from above.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate

import nclr_mm  # noqa: F401 (applies workarounds, registers components)
from nclr_mm.apis import init_model
from nclr_mm.engine.command_line import (
    DictAction,
    build_dataset,
    make_folder,
    report_unwritable,
    report_user_errors,
)
from nclr_mm.visualization import colorize, file_name, sample_sheets, save_image, tile
from nclr_mm.visualization.birds_eye import birds_eye, class_colors, class_key, instance_colors
from nclr_mm.visualization.scene3d import (
    Lines,
    Points,
    box_lines,
    camera_lines,
    color_key,
    require_plotly,
    write_scene,
)

PREDICTED, TRUE = (255, 150, 0), (0, 220, 90)


@dataclass
class Drawing:
    """What is drawn of a sample: pictures by the ending of their names, and layers of a scene."""

    pictures: dict[str, np.ndarray]
    layers: list[Points | Lines]


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of model and data; a Python program, which runs')
    parser.add_argument('checkpoint', help='weights of the model')
    parser.add_argument('-o', '--out-dir', type=Path, required=True)
    parser.add_argument('--split', choices=('train', 'val', 'test'), default='test')
    parser.add_argument(
        '--index', type=int, nargs='+', default=[0], help='of the samples; default: the first'
    )
    parser.add_argument(
        '--score', type=float, default=0.3, help='boxes below are left out; default: %(default)s'
    )
    parser.add_argument('--html', action='store_true', help='also a scene to turn in a browser')
    parser.add_argument('--device', default='cpu', help='default: %(default)s')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
    return parser.parse_args(argv)


def prepare(args: argparse.Namespace) -> tuple[torch.nn.Module, Any]:
    """Model and data; what is wrong with them is found here."""
    model = init_model(args.config, args.checkpoint, args.device, args.cfg_options)
    loader = model.cfg.get(f'{args.split}_dataloader')
    if not loader:
        raise ValueError(f'{args.config} has no {args.split}_dataloader.')
    dataset = build_dataset(loader.dataset, f'{args.split}_dataloader')
    for index in args.index:
        if not 0 <= index < len(dataset):
            raise ValueError(f'--index {index} is not one of the {len(dataset)} samples.')
    if args.html:
        require_plotly()
    return model, dataset


def draw_calibration(inputs: dict, sample) -> Drawing:
    """Sheets of the cameras; the scan with the predicted and the true cameras."""
    meta, pred = sample.metainfo, sample.pred_calib
    points = inputs['points'].cpu().numpy()
    pictures = dict(sample_sheets(inputs['img'], inputs['points'], sample))
    layers = [_scan(points)]
    for i, name in enumerate(pictures):
        poses = {'true': (meta['lidar2cam'][i], TRUE)}
        if pred.valid[i]:
            poses['predicted'] = (pred.lidar2cam[i].numpy(), PREDICTED)
        for kind, (pose, color) in poses.items():
            cam2img, size = np.asarray(meta['cam2img'][i]), tuple(inputs['img'][i].shape[-2:])
            layers.append(camera_lines(f'{name}, {kind}', pose, cam2img, size, color, 4.0))
    return Drawing(pictures, layers)


def draw_segmentation(inputs: dict, sample, meta: Mapping[str, Any]) -> Drawing:
    """Classes, and objects where there are any, predicted and true, with a key of the classes."""
    points = inputs['points'].cpu().numpy()
    truth = sample.get('eval_ann_info') or sample.get('gt_pts_seg') or {}
    palette, panels, layers, seen = meta['palette'], {}, [], set()
    for kind, masks in (
        ('predicted', sample.pred_pts_seg),
        ('true', truth),
    ):
        classes = _array(masks.get('pts_semantic_mask'))
        objects = _array(masks.get('pts_instance_mask'))
        colors = {}
        if classes is not None:
            seen.update(np.unique(classes).tolist())
            colors['classes'] = class_colors(classes, palette)
        if objects is not None:
            if classes is not None and 'thing_labels' in meta:
                # Labels give stuff an object for each class.
                objects = np.where(np.isin(classes, meta['thing_labels']), objects, 0)
            colors['objects'] = instance_colors(objects)
        for words, values in colors.items():
            panels[f'{words}, {kind}'] = birds_eye(points, values)
            # All lie on the same points: the scene opens with the first of them.
            layers.append(Points(f'{words}, {kind}', points[:, :3], values, shown=not layers))
    sheet = tile(list(panels.values()), 2, list(panels))
    present = [i for i in range(len(meta['classes'])) if i in seen]
    names, colors = [meta['classes'][i] for i in present], [palette[i] for i in present]
    layers += [color_key(name, color) for name, color in zip(names, colors)]
    return Drawing(
        {'classes': np.vstack([sheet, class_key(names, colors, sheet.shape[1])])}, layers
    )


def _array(values) -> np.ndarray | None:
    if values is None or not len(values):
        return None
    return np.asarray(values.cpu() if isinstance(values, torch.Tensor) else values)


def draw_detection(inputs: dict, sample, score: float) -> Drawing:
    """Boxes over the scan."""
    points = inputs['points'].cpu().numpy()
    pred = sample.pred_instances_3d
    keep = pred.scores_3d >= score
    corners = {
        PREDICTED: pred.bboxes_3d[keep].corners.detach().cpu().numpy(),
        TRUE: _true_corners(sample),
    }
    title = (
        f'{int(keep.sum())} boxes with a score of at least {score:g} (orange), '
        f'{len(corners[TRUE])} true (green)'
    )
    picture = birds_eye(points, _heights(points), boxes=corners)
    layers = [
        _scan(points),
        box_lines('predicted', corners[PREDICTED], PREDICTED),
        box_lines('true', corners[TRUE], TRUE),
    ]
    return Drawing({'boxes': tile([picture], 1, [title])}, layers)


def _true_corners(sample) -> np.ndarray:
    """Corners (N, 8, 3) of the labelled boxes of the classes, in the LiDAR's frame."""
    if 'gt_instances_3d' in sample and len(sample.gt_instances_3d):  # a pipeline of training
        found = sample.gt_instances_3d
        return found.bboxes_3d[found.labels_3d >= 0].corners.detach().cpu().numpy()
    truth = sample.get('eval_ann_info') or {}
    boxes = truth.get('gt_bboxes_3d')
    if boxes is None:
        return np.zeros((0, 8, 3))
    labels = torch.as_tensor(np.asarray(truth.get('gt_labels_3d', np.zeros(len(boxes)))))
    return boxes[labels >= 0].corners.detach().cpu().numpy()


def _heights(points: np.ndarray) -> np.ndarray:
    return colorize(points[:, 2], 'viridis', -3.0, 3.0)


def _scan(points: np.ndarray) -> Points:
    return Points('LiDAR', points[:, :3], _heights(points))


def draw(inputs: dict, sample, config: Config, dataset, score: float) -> Drawing:
    """Draw what the model predicted of a sample."""
    if 'pred_calib' in sample:
        return draw_calibration(inputs, sample)
    if 'pred_instances_3d' in sample and len(sample.pred_instances_3d.keys()):
        return draw_detection(inputs, sample, score)
    if 'pred_pts_seg' in sample and len(sample.pred_pts_seg.keys()):
        if not dataset.metainfo.get('palette'):
            raise ValueError(f'{type(dataset).__name__} has no palette of its classes.')
        return draw_segmentation(inputs, sample, dataset.metainfo)
    raise ValueError(f'{config.filename}: the model predicts nothing that can be drawn.')


@report_unwritable
def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    model, dataset = report_user_errors(lambda: prepare(args))
    if hasattr(model, 'calib_head'):
        model.calib_head.keep_features = True
    # A file that is broken ends the program before anything is written.
    samples = report_user_errors(lambda: [dataset[index] for index in args.index])
    report_user_errors(lambda: make_folder(args.out_dir))
    for index, loaded in zip(args.index, samples):
        data = pseudo_collate([loaded])
        inputs = {key: values[0] for key, values in data['inputs'].items()}
        with torch.no_grad():
            (sample,) = model.test_step(data)
        drawing = draw(inputs, sample, model.cfg, dataset, args.score)
        for ending, picture in drawing.pictures.items():
            print(save_image(args.out_dir / f'{file_name(f"{index:06d}", ending)}.jpg', picture))
        if args.html:
            title = f'{Path(args.config).stem}, {args.split} {index}'
            print(write_scene(args.out_dir / f'{index:06d}.html', drawing.layers, title))
    return 0


if __name__ == '__main__':
    sys.exit(main())
