"""Each point must stay on the same image content, whatever is done to images and points.

The oracle is rendered: coloured discs are drawn where points project, the transform is applied to
image and matrices, and the discs are found again by their colour in the new image.
"""

import random

import cv2
import numpy as np
import pytest
import torch
from mmdet3d.registry import TRANSFORMS
from mmdet3d.structures import LiDARPoints
from mmengine.config import Config
from scipy.spatial.transform import Rotation

from nclr_mm.datasets.transforms import RandomFlipImages, RigidPerturbation

WIDTH, HEIGHT, RADIUS = 640, 400, 9
COLOURS = np.array(
    [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [255, 0, 255], [0, 255, 255]]
)
TOLERANCE = 0.15  # pixels; the centre of a drawn disc is found to about 0.08


def project(results: dict) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (V, N, 2) and depths (V, N) of all points in all cameras."""
    points = results['points'].tensor[:, :3].double().numpy()
    pixels, depths = [], []
    for cam2img, lidar2cam in zip(results['cam2img'], results['lidar2cam'], strict=True):
        camera = points @ lidar2cam[:3, :3].T + lidar2cam[:3, 3]
        homogeneous = camera @ cam2img.T
        pixels.append(homogeneous[:, :2] / homogeneous[:, 2:])
        depths.append(camera[:, 2])
    return np.stack(pixels), np.stack(depths)


def marked_sample(seed: int) -> dict:
    """Two cameras that look forward from different places, and six points seen by both."""
    rng = np.random.default_rng(seed)
    axes = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
    lidar2cam = np.tile(np.eye(4), (2, 1, 1))
    for i in range(2):
        turn = Rotation.from_euler('xyz', rng.normal(0, 0.05, 3)).as_matrix()
        lidar2cam[i, :3, :3] = turn @ axes
        lidar2cam[i, :3, 3] = rng.normal(0, 0.3, 3)
    cam2img = np.tile(np.array([[500.0, 0.4, 317.3], [0, 480, 195.8], [0, 0, 1]]), (2, 1, 1))
    # One point a cell of a grid of 3 x 2, so that the discs stay apart.
    grid = np.stack(np.meshgrid([120, 320, 520], [110, 290]), -1).reshape(-1, 2)
    pixels = grid + rng.uniform(-25, 25, grid.shape)
    rays = np.column_stack([pixels, np.ones(6)]) @ np.linalg.inv(cam2img[0]).T
    camera = rays * rng.uniform(15, 40, (6, 1))
    lidar = np.column_stack([camera, np.ones(6)]) @ np.linalg.inv(lidar2cam[0]).T
    points = torch.tensor(np.column_stack([lidar[:, :3], np.full(6, 0.5)]), dtype=torch.float32)
    results = dict(
        sample_idx=seed,
        repeat_idx=0,
        points=LiDARPoints(points, points_dim=4),
        cam_names=['left', 'right'],
        cam2img=cam2img,
        lidar2cam=lidar2cam,
        img=[np.zeros((HEIGHT, WIDTH, 3), np.uint8) for _ in range(2)],
    )
    for image, uv in zip(results['img'], project(results)[0], strict=True):
        for (u, v), colour in zip(uv, COLOURS.tolist(), strict=True):
            centre = round(u * 256), round(v * 256)
            cv2.circle(image, centre, RADIUS * 256, colour, -1, cv2.LINE_AA, shift=8)
    return results


def find(image: np.ndarray, colour: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Centroid (u, v) of a colour's disc and its box (u0, v0, u1, v1); None where it is not."""
    strength = image.astype(float)
    on, off = strength[..., colour > 0], strength[..., colour == 0]
    mark = (on.min(-1) > 40) & (off.max(-1) < 0.5 * on.min(-1)) & (on.max(-1) < 2 * on.min(-1))
    if mark.sum() < 8:
        return None
    rows, columns = np.nonzero(mark)
    weights = on.min(-1)[rows, columns]
    centroid = np.array([columns @ weights, rows @ weights]) / weights.sum()
    return centroid, np.array([columns.min(), rows.min(), columns.max(), rows.max()])


def assert_marks_are_where_points_project(results: dict, at_least: int) -> int:
    """Number of discs compared; those cut by the border of the image are left out."""
    compared = 0
    for image, uv in zip(results['img'], project(results)[0], strict=True):
        height, width = image.shape[:2]
        for pixel, colour in zip(uv, COLOURS, strict=True):
            found = find(image, colour)
            if found is None:
                continue
            centroid, (u0, v0, u1, v1) = found
            if u0 < 2 or v0 < 2 or u1 > width - 3 or v1 > height - 3:
                continue
            assert np.abs(centroid - pixel).max() < TOLERANCE, (centroid, pixel, colour)
            compared += 1
    assert compared >= at_least
    return compared


