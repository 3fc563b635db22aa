"""A cache -> a new cache of some of its classes or images."""

from pathlib import Path

import numpy as np

from ...pipeline.errors import AevlpError
from ...pipeline.score_cache import ScoreCache, open_cache, write_cache
from ...pipeline.score_cache.selecting import selected
from ..console import out
from ..new_files import check_new, names_given
from .inspect import cached_settings


def run(source: Path, target: Path, classes: str | None, images: str | None, split: str | None) -> None:
    """Write a cache of some rows and classes of another.

    classes, images: names with commas, or a text file of them; None for all. split: "train", "val" or "test"; None for all.
    Raises AevlpError where a name is not known, or nothing is left.
    """
    check_new(target)
    cache = open_cache(source)
    names = cache.classes if classes is None else names_given(classes, "class names")
    rows = _rows(cache, None if images is None else names_given(images, "image ids"), split)
    header, content = selected(cache, rows, names, cached_settings(cache))
    write_cache(target, header, content)
    out.print(
        f"{target}: {len(rows):,} of {len(cache):,} images and {len(names)} of {len(cache.classes)} classes of {source}"
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
