from mmdet3d.registry import DATASETS

from .calibration_dataset import CalibrationDataset
from .converters.nuscenes import CAMERAS


@DATASETS.register_module()
class NuScenesCalibrationDataset(CalibrationDataset):
    """nuScenes, or a simulated drive in its layout: LIDAR_TOP and six cameras.

    The label files' folders carry the version in their names, so their prefixes
    (``pts_semantic_mask='lidarseg/v1.0-trainval'``) are to be given where labels are used.
    """

    DATA_PREFIX = dict(
        pts='samples/LIDAR_TOP', **{camera: f'samples/{camera}' for camera in CAMERAS}
    )
    CAMERAS = CAMERAS
    CREATE_COMMAND = '`python tools/create_data.py nuscenes --root-path <root>`'
