"""nclr_mm.apis.calibrate: motions, resizing and cameras are kept apart rightly."""

import cv2
import numpy as np
import pytest

from nclr_mm.apis import calibrate
from nclr_mm.calibration import Alignment, pose_distance
from tests.apis.seeing_model import CAM2IMG, HEIGHT, TRUE, WIDTH, SeeingModel, image, scan
from tests.poses import assert_near

BOTH = np.stack([CAM2IMG, CAM2IMG])


def test_a_frame_of_two_cameras():
    model = SeeingModel([scan(0)])
    found = calibrate(model, scan(0), [image(0), image(1)], BOTH, cameras=['front', 'left'])
    assert list(found) == ['front', 'left']
    for camera, true in zip(found.values(), TRUE):
        # Points travel in float32.
        assert_near(camera.lidar2cam, true, 1e-3, 1e-3)
        assert camera.verdict == 'ok' and camera.num_looks == 8 and camera.agreement == 1
        assert camera.initial is None and camera.change is None
        assert camera.image_size == (HEIGHT, WIDTH)
    assert model.seen == (1, 2, 3, 96, 256)
    # The points were moved for each look, as in training: by up to a whole turn, not at first.
    assert len(model.moved) == 8
    np.testing.assert_allclose(model.moved[0], scan(0), atol=1e-4)
    for moved in model.moved[1:]:
        assert np.abs(moved[:, :3] - scan(0)[:, :3]).max() > 1
        np.testing.assert_allclose(moved[:, 2], scan(0)[:, 2], atol=1e-4)  # about z alone


def test_several_frames_and_an_initial_pose():
    model = SeeingModel([scan(0), scan(1), scan(2)], noise=1.0)
    initial = TRUE[:1].copy()
    initial[0, :3, 3] += [0, 0.3, 0.4]
    found = calibrate(
        model,
        [scan(i) for i in range(3)],
        [[image(i)] for i in range(3)],
        [CAM2IMG],
        initial,
        looks=2,
    )['0']
    assert found.num_looks == 6
    assert_near(found.lidar2cam, TRUE[0], 0.1, 0.05)
    assert found.change == pytest.approx((0, 0.5), abs=0.1)
    # Pixels are off by 1 along each axis in the network's image, whose width is 256 of 640.
    assert found.reproj_error == pytest.approx(np.sqrt(2) * 640 / 256, rel=0.1)


def test_files(tmp_path):
    scan(0).astype(np.float32).tofile(tmp_path / 'scan.bin')
    cv2.imwrite(str(tmp_path / 'image.png'), image(0))
    found = calibrate(
        SeeingModel([scan(0)]), tmp_path / 'scan.bin', [tmp_path / 'image.png'], [CAM2IMG], looks=1
    )
    assert_near(found['0'].lidar2cam, TRUE[0], 1e-3, 1e-3)


def test_a_camera_that_sees_nothing():
    found = calibrate(SeeingModel([scan(0)], blind=[1]), scan(0), [image(0), image(1)], BOTH)
    assert found['0'].verdict == 'ok'
    assert found['1'].verdict == 'failed'
    assert np.isinf(found['1'].reproj_error)


def test_the_intensity_is_scaled():
    model = SeeingModel([scan(0)])
    halved = scan(0)
    halved[:, 3] /= 2
    calibrate(model, halved, [image(0)], [CAM2IMG], looks=1, intensity_scale=2.0)
    np.testing.assert_allclose(model.moved[0][:, 3], scan(0)[:, 3])


def test_intensities_of_another_unit_are_named_where_nothing_was_found():
    # The model reads which point it is from the intensity: of 3000 points up to 2999.
    found = calibrate(SeeingModel([scan(0)], blind=[1]), scan(0), [image(0), image(1)], BOTH)
    assert not found['0'].reasons
    assert found['1'].verdict == 'failed' and 'intensity_scale' in found['1'].reasons[-1]


