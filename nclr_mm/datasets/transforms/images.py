"""Image transforms that carry the camera matrix along.

Each moves pixels by an affine map u' = A u with integer pixel centres, and the camera matrix by
the same map, ``cam2img' = A cam2img``; the pose does not change.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.image.geometric import cv2_interp_codes
from mmcv.transforms import BaseTransform
from mmdet3d.registry import TRANSFORMS


def resize_affine(scale_u: float, scale_v: float) -> np.ndarray:
    """(3, 3) pixel map of a resize: u' = (u + 0.5) s - 0.5."""
    return np.array(
        [[scale_u, 0, 0.5 * scale_u - 0.5], [0, scale_v, 0.5 * scale_v - 0.5], [0, 0, 1]]
    )


def crop_affine(left: int, top: int) -> np.ndarray:
    """(3, 3) pixel map of a crop that begins at pixel (left, top)."""
    return np.array([[1.0, 0, -left], [0, 1, -top], [0, 0, 1]])


def flip_affine(width: int) -> np.ndarray:
    """(3, 3) pixel map of a mirror about the vertical axis: u' = width - 1 - u."""
    return np.array([[-1.0, 0, width - 1], [0, 1, 0], [0, 0, 1]])


def apply_to_camera(results: dict, index: int, affine: np.ndarray) -> None:
    """Move the camera matrix of camera ``index`` as its pixels are moved."""
    results['cam2img'][index] = affine @ results['cam2img'][index]


