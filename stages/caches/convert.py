"""A cache in one format -> the same cache in the other."""

from ...pipeline.errors import counted
from ...pipeline.score_cache import ScoreCache, open_cache, write_cache
from ..declaration import takes
from ..made import made, show
from .new_cache import check_new
from .options import ConvertOptions

__all__ = ["convert", "show"]


@takes(ConvertOptions)
def convert(options: ConvertOptions) -> ScoreCache:
    """Write the content of one cache as another, whose suffix says the format, and return that; AevlpError where it exists."""
    source, target = options.source, options.target
    check_new(target)
    cache = open_cache(source)
    write_cache(target, cache.header, cache.rows())
    return made(target, f": {counted(len(cache), 'image')}, the same content as {source}")
