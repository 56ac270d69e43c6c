from .clustering import HDBSCANClustering, MeanShiftClustering
from .pose_solvers import OpenCVSolver, PoseEstimate, PoseLibSolver, PoseSolver, refine_pose
from .rig_solver import (
    RigMatches,
    RigPose,
    RigSolver,
    exp_motion,
    image_pieces,
    log_motion,
    pose_jacobian,
    robust_covariance,
)

__all__ = [
    'HDBSCANClustering',
    'MeanShiftClustering',
    'OpenCVSolver',
    'PoseEstimate',
    'PoseLibSolver',
    'PoseSolver',
    'RigMatches',
    'RigPose',
    'RigSolver',
    'exp_motion',
    'image_pieces',
    'log_motion',
    'pose_jacobian',
    'refine_pose',
    'robust_covariance',
]
