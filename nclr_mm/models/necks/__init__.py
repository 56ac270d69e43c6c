"""Necks."""

from .upsample_sum import UpsampleSum

__all__ = ['UpsampleSum']