SINGLE = {
    'nothing': ([], 12),
    'shrink': ([dict(type='ResizeImages', scale=(256, 160))], 12),
    'shrink unevenly': ([dict(type='ResizeImages', scale=(208, 224))], 12),
    'enlarge': ([dict(type='ResizeImages', scale=(1000, 777))], 12),
    'keep ratio, cut sides': (
        [dict(type='ResizeImages', scale=(300, 224), keep_ratio=True)],
        8,
    ),
    'keep ratio, cut top': (
        [dict(type='ResizeImages', scale=(512, 160), keep_ratio=True)],
        2,
    ),
    'crop': ([dict(type='CropImages', window=(33, 21, 571, 333))], 8),
    'random crop': ([dict(type='RandomCropResizeImages', scale=(416, 224))], 4),
    'random crop, other aspect': (
        [dict(type='RandomCropResizeImages', scale=(416, 224), aspect=(1.0, 2.5))],
        2,
    ),
    'mirror': ([dict(type='RandomFlipImages', prob=1.0)], 12),
    'perturb': (
        [
            dict(type='RigidPerturbation', roll=(-0.3, 0.3), pitch=(-0.3, 0.3), z=(-2.0, 2.0)),
        ],
        12,
    ),
    'range filter that keeps all': (
        [dict(type='PointsRangeFilter', point_cloud_range=[-99, -99, -99, 99, 99, 99])],
        12,
    ),
    'mirror, crop, shrink': (
        [
            dict(type='RandomFlipImages', prob=1.0),
            dict(type='CropImages', window=(20, 11, 600, 371)),
            dict(type='ResizeImages', scale=(416, 224)),
        ],
        8,
    ),
    'crop, mirror, shrink, mirror': (
        [
            dict(type='CropImages', window=(20, 11, 600, 371)),
            dict(type='RandomFlipImages', prob=1.0),
            dict(type='ResizeImages', scale=(416, 224)),
            dict(type='RandomFlipImages', prob=1.0),
        ],
        8,
    ),
}


def run(results: dict, steps: list[dict]) -> dict:
    for step in steps:
        results = TRANSFORMS.build(step)(results)
    return results


@pytest.mark.parametrize('name', SINGLE)
@pytest.mark.parametrize('seed', range(3))
def test_marks_stay_on_points(name, seed):
    random.seed(seed)
    steps, at_least = SINGLE[name]
    assert_marks_are_where_points_project(run(marked_sample(seed), steps), at_least)


def test_marks_stay_on_points_through_random_chains():
    compared = []
    for seed in range(40):
        random.seed(seed)
        size = random.randint(300, 700), random.randint(180, 500)
        choices = [
            dict(type='ResizeImages', scale=size),
            dict(type='ResizeImages', scale=size, keep_ratio=True),
            dict(type='RandomCropResizeImages', scale=size, area=(0.7, 1.0)),
            dict(type='RandomFlipImages'),
            dict(type='CropImages', window=(5, 3, 290, 170)),
            dict(type='RigidPerturbation', roll=(-0.1, 0.1), z=(-1.0, 1.0)),
        ]
        steps = random.sample(choices, random.randint(2, 4))
        # A chain may cut off every disc, all together may not.
        results = run(marked_sample(seed), steps)
        compared.append(assert_marks_are_where_points_project(results, at_least=0))
    assert sum(compared) > 200, compared


def test_random_chains_do_compare_marks():
    """The chains above allow that all discs are cut off; together they must compare many."""
    compared = 0
    for seed in range(10):
        random.seed(seed)
        steps = [
            dict(type='RandomFlipImages'),
            dict(type='RandomCropResizeImages', scale=(416, 224), area=(0.7, 1.0)),
            dict(type='RigidPerturbation'),
        ]
        results = run(marked_sample(seed), steps)
        compared += sum(find(i, c) is not None for i in results['img'] for c in COLOURS)
        assert_marks_are_where_points_project(results, at_least=2)
    assert compared > 60


