"""Tiles of a grid with half a tile from one to the next: (2 grid - 1)² of them, so that what an edge cuts is whole in another."""

from . import Box
from .grid import MOST_TILES, require_tiles, spaced_tiles


def boxes(width: int, height: int, compat: str, *, grid: int = 3) -> list[Box]:
    """Return the tiles, row by row; grid: how many fit a side without overlap, 1 to 16."""
    require_tiles(grid, MOST_TILES // 2)
    return spaced_tiles(width, height, grid, 2, compat)
