"""Several caches of other images -> one cache of all of them."""

from typing import Any

import numpy as np

from ...pipeline.errors import AevlpError, counted
from ...pipeline.runtime.provenance import difference
from ...pipeline.score_cache import ScoreCache, open_cache, write_cache
from ...pipeline.score_cache.merging import merged
from ...pipeline.scoring.recipe import Recipe
from ..declaration import takes
from ..made import made, show
from .new_cache import check_new
from .options import MergeOptions

__all__ = ["merge", "show"]


@takes(MergeOptions)
def merge(options: MergeOptions) -> ScoreCache:
    """Write one cache of the images of several, and return it.

    Raises AevlpError for less than two, and where they were made in different ways, or share an image.
    """
    target = check_new(options.target)
    if len(options.caches) < 2:
        raise AevlpError(f"at least two caches are needed to merge, found {len(options.caches)}")
    caches = [open_cache(source) for source in options.caches]
    for cache in caches[1:]:
        _require_same(caches[0], cache)
    header, rows = merged(caches)
    write_cache(target, header, rows)
    return made(target, f": {counted(header.rows, 'image')} of {counted(len(caches), 'cache')}")


def _require_same(first: ScoreCache, other: ScoreCache) -> None:
    changed = difference(_shaping(other), _shaping(first))
    if changed is None and first.header.text is not None and other.header.text is not None:
        changed = None if np.allclose(first.header.text, other.header.text, atol=1e-4) else "the prompts' vectors"
    if changed:
        raise AevlpError(
            f"{other.path} was made differently from {first.path} ({changed}): only like caches can be merged"
        )


def _shaping(cache: ScoreCache) -> dict[str, Any]:
    """Return what caches of different images of one data set have in common; names by number, so that one is told."""
    header = cache.header
    dataset = header.provenance["dataset"]
    made = {
        "classes": dict(enumerate(header.classes)),
        "truth is known": header.has_truth,
        "views": header.views,
        "flips": header.flips,
        **Recipe.of(header).comparable(),
        "prompts": dict(enumerate(header.prompts)),
        "dataset": {key: dataset[key] for key in ("name", "label_files")},
    }
    del made["images"]
    return made
