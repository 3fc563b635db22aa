"""A scoring plan and a target -> the target, made of parts: what any process has scored is kept, what is missing is scored."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ...pipeline.datasets.image_table import Fingerprint
from ...pipeline.errors import AevlpError
from ...pipeline.files.stamps import stamped_size
from ...pipeline.runtime.ranks import Rank
from ...pipeline.score_cache import CacheHeader, CacheRows, ScoreCache
from ...pipeline.score_cache.unfinished import Shard, cut, exclusive
from ...pipeline.scoring.bottleneck import TimeSpent
from ...pipeline.scoring.parts import PartStore
from ...pipeline.scoring.scorer import Threads
from ..console import Rate, progress_bar, say
from ..interrupted import keeping
from .engines import Engine, engine_of
from .plan import ScoringPlan

POLL_SECONDS = 1.0
Sizes = list[int | None]
Write = Callable[[CacheHeader, Sizes, Iterator[CacheRows]], None]


@dataclass
class Scored:
    """What this process did: images it read, those it could score, whether it wrote the target, and what took the time."""

    images: int = 0
    readable: int = 0
    wrote: bool = False
    spent: TimeSpent = field(default_factory=TimeSpent)


def part_store(plan: ScoringPlan, target: Path, of: str | None = None) -> PartStore:
    """Return the parts of a cache of a plan's images at `target`; of: the checksum of an old cache that they go into."""
    options = plan.options
    settings = plan.recipe.of_shards(
        {
            "hash of the list of images and labels": plan.images.listing()[:16],
            "of": of,
            "device": plan.encoder.device.type,
            "batch_size": plan.batch_size,
            "shard_size": options.shard_size,
            "hash_images": options.hash_images,
        }
    )
    return PartStore(target, settings, cut(len(plan.images), options.shard_size))


def score(plan: ScoringPlan, store: PartStore, rank: Rank, threads: Threads, write: Write) -> Scored:
    """Score the shards that no part holds, together with any other process at it, and give all rows to `write` at the end.

    write: makes the target, whole or not at all, of the header, the sizes of the files that were scored, and the rows in order.
    Exactly one process calls it; the others wait for it, and take over the shards of one that dies.
    Raises AevlpError where parts of other settings are there, or an image has changed since it was scored.
    """
    store.begin()
    if rank.first:
        _check_parts(plan, store)
    before = len(plan.images) - _rows(store.missing())
    if before and store.exists():
        say(f"going on: {before:,} of {len(plan.images):,} images are in {store.folder} already")
    scored, engine = Scored(), None
    again = "the same command, without --restart," if plan.options.restart else "the same command"
    with keeping(f"all that was finished is kept; {again} resumes"):
        while True:
            if store.missing():
                engine = engine or engine_of(plan, store, threads)
                _score_missing(plan, store, rank, engine, scored)
            with exclusive(store.target):
                if not store.exists():
                    return scored
                if finish(plan, store, write):
                    scored.wrote = True
                    return scored


def _score_missing(plan: ScoringPlan, store: PartStore, rank: Rank, engine: Engine, scored: Scored) -> None:
    """Score until no shard is missing, and count what this process does."""
    waiting = False
    with progress_bar(Rate("images"), Rate("views", plan.header.flips * plan.header.views)) as bar:
        task = bar.add_task("scoring", total=len(plan.images))
        counted = Counted(partial(bar.advance, task))
        while missing := store.missing():
            bar.update(task, completed=len(plan.images) - _rows(missing))
            turn = rank.number * len(missing) // rank.of  # each begins elsewhere, so that they seldom meet
            free = [shard for shard in missing[turn:] + missing[:turn] if store.is_free(shard)]
            if not (free and engine(free, counted, scored.spent)):
                if not waiting:
                    say("waiting for other processes, which are scoring all that is missing")
                waiting = True
                time.sleep(POLL_SECONDS)
            counted.refuse_bad(plan)
        bar.update(task, completed=len(plan.images))  # others may have scored the rest
    scored.images += counted.images
    scored.readable += counted.images - counted.bad


