from mmdet3d.registry import DATASETS

from .calibration_dataset import CalibrationDataset


@DATASETS.register_module()
class SemanticKittiCalibrationDataset(CalibrationDataset):
    """SemanticKITTI, or a drive in its layout; cameras image_2 (default) and image_3."""

    CAMERAS = ('image_2',)
    CREATE_COMMAND = '`python tools/create_data.py semantickitti --root-path <root>`'
