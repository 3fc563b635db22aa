"""A cache and its data set as it is now -> the cache brought up to date, scoring only images that are new, or that failed."""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.clip.towers import TORCH
from ...pipeline.datasets import ImageTable
from ...pipeline.errors import AevlpError
from ...pipeline.files.image_formats import MAX_PIXELS
from ...pipeline.files.locations import location
from ...pipeline.files.stamps import file_size, is_hashed, stamp, stamped_size
from ...pipeline.images.resizing import resize_of
from ...pipeline.labels.damp import DampSettings
from ...pipeline.manifest.formats import PACKAGED
from ...pipeline.manifest.load import load_manifest
from ...pipeline.runtime.provenance import difference
from ...pipeline.runtime.ranks import this_rank
from ...pipeline.score_cache import CacheHeader, CacheRows, ScoreCache, open_cache, write_cache
from ...pipeline.score_cache.remote import check_writable
from ...pipeline.score_cache.schema import ROWS_A_BLOCK, joined
from ...pipeline.score_cache.scores import with_scores
from ...pipeline.score_cache.unfinished import exclusive, recorded_settings, remove_parts
from ...pipeline.scoring.scorer import one_thread_each
from ..console import let_speak, out, print_result
from ..stage_one.parts import score
from ..stage_one.plan import Options, ScoringPlan, comparable, make_plan
from .inspect import cached_settings


@dataclass(frozen=True)
class Scoring:
    """What the command line may say of how to score; all that shapes a score is the cache's own.

    changed: whether to score images again that were written anew with as many bytes. prune: whether to drop the rows of images
    that the data set does not list any more.
    """

    data_root: Path | None = None
    manifest: Path | Sequence[Path] | None = None
    relation: Path | None = None
    device: str | None = None
    batch_size: int | None = None
    workers: int | None = None
    changed: bool = False
    max_pixels: int = MAX_PIXELS
    prune: bool = False


def append(path: Path, scoring: Scoring) -> None:
    """Score the images that the data set has and the cache has not, or that have changed, and take over all labels of now."""
    _bring_up_to_date(path, scoring, retried=False)


def retry(path: Path, scoring: Scoring) -> None:
    """Score the cache's images that could not be read."""
    _bring_up_to_date(path, scoring, retried=True)


def _bring_up_to_date(path: Path, scoring: Scoring, retried: bool) -> None:
    rank = this_rank()
    let_speak(rank)
    cache = open_cache(path)
    if "vocabulary" in cache.provenance:
        raise AevlpError(f"{path} was made of another cache: bring that one up to date, and select or rescore it again")
    options = _options(cache, scoring)
    spec = load_manifest(options.manifest)[options.dataset]
    with one_thread_each() as threads:
        plan = make_plan(options, spec)
        _insist_on_same(cache, plan)
        plan, kept = _matched(cache, plan, retried, scoring)
        todo = np.flatnonzero(kept < 0)
        if not len(todo) and (retried or _same_labels(cache, plan.images, kept)):
            _remove_stale_parts(path, None)
            kind = "had failed" if retried else f"of {spec.name} is new or has changed"
            out.print(f"{path}: no image {kind}: nothing to do")
            return
        check_writable(path)
        part = replace(plan, images=plan.images.take(todo), header=replace(plan.header, rows=len(todo)))
        of = _content(cache)
        store = part.store(path, of)
        _remove_stale_parts(path, of)
        for _ in cache.rows():  # what is kept must be whole
            pass
        started = time.monotonic()

        def write(_: CacheHeader, rows: Iterator[CacheRows]) -> None:
            if _content(open_cache(path)) != of:
                raise AevlpError(f"another process has changed {path} meanwhile: run again")
            header = plan.with_fingerprint(plan.images.fingerprint())
            write_cache(path, header, _woven(cache, plan.images, kept, rows))

        if len(todo):
            score(part, store, rank, threads, write)
        elif rank.first:  # labels alone have changed
            write(plan.header, iter(()))
    statuses = open_cache(path).status
    readable = int((statuses[todo] == "ok").sum())
    dropped = len(set(cache.ids.tolist()).difference(plan.images.ids.tolist()))
    print_result(
        path,
        f": {len(statuses):,} images, {readable:,} of {len(todo):,} "
        f"{'that had failed' if retried else 'new or changed ones'} scored in {time.monotonic() - started:,.1f} s"
        f"{f', {dropped:,} dropped that {spec.name} does not list any more' if dropped else ''}",
    )


def _content(cache: ScoreCache) -> str:
    """Return a hash of all that a cache holds."""
    return hashlib.sha256(json.dumps(cache.checksums).encode()).hexdigest()


