"""A table of any kind, before anybody said which column is which -> its columns and all of their cells."""

import csv
import io
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from ..datasets.delimited_text import DELIMITERS, TableForm
from ..datasets.table_files import TEXT_ENDINGS, open_table, reading
from ..datasets.text_encoding import decoded, encoding_of, head_of, text_errors
from ..errors import AevlpError
from .columns import looks_like_image

ROWS = 100  # by which the delimiter of a CSV file is told


def form_of(path: Path, keys: Mapping[str, Any]) -> TableForm:
    """Return how a table is written: as `keys` of its entry say, and the delimiter of a CSV file as its rows show it.

    Raises AevlpError where two delimiters fit all rows alike, or the file has no header.
    """
    columns = keys.get("columns")
    form = TableForm(keys.get("delimiter"), keys.get("encoding"), columns and tuple(columns))
    if path.suffix.lower() not in TEXT_ENDINGS or form.delimiter:
        return form
    return TableForm(_delimiter(path, form), form.encoding, form.columns)


def cells_of(path: Path, form: TableForm) -> tuple[dict[str, list[Any]], list[str]]:
    """Return all cells of a table by its columns, None where a row has none, and where each row stands.

    Faulty rows are left to its reader. Raises AevlpError where the file is no table, or holds no row.
    """
    table = open_table(path, _first_column(path, form), form)
    found: dict[str, list[Any]] = {}
    faults: list[AevlpError] = []
    places: list[str] = []
    for place, record in table.records(faults.append):
        for name, value in record.items():
            if (name := name.strip()) not in found:
                found[name] = [None] * len(places)
            found[name].append(value)
        places.append(f"{path}, {place}")
        for column in found.values():
            if len(column) < len(places):
                column.append(None)
    if not places and faults:
        raise AevlpError(f"{faults[0]} (no row of {len(faults):,} can be read)")
    if not places:
        raise AevlpError(f"{path}: the table has no rows, expected a row an image: pass a table with rows as SOURCE")
    return found, places


def _first_column(path: Path, form: TableForm) -> str:
    """Return a name that stands in the header, by which a reader takes it for one."""
    if form.columns:
        return form.columns[0]
    if path.suffix.lower() not in TEXT_ENDINGS:
        return ""
    header = next(iter(_rows(path, form, form.delimiter or ",")), [])
    if any(map(looks_like_image, header)):
        return "image"  # there is no header, which the reader says
    return next(filter(None, header), "")


def _delimiter(path: Path, form: TableForm) -> str | None:
    rows = {sign: _rows(path, form, sign) for sign in DELIMITERS}
    if all(not found for found in rows.values()):
        raise AevlpError(f"{path}: the table is empty, expected a row an image: pass a table with rows as SOURCE")
    widths = {sign: [len(row) for row in found] for sign, found in rows.items() if found}
    wide = {sign: found for sign, found in widths.items() if found[0] > 1}
    fitting = [sign for sign, found in wide.items() if len(set(found)) == 1]
    if not fitting:  # rows with too many cells or too few: the sign by which the fewest are so
        fitting = [max(wide, key=lambda sign: sum(n == wide[sign][0] for n in wide[sign]))] if wide else []
    if len(fitting) > 1:
        with_images = [sign for sign in fitting if any(looks_like_image(cell) for row in rows[sign] for cell in row)]
        fitting = with_images or fitting
    if len(fitting) > 1:
        words = " and ".join(DELIMITERS[sign] for sign in fitting)
        raise AevlpError(
            f"{path}: both {words} could stand between its cells, expected one: say which as --key 'delimiter: "
            f'"{fitting[0]}"\''
        )
    return fitting[0] if fitting else ","


def _rows(path: Path, form: TableForm, delimiter: str) -> list[list[str]]:
    """Return the first rows of a CSV file that are not blank, [] where quotes are none with this delimiter."""
    with reading(path):
        head = head_of(path)
        encoding = encoding_of(path, head, form.encoding)
        with text_errors(path, encoding):
            lines = io.StringIO(decoded(head, encoding), newline="").readlines()
    if lines and lines[0].lower().lstrip('"\ufeff').startswith("sep="):
        lines = lines[1:]
    try:
        rows = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
        stripped = ([cell.strip() for cell in row] for row in rows)
        return list(islice((row for row in stripped if any(row)), ROWS))
    except csv.Error:
        return []
