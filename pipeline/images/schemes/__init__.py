"""The name of a scheme of views, with constants as in crops[count=16,seed=0] -> the boxes of an image.

View 0 is always the whole image; a scheme says which boxes follow. A new one is a file in this folder and a line in `SCHEMES`:
a function `boxes(width, height, compat, *, …constants)` that returns the boxes in pixels. Width, height and constants alone may
decide, so that an image has the same views whichever process scores it, and whichever images stand beside it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import import_module
from typing import Any

from ...errors import AevlpError, unknown_name
from ...method_names import MethodName, parsed
from ...plugins import check, keyword_constants

Box = tuple[int, int, int, int]  # left, upper, right, lower in pixels, half-open
GRID = "grid"
_NUMBER = re.compile(r"\s*-?\d+\s*")
SIDE = 1 << 40  # of an image so large that boxes in whole pixels are as good as exact

# Name, as in `--views NAME` and a manifest's `damp: {grid: NAME}` -> module here, imported when it is needed.
SCHEMES = {"grid": "grid", "pyramid": "pyramid", "overlap": "overlap", "crops": "crops"}


@dataclass(frozen=True)
class ViewScheme:
    """Which boxes of an image are its views.

    name, constants: of the scheme, all constants given. compat: whose rule images smaller than their tiles follow.
    """

    name: str
    constants: Mapping[str, Any]
    compat: str = "paper"

    def __str__(self) -> str:
        """Return name and constants as `scheme_of` takes them."""
        return str(MethodName(self.name, self.constants))

    @property
    def recorded(self) -> int | str:
        """What manifests and caches have of it: tiles a side of a grid, the text of any other."""
        return self.constants["grid"] if self.name == GRID else str(self)

    def boxes(self, width: int, height: int) -> list[Box]:
        """Return the V boxes of an image; width and height in pixels, each at least 1."""
        return [(0, 0, width, height), *_function(self.name)(width, height, self.compat, **self.constants)]

    @cached_property
    def shares(self) -> list[tuple[float, ...]]:
        """Where the V views lie, as shares of width and height, of each image to within a pixel: left, upper, right, lower."""
        return [tuple(edge / SIDE for edge in box) for box in self.boxes(SIDE, SIDE)]

    @property
    def count(self) -> int:
        """How many views an image has, V."""
        return len(self.shares)


def scheme(given: Any, compat: str = "paper") -> ViewScheme:
    """Return the scheme of NAME, NAME[CONSTANT=VALUE,…], or of a number of tiles a side, also as a text.

    Constants that are not said have their defaults. Raises AevlpError for an unknown name or constant, and a value out of range.
    """
    if isinstance(given, str) and not _NUMBER.fullmatch(given):
        asked = parsed(given)
    else:
        asked = MethodName(GRID, {GRID: int(given) if isinstance(given, str) else given})
    if asked.name not in SCHEMES:
        raise unknown_name("scheme of views", asked.name, SCHEMES)
    known = keyword_constants(_function(asked.name))
    check(f"views {asked.name}", known, asked.constants)
    constants = {
        name: int(value) if known[name].annotation is int else value
        for name, value in ({name: of.default for name, of in known.items()} | dict(asked.constants)).items()
    }
    found = ViewScheme(asked.name, constants, compat)
    found.boxes(SIDE, SIDE)  # a constant out of range is refused here
    return found


scheme_of = lru_cache(scheme)  # asked for each image


def _function(name: str) -> Callable[..., list[Box]]:
    try:
        return import_module(f".{SCHEMES[name]}", __package__).boxes
    except AttributeError as error:
        raise AevlpError(f"the scheme of views {name} has no function boxes(width, height, compat, *, …)") from error
