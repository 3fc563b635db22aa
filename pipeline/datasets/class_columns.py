"""A table with a column for each class -> which columns those are, and the codes in them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import AevlpError, some, unknown_name
from ..labels.label_words import NOTHING, as_yaml, word
from ..manifest.formats import TableSpec
from .class_list_check import alike_in_case, doubts, key_of, numerals
from .column_words import LABELS, NO_CLASS
from .faults import DataError, Report
from .image_rows import Labels, Row
from .presence import Presence, pairs_of

_UNNAMED = re.compile(r"|Unnamed: \d+")  # as pandas writes its own numbers of rows
_AGAIN = re.compile(r"(.+)\.[0-9]+")  # as pandas writes the second of two columns with one name
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
        # Of a column: where a value first says nothing of a class, and the value.
        self._odd: dict[str, tuple[str, Any]] = {}

    def take(self, record: Mapping[str, Any], where: str) -> bytes:
        """Return the values of a record, a byte for each of `columns`; DataError for one that says nothing of its class."""
        numbers = bytearray()
        for column in self.columns:
            number = self.presence.number(record[column])
            if number is None and self.known:
                raise self.presence.refused(record[column], f"{where}: the column {column}")
            if number is None:
                self._odd.setdefault(column, (where, record[column]))
            numbers.append(_OTHER if number is None else number)
        return bytes(numbers)

    def check(self, record: Mapping[str, Any], where: str) -> None:
        """Raise AevlpError where a record has not the columns of the first: one of a class is missing, or may be one more."""
        places = {self.spec.image_column, self.spec.split_column}
        if self.known is None and (more := record.keys() - places - set(self.columns)):
            raise AevlpError(
                f"{where}: the column {min(more)} is not in {self.where}: say which columns are classes as `label_columns`"
            )
        for column in self.columns:
            if column not in record:
                key = "label_columns" if self.spec.label_columns is not None or self.known is None else "classes"
                raise AevlpError(
                    f"{where}: there is no column for the class {column!r}, its columns are {some(list(record), 12)}: add the "
                    f"column, or leave the class out of `{key}`"
                )

    def labels(self, rows: Sequence[Row], report: Report) -> Labels:
        """Return the labels of rows whose `labels` is what `take` returned."""
        place = f"{self.where.rpartition(', ')[0]}, the class columns"
        classes = self.known or self._found(rows, place, report)
        numbers = [row.labels for row in rows]
        if classes != self.columns:
            chosen = [self.columns.index(name) for name in classes]
            numbers = [bytes(values[n] for n in chosen) for values in numbers]
        codes, complete, remarks = self.presence.codes(numbers, len(classes), place)
        return Labels(classes, rows, codes, complete, remarks)

    def _found(self, rows: Sequence[Row], place: str, report: Report) -> tuple[str, ...]:
        values = np.frombuffer(b"".join(row.labels for row in rows), dtype=np.uint8).reshape(len(rows), -1)
        telling = np.isin(values, self.presence.telling())
        fit, others = [], []
        for n, name in enumerate(self.columns):
            column = values[:, n]
            if _UNNAMED.fullmatch(name) and ((column == _OTHER).any() or not telling[:, n].any()):
                continue
            certain = telling[:, n].any() and not _UNNAMED.fullmatch(name) and key_of(name) not in NO_CLASS
            (fit if certain and not (column == _OTHER).any() else others).append(name)
        if not fit:
            raise no_labels(self.spec, self.columns, self.where)
        for name in others:
            odd = int((values[:, self.columns.index(name)] == _OTHER).sum())
            if 0 < odd < len(rows) / 2 and key_of(name) not in NO_CLASS:
                raise self._nearly(name, odd, len(rows), [known for known in self.columns if known in (*fit, name)])
        if others or len(fit) == 1:
            more = f", and {some(others, 6)} hold something else" if others else ""
            meant = _labels_by_name(self.spec, self.columns) or (fit if len(fit) == 1 else [])
            one = f" or `label_column: {meant[0]}`" if len(meant) == 1 else ""
            classes = [name for name in fit if name.casefold() not in NOTHING] or fit
            raise AevlpError(
                f"{self.where}: no column {self.spec.label_column}; these may be columns of classes: {some(fit, 12)}"
                f"{more}: say which are, such as `label_columns: {as_yaml(classes[:12])}`{one}"
            )
        if nothing := [name for name in fit if name.casefold() in NOTHING]:
            classes = [name for name in fit if name not in nothing]
            text = (
                f"{place}: {nothing[0]!r} may be a class or stand for no label: say `label_columns: {as_yaml(classes or fit)}`, "
                f"or list it there too"
            )
            report(DataError("doubtful class", text))
        for line in _doubts_of(fit, self.spec.label_separator):
            report(DataError("doubtful class", f"{place}: {line}"))
        return tuple(fit)

    def _nearly(self, name: str, odd: int, rows: int, classes: list[str]) -> AevlpError:
        """Return the error for a column that is one of a class but for few values. classes: with it, those that may be."""
        where, value = self._odd[name]
        more = f", and {odd - 1:,} more rows something else" if odd > 1 else ""
        rest = [known for known in classes if known != name]
        without = (
            f"; or, where {name} is no class, say which are as `label_columns: {as_yaml(rest[:12])}`" if rest else ""
        )
        return AevlpError(
            f"{where}: the column {name} holds {str(value)[:60]!r}{more}, expected present (1), absent (0) or not known, as in "
            f"{rows - odd:,} of {rows:,} rows: correct it{self.presence.example(value)}{without}"
        )


def _doubts_of(columns: Sequence[str], separator: str) -> list[str]:
    """Return what is strange about the names of columns that are of classes, a line each that names the manifest's key."""
    lines = []
    if alike := alike_in_case(columns):
        twice = {name for group in alike for name in group[1:]}
        kept = as_yaml([name for name in columns if name not in twice][:12])
        lines.append(
            f"the columns {' and '.join(map(repr, alike[0]))} differ only in case, and may be one class: rename one, or leave "
            f"one out, such as `label_columns: {kept}`"
        )
        columns = [name for name in columns if name not in twice]
    if twice := [name for name in columns if (found := _AGAIN.fullmatch(name)) and found[1] in columns]:
        kept = as_yaml([name for name in columns if name not in twice][:12])
        lines.append(
            f"the column {twice[0]!r} may be a second {twice[0].rpartition('.')[0]!r}, as pandas names a column that stands "
            f"twice: rename one, or leave one out, such as `label_columns: {kept}`"
        )
        columns = [name for name in columns if name not in twice]
    if numbers := numerals(columns):
        lines.append(
            f"columns that are numbers: {some(list(map(repr, numbers)), 4)}: names are needed for the prompts: rename the "
            f"columns, or say `label_columns: {as_yaml(columns[:12])}` and what each is, as `natural_names: "
            f'{{"{numbers[0]}": cat, …}}`'
        )
        columns = [name for name in columns if name not in numbers]
    return lines + [line.replace("`classes`", "`label_columns`") for line in doubts([columns], separator)]


