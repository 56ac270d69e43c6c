"""Contact sheet of one sample of a nuScenes data root: six cameras and the LiDAR from above.

``python -m nclr_mm.simulation.preview data/simulation/nuscenes --sample 0 --out sheet.jpg``
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from nuscenes import NuScenes

from .mesh import Array
from .writers.files import write_image

_ROWS = (
    ('CAM_FRONT_LEFT', 'CAM_FRONT', 'CAM_FRONT_RIGHT'),
    ('CAM_BACK_RIGHT', 'CAM_BACK', 'CAM_BACK_LEFT'),
)
_TILE = (416, 234)
_REACH = 40.0  # metres shown to each side of the LiDAR


def _camera(nusc: NuScenes, tokens: dict[str, str], channel: str, overlay: bool) -> Array:
    token = tokens[channel]
    image = cv2.imread(nusc.get_sample_data_path(token))
    scale = _TILE[0] / image.shape[1]
    tile = cv2.resize(image, _TILE, interpolation=cv2.INTER_AREA)
    if overlay:
        pixels, depth, _ = nusc.explorer.map_pointcloud_to_image(tokens['LIDAR_TOP'], token)
        order = np.argsort(-depth)
        shade = np.clip(255 * (1 - depth / 50), 0, 255).astype(np.uint8)
        colours = cv2.applyColorMap(shade[:, None], cv2.COLORMAP_TURBO)[:, 0]
        for k in order:
            centre = (int(pixels[0, k] * scale), int(pixels[1, k] * scale))
            cv2.circle(tile, centre, 1, colours[k].tolist(), -1)
    return tile


def _from_above(nusc: NuScenes, token: str, side: int) -> Array:
    """The points from above, coloured by class as the devkit colours them."""
    points = np.fromfile(nusc.get_sample_data_path(token), '<f4').reshape(-1, 5)
    row = nusc.get('lidarseg', token)
    labels = np.fromfile(Path(nusc.dataroot) / row['filename'], np.uint8)
    palette = np.array([nusc.colormap[c['name']] for c in nusc.category], np.uint8)[:, ::-1]
    scale = side / (2 * _REACH)
    column = ((points[:, 0] + _REACH) * scale).astype(int)
    line = ((_REACH - points[:, 1]) * scale).astype(int)
    inside = (column >= 0) & (column < side) & (line >= 0) & (line < side)
    image = np.full((side, side, 3), 18, np.uint8)
    image[line[inside], column[inside]] = palette[labels[inside]]
    return image


def sheet(root: Path, sample: int, overlay: bool = True) -> Array:
    """BGR sheet of sample number ``sample``; ``overlay`` draws LiDAR depth on the lower row."""
    version = next((p.parent.name for p in sorted(root.glob('*/sample.json'))), None)
    if version is None:
        raise FileNotFoundError(f'{root}: no <version>/sample.json, expected a nuScenes data root')
    nusc = NuScenes(version, str(root), verbose=False)
    if not 0 <= sample < len(nusc.sample):
        raise ValueError(f'{root}: has {len(nusc.sample)} samples, no number {sample}')
    tokens = nusc.sample[sample]['data']
    rows = [
        np.concatenate([_camera(nusc, tokens, c, overlay and k == 1) for c in channels], 1)
        for k, channels in enumerate(_ROWS)
    ]
    cameras = np.concatenate(rows)
    return np.concatenate([cameras, _from_above(nusc, tokens['LIDAR_TOP'], cameras.shape[0])], 1)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('root', type=Path, help='nuScenes data root')
    parser.add_argument('--sample', type=int, default=0, help='number of the sample')
    parser.add_argument('--out', type=Path, required=True, help='image file to write')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    write_image(args.out, sheet(args.root, args.sample), [cv2.IMWRITE_JPEG_QUALITY, 85])
    print(args.out)


if __name__ == '__main__':
    main()