def test_the_oracle_sees_the_fault_of_the_official_code():
    """Mirrored matrices with unmirrored pixels, and a resize with corner-based centres, fail."""
    results = marked_sample(0)
    before = [image.copy() for image in results['img']]
    results = RandomFlipImages(prob=1.0)(results)
    with pytest.raises(AssertionError):
        assert_marks_are_where_points_project(dict(results, img=before), 12)
    for scale in (2.0, 0.5):
        size = round(WIDTH * scale), round(HEIGHT * scale)
        results = run(marked_sample(0), [dict(type='ResizeImages', scale=size)])
        results['cam2img'][:, :2, 2] -= 0.5 * scale - 0.5  # u' = s u, not (u + 0.5) s - 0.5
        with pytest.raises(AssertionError, match='array'):
            assert_marks_are_where_points_project(results, 6)


@pytest.mark.parametrize('prob', [0.0, 0.5, 1.0])
def test_flip_probability_and_independence(prob):
    random.seed(0)
    flipped = [
        run(marked_sample(0), [dict(type='RandomFlipImages', prob=prob)])['cam2img'][:, 0, 0] < 0
        for _ in range(60)
    ]
    assert abs(np.mean(flipped) - prob) < 0.15
    if prob == 0.5:  # cameras are mirrored each on its own
        assert {tuple(f.tolist()) for f in flipped} == {(a, b) for a in (0, 1) for b in (0, 1)}


def test_matrices_stay_proper():
    random.seed(3)
    results = run(
        marked_sample(1),
        [dict(type='RandomFlipImages', prob=1.0), dict(type='RigidPerturbation')],
    )
    assert results['cam2img'].dtype == results['lidar2cam'].dtype == np.float64
    np.testing.assert_allclose(np.linalg.det(results['lidar2cam'][:, :3, :3]), 1, atol=1e-12)
    assert (results['cam2img'][:, 0, 0] < 0).all()


# ---------------------------------------------------------------- perturbation


def test_perturbation_moves_points_by_t():
    random.seed(0)
    before = marked_sample(0)
    old = np.column_stack([before['points'].tensor[:, :3].double().numpy(), np.ones(6)])
    intensity = before['points'].tensor[:, 3].clone()
    after = RigidPerturbation(z=(-1, 1), roll=(-0.2, 0.2))(before)
    moved = old @ after['perturbation'].T
    np.testing.assert_allclose(after['points'].tensor[:, :3], moved[:, :3], atol=1e-4)
    assert torch.equal(after['points'].tensor[:, 3], intensity)


def test_perturbation_distribution():
    random.seed(0)
    transform = RigidPerturbation()
    motions = np.stack([transform.draw(dict(sample_idx=0)) for _ in range(4000)])
    yaw = np.arctan2(motions[:, 1, 0], motions[:, 0, 0])
    counts, _ = np.histogram(yaw, bins=8, range=(-np.pi, np.pi))
    assert counts.min() > 400  # uniform: 500 each
    shift = motions[:, :2, 3]
    assert abs(shift.std() - 4.0) < 0.15 and np.abs(shift.mean(0)).max() < 0.3
    np.testing.assert_allclose(motions[:, 2], np.tile((0, 0, 1, 0), (4000, 1)), atol=1e-12)
    clipped = RigidPerturbation(shift_std=4.0, shift_clip=2.0)
    shift = np.stack([clipped.draw(dict(sample_idx=0))[:2, 3] for _ in range(300)])
    assert np.abs(shift).max() == 2.0


def test_perturbation_seeded_by_sample():
    transform = RigidPerturbation(seed_by_sample=True, seed=7)
    first = transform.draw(dict(sample_idx=3, repeat_idx=0))
    random.seed(99)
    assert (transform.draw(dict(sample_idx=3, repeat_idx=0)) == first).all()
    others = [
        transform.draw(dict(sample_idx=4, repeat_idx=0)),
        transform.draw(dict(sample_idx=3, repeat_idx=1)),
        transform.draw(dict(sample_idx=3, repeat_idx=0, token='abc')),
        RigidPerturbation(seed_by_sample=True, seed=8).draw(dict(sample_idx=3, repeat_idx=0)),
    ]
    assert all(np.abs(other - first).max() > 1e-3 for other in others)
    # The token, not the position in a subset, tells samples apart.
    same = transform.draw(dict(sample_idx=9, repeat_idx=0, token='abc'))
    assert (same == others[2]).all()


# ---------------------------------------------------------------- points and cameras


def test_scale_intensity():
    results = run(marked_sample(0), [dict(type='ScalePointIntensity', scale=1 / 255)])
    np.testing.assert_allclose(results['points'].tensor[:, 3], 0.5 / 255)


