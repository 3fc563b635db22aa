"""Image size -> crop boxes, and a box of an image -> the pixels that CLIP sees of it.

View 0 is the whole image; views 1 to grid² are its tiles, row by row (Tran et al., ICCV 2025; spec: equal tiles, no overlap,
remaining columns and rows at the right and the bottom dropped).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

import numpy as np
from PIL import Image

from ..errors import AevlpError
from .grid import grid_of

Box = tuple[int, int, int, int]
COMPAT = ("paper", "published")

# Name, as in a manifest's `damp: {grid: NAME}` -> module here with `scheme(compat) -> ViewScheme`, imported when it is needed.
# A number in the place of the name is `Tiles` of so many a side.
SCHEMES: dict[str, str] = {}


class ViewScheme(Protocol):
    """Which boxes of an image are its views. count: how many, V; the first is the whole image."""

    @property
    def count(self) -> int: ...

    def boxes(self, width: int, height: int) -> list[Box]:
        """Return the V boxes of an image."""
        ...


@dataclass(frozen=True)
class Tiles:
    """The whole image, and grid² equal tiles of it."""

    grid: int
    compat: str = "paper"

    @property
    def count(self) -> int:
        return 1 + self.grid**2

    def boxes(self, width: int, height: int) -> list[Box]:
        return view_boxes(width, height, self.grid, self.compat)


def scheme_of(grid: int | str, compat: str = "paper") -> ViewScheme:
    """Return the views of `grid` tiles a side, or of the scheme of that name; AevlpError where there is none."""
    if isinstance(grid, int):
        return Tiles(grid_of(grid), compat)
    if grid not in SCHEMES:
        raise AevlpError(
            f"grid: expected a number of tiles a side{''.join(f' or {name}' for name in SCHEMES)}, found {grid!r}"
        )
    return import_module(f".{SCHEMES[grid]}", __package__).scheme(compat)


def tile_boxes(width: int, height: int, grid: int, compat: str = "paper") -> list[Box]:
    """Return the grid² tiles as half-open boxes (left, upper, right, lower) in pixels, row by row.

    width, height, grid: at least 1. An image smaller than the grid gives tiles of one pixel, moved inside the image;
    compat="published" leaves them with zero area, as the published program does.
    """
    if min(width, height, grid) < 1:
        raise AevlpError(f"width, height and grid must be at least 1, found {width}, {height} and {grid}")
    if compat not in COMPAT:
        raise AevlpError(f"compat must be one of {', '.join(COMPAT)}, found {compat!r}")
    tile_width, tile_height = width // grid, height // grid
    if compat == "paper":
        tile_width, tile_height = max(tile_width, 1), max(tile_height, 1)
    boxes = []
    for y in range(grid):
        for x in range(grid):
            left, upper = x * tile_width, y * tile_height
            if compat == "paper":
                left, upper = min(left, width - tile_width), min(upper, height - tile_height)
            boxes.append((left, upper, left + tile_width, upper + tile_height))
    return boxes


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
