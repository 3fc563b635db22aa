"""grid² equal tiles without overlap, row by row (Tran et al., ICCV 2025): the views of the method.

Columns and rows that remain at the right and the bottom belong to no tile.
"""

from ...errors import AevlpError
from . import Box

COMPAT = ("paper", "published")
MOST_TILES = 32  # a side


def boxes(width: int, height: int, compat: str, *, grid: int = 4) -> list[Box]:
    """Return the tiles; grid: tiles a side, 1 to 32."""
    require_tiles(grid)
    return tile_boxes(width, height, grid, compat)


def require_tiles(grid: int, most: int = MOST_TILES) -> None:
    """Raise AevlpError for a number of tiles a side that is out of range."""
    if not 1 <= grid <= most:
        raise AevlpError(f"expected a grid of 1 to {most} tiles a side, found {grid}")


def tile_boxes(width: int, height: int, grid: int, compat: str = "paper") -> list[Box]:
    """Return the grid² tiles as half-open boxes (left, upper, right, lower) in pixels, row by row.

    width, height, grid: at least 1. An image smaller than the grid gives tiles of one pixel, moved inside the image;
    compat="published" leaves them with zero area, as the published program does.
    """
    return spaced_tiles(width, height, grid, 1, compat)


def spaced_tiles(width: int, height: int, grid: int, steps: int, compat: str) -> list[Box]:
    """Return tiles of the size that grid tiles a side have, row by row, each 1 / steps of a tile from the one before.

    width, height, grid, steps: at least 1. compat: as for `tile_boxes`. There are ((grid - 1) steps + 1)².
    """
    if min(width, height, grid) < 1:
        raise AevlpError(f"width, height and grid must be at least 1, found {width}, {height} and {grid}")
    if compat not in COMPAT:
        raise AevlpError(f"compat must be one of {', '.join(COMPAT)}, found {compat!r}")
    tile_width, tile_height = width // grid, height // grid
    if compat == "paper":
        tile_width, tile_height = max(tile_width, 1), max(tile_height, 1)
    found = []
    for y in range((grid - 1) * steps + 1):
        for x in range((grid - 1) * steps + 1):
            left, upper = x * tile_width // steps, y * tile_height // steps
            if compat == "paper":
                left, upper = min(left, width - tile_width), min(upper, height - tile_height)
            found.append((left, upper, left + tile_width, upper + tile_height))
    return found
