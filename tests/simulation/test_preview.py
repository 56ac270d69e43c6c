"""The contact sheet shows what the data set holds."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from nclr_mm.simulation.preview import sheet


def test_sheet_shows_cameras_and_points(nuscenes_drive):
    image = sheet(nuscenes_drive.root, 0, overlay=False)
    height, width = image.shape[:2]
    assert width == 3 * 416 + height
    front = image[: height // 2, 416:832]
    original = nuscenes_drive.captures[0].pictures['CAM_FRONT'].image
    expected = cv2.resize(original, (416, 234), interpolation=cv2.INTER_AREA)
    assert np.abs(front.astype(int) - expected).mean() < 6  # JPEG
    assert (image[:, 3 * 416 :] != 18).any(2).sum() > 3000


def test_wrong_root_and_sample_are_named(nuscenes_drive, tmp_path):
    with pytest.raises(FileNotFoundError, match='expected a nuScenes data root'):
        sheet(tmp_path, 0)
    with pytest.raises(ValueError, match='has 2 samples, no number 9'):
        sheet(nuscenes_drive.root, 9)
