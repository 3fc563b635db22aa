"""The pixels of an image -> its views as bytes, all of one size: each box stretched, antialiased bilinear.

"exact" is Pillow's own result, box by box. "fast" resizes all tiles at once, with torch, on the device where the pixels are; on
photographs a value is a grey level away from Pillow's here and there, rarely two, in the mean below 0.02.
"""

from itertools import groupby

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from ..errors import AevlpError
from .schemes import Box, scheme_of
from .views import view_bytes

FAST, EXACT = "fast", "exact"
RESIZES = (FAST, EXACT)
_STRETCHED = "stretched to a square, antialiased bilinear, "
_BY = {FAST: "torch", EXACT: "Pillow"}


def resized_views(pixels: Tensor, grid: int | str, size: int, compat: str = "paper", resize: str = FAST) -> Tensor:
    """Return the views (V, 3, size, size) uint8 that `scheme_of` says, on the device of `pixels`, in any memory layout.

    pixels: (H, W, 3) uint8 RGB, in memory, or on a GPU where resize is "fast". A box without area is black.
    """
    height, width = pixels.shape[:2]
    whole, *boxes = scheme_of(grid, compat).boxes(width, height)
    if resize == EXACT:
        image = Image.fromarray(pixels.numpy())
        views = torch.stack([torch.from_numpy(view_bytes(image, box, size).copy()) for box in (whole, *boxes)])
        return views.permute(0, 3, 1, 2)
    alike = groupby(boxes, key=lambda box: (box[2] - box[0], box[3] - box[1]))  # tiles of a grid: all of them
    return torch.cat([_stretched(pixels[None], size), *(_cut(pixels, list(of_size), size) for _, of_size in alike)])


def resized_image(pixels: Tensor, size: int, resize: str = FAST) -> Tensor:
    """Return a whole image (3, size, size) uint8; pixels: as for `resized_views`."""
    if resize == EXACT:
        image = Image.fromarray(pixels.numpy())
        return torch.from_numpy(view_bytes(image, (0, 0, *image.size), size).copy()).permute(2, 0, 1)
    return _stretched(pixels[None], size)[0]


def described(resize: str) -> str:
    """Return what a cache's provenance says of the resize."""
    return _STRETCHED + _BY[resize]


def resize_of(description: str) -> str:
    """Return the resize that `described` says; AevlpError for another text."""
    for resize in RESIZES:
        if description == described(resize):
            return resize
    raise AevlpError(f"unknown resize {description!r}: expected {' or '.join(repr(described(r)) for r in RESIZES)}")


def _cut(pixels: Tensor, boxes: list[Box], size: int) -> Tensor:
    """Return boxes of one size, each stretched: (n, 3, size, size)."""
    left, upper, right, lower = boxes[0]
    if right <= left or lower <= upper:
        return pixels.new_zeros(len(boxes), 3, size, size)
    crops = torch.stack([pixels[upper:lower, left:right] for left, upper, right, lower in boxes])
    return _stretched(crops, size)


def _stretched(boxes: Tensor, size: int) -> Tensor:
    """Return boxes (n, h, w, 3) uint8 as (n, 3, size, size) uint8."""
    channels_last = boxes.permute(0, 3, 1, 2)  # the layout that torch's integer kernel is made for
    if boxes.device.type == "cpu":
        return interpolate(channels_last, (size, size), mode="bilinear", antialias=True)
    return stretched_in_float(channels_last, size)


def stretched_in_float(boxes: Tensor, size: int) -> Tensor:
    """Return boxes (n, 3, h, w) uint8 as (n, 3, size, size) uint8, on a device that has no integer kernel for it."""
    return interpolate(boxes.float(), (size, size), mode="bilinear", antialias=True).round_().clamp_(0, 255).byte()
