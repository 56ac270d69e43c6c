from .pose_solvers import OpenCVSolver, PoseEstimate, PoseLibSolver, PoseSolver

__all__ = ['OpenCVSolver', 'PoseEstimate', 'PoseLibSolver', 'PoseSolver']
