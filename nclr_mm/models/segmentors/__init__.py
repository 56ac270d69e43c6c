"""Segmentors."""

from .panoptic_minkunet import PanopticMinkUNet

__all__ = ['PanopticMinkUNet']
