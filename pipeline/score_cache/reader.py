"""An opened cache: its columns, rows on demand, and label codes streamed over all rows."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import AevlpError
from ..labels.codes import UNKNOWN
from ..labels.damp import LEAST_IMAGES, DampSettings, damp_codes
from .checksums import Checksums, damaged_columns, header_checksum
from .numbers import cosines, drawn, single
from .provenance import views_of
from .schema import ROWS_A_BLOCK, TEXT_COLUMNS, CacheHeader, CacheRows, array_columns, header_fingerprint

BLOCK_BYTES = 1 << 23  # of stored numbers read at a time while streaming
PIECE_BYTES = 1 << 20  # of single-precision numbers worked on at a time: they stay in the processor's cache
Rows = np.ndarray | slice | list[int]


class Store(Protocol):
    """A file format, seen as columns."""

    header: CacheHeader
    checksums: Checksums

    def text(self, name: str, rows: slice) -> list[str]: ...
    def array(self, name: str, rows: np.ndarray) -> np.ndarray: ...
    def block(self, rows: slice) -> dict[str, list[str] | np.ndarray]: ...


class ScoreCache:
    """A cache of N images, F flips, V views and C classes; read-only, safe to hand to worker processes.

    classes, prompts: C str. ids, paths, split, status, reason, stamps: (N,) str; status is "ok", "unreadable" or "missing".
    observed: (N, C) int8 codes. truth: (N, C) int8 0/1, None where full labels are not known. provenance: what made it.
    made: where a function has just written it, what there is to say of that.
    """

    made = ""

    def __init__(self, path: Path, store: Store) -> None:
        self.path, self._store, self.header = path, store, store.header
        self.classes, self.prompts = list(store.header.classes), list(store.header.prompts)
        self.provenance: dict[str, Any] = store.header.provenance

    def __len__(self) -> int:
        return self.header.rows

    def __repr__(self) -> str:
        return f"<ScoreCache {self.path}: {len(self):,} images, {len(self.classes)} classes>"

    def __fspath__(self) -> str:
        return str(self.path)

    def _repr_html_(self) -> str:
        return f"<p><b>{escape(str(self.path))}</b>: {len(self):,} images, {len(self.classes)} classes</p>"

    @cached_property
    def ids(self) -> np.ndarray:
        return self._text("ids")

    @cached_property
    def paths(self) -> np.ndarray:
        return self._text("paths")

    @cached_property
    def split(self) -> np.ndarray:
        return self._text("split")

    @cached_property
    def status(self) -> np.ndarray:
        return self._text("status")

    @cached_property
    def reason(self) -> np.ndarray:
        return self._text("reason")

    @cached_property
    def stamps(self) -> np.ndarray:
        return self._text("stamps")

    @cached_property
    def observed(self) -> np.ndarray:
        return self._store.array("observed", np.arange(len(self)))

    @property
    def labelled(self) -> np.ndarray:
        """Which images came with a label, (N,) bool, present or absent."""
        return (self.observed != UNKNOWN).any(axis=1)

    @cached_property
    def truth(self) -> np.ndarray | None:
        return self._store.array("truth", np.arange(len(self))) if self.header.has_truth else None

    @cached_property
    def boxes(self) -> np.ndarray:
        """Where the views lie, (V, 4) float64: left, upper, right, lower, as shares of width and height."""
        return np.array(views_of(self.provenance).shares)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of provenance, classes, images and observed labels: what a training run records and requires."""
        return header_fingerprint(self.header, self.ids, self.observed)

    def similarity(self, rows: Rows) -> np.ndarray:
        """Return the cosines of some rows, (n, F, V, C) float32 in [-1, 1], in the order asked for.

        rows: a slice, a boolean mask or row numbers. Rows that are not "ok" are NaN.
        """
        return self._cosines(self._store.array(self._of_views, self._numbers(rows)))

    def embedding(self, rows: Rows) -> np.ndarray:
        """Return the whole image's unit vectors of some rows, (n, F, D) float32."""
        if self.header.stores == "embedding":
            return self.view_embedding(rows)[:, :, 0]
        return self._store.array("embedding", self._numbers(rows)).astype(np.float32)

    def view_embedding(self, rows: Rows) -> np.ndarray:
        """Return the views' unit vectors of some rows, (n, F, V, D) float32; AevlpError where cosines are stored instead."""
        self.require_embeddings()
        return self._store.array("view_embedding", self._numbers(rows)).astype(np.float32)

    def require_embeddings(self) -> None:
        """Raise AevlpError where the views' cosines are stored instead of their embeddings."""
        if self.header.stores != "embedding":
            raise AevlpError(f"{self.path} holds cosines, no embeddings: make one that does with --store embedding")

    def score(self, rows: Rows) -> np.ndarray:
        """Return the stored fused scores of some rows, (n, C) float32, made with the provenance's constants."""
        return self._store.array("score", self._numbers(rows))

    def code(self, rows: Rows) -> np.ndarray:
        """Return the stored codes of some rows, (n, C) int8, made with the provenance's constants."""
        return self._store.array("code", self._numbers(rows))

    def codes(self, settings: DampSettings, epoch: int | None = None, seed: int = 0) -> np.ndarray:
        """Return the pseudo-label codes of all rows, (N, C) int8; memory beyond the result does not grow with N.

        epoch: None takes each view's mean cosine over the flips. A number draws each view's flip anew, so that the codes are
        distributed as if every image had been augmented and scored again in that epoch; equal seed and epoch, equal codes.
        Rows that are not "ok" are unknown throughout.
        """
        return self.codes_of_views(settings, slice(None), epoch, seed)

    def codes_of_views(
        self, settings: DampSettings, views: slice, epoch: int | None = None, seed: int = 0
    ) -> np.ndarray:
        """Return `codes` as they would be with some of the views alone: slice(1) is the whole image without tiles."""
        return self.several_codes([(settings, views)], epoch, seed)[0]

    def several_codes(
        self, wanted: Sequence[tuple[DampSettings, slice]], epoch: int | None = None, seed: int = 0
    ) -> list[np.ndarray]:
        """Return `codes_of_views` of several pairs of constants and views, for which the cosines are read once."""
        several = [np.zeros((len(self), len(self.classes)), dtype=np.int8) for _ in wanted]
        for rows, similarity in self.views(None, epoch, seed):
            for codes, (settings, views) in zip(several, wanted, strict=True):
                codes[rows] = damp_codes(similarity[:, views], self.observed[rows], settings)
        return several

    def views(
        self, rows: np.ndarray | None = None, epoch: int | None = None, seed: int = 0, embeddings: bool = False
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (row numbers (n,), cosines (n, V, C) float32 of their views) of the rows that are "ok", block by block.

        rows: ascending numbers of those wanted, None for all; cosines of no other are read. epoch, seed: as for `codes`; a row's
        flips are the same whichever rows are asked for. embeddings: whether the views' vectors (n, V, D) take the cosines' place.
        """
        if embeddings:
            self.require_embeddings()
        made = single if embeddings else self._cosines
        random = None if epoch is None else np.random.default_rng([seed, epoch])
        wanted = np.arange(len(self)) if rows is None else rows
        wanted = wanted[self.status[wanted] == "ok"]
        for block in _slices(len(self), BLOCK_BYTES // self._numbers_a_row // np.dtype(self.header.storage).itemsize):
            numbers = wanted[slice(*np.searchsorted(wanted, (block.start, block.stop)))]
            # One number a view, in row order and for rows that are not wanted too: the same whatever is, in blocks of any size.
            shape = (block.stop - block.start, self.header.views)
            chance = None if random is None else random.random(shape)
            if not len(numbers):
                continue
            stored = self._store.array(self._of_views, numbers)
            for piece in _slices(len(numbers), max(LEAST_IMAGES, PIECE_BYTES // self._numbers_a_row // 4)):
                here = numbers[piece]
                if chance is None:
                    yield here, made(stored[piece]).mean(axis=1)
                else:
                    yield here, made(drawn(stored[piece], chance[here - block.start]))

    def rows(self, numbers: np.ndarray | None = None) -> Iterator[CacheRows]:
        """Yield the whole content, or the rows with these ascending numbers, block by block, as a writer takes it.

        Blocks that hold none of them are not read. Raises AevlpError where a block, or the header, is not what was written.
        """
        if not self.header_is_whole():
            raise AevlpError(f"{self.path}: its header is damaged")
        for number in range(self.blocks):
            first, here = number * ROWS_A_BLOCK, None
            if numbers is not None:
                here = numbers[slice(*np.searchsorted(numbers, (first, first + ROWS_A_BLOCK)))] - first
                if not len(here):
                    continue
            rows = self.block(number)
            damaged = self.damaged(number, rows)
            if damaged:
                raise AevlpError(
                    f"{self.path}: rows {first:,} to {first + len(rows) - 1:,} of {', '.join(damaged)} are damaged, their "
                    f"checksums do not agree"
                )
            yield rows if here is None else rows.take(here)

    def labels(self, name: str, rows: Rows) -> np.ndarray:
        """Return "observed", or "truth" where it is known, of some rows, (n, C) int8, read when they are asked for."""
        return self._store.array(name, self._numbers(rows))

    @property
    def blocks(self) -> int:
        """How many blocks the rows stand in, each with checksums of its own."""
        return -(-len(self) // ROWS_A_BLOCK)

    def block(self, number: int) -> CacheRows:
        """Return a block, counted from 0, as it is on disk."""
        rows = slice(number * ROWS_A_BLOCK, min((number + 1) * ROWS_A_BLOCK, len(self)))
        columns: dict[str, Any] = {**dict.fromkeys(f.name for f in fields(CacheRows)), **self._store.block(rows)}
        return CacheRows(**columns)

    def damaged(self, number: int, rows: CacheRows) -> list[str]:
        """Return the columns of the block `rows` with this number that are not what was written."""
        return damaged_columns(rows, number, self._store.checksums)

    def header_is_whole(self) -> bool:
        """Return whether the header is what was written."""
        return header_checksum(self.header) in self._store.checksums.get("header", [])

    def text(self, name: str, rows: slice = slice(None)) -> list[str]:
        """Return consecutive rows of a text column; at a million rows far smaller than the array of that name."""
        return self._store.text(name, rows)

    def take(self, rows: np.ndarray) -> CacheRows:
        """Return some rows by their numbers, in the order asked for, as they are on disk."""
        numbers = self._numbers(rows)
        columns: dict[str, Any] = {f.name: None for f in fields(CacheRows)}
        columns |= {name: getattr(self, name)[numbers].tolist() for name in TEXT_COLUMNS}
        columns |= {name: self._store.array(name, numbers) for name in array_columns(self.header)}
        return CacheRows(**columns)

    @property
    def checksums(self) -> Checksums:
        """The checksums of the header and of each column, one a block, as they were written."""
        return self._store.checksums

    def _text(self, name: str) -> np.ndarray:
        return np.array(self._store.text(name, slice(None)), dtype=str).reshape(len(self))

    @property
    def _of_views(self) -> str:
        return "similarity" if self.header.text is None else "view_embedding"

    def _cosines(self, stored: np.ndarray) -> np.ndarray:
        """Return the cosines (…, V, C) float32 of what is stored of views, (…, V, C or D)."""
        values = single(stored)
        return values if self.header.text is None else cosines(values, self.header.text)

    @property
    def _numbers_a_row(self) -> int:
        """How many numbers are stored, or made of those stored, of an image's views, whichever are more."""
        width = max(len(self.classes), 0 if self.header.text is None else self.header.width)
        return max(1, self.header.flips * self.header.views * width)

    def _numbers(self, rows: Rows) -> np.ndarray:
        try:
            return np.atleast_1d(np.arange(len(self))[rows])
        except IndexError as error:
            raise AevlpError(f"{self.path}: rows go from 0 to {len(self) - 1}: {error}") from error


def _slices(rows: int, size: int) -> Iterator[slice]:
    """Yield consecutive slices of so many rows, each of `size`, at least 1, but for the last."""
    size = max(1, size)
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))
