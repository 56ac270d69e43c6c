"""How well the cameras of each sample are calibrated."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmdet3d.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement
from terminaltables import AsciiTable
from torch import Tensor

from nclr_mm.geometry import (
    in_image,
    is_rigid,
    pixel_occupancy,
    project,
    scale_intrinsics,
    transform_points,
)
from nclr_mm.writing import write_whole

from .counts import MatchCounts, OverlapCounts
from .pose_error import pose_errors

__all__ = ['CalibrationMetric']


@dataclass(frozen=True)
class PoseResult:
    """Errors of one pose of one camera."""

    failed: bool
    rotation: float  # degrees; means nothing where the pose failed
    translation: float  # metres; likewise


@dataclass(frozen=True)
class CameraResult:
    """What is kept of one camera: scalars and counts alone, cheap to send between processes."""

    camera: str
    pose: PoseResult
    rig: PoseResult | None  # from the joint pose of all cameras; None where there is none
    initial_rotation_error: float | None  # degrees; None without a known perturbation
    initial_translation_error: float | None  # metres
    num_matches: int
    num_inliers: int
    reproj_error: float  # pixels
    points: OverlapCounts
    pixels: OverlapCounts
    matches: MatchCounts


@METRICS.register_module()
class CalibrationMetric(BaseMetric):
    """Errors of the predicted poses, of the overlap scores and of the matches.

    Poses. A pose *failed* where the model says so (``valid`` is False) or where the matrix is not
    a finite rigid motion. Nothing is filtered: in means and medians a failed pose counts as
    180 degrees and ``failure_translation`` metres, in each recall as a miss, and the share of
    failures stands beside them. The errors are those of :func:`pose_errors`. ``initial/*`` are the
    errors of the pose known before the perturbation, ``lidar2cam @ T``: what a model that does
    nothing would reach.

    Poses of single cameras (``camera/*``) stand beside those of the rig (``rig/*``): where the
    cameras' relative poses are known, the prediction holds one motion from the matches of all
    cameras, which gives each camera a pose too, also one without a match of its own.

    Overlap, with ``threshold`` on the scores, over all points and all cells of all cameras at
    once. A point truly overlaps when it projects into the image, in front of the camera; a cell of
    the feature map when such a point of ``pred_calib.voxels`` falls on it. Hidden points count.

    Matches: distance between the matched pixel and the true projection of the matched point, in
    pixels of the network input image; infinite for a point behind the camera.

    Metrics: ``camera/{rot_err,trans_err}_{mean,median}`` (degrees, metres),
    ``camera/recall@5deg_2m`` and so on, ``camera/failed``, ``camera/num_poses``, the same with
    ``rig/`` over the samples that have a rig's pose,
    ``initial/{rot_err,trans_err}_{mean,median}`` (where the samples hold ``perturbation``),
    ``overlap/{point,pixel}_{precision,recall,f1}``, ``match/within_1px`` and so on, and
    ``match/num_mean`` (matches a camera).

    Args:
        recall_thresholds: pairs (degrees, metres); a pose is recalled when both errors are at
            most these. The last three of the defaults are those in use in the literature; the first
            two are what a calibration wants.
        match_thresholds: in pixels of the network input image.
        threshold: a point or a cell with a greater score counts as overlapping.
        failure_translation: translation error in metres that a failed pose counts as.
        outfile: JSON file for one row a pose (errors null where the pose failed), or None.
        collect_device, collect_dir: see mmengine's ``BaseMetric``.
        prefix: put before all names, or None.

    Raises:
        ValueError: if an argument does not fit.
    """

    def __init__(
        self,
        recall_thresholds: Sequence[tuple[float, float]] = (
            (0.2, 0.05),
            (1, 0.2),
            (5, 2),
            (10, 5),
            (45, 10),
        ),
        match_thresholds: Sequence[float] = (1, 3, 5),
        threshold: float = 0.5,
        failure_translation: float = 20.0,
        outfile: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        # The names hold their groups already; mmengine warns about an absent prefix.
        super().__init__(collect_device, prefix or 'camera', collect_dir)
        self.prefix = prefix
        for pair in recall_thresholds:
            if len(pair) != 2 or min(pair) <= 0:
                raise ValueError(
                    'recall_thresholds must be pairs of positive numbers (degrees, metres), '
                    f'got {pair}.'
                )
        if any(limit <= 0 for limit in match_thresholds):
            raise ValueError(f'match_thresholds must be positive, got {match_thresholds}.')
        if not 0 < threshold < 1:
            raise ValueError(f'threshold must lie in (0, 1), got {threshold}.')
        if failure_translation < 0:
            raise ValueError(
                f'failure_translation must not be negative, got {failure_translation}.'
            )
        if outfile is not None and not str(outfile).endswith('.json'):
            raise ValueError(f"outfile must end with '.json', got {outfile!r}.")
        self.recall_thresholds = [tuple(map(float, pair)) for pair in recall_thresholds]
        self.match_thresholds = [float(limit) for limit in match_thresholds]
        self.threshold = threshold
        self.failure_translation = float(failure_translation)
        self.outfile = outfile

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Reduce each sample to the errors and counts of its cameras.

        Args:
            data_batch: not used.
            data_samples: dicts with ``pred_calib``, ``lidar2cam`` (V, 4, 4) and ``cam2img``
                (V, 3, 3), and if known ``sample_idx``, ``repeat_idx`` (which repeat of the sample),
                ``cam_names`` and ``perturbation`` (4, 4).

        Raises:
            ValueError: if a field is missing or of the wrong shape.
        """
        # One entry a sample, not a camera: mmengine cuts the list to the length of the data set.
        for sample in data_samples:
            name = {key: _plain(sample.get(key)) for key in ('sample_idx', 'repeat_idx')}
            self.results.append((name, self._cameras(sample)))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Aggregate, log a table and write ``outfile``.

        Args:
            results: what :meth:`process` kept, of all processes.

        Returns:
            The metrics by name.

        Raises:
            ValueError: if there is not a single camera.
        """
        cameras = [camera for _, sample in results for camera in sample]
        if not cameras:
            raise ValueError('CalibrationMetric: no camera was evaluated; the data set is empty.')
        metrics = self._poses('camera', [c.pose for c in cameras])
        rigs = [c.rig for c in cameras if c.rig is not None]
        if rigs:
            metrics |= self._poses('rig', rigs)

        known = [c for c in cameras if c.initial_rotation_error is not None]
        if known:
            metrics |= _mean_median(
                'initial',
                np.array([c.initial_rotation_error for c in known]),
                np.array([c.initial_translation_error for c in known]),
            )
        for name in ('point', 'pixel'):
            counts = sum((getattr(c, f'{name}s') for c in cameras), start=OverlapCounts())
            metrics |= {f'overlap/{name}_{key}': value for key, value in counts.rates().items()}
        none = MatchCounts(0, (0,) * len(self.match_thresholds))
        matches = sum((c.matches for c in cameras), start=none)
        for limit, share in zip(self.match_thresholds, matches.shares()):
            metrics[f'match/within_{limit:g}px'] = share
        metrics['match/num_mean'] = matches.total / len(cameras)

        print_log(self._table(metrics), logger='current')
        if self.outfile is not None:
            _write_rows(self.outfile, results)
        return metrics

    def _poses(self, group: str, poses: list[PoseResult]) -> dict[str, float]:
        """Errors, recalls and failures of poses, their names beginning with the group."""
        failed = np.array([pose.failed for pose in poses])
        rotation = np.where(failed, 180.0, [pose.rotation for pose in poses])
        translation = np.where(
            failed, self.failure_translation, [pose.translation for pose in poses]
        )
        metrics = _mean_median(group, rotation, translation)
        for degrees, metres in self.recall_thresholds:
            reached = ~failed & (rotation <= degrees) & (translation <= metres)
            metrics[f'{group}/recall@{degrees:g}deg_{metres:g}m'] = float(reached.mean())
        metrics[f'{group}/failed'] = float(failed.mean())
        metrics[f'{group}/num_poses'] = len(poses)
        return metrics

    def _cameras(self, sample: dict) -> list[CameraResult]:
        pred = _field(sample, 'pred_calib', 'data sample')
        if isinstance(pred, BaseDataElement):
            pred = pred.to_dict()
        true = _tensor(sample, 'lidar2cam', 'data sample', (None, 4, 4))
        number = len(true)
        cam2img = _tensor(sample, 'cam2img', 'data sample', (number, 3, 3))
        poses = _tensor(pred, 'lidar2cam', 'pred_calib', (number, 4, 4))
        valid = _tensor(pred, 'valid', 'pred_calib', (number,)).bool()
        own = _pose_results(poses, valid, true)
        rig: list[PoseResult | None] = [None] * number
        if pred.get('rig_lidar2cam') is not None:
            poses = _tensor(pred, 'rig_lidar2cam', 'pred_calib', (number, 4, 4))
            valid = _tensor(pred, 'rig_valid', 'pred_calib', ()).bool().expand(number)
            rig = _pose_results(poses, valid, true)
        initial_rotation, initial_translation = [None] * number, [None] * number
        if sample.get('perturbation') is not None:
            before = true @ _tensor(sample, 'perturbation', 'data sample', (4, 4))
            initial_rotation, initial_translation = (x.tolist() for x in pose_errors(before, true))

        points, pixels = self._overlap(pred, true, cam2img)
        matches = self._matches(pred, true, cam2img)
        num_inliers = _tensor(pred, 'num_inliers', 'pred_calib', (number,)).int().tolist()
        reproj_error = _tensor(pred, 'reproj_error', 'pred_calib', (number,)).tolist()
        names = sample.get('cam_names')
        return [
            CameraResult(
                camera=str(names[i]) if names is not None else str(i),
                pose=own[i],
                rig=rig[i],
                initial_rotation_error=initial_rotation[i],
                initial_translation_error=initial_translation[i],
                num_matches=matches[i].total,
                num_inliers=num_inliers[i],
                reproj_error=reproj_error[i],
                points=points[i],
                pixels=pixels[i],
                matches=matches[i],
            )
            for i in range(number)
        ]

    def _overlap(
        self, pred: dict, true: Tensor, cam2img: Tensor
    ) -> tuple[list[OverlapCounts], list[OverlapCounts]]:
        number = len(true)
        points = _tensor(pred, 'points', 'pred_calib', (None, 3))
        point_scores = _tensor(pred, 'point_scores', 'pred_calib', (number, len(points)))
        pixel_scores = _tensor(pred, 'pixel_scores', 'pred_calib', (number, None, None))
        height, width = _field(pred, 'img_shape', 'pred_calib')[:2]
        h, w = pixel_scores.shape[1:]
        seen = in_image(*project(transform_points(true, points), cam2img), height, width)
        # Which cells are hit is asked of all voxels, as in training, not of those drawn alone.
        cam = transform_points(true, _tensor(pred, 'voxels', 'pred_calib', (None, 3)))
        cells, depth = project(cam, scale_intrinsics(cam2img, w / width, h / height))
        occupied = pixel_occupancy(cells, in_image(cells, depth, h, w), h, w)
        points_found, pixels_found = point_scores > self.threshold, pixel_scores > self.threshold
        return (
            [OverlapCounts.of(*pair) for pair in zip(points_found, seen)],
            [OverlapCounts.of(*pair) for pair in zip(pixels_found, occupied)],
        )

    def _matches(self, pred: dict, true: Tensor, cam2img: Tensor) -> list[MatchCounts]:
        number = len(true)
        points = _tensor(pred, 'match_points', 'pred_calib', (number, None, 3))
        pixels = _tensor(pred, 'match_pixels', 'pred_calib', (number, points.shape[1], 2))
        mask = _tensor(pred, 'match_mask', 'pred_calib', (number, points.shape[1])).bool()
        uv, depth = project(transform_points(true, points), cam2img)
        errors = torch.linalg.vector_norm(uv - pixels, dim=-1)
        errors = errors.masked_fill(depth <= 0, torch.inf)
        return [MatchCounts.of(e[m], self.match_thresholds) for e, m in zip(errors, mask)]

    def _table(self, metrics: dict[str, float]) -> str:
        def row(name: str, *keys: str, digits: int = 3) -> list[str]:
            return [name, *(f'{metrics[key]:.{digits}f}' for key in keys)]

        kinds = ('rot_err_mean', 'rot_err_median', 'trans_err_mean', 'trans_err_median')
        poses = [['pose', 'rot mean (deg)', 'rot median', 'trans mean (m)', 'trans median']]
        if 'initial/rot_err_mean' in metrics:
            poses.append(row('before', *(f'initial/{kind}' for kind in kinds)))
        groups = dict(camera='each camera', rig='rig')
        groups = {key: name for key, name in groups.items() if f'{key}/failed' in metrics}
        poses += [row(name, *(f'{key}/{kind}' for kind in kinds)) for key, name in groups.items()]
        recalls = [key.split('/')[1] for key in metrics if key.startswith('camera/recall@')]
        shares = [key for key in metrics if key.startswith('match/within_')]
        rates = [
            ['recall', *(key.split('@')[1].replace('_', ', ') for key in recalls), 'failed'],
            *(
                row(name, *(f'{key}/{recall}' for recall in [*recalls, 'failed']))
                for key, name in groups.items()
            ),
        ]
        overlaps = [['overlap', 'precision', 'recall', 'F1']]
        for name in ('point', 'pixel'):
            keys = (f'overlap/{name}_{key}' for key in ('precision', 'recall', 'f1'))
            overlaps.append(row(f'{name}s', *keys))
        matches = [
            ['matches', *(key.split('_')[1] for key in shares), 'a camera'],
            row('share of matches', *shares) + [f'{metrics["match/num_mean"]:.0f}'],
        ]
        tables = '\n'.join(AsciiTable(rows).table for rows in (poses, rates, overlaps, matches))
        return f'Calibration of {metrics["camera/num_poses"]} poses\n{tables}'


def _mean_median(group: str, rotation: np.ndarray, translation: np.ndarray) -> dict[str, float]:
    return {
        f'{group}/{name}_{kind}': float(function(values))
        for name, values in (('rot_err', rotation), ('trans_err', translation))
        for kind, function in (('mean', np.mean), ('median', np.median))
    }


def _pose_results(poses: Tensor, valid: Tensor, true: Tensor) -> list[PoseResult]:
    """Compare poses (V, 4, 4) with the true ones; what is no rigid motion has failed."""
    failed = ~(valid & is_rigid(poses))
    # Errors of NaN matrices would be NaN, and are not looked at.
    poses = torch.where(failed[:, None, None], torch.eye(4, dtype=poses.dtype), poses)
    rotation, translation = pose_errors(poses, true)
    return list(map(PoseResult, failed.tolist(), rotation.tolist(), translation.tolist()))


def _field(container: dict, name: str, owner: str) -> Any:
    if container.get(name) is None:
        raise ValueError(f'CalibrationMetric: {owner} has no field {name!r}.')
    return container[name]


def _tensor(container: dict, name: str, owner: str, shape: tuple[int | None, ...]) -> Tensor:
    """A field as a float64 CPU tensor of the given shape, where None stands for any length."""
    value = _field(container, name, owner)
    if not isinstance(value, Tensor):
        value = torch.from_numpy(np.asarray(value, dtype=np.float64))
    fits = len(value.shape) == len(shape) and all(
        want in (None, have) for want, have in zip(shape, value.shape)
    )
    if not fits:
        wanted = ', '.join('*' if want is None else str(want) for want in shape)
        raise ValueError(
            f'CalibrationMetric: {name} of {owner} must have the shape ({wanted}), '
            f'got {tuple(value.shape)}.'
        )
    return value.detach().to('cpu', torch.float64)


def _plain(value: Any) -> Any:
    """NumPy's scalars as Python's, for JSON."""
    return value.item() if isinstance(value, np.generic) else value


def _rig_row(rig: PoseResult) -> dict[str, Any]:
    return dict(
        rig_failed=rig.failed,
        rig_rot_err=None if rig.failed else rig.rotation,
        rig_trans_err=None if rig.failed else rig.translation,
    )


def _write_rows(outfile: str, results: list) -> None:
    rows = []
    for name, cameras in results:
        for c in cameras:
            rows.append(
                dict(
                    **name,
                    camera=c.camera,
                    failed=c.pose.failed,
                    rot_err=None if c.pose.failed else c.pose.rotation,
                    trans_err=None if c.pose.failed else c.pose.translation,
                    initial_rot_err=c.initial_rotation_error,
                    initial_trans_err=c.initial_translation_error,
                    num_matches=c.num_matches,
                    num_inliers=c.num_inliers,
                    reproj_error=c.reproj_error if np.isfinite(c.reproj_error) else None,
                    **({} if c.rig is None else _rig_row(c.rig)),
                )
            )
    write_whole(outfile, json.dumps(rows, indent=1).encode())