@pytest.mark.parametrize(
    ('intensity', 'expected'),
    [
        (np.linspace(0, 1, 3000), None),
        (np.linspace(0, 255, 3000), 'the network saw intensities up to 255, networks'),
        (np.linspace(0, 1, 3000) / 255, 'the network saw intensities up to 0.00392, networks'),
        (np.zeros(3000), 'all intensities are 0, networks'),
    ],
)
def test_intensities_that_the_network_does_not_know(intensity, expected):
    given = scan(0)
    given[:, 3] = intensity
    model = SeeingModel([scan(0)], blind=[0])
    found = calibrate(model, given, [image(0)], [CAM2IMG], looks=1)['0']
    assert found.verdict == 'failed'
    hints = [reason for reason in found.reasons if 'intensities' in reason]
    assert len(hints) == (expected is not None)
    assert all(hint.startswith(expected) for hint in hints)


def on_a_map():
    points = scan(0)
    points[:, 1] += 5_400_000
    return points


def in_millimetres():
    """With a tenth of the points on the vehicle, less than a metre away."""
    points = scan(0)
    points[::10, :3] /= 100
    points[:, :3] *= 1000
    return points


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(points=on_a_map()), 'scan of frame 0: half of the points are farther than'),
        (dict(points=in_millimetres()), 'in metres'),
        (dict(looks=0), 'looks must be at least 1'),
        (dict(points=np.zeros((5, 3))), r'scan of frame 0 must be of the shape \(N, >= 4\)'),
        (dict(points=np.full((5, 4), np.nan)), 'frame 0 holds no point'),
        (dict(points=[], images=[]), 'at least one'),
        (dict(points=[scan(0), scan(1)]), 'as many lists of images as scans'),
        (dict(images=[]), 'must be a list with an image a camera'),
        (dict(images=[image(0)[..., 0]]), 'must be uint8 BGR'),
        (dict(cam2img=BOTH), 'a 3x3 matrix for each of the 1 cameras'),
        (dict(cam2img=[-CAM2IMG]), 'cam2img is not a camera matrix'),
        (dict(initial=TRUE), 'a 4x4 matrix for each of the 1 cameras'),
        (dict(initial=[2 * np.eye(4)]), 'initial is not a rigid motion'),
        (dict(cameras=['a', 'b']), 'must name the 1 cameras'),
        (
            dict(points=[scan(0), scan(0)], images=[[image(0)], [image(0)[:99]]]),
            'images of frame 1 are of',
        ),
        (
            dict(points=[scan(0), scan(0)], images=[[image(0)], [image(0)] * 2]),
            'the same number of images',
        ),
    ],
)
def test_unfit_input(change, message):
    given = dict(points=scan(0), images=[image(0)], cam2img=[CAM2IMG])
    with pytest.raises(ValueError, match=message):
        calibrate(SeeingModel([scan(0)]), **dict(given, **change))


def test_a_model_of_another_kind():
    with pytest.raises(ValueError, match='an NCLR model'):
        calibrate(cv2, scan(0), [image(0)], [CAM2IMG])


def test_refining_starts_from_the_joint_pose(monkeypatch):
    given = []

    def aligned(views, cam2img, lidar2cam):
        given.append((views, cam2img, lidar2cam))
        return Alignment(TRUE[0] @ np.linalg.inv(lidar2cam), 0.1, 0.2)

    monkeypatch.setattr('nclr_mm.apis.calibration.align_edges', aligned)
    model = SeeingModel([scan(0), scan(1)], noise=1.0, blind=[1])
    pictures = [[image(0), image(1)], [image(2), image(3)]]
    found = calibrate(model, [scan(0), scan(1)], pictures, BOTH, looks=1, refine=True)
    [(views, cam2img, start)] = given  # a camera without a pose is not refined
    np.testing.assert_array_equal(cam2img, CAM2IMG)
    for i, (points, picture) in enumerate(views):
        np.testing.assert_allclose(points, scan(i))
        np.testing.assert_array_equal(picture, image(2 * i))
    assert 0 < pose_distance(start, TRUE[0])[0] < 0.2
    np.testing.assert_allclose(found['0'].lidar2cam, TRUE[0], atol=1e-12)
    assert found['0'].refinement.score == 0.2
    assert found['1'].refinement is None and found['1'].verdict == 'failed'
