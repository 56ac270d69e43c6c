"""Detectors."""

from .nclr import NCLR
from .nclr_voxelnet import NCLRVoxelNet

__all__ = ['NCLR', 'NCLRVoxelNet']
