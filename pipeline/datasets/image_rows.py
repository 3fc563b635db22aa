"""The rows that a reader finds, each an image in a split, with labels as they are written or as codes -> listings."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..labels.splits import SPLITS
from .faults import DataError, Remark, Report
from .image_table import Listing, Listings


@dataclass(frozen=True)
class Row:
    """A row of a table, a sample or the like, and the words that say where it stands.

    image: its id. labels: as its reader keeps them. path: of the image below the root, where that is not its id.
    """

    where: str
    image: str
    labels: Any
    split: str
    path: str = ""


@dataclass(frozen=True)
class Labels:
    """The labels of rows, n of them, of C classes.

    codes: (n, C) int8, 0/1 where the labels are complete, else +1, -1 for verified absent and 0 for unknown. complete: whether
    they are all that the images show. remarks: what should be said of how they were read.
    """

    classes: tuple[str, ...]
    rows: Sequence[Row]
    codes: np.ndarray
    complete: bool
    remarks: list[Remark] = field(default_factory=list)


def distinct(rows: Iterable[Row], report: Report, instead: str = "") -> Iterator[Row]:
    """Yield the first row of each image; another one is reported and left out. instead: what else a table may say of them."""
    first: dict[str, Row] = {}
    for row in rows:
        there = first.setdefault(image_of(row), row)
        if there is row:
            yield row
            continue
        kind = "listed twice" if there.split == row.split else "in two splits"
        text = f"{row.where}: the image {row.image!r} stands in {place_beside(row, there)} too; each may stand once{instead}"
        report(DataError(kind, text))


def image_of(row: Row) -> str:
    """Return the image's path as it is compared: a/b.jpg and ./a//b.jpg are one."""
    return row.path or PurePosixPath(row.image).as_posix()


def place_beside(row: Row, other: Row) -> str:
    """Return where another row stands, beside a place whose file is named already."""
    return other.where.removeprefix(f"{row.where.rpartition(', ')[0]}, ")


def listings(root: Path, files: list[Path], labels: Labels) -> Listings:
    """Return the listings of labelled rows, each split in the order of the rows."""
    split = np.array([row.split for row in labels.rows], dtype=str)
    splits: dict[str, Listing] = {}
    for name in SPLITS:
        part = np.flatnonzero(split == name).tolist()
        rows = [labels.rows[n] for n in part]
        splits[name] = Listing(
            [row.image for row in rows], [root / (row.path or row.image) for row in rows], labels.codes[part]
        )
    return Listings(labels.classes, splits, root, files, complete=labels.complete, remarks=labels.remarks)
