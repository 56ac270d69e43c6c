"""Calibrate cameras against a LiDAR: scans and images in, extrinsics and pictures out.

Writes extrinsics.json, a picture of each camera with the LiDAR projected before and after, and on
request the files of KITTI, nuScenes and ROS. Exits with 0 where every camera is ok, 3 where one is
doubtful, 4 where one has failed, 2 where the input is wrong.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

import nclr_mm  # noqa: F401 (applies workarounds, registers components)
from nclr_mm.apis import CameraCalibration, calibrate, init_model
from nclr_mm.calibration import (
    Intrinsics,
    describe_pose,
    kitti_calib,
    nuscenes_calibrated_sensor,
    pose_distance,
    read_extrinsics,
    read_intrinsics,
    ros_static_transforms,
)
from nclr_mm.datasets.checks import check_size, read_image
from nclr_mm.datasets.scans import read_scan
from nclr_mm.engine.command_line import make_folder, report_user_errors
from nclr_mm.visualization import file_name, project_overlay, save_image, tile
from nclr_mm.visualization.report import write_text

EXIT_CODES = {'ok': 0, 'doubtful': 3, 'failed': 4}
EXPORTS = ('kitti', 'nuscenes', 'ros')
# Frames that edges are aligned in with confidence.
ENOUGH_FRAMES = 5


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of the model; a Python program, which runs')
    parser.add_argument('checkpoint', help='its weights')
    parser.add_argument(
        '--points',
        nargs='+',
        required=True,
        metavar='SCAN',
        help='.bin, .npy, .pcd, .ply, .las, .laz; several scans of the same rig give one estimate',
    )
    parser.add_argument(
        '--image',
        nargs='+',
        action='append',
        required=True,
        metavar='IMAGE',
        help='of one camera, as many as scans and in their order; once for each camera',
    )
    parser.add_argument(
        '--intrinsics',
        required=True,
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
    return parser.parse_args(argv)


def read_inputs(args: argparse.Namespace) -> dict[str, Any]:
    """Scans, images without distortion, intrinsics and poses, checked against each other."""
    numbers = [len(paths) for paths in args.image]
    if any(number != len(args.points) for number in numbers):
        raise ValueError(
            f'--image must name an image for each of the {len(args.points)} scans, got {numbers}.'
        )
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
        scans=[read_scan(path, args.columns) for path in args.points],
        images=frames,
        cam2img=np.stack([known[name].cam2img for name in names]),
        initial=read_poses(args.initial, names),
        truth=read_poses(args.truth, names),
        lidar2ego=None if args.lidar2ego is None else read_matrix(args.lidar2ego),
    )


def read_camera(intrinsics: Intrinsics, path: str) -> np.ndarray:
    """An image without distortion, of the size that its intrinsics are for."""
    image = read_image(path)
    if intrinsics.size is not None:
        check_size(image, intrinsics.size, path)
    return intrinsics.undistort(image)


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
    rotation, translation = found.deviation if solved else (math.inf, math.inf)
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
        deviation=dict(rotation_deg=finite(rotation), translation_m=finite(translation)),
        covariance=found.covariance.tolist()
        if solved and np.isfinite(found.covariance).all()
        else None,
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


def distance(pose: np.ndarray, other: np.ndarray) -> dict[str, float]:
    degrees, metres = pose_distance(pose, other)
    return dict(rotation_deg=degrees, translation_m=metres)


def finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def overlay(
    found: CameraCalibration, points: np.ndarray, image: np.ndarray, truth: np.ndarray | None
) -> np.ndarray:
    """The image of a camera with the LiDAR projected before, after, and truly."""
    image = np.ascontiguousarray(image[:, :, ::-1])
    radius = max(1, round(image.shape[1] / 800))
    panels = {}
    if found.initial is not None:
        panels['before'] = found.initial
    solved = np.isfinite(found.reproj_error)
    rotation, translation = found.deviation
    if not solved:
        title = 'after: no pose was found'
    elif found.verdict == 'failed':
        title = 'after: failed, a pose that is not to be used'
    else:
        title = f'after: {found.verdict}, looks spread by {rotation:.2f} deg, {translation:.2f} m'
    panels[title] = found.lidar2cam if solved else None
    if truth is not None:
        panels['truth'] = truth
    pictures = [
        image
        if pose is None
        else project_overlay(image, points[:, :3], pose, found.cam2img, radius=radius)
        for pose in panels.values()
    ]
    return tile(pictures, 1, list(panels), font_scale=max(0.5, image.shape[1] / 1600))


def export(args: argparse.Namespace, found: dict[str, CameraCalibration], lidar2ego) -> list[Path]:
    """Write the forms of other programs; cameras that failed are left out."""
    solved = {name: c for name, c in found.items() if c.verdict != 'failed'}
    if not solved:
        if args.export:
            print('No camera has a pose: nothing was written for other programs.')
        return []
    texts = {}
    if 'kitti' in args.export:
        for name, camera in solved.items():
            texts[f'calib_{file_name(name)}.txt'] = kitti_calib(camera.cam2img, camera.lidar2cam)
    if 'nuscenes' in args.export:
        pairs = {name: (c.cam2img, c.lidar2cam) for name, c in solved.items()}
        records = nuscenes_calibrated_sensor(pairs, lidar2ego=lidar2ego)
        texts['calibrated_sensor.json'] = json.dumps(records, indent=1)
    if 'ros' in args.export:
        transforms = ros_static_transforms({name: c.lidar2cam for name, c in solved.items()})
        texts['static_transforms.yaml'] = yaml.safe_dump(transforms, sort_keys=False)
    for name, text in texts.items():
        write_text(args.out_dir / name, text)
    return [args.out_dir / name for name in texts]


def remove_earlier(args: argparse.Namespace, names: Sequence[str]) -> None:
    """Remove what an earlier run wrote of these cameras, lest it pass for a result of this one."""
    cameras = [file_name(name) for name in names]
    for name in (
        *('extrinsics.json', 'calibrated_sensor.json', 'static_transforms.yaml'),
        *(f'overlay_{camera}.jpg' for camera in cameras),
        *(f'calib_{camera}.txt' for camera in cameras),
    ):
        (args.out_dir / name).unlink(missing_ok=True)


def prepare(args: argparse.Namespace) -> tuple[dict[str, Any], torch.nn.Module]:
    """Inputs and model; what is wrong with them is found here."""
    if args.looks < 1:
        raise ValueError(f'--looks must be at least 1, got {args.looks}.')
    if args.seed < 0:
        raise ValueError(f'--seed must not be negative, got {args.seed}.')
    if not math.isfinite(args.intensity_scale):
        raise ValueError(f'--intensity-scale must be a number, got {args.intensity_scale}.')
    inputs = read_inputs(args)
    model = init_model(args.config, args.checkpoint, args.device)
    if not hasattr(model, 'calib_head'):
        raise ValueError(f'{args.config} is of a {type(model).__name__}, which does not calibrate.')
    make_folder(args.out_dir)
    remove_earlier(args, inputs['names'])
    return inputs, model


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    inputs, model = report_user_errors(lambda: prepare(args))
    found = calibrate(
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
    truths = dict(zip(found, [None] * len(found) if inputs['truth'] is None else inputs['truth']))
    report = dict(
        config=args.config,
        checkpoint=args.checkpoint,
        scans=args.points,
        images=dict(zip(inputs['names'], args.image)),
        looks=args.looks,
        seed=args.seed,
        conventions=dict(
            lidar='frame of the scans, metres',
            camera='x right, y down, z forward, metres',
            lidar2cam='takes points of the LiDAR frame to the camera frame; cam2lidar back',
            euler_deg='roll, pitch, yaw in R = Rz(yaw) Ry(pitch) Rx(roll)',
            covariance='of xi = (rotation vector in radians, translation in metres) in the LiDAR '
            'frame: lidar2cam Exp(xi); from the spread over the looks, which knows nothing of an '
            'error that all of them share',
            cam2img='of the images after their distortion was taken out',
            refinement='moves lidar2cam alone: verdict, covariance, inliers and reprojection error '
            'are of the pose before it',
        ),
        cameras={name: describe(camera, truths[name]) for name, camera in found.items()},
    )
    write_text(args.out_dir / 'extrinsics.json', json.dumps(report, indent=1))
    for i, (name, camera) in enumerate(found.items()):
        picture = overlay(camera, inputs['scans'][0], inputs['images'][0][i], truths[name])
        save_image(args.out_dir / f'overlay_{file_name(name)}.jpg', picture)
        print_camera(name, camera, report['cameras'][name])
    written = export(args, found, inputs['lidar2ego'])
    print(', '.join(map(str, [args.out_dir / 'extrinsics.json', *written])))
    return max(EXIT_CODES[camera.verdict] for camera in found.values())


def print_camera(name: str, found: CameraCalibration, described: dict) -> None:
    print(f'{name}: {found.verdict}' + ''.join(f'; {reason}' for reason in found.reasons))
    if described['lidar2cam'] is None:
        return
    parts = described['parts']['cam2lidar']
    rotation, translation = found.deviation
    x, y, z = parts['translation_m']
    angles = ', '.join(f'{key} {value:.2f}' for key, value in parts['euler_deg'].items())
    print(f'  camera in the LiDAR frame: x {x:.3f}, y {y:.3f}, z {z:.3f} m; {angles} deg')
    print(
        f'  spread {rotation:.2f} deg, {translation:.3f} m; {found.num_inliers} inliers of '
        f'{found.num_matches} matches, {found.reproj_error:.1f} px'
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
