"""A CSV, JSON-lines or Parquet file with a row an image: a data set of one's own."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import AevlpError, unknown_name
from ..files.image_formats import ENDINGS
from ..files.whole_text import is_whole
from ..labels.label_words import plain
from ..labels.splits import expected_words, split_of
from ..manifest.formats import TableSpec
from .cell_labels import labels_in_cells
from .class_columns import ClassColumns, class_columns_of, no_labels
from .class_file import class_list
from .delimited_text import TableForm
from .faults import DataError, Remark, Report, image_name, not_there
from .image_rows import Labels, Row, distinct, listings
from .image_table import Listings
from .label_cells import parsed
from .label_forms import Column
from .label_rows import LabelRows, confidence_column
from .table_files import open_table
from .table_images import tables_of, with_places
from .unnamed_columns import UnnamedColumns


def read(spec: TableSpec, root: Path, report: Report) -> Listings:
    """Return the table's images, each split in the table's order.

    A row with a missing column, an empty or repeated image, an image outside the folder or an unknown split is reported and
    left out; an unknown class is reported and its label left out. Raises AevlpError for a file that is no table.
    """
    faults: list[DataError] = []

    def noted(error: DataError) -> None:
        faults[:] = faults[:1] or [error]
        report(error)

    files = tables_of(spec, root)
    for path in files:
        if not path.is_file():
            raise not_there(spec, root, path)
    classes = class_list(spec, root, noted)
    source: _Source | None = None
    tables: list[tuple[Path, list[Row]]] = []
    remarks: list[Remark] = []
    seen = 0
    written: Any = None  # the columns of the record before
    names: dict[str, str] = {}

    def unread(error: DataError) -> None:
        nonlocal seen
        seen += 1
        noted(error)

    for path, split in files.items():
        table = open_table(path, spec.image_column, TableForm(spec.delimiter, spec.encoding, spec.columns))
        found: list[Row] = []
        for where, record in table.records(unread):
            seen += 1
            place = f"{path}, {where}"
            try:
                if differs := record.keys() != written:
                    written, names = record.keys(), _names(record, place)
                if names:
                    record = {names[name]: value for name, value in record.items()}
                source = source or _Source(spec, record, classes, place)
                if differs:
                    source.check(record, place)
                found.append(source.row(record, place, split))
            except DataError as error:
                noted(error)
        tables.append((path, found))
        remarks += table.remarks
    rows, said = with_places(spec, root, tables, noted)
    if source is None or not rows:
        why = f", first: {faults[0]}" if faults else ""
        none = f"no row of {seen:,} can be read{why}" if seen else "the table has no rows, at least one image is needed"
        raise AevlpError(f"{', '.join(map(str, files))}: {none}")
    listed = listings(root, list(files), source.labels(rows, noted))
    listed.remarks += remarks + said
    return listed


class _Source:
    """Where the records of a table hold an image, its labels and its split, as the first record has it."""

    def __init__(self, spec: TableSpec, record: dict[str, Any], classes: tuple[str, ...] | None, where: str) -> None:
        self.spec, self.where, self.classes = spec, where, classes
        self.image_column, self.label_column, self.split_column = (
            spec.image_column,
            spec.label_column,
            spec.split_column,
        )
        if self.image_column not in record:  # of every row alike: nothing could be read
            named = [name for name, value in record.items() if str(value).strip().lower().endswith(tuple(ENDINGS))]
            hint = f"; did you mean `image_column: {named[0]}`?" if len(named) == 1 else ""
            key = hint or ": say which column holds the images' paths as `image_column`"
            raise AevlpError(f"{where}: {unknown_name('column', self.image_column, record)}{key}")
        self.beside = class_columns_of(spec, record)
        self.many: ClassColumns | LabelRows | None = None
        if self.label_column not in record or spec.label_columns is not None:
            if spec.of_a_column_of_labels():
                raise no_labels(spec, record, where)
            self.many = ClassColumns(spec, record, classes, where)
        else:
            confidence = confidence_column(spec, record, where)
            if spec.rows == "label" or confidence is not None:
                self.many = LabelRows(spec, confidence, where)
        self.unnamed = self._unnamed()

    def _unnamed(self) -> UnnamedColumns:
        """Return what looks at the columns that the manifest names in no way."""
        spec, many = self.spec, self.many
        named = {self.image_column, self.split_column, *(spec.label_columns or ())}
        if isinstance(many, ClassColumns):
            named |= set(many.known or ())
        else:
            named |= {self.label_column, many and many.confidence}
        cells = not isinstance(many, ClassColumns) and spec.label_form != "vector"
        rows = isinstance(many, LabelRows)
        unsure = cells and "confidence_column" not in spec.model_fields_set and not (rows and many.confidence)
        may_be_classes = isinstance(many, ClassColumns) and not many.known
        return UnnamedColumns(named, self.where, unsure, rows, isinstance(spec.table, dict), may_be_classes)

    def check(self, record: dict[str, Any], where: str) -> None:
        """Take notice of a record's columns, where they are not those of the one before; AevlpError where one lacks."""
        confidence = self.many.confidence if isinstance(self.many, LabelRows) else None
        places = {"image_column": self.image_column, "split_column": self.split_column, "confidence_column": confidence}
        for key, column in places.items():
            if column is not None and column not in record:
                raise AevlpError(f"{where}: {unknown_name('column', column, record)}: `{key}` says which column it is")
        if isinstance(self.many, ClassColumns):
            self.many.check(record, where)
        elif self.label_column not in record:
            raise no_labels(self.spec, record, where)
        self.unnamed.add(record, where)

    def row(self, record: dict[str, Any], where: str, split: str | None) -> Row:
        """Return a record's row; DataError where it names no image or no split, or its labels cannot be read.

        split: that of its table, None where a column says it.
        """
        self.unnamed.look(record, where, split)
        image, split = self._image(record, where), split or self._split(record, where)
        if self.many is not None:
            return Row(where, image, self.many.take(record, where), split)
        return Row(where, image, parsed(record[self.label_column], self.spec.label_separator, where), split)

    def labels(self, rows: list[Row], report: Report) -> Labels:
        """Return the labels of all rows of the table; AevlpError where a column that nobody named may change them."""
        if "split_column" not in self.spec.model_fields_set:
            self.unnamed.require_split()
        self.unnamed.require_sure()
        place = f"{self.where.rpartition(', ')[0]}, the column {self.label_column}"
        column = Column(place, self.label_column, self.classes, beside=self.beside)
        if isinstance(self.many, LabelRows):
            return self.many.labels(rows, column, report)
        several = "" if isinstance(self.many, ClassColumns) else "; for a table with a row a label say `rows: label`"
        rows = list(distinct(rows, report, several))
        if isinstance(self.many, ClassColumns):
            return self.many.labels(rows, report)
        return labels_in_cells(self.spec, column, rows, report)

    def _image(self, record: dict[str, Any], where: str) -> str:
        value = plain(record[self.image_column])
        if isinstance(value, int) and not isinstance(value, bool):  # an id
            value = str(value)
        if not isinstance(value, str | None):
            raise DataError(
                "bad row", f"{where}: the column {self.image_column} holds {value!r}, expected an image's path as text"
            )
        image = (value or "").strip()
        if not image:
            raise DataError("bad row", f"{where}: the column {self.image_column} is empty, an image's path is needed")
        return image_name(image, where)

    def _split(self, record: dict[str, Any], where: str) -> str:
        if self.split_column is None:
            return "train"
        found = str(record[self.split_column])
        split = split_of(found)
        if split is None:
            text = f"{where}: the column {self.split_column} holds {found!r}, expected a split ({expected_words()})"
            raise DataError("unknown split", text)
        return split


def _names(columns: Iterable[str], where: str) -> dict[str, str]:
    """Return the names of columns without blanks around them, {} where none has any."""
    names = {name: name.strip() for name in columns}
    if odd := [name for name in names if not is_whole(name)]:
        raise AevlpError(f"{where}: the column {odd[0]!r} holds half a character: write its name anew")
    if len(set(names.values())) < len(names):
        raise AevlpError(
            f"{where}: two columns have one name, but for the blanks around it: {', '.join(map(repr, names))}"
        )
    return names if any(name != stripped for name, stripped in names.items()) else {}
