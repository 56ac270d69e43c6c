from .kitti import create_kitti_infos
from .nuscenes import create_nuscenes_infos
from .semantickitti import create_semantickitti_infos

__all__ = ['create_kitti_infos', 'create_nuscenes_infos', 'create_semantickitti_infos']
