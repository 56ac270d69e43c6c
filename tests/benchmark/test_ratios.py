"""What was made fast stays fast: ratios of times within one run, never times.

Each bound is about twice the ratio that was measured, for machines are noisy.
"""

import time

import cv2
import numpy as np
import pytest
import torch
from mmdet3d.registry import TRANSFORMS
from mmengine.config import Config

from nclr_mm.benchmark import HeadLoad, growth_exponent, measure_head
from nclr_mm.benchmark.reference import load_images, quadratic_attention
from nclr_mm.models.backbones import EfficientNetLite0
from nclr_mm.models.layers import CrossModalFusion
from nclr_mm.models.layers.frozen_features import FrozenFeatures
from tests.benchmark.test_benchmark import HEAD


def ratio(call, reference, repeats=5):
    """Shortest time of a call over that of another, taken in turns."""
    shortest = [np.inf, np.inf]
    for _ in range(repeats):
        for i, run in enumerate((call, reference)):
            start = time.perf_counter()
            run()
            shortest[i] = min(shortest[i], time.perf_counter() - start)
    return shortest[0] / shortest[1]


def test_ratio_is_that_of_the_shortest_times():
    assert ratio(lambda: time.sleep(0.02), lambda: time.sleep(0.01), 2) == pytest.approx(2, rel=0.2)


def test_loading_of_nuscenes_images(repo, tmp_path):
    rng = np.random.default_rng(0)
    images = {}
    for name in ('left', 'right'):
        path = tmp_path / f'{name}.jpg'
        blocks = rng.integers(0, 255, (90, 160, 3), dtype=np.uint8)
        cv2.imwrite(str(path), cv2.resize(blocks, (1600, 900)))
        images[name] = dict(
            img_path=str(path),
            width=1600,
            height=900,
            cam2img=[[1200.0, 0, 800], [0, 1200, 450], [0, 0, 1]],
            lidar2cam=np.eye(4).tolist(),
        )
    cfg = Config.fromfile(repo / 'configs/_base_/datasets/nus-calib-224x416.py')
    steps = [t for t in cfg.train_pipeline if t.type in ('LoadCalibratedImages', 'ResizeImages')]
    steps = [TRANSFORMS.build(step) for step in steps]

    def ours():
        results = dict(images=images)
        for step in steps:
            results = step(results)
        return results['img']

    paths = [image['img_path'] for image in images.values()]
    assert ratio(ours, lambda: load_images(paths, (224, 416))) < 0.7


def test_fusion_beside_attention_with_a_stored_matrix():
    fusion = CrossModalFusion(channels=64, num_layers=1, num_heads=1)
    points = torch.randn(1, 4096, 64, requires_grad=True)
    pixels = torch.randn(1, 5824, 64, requires_grad=True)
    mask = torch.ones(1, 4096, dtype=torch.bool)

    def ours():
        sum(x.sum() for x in fusion(points, pixels, mask)).backward()

    def plain():
        both = quadratic_attention(points, pixels), quadratic_attention(pixels, points)
        sum(x.sum() for x in both).backward()

    assert ratio(ours, plain, 3) < 2


def test_time_of_the_head_is_linear_in_cameras():
    cameras = [1, 2, 4]
    seconds = [
        measure_head(HEAD, HeadLoad(cameras=n, voxels=2048, map_size=(32, 64)))['seconds']
        for n in cameras
    ]
    assert growth_exponent(cameras, seconds) < 1.4


def test_kept_features():
    network = EfficientNetLite0().eval()
    images = torch.randn(2, 3, 160, 512)
    cache = FrozenFeatures(1e9)

    def plain():
        with torch.no_grad():
            network(images)

    assert ratio(lambda: cache(network, images), plain) < 0.5
