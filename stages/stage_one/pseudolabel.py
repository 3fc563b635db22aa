"""Stage one: a data set -> its cache of scores and pseudo-labels."""

import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from ...pipeline.datasets import ImageTable
from ...pipeline.errors import AevlpError, UnreadableNow, counted, given_by
from ...pipeline.files.identity import identity_of
from ...pipeline.files.stamps import is_hashed
from ...pipeline.labels.damp import DampSettings
from ...pipeline.labels.observation import checked
from ...pipeline.manifest.formats import DatasetSpec
from ...pipeline.runtime.provenance import difference
from ...pipeline.runtime.ranks import Rank, this_rank
from ...pipeline.score_cache import ScoreCache, check_suffix, open_cache, remove_cache, write_cache
from ...pipeline.score_cache.containers import container_of
from ...pipeline.score_cache.remote import check_writable
from ...pipeline.score_cache.unfinished import (
    exclusive,
    in_use,
    leftovers,
    parts_folder,
    recorded_settings,
    remove_parts,
)
from ...pipeline.scoring.bottleneck import TOWER
from ...pipeline.scoring.recipe import Recipe
from ...pipeline.scoring.scorer import one_thread_each
from ..cache_log import begin_log
from ..cache_origin import Compared, Origin
from ..console import let_speak, log, noted, out, say
from ..declaration import takes
from ..made import made
from ..made import show as show_made
from ..new_files import check_folder
from ..places import CACHES
from ..ray_cluster import check_engine
from ..sources import find_source
from .added import added_by, said_of
from .options import PseudolabelOptions
from .own_keys import keys_of, resolved
from .parts import Scored, part_store, score
from .plan import ScoringPlan, make_plan

# `run`, `demo` and `reproduce` score too, so that the command is named whose option this is.
ANEW = "delete it to score anew, as aevlp pseudolabel --restart does"
CONSTANTS = {field.name for field in fields(DampSettings)} - {"compat", "half"}


@takes(PseudolabelOptions)
def pseudolabel(options: PseudolabelOptions) -> ScoreCache:
    """Score every image of a source or a data set of the manifest, and return its cache; one that is there, made alike, as it is.

    Raises AevlpError, before anything is written, for a source that cannot be understood and options that do not go together.
    """
    return score_source(options)


def show(cache: ScoreCache) -> None:
    """Print what came of it, and what to do next."""
    show_made(cache)
    out.print(f"next: aevlp inspect {cache.path} · aevlp train {cache.path}")


def score_source(
    options: PseudolabelOptions,
    check: Callable[[DatasetSpec], None] = lambda spec: None,
    check_plan: Callable[[Path, ScoringPlan], None] = lambda path, plan: None,
) -> ScoreCache:
    """Return the cache as `pseudolabel` does.

    check, check_plan: told of the data set's entry, and of the cache's path and what it will hold, before anything is written;
    they may refuse it.
    """
    rank = this_rank()
    let_speak(rank)
    check_engine(options.engine, options.actors, options.gpus)
    if options.cache is not None:
        with given_by("--cache"):
            _check_target(check_suffix(options.cache))
    if options.simulate is not None:
        with given_by("--simulate"):
            checked(options.simulate)
    with noted() as into:
        return _scored(options, rank, into, check, check_plan)


def _scored(
    options: PseudolabelOptions,
    rank: Rank,
    into: Callable[[Path], None],
    check: Callable[[DatasetSpec], None],
    check_plan: Callable[[Path, ScoringPlan], None],
) -> ScoreCache:
    source = find_source(options, options.cache, partial(keys_of, options))
    spec = source.spec
    check(spec)
    path = options.cache or CACHES / f"{spec.name}.h5"
    if options.cache is None:
        _check_target(path)
    if source.path is not None:
        options = resolved(options, spec.name, source.path)
    elif options.source is not None:  # an engine's other processes look for the entry by its name
        options = replace(options, source=None, dataset=spec.name, manifest=[spec.manifest_path])
    with one_thread_each() as threads:
        plan = make_plan(options, spec)
        check_plan(path, plan)
        source.write()
        if options.restart:
            _delete(path, rank, options.yes)
        if path.exists():
            _require_same(path, plan)
            return made(path, " is there already, made with these very settings: nothing to do")
        started = time.monotonic()
        store = part_store(plan, path)
        begin_log(path, rank, into)
        scored = score(plan, store, rank, threads, lambda header, _, rows: write_cache(path, header, rows))
    if not path.exists():
        raise AevlpError(f"{store.folder} was deleted by another process before {path} was made of it: run again")
    if not scored.wrote:  # another process has made it, perhaps with other settings
        _require_same(path, plan)
        say(f"{path} was written by another process")
    seconds = time.monotonic() - started
    how = _summary(path, plan, scored, seconds, "by this process" if rank.of > 1 else "in this run")
    log(f"{path}{how}")
    return made(path, how)


def _check_target(path: Path) -> None:
    """Raise AevlpError where a cache cannot be written, or would replace what is no cache, before any work is done."""
    check_folder(path)
    check_writable(path)
    container_of(path).require_replaceable(path)