def test_sample_cameras():
    random.seed(0)
    seen = set()
    for _ in range(50):
        images = {name: dict(name=name) for name in 'abcd'}
        kept = run(dict(images=images), [dict(type='SampleCameras', num=2)])['images']
        assert all(kept[name]['name'] == name for name in kept)
        seen.add(tuple(kept))
    assert seen == {(a, b) for a in 'abcd' for b in 'abcd' if a < b}  # all pairs, in their order


def pack(results: dict, **kwargs):
    step = dict(type='PackCalibrationInputs', keys=['points', 'img'], **kwargs)
    return TRANSFORMS.build(step)(results)['data_samples'].metainfo


def test_relative_poses_are_packed_and_tell_nothing_of_the_lidar():
    results = marked_sample(0)
    truth = results['lidar2cam'].copy()
    moved = run(results, [dict(type='RigidPerturbation'), dict(type='RandomFlipImages', prob=1.0)])
    got = pack(moved, meta_keys=['lidar2cam'])['rig2cam']
    assert not np.allclose(moved['lidar2cam'], truth)
    np.testing.assert_allclose(got, truth @ np.linalg.inv(truth[0]), atol=1e-9)
    np.testing.assert_allclose(got[0], np.eye(4), atol=1e-9)


def test_relative_poses_of_a_pipeline_of_ones_own_are_kept():
    assert pack(dict(marked_sample(0), rig2cam=None), meta_keys=['lidar2cam'])['rig2cam'] is None


def test_photo_metric_jitter_changes_colours_alone():
    random.seed(0)
    before = marked_sample(0)
    cam2img = before['cam2img'].copy()
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    before['img'] = [image.copy(), image.copy()]
    after = run(before, [dict(type='PhotoMetricJitter')])
    assert (after['cam2img'] == cam2img).all()
    assert all(i.dtype == np.uint8 and i.shape == image.shape for i in after['img'])
    assert not np.array_equal(after['img'][0], after['img'][1])
    off = dict(type='PhotoMetricJitter', brightness=0, contrast=0, saturation=0, hue=0)
    assert np.array_equal(run(dict(img=[image]), [off])['img'][0], image)


def test_photo_metric_jitter_hue():
    """A turn of the hue moves red towards yellow or magenta by so many degrees, no further."""
    random.seed(1)
    red = np.full((4, 4, 3), (0, 0, 200), np.uint8)
    only_hue = dict(type='PhotoMetricJitter', brightness=0, contrast=0, saturation=0, hue=30)
    hues = []
    for _ in range(40):
        (image,) = run(dict(img=[red.copy()]), [only_hue])['img']
        blue, green, peak = (int(x) for x in image[0, 0])
        assert peak == 200 and min(blue, green) == 0
        hues.append(60 * (green - blue) / peak)
    assert 20 < max(hues) <= 31 and -31 <= min(hues) < -20


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        (dict(type='ResizeImages', scale=(0, 5)), 'scale must be'),
        (dict(type='ResizeImages', scale=(5,)), 'scale must be'),
        (dict(type='ResizeImages', scale=(5, 5), interpolation='best'), 'interpolation must be'),
        (dict(type='CropImages', window=(0, 0, 5)), 'window must be'),
        (dict(type='RandomCropResizeImages', scale=(9, 9), area=(0, 1)), 'area must be'),
        (dict(type='RandomCropResizeImages', scale=(9, 9), aspect=(2, 1)), 'aspect must be'),
        (dict(type='RandomFlipImages', prob=2), 'prob must be'),
        (dict(type='PhotoMetricJitter', contrast=3), 'contrast must be'),
        (dict(type='PhotoMetricJitter', hue=-1), 'hue must be'),
        (dict(type='RigidPerturbation', yaw=(1, 0)), 'yaw must be a range'),
        (dict(type='RigidPerturbation', shift_std=-1), 'must not be negative'),
        (dict(type='SampleCameras', num=0), 'num must be'),
        (dict(type='LoadCalibratedImages', reduce=3), 'reduce must be'),
    ],
)
def test_wrong_arguments_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        TRANSFORMS.build(config)


def test_wrong_use_is_refused():
    with pytest.raises(ValueError, match=r'window 9x9 at \(0, 395\) is not inside .* 640x400'):
        run(marked_sample(0), [dict(type='CropImages', window=(0, 395, 9, 9))])
    with pytest.raises(ValueError, match='SampleCameras wants 3 cameras of 1'):
        run(dict(images=dict(a={})), [dict(type='SampleCameras', num=3)])
    with pytest.raises(ValueError, match='must stand before LoadCalibratedImages'):
        run(dict(images=dict(a={}), img=[]), [dict(type='SampleCameras', num=1)])


