"""The calibration head on scenes whose answer is known."""

import cv2
import numpy as np
import pytest
import torch
from mmdet3d.structures import Det3DDataSample
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from nclr_mm.models.heads import CalibrationHead
from nclr_mm.models.heads.calibration_head import read_pixels
from nclr_mm.models.heads.targets import Cameras, calibration_targets

IMAGE, MAP = (64, 96), (16, 24)
K = np.array([[60.0, 0.0, 47.0], [0.0, 62.0, 30.0], [0.0, 0.0, 1.0]])
LOSSES = dict(
    loss_contrast=dict(type='PointInfoNCE'),
    loss_point_overlap=dict(type='OverlapLoss'),
    loss_pixel_overlap=dict(type='OverlapLoss'),
)


def camera_pose(seed):
    rng = np.random.default_rng(seed)
    pose = np.eye(4)
    axes = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])  # LiDAR x forward to camera z
    pose[:3, :3] = axes @ Rotation.from_euler('xyz', rng.normal(0, 0.2, 3)).as_matrix()
    pose[:3, 3] = rng.normal(0, 1, 3)
    return pose


def sample(poses, intrinsics=K):
    out = Det3DDataSample()
    intrinsics = np.stack([intrinsics] * len(poses))
    out.set_metainfo(dict(cam2img=intrinsics, lidar2cam=np.stack(poses)))
    return out


