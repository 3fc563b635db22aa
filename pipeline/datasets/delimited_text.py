"""A table as text, CSV as spreadsheets and other tools write it -> its header and rows; what is not certain is refused."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from ..errors import AevlpError, unknown_name
from ..files.image_formats import ENDINGS
from ..labels.label_words import as_yaml
from .faults import DataError, Remark, Report
from .text_encoding import decoded, encoding_of, head_of, reads_as_utf8_too, text_errors

DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
TITLE_ROWS = 20  # rows at the top of a file in which its header is looked for
_MARK = "\ufeff"  # of byte order, also where files were joined
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[\s,;|]*', re.IGNORECASE)  # which spreadsheets write for each other


@dataclass(frozen=True)
class TableForm:
    """What the manifest says of how a table is written; None where the file itself is to show it.

    delimiter: between the cells of a row. encoding: a codec of Python's. columns: the header of a file that has none.
    """

    delimiter: str | None = None
    encoding: str | None = None
    columns: tuple[str, ...] | None = None


class DelimitedText:
    """A CSV file, its encoding, delimiter and header known. columns: the names of the header, blanks around them removed.

    remarks: what was read differently from how it is written; whole when all rows were read.
    """

    def __init__(self, path: Path, form: TableForm, image_column: str) -> None:
        """Raise AevlpError where encoding, delimiter or header cannot be told, with the manifest's key that says them."""
        self.path, self._form, self._image_column = path, form, image_column
        head = head_of(path)
        self.encoding = encoding_of(path, head, form.encoding)
        self.remarks: list[Remark] = []
        with text_errors(path, self.encoding):
            self._head = decoded(head, self.encoding)
            self._separator_line = self._first_line()
            self._delimiter = self._find_delimiter()
            self._header = list(form.columns or self._first_row(self._delimiter))
        self._check_header()
        self.columns = tuple(name for name in self._header if name)

    def records(self, report: Report) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield each row as a dictionary of stripped cells, with the words that say where it stands; blank lines are none.

        A row of another number of cells, or with a cell in a column without a name, is reported and left out. The header
        where it stands again is left out with a remark. Raises AevlpError for what is no text or no CSV.
        """
        again: list[int] = []
        names, sorted_names = set(self._header), sorted(self._header)
        with text_errors(self.path, self.encoding):
            for number, row in enumerate(self._rows(self._delimiter)):
                line, cells = row
                if cells[0] in names and cells[: len(self._header)] == self._header:
                    if number:
                        again.append(line)
                    continue
                if cells[0] in names and sorted(cells) == sorted_names:
                    raise AevlpError(
                        f"{self.path}, line {line}: the header stands here again with its columns in another order: make two "
                        f"tables of it, or put the columns in one order"
                    )
                where = f"line {line}"
                try:
                    yield where, self._record(where, cells)
                except DataError as error:
                    report(error)
        self.remarks = [Remark("read differently", f"{self.path}: {text}") for text in self._read_differently(again)]

    def _record(self, where: str, cells: list[str]) -> dict[str, str]:
        header, count = self._header, len(self._header)
        if len(cells) == count == len(self.columns):
            return dict(zip(header, cells, strict=True))
        if any(cells[count:]) or any(header[len(cells) :]):
            raise DataError("bad row", f"{self.path}, {where}: {self._of_another_width(cells)}")
        for column, cell in enumerate(cells[:count]):
            if cell and not header[column] and column:  # the first may hold row numbers, as pandas writes them
                raise DataError(
                    "bad row",
                    f"{self.path}, {where}: column {column + 1} holds {cell[:60]!r}, and the header has no name for it",
                )
        return {name: cell for name, cell in zip(header, cells, strict=False) if name}

    def _of_another_width(self, cells: list[str]) -> str:
        """Return what is wrong with a row of too many cells or too few: often another sign stands between them."""
        count, own = len(self._header), self._delimiter
        sign = DELIMITERS.get(own, repr(own))
        row = own.join(cells)
        expected = f"expected {count} fields as in the header, with {sign} between them, found"
        for other, words in DELIMITERS.items():
            if other != own and count > 1 and len(next(csv.reader([row], delimiter=other))) == count:
                return (
                    f"{expected} {row[:60]!r}, which has {count} with {words}: write the row with {sign}, as `delimiter` is one "
                    f"for the whole table"
                )
        quotes = f", with quotes around a cell that holds {sign}" if len(cells) > count else ""
        return f"{expected} {len(cells)} in {row[:60]!r}: write {count}{quotes}"

    def _rows(self, delimiter: str, head: bool = False) -> Iterator[tuple[int, list[str]]]:
        """Yield each row that is not blank, its cells stripped, with the number of its last line; head: of the first alone."""
        with (
            io.StringIO(self._head, newline="") if head else self.path.open(encoding=self.encoding, newline="") as file
        ):
            skipped = 1 if self._separator_line else 0
            if skipped:
                file.readline()
            lines = (line.lstrip(_MARK) for line in file)
            reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=delimiter != " ")
            try:
                for cells in reader:
                    if any(stripped := [cell.strip() for cell in cells]):
                        yield reader.line_num + skipped, stripped
            except csv.Error as error:
                line = reader.line_num + skipped
                raise AevlpError(f"{self.path}, line {line}: not a valid {self.path.suffix} file: {error}") from error

    def _first_line(self) -> str | None:
        """Return the delimiter that a first line such as `sep=;` states."""
        with io.StringIO(self._head, newline="") as file:
            stated = _SEPARATOR_LINE.fullmatch(file.readline().strip(f" \r\n{_MARK}"))
        return stated[1] if stated else None

    def _first_row(self, delimiter: str) -> list[str]:
        return next((cells for _, cells in self._rows(delimiter, head=True)), [])

    def _find_delimiter(self) -> str:
        stated, in_file = self._form.delimiter, self._separator_line
        if stated and in_file and stated != in_file:
            raise AevlpError(
                f"{self.path}: its first line says sep={in_file}, and the manifest `delimiter: {stated!r}`: leave that out"
            )
        if stated or in_file:
            return stated or in_file or ","
        fits = self._fits_stated_columns if self._form.columns else self._fits_own_header
        found = fits()
        if len(found) > 1:
            words = " and ".join(DELIMITERS[delimiter] for delimiter in found)
            raise AevlpError(
                f"{self.path}: both {words} could stand between its cells: write which in the manifest, such as "
                f"`delimiter: {found[0]!r}`"
            )
        return found[0]

    def _fits_own_header(self) -> list[str]:
        """Return the delimiters by which the header has the column of the images; the likeliest where it has it by none."""
        headers: dict[str, list[str]] = {}
        for delimiter in DELIMITERS:
            try:
                headers[delimiter] = self._first_row(delimiter)
            except AevlpError:  # quotes that are none with this delimiter
                continue
        if not headers:
            return [","]  # whose error is then the user's
        fitting = [d for d, header in headers.items() if self._image_column in header]
        if fitting and len(headers[fitting[0]]) == 1:  # a table of one column
            return fitting[:1]
        return fitting or [max(headers, key=lambda delimiter: len(headers[delimiter]))]

    def _fits_stated_columns(self) -> list[str]:
        """Return the delimiters by which each row has as many cells as the manifest has `columns`, or else the first row."""
        wanted = len(self._form.columns or ())
        if wanted == 1:
            return [","]
        counts = {delimiter: self._widths(delimiter) for delimiter in DELIMITERS}
        if not any(counts.values()):
            return [","]
        throughout = [d for d, widths in counts.items() if set(widths) == {wanted}]
        at_first = [d for d, widths in counts.items() if next(iter(widths), wanted) == wanted]
        if not throughout and len(at_first) != 1:
            raise AevlpError(
                f"{self.path}: its rows do not have the {wanted} cells of `columns` with a comma, a semicolon, a tab or a bar "
                f"between them: write what stands there as `delimiter`, or the columns that there are"
            )
        return throughout or at_first

    def _widths(self, delimiter: str) -> Counter[int]:
        """Return how many rows have how many cells, empty ones at the end not counted where there are too many."""
        wanted = len(self._form.columns or ())
        widths: Counter[int] = Counter()
        try:
            for _, cells in self._rows(delimiter):
                widths[len(cells) if any(cells[wanted:]) else min(len(cells), wanted)] += 1
        except AevlpError:  # quotes that are none with this delimiter
            widths[-1] += 1
        return widths

    def _check_header(self) -> None:
        header, image = self._header, self._image_column
        if not header:
            return  # an empty file
        if twice := sorted(name for name, count in Counter(header).items() if name and count > 1):
            raise AevlpError(
                f"{self.path}: the header names a column twice: {', '.join(map(repr, twice))}; each may stand once"
            )
        if image in header:
            if self._form.columns:
                self._check_no_header_in_file(header.index(image))
            return
        if self._form.columns:
            raise AevlpError(f"{self.path}: `columns` does not have the column of the images, {image!r}")
        places = (
            f"a name for each of its {len(header)} columns, such as `columns: {as_yaml(_suggested(header, image))}`"
        )
        if any(_is_image(cell) for cell in header):
            line = next(line for line, _ in self._rows(self._delimiter, head=True))
            raise AevlpError(
                f"{self.path}, line {line}: expected a header, found what looks like an image's row ({', '.join(header)[:80]}): "
                f"write in the manifest {places}"
            )
        if (later := self._header_further_down()) is not None:
            raise AevlpError(
                f"{self.path}: the header stands in line {later}, below something else: delete the lines before it"
            )
        ways = ["name the images' column as `image_column`", f"where the file has no header, write {places}"]
        if len(header) == 1:
            ways.insert(1, "name what stands between the cells as `delimiter`")
        error = unknown_name("column", image, filter(None, header))
        raise AevlpError(f"{self.path}: {error}: {'; or '.join(ways)}")

    def _header_further_down(self) -> int | None:
        """Return the line that has the column of the images, below a title or notes; None where none of the first has."""
        for delimiter in DELIMITERS:
            with suppress(AevlpError):
                for line, cells in islice(self._rows(delimiter, head=True), TITLE_ROWS):
                    if self._image_column in cells and len(cells) > 1:
                        return line
        return None

    def _check_no_header_in_file(self, column: int) -> None:
        """Raise AevlpError where the first of the rows, for which the manifest states the header, looks like another one."""
        rows = self._rows(self._delimiter, head=True)
        first, second = next(rows, None), next(rows, None)
        if first is None or second is None or first[1] == self._header:
            return
        cells = [row[1][column] if column < len(row[1]) else "" for row in (first, second)]
        if _is_image(cells[1]) and not _is_image(cells[0]):
            raise AevlpError(
                f"{self.path}, line {first[0]}: {', '.join(first[1])[:80]!r} looks like a header, and the manifest states "
                f"another as `columns`: leave that out, and name the images' column as `image_column`"
            )

    def _read_differently(self, again: list[int]) -> Iterator[str]:
        """Yield what is to be said of a table that was read; again: the lines in which the header stands once more."""
        if again:
            times = f"{len(again)} times more" if len(again) > 1 else "once more"
            yield f"the header stands {times}, first in line {again[0]}: not taken for an image"
        stated = self._form.encoding
        if stated and not self.encoding.startswith("utf") and reads_as_utf8_too(self.path):
            yield f"read as {stated}, as the manifest says; it is UTF-8 text too, if `encoding` is left out"


def _suggested(first: Sequence[str], image: str) -> list[str]:
    """Return a name for each cell of the first row of a table without a header; image: of the column of images."""
    place = next((n for n, cell in enumerate(first) if _is_image(cell)), 0)
    names = ["labels" if len(first) == 2 else f"column{n}" for n in range(1, len(first) + 1)]
    return [image if n == place else name for n, name in enumerate(names)]


def _is_image(cell: str) -> bool:
    return PurePosixPath(cell).suffix.lower() in ENDINGS
