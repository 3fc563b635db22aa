"""Shards of the image list -> their parts: claimed, decoded, scored and published, one after another."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from .datasets import ImageTable
from .errors import AevlpError
from .images import file_identity
from .part_store import PartStore, Shard
from .score_cache import CacheRows
from .score_cache.schema import in_blocks
from .scoring import Scorer
from .stamps import stamp
from .view_loading import ViewDataset, load_views


@dataclass(frozen=True)
class ShardScoring:
    """What scores shards of some images.

    hashed: whether stamps are of the files' content. strict: whether to stop at the first image that cannot be read, and only
    read on. batch_size: images at a time; a batch never reaches into another shard,
    so that a shard's rows do not depend on what was scored before. workers: processes that decode.
    """

    images: ImageTable
    views: ViewDataset
    scorer: Scorer
    store: PartStore
    hashed: bool
    strict: bool
    batch_size: int
    workers: int

    def run(self, shards: Iterable[Shard], done: Callable[[list[str]], None]) -> int:
        """Score and publish those of the shards that nobody else has claimed or published; return how many.

        done: is told of each batch why its images could not be read, "" for those that could. Raises AevlpError where an image
        changes while it is scored, and where memory does not suffice.
        """
        published, refused = 0, False
        rows: list[CacheRows] = []
        claimed = _Claims(self.store, shards, self.images.paths.tolist(), self.hashed)
        with claimed as claims, _plain_failures(self.batch_size):
            for batch in load_views(self.views, claims.batches(self.batch_size), self.workers):
                shard, stamps = claims.first()
                here = slice(batch.rows[0] - shard.start, batch.rows[-1] + 1 - shard.start)
                refused = refused or (self.strict and any(batch.reason))
                if not refused:
                    rows.append(self.scorer.rows(self.images, batch, stamps[here]))
                done(batch.reason)
                if batch.rows[-1] + 1 == shard.stop and refused:
                    claims.release_first()
                elif batch.rows[-1] + 1 == shard.stop:
                    claims.insist_on_unchanged()
                    [whole] = in_blocks(rows, shard.stop - shard.start)
                    self.store.publish(shard, replace(self.scorer.header, rows=len(whole)), whole)
                    claims.release_first()
                    rows = []
                    published += 1
        return published


@contextmanager
def _plain_failures(batch_size: int) -> Iterator[None]:
    """Raise AevlpError where memory does not suffice, here or in a worker, which the kernel then kills."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise AevlpError(
            f"the GPU's memory is full: free it of other programs and run the same command again, or lower --batch-size "
            f"{batch_size} with --restart, for all parts are made with one"
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
        self._held: deque[tuple[Shard, ExitStack, list[tuple[int, str] | None], list[str]]] = deque()

    def __enter__(self) -> "_Claims":
        return self

    def __exit__(self, *_: object) -> None:
        while self._held:
            self.release_first()

    def batches(self, size: int) -> Iterator[list[int]]:
        """Claim one shard after another and yield its row numbers, `size` at a time."""
        for shard in self._shards:
            claim = ExitStack()
            if not claim.enter_context(self._store.claim(shard)):
                claim.close()
                continue
            paths = self._paths[shard.start : shard.stop]
            before = [file_identity(path) for path in paths]  # before any of them is decoded
            self._held.append((shard, claim, before, [stamp(path, self._hashed) for path in paths]))
            for start in range(shard.start, shard.stop, size):
                yield list(range(start, min(start + size, shard.stop)))

    def first(self) -> tuple[Shard, list[str]]:
        """Return the shard that is being scored, and the stamps of its images."""
        shard, _, _, stamps = self._held[0]
        return shard, stamps

    def insist_on_unchanged(self) -> None:
        """Raise AevlpError where a file of the shard that is being scored is not what it was when it was claimed."""
        shard, _, before, _ = self._held[0]
        for path, then in zip(self._paths[shard.start : shard.stop], before, strict=True):
            if file_identity(path) != then:
                raise AevlpError(
                    f"{path} changed while it was scored: run the same command again, once it stays as it is"
                )

    def release_first(self) -> None:
        """Let the oldest claim go."""
        self._held.popleft()[1].close()
