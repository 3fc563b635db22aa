"""A box of an image -> the pixels that CLIP sees of it. Which boxes are an image's views is for `schemes` to say."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from ..errors import AevlpError
from .schemes import Box
from .schemes.grid import tile_boxes


def view_boxes(width: int, height: int, grid: int, compat: str = "paper") -> list[Box]:
    """Return the boxes of all V = 1 + grid² views: the whole image, then `tile_boxes`."""
    return [(0, 0, width, height), *tile_boxes(width, height, grid, compat)]


def view_bytes(image: Image.Image, box: Box, size: int) -> np.ndarray:
    """Return a box of an RGB image, stretched to (size, size, 3) uint8 by antialiased bilinear interpolation.

    A box without area is black.
    """
    left, upper, right, lower = box
    if right <= left or lower <= upper:
        return np.zeros((size, size, 3), dtype=np.uint8)
    return np.asarray(image.crop(box).resize((size, size), Image.Resampling.BILINEAR))


def view_pixels(
    image: Image.Image | np.ndarray,
    box: Box,
    size: int,
    mirrored: bool,
    mean: Sequence[float],
    std: Sequence[float],
) -> np.ndarray:
    """Return one view ready for an image tower: (3, size, size) float32, (value / 255 - mean) / std for each channel.

    image: RGB, a PIL image or (H, W, 3) uint8. box: (left, upper, right, lower) in pixels. mirrored: flip left and right,
    after the resize. mean, std: three numbers each, for values in [0, 1].
    """
    if not isinstance(image, Image.Image):
        image = Image.fromarray(np.asarray(image, dtype=np.uint8))
    if image.mode != "RGB":
        raise AevlpError(f"view_pixels takes an RGB image, found mode {image.mode}: read_image converts any")
    view = view_bytes(image, box, size)
    if mirrored:
        view = view[:, ::-1]
    pixels = (view.astype(np.float32) / np.float32(255) - np.array(mean, np.float32)) / np.array(std, np.float32)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))
