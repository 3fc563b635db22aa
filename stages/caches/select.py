"""A cache -> a new cache of some of its classes or images."""

import numpy as np

from ...pipeline.errors import AevlpError, counted
from ...pipeline.score_cache import ScoreCache, open_cache, write_cache
from ...pipeline.score_cache.selecting import selected
from ..declaration import takes
from ..given_names import names_given
from ..made import made, show
from .inspect import cached_settings
from .new_cache import check_new
from .options import SelectOptions

__all__ = ["select", "show"]


@takes(SelectOptions)
def select(options: SelectOptions) -> ScoreCache:
    """Write a cache of some rows and classes of another, and return it.

    Raises AevlpError where nothing is selected by, a name is not known, or nothing is left.
    """
    source, target, images = options.cache, check_new(options.target), options.images
    if options.classes is None and images is None and options.split is None:
        raise AevlpError("at least one of --classes, --images and --split is needed")
    cache = open_cache(source)
    names = cache.classes if options.classes is None else names_given(options.classes, "class names")
    rows = _rows(cache, None if images is None else names_given(images, "image ids"), options.split)
    header, content = selected(cache, rows, names, cached_settings(cache))
    write_cache(target, header, content)
    return made(
        target,
        f": {len(rows):,} of {counted(len(cache), 'image')} and {len(names)} of "
        f"{counted(len(cache.classes), 'class', 'classes')} of {source}",
    )


def _rows(cache: ScoreCache, ids: list[str] | None, split: str | None) -> np.ndarray:
    """Return the numbers of the rows asked for, ascending."""
    chosen = np.ones(len(cache), dtype=bool)
    if ids is not None:
        row_of = {name: row for row, name in enumerate(cache.text("ids"))}
        unknown = [name for name in ids if name not in row_of]
        if unknown:
            raise AevlpError(
                f"{cache.path} has no image {unknown[0]!r}; it lacks {len(unknown):,} of {len(ids):,} asked for"
            )
        chosen[:] = False
        chosen[[row_of[name] for name in ids]] = True
    if split is not None:
        chosen &= np.array(cache.text("split"), dtype=object) == split
    if not chosen.any():
        raise AevlpError(f"{cache.path}: no image is left of the {split} split: a cache holds at least one")
    return np.flatnonzero(chosen)
