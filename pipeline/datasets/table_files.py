"""A table file, CSV, JSON lines or Parquet -> its rows as records, with the words that say where each stands."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from ..errors import AevlpError
from ..files import arrow_files as column_files
from .delimited_text import DelimitedText, TableForm
from .faults import DataError, Remark, Report
from .json_text import json_value
from .text_encoding import encoding_of, head_of, text_errors

TEXT_ENDINGS = (".csv", ".tsv", ".tab", ".txt")
JSON_ENDINGS = (".jsonl", ".ndjson")
AS_WRITTEN = TableForm()

Records = Iterator[tuple[str, dict[str, Any]]]


class TableFile(Protocol):
    """A table whose rows can be read, one after another, as often as wanted.

    columns: the names of its columns, in their order; of JSON lines the keys of the first object. remarks: what was read
    differently from how it is written; all of them when the rows were read to the end.
    """

    remarks: list[Remark]

    @property
    def columns(self) -> tuple[str, ...]: ...
    def records(self, report: Report) -> Records:
        """Yield ("line 3", {column: value}) for each row; one that is no row is reported and left out.

        Values: stripped text of a CSV file, else what JSON or Parquet holds. Raises AevlpError where the file cannot be read
        to its end.
        """
        ...


def open_table(path: Path, image_column: str, form: TableForm = AS_WRITTEN) -> TableFile:
    """Return the table in a file, its header read; of a CSV file whose header is stated (`columns`) all rows.

    image_column: must be there in a CSV file, whose delimiter is told by it. form: what the manifest says of the file.
    Raises AevlpError for a file of another kind, one that does not show how it is written, and a column that stands twice.
    """
    suffix = path.suffix.lower()
    with reading(path):
        if suffix in TEXT_ENDINGS:
            return DelimitedText(path, form, image_column)
        for key, value in (("delimiter", form.delimiter), ("columns", form.columns)):
            if value is not None:
                raise AevlpError(f"{path}: `{key}` says how a CSV file is written, and this is none: leave it out")
        if suffix in JSON_ENDINGS:
            return JsonLines(path, form.encoding)
        if suffix == ".parquet":
            if form.encoding is not None:
                raise AevlpError(f"{path}: `encoding` says how text is written, and this is no text: leave it out")
            return ParquetRows(path)
    if suffix == ".json":
        raise _no_lines(path)
    raise AevlpError(
        f"{path}: a table is a {', '.join(TEXT_ENDINGS)}, {', '.join(JSON_ENDINGS)} or .parquet file; save a "
        f"spreadsheet as CSV"
    )


def _no_lines(path: Path) -> AevlpError:
    return AevlpError(f"{path}: a table in JSON has one object a line: write it as .jsonl (JSON lines)")


class JsonLines:
    """A file with a JSON object a line; see `TableFile`."""

    def __init__(self, path: Path, encoding: str | None) -> None:
        self.path, self.encoding = path, encoding_of(path, head_of(path), encoding)
        self.remarks: list[Remark] = []

    @property
    def columns(self) -> tuple[str, ...]:
        """The keys of the first object."""
        return tuple(next(self.records(lambda error: None), ("", {}))[1])

    def records(self, report: Report) -> Records:
        with reading(self.path), text_errors(self.path, self.encoding), self.path.open(encoding=self.encoding) as file:
            first = True
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                if first and _is_array(line):
                    raise _no_lines(self.path)
                first = False
                where = f"line {number}"
                try:
                    yield where, _json_object(line)
                except (ValueError, RecursionError) as error:
                    found = error.msg if isinstance(error, json.JSONDecodeError) else error
                    report(DataError("bad row", f"{self.path}, {where}: not valid JSON: {found}"))
                except TypeError:
                    text = f"{self.path}, {where}: expected a JSON object, found {line.strip()[:60]}"
                    report(DataError("bad row", text))


def _is_array(line: str) -> bool:
    """Return whether a file that begins so is one array of objects, on one line or on several."""
    return line.strip() == "[" or re.match(r"\s*\[\s*\{", line) is not None


def _json_object(line: str) -> dict[str, Any]:
    """Return the object of a line; ValueError for what is no JSON, or has a key twice, TypeError for what is no object."""
    value = json_value(line)
    if not isinstance(value, dict):
        raise TypeError
    return value


class ParquetRows:
    """A Parquet file; see `TableFile`."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet

        self.path, self.remarks = path, list[Remark]()
        with column_files.reading(path), path.open("rb") as file:
            self.columns = tuple(pyarrow.parquet.ParquetFile(file).schema_arrow.names)
        if twice := sorted(name for name, count in Counter(self.columns).items() if count > 1):
            raise AevlpError(f"{path}: columns that stand twice: {', '.join(map(repr, twice))}; each may stand once")

    def records(self, report: Report) -> Records:
        import pyarrow.parquet

        start = 0
        with column_files.reading(self.path), self.path.open("rb") as file:
            for batch in pyarrow.parquet.ParquetFile(file).iter_batches():
                columns = [
                    column_files.values(self.path, name, array)
                    for name, array in zip(self.columns, batch.columns, strict=True)
                ]
                for number, cells in enumerate(zip(*columns, strict=True), start + 1):
                    yield f"row {number}", dict(zip(self.columns, cells, strict=True))
                start += batch.num_rows


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise AevlpError, in one line, for what goes wrong in reading a table."""
    try:
        yield
    except OSError as error:
        raise AevlpError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    except ValueError as error:
        raise AevlpError(f"{path}: not a valid {path.suffix} file: {' '.join(str(error).split())}") from error