def resize(
    image: np.ndarray, width: int, height: int, interpolation: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Resize an image, by default as an average of areas when it shrinks, else bilinearly.

    Returns:
        Image and (3, 3) pixel map.
    """
    old_height, old_width = image.shape[:2]
    if interpolation is None:
        shrinks = width <= old_width and height <= old_height
        interpolation = 'area' if shrinks else 'bilinear'
    if (width, height) != (old_width, old_height):
        image = cv2.resize(image, (width, height), interpolation=cv2_interp_codes[interpolation])
    return image, resize_affine(width / old_width, height / old_height)


def crop(
    image: np.ndarray, left: int, top: int, width: int, height: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a window out of an image. Returns a view of it and the (3, 3) pixel map."""
    old_height, old_width = image.shape[:2]
    if left < 0 or top < 0 or left + width > old_width or top + height > old_height:
        raise ValueError(
            f'The window {width}x{height} at ({left}, {top}) is not inside the image of '
            f'{old_width}x{old_height}.'
        )
    return image[top : top + height, left : left + width], crop_affine(left, top)


def _pair(scale: Sequence[int], name: str = 'scale') -> tuple[int, int]:
    if len(scale) != 2 or min(scale) < 1:
        raise ValueError(f'{name} must be (width, height) in pixels, got {scale}.')
    return int(scale[0]), int(scale[1])


class _EachImage(BaseTransform):
    """Transforms each camera's image on its own, by ``transform_image``."""

    def transform(self, results: dict) -> dict:
        for index, image in enumerate(results['img']):
            results['img'][index], affine = self.transform_image(image)
            apply_to_camera(results, index, affine)
        return results

    def transform_image(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the new image and the (3, 3) map from its old pixels to its new ones."""
        raise NotImplementedError


@TRANSFORMS.register_module()
class ResizeImages(_EachImage):
    """Resize all images to ``scale``.

    Args:
        scale: (width, height) in pixels.
        keep_ratio: keep the aspect: the image is scaled until it covers ``scale``, and what
            stands over is cut off equally on both sides.
        interpolation: 'area', 'bilinear' or another of mmcv's names; None is 'area' for images that
            shrink, else 'bilinear'. Down to half of the size 'bilinear' still reads each pixel, in
            a sixth of the time; below, it leaves some out.
    """

    def __init__(
        self, scale: Sequence[int], keep_ratio: bool = False, interpolation: str | None = None
    ) -> None:
        if interpolation is not None and interpolation not in cv2_interp_codes:
            raise ValueError(
                f'interpolation must be one of {list(cv2_interp_codes)}, got {interpolation!r}.'
            )
        self.scale = _pair(scale)
        self.keep_ratio = keep_ratio
        self.interpolation = interpolation

    def transform_image(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        width, height = self.scale
        if not self.keep_ratio:
            return resize(image, width, height, self.interpolation)
        factor = max(width / image.shape[1], height / image.shape[0])
        covering = [
            max(side, round(old * factor))
            for side, old in zip(self.scale, image.shape[1::-1], strict=True)
        ]
        image, scaled = resize(image, *covering, self.interpolation)
        left, top = ((have - want) // 2 for have, want in zip(covering, self.scale, strict=True))
        image, cropped = crop(image, left, top, width, height)
        return image, cropped @ scaled


@TRANSFORMS.register_module()
class CropImages(_EachImage):
    """Cut the window (left, top, width, height), in pixels, out of all images."""

    def __init__(self, window: Sequence[int]) -> None:
        if len(window) != 4:
            raise ValueError(f'window must be (left, top, width, height), got {window}.')
        self.window = tuple(window)

    def transform_image(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return crop(image, *self.window)


@TRANSFORMS.register_module()
class RandomCropResizeImages(_EachImage):
    """Cut a random window out of each image and resize it to ``scale``.

    Args:
        scale: (width, height) of the result in pixels.
        area: range of the window's share of the image, drawn uniformly.
        aspect: range of the window's width over its height, drawn log-uniformly; None keeps
            the aspect of the whole image. A window too wide or too high for the image is
            narrowed to it.
    """

    def __init__(
        self,
        scale: Sequence[int],
        area: tuple[float, float] = (0.5, 1.0),
        aspect: tuple[float, float] | None = None,
    ) -> None:
        self.scale = _pair(scale)
        if not 0 < area[0] <= area[1] <= 1:
            raise ValueError(f'area must be a range within (0, 1], got {area}.')
        if aspect is not None and not 0 < aspect[0] <= aspect[1]:
            raise ValueError(f'aspect must be a range of positive ratios, got {aspect}.')
        self.area = tuple(area)
        self.aspect = aspect

    def transform_image(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        height, width = image.shape[:2]
        area = random.uniform(*self.area) * width * height
        aspect = width / height
        if self.aspect is not None:
            aspect = np.exp(random.uniform(*np.log(self.aspect)))
        crop_width = min(width, max(1, round(np.sqrt(area * aspect))))
        crop_height = min(height, max(1, round(np.sqrt(area / aspect))))
        left = random.randint(0, width - crop_width)
        top = random.randint(0, height - crop_height)
        image, cropped = crop(image, left, top, crop_width, crop_height)
        image, scaled = resize(image, *self.scale)
        return image, scaled @ cropped


@TRANSFORMS.register_module()
class RandomFlipImages(_EachImage):
    """Mirror each image, with probability ``prob``, left to right.

    The mirror is in ``cam2img`` (fx < 0); the pose stays a proper rotation.
    """

    def __init__(self, prob: float = 0.5) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'prob must be in [0, 1], got {prob}.')
        self.prob = prob

    def transform_image(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if random.random() >= self.prob:
            return image, np.eye(3)
        return cv2.flip(image, 1), flip_affine(image.shape[1])


@TRANSFORMS.register_module()
class PhotoMetricJitter(BaseTransform):
    """Change brightness, contrast, saturation and hue of each image at random.

    Args:
        brightness, contrast, saturation: largest relative change; the factor is uniform in
            [1 - x, 1 + x].
        hue: largest turn of the hue in degrees.
    """

    def __init__(
        self,
        brightness: float = 0.2,
        contrast: float = 0.2,
        saturation: float = 0.2,
        hue: float = 10.0,
    ) -> None:
        for name, value in (
            ('brightness', brightness),
            ('contrast', contrast),
            ('saturation', saturation),
        ):
            if not 0 <= value <= 1:
                raise ValueError(f'{name} must be in [0, 1], got {value}.')
        if not 0 <= hue <= 180:
            raise ValueError(f'hue must be in [0, 180] degrees, got {hue}.')
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation
        self.hue = hue

    def transform(self, results: dict) -> dict:
        results['img'] = [self._jitter(image) for image in results['img']]
        return results

    def _jitter(self, image: np.ndarray) -> np.ndarray:
        # Tables of 256 entries: uint8 throughout, a tenth of the time of float images.
        levels = np.arange(256, dtype=np.float64)
        mean = image.mean()
        factor = self._factor(self.contrast)
        table = self._factor(self.brightness) * (mean + factor * (levels - mean))
        image = cv2.LUT(image, _to_uint8(table))
        if self.saturation or self.hue:
            hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
            # OpenCV stores the hue of a uint8 image in units of two degrees, 0 to 179.
            turn = random.uniform(-self.hue, self.hue) / 2
            tables = np.stack(
                [
                    np.round(levels + turn).astype(int) % 180,
                    _to_uint8(levels * self._factor(self.saturation)),
                    levels,
                ],
                axis=-1,
            )
            hsv = cv2.LUT(hsv, tables.astype(np.uint8)[None])
            image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
        return image

    @staticmethod
    def _factor(change: float) -> float:
        return random.uniform(1 - change, 1 + change)


def _to_uint8(values: np.ndarray) -> np.ndarray:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
