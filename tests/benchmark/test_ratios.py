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
from nclr_mm.benchmark.reference import quadratic_attention
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


@pytest.fixture
def nuscenes_steps(repo):
    """What loads nuScenes' images, and what resizes them, as configured."""
    cfg = Config.fromfile(repo / 'configs/_base_/datasets/nus-calib-224x416.py')
    steps = {step.type: step for step in cfg.train_pipeline}
    return steps['LoadCalibratedImages'], steps['ResizeImages']


def test_decoding_at_half_size(nuscenes_steps, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (90, 160, 3), dtype=np.uint8)
    path = tmp_path / 'image.jpg'
    cv2.imwrite(str(path), cv2.resize(noise, (1600, 900)))
    matrices = dict(cam2img=np.eye(3), lidar2cam=np.eye(4))
    image = dict(img_path=str(path), width=1600, height=900, **matrices)
    fast = TRANSFORMS.build(nuscenes_steps[0])
    full = TRANSFORMS.build(dict(type='LoadCalibratedImages'))
    assert fast.reduce == 2

    def load(loader):
        return lambda: loader(dict(images=dict(a=image)))

    assert ratio(load(fast), load(full), 9) < 0.9


def test_bilinear_resizing(nuscenes_steps):
    image = np.random.default_rng(0).integers(0, 255, (450, 800, 3), dtype=np.uint8)
    fast = TRANSFORMS.build(nuscenes_steps[1])
    full = TRANSFORMS.build(dict(type='ResizeImages', scale=fast.scale))
    assert ratio(lambda: fast.transform_image(image), lambda: full.transform_image(image), 9) < 0.5


def test_fusion_beside_attention_with_a_stored_matrix():
    # That it stores no matrix itself, its memory shows (test_layers.py).
    fusion = CrossModalFusion(channels=64, num_layers=1, num_heads=1)
    points = torch.randn(1, 4096, 64, requires_grad=True)
    pixels = torch.randn(1, 5824, 64, requires_grad=True)
    mask = torch.ones(1, 4096, dtype=torch.bool)

    def ours():
        sum(x.sum() for x in fusion(points, pixels, mask)).backward()

    def plain():
        both = quadratic_attention(points, pixels), quadratic_attention(pixels, points)
        sum(x.sum() for x in both).backward()

    assert ratio(ours, plain, 3) < 1.5


@pytest.mark.parametrize('name', ['cameras', 'batch'])
def test_time_of_the_head_is_linear(name):
    numbers = [1, 2, 4]
    loads = [HeadLoad(**{'cameras': 1, name: n}, voxels=2048, map_size=(32, 64)) for n in numbers]
    seconds = [measure_head(HEAD, load)['seconds'] for load in loads]
    assert growth_exponent(numbers, seconds) < 1.4


def test_kept_features():
    network = EfficientNetLite0().eval()
    images = torch.randn(2, 3, 160, 512)
    cache = FrozenFeatures(1e9)

    def plain():
        with torch.no_grad():
            network(images)

    assert ratio(lambda: cache(network, images), plain) < 0.5
