"""One table, or one for each split, -> the entry that reads it: which column is which, and what stands between labels."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..datasets.class_list_check import key_of
from ..datasets.column_words import LABELS
from ..errors import AevlpError
from ..labels.label_words import BLANK, number, word
from . import columns
from .columns import Cells
from .counts import count_columns, counts
from .no_labels import alike, in_several, no_labels, with_commas
from .numbered import are_fractions, column_of_names, named_beside, no_names, numbers_in
from .places import are_files, place_of
from .separators import between, separator_of
from .table_cells import cells_of, form_of
from .understood import Draft, Given
from .written_labels import COLUMNS, RowOf, reading_keys, rows_of

# Keys of which any says that a table is not to be taken for one of `aevlp labels`.
_OF_COLUMNS = {"image_column", "label_column", "label_columns", "label_form"}


def draft_of_table(files: Mapping[str | None, Path], given: Given) -> Draft:
    """Return what a table is understood as. files: one, under None, or one for each split.

    Raises AevlpError that names the option by which what can be meant in two ways is settled.
    """
    first = next(iter(files.values()))
    forms = {path: form_of(path, given.keys) for path in files.values()}
    form = forms[first]
    cells, rows = _joined([cells_of(path, form) for path, form in forms.items()])
    where = ", ".join(str(path) for path in files.values())
    written = None if _OF_COLUMNS & set(given.keys) or None not in files else rows_of(cells)
    image = COLUMNS[written][0] if written else _stated("image_column", cells, given, where)
    image = image or columns.image_column(cells, partial(are_files, first), where)
    names = [str(value).strip() for value in cells[image] if word(value) not in BLANK]
    place = place_of(first, names, given.keys.get("images"))
    within = {split: path.relative_to(place.root).as_posix() for split, path in files.items()}
    entry: dict[str, Any] = {"format": "table", "table": within.get(None, within)}
    if place.images is not None:
        entry["images"] = place.images
    if form.delimiter and form.delimiter != "," and first.suffix.lower() != ".tsv":
        entry["delimiter"] = form.delimiter
    entry["image_column"] = image
    split = _split_column(cells, image, given, where, of_files=None not in files)
    if split:
        entry["split_column"] = split
    said, labels = _written(cells, written) if written else _labels(cells, {image, split or ""}, given, where, rows)
    entry |= labels
    numbered = written is None and _numbered(cells, labels.get("label_column"), given, where)
    what = f"a table, {where}: images named in the column {image}{_in(place.images)}, {said}"
    splits = f"the column {split}" if split else None if None in files else "the names of the files"
    return Draft(entry, place.root, what, splits, numbered=numbered)


def _joined(tables: Sequence[tuple[Cells, Sequence[str]]]) -> tuple[dict[str, list[Any]], list[str]]:
    """Return the columns of all tables, None where one lacks a column, and where each row stands."""
    joined: dict[str, list[Any]] = {name: [] for cells, _ in tables for name in cells}
    for cells, rows in tables:
        for name, column in joined.items():
            column.extend(cells.get(name, [None] * len(rows)))
    return joined, [place for _, rows in tables for place in rows]


def _stated(key: str, cells: Cells, given: Given, where: str) -> str | None:
    name = given.keys.get(key)
    return name and columns.known_column(name, list(cells), f"--{key.replace('_', '-')}", where)


def _split_column(cells: Cells, image: str, given: Given, where: str, of_files: bool) -> str | None:
    if given.says("split_column"):
        name = given.keys["split_column"]
        return name and columns.stated_split(name, cells, where)
    return None if of_files else columns.split_column(cells, {image}, where)


def _written(cells: Cells, of: RowOf) -> tuple[str, dict[str, Any]]:
    """Return what is said of the labels of `aevlp labels`, and the keys that read them."""
    keys = reading_keys(of, (cell for cell in cells[COLUMNS[of][1]] if isinstance(cell, str)))
    return (
        f"written by aevlp labels, a row {'a label' if of == 'label' else 'an image'}: all are taken as observed",
        keys,
    )


def _labels(cells: Cells, taken: set[str], given: Given, where: str, rows: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return what is said of the labels, and the keys that say where they are. rows: where each row stands."""
    if stated := given.keys.get("label_columns"):
        if given.says("label_column"):
            raise AevlpError(
                f"{where}: --label-column names one column of labels, and --key 'label_columns' one for each class: leave "
                f"--label-column out where each class has a column"
            )
        _require_no_counts(cells, stated, given, where)
        return f"labels in {len(stated)} columns, one a class", {}
    rest = [name for name in cells if name not in taken]
    column = _stated("label_column", cells, given, where)
    column = column or columns.label_column(cells, taken, given.classes, where)
    if column is None:
        _require_no_counts(cells, [name for name in given.classes or () if name in rest] or rest, given, where)
        one_each = columns.maybe_classes(cells, taken)
        if one_each or (given.classes and set(given.classes) & set(rest)):
            return "labels in a column for each class", {}
        raise no_labels(cells, taken, where, rows)
    keys = {"label_column": column}
    place = f"{where}, the column {column}"
    if not given.says("label_column") and (several := alike(cells, rest, column)):
        raise in_several(several, where)
    if key_of(column) not in LABELS and not given.says("label_form"):
        ways = "; where these are two class numbers, say --key 'label_form: numbers'"
        if fault := with_commas(cells, [column], rows, ways):
            raise fault
    if (
        not given.says("classes")
        and given.keys.get("label_form") != "names"
        and (found := numbers_in(cells[column], place))
    ):
        if not are_fractions(found) and (
            names := column_of_names(cells[column], {n: cells[n] for n in rest if n != column})
        ):
            raise named_beside(found, names, place)
        if key_of(column) not in LABELS and column in count_columns(cells, rest):
            _require_no_counts(cells, rest, given, where)
        raise no_labels(cells, taken, where, rows) if are_fractions(found) else no_names(found, place)
    if given.keys.get("label_form") == "vector":
        return f"labels in the column {column}", keys
    separator = given.keys.get("label_separator") or separator_of(cells[column], given.classes, place, rows)
    if separator is None:
        return f"labels in the column {column}", keys
    return f"labels in the column {column}{between(separator)}", {**keys, "label_separator": separator}


def _require_no_counts(cells: Cells, names: Sequence[str], given: Given, where: str) -> None:
    """Raise AevlpError where columns count what each class is shown of, and nobody said which numbers are present."""
    said = given.says("label_values") or given.says("label_threshold")
    if not said and (found := count_columns(cells, [name for name in names if name in cells])):
        raise counts(cells, found, where)


def _numbered(cells: Cells, column: str | None, given: Given, where: str) -> bool:
    """Return whether the labels are numbers of the classes that a person names."""
    if column is None or given.classes is None or given.keys.get("label_form") == "names":
        return False
    return all(number(name) is None for name in given.classes) and bool(numbers_in(cells[column], where))


def _in(folder: str | None) -> str:
    return "" if folder is None else f" (in {folder})"
