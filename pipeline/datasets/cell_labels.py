"""A cell of labels in each row -> codes, after what the cells of the whole column mean was decided."""

from collections.abc import Sequence

import numpy as np

from ..errors import AevlpError, counted
from ..manifest.label_keys import LabelKeys
from .faults import DataError, Remark, Report
from .image_rows import Labels, Row
from .label_cells import Cell
from .label_forms import Column, are_vectors
from .label_names import names_of
from .presence import Presence


def labels_in_cells(keys: LabelKeys, column: Column, rows: Sequence[Row], report: Report) -> Labels:
    """Return the labels of rows whose `labels` is a `Cell`.

    A row with what is no label is reported and left out; an unknown class is reported and its label left out. Raises
    AevlpError that names the manifest's key where it is not certain what the column means.
    """
    if are_vectors(keys, column, [row.labels for row in rows]):
        return _vectors(keys, column, rows, report)
    kept, names = named_rows(keys, column, rows, report)
    classes = classes_of(column, names)
    place = {name: n for n, name in enumerate(classes)}
    codes = np.zeros((len(kept), len(classes)), dtype=np.int8)
    for code, found in zip(codes, names, strict=True):
        code[[place[name] for name in found]] = 1
    return Labels(classes, kept, codes, keys.labels == "complete", said_of_nothing(column, kept))


def named_rows(
    keys: LabelKeys, column: Column, rows: Sequence[Row], report: Report, one_each: bool = False
) -> tuple[list[Row], list[list[str]]]:
    """Return the rows that are not faulty, and the names of their labels; one_each: as `names_of` has it."""
    places = [(row.where, row.image) for row in rows]
    names = names_of(keys, column, [row.labels for row in rows], places, report, one_each)
    kept = [(row, found) for row, found in zip(rows, names, strict=True) if found is not None]
    return [row for row, _ in kept], [found for _, found in kept]


def classes_of(column: Column, names: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the classes, listed or found and then sorted; AevlpError where there are none."""
    classes = column.classes or tuple(sorted({name for found in names for name in found}))
    if not classes:
        raise AevlpError(f"{column.place}: no row has a label, and the manifest lists no classes")
    return classes


def _vectors(keys: LabelKeys, column: Column, rows: Sequence[Row], report: Report) -> Labels:
    assert column.classes is not None
    if column.otherwise:
        raise AevlpError(
            f"{column.place}: it holds vectors, and `classes` lists the ClassLabel names in another order or with others: leave "
            f"`classes` out, the file's are taken"
        )
    presence = Presence(keys)
    kept, numbers = [], []
    for row in rows:
        try:
            numbers.append(_vector(presence, row.labels, column.classes, row.where))
        except DataError as error:
            report(error)
        else:
            kept.append(row)
    codes, complete, remarks = presence.codes(numbers, len(column.classes), column.place)
    return Labels(column.classes, kept, codes, complete, remarks)


def _vector(presence: Presence, cell: Cell, classes: tuple[str, ...], where: str) -> bytes:
    values = cell.parts or (None,) * len(classes)  # of an empty list too nothing is known
    if len(values) != len(classes):
        found = counted(len(values), "value")
        raise DataError("bad row", f"{where}: expected a vector of {len(classes)} values, one a class, found {found}")
    numbers = [presence.number(value) for value in values]
    if None in numbers:
        place = numbers.index(None)
        raise presence.refused(values[place], f"{where}: the class {classes[place]}")
    return bytes(n for n in numbers if n is not None)


def said_of_nothing(column: Column, rows: Sequence[Row]) -> list[Remark]:
    """Return what is to be said of rows whose cell is null or NaN, an empty text is none of them."""
    empty = [row for row in rows if row.labels.blank and row.labels.text is None]
    if not empty:
        return []
    text = f"{column.place}: null or NaN {counted(len(empty), 'time')}, first {empty[0].where}: read as no label"
    return [Remark("read differently", text)]
