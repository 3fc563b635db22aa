"""Shards of the image list -> their parts: claimed, decoded, scored and published, one after another."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch

from ..datasets import ImageTable
from ..errors import AevlpError
from ..files.stamps import file_identity, stamp_of_identity
from ..images.view_loading import ViewBatch, load_views
from ..score_cache import CacheHeader, CacheRows
from ..score_cache.schema import in_blocks
from ..score_cache.unfinished import Shard
from .bottleneck import DISK, IMAGES, TOWER, TimeSpent
from .parts import PartStore
from .scorer import Scorer, Vectors

T = TypeVar("T")


@dataclass(frozen=True)
class ShardScoring:
    """What scores shards of some images.

    hashed: whether stamps are of the files' content. strict: whether to stop at the first image that cannot be read, and only
    read on. batch_size: images at a time; a batch never reaches into another shard,
    so that a shard's rows do not depend on what was scored before. workers: processes that decode.
    """

    images: ImageTable
    scorer: Scorer
    store: PartStore
    hashed: bool
    strict: bool
    batch_size: int
    workers: int

    def run(self, shards: Iterable[Shard], done: Callable[[list[str]], None], spent: TimeSpent) -> int:
        """Score and publish those of the shards that nobody else has claimed or published; return how many.

        done: is told of each batch why its images could not be read, "" for those that could. spent: is told what was waited for.
        Raises AevlpError where an image changes while it is scored, and where memory does not suffice.
        While a batch is computed, the workers decode the next ones, and a thread publishes the shard before; on a GPU the next
        batch is handed over before the results of this one are asked for.
        """
        paths = self.images.paths.tolist()
        with (
            _plain_failures(self.batch_size),
            _Claims(self.store, shards, paths, self.hashed) as claims,
            _Publisher(self.store, claims, spent) as publisher,
        ):
            rows: list[CacheRows] = []
            for batch, begun in _one_behind(self._begun(claims, spent)):
                shard, stamps = claims.scored()
                here = slice(batch.rows[0] - shard.start, batch.rows[-1] + 1 - shard.start)
                if begun is not None:
                    with spent.on(TOWER):
                        rows.append(self.scorer.rows(self.images, batch, stamps[here], begun))
                done(batch.reason)
                if batch.rows[-1] + 1 == shard.stop:
                    claims.next()
                    if begun is not None:
                        publisher.publish(shard, self.scorer.header, rows)
                    rows = []
        return publisher.published

    def _begun(self, claims: "_Claims", spent: TimeSpent) -> Iterator[tuple[ViewBatch, list[Vectors] | None]]:
        """Yield the batches with their computation begun, and None in its place from the first that strictness refuses."""
        refused = False
        views, gpu = self.scorer.views, self.scorer.encoder.device.type == "cuda"
        batches = iter(load_views(views, claims.batches(self.batch_size), self.workers, pinned=gpu))
        while True:
            with spent.on(IMAGES):
                batch = next(batches, None)
            if batch is None:
                return
            refused = refused or (self.strict and any(batch.reason))
            with spent.on(TOWER):
                begun = None if refused else self.scorer.begin(batch)
            yield batch, begun


def _one_behind(items: Iterable[T]) -> Iterator[T]:
    """Yield items, each after the next one has been asked for, or has failed: what was begun before is finished."""
    before: list[T] = []
    try:
        for item in items:
            yield from before
            before = [item]
    except Exception:
        yield from before
        raise
    yield from before


@contextmanager
def _plain_failures(batch_size: int) -> Iterator[None]:
    """Raise AevlpError where memory does not suffice, here or in a worker, which the kernel then kills."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise AevlpError(
            f"the GPU's memory is full: free it of other programs and run the same command again, or delete the parts "
            f"and lower --batch-size {batch_size}, for all parts are made with one"
        ) from error
    except MemoryError as error:
        raise AevlpError("memory is full: run the same command again with fewer --workers") from error
    except RuntimeError as error:
        lost = re.match(
            r"DataLoader worker \(pid\S* [\d, ]+\) (is killed by signal: [\w ]+|exited unexpectedly)", str(error)
        )
        if lost is None:
            raise
        raise AevlpError(
            f"a process that decodes images {lost[1]}: memory, or shared memory, may have run out; run the same command "
            f"again, with fewer --workers"
        ) from error


class _Claims:
    """The shards that this process holds, in the order in which they are scored; all are let go at the end of the context."""

    def __init__(self, store: PartStore, shards: Iterable[Shard], paths: list[Path], hashed: bool) -> None:
        self._store, self._shards, self._paths, self._hashed = store, shards, paths, hashed
        self._held: dict[Shard, tuple[ExitStack, list[tuple[int, str] | None], list[str]]] = {}
        self._scored: deque[Shard] = deque()  # those that are being scored, or will be

    def __enter__(self) -> "_Claims":
        return self

    def __exit__(self, *_: object) -> None:
        for shard in list(self._held):
            self.release(shard)

    def batches(self, size: int) -> Iterator[list[int]]:
        """Claim one shard after another and yield its row numbers, `size` at a time."""
        for shard in self._shards:
            claim = ExitStack()
            if not claim.enter_context(self._store.claim(shard)):
                claim.close()
                continue
            paths = self._paths[shard.start : shard.stop]
            before = [file_identity(path) for path in paths]  # before any of them is decoded
            read = [path if self._hashed else None for path in paths]
            self._held[shard] = claim, before, list(map(stamp_of_identity, before, read))
            self._scored.append(shard)
            for start in range(shard.start, shard.stop, size):
                yield list(range(start, min(start + size, shard.stop)))

    def scored(self) -> tuple[Shard, list[str]]:
        """Return the shard that is being scored, and the stamps of its images."""
        shard = self._scored[0]
        return shard, self._held[shard][2]

    def next(self) -> None:
        """Go on to the next shard."""
        self._scored.popleft()

    def require_unchanged(self, shard: Shard) -> None:
        """Raise AevlpError where a file of a shard is not what it was when it was claimed."""
        for path, then in zip(self._paths[shard.start : shard.stop], self._held[shard][1], strict=True):
            if file_identity(path) != then:
                raise AevlpError(
                    f"{path} changed while it was scored: run the same command again, once it stays as it is"
                )

    def release(self, shard: Shard) -> None:
        """Let a claim go."""
        self._held.pop(shard)[0].close()


class _Publisher:
    """Publishes a shard while the next one is scored; lets its claim go when that is done, in the thread that holds it."""

    def __init__(self, store: PartStore, claims: _Claims, spent: TimeSpent) -> None:
        self._store, self._claims, self._spent = store, claims, spent
        self._pool = ThreadPoolExecutor(1)
        self._at_work: tuple[Shard, Future[None]] | None = None
        self.published = 0

    def __enter__(self) -> "_Publisher":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._wait()
        finally:
            self._pool.shutdown()  # what is being published when something fails is published

    def publish(self, shard: Shard, header: CacheHeader, rows: list[CacheRows]) -> None:
        """Publish a shard once the one before is."""
        self._wait()
        self._at_work = shard, self._pool.submit(self._publish, shard, header, rows)

    def _wait(self) -> None:
        if self._at_work is None:
            return
        shard, work = self._at_work
        with self._spent.on(DISK):
            work.result()
        self._at_work = None
        self._claims.release(shard)
        self.published += 1

    def _publish(self, shard: Shard, header: CacheHeader, rows: list[CacheRows]) -> None:
        self._claims.require_unchanged(shard)
        [whole] = in_blocks(rows, shard.stop - shard.start)
        self._store.publish(shard, replace(header, rows=len(whole)), whole)
