from .kitti import create_kitti_infos
from .kitti_detection import create_gt_database, create_reduced_clouds
from .nuscenes import create_nuscenes_infos
from .semantickitti import create_semantickitti_infos
from .semanticposs import create_semanticposs_infos

__all__ = [
    'create_gt_database',
    'create_kitti_infos',
    'create_nuscenes_infos',
    'create_reduced_clouds',
    'create_semantickitti_infos',
    'create_semanticposs_infos',
]
