"""A table with a column for each class -> which columns those are, and the codes in them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import AevlpError, unknown_name
from ..label_words import as_yaml
from ..specs import TableSpec
from .class_list_check import doubts
from .faults import DataError, Report
from .image_rows import Labels, Row
from .label_forms import LABEL_COLUMNS
from .presence import Presence

# Columns of 0 and 1, or of numbers from 0, that are no class; of one so named it has to be said.
_NO_CLASS = LABEL_COLUMNS | {
    *("id", "index", "idx", "row", "no", "nr", "#", "image_id", "img_id", "number", "key", "split", "set", "subset"),
    *("fold", "partition", "phase", "train", "training", "val", "valid", "validation", "test", "is_train", "is_valid"),
    *(
        "is_val",
        "is_test",
        "width",
        "height",
        "w",
        "h",
        "sex",
        "gender",
        "age",
        "confidence",
        "score",
        "weight",
        "count",
    ),
}
_UNNAMED = re.compile(r"|Unnamed: \d+")  # as pandas writes its own numbers of rows
_OTHER = 255  # of a value that says nothing of a class


class ClassColumns:
    """Takes the records of a table one by one, and keeps a byte for each class that it may have.

    known: the columns of classes where they are certain, None where they are to be found: then each column but the image's
    and the split's is a class, if all of them hold what says present, absent or not known.
    """

    def __init__(self, spec: TableSpec, record: Mapping[str, Any], classes: tuple[str, ...] | None, where: str) -> None:
        self.spec, self.where = spec, where
        self.presence = Presence(spec)
        self.known = _stated(spec, record, classes, where)
        rest = [name for name in record if name not in (spec.image_column, spec.split_column)]
        self.columns = self.known or tuple(rest)

    def take(self, record: Mapping[str, Any], where: str) -> bytes:
        """Return the values of a record, a byte for each of `columns`; DataError for one that says nothing of its class."""
        numbers = bytearray()
        for column in self.columns:
            if column not in record:
                raise AevlpError(f"{where}: {unknown_name('column', column, record)}")
            number = self.presence.number(record[column])
            if number is None and self.known:
                raise self.presence.refused(record[column], f"{where}: the column {column}")
            numbers.append(_OTHER if number is None else number)
        return bytes(numbers)

    def labels(self, rows: Sequence[Row], report: Report) -> Labels:
        """Return the labels of rows whose `labels` is what `take` returned."""
        place = f"{self.where.rpartition(', ')[0]}, the class columns"
        classes = self.known or self._found(rows, place, report)
        numbers = [row.labels for row in rows]
        if classes != self.columns:
            chosen = [self.columns.index(name) for name in classes]
            numbers = [bytes(values[n] for n in chosen) for values in numbers]
        codes, complete, remarks = self.presence.codes(numbers, len(classes), place)
        return Labels(classes, [replace(row, labels=None) for row in rows], codes, complete, remarks)

    def _found(self, rows: Sequence[Row], place: str, report: Report) -> tuple[str, ...]:
        values = np.frombuffer(b"".join(row.labels for row in rows), dtype=np.uint8).reshape(len(rows), -1)
        telling = np.isin(values, self.presence.telling())
        fit, others = [], []
        for n, name in enumerate(self.columns):
            column = values[:, n]
            if _UNNAMED.fullmatch(name) and ((column == _OTHER).any() or not telling[:, n].any()):
                continue
            certain = telling[:, n].any() and not _UNNAMED.fullmatch(name) and name.casefold() not in _NO_CLASS
            (fit if certain and not (column == _OTHER).any() else others).append(name)
        if not fit:
            raise AevlpError(f"{self.where}: {unknown_name('column', self.spec.label_column, self.columns)}")
        if others or len(fit) == 1:
            more = f", and {', '.join(others[:6])}{', ...' * (len(others) > 6)} hold something else" if others else ""
            one = f" or `label_column: {fit[0]}`" if len(fit) == 1 else ""
            raise AevlpError(
                f"{self.where}: no column {self.spec.label_column}; these may be columns of classes: {', '.join(fit[:12])}"
                f"{', ...' * (len(fit) > 12)}{more}: say which are, such as `label_columns: {as_yaml(fit[:12])}`{one}"
            )
        for line in doubts([fit], self.spec.label_separator):
            report(DataError("doubtful class", f"{place}: {line.replace('`classes`', '`label_columns`')}"))
        return tuple(fit)


def _stated(
    spec: TableSpec, record: Mapping[str, Any], classes: tuple[str, ...] | None, where: str
) -> tuple[str, ...] | None:
    """Return the columns that the manifest names, as `label_columns` or by their classes; None where it names none."""
    if spec.label_columns is None and (classes is None or not set(classes).intersection(record)):
        return None
    columns = classes if spec.label_columns is None else tuple(name.strip() for name in spec.label_columns)
    assert columns is not None
    for name in columns:
        if name not in record:
            raise AevlpError(f"{where}: {unknown_name('column', name, record)}")
    if twice := [name for n, name in enumerate(columns) if name in columns[:n]]:
        raise AevlpError(f"{spec.name}: `label_columns` names {twice[0]} twice")
    if classes is None or classes == columns:
        return columns
    if set(classes) != set(columns):
        raise AevlpError(
            f"{spec.name}: `label_columns` and `classes` name different things, such as {min(set(classes) ^ set(columns))!r}: "
            f"leave `classes` out, or list it under both; `natural_names` gives classes other words"
        )
    return classes


def class_columns_of(spec: TableSpec, record: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the columns of a record, and of those beside it, which say of one class whether it is present."""
    presence = Presence(spec)
    places = (spec.image_column, spec.split_column)
    return tuple(
        name
        for name, value in record.items()
        if name not in places and name.casefold() not in _NO_CLASS and presence.number(value) in presence.telling()
    )
