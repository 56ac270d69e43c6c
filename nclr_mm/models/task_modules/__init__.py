from .clustering import HDBSCANClustering, MeanShiftClustering
from .pose_solvers import OpenCVSolver, PoseEstimate, PoseLibSolver, PoseSolver, refine_pose

__all__ = [
    'HDBSCANClustering',
    'MeanShiftClustering',
    'OpenCVSolver',
    'PoseEstimate',
    'PoseLibSolver',
    'PoseSolver',
    'refine_pose',
]
