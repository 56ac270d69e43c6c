"""Labelled scans for semantic and panoptic segmentation."""

from .segmentation_dataset import (
    NuScenesSegmentationDataset,
    SegmentationDataset,
    SemanticKittiSegmentationDataset,
    SemanticPossDataset,
)

__all__ = [
    'NuScenesSegmentationDataset',
    'SegmentationDataset',
    'SemanticKittiSegmentationDataset',
    'SemanticPossDataset',
]