def _delete(path: Path, rank: Rank, agreed: bool) -> None:
    """Delete a cache and its parts, if there are any, after asking; AevlpError where the answer is no or they are in use."""
    there = [place for place in (path, parts_folder(path)) if place.exists()]
    if not there:
        return
    named = " and ".join(map(str, there))
    if rank.of > 1:
        raise AevlpError(f"--restart deletes {named}, which one process must do: delete them, and start without it")
    if not agreed:
        sys.stderr.write(f"Delete {named}? [y/N] ")
        sys.stderr.flush()
        answer = sys.stdin.readline() if sys.stdin else ""  # closed: nobody is there to ask
        if not answer.endswith("\n"):
            sys.stderr.write("\n")
        if answer.strip().lower() not in ("y", "yes"):
            raise AevlpError(f"nothing was deleted: answer y, or pass --yes, to delete {named} and start anew")
    with exclusive(path):
        if in_use(path):
            raise AevlpError(
                f"another process is scoring into {parts_folder(path)}: nothing was deleted; stop it first"
            )
        remove_parts(path)
        remove_cache(path)


def _without_constants(made: dict[str, Any]) -> dict[str, Any]:
    """Return what a cache is made of without the constants that make labels of its scores, which each training takes anew."""
    return {**made, "method": {name: value for name, value in made["method"].items() if name not in CONSTANTS}}


def _require_same(path: Path, plan: ScoringPlan) -> None:
    """Raise AevlpError where the cache that is there was made differently."""
    try:
        cache = open_cache(path)
    except UnreadableNow:  # nothing says that it is damaged
        raise
    except AevlpError as error:
        raise AevlpError(f"{error}; {ANEW}") from error
    found = Origin(cache.classes, plan.spec.name, plan.images, plan.versions).compared(cache)
    now, then = plan.recipe.comparable(), Recipe.of(cache.header).comparable()
    labelled, changed = difference(now, then), difference(_without_constants(now), _without_constants(then))
    if labelled and not changed:
        say(
            f"{path} is labelled with other constants than the manifest has now ({labelled}): no image is scored again, training "
            f"and aevlp inspect take those of now"
        )
    if changed and changed.startswith(("images:", "dataset.fingerprint:")) and plan.options.limit is None:
        raise AevlpError(f"{path} is not of the data set as it is now: {_changed_images(cache, plan.images, found)}")
    if changed:
        raise AevlpError(f"{path} was made differently (this run has {changed}): choose another --cache, or {ANEW}")
    made_of = recorded_settings(path)
    # A process was killed after it had made the cache of these parts, or while it removed them.
    if (made_of is not None and not made_of.get("of")) or (made_of is None and leftovers(path)):
        with exclusive(path):
            for _ in cache.rows():
                pass
            remove_parts(path)
        say(f"removed what an interrupted run had left beside {path}")
    _note_other_times(cache, found)


def _changed_images(cache: ScoreCache, images: ImageTable, found: Compared) -> str:
    """Return which images or labels a cache has differently from the data set, and what to do."""
    known = set(cache.ids.tolist())
    new = [name for name in images.ids.tolist() if name not in known]
    gone = sorted(cache.ids[~found.listed].tolist())
    remedy = f"aevlp cache append {cache.path}{' --prune' if gone else ''} brings it up to date"
    if new or gone:
        said = [
            f"{counted(len(some), *what)}, first {some[0]!r}"
            for some, what in (
                (new, ("image is new", "images are new")),
                (gone, ("of its images is not listed any more", "of its images are not listed any more")),
            )
            if some
        ]
        return f"{', '.join(said)}; {remedy}"
    if found.resized.any():
        return (
            f"{counted(int(found.resized.sum()), 'image has', 'images have')} another size than when scored, first "
            f"{found.first(found.resized)}; {remedy}"
        )
    if found.moved.any():
        return (
            f"{counted(int(found.moved.sum()), 'image has', 'images have')} another place below the data set's folder than when "
            f"scored, first {found.now.relative_paths()[int(found.moved.argmax())]}: pass the folder of then as --data-root "
            f"({cache.provenance['dataset']['root']}), or choose another --cache"
        )
    return f"labels, splits or their order have changed; {remedy}"


def _note_other_times(cache: ScoreCache, found: Compared) -> None:
    """Say which images were written anew since they were scored, though with as many bytes: a copied data set is no fault."""
    if any(map(is_hashed, cache.stamps.tolist())):
        return
    if found.rewritten.any():
        say(
            f"{counted(int(found.rewritten.sum()), 'image was', 'images were')} written anew since scored, with as many bytes, "
            f"first {found.first(found.rewritten)}: if they show something else, aevlp cache append {cache.path} --changed "
            f"scores them again"
        )


def _summary(path: Path, plan: ScoringPlan, scored: Scored, seconds: float, whose: str) -> str:
    """Return what there is to say of how the scoring went, in lines of which the first follows the cache's path."""
    cache = open_cache(path)
    statuses = Counter(cache.status.tolist())
    views = scored.readable * cache.header.views * cache.header.flips
    files = [path] if path.is_file() else list(path.iterdir())
    size = sum(identity_of(file)[0] for file in files) / 1e6
    here = f", {scored.images:,} of them {whose}" if scored.images < len(cache) else ""
    pace = (
        f", {views:,} views in {seconds:,.1f} s ({scored.images / seconds:,.1f} images/s, {views / seconds:,.0f} views/s)"
        if scored.images
        else ""
    )
    lines = [f": {counted(statuses['ok'], 'image')} scored{here}{pace}, {size:,.1f} MB"]
    if scored.images and scored.spent.seconds[TOWER]:
        lines.append(scored.spent.limit())
    for status in sorted(set(statuses) - {"ok"}):
        lines.append(
            f"{counted(statuses[status], 'image')} {status}: kept as rows without scores, left out of training"
        )
    for reason in [text for text in cache.reason.tolist() if text][:3]:
        say(f"  {' '.join(reason.split())}")
    lines += said_of(added_by(cache), cache, plan.spec)
    return "\n".join(lines)
