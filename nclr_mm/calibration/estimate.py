"""One pose from the matches of several looks at a rig, its uncertainty, and a verdict.

A *look* is one pass of the network over one frame. Frames differ in what they show; several looks
at one frame differ in how the points were moved before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.transform import Rotation
from scipy.stats import chi2

from nclr_mm.models.task_modules import PoseSolver, RigMatches, RigSolver, refine_pose

__all__ = [
    'DEFAULT_THRESHOLDS',
    'Estimate',
    'Findings',
    'Matches',
    'Thresholds',
    'error_bound',
    'estimate_pose',
    'pose_distance',
]


@dataclass
class Matches:
    """Matches of one camera.

    Attributes:
        points: (M, 3) LiDAR points in metres.
        pixels: (M, 2) pixels (u, v) of the image that the camera matrix is of.
        look: (M,) int, the look that a match is from.
    """

    points: np.ndarray
    pixels: np.ndarray
    look: np.ndarray

    @classmethod
    def join(cls, looks: Sequence[tuple[np.ndarray, np.ndarray]]) -> Matches:
        """Join points and pixels of each look, which may be empty."""
        return cls(
            np.concatenate([np.zeros((0, 3)), *(points for points, _ in looks)]),
            np.concatenate([np.zeros((0, 2)), *(pixels for _, pixels in looks)]),
            np.repeat(np.arange(len(looks)), [len(points) for points, _ in looks]),
        )


@dataclass(frozen=True)
class Thresholds:
    """What a pose must be like to be ``ok``, or not to be ``failed``.

    Attributes:
        agreement_ok, agreement_failed: share of the looks whose own pose is near the joint one: at
            least the one for ``ok``, less than the other for ``failed``.
        agreement_rotation, agreement_translation: what is near, degrees and metres.
        rotation, translation: largest :attr:`Findings.bound` for ``ok``, degrees and metres.
        inliers: least number of inliers a look for ``ok``.
        looks: fewer cannot contradict the joint pose, which is solved from them.
        distance: of a camera from the LiDAR, metres; a pose farther away is not ``ok``.
    """

    agreement_ok: float = 0.75
    agreement_failed: float = 0.25
    agreement_rotation: float = 5.0
    agreement_translation: float = 2.0
    rotation: float = 3.0
    translation: float = 1.0
    inliers: float = 30.0
    looks: int = 3
    distance: float = 10.0


DEFAULT_THRESHOLDS = Thresholds()


@dataclass
class Findings:
    """What is known of a pose beside the pose.

    Attributes:
        covariance: (6, 6) of a small motion xi = (rotation vector in radians, translation in
            metres) in the LiDAR's frame, ``pose Exp(xi)``; infinite if there is no pose, or too few
            matches to estimate it.
        num_matches, num_inliers: of all looks.
        reproj_error: root mean square over the inliers in pixels; inf if there is no pose.
        num_looks: how many looks there were.
        agreement: share of the looks whose own pose is near the joint one.
        verdict: ``ok``, ``doubtful`` or ``failed``.
        reasons: why it is not ``ok``.
    """

    covariance: np.ndarray = field(default_factory=lambda: np.full((6, 6), np.inf))
    num_matches: int = 0
    num_inliers: int = 0
    reproj_error: float = float('inf')
    num_looks: int = 0
    agreement: float = 0.0
    verdict: str = 'failed'
    reasons: list[str] = field(default_factory=list)

    @property
    def bound(self) -> tuple[float, float]:
        """The :func:`error_bound` of the covariance, degrees and metres."""
        return error_bound(self.covariance)

    @property
    def deviation(self) -> tuple[float, float]:
        """Standard deviation of the rotation (degrees) and of the translation (metres).

        Each is the root of the summed variances of the three axes.
        """
        variances = np.diag(self.covariance)
        return float(np.rad2deg(np.sqrt(variances[:3].sum()))), float(np.sqrt(variances[3:].sum()))

    def judge_distance(self, lidar2cam: np.ndarray, thresholds: Thresholds) -> None:
        """Note where a camera, (..., 4, 4), is farther from the LiDAR than a vehicle is long."""
        distance = float(np.linalg.norm(lidar2cam[..., :3, 3], axis=-1).max())
        if distance > thresholds.distance:
            self.reasons.append(f'a camera would be {distance:.1f} m from the LiDAR')

    def judge(
        self,
        pose: np.ndarray,
        look_poses: Sequence[np.ndarray | None],
        inliers_a_look: float,
        thresholds: Thresholds,
    ) -> None:
        """Fill in agreement, verdict and reasons.

        Args:
            pose: (4, 4) the joint pose.
            look_poses: (4, 4) that each look gave on its own, or None where it gave none.
            inliers_a_look: how many.
            thresholds: of the verdict.
        """
        near = [
            other is not None and _within(pose_distance(pose, other), thresholds)
            for other in look_poses
        ]
        self.num_looks = len(look_poses)
        self.agreement = float(np.mean(near)) if near else 0.0
        rotation, translation = self.bound
        agreeing = f'{self.agreement:.0%} of {self.num_looks} looks agree with the joint pose'
        if self.agreement < thresholds.agreement_failed:
            self.reasons.append(f'only {agreeing}')
            return
        if self.agreement < thresholds.agreement_ok:
            self.reasons.append(agreeing)
        if self.num_looks < thresholds.looks:
            self.reasons.append(
                f'fewer than {thresholds.looks} looks, which cannot tell whether they agree'
            )
        if not np.isfinite(rotation):
            self.reasons.append('the matches are too few to estimate how exact the pose is')
        elif rotation > thresholds.rotation or translation > thresholds.translation:
            self.reasons.append(
                f'in 10 % of such cases the errors exceed {rotation:.2f} deg or {translation:.2f} m'
            )
        if inliers_a_look < thresholds.inliers:
            self.reasons.append(f'only {inliers_a_look:.0f} inliers a look')
        self.verdict = 'doubtful' if self.reasons else 'ok'


@dataclass
class Estimate(Findings):
    """The pose of a camera, and what is known of it.

    Attributes:
        lidar2cam: (4, 4) float64, takes LiDAR points to the camera (metres); identity if there
            is no pose. One that failed may hold a pose, which is not to be used.
    """

    lidar2cam: np.ndarray = field(default_factory=lambda: np.eye(4))


def error_bound(covariance: np.ndarray) -> tuple[float, float]:
    """Rotation (degrees) and translation (metres) that errors of a pose exceed in 10 % of cases.

    Errors are assumed to be normal. The square of the length of three correlated errors is
    approximated by a scaled chi-squared variable of the same mean and variance (Satterthwaite,
    Biometrics Bulletin 2, 1946).

    Args:
        covariance: (6, 6) of xi = (rotation vector in radians, translation in metres).
    """
    rotation, translation = (_length_quantile(covariance[i : i + 3, i : i + 3]) for i in (0, 3))
    return float(np.rad2deg(rotation)), translation


def _length_quantile(covariance: np.ndarray) -> float:
    """The 90 % quantile of the length of a normal vector (3,) of mean 0; inf if not known."""
    mean, square = np.trace(covariance), np.sum(covariance**2)
    if not np.isfinite(mean) or not mean:
        return float(mean)
    # A chi-squared variable of k degrees of freedom has the mean k and the variance 2 k.
    return float(np.sqrt(square / mean * chi2.ppf(0.9, mean**2 / square)))


def pose_distance(pose: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Angle (degrees) and distance of the translations (metres) of two ``lidar2cam``, as in the
    metric."""
    rotation = Rotation.from_matrix(pose[:3, :3].T @ other[:3, :3]).magnitude()
    return float(np.rad2deg(rotation)), float(np.linalg.norm(pose[:3, 3] - other[:3, 3]))


