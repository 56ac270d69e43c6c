"""Clustering of shifted voxels into objects, on the CPU, at prediction."""

import numpy as np
from mmdet3d.registry import TASK_UTILS
from sklearn.cluster import HDBSCAN, MeanShift


@TASK_UTILS.register_module()
class MeanShiftClustering:
    """scikit-learn's mean shift.

    Args:
        bandwidth: metres (1.2 in MinkowskiPanoptic's settings).
    """

    def __init__(self, bandwidth: float = 1.2) -> None:
        if bandwidth <= 0:
            raise ValueError(f'bandwidth must be positive, got {bandwidth}.')
        self.bandwidth = bandwidth

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Cluster (N, 3) points in metres: (N,) int64 cluster of each, -1 for none."""
        if len(points) == 0:
            return np.zeros(0, dtype=np.int64)
        # Seeds are the cells of a grid: every point as a seed would cost the square of them.
        return MeanShift(bandwidth=self.bandwidth, bin_seeding=True).fit_predict(points)


@TASK_UTILS.register_module()
class HDBSCANClustering:
    """scikit-learn's HDBSCAN; needs no bandwidth, and leaves lone points out.

    Args:
        min_cluster_size: voxels of the smallest cluster.
        epsilon: metres; clusters nearer than this are one. With 0 a lone object would keep the
            densest few of its voxels alone.
    """

    def __init__(self, min_cluster_size: int = 10, epsilon: float = 0.5) -> None:
        if min_cluster_size < 2:
            raise ValueError(f'min_cluster_size must be at least 2, got {min_cluster_size}.')
        self.min_cluster_size = min_cluster_size
        self.epsilon = epsilon

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Cluster (N, 3) points in metres: (N,) int64 cluster of each, -1 for none."""
        if len(points) < self.min_cluster_size:
            return np.full(len(points), -1, dtype=np.int64)
        clustering = HDBSCAN(
            min_cluster_size=self.min_cluster_size,
            cluster_selection_epsilon=self.epsilon,
            allow_single_cluster=True,
            copy=True,
        )
        return clustering.fit_predict(points)
