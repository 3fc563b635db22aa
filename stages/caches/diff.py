"""Two caches -> where they differ."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...pipeline.errors import counted
from ...pipeline.score_cache import open_cache
from ...pipeline.score_cache.comparing import Comparison, compare
from ..console import out
from ..declaration import takes
from ..results import Result
from .options import DiffOptions

SHOWN = 3  # names of each list; --json has all


@dataclass(frozen=True, repr=False)
class CacheDifference(Result):
    """Two caches, and where they differ in content. failed: whether they do."""

    a: Path
    b: Path
    found: Comparison

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return self.found.equal

    @property
    def failed(self) -> bool:
        """Whether something differs."""
        return not self.equal

    def summary(self) -> dict[str, Any]:
        """Return both caches, and whether they are equal."""
        return {"a": self.a, "b": self.b, "equal": self.equal}

    def to_json(self) -> dict[str, Any]:
        """Return both caches, and all that differs."""
        return {"a": str(self.a), "b": str(self.b), **self.found.to_json()}


@takes(DiffOptions)
def diff(options: DiffOptions) -> CacheDifference:
    """Return whether two caches are equal in content, and if not, where they differ."""
    return CacheDifference(options.a, options.b, compare(open_cache(options.a), open_cache(options.b)))


def show(difference: CacheDifference) -> None:
    """Print where two caches differ."""
    for line in _lines(difference.found, str(difference.a), str(difference.b)):
        out.print(line, markup=False)
    out.print("equal" if difference.equal else "not equal")


def _lines(found: Comparison, a: str, b: str) -> list[str]:
    lines = []
    for name, mine, theirs in found.settings:
        if isinstance(mine, list | tuple) and isinstance(theirs, list | tuple) and len(mine) == len(theirs):
            n = next(n for n, pair in enumerate(zip(mine, theirs, strict=True)) if pair[0] != pair[1])
            name, mine, theirs = f"{name}, number {n + 1}", mine[n], theirs[n]
        lines.append(f"{name}: {_short(mine)} in {a}, {_short(theirs)} in {b}")
    for kind, alone in (("classes", found.classes), ("images", found.images)):
        lines += [
            f"{_named(names)}: {kind} of {path} alone" for path, names in zip((a, b), alone, strict=True) if names
        ]
    if found.order:
        lines.append("the images that both have stand in another order")
    lines += [f"{counted(found.status, 'image has', 'images have')} another status"] if found.status else []
    lines += [f"{counted(found.split, 'image is', 'images are')} in another split"] if found.split else []
    lines += (
        [f"{counted(found.labels, 'image has', 'images have')} other observed or true labels"] if found.labels else []
    )
    if found.cosines is None:
        lines.append("cosines cannot be compared: the views or flips are others")
    elif found.cosines:
        lines.append(
            f"cosines differ in {found.cosines:,} of {counted(found.scored, 'image')}, by {found.largest:.2g} at most and "
            f"{found.mean:.2g} on average, most in {', '.join(f'{name} ({far:.2g})' for name, far in found.farthest)}"
        )
    if found.code_rows:
        lines.append(
            f"codes differ in {found.code_entries:,} places of {found.code_rows:,} of {counted(found.scored, 'image')}"
        )
    return lines


def _named(names: list[str]) -> str:
    return f"{len(names):,} ({', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''})"


def _short(value: Any, most: int = 60) -> str:
    if isinstance(value, list | tuple):
        return f"{len(value)} of them"
    text = "none" if value is None else str(value)
    return text if len(text) <= most else f"{text[:most]}…"
