"""How the views of an image are asked for: by a number of tiles a side, or by the name of another scheme of views."""

import re
from typing import Any

from ..errors import AevlpError

MOST_TILES = 32


def grid_of(given: Any) -> Any:
    """Return a number of tiles a side, also of a text, and what is no number as it is; AevlpError for one out of range."""
    grid = int(given) if isinstance(given, str) and re.fullmatch(r"\s*-?\d+\s*", given) else given
    if isinstance(grid, int) and not 1 <= grid <= MOST_TILES:
        raise AevlpError(f"expected a grid of 1 to {MOST_TILES} tiles a side, found {grid}")
    return grid
