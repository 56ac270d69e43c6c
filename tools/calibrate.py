"""Calibrate cameras against a LiDAR: scans and images in, extrinsics and pictures out.

Each camera by itself, from --points, --image and --intrinsics; or all cameras of a rig together,
whose relative poses are known, with --rig and files or --frames, or from the data set of the config
with --split. Writes extrinsics.json, a picture of each camera with the LiDAR projected before and
after, and on request the files of KITTI, nuScenes and ROS. Exits with 0 where every camera (or the
rig) is ok, 3 where one is doubtful, 4 where one has failed, 2 where the input is wrong.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from terminaltables import AsciiTable

import nclr_mm  # noqa: F401 (applies workarounds, registers components)
from nclr_mm.apis import (
    CameraCalibration,
    RigCalibration,
    RigCamera,
    RigFrame,
    calibrate,
    calibrate_rig,
    frames_of,
    frames_of_files,
    frames_of_folder,
    given_points,
    init_model,
    read_camera,
    split_of,
    stored_rig,
)
from nclr_mm.calibration import (
    Findings,
    RigPriors,
    describe_pose,
    kitti_calib,
    nuscenes_calibrated_sensor,
    pose_distance,
    read_extrinsics,
    read_intrinsics,
    read_rig,
    ros_static_transforms,
)
from nclr_mm.datasets.scans import read_scan
from nclr_mm.engine.command_line import (
    DictAction,
    add_moved_camera_options,
    make_folder,
    report_unwritable,
    report_user_errors,
)
from nclr_mm.models.task_modules import log_motion
from nclr_mm.visualization import file_name, project_overlay, save_image, tile
from nclr_mm.visualization.report import write_text
from nclr_mm.visualization.rig import plot_rig

EXIT_CODES = {'ok': 0, 'doubtful': 3, 'failed': 4}
EXPORTS = ('kitti', 'nuscenes', 'ros')
# Frames that edges are aligned in with confidence.
ENOUGH_FRAMES = 5
SCALE_CONVENTION = (
    'factor on the covariance that was fitted to the errors of this model (RigSolver.inflation); '
    'null where none was, which gave too small covariances and bounds wherever it was measured'
)
CONVENTIONS = dict(
    lidar='frame of the scans, metres',
    camera='x right, y down, z forward, metres',
    lidar2cam='takes points of the LiDAR frame to the camera frame; cam2lidar back',
    euler_deg='roll, pitch, yaw in R = Rz(yaw) Ry(pitch) Rx(roll)',
    cam2img='of the images after their distortion was taken out',
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of the model; a Python program, which runs')
    parser.add_argument('checkpoint', help='its weights')
    parser.add_argument(
        '--points',
        nargs='+',
        metavar='SCAN',
        help='.bin, .npy, .pcd, .ply, .las, .laz; several scans of the same rig give one estimate',
    )
    parser.add_argument(
        '--image',
        nargs='+',
        action='append',
        default=[],
        metavar='IMAGE',
        help='of one camera, as many as scans and in their order; once for each camera',
    )
    parser.add_argument(
        '--intrinsics',
        help='JSON or YAML: the cameras in the order of --image, or by the names of --camera',
    )
    parser.add_argument(
        '--camera', nargs='+', help='names of the cameras; default: those of --intrinsics'
    )
    parser.add_argument('--initial', help='JSON or YAML: what lidar2cam was thought to be')
    parser.add_argument('--truth', help='JSON or YAML: lidar2cam to compare the result with')
    parser.add_argument('-o', '--out-dir', type=Path, required=True)
    parser.add_argument(
        '--export', nargs='+', choices=EXPORTS, default=[], help='write these forms too'
    )
    parser.add_argument(
        '--lidar2ego', help='JSON or YAML: 4x4 pose of the LiDAR on the vehicle, for nuscenes'
    )
    parser.add_argument(
        '--looks', type=int, default=8, help='of the network at each frame; default: %(default)s'
    )
    parser.add_argument(
        '--refine',
        action='store_true',
        help='then align depth edges with image edges; wants several frames',
    )
    parser.add_argument(
        '--columns', type=int, help='float32 numbers a point of .bin files; default: 4 or 5'
    )
    parser.add_argument(
        '--intensity-scale',
        type=float,
        default=1.0,
        help="brings intensities to the unit of the model's data set; default: %(default)s",
    )
    parser.add_argument('--device', default='cpu', help='default: %(default)s')
    parser.add_argument('--seed', type=int, default=0)
    rig = parser.add_argument_group('all cameras of a rig together')
    rig.add_argument(
        '--rig', metavar='FILE', help='JSON or YAML: intrinsics and rig2cam of each camera'
    )
    rig.add_argument(
        '--frames',
        metavar='FOLDER',
        help='with points/NAME.bin and CAMERA/NAME.png, instead of --points and --image',
    )
    rig.add_argument(
        '--split',
        choices=('train', 'val', 'test'),
        help="frames of the config's data set, whose stored calibration gives the relative poses",
    )
    rig.add_argument('--scene', help='of the data set')
    rig.add_argument('--max-frames', type=int, help='take so many frames; default: all')
    rig.add_argument('--state', metavar='FILE', help='keep what is done here, and go on from it')
    rig.add_argument(
        '--adjust',
        nargs=2,
        type=float,
        metavar=('DEG', 'M'),
        help='also adjust each camera, which is known to so much (standard deviations)',
    )
    rig.add_argument(
        '--adjust-focal', type=float, metavar='SHARE', help='and its focal length, known to so much'
    )
    rig.add_argument('--adjust-principal', type=float, metavar='PX', help='and its principal point')
    add_moved_camera_options(rig)
    rig.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
    return parser.parse_args(argv)


def of_rig(args: argparse.Namespace) -> bool:
    return bool(args.rig or args.frames or args.split)


def check_files(args: argparse.Namespace) -> None:
    """An image of each camera for each scan."""
    for name in ('points', 'image', *(() if args.rig else ('intrinsics',))):
        if not getattr(args, name):
            raise ValueError(
                f'--{name} is missing: give --points, --image and --intrinsics (or --rig), or '
                '--rig and --frames, or --split.'
            )
    numbers = [len(paths) for paths in args.image]
    if any(number != len(args.points) for number in numbers):
        raise ValueError(
            f'--image must name an image for each of the {len(args.points)} scans, got {numbers}.'
        )


def read_inputs(args: argparse.Namespace) -> dict[str, Any]:
    """Scans, images without distortion, intrinsics and poses, checked against each other."""
    check_files(args)
    known = read_intrinsics(args.intrinsics)
    names = args.camera or list(known)
    if args.camera and len(known) == 1 and len(names) == 1:
        known = {names[0]: next(iter(known.values()))}
    missing = [name for name in names if name not in known]
    if missing:
        raise ValueError(
            f'{args.intrinsics} has no camera {missing[0]!r}; it has {", ".join(known)}.'
        )
    if len(set(names)) < len(names):
        raise ValueError(f'--camera names a camera twice: {", ".join(names)}.')
    if len(names) != len(args.image):
        raise ValueError(
            f'There are {len(args.image)} --image options for the {len(names)} cameras '
            f'{", ".join(names)}; name the cameras with --camera.'
        )
    frames = [
        [read_camera(known[name], paths[i]) for name, paths in zip(names, args.image)]
        for i in range(len(args.points))
    ]
    for name, pictures, paths in zip(names, zip(*frames), args.image):
        sizes = [picture.shape[1::-1] for picture in pictures]
        for size, path in zip(sizes, paths):
            if size != sizes[0]:
                raise ValueError(
                    f'{path} is {size[0]}x{size[1]}, but {paths[0]} of the same camera {name} is '
                    f'{sizes[0][0]}x{sizes[0][1]}.'
                )
    return dict(
        names=names,
        scans=[given_points(read_scan(path, args.columns), 1.0, path) for path in args.points],
        images=frames,
        cam2img=np.stack([known[name].cam2img for name in names]),
        initial=read_poses(args.initial, names),
        truth=read_poses(args.truth, names),
        lidar2ego=None if args.lidar2ego is None else read_matrix(args.lidar2ego),
    )


def read_poses(path: str | None, names: Sequence[str]) -> np.ndarray | None:
    """``lidar2cam`` (V, 4, 4) of the cameras from a file, or None without one."""
    if path is None:
        return None
    poses = read_extrinsics(path)
    if len(names) == 1 and list(poses) == ['camera']:
        return np.stack(list(poses.values()))
    missing = [name for name in names if name not in poses]
    if missing:
        raise ValueError(f'{path} has no pose of the camera {missing[0]}; it has {list(poses)}.')
    return np.stack([poses[name] for name in names])


def read_matrix(path: str) -> np.ndarray:
    """The single 4x4 pose of a file."""
    poses = read_extrinsics(path)
    if len(poses) != 1:
        raise ValueError(f'{path} must hold one pose, it holds {len(poses)}.')
    return next(iter(poses.values()))


def describe(found: CameraCalibration, truth: np.ndarray | None) -> dict[str, Any]:
    """What extrinsics.json says of a camera; numbers that do not exist are null."""
    solved = found.verdict != 'failed'
    result: dict[str, Any] = dict(
        verdict=found.verdict,
        reasons=found.reasons,
        lidar2cam=found.lidar2cam.tolist() if solved else None,
        cam2lidar=np.linalg.inv(found.lidar2cam).tolist() if solved else None,
        parts=dict(
            lidar2cam=describe_pose(found.lidar2cam),
            cam2lidar=describe_pose(np.linalg.inv(found.lidar2cam)),
        )
        if solved
        else None,
        **describe_uncertainty(found),
        num_looks=found.num_looks,
        agreement=found.agreement,
        num_matches=found.num_matches,
        num_inliers=found.num_inliers,
        reprojection_error_px=finite(found.reproj_error),
        cam2img=found.cam2img.tolist(),
        image_size=dict(zip(('height', 'width'), found.image_size)),
    )
    for name, pose in (('initial', found.initial), ('truth', truth)):
        if pose is not None and found.verdict != 'failed':
            result[f'from_{name}'] = distance(found.lidar2cam, pose)
    if solved and found.refinement is not None:
        refinement = found.refinement
        before = np.linalg.inv(refinement.correction) @ found.lidar2cam
        result['refinement'] = dict(
            lidar2cam_before=before.tolist(),
            moved_by=distance(found.lidar2cam, before),
            edge_score_before=refinement.score_start,
            edge_score=refinement.score,
            reason=refinement.reason,
        )
        if truth is not None:
            result['refinement']['from_truth_before'] = distance(before, truth)
    return result


def describe_uncertainty(found: Findings) -> dict[str, Any]:
    """Standard deviations, 90 % bounds and covariance of a pose; null where they are not known."""
    known = found.verdict != 'failed' and np.isfinite(found.covariance).all()
    values = dict(deviation=found.deviation, bound_90=found.bound)
    return dict(
        {
            key: dict(zip(('rotation_deg', 'translation_m'), pair if known else (None, None)))
            for key, pair in values.items()
        },
        covariance=found.covariance.tolist() if known else None,
    )


def distance(pose: np.ndarray, other: np.ndarray) -> dict[str, float]:
    degrees, metres = pose_distance(pose, other)
    return dict(rotation_deg=degrees, translation_m=metres)


def finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def overlay(
    found: CameraCalibration, points: np.ndarray, image: np.ndarray, truth: np.ndarray | None
) -> np.ndarray:
    """The image of a camera with the LiDAR projected before, after, and truly."""
    panels = {}
    if found.initial is not None:
        panels['before'] = found.initial
    solved = np.isfinite(found.reproj_error)
    rotation, translation = found.bound
    if not solved:
        title = 'after: no pose was found'
    elif found.verdict == 'failed':
        title = 'after: failed, a pose that is not to be used'
    else:
        title = f'after: {found.verdict}, 90 % bound {rotation:.2f} deg, {translation:.2f} m'
    panels[title] = found.lidar2cam if solved else None
    if truth is not None:
        panels['truth'] = truth
    pictures = projections(image, points, panels, found.cam2img)
    return tile(pictures, 1, list(panels), font_scale=max(0.5, image.shape[1] / 1600))


def projections(
    image: np.ndarray,
    points: np.ndarray,
    poses: Mapping[str, np.ndarray | None],
    cam2img: np.ndarray,
) -> list[np.ndarray]:
    """RGB pictures of a BGR image with the LiDAR projected by each pose; bare without one."""
    image = np.ascontiguousarray(image[:, :, ::-1])
    radius = max(1, round(image.shape[1] / 800))
    return [
        image
        if pose is None
        else project_overlay(image, points[:, :3], pose, cam2img, radius=radius)
        for pose in poses.values()
    ]


def export(
    args: argparse.Namespace, solved: dict[str, tuple[np.ndarray, np.ndarray]], lidar2ego
) -> list[Path]:
    """Write cam2img and lidar2cam of cameras in the forms of other programs."""
    if not solved:
        if args.export:
            print('No camera has a pose: nothing was written for other programs.')
        return []
    texts = {}
    if 'kitti' in args.export:
        for name, (cam2img, lidar2cam) in solved.items():
            texts[f'calib_{file_name(name)}.txt'] = kitti_calib(cam2img, lidar2cam)
    if 'nuscenes' in args.export:
        records = nuscenes_calibrated_sensor(solved, lidar2ego=lidar2ego)
        texts['calibrated_sensor.json'] = json.dumps(records, indent=1)
    if 'ros' in args.export:
        transforms = ros_static_transforms({name: pose for name, (_, pose) in solved.items()})
        texts['static_transforms.yaml'] = yaml.safe_dump(transforms, sort_keys=False)
    for name, text in texts.items():
        write_text(args.out_dir / name, text)
    return [args.out_dir / name for name in texts]


def remove_earlier(args: argparse.Namespace, names: Sequence[str]) -> None:
    """Remove what an earlier run wrote of these cameras, lest it pass for a result of this one."""
    cameras = [file_name(name) for name in names]
    for name in (
        *('extrinsics.json', 'calibrated_sensor.json', 'static_transforms.yaml'),
        *('rig.png', 'overlay.jpg'),
        *(f'overlay_{camera}.jpg' for camera in cameras),
        *(f'calib_{camera}.txt' for camera in cameras),
    ):
        (args.out_dir / name).unlink(missing_ok=True)


def read_rig_inputs(args: argparse.Namespace, model: torch.nn.Module) -> dict[str, Any]:
    """Names, frames, cam2img, rig2cam, and poses to compare with, of a rig."""
    if args.split:
        if args.rig or args.frames or args.points:
            raise ValueError('--split takes frames and rig from the data set: give no other.')
        dataset = split_of(model, args.split)
        cam2img, rig2cam = stored_rig(dataset, args.scene)
        frames = frames_of(dataset, args.scene)
        names = list(dataset.cameras)
        # The rig's frame is that of the LiDAR as it is stored.
        return dict(names=names, frames=frames, cam2img=cam2img, rig2cam=rig2cam, initial=rig2cam)
    if not args.rig:
        raise ValueError('--frames needs --rig: intrinsics and relative poses of the cameras.')
    intrinsics, rig2cam = read_rig(args.rig)
    names = list(intrinsics)
    if args.frames:
        if args.points or args.image:
            raise ValueError('--frames takes scans and images from the folder: give no --points.')
        frames = frames_of_folder(args.frames, intrinsics, args.columns)
    else:
        check_files(args)
        if len(args.image) != len(names):
            raise ValueError(
                f'There are {len(args.image)} --image options for the {len(names)} cameras of '
                f'{args.rig}: {", ".join(names)}.'
            )
        images = list(zip(*args.image))
        frames = frames_of_files(args.points, images, list(intrinsics.values()), args.columns)
    return dict(
        names=names,
        frames=frames,
        cam2img=np.stack([camera.cam2img for camera in intrinsics.values()]),
        rig2cam=rig2cam,
        initial=read_poses(args.initial, names),
    )


def prepare(args: argparse.Namespace) -> tuple[dict[str, Any], torch.nn.Module]:
    """Inputs and model; what is wrong with them is found here."""
    if args.looks < 1:
        raise ValueError(f'--looks must be at least 1, got {args.looks}.')
    if args.seed < 0:
        raise ValueError(f'--seed must not be negative, got {args.seed}.')
    if not math.isfinite(args.intensity_scale):
        raise ValueError(f'--intensity-scale must be a number, got {args.intensity_scale}.')
    for name in ('rig', 'frames'):
        if getattr(args, name) is not None and not Path(getattr(args, name)).exists():
            raise FileNotFoundError(f'--{name}: {getattr(args, name)} does not exist.')
    if not of_rig(args):
        inputs = read_inputs(args)
    model = init_model(args.config, args.checkpoint, args.device, args.cfg_options)
    if not hasattr(model, 'calib_head'):
        raise ValueError(f'{args.config} is of a {type(model).__name__}, which does not calibrate.')
    if of_rig(args):
        inputs = read_rig_inputs(args, model)
        inputs['truth'] = read_poses(args.truth, inputs['names'])
        inputs['lidar2ego'] = None if args.lidar2ego is None else read_matrix(args.lidar2ego)
    make_folder(args.out_dir)
    remove_earlier(args, inputs['names'])
    return inputs, model


@report_unwritable
def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    inputs, model = report_user_errors(lambda: prepare(args))
    if of_rig(args):
        return report_user_errors(lambda: run_rig(args, inputs, model))
    found = report_user_errors(
        lambda: calibrate(
            model,
            inputs['scans'],
            inputs['images'],
            inputs['cam2img'],
            inputs['initial'],
            inputs['names'],
            args.looks,
            args.intensity_scale,
            refine=args.refine,
            seed=args.seed,
        )
    )
    truths = dict(zip(found, [None] * len(found) if inputs['truth'] is None else inputs['truth']))
    report = dict(
        config=args.config,
        checkpoint=args.checkpoint,
        scans=args.points,
        images=dict(zip(inputs['names'], args.image)),
        looks=args.looks,
        seed=args.seed,
        covariance_scale=covariance_scale(model),
        conventions=dict(
            **CONVENTIONS,
            covariance='of xi = (rotation vector in radians, translation in metres) in the LiDAR '
            'frame: lidar2cam Exp(xi); from the residuals of the matches, times covariance_scale',
            bound_90='what the errors of rotation and translation do not exceed in 90 % of cases',
            covariance_scale=SCALE_CONVENTION,
            refinement='moves lidar2cam alone: verdict, covariance, inliers and reprojection error '
            'are of the pose before it',
        ),
        cameras={name: describe(camera, truths[name]) for name, camera in found.items()},
    )
    write_text(args.out_dir / 'extrinsics.json', json.dumps(report, indent=1))
    for i, (name, camera) in enumerate(found.items()):
        picture = overlay(camera, inputs['scans'][0], inputs['images'][0][i], truths[name])
        save_image(args.out_dir / f'overlay_{file_name(name)}.jpg', picture)
        print_camera(name, camera, report)
    solved = {n: (c.cam2img, c.lidar2cam) for n, c in found.items() if c.verdict != 'failed'}
    written = export(args, solved, inputs['lidar2ego'])
    print(', '.join(map(str, [args.out_dir / 'extrinsics.json', *written])))
    return max(EXIT_CODES[camera.verdict] for camera in found.values())


def run_rig(args: argparse.Namespace, inputs: dict[str, Any], model: torch.nn.Module) -> int:
    """Calibrate a rig and write what was found; returns the exit code."""
    first: list[RigFrame] = []

    def taken() -> Iterator[RigFrame]:
        for frame in islice(inputs['frames'], args.max_frames):
            if not first:
                first.append(frame)
            yield frame

    adjust = None
    if args.adjust:
        adjust = RigPriors(*args.adjust, args.adjust_focal, args.adjust_principal)
    elif args.adjust_focal or args.adjust_principal:
        raise ValueError('--adjust-focal and --adjust-principal need --adjust.')
    names, truth = inputs['names'], inputs['truth']
    found = calibrate_rig(
        model,
        taken(),
        inputs['cam2img'],
        inputs['rig2cam'],
        names,
        args.looks,
        args.intensity_scale,
        adjust=adjust,
        false_alarms=args.false_alarms,
        shared=tuple(args.shared_error),
        state=args.state,
        seed=args.seed,
        progress=lambda done: print(f'{done} frames', flush=True) if done % 10 == 0 else None,
    )
    initials, truths = ([None] * len(names) if x is None else x for x in (inputs['initial'], truth))
    estimate = found.estimate
    solved = estimate.verdict != 'failed'
    report = dict(
        config=args.config,
        checkpoint=args.checkpoint,
        looks=args.looks,
        seed=args.seed,
        covariance_scale=covariance_scale(model),
        conventions=dict(
            **CONVENTIONS,
            covariance_scale=SCALE_CONVENTION,
            rig2cam='takes the frame of the rig to the camera; lidar2rig the LiDAR frame to it',
            covariance='of xi = (rotation vector in radians, translation in metres) in the LiDAR '
            'frame: lidar2rig Exp(xi), and so lidar2cam Exp(xi) of each camera; from the residuals '
            'of the matches, times covariance_scale',
            bound_90='what the errors of rotation and translation do not exceed in 90 % of cases',
            p_value='of a deviation as large as this one if the camera has not moved',
            adjustment='with --adjust, lidar2cam and cam2img of a camera are the adjusted ones, '
            'and adjusted_covariance is theirs; all else is of the rigid rig before it',
        ),
        rig=dict(
            verdict=estimate.verdict,
            reasons=estimate.reasons,
            lidar2rig=estimate.lidar2rig.tolist() if solved else None,
            parts=describe_pose(estimate.lidar2rig) if solved else None,
            **describe_uncertainty(estimate),
            num_frames=estimate.num_frames,
            num_looks=estimate.num_looks,
            agreement=estimate.agreement,
            num_matches=estimate.num_matches,
            num_inliers=estimate.num_inliers,
            motion_between_stamps='taken out' if found.motion_known else 'not known',
            history=[
                dict(frames=number, lidar2rig=pose.tolist(), covariance=listed(covariance))
                for number, pose, covariance in found.history
            ],
        ),
        cameras={
            name: describe_rig_camera(found, found.cameras[name], initial, true)
            for name, initial, true in zip(names, initials, truths)
        },
    )
    if found.adjusted is not None:
        for name, covariance in zip(names, found.adjusted.covariance):
            report['cameras'][name]['adjusted_covariance'] = listed(covariance)
    write_text(args.out_dir / 'extrinsics.json', json.dumps(report, indent=1))
    draw_rig(args, found, inputs, first[0])
    written = []
    if solved:
        written = export(
            args,
            {name: (c.cam2img, c.lidar2cam) for name, c in found.cameras.items()},
            inputs['lidar2ego'],
        )
    print_rig(found, report)
    print(', '.join(map(str, [args.out_dir / 'extrinsics.json', *written])))
    return EXIT_CODES[estimate.verdict]


def listed(covariance: np.ndarray) -> list | None:
    return covariance.tolist() if np.isfinite(covariance).all() else None


def describe_rig_camera(
    found: RigCalibration, camera: RigCamera, initial: np.ndarray | None, truth: np.ndarray | None
) -> dict[str, Any]:
    """What extrinsics.json says of a camera of a rig."""
    solved = found.estimate.verdict != 'failed'
    motion = camera.motion
    result: dict[str, Any] = dict(
        lidar2cam=camera.lidar2cam.tolist() if solved else None,
        cam2lidar=np.linalg.inv(camera.lidar2cam).tolist() if solved else None,
        own=dict(
            lidar2cam=camera.own_lidar2cam.tolist() if motion.own.valid else None,
            covariance=listed(motion.own.covariance),
        ),
        motion=dict(
            verdict=motion.verdict,
            p_value=finite(motion.p_value),
            rotation_deg=finite(motion.rotation),
            translation_m=finite(motion.translation),
            correction=motion.correction.tolist() if motion.verdict != 'unknown' else None,
        ),
        num_matches=camera.num_matches,
        num_inliers=camera.num_inliers,
        reprojection_error_px=finite(camera.reproj_error),
        frames_without_a_match=camera.num_empty,
        cam2img=camera.cam2img.tolist(),
        image_size=dict(zip(('height', 'width'), camera.image_size)),
    )
    for name, pose in (('initial', initial), ('truth', truth)):
        if pose is None:
            continue
        if solved:
            result[f'from_{name}'] = distance(camera.lidar2cam, pose)
        if motion.own.valid:
            result['own'][f'from_{name}'] = distance(camera.own_lidar2cam, pose)
    return result


def draw_rig(
    args: argparse.Namespace, found: RigCalibration, inputs: dict[str, Any], frame: RigFrame
) -> None:
    """Overlays of each camera and of all on one sheet, ellipsoids and deviation over frames."""
    points, images = frame.load()
    solved = found.estimate.verdict != 'failed'
    rotation, translation = found.estimate.bound
    truths = inputs['truth']
    panels = {}
    for i, (name, camera) in enumerate(found.cameras.items()):
        poses = {}
        if inputs['initial'] is not None:
            poses[f'{name}, before'] = inputs['initial'][i]
        title = f'{name}, after: {found.estimate.verdict}, 90 % bound {rotation:.2f} deg, '
        title += f'{translation:.2f} m'
        poses[title if solved else f'{name}, after: failed'] = camera.lidar2cam if solved else None
        if truths is not None:
            poses[f'{name}, truth'] = truths[i]
        pictures = projections(images[i], points, poses, camera.cam2img)
        scale = max(0.5, images[i].shape[1] / 1600)
        sheet = tile(pictures, 1, list(poses), font_scale=scale)
        save_image(args.out_dir / f'overlay_{file_name(name)}.jpg', sheet)
        panels |= dict(zip(poses, pictures))
    rows = len(panels) // len(found.cameras)
    small = [
        cv2.resize(picture, (480, round(480 * picture.shape[0] / picture.shape[1])))
        for picture in panels.values()
    ]
    save_image(args.out_dir / 'overlay.jpg', tile(small, rows, list(panels)))
    if not solved:
        return
    errors = None
    if truths is not None:
        true = np.linalg.inv(inputs['rig2cam'][0]) @ truths[0]
        errors = [log_motion(np.linalg.inv(pose) @ true) for _, pose, _ in found.history]
    history = [(number, covariance) for number, _, covariance in found.history]
    plot_rig(args.out_dir / 'rig.png', found.estimate.covariance, history, errors)


def print_rig(found: RigCalibration, report: dict[str, Any]) -> None:
    estimate = found.estimate
    print(f'rig: {estimate.verdict}' + ''.join(f'; {reason}' for reason in estimate.reasons))
    if estimate.verdict != 'failed':
        rotation, translation = estimate.bound
        print(
            f'  {estimate.num_frames} frames; 90 % bound {rotation:.3f} deg, {translation:.4f} m'
            f'{unfitted(report)}; {estimate.num_inliers} inliers of {estimate.num_matches} matches'
        )
        if not found.motion_known:
            print('  motion of the vehicle between scan and images is not known, and not taken out')
    rows = [['camera', 'matches', 'inliers', 'alone', 'moved?', 'p', 'from initial', 'error']]
    for name, camera in found.cameras.items():
        described = report['cameras'][name]
        motion = camera.motion
        off = f'{motion.rotation:.2f} deg, {motion.translation:.3f} m'
        rows.append(
            [
                name,
                camera.num_matches,
                camera.num_inliers,
                off if math.isfinite(motion.rotation) else '',
                motion.verdict,
                f'{motion.p_value:.2g}' if math.isfinite(motion.p_value) else '',
                *(words(described.get(key)) for key in ('from_initial', 'from_truth')),
            ]
        )
    print(AsciiTable(rows).table)


def words(gap: dict[str, float] | None) -> str:
    return '' if gap is None else f'{gap["rotation_deg"]:.2f} deg, {gap["translation_m"]:.3f} m'


def covariance_scale(model: torch.nn.Module) -> float | None:
    """The factor that is fitted to the errors of a model, or None."""
    solver = model.calib_head.rig_solver
    return None if solver is None else solver.inflation


def unfitted(report: dict) -> str:
    """What qualifies a bound that is not fitted to the errors of the model."""
    return ' (too small: no scale is fitted)' if report['covariance_scale'] is None else ''


def print_camera(name: str, found: CameraCalibration, report: dict) -> None:
    described = report['cameras'][name]
    print(f'{name}: {found.verdict}' + ''.join(f'; {reason}' for reason in found.reasons))
    if described['lidar2cam'] is None:
        return
    parts = described['parts']['cam2lidar']
    rotation, translation = found.bound
    x, y, z = parts['translation_m']
    angles = ', '.join(f'{key} {value:.2f}' for key, value in parts['euler_deg'].items())
    print(f'  camera in the LiDAR frame: x {x:.3f}, y {y:.3f}, z {z:.3f} m; {angles} deg')
    print(
        f'  90 % bound {rotation:.2f} deg, {translation:.3f} m{unfitted(report)}; '
        f'{found.num_inliers} inliers of {found.num_matches} matches, {found.reproj_error:.1f} px'
    )
    gaps = {
        'from the initial pose': described.get('from_initial'),
        'error': described.get('from_truth'),
    }
    refinement = described.get('refinement')
    if refinement is not None:
        if refinement['reason']:
            print(f'  not refined: {refinement["reason"]}')
        else:
            number = 'frame' if found.num_frames == 1 else 'frames'
            warn = f'; fewer than {ENOUGH_FRAMES} may mislead'
            warn = warn if found.num_frames < ENOUGH_FRAMES else ''
            print(f'  refined with edges of {found.num_frames} {number}{warn}')
            gaps['refined by'] = refinement['moved_by']
            gaps['error before refining'] = refinement.get('from_truth_before')
    for words, gap in gaps.items():
        if gap is not None:
            print(f'  {words}: {gap["rotation_deg"]:.2f} deg, {gap["translation_m"]:.3f} m')


if __name__ == '__main__':
    sys.exit(main())
