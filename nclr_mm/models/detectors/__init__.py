"""Detectors."""

from .nclr import NCLR

__all__ = ['NCLR']
