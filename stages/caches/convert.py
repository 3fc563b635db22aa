"""A cache in one format -> the same cache in the other."""

from pathlib import Path

from ...pipeline.score_cache import open_cache, write_cache
from ..console import out
from ..new_files import check_new


def run(source: Path, target: Path) -> None:
    """Write the content of `source` at `target`, whose suffix says the format; AevlpError where it exists."""
    check_new(target)
    cache = open_cache(source)
    write_cache(target, cache.header, cache.rows())
    out.print(f"{target}: {len(cache):,} images, the same content as {source}")