def estimate_pose(
    matches: Matches,
    look_poses: Sequence[np.ndarray | None],
    cam2img: np.ndarray,
    image_size: tuple[int, int] | None,
    solver: PoseSolver,
    rig_solver: RigSolver,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
) -> Estimate:
    """Solve one pose from all matches together.

    The covariance is that of a rig with one camera (:meth:`RigSolver.covariance`): each part of the
    image counts as one observation, whatever the number of looks and frames, since a network errs
    alike on all of them. A bootstrap over the looks, which are all of the same frames, was smaller
    than the true errors by a factor of 3.9 in the median (docs/results.md).

    Args:
        matches: of all looks.
        look_poses: ``lidar2cam`` (4, 4) that each look gave on its own, or None where it gave none.
        cam2img: (3, 3).
        image_size: (height, width) of the image; if given, matches outside it are left out. Without
            it matches count as independent of each other in the covariance, which is too small.
        solver: finds the pose.
        rig_solver: gives the covariance.
        thresholds: of the verdict.
    """
    number = len(look_poses)
    result = Estimate(num_matches=len(matches.points), num_looks=number)
    found = solver.solve(matches.points, matches.pixels, cam2img, image_size)
    if not found.valid:
        result.reasons.append(f'no pose explains the {result.num_matches} matches')
        return result
    # The covariance is that of the minimum of this loss.
    pose = refine_pose(
        matches.points, matches.pixels, cam2img, found.lidar2cam, solver.max_error / 2
    )
    errors = _errors(matches, cam2img, pose)
    inliers = errors <= solver.max_error
    if not inliers.any():
        result.reasons.append('the refined pose explains no match')
        return result
    result.lidar2cam = pose
    result.num_inliers = int(inliers.sum())
    result.reproj_error = float(np.sqrt(np.mean(errors[inliers] ** 2)))
    view = RigMatches(matches.points, matches.pixels, np.zeros(len(matches.points), dtype=int))
    result.covariance, _ = rig_solver.covariance(
        view, cam2img[None], np.eye(4)[None], pose, image_size
    )
    result.judge_distance(pose, thresholds)
    result.judge(pose, look_poses, result.num_inliers / max(number, 1), thresholds)
    return result


def _within(distance: tuple[float, float], thresholds: Thresholds) -> bool:
    return (
        distance[0] <= thresholds.agreement_rotation
        and distance[1] <= thresholds.agreement_translation
    )


def _errors(matches: Matches, cam2img: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Distance (M,) in pixels of each match from where the pose projects it; inf behind it."""
    cam = matches.points @ pose[:3, :3].T + pose[:3, 3]
    image = cam @ cam2img.T
    with np.errstate(divide='ignore', invalid='ignore'):
        error = np.linalg.norm(image[:, :2] / image[:, 2:] - matches.pixels, axis=1)
    return np.where(cam[:, 2] > 0, error, np.inf)