def _options(cache: ScoreCache, scoring: Scoring) -> Options:
    """Return the options that a cache was made with; AevlpError where one of them must be given again."""
    made = cache.provenance
    graph = made["text_graph"]
    if isinstance(graph, dict) and graph["relation"] != "cosines of the text features" and scoring.relation is None:
        raise AevlpError(f"{cache.path} was made with a matrix of label similarities: pass it again as --relation")
    manifest = made["dataset"]["manifest"]
    observation = made["observation"]
    return Options(
        dataset=made["dataset"]["name"],
        cache=cache.path,
        data_root=scoring.data_root or location(made["dataset"]["root"]),
        manifest=scoring.manifest or (Path(manifest) if manifest else PACKAGED),
        observe=observation if isinstance(observation, dict) else None,
        clip=made["clip"]["model"],
        weights=made["clip"]["weights"],
        grid=made["method"]["grid"],
        device=scoring.device,
        precision=made["precision"],
        storage=cache.header.storage,
        store=cache.header.stores,
        compat=made["method"]["compat"],
        resize=resize_of(made["resize"]),
        tower=made.get("tower", TORCH).split()[0],
        text_graph="none" if graph == "none" else graph["kind"],
        relation=scoring.relation,
        batch_size=scoring.batch_size,
        hash_images=any(map(is_hashed, cache.stamps.tolist())),
        workers=scoring.workers,
        seed=made["seed"],
        max_pixels=scoring.max_pixels,
        mean=made["pixel_statistics"]["mean"],
        std=made["pixel_statistics"]["std"],
        activation=made["activation"],
        statistics_from=made["pixel_statistics"].get("source", "not recorded"),
    )


def _insist_on_same(cache: ScoreCache, plan: ScoringPlan) -> None:
    """Raise AevlpError where images would be scored otherwise than those of the cache."""

    def shaping(header: CacheHeader) -> dict[str, Any]:
        whole = comparable(header)
        return {key: value for key, value in whole.items() if key not in ("images", "dataset")}

    changed = difference(shaping(plan.header), shaping(cache.header))
    if changed:
        raise AevlpError(
            f"images would now be scored otherwise than those of {cache.path} ({changed}): make a new cache"
        )
    if list(plan.images.classes) != cache.classes:
        raise AevlpError(f"{cache.path} has other classes than {plan.spec.name} has now: make a new cache")


def _matched(cache: ScoreCache, plan: ScoringPlan, retried: bool, scoring: Scoring) -> tuple[ScoringPlan, np.ndarray]:
    """Return the plan for the images of the new cache, and the row of each in the old one, -1 where it is to be scored."""
    row_of = {name: row for row, name in enumerate(cache.ids.tolist())}
    old = np.array([row_of.pop(name, -1) for name in plan.images.ids.tolist()], dtype=np.int64)
    if row_of and not (old >= 0).any():
        raise AevlpError(
            f"{plan.spec.name} in {plan.root} lists none of the {len(cache):,} images of {cache.path}, first "
            f"{next(iter(row_of))!r}: pass the right --data-root or --manifest, or make a new cache"
        )
    if row_of and not scoring.prune:
        raise AevlpError(
            f"{cache.path} holds {len(row_of):,} images that {plan.spec.name} in {plan.root} does not list, first "
            f"{next(iter(row_of))!r}: aevlp cache append {cache.path} --prune drops their rows"
        )
    if retried:
        there = np.flatnonzero(old >= 0)
        plan = replace(plan, images=plan.images.take(there), header=replace(plan.header, rows=len(there)))
        old = old[there]
        old = np.where(cache.status[old] == "ok", old, -1)
    stamps = cache.stamps.tolist()
    for n, (path, row) in enumerate(zip(plan.images.paths.tolist(), old.tolist(), strict=True)):
        if row < 0:
            continue
        size, then = file_size(path), stamps[row]
        if size is None and then:
            raise AevlpError(
                f"{path} was scored into {cache.path} and is gone: bring it back, or take it out of {plan.spec.name} too and "
                f"pass --prune"
            )
        if size != stamped_size(then) and retried:
            raise AevlpError(
                f"{path} is not of the size that it was scored with: aevlp cache append {cache.path} scores it again"
            )
        if size != stamped_size(then) or (scoring.changed and stamp(path, is_hashed(then)) != then):
            old[n] = -1
    return plan, old


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
    """Yield the rows of all images in order: of the cache where `kept` says which, of the newly scored ones otherwise."""
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
