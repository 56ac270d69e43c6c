"""Losses."""

from .info_nce import PointInfoNCE
from .overlap import OverlapLoss
from .pose import PoseLoss

__all__ = ['OverlapLoss', 'PointInfoNCE', 'PoseLoss']