# ---------------------------------------------------------------- loading


def camera(path, width=WIDTH, height=HEIGHT) -> dict:
    sample = marked_sample(0)
    return dict(
        img_path=str(path),
        width=width,
        height=height,
        cam2img=sample['cam2img'][0],
        lidar2cam=sample['lidar2cam'][0],
    )


@pytest.mark.parametrize('reduce', [1, 2, 4])
@pytest.mark.parametrize('suffix', ['jpg', 'png'])
def test_reduced_decoding_keeps_marks_on_points(reduce, suffix, tmp_path):
    sample = marked_sample(0)
    path = tmp_path / f'image.{suffix}'
    cv2.imwrite(str(path), sample['img'][0], [cv2.IMWRITE_JPEG_QUALITY, 100])
    loaded = run(
        dict(images=dict(left=camera(path)), points=sample['points']),
        [dict(type='LoadCalibratedImages', reduce=reduce)],
    )
    assert loaded['img'][0].shape == (HEIGHT // reduce, WIDTH // reduce, 3)
    assert loaded['cam_names'] == ['left']
    assert_marks_are_where_points_project(loaded, 6)


def test_fast_loading_of_nuscenes_is_close_to_that_at_full_size(repo, real_data):
    cfg = Config.fromfile(repo / 'configs/_base_/datasets/nus-calib-224x416.py')
    fast = [t for t in cfg.train_pipeline if t.type in ('LoadCalibratedImages', 'ResizeImages')]
    assert fast[0].reduce == 2 and fast[1].interpolation == 'bilinear'
    full = [dict(type='LoadCalibratedImages'), dict(type='ResizeImages', scale=fast[1].scale)]
    paths = sorted((real_data / 'nuscenes/samples').glob('CAM_*/*.jpg'))
    images = {path.parent.name: camera(path, 1600, 900) for path in paths}
    assert len(images) == 6
    loaded = [run(dict(images=images, points=np.zeros((1, 4))), steps) for steps in (fast, full)]
    difference = np.abs(np.stack(loaded[0]['img']).astype(int) - np.stack(loaded[1]['img']))
    # Of 255 levels; those in docs/performance.md are 0.8 and 6.
    assert difference.mean() < 1 and np.quantile(difference, 0.99) <= 6
    np.testing.assert_allclose(loaded[0]['cam2img'], loaded[1]['cam2img'], rtol=1e-12)


def test_grey_alpha_and_16_bit_images_become_bgr(tmp_path):
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 255, (6, 8), dtype=np.uint8)
    colour = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
    alpha = np.dstack([colour, np.full((6, 8), 100, np.uint8)])
    cases = {
        'grey': (grey, np.repeat(grey[..., None], 3, axis=-1)),
        'alpha': (alpha, colour),
        'deep': (colour.astype(np.uint16) * 256, colour),
    }
    for name, (stored, expected) in cases.items():
        path = tmp_path / f'{name}.png'
        cv2.imwrite(str(path), stored)
        (image,) = run(
            dict(images=dict(a=camera(path, 8, 6))), [dict(type='LoadCalibratedImages')]
        )['img']
        np.testing.assert_array_equal(image, expected)


def test_orientation_tags_do_not_turn_images(tmp_path):
    from PIL import Image

    path = tmp_path / 'turned.jpg'
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees to show"
    Image.new('RGB', (8, 6)).save(path, exif=exif)
    (image,) = run(dict(images=dict(a=camera(path, 8, 6))), [dict(type='LoadCalibratedImages')])[
        'img'
    ]
    assert image.shape == (6, 8, 3)


def test_images_that_cannot_be_used_are_named(tmp_path):
    step = [dict(type='LoadCalibratedImages')]
    with pytest.raises(FileNotFoundError, match=r'no\.png'):
        run(dict(images=dict(a=camera(tmp_path / 'no.png'))), step)
    for content in (b'', b'text'):
        (tmp_path / 'bad.png').write_bytes(content)
        with pytest.raises(ValueError, match=r'bad\.png is not a readable image'):
            run(dict(images=dict(a=camera(tmp_path / 'bad.png'))), step)
    cv2.imwrite(str(tmp_path / 'small.png'), np.zeros((6, 8, 3), np.uint8))
    with pytest.raises(ValueError, match=r'small\.png is 8x6, but its calibration is for 640x400'):
        run(dict(images=dict(a=camera(tmp_path / 'small.png'))), step)
    with pytest.raises(ValueError, match=r'reduce=4 needs multiples'):
        run(
            dict(images=dict(a=camera(tmp_path / 'small.png', 8, 6))),
            [dict(type='LoadCalibratedImages', reduce=4)],
        )