def no_labels(spec: TableSpec, columns: Iterable[str], where: str) -> AevlpError:
    """Return the error for a table without the column of labels, and without columns that can only be classes."""
    meant = _labels_by_name(spec, columns)
    key = (
        f"say `label_column: {meant[0]}`"
        if len(meant) == 1
        else "say which column holds the labels as `label_column`; or, with a column for each class, which these are as "
        "`label_columns`, and what their values stand for as `label_values`"
    )
    stated = [f"`{key}`" for key in spec.of_a_column_of_labels() if key != "label_column"]
    more = f"; where each class has a column, leave {' and '.join(stated)} out" if stated else ""
    return AevlpError(f"{where}: {unknown_name('column', spec.label_column, columns)}: {key}{more}")


def _labels_by_name(spec: TableSpec, columns: Iterable[str]) -> list[str]:
    places = (spec.image_column, spec.split_column)
    return [name for name in columns if key_of(name) in LABELS and name not in places]


def _stated(
    spec: TableSpec, record: Mapping[str, Any], classes: tuple[str, ...] | None, where: str
) -> tuple[str, ...] | None:
    """Return the columns that the manifest names, as `label_columns` or by their classes; None where it names none."""
    if spec.label_columns is None and (classes is None or not set(classes).intersection(record)):
        return None
    columns = classes if spec.label_columns is None else spec.label_columns
    assert columns is not None
    for name in columns:
        if name not in record:
            key = "classes" if spec.label_columns is None else "label_columns"
            raise AevlpError(
                f"{where}: {unknown_name('column', name, record)}: `{key}` names it, so add the column, or leave it out there"
            )
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
    others = {name: value for name, value in record.items() if name not in places and key_of(name) not in NO_CLASS}
    return tuple(
        name
        for name, value in others.items()
        if presence.number(value) in presence.telling() or pairs_of([word(value)])
    )
