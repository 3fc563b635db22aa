"""Caches that differ in the views of their images alone -> one sweep of all, of which each setting says the views."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...pipeline.errors import AevlpError
from ...pipeline.runtime.provenance import difference
from ...pipeline.score_cache import ScoreCache
from ...pipeline.score_cache.provenance import simulation_of, views_of


def require_other_views(caches: Sequence[ScoreCache]) -> None:
    """Raise AevlpError where one is of other images, classes, labels or weights than the first, or two have the same views."""
    first, seen = caches[0], {}
    for cache in caches:
        differs = difference(_alike(cache), _alike(first)) or _first_other_row(cache, first)
        if differs:
            raise AevlpError(
                f"{cache.path} cannot be compared with {first.path} ({differs}): expected caches of the same images, classes, "
                f"labels and weights that differ in their views, as aevlp pseudolabel --views makes them"
            )
        views = str(views_of(cache.provenance))
        if views in seen:
            raise AevlpError(
                f"{seen[views]} and {cache.path} have the same views, {views}: leave one out, aevlp cache diff compares them"
            )
        seen[views] = cache.path


def together(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the records of several caches as one: the settings of all, best first, and the best of the recommendations."""
    best = max(records, key=lambda record: record["recommended"]["merit"])  # of equals the first
    results = [row for record in (best, *(r for r in records if r is not best)) for row in record["results"]]
    return {
        **best,
        "caches": [cache for record in records for cache in record["caches"]],
        "settings": len(results),
        "results": sorted(results, key=lambda row: -row["merit"]),
    }


def _alike(cache: ScoreCache) -> dict[str, Any]:
    """Return what makes the scores of a cache comparable with those of others."""
    made = cache.provenance
    return {
        "dataset": made["dataset"]["name"],
        "classes": dict(enumerate(cache.classes)),
        "images": len(cache),
        "weights": made["weights_sha256"],
        "simulate": simulation_of(made),
        "prompts": dict(enumerate(cache.prompts)),
        "text_graph": made.get("text_graph", "none"),
        "pixel_statistics": {name: made["pixel_statistics"][name] for name in ("mean", "std")},
        "compat": made["method"].get("compat"),
        "flips": cache.header.flips,
        "truth is known": cache.header.has_truth,
    }


def _first_other_row(cache: ScoreCache, first: ScoreCache) -> str | None:
    """Return where the rows of two caches of as many images differ first in image, split or labels; None where they do not."""
    for name in ("ids", "split", "observed", "truth"):
        mine, theirs = getattr(cache, name), getattr(first, name)
        if mine is not None and not np.array_equal(mine, theirs):
            other = mine != theirs
            row = int(np.argmax(other if other.ndim == 1 else other.any(axis=1)))
            words = {"ids": "images", "split": "splits", "observed": "observed labels", "truth": "true labels"}[name]
            return f"other {words}, first in row {row}, {cache.ids[row]}"
    return None