def test_points_are_loaded_and_truncated_scans_named(tmp_path):
    path = tmp_path / 'scan.bin'
    points = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    points.tofile(path)
    scan = dict(lidar_points=dict(lidar_path=str(path)))
    step = dict(type='LoadLidarPoints', load_dim=5, use_dim=4)
    np.testing.assert_array_equal(run(scan, [step])['points'].tensor, points[:, :4])
    for size in (0, 139):
        path.write_bytes(points.tobytes()[:size])
        with pytest.raises(ValueError, match=rf'scan\.bin is truncated: {size} bytes'):
            run(scan, [step])
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r'scan\.bin'):
        run(scan, [step])


@pytest.mark.parametrize('load_dim', [4, 5])
def test_scans_of_another_layout_are_named(load_dim, tmp_path):
    rng = np.random.default_rng(0)
    rows = np.c_[rng.uniform([-30, -30, -2], [30, 30, 1], (3000, 3)), rng.random(3000)]
    rings = rng.integers(0, 32, 3000)
    step = dict(type='LoadLidarPoints', load_dim=load_dim, use_dim=4)
    scan = dict(lidar_points=dict(lidar_path=str(tmp_path / 'scan.bin')))
    for other in (
        rows.astype('f8'),
        rows[:, :3].astype('f4'),
        np.c_[rows, rings, rng.random(3000)].astype('f4'),
        np.c_[rows, rng.random((3000, 4))].astype('f4'),
        (rows if load_dim == 5 else np.c_[rows, rings]).astype('f4'),
    ):
        other.tofile(tmp_path / 'scan.bin')
        message = rf'scan\.bin does not hold {load_dim} float32 numbers a point \(load_dim\)'
        with pytest.raises(ValueError, match=message):
            run(scan, [step])
    right = (np.c_[rows, rings] if load_dim == 5 else rows).astype('f4')
    right.tofile(tmp_path / 'scan.bin')
    np.testing.assert_array_equal(run(scan, [step])['points'].tensor, right[:, :4])


def test_points_without_a_measurement_are_counted(tmp_path):
    points = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    points[[1, 4, 4, 6], [0, 1, 2, 2]] = [np.nan, np.inf, np.nan, -np.inf]
    points[7, :3] = 0  # drivers write this too; in rows of float32 it may be a point
    points.tofile(tmp_path / 'scan.bin')
    np.save(tmp_path / 'scan.npy', points)
    for name, left, unmeasured in (('scan.bin', 9, 3), ('scan.npy', 5, 4)):
        scan = dict(lidar_points=dict(lidar_path=str(tmp_path / name)))
        loaded = run(scan, [dict(type='LoadLidarPoints')])
        assert len(loaded['points']) == left
        assert loaded['num_unmeasured_points'] == unmeasured
        packed = run(loaded, [dict(type='PackCalibrationInputs', keys=['points'], meta_keys=[])])
        assert packed['data_samples'].num_unmeasured_points == unmeasured


def test_packing_knows_the_scan_beside_images():
    results = dict(lidar_points=dict(lidar_path='a.bin'), images=dict(front={}, back={}))
    pack = dict(type='PackCalibrationInputs', keys=[], meta_keys=['lidar_path'])
    assert run(results, [pack])['data_samples'].lidar_path == 'a.bin'


def test_a_scan_of_another_format(tmp_path):
    points = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    path = tmp_path / 'scan.npy'
    np.save(path, points)
    scan = dict(lidar_points=dict(lidar_path=str(path)))
    got = run(scan, [dict(type='LoadLidarPoints')])['points']
    np.testing.assert_array_equal(got.tensor, points)
    with pytest.raises(ValueError, match=r'scan\.npy has x, y, z and intensity'):
        run(scan, [dict(type='LoadLidarPoints', load_dim=5)])
    path.write_bytes(b'no array')
    with pytest.raises(ValueError, match=r'scan\.npy is damaged or no NPY'):
        run(scan, [dict(type='LoadLidarPoints')])
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r'scan\.npy'):
        run(scan, [dict(type='LoadLidarPoints')])
