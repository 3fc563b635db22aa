"""A table with a row a label, with or without a column that says how sure it is -> the labels of each image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import AevlpError, unknown_name
from ..labels.codes import NEGATIVE, POSITIVE, UNKNOWN
from ..labels.label_words import ABSENT, PRESENT
from ..manifest.formats import TableSpec
from .cell_labels import classes_of, named_rows, said_of_nothing
from .faults import DataError, Remark, Report
from .image_rows import Labels, Row, image_of, place_beside
from .label_cells import Cell, parsed
from .label_forms import Column
from .presence import FRACTION, Presence

_FOUND = "confidence"  # the column, in any case, that is taken without being named


@dataclass(frozen=True, slots=True)
class _SureCell:
    """The cell of a row's label, and whether the label is present (+1), verified absent (-1) or not known (0)."""

    cell: Cell
    code: int


class LabelRows:
    """Takes the records of a table one by one; the rows of one image become one."""

    def __init__(self, spec: TableSpec, confidence: str | None, where: str) -> None:
        """Raise AevlpError where the manifest says what the values of a column of confidence are, and there is none."""
        self.spec, self.confidence = spec, confidence
        given = [key for key in ("label_values", "label_threshold") if getattr(spec, key) is not None]
        if given and confidence is None:
            raise AevlpError(
                f"{where}: `{given[0]}` is of a column that says how sure a row's label is: name it as `confidence_column`, or "
                f"leave `{given[0]}` out"
            )
        self.presence = Presence(spec)
        self.found = "confidence_column" not in spec.model_fields_set

    def take(self, record: Mapping[str, Any], where: str) -> _SureCell:
        """Return the label of a record; DataError where it holds several, or its confidence is none."""
        cell = parsed(record[self.spec.label_column], self.spec.label_separator, where)
        if len(cell.items) > 1:
            why = (
                f"the column {self.confidence} says how sure it is"
                if self.confidence
                else "`rows: label` says a row a label"
            )
            instead = (
                f"; `confidence_column: null` takes no notice of {self.confidence}"
                if self.found and self.confidence
                else ""
            )
            raise DataError("bad row", f"{where}: expected one label, {why}, found {len(cell.items)}{instead}")
        if self.confidence is None or not cell.items:
            return _SureCell(cell, POSITIVE)
        return _SureCell(cell, self._code(record[self.confidence], where))

    def _code(self, value: Any, where: str) -> int:
        meaning = self.presence.meaning(value)
        column = f"the column {self.confidence}"
        if meaning == FRACTION:
            raise AevlpError(
                f"{where}: {column} holds the fraction {value}: say from where on a label is present, such as `label_threshold: "
                f"0.5`, or `confidence_column: null` to take no notice of it"
            )
        if meaning in (PRESENT, ABSENT):
            return POSITIVE if meaning == PRESENT else NEGATIVE
        if meaning is not None and self.spec.label_values:
            return UNKNOWN
        error = self.presence.refused(value, f"{where}: {column}")
        if self.found:  # nobody named it: it may mean anything
            raise AevlpError(f"{error}; or say `confidence_column: null` to take no notice of it")
        raise error

    def labels(self, rows: Sequence[Row], column: Column, report: Report) -> Labels:
        """Return the labels of the images, in the order of each one's first row.

        Rows that contradict each other, and an image in two splits, are reported; what they say is left out.
        """
        cells = [replace(row, labels=row.labels.cell) for row in rows]
        codes_at = {row.where: row.labels.code for row in rows}
        kept, names = named_rows(self.spec, column, cells, report, one_each=True)
        classes = classes_of(column, names)
        place = {name: n for n, name in enumerate(classes)}
        first: dict[str, tuple[int, Row]] = {}
        codes = np.zeros((len(kept), len(classes)), dtype=np.int8)
        for row, found in zip(kept, names, strict=True):
            number, there = first.setdefault(image_of(row), (len(first), row))
            if there.split != row.split:
                beside = place_beside(row, there)
                text = f"{row.where}: the image {row.image!r} is in {row.split}, and in {there.split} in {beside}"
                report(DataError("in two splits", text))
                continue
            for name in found:
                code = codes_at[row.where]
                if code and codes[number, place[name]] == -code:
                    text = f"{row.where}: {name} is {_said(code)} in {row.image!r}, and another row says it is {_said(-code)}"
                    report(DataError("labels disagree", text, row.image))
                codes[number, place[name]] = code or codes[number, place[name]]
        images = [row for _, row in first.values()]
        found = self._complete(classes, images, codes[: len(images)], column)
        found.remarks.extend(said_of_nothing(column, kept))
        return found

    def _complete(self, classes: tuple[str, ...], images: list[Row], codes: np.ndarray, column: Column) -> Labels:
        absent, unknown = (int((codes == code).sum()) for code in (NEGATIVE, UNKNOWN))
        if not absent:
            if self.confidence is not None and unknown and "labels" not in self.spec.model_fields_set:
                raise AevlpError(
                    f"{column.place}: {self.confidence} is 1 in each row, so a label without a row may be absent or not "
                    f"known: say `labels: complete` or `labels: observed`"
                )
            return Labels(classes, images, codes, self.spec.labels == "complete")
        if self.spec.labels == "complete" and not unknown:
            return Labels(classes, images, np.maximum(codes, 0), True)
        if self.spec.labels == "complete" and "labels" in self.spec.model_fields_set:
            raise AevlpError(
                f"{column.place}: {unknown:,} labels are neither present nor verified absent, and the manifest says `labels: "
                f"complete`: leave it out"
            )
        text = (
            f"{column.place}: {absent:,} labels are verified absent ({self.confidence} 0), {unknown:,} are not known; the labels "
            f"are taken as observed ones"
        )
        return Labels(classes, images, codes, False, [Remark("read differently", text)])


def confidence_column(spec: TableSpec, record: Mapping[str, Any], where: str) -> str | None:
    """Return the column of a table that says how sure a row's label is, None where it has none."""
    if "confidence_column" in spec.model_fields_set:
        name = spec.confidence_column
        if name is not None and name not in record:
            raise AevlpError(
                f"{where}: {unknown_name('column', name, record)}: `confidence_column` says which column it is"
            )
        return name
    named = [name for name in record if name.casefold() == _FOUND and name != spec.label_column]
    return named[0] if len(named) == 1 else None


def _said(code: int) -> str:
    return "present" if code == POSITIVE else "absent"
