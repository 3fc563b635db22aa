"""A cache in one format -> the same cache in the other."""

from pathlib import Path

from ..pipeline.errors import AevlpError
from ..pipeline.score_cache import check_suffix, open_cache, write_cache
from .console import out


def run(source: Path, target: Path) -> None:
    """Write the content of `source` at `target`, whose suffix says the format; AevlpError where it exists."""
    check_suffix(target)
    if target.exists():
        raise AevlpError(f"{target} is there already: choose another name, or remove it first")
    cache = open_cache(source)
    write_cache(target, cache.header, cache.rows())
    out.print(f"{target}: {len(cache):,} images, the same content as {source}")