def scene_of_cells(poses, intrinsics=K, seed=0):
    """One sample whose voxels lie on the rays of cell centres, with equal unique features."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(size=(len(poses), *MAP, 64))
    xyz, features = [], []
    for camera, pose in enumerate(poses):
        for row in range(1, MAP[0], 2):
            for column in range(1, MAP[1], 2):
                uv = np.array([(column + 0.5) * 4 - 0.5, (row + 0.5) * 4 - 0.5, 1.0])
                ray = np.linalg.inv(intrinsics) @ uv * rng.uniform(5, 30)
                xyz.append(np.linalg.inv(pose) @ np.append(ray, 1))
                features.append(pixels[camera, row, column])
    xyz = torch.tensor(np.array(xyz)[:, :3], dtype=torch.float32)
    features = torch.tensor(np.array(features), dtype=torch.float32)
    maps = torch.tensor(pixels, dtype=torch.float32).permute(0, 3, 1, 2)
    return features, dict(xyz=xyz, counts=[len(xyz)]), maps, [sample(poses, intrinsics)]


def plain_head(**kwargs):
    if not kwargs.get('with_pose_loss'):
        kwargs = dict(LOSSES, **kwargs)
    return CalibrationHead(
        point_channels=64, num_voxels=512, alignment=dict(type='CosineAlignment'), **kwargs
    )


def test_targets_agree_with_opencv():
    rng = np.random.default_rng(0)
    poses = [[camera_pose(1), camera_pose(2)], [camera_pose(3), camera_pose(4)]]
    xyz = rng.uniform([-5, -10, -3], [40, 10, 3], (2, 300, 3))
    mask = np.ones((2, 300), dtype=bool)
    mask[1, 200:] = False
    cameras = Cameras.from_samples([sample(p) for p in poses], IMAGE, MAP, torch.device('cpu'))
    targets = calibration_targets(
        torch.tensor(xyz, dtype=torch.float32), torch.tensor(mask), cameras
    )
    for b in range(2):
        for v in range(2):
            pose = poses[b][v]
            rvec, _ = cv2.Rodrigues(pose[:3, :3])
            uv = cv2.projectPoints(xyz[b], rvec, pose[:3, 3], K, None)[0][:, 0]
            depth = xyz[b] @ pose[2, :3] + pose[2, 3]
            inside = (depth > 0) & (uv > -0.5).all(1) & (uv < [95.5, 63.5]).all(1) & mask[b]
            assert 10 < inside.sum() < 250
            np.testing.assert_array_equal(targets.visible[b, v].numpy(), inside)
            cells = (uv[inside] + 0.5) / 4 - 0.5
            np.testing.assert_allclose(targets.uv[b, v].numpy()[inside], cells, atol=1e-3)
            occupied = np.zeros(MAP, dtype=bool)
            occupied[tuple(np.floor((uv[inside] + 0.5) / 4).astype(int).T[::-1])] = True
            np.testing.assert_array_equal(targets.occupied[b, v].numpy(), occupied)
            back = cameras.to_image(targets.uv[b, v])[torch.tensor(inside)]
            np.testing.assert_allclose(back.numpy(), uv[inside], atol=1e-2)


def test_occlusion_hides_the_point_behind_the_wall():
    pose = np.eye(4)
    wall = [[x, y, 5.0] for x in np.linspace(-1, 1, 21) for y in np.linspace(-1, 1, 21)]
    xyz = torch.tensor([[0.05, 0.05, 15.0], *wall], dtype=torch.float32)[None]
    cameras = Cameras.from_samples([sample([pose])], IMAGE, MAP, torch.device('cpu'))
    mask = torch.ones(1, len(wall) + 1, dtype=torch.bool)
    assert calibration_targets(xyz, mask, cameras).visible[0, 0, 0]
    hidden = calibration_targets(xyz, mask, cameras, dict(radius=1)).visible[0, 0]
    assert not hidden[0] and hidden[1:].all()


def test_missing_or_misshapen_matrices_are_named():
    bare = Det3DDataSample()
    with pytest.raises(KeyError, match='cam2img'):
        Cameras.from_samples([bare], IMAGE, MAP, torch.device('cpu'))
    bare.set_metainfo(dict(cam2img=np.eye(4)[None], lidar2cam=np.eye(4)[None]))
    with pytest.raises(ValueError, match=r'cam2img .* \(cameras, 3, 3\)'):
        Cameras.from_samples([bare], IMAGE, MAP, torch.device('cpu'))


@pytest.mark.parametrize('mode', ['bilinear', 'nearest'])
def test_pixels_are_read_where_they_are(mode):
    torch.manual_seed(0)
    maps = torch.randn(2, 3, *MAP, 4)
    uv = torch.rand(2, 50, 2) * torch.tensor([23.0, 15.0])
    camera = torch.randint(0, 3, (2, 50))
    read = read_pixels(maps.flatten(2, 3), camera, uv, MAP, mode)
    for b in range(2):
        for m in range(50):
            for c in range(4):
                expected = map_coordinates(
                    maps[b, camera[b, m], ..., c].numpy(),
                    uv[b, m].numpy()[::-1, None],
                    order=1 if mode == 'bilinear' else 0,
                )
                assert read[b, m, c].item() == pytest.approx(expected[0], abs=1e-4)


def test_contrast_draws_its_pairs_from_all_visible_voxels():
    torch.manual_seed(0)
    features, voxels, maps, samples = scene_of_cells([camera_pose(5)])
    head = plain_head()
    head.num_voxels, head.num_pairs = 10, 1000
    scene = head.make_scene(features, voxels, maps, samples, IMAGE)
    targets = calibration_targets(scene.xyz, scene.mask, scene.cameras)
    losses = head.loss(scene)
    assert losses['num_pairs'] == targets.visible.sum() > 90
    # Equal features at each pair: only chance similarities are left in the loss.
    wrong = head.loss(
        head.make_scene(features[torch.randperm(len(features))], voxels, maps, samples, IMAGE)
    )
    assert losses['loss_contrast'] < 0.3 < 2 < wrong['loss_contrast']


@pytest.mark.parametrize('mirrored', [False, True])
def test_perfect_features_give_the_true_poses(mirrored):
    torch.manual_seed(0)
    intrinsics = np.array([[-1.0, 0, 95], [0, 1, 0], [0, 0, 1]]) @ K if mirrored else K
    poses = [camera_pose(5), camera_pose(6)]
    head = plain_head(test_cfg=dict(score_threshold=-1.0, window=1))
    scene = scene_of_cells(poses, intrinsics)
    prediction = head.predict(head.make_scene(*scene, IMAGE))[0]
    assert prediction.valid.all()
    np.testing.assert_allclose(prediction.lidar2cam.numpy(), poses, atol=1e-3)
    assert (prediction.reproj_error < 0.05).all()
    # 96 voxels of each camera match in that camera; some of the others' may by chance.
    assert (prediction.num_inliers >= 90).all()
    assert (prediction.num_matches >= prediction.num_inliers).all()
    assert prediction.point_scores.shape == (2, len(prediction.points))
    assert prediction.pixel_scores.shape == (2, *MAP)


def rig_of(poses, other):
    """Relative poses of cameras in an arbitrary frame of the rig."""
    return np.stack(poses) @ np.linalg.inv(other)


@pytest.mark.parametrize('mirrored', [False, True])
def test_the_rig_has_a_pose_where_a_camera_has_none(mirrored):
    torch.manual_seed(0)
    intrinsics = np.array([[-1.0, 0, 95], [0, 1, 0], [0, 0, 1]]) @ K if mirrored else K
    poses = [camera_pose(5), camera_pose(6), camera_pose(7)]
    head = plain_head(test_cfg=dict(score_threshold=-1.0, window=1))
    features, voxels, maps, samples = scene_of_cells(poses, intrinsics)
    maps[2] = 0.0  # a covered camera
    samples[0].set_metainfo(dict(rig2cam=rig_of(poses, camera_pose(9))))
    prediction = head.predict(head.make_scene(features, voxels, maps, samples, IMAGE))[0]
    assert prediction.valid.tolist() == [True, True, False]
    assert bool(prediction.rig_valid)
    # The covered camera's voxels match at random in the others, and some near their place.
    np.testing.assert_allclose(prediction.rig_lidar2cam.numpy(), poses, atol=0.03)
    assert (prediction.rig_num_inliers[:2] >= 90).all()
    assert np.isfinite(prediction.rig_covariance.numpy()).all()


@pytest.mark.parametrize('case', ['unknown', 'one camera', 'switched off', 'no matches'])
def test_without_a_rig_there_is_no_pose_of_it(case):
    poses = [camera_pose(5), camera_pose(6)][: 1 if case == 'one camera' else 2]
    threshold = 1.0 if case == 'no matches' else -1.0
    solver = {'switched off': dict(rig_solver=None)}.get(case, {})
    head = plain_head(test_cfg=dict(score_threshold=threshold, window=1, **solver))
    features, voxels, maps, samples = scene_of_cells(poses)
    if case != 'unknown':
        samples[0].set_metainfo(dict(rig2cam=rig_of(poses, np.eye(4))))
    prediction = head.predict(head.make_scene(features, voxels, maps, samples, IMAGE))[0]
    assert ('rig_lidar2cam' in prediction) == (case == 'no matches')
    if case == 'no matches':
        assert not prediction.rig_valid and np.isinf(prediction.rig_covariance.numpy()).all()
        assert (prediction.rig_lidar2cam == torch.eye(4)).all()


def test_pose_loss_is_small_for_right_features_and_large_for_shuffled_ones():
    torch.manual_seed(0)
    features, voxels, maps, samples = scene_of_cells([camera_pose(7)])
    head = plain_head(with_pose_loss=True, keypoints=dict(thresholds=(-1.0,)), **LOSSES)
    right = head.loss(head.make_scene(features, voxels, maps, samples, IMAGE))
    assert right['num_poses'] == 1
    assert right['loss_pose_rotation'] < 1e-4 and right['loss_pose_translation'] < 1e-3
    shuffled = features.clone()
    shuffled[::4] = shuffled[::4].roll(1, dims=0)  # a quarter of the matches are wrong
    shuffled.requires_grad_()
    wrong = head.loss(head.make_scene(shuffled, voxels, maps, samples, IMAGE))
    assert wrong['num_poses'] == 1
    total = wrong['loss_pose_rotation'] + wrong['loss_pose_translation']
    assert total > 10 * (right['loss_pose_rotation'] + right['loss_pose_translation'])
    total.backward()
    assert shuffled.grad.isfinite().all()


def test_impossible_poses_give_no_pose_loss():
    torch.manual_seed(0)
    features, voxels, maps, samples = scene_of_cells([camera_pose(7)])
    head = plain_head(with_pose_loss=True, keypoints=dict(thresholds=(-1.0,)), max_translation=1e-3)
    losses = head.loss(head.make_scene(features.requires_grad_(), voxels, maps, samples, IMAGE))
    assert losses['num_poses'] == 0 and losses['loss_pose_rotation'] == 0
    losses['loss_pose_rotation'].backward()
    assert not features.grad.any()


def test_pose_loss_moves_features_towards_the_truth():
    """A few steps on the pose loss alone lower it: the gradient through EPnP points downhill."""
    torch.manual_seed(0)
    features, voxels, maps, samples = scene_of_cells([camera_pose(8)])
    noisy = (features + 1.5 * torch.randn_like(features)).requires_grad_()
    head = plain_head(
        with_pose_loss=True,
        keypoints=dict(thresholds=(-1.0,)),
        match_temperature=0.1,
    )
    optimiser = torch.optim.Adam([noisy], lr=0.05)
    values = []
    for _ in range(15):
        losses = head.loss(head.make_scene(noisy, voxels, maps, samples, IMAGE))
        loss = losses['loss_pose_rotation'] + losses['loss_pose_translation']
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        values.append(float(loss.detach()))
    assert values[-1] < 0.5 * values[0]


def test_keypoints_fall_back_to_the_lower_threshold_and_then_to_none():
    head = plain_head()
    scores = torch.zeros(1, 3, 40)
    scores[0, 0, :12] = 0.95  # enough above 0.9
    scores[0, 0, 12:20] = 0.8
    scores[0, 1, :5] = 0.95  # too few above 0.9, enough above 0.7
    scores[0, 1, 5:15] = 0.8
    scores[0, 2, :9] = 0.8  # too few at all
    index, mask = head.choose_keypoints(scores, torch.ones_like(scores, dtype=torch.bool))
    chosen = [sorted(index[0, v][mask[0, v]].tolist()) for v in range(3)]
    assert chosen == [list(range(12)), list(range(15)), []]


def test_only_so_many_voxels_are_drawn_and_each_once():
    torch.manual_seed(0)
    features, voxels, maps, samples = scene_of_cells([camera_pose(5), camera_pose(6)])
    head = plain_head()
    head.num_voxels = 50
    scene = head.make_scene(features, voxels, maps, samples, IMAGE)
    targets = calibration_targets(scene.xyz, scene.mask, scene.cameras)
    index, valid = head.draw(scene, targets)
    assert index.shape == (1, 2, 50) and valid.all()
    assert all(len(set(row.tolist())) == 50 for row in index[0])


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(pixel_sampling='cubic'), 'pixel_sampling'),
        (dict(preferred_fraction=1.5), 'preferred_fraction'),
        (dict(loss_fused_contrast=dict(type='PointInfoNCE')), 'needs fusion'),
        (dict(keypoints=dict(nubmer=3), **LOSSES), 'nubmer'),
        (dict(test_cfg=dict(window=4), **LOSSES), 'window must be odd'),
        (dict(), 'at least one loss'),
        (dict(test_cfg=dict(mutal=True), **LOSSES), 'mutal'),
        (dict(test_cfg=dict(features='fusd'), **LOSSES), "must be 'fused' or 'backbone'"),
    ],
)
def test_bad_arguments_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        CalibrationHead(point_channels=64, **kwargs)


def test_no_alignment_is_the_plain_cosine():
    from nclr_mm.models.layers import CosineAlignment, SymmetricAlignment

    assert not isinstance(CalibrationHead(64, **LOSSES).alignment, SymmetricAlignment)
    assert isinstance(CalibrationHead(64, alignment=None, **LOSSES).alignment, CosineAlignment)


def test_a_head_that_trains_nothing_says_so():
    head = plain_head(with_pose_loss=True)
    head.with_pose_loss = False  # as PoseLossSwitchHook does early in training
    with pytest.raises(ValueError, match='Nothing is trained: the pose loss is switched off'):
        head.loss(head.make_scene(*scene_of_cells([camera_pose(0)]), IMAGE))


def test_maps_that_are_no_even_part_of_the_image_are_refused():
    features, voxels, _, samples = scene_of_cells([camera_pose(0)])
    with pytest.raises(ValueError, match='370x1226 give feature maps of 96x312'):
        plain_head().make_scene(features, voxels, torch.zeros(1, 64, 96, 312), samples, (370, 1226))