def finish(plan: ScoringPlan, store: PartStore, write: Write) -> bool:
    """Give the rows of all parts to `write`, and delete the parts; False where one of them is damaged, and so deleted."""
    checked = _checked(plan, store)
    if checked is None:
        return False
    say(f"writing {store.target}")
    write(*checked, _all_rows(store))
    store.remove()
    return True


def _check_parts(plan: ScoringPlan, store: PartStore) -> None:
    """Discard parts that are damaged; AevlpError where an image is not what it was when it was scored."""
    for shard in store.shards:
        part = _opened(store, shard)
        if part is None:
            continue
        for row, then in enumerate(part.text("stamps"), shard.start):
            if not plan.versions.is_now(row, then):
                there = plan.versions.identity(row) is not None
                what = "has changed" if there and then else "is gone" if then else "has appeared"
                raise AevlpError(
                    f"{plan.images.paths[row]} {what} since its part was made: delete {store.file(shard)} to score its "
                    f"{shard.stop - shard.start:,} images again, or {store.folder} to score all of them"
                )


def _checked(plan: ScoringPlan, store: PartStore) -> tuple[CacheHeader, Sizes] | None:
    """Return the header for all parts, with the fingerprint of the files that were scored, and these files' sizes.

    None where a part is damaged.
    """
    images, whole = plan.images, True
    sizes: Sizes = []
    counted = Counted(lambda _: None)
    fingerprint = Fingerprint(images.classes)
    for shard in store.shards:
        part = _opened(store, shard)
        if part is None:
            whole = False
            continue
        counted(part.text("reason"))
        here = slice(shard.start, shard.stop)
        sizes += map(stamped_size, part.text("stamps"))
        truth = None if images.truth is None else images.truth[here]
        fingerprint.add(
            images.ids[here], part.text("paths"), images.split[here], sizes[here], truth, images.observed[here]
        )
    if not whole:
        return None
    if counted.bad == len(images) and not store.extends:
        store.remove()
        raise AevlpError(f"none of the {counted.bad} images can be read, first {counted.first[0]}")
    counted.refuse_bad(plan)
    return plan.with_fingerprint(fingerprint.hexdigest()), sizes


def _opened(store: PartStore, shard: Shard) -> ScoreCache | None:
    """Return a part, None where it is damaged, which is said, and the part deleted."""
    if not store.file(shard).exists():  # asked first: it may appear at any time
        return None
    part = store.opened(shard)
    if part is None and store.file(shard).exists():
        say(
            f"{store.file(shard)} is damaged, its checksum does not agree: "
            f"images {shard.start:,} to {shard.stop - 1:,} are scored again"
        )
        store.discard(shard)
    return part


def _all_rows(store: PartStore) -> Iterator[CacheRows]:
    for shard in store.shards:
        rows = store.read(shard)
        if rows is None:
            raise AevlpError(f"{store.file(shard)} was damaged while {store.target} was written: run again")
        yield rows


def _rows(shards: list[Shard]) -> int:
    return sum(shard.stop - shard.start for shard in shards)


class Counted:
    """Counts what was read in this run: images, and reasons why some could not be."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        self.images, self.bad, self._advance = 0, 0, advance
        self.first: list[str] = []

    def __call__(self, reasons: list[str]) -> None:
        """Take note of some images, of each the reason why it could not be read, or an empty text."""
        self.images += len(reasons)
        bad = [reason for reason in reasons if reason]
        self.bad += len(bad)
        self.first += bad[: 3 - len(self.first)]
        self._advance(len(reasons))

    def refuse_bad(self, plan: ScoringPlan) -> None:
        """With --strict, raise AevlpError where an image could not be read."""
        if plan.options.strict and self.bad:
            raise AevlpError(
                f"{self.bad} of {len(plan.images)} images cannot be read, first {', '.join(self.first)}; --strict refuses, "
                f"no cache was written"
            )
