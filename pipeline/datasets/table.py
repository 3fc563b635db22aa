"""A CSV, JSON-lines or Parquet file with a row an image: a data set of one's own."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..errors import AevlpError, unknown_name
from ..specs import TableSpec
from ..splits import SPLITS, expected_words, split_of
from .class_labels import label_names
from .delimited_text import TableForm
from .faults import DataError, Report, image_below_root, not_there
from .image_table import Listing, Listings
from .table_files import TableFile, open_table
from .text_lists import class_list


@dataclass(frozen=True)
class Row:
    """A row of a table, and the words that say where it stands."""

    where: str
    image: str
    labels: list[str]
    split: str


def read(spec: TableSpec, root: Path, report: Report) -> Listings:
    """Return the table's images, each split in the table's order.

    A row with a missing column, an empty or repeated image, an image outside the folder or an unknown split is reported and
    left out; an unknown class is reported and its label left out. Raises AevlpError for a file that is no table.
    """
    path = root / spec.table
    if not path.is_file():
        raise not_there(spec, root, path)
    table = open_table(path, spec.image_column, TableForm(spec.delimiter, spec.encoding, spec.columns))
    rows = list(distinct(_rows(spec, path, table, report), report))
    if not rows:
        raise AevlpError(f"{path}: the table has no rows, at least one image is needed")
    classes = class_list(spec, root, report) or tuple(sorted({name for row in rows for name in row.labels}))
    if not classes:
        raise AevlpError(f"{path}: no row has a label, and the manifest lists no classes")
    return replace(listings(spec, root, path, rows, classes, report), remarks=table.remarks)


def distinct(rows: Iterable[Row], report: Report) -> Iterator[Row]:
    """Yield the first row of each image; another one is reported and left out."""
    first: dict[str, Row] = {}
    for row in rows:
        file = PurePosixPath(row.image).as_posix()  # a/b.jpg and ./a//b.jpg are one
        there = first.setdefault(file, row)
        if there is row:
            yield row
            continue
        kind = "listed twice" if there.split == row.split else "in two splits"
        place = there.where.removeprefix(f"{row.where.rpartition(', ')[0]}, ")  # the file is named once
        report(DataError(kind, f"{row.where}: the image {row.image!r} stands in {place} too; each may stand once"))


def listings(spec: Any, root: Path, path: Path, rows: list[Row], classes: tuple[str, ...], report: Report) -> Listings:
    """Return the listings of rows; `spec.labels` says whether the labels are complete."""
    column = {name: n for n, name in enumerate(classes)}
    splits: dict[str, Listing] = {}
    for split in SPLITS:
        part = [row for row in rows if row.split == split]
        labels = np.zeros((len(part), len(classes)), dtype=np.int8)
        for n, row in enumerate(part):
            for name in row.labels:
                if name in column:
                    labels[n, column[name]] = 1
                else:
                    text = f"{row.where}: {unknown_name('class', name, classes)}"
                    report(DataError("unknown class", text, row.image))
        splits[split] = Listing([row.image for row in part], [root / row.image for row in part], labels)
    return Listings(classes, splits, root, [path], complete=spec.labels == "complete")


def _rows(spec: TableSpec, path: Path, table: TableFile, report: Report) -> Iterator[Row]:
    for where, record in table.records(report):
        try:
            yield _row(spec, f"{path}, {where}", record)
        except DataError as error:
            report(error)


def _row(spec: TableSpec, where: str, record: dict[str, Any]) -> Row:
    for column in filter(None, (spec.image_column, spec.label_column, spec.split_column)):
        if column not in record:  # of every row alike: nothing could be read
            raise AevlpError(f"{where}: {unknown_name('column', column, map(str, record))}")
    value = record[spec.image_column]
    if not isinstance(value, str | None):
        raise DataError(
            "bad row", f"{where}: the column {spec.image_column} holds {value!r}, expected an image's path as text"
        )
    image = (value or "").strip()
    if not image:
        raise DataError("bad row", f"{where}: the column {spec.image_column} is empty, an image's path is needed")
    image_below_root(image, where)
    split = split_of(str(record[spec.split_column])) if spec.split_column else "train"
    if split is None:
        found = str(record[spec.split_column] if spec.split_column else "")
        raise DataError(
            "unknown split",
            f"{where}: the column {spec.split_column} holds {found!r}, expected a split ({expected_words()})",
        )
    return Row(where, image, label_names(record[spec.label_column], spec.label_separator), split)
