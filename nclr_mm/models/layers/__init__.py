"""Layers of the calibration head."""

from .alignment import CosineAlignment, SymmetricAlignment
from .fusion import CrossModalFusion

__all__ = ['CosineAlignment', 'CrossModalFusion', 'SymmetricAlignment']
