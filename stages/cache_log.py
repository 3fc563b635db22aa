"""The log beside a cache, such as cache/voc.log.txt: what was said whenever images were scored into it, with times."""

from collections.abc import Callable
from pathlib import Path

from ..pipeline.files.locations import RemotePath
from ..pipeline.runtime.ranks import Rank


def log_of(cache: Path) -> Path:
    """Return where the log of a cache is."""
    return cache.with_name(f"{cache.stem}.log.txt")


def begin_log(cache: Path, rank: Rank, into: Callable[[Path], None]) -> None:
    """Have notes written to the log of a cache by what `console.noted` gave, once something is written at all.

    Of several processes the first one writes; a cache that is not on this machine has no log.
    """
    if rank.first and not isinstance(cache, RemotePath):
        into(log_of(cache))
