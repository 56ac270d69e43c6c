"""Workarounds for faults of upstream packages, one small module each.

Each module states the fault and the versions it holds for, and has a function `apply()` that is
guarded (it changes something only where the fault is present) and may be called any number of
times. The test of each module fails once the fault is gone upstream, so that the module can go.
"""

from . import spconv_triton_name

spconv_triton_name.apply()  # before the others, which import spconv

from . import (  # noqa: E402
    minkunet_defaults,
    mmcv_network_operators,
    mmcv_point_operators,
    mmcv_rotated_nms,
    mmdet3d_bev_features,
    mmdet3d_kitti_overlaps,
    mmdet3d_numpy_long,
    mmengine_auto_scale_lr,
    mmengine_checkpoints,
    mmengine_config_names,
    mmengine_counters,
    mmengine_cpu_amp,
    mmengine_downloads,
    mmengine_files,
    mmengine_saving,
    mmengine_zero,
    nuscenes_no_boxes,
    spconv_cpu_algorithm,
    spconv_cpu_backward,
    spconv_cpu_scatter,
    spconv_indices,
    torch_sync_batch_norm,
)

WORKAROUNDS = (
    spconv_triton_name,
    nuscenes_no_boxes,
    spconv_cpu_algorithm,
    spconv_cpu_backward,
    spconv_cpu_scatter,
    spconv_indices,
    mmengine_checkpoints,
    mmengine_config_names,
    mmengine_counters,
    mmengine_cpu_amp,
    mmengine_downloads,
    mmengine_files,
    mmengine_saving,
    mmengine_zero,
    mmengine_auto_scale_lr,
    minkunet_defaults,
    mmcv_point_operators,
    mmcv_network_operators,
    mmcv_rotated_nms,
    mmdet3d_bev_features,
    mmdet3d_kitti_overlaps,
    mmdet3d_numpy_long,
    torch_sync_batch_norm,
)


def apply() -> None:
    """Apply all workarounds; `import nclr_mm` does so."""
    for workaround in WORKAROUNDS:
        workaround.apply()


__all__ = ['WORKAROUNDS', 'apply']
