from mmdet3d.registry import DATASETS

from .calibration_dataset import CalibrationDataset

#: what makes KITTI's info files, reduced clouds and database, for errors
KITTI_COMMAND = '`python tools/create_data.py kitti --root-path <root>`'


@DATASETS.register_module()
class KittiCalibrationDataset(CalibrationDataset):
    """KITTI object detection, training half; cameras image_2 (default) and image_3."""

    DATA_PREFIX = dict(
        pts='training/velodyne', image_2='training/image_2', image_3='training/image_3'
    )
    CAMERAS = ('image_2',)
    CREATE_COMMAND = KITTI_COMMAND
