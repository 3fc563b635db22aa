"""A cache and its data set as it is now -> the cache brought up to date, scoring only images that are new, or that failed."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.datasets import ImageTable
from ...pipeline.errors import AevlpError, counted
from ...pipeline.files.locations import location
from ...pipeline.files.stamps import is_hashed
from ...pipeline.images.resizing import resize_of
from ...pipeline.labels.damp import DampSettings
from ...pipeline.manifest.formats import PACKAGED
from ...pipeline.manifest.load import load_manifest
from ...pipeline.runtime.provenance import difference
from ...pipeline.runtime.ranks import Rank, this_rank
from ...pipeline.score_cache import CacheHeader, CacheRows, ScoreCache, open_cache, write_cache
from ...pipeline.score_cache.remote import check_writable
from ...pipeline.score_cache.schema import ROWS_A_BLOCK, joined
from ...pipeline.score_cache.scores import with_scores
from ...pipeline.score_cache.unfinished import exclusive, recorded_settings, remove_parts
from ...pipeline.scoring.recipe import OF_FEATURES, Recipe
from ...pipeline.scoring.scorer import one_thread_each
from ..cache_log import begin_log
from ..cache_origin import Origin, placed_by_content
from ..console import let_speak, log, noted
from ..declaration import takes
from ..made import made, show
from ..stage_one.options import PseudolabelOptions
from ..stage_one.parts import Sizes, part_store, score
from ..stage_one.plan import ScoringPlan, make_plan
from .inspect import cached_settings
from .options import AppendOptions, RetryOptions

__all__ = ["append", "retry", "show"]


@takes(AppendOptions)
def append(options: AppendOptions) -> ScoreCache:
    """Score the images that the data set has and the cache has not, or that have changed, and take over all labels of now.

    Returns the cache. Raises AevlpError where images would be scored differently, or are gone.
    """
    return _up_to_date(options, retried=False)


@takes(RetryOptions)
def retry(options: RetryOptions) -> ScoreCache:
    """Score the cache's images that could not be read, and return it; AevlpError as for `append`."""
    return _up_to_date(AppendOptions(**vars(options)), retried=True)


def _up_to_date(scoring: AppendOptions, retried: bool) -> ScoreCache:
    let_speak(this_rank())
    with noted() as into:
        return _brought_up_to_date(scoring, retried, this_rank(), into)


def _brought_up_to_date(scoring: AppendOptions, retried: bool, rank: Rank, into: Callable[[Path], None]) -> ScoreCache:
    path = scoring.cache
    cache = open_cache(path)
    if "vocabulary" in cache.provenance:
        raise AevlpError(f"{path} was made of another cache: bring that one up to date, and select or rescore it again")
    options = _options(cache, scoring)
    spec = load_manifest(options.manifest)[cache.provenance["dataset"]["name"]]
    with one_thread_each() as threads:
        plan = make_plan(options, spec, placed_by_content(cache, spec))
        _require_same(cache, plan)
        plan, kept = _matched(cache, plan, retried, scoring)
        todo = np.flatnonzero(kept < 0)
        if not len(todo) and (retried or _same_labels(cache, plan.images, kept)):
            _remove_stale_parts(path, None)
            kind = "had failed" if retried else f"of {spec.name} is new or has changed"
            return made(path, f": no image {kind}: nothing to do")
        check_writable(path)
        part = plan.take(todo)
        of = _content(cache)
        store = part_store(part, path, of)
        _remove_stale_parts(path, of)
        for _ in cache.rows():  # what is kept must be whole
            pass
        started = time.monotonic()

        def write(_: CacheHeader, scored: Sizes, rows: Iterator[CacheRows]) -> None:
            if _content(open_cache(path)) != of:
                raise AevlpError(f"another process has changed {path} meanwhile: run again")
            sizes = plan.versions.sizes
            for row, size in zip(todo, scored, strict=True):
                sizes[row] = size
            header = plan.with_fingerprint(plan.images.fingerprint(sizes))
            write_cache(path, header, _woven(cache, plan.images, kept, rows))

        begin_log(path, rank, into)
        if len(todo):
            score(part, store, rank, threads, write)
        elif rank.first:  # labels alone have changed
            write(plan.header, [], iter(()))
    statuses = open_cache(path).status
    readable = int((statuses[todo] == "ok").sum())
    dropped = len(set(cache.ids.tolist()).difference(plan.images.ids.tolist()))
    how = (
        f": {counted(len(statuses), 'image')}, {readable:,} of {len(todo):,} "
        f"{'that had failed' if retried else 'new or changed ones'} scored in {time.monotonic() - started:,.1f} s"
        f"{f', {dropped:,} dropped that {spec.name} does not list any more' if dropped else ''}"
    )
    log(f"{path}{how}")
    return made(path, how)


def _content(cache: ScoreCache) -> str:
    """Return a hash of all that a cache holds."""
    return hashlib.sha256(json.dumps(cache.checksums).encode()).hexdigest()


