"""Grids of 2, 4, 8, … tiles a side, one after another: 1 + 4 + 16 + … views, the whole image included."""

from ...errors import AevlpError
from . import Box
from .grid import tile_boxes

MOST_LEVELS = 6


def boxes(width: int, height: int, compat: str, *, levels: int = 3) -> list[Box]:
    """Return the tiles of each level, row by row; levels: 1 to 6, the whole image counted, which is all that 1 has."""
    if not 1 <= levels <= MOST_LEVELS:
        raise AevlpError(f"expected a pyramid of 1 to {MOST_LEVELS} levels, found {levels}")
    return [box for level in range(1, levels) for box in tile_boxes(width, height, 2**level, compat)]