def _options(cache: ScoreCache, scoring: AppendOptions) -> PseudolabelOptions:
    """Return the options that a cache was made with; AevlpError where one of them must be given again."""
    made = Recipe.of(cache.header)
    graph = made.text_graph
    if isinstance(graph, dict) and graph["relation"] != OF_FEATURES and scoring.relation is None:
        raise AevlpError(f"{cache.path} was made with a matrix of label similarities: pass it again as --relation")
    manifest = made.dataset.manifest
    given: dict[str, Any] = {
        "dataset": made.dataset.name,
        "cache": cache.path,
        "data_root": scoring.data_root or location(made.dataset.root),
        "manifest": scoring.manifest or [Path(manifest) if manifest else PACKAGED],
        "simulate": made.simulate,
        "clip": made.clip["model"],
        "weights": made.clip["weights"],
        "views": str(made.method["grid"]),
        "device": scoring.device,
        "precision": made.precision,
        "storage": made.storage,
        "store": made.store,
        "compat": made.method["compat"],
        "resize": resize_of(made.resize),
        "tower": made.tower.split()[0],
        "text_graph": graph["kind"] if isinstance(graph, dict) else "none",
        "relation": scoring.relation,
        "batch_size": scoring.batch_size,
        "hash_images": any(map(is_hashed, cache.stamps.tolist())),
        "workers": scoring.workers,
        "seed": made.seed,
        "max_pixels": scoring.max_pixels,
        "mean": made.pixel_statistics["mean"],
        "std": made.pixel_statistics["std"],
        "activation": made.activation,
        "statistics_from": made.pixel_statistics.get("source", "not recorded"),
    }
    return PseudolabelOptions(**given)


def _require_same(cache: ScoreCache, plan: ScoringPlan) -> None:
    """Raise AevlpError where images would be scored differently from those of the cache."""
    changed = difference(plan.recipe.shaping(), Recipe.of(cache.header).shaping())
    if changed:
        raise AevlpError(
            f"images would now be scored differently from those of {cache.path} ({changed}): make a new cache"
        )
    if list(plan.images.classes) != cache.classes:
        raise AevlpError(f"{cache.path} has other classes than {plan.spec.name} has now: make a new cache")


def _matched(
    cache: ScoreCache, plan: ScoringPlan, retried: bool, scoring: AppendOptions
) -> tuple[ScoringPlan, np.ndarray]:
    """Return the plan for the images of the new cache, and the row of each in the old one, -1 where it is to be scored."""
    found = Origin(cache.classes, plan.spec.name, plan.images, plan.versions).compared(cache)
    gone = cache.ids[~found.listed].tolist()
    if gone and not found.listed.any():
        raise AevlpError(
            f"{plan.spec.name} in {plan.root} lists none of the {len(cache):,} images of {cache.path}, first "
            f"{gone[0]!r}: pass the right --data-root or --manifest, or make a new cache"
        )
    if gone and not scoring.prune:
        raise AevlpError(
            f"{cache.path} holds {counted(len(gone), 'image')} that {plan.spec.name} in {plan.root} does not list, first "
            f"{gone[0]!r}: aevlp cache append {cache.path} --prune drops their rows"
        )
    again = retried & (cache.status != "ok")
    if (lost := found.gone & ~again).any():
        raise AevlpError(
            f"{found.first(lost)} was scored into {cache.path} and is gone: bring it back, or take it out of {plan.spec.name} "
            f"too, and aevlp cache append {cache.path} --prune drops its row"
        )
    if retried and (other := found.resized & ~again).any():
        raise AevlpError(
            f"{found.first(other)} is not of the size that it was scored with: aevlp cache append {cache.path} scores it again"
        )
    again |= found.rewritten if scoring.changed else found.resized
    kept = np.full(len(plan.images), -1, dtype=np.int64)
    kept[found.place[found.listed]] = np.where(again, -1, np.arange(len(cache)))[found.listed]
    if not retried:
        return plan, kept
    there = np.sort(found.place[found.listed])
    return plan.take(there), kept[there]


def _same_labels(cache: ScoreCache, images: ImageTable, kept: np.ndarray) -> bool:
    """Return whether a cache holds these very images, in their order, with their labels."""
    return (
        np.array_equal(kept, np.arange(len(cache)))
        and np.array_equal(cache.split, images.split)
        and np.array_equal(cache.observed, images.observed)
        and (cache.truth is None) == (images.truth is None)
        and (cache.truth is None or images.truth is None or np.array_equal(cache.truth, images.truth))
    )


def _remove_stale_parts(path: Path, of: str | None) -> None:
    """Delete parts that were made for an earlier state of the cache: a process was killed after it had used them."""
    theirs = recorded_settings(path)
    if theirs is not None and theirs.get("of") not in (None, of):
        with exclusive(path):
            remove_parts(path)


def _woven(cache: ScoreCache, images: ImageTable, kept: np.ndarray, scored: Iterator[CacheRows]) -> Iterator[CacheRows]:
    """Yield the rows of all images in order: of the cache where `kept` says which, else of the newly scored ones."""
    settings = cached_settings(cache)
    fresh: list[CacheRows] = []
    for start in range(0, len(images), ROWS_A_BLOCK):
        here = slice(start, min(start + ROWS_A_BLOCK, len(images)))
        old = kept[here]
        is_old = old >= 0
        needed = int((~is_old).sum())
        while sum(map(len, fresh)) < needed:
            fresh.append(next(scored))
        parts = [cache.take(old[is_old])] if is_old.any() else []
        if needed:
            together = joined(fresh)
            parts.append(together.take(slice(needed)))
            fresh = [together.take(slice(needed, None))]
        place = np.empty(len(old), dtype=np.int64)  # of each row, among the old ones and then the new ones
        place[is_old] = np.arange(len(old) - needed)
        place[~is_old] = np.arange(len(old) - needed, len(old))
        yield _labelled(joined(parts).take(place), images.take(here), settings, cache)


def _labelled(rows: CacheRows, images: ImageTable, settings: DampSettings, cache: ScoreCache) -> CacheRows:
    """Return rows with the labels of `images`; score and code are made anew where what is observed has changed."""
    changed = (rows.observed != images.observed).any(axis=1)[:, None]
    labelled = replace(rows, split=images.split.tolist(), truth=images.truth, observed=images.observed)
    if not changed.any():
        return labelled
    anew = with_scores(cache.header, labelled, settings)
    return replace(
        labelled, score=np.where(changed, anew.score, rows.score), code=np.where(changed, anew.code, rows.code)
    )
