"""A Parquet or Arrow file -> its columns, some rows at a time, and the bytes in one cell.

What is kept between two calls is names, numbers and memory, never an open file or a thread: a process may be forked at any time.
"""

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import AevlpError, in_one_line
from .identity import stamp_of
from .locations import RemotePath

ROWS_AT_ONCE = 256
END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


def schema(file: Path) -> Any:
    """Return the pyarrow schema of a Parquet or Arrow file; AevlpError where it is no such file, or not a whole one."""
    return _opened(file, stamp_of(file)).schema


def chunks(file: Path, column: str, field: str | None = None) -> Iterator[Any]:
    """Yield a column of a Parquet or Arrow file, or one field of a column of structs, as pyarrow arrays of some rows each."""
    for part in range(len(_opened(file, stamp_of(file)).rows)):
        yield from _part(file, part, column, field)


def lengths(file: Path, column: str) -> np.ndarray:
    """Return the number of bytes in each cell of a column of images, -1 where the cell holds none.

    An Arrow file says so; a Parquet file's column is read once for it, some rows at a time.
    """
    return _lengths(file, stamp_of(file), column)


def holds_bytes(kind: Any) -> bool:
    """Whether a column of this pyarrow type holds files: bytes, or structs whose field `bytes` does."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and holds_bytes(kind.field("bytes").type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def cell(file: Path, inner: str) -> bytes | None:
    """Return the bytes in the cell `column/row`, None where there is none; rows count from 0."""
    column, row = address(inner)
    ends = [0, *accumulate(_opened(file, stamp_of(file)).rows)]
    part = bisect_right(ends, row) - 1
    if not 0 <= row < ends[-1] or not holds_images(file, column):
        return None
    return _images(file, stamp_of(file), column, part)[row - ends[part]].as_py()


def address(inner: str) -> tuple[str, int]:
    """Split `image/17` in column and row, -1 for what is no row."""
    column, _, row = inner.rpartition("/")
    return column, int(row) if row.isascii() and row.isdecimal() and len(row) < 19 else -1


def holds_images(file: Path, column: str) -> bool:
    """Whether a file has this column, and it holds files."""
    known = schema(file)
    return column in known.names and holds_bytes(known.field(column).type)


@lru_cache(maxsize=2)  # a part may be large; images are mostly asked for in order
def _images(file: Path, stamp: tuple[int, ...], column: str, part: int) -> Any:
    import pyarrow as pa

    return pa.chunked_array(list(_part(file, part, column, _image_field(file, column))))


@cache
def _lengths(file: Path, stamp: tuple[int, ...], column: str) -> np.ndarray:
    import pyarrow.compute as pc

    counted = [pc.call_function("binary_length", [chunk]) for chunk in chunks(file, column, _image_field(file, column))]
    numbers = [array.fill_null(-1).to_numpy(zero_copy_only=False) for array in counted]
    return np.concatenate([np.zeros(0, dtype=np.int64), *numbers])


def _image_field(file: Path, column: str) -> str | None:
    import pyarrow as pa

    return "bytes" if pa.types.is_struct(schema(file).field(column).type) else None


def _part(file: Path, part: int, column: str, field: str | None) -> Iterator[Any]:
    import pyarrow.compute as pc

    with reading(file):
        for array in _opened(file, stamp_of(file)).part(part, column, field):
            array.validate(full=True)  # an Arrow file is mapped as it is, offsets that lead out of it included
            yield array if field is None else pc.call_function("struct_field", [array], pc.StructFieldOptions(field))


@cache
def _opened(file: Path, stamp: tuple[int, ...]) -> "_Parquet | _Arrow":
    with reading(file):
        return _Arrow(file) if file.suffix.lower() == ".arrow" else _Parquet(file)


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Raise AevlpError, in one line, for what goes wrong in reading a Parquet or Arrow file."""
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException) as error:
        kind = "an Arrow" if file.suffix.lower() == ".arrow" else "a Parquet"
        raise AevlpError(f"{file} is not {kind} file that can be read: {in_one_line(error)}") from error


def values(file: Path, column: str, array: Any) -> list[Any]:
    """Return the Python values of some cells of a column; AevlpError where one has none, such as a date beyond the year 9999."""
    import pyarrow as pa

    try:
        return array.to_pylist()
    except (ValueError, OverflowError, pa.ArrowException) as error:
        found = in_one_line(error)
        raise AevlpError(
            f"{file}: a cell of the column {column} cannot be read: {found}: write the column anew, as text, or leave it out"
        ) from error


class _Parquet:
    """A Parquet file's footer; its parts are the row groups, decoded by no other thread, which a fork would lose."""

    def __init__(self, file: Path) -> None:
        import pyarrow.parquet as pq

        self.file = file
        with _source(file) as source, pq.ParquetFile(source, pre_buffer=False) as opened:
            self.footer, self.schema = opened.metadata, opened.schema_arrow
        self.rows = [self.footer.row_group(n).num_rows for n in range(self.footer.num_row_groups)]

    def part(self, number: int, column: str, field: str | None) -> Iterator[Any]:
        import pyarrow.parquet as pq

        name = column if field is None else f"{column}.{field}"
        with (
            _source(self.file) as source,
            pq.ParquetFile(source, metadata=self.footer, pre_buffer=False) as opened,
        ):
            for batch in opened.iter_batches(ROWS_AT_ONCE, [number], [name], use_threads=False):
                yield batch.column(column)


def _source(file: Path) -> Any:
    """Return what pyarrow reads a Parquet file from, as a context."""
    return file.open("rb") if isinstance(file, RemotePath) else nullcontext(file)


class _Arrow:
    """An Arrow file or stream, mapped, not read; its parts are the record batches."""

    def __init__(self, file: Path) -> None:
        import pyarrow as pa

        if isinstance(file, RemotePath):
            raise AevlpError(
                f"{file}: Arrow files are read where they are mapped, on the local disk: copy it to a local folder"
            )
        options = pa.ipc.IpcReadOptions(use_threads=False)
        with pa.memory_map(str(file)) as source:  # what is mapped outlives the closed file
            if source.read(6) == b"ARROW1":
                reader = pa.ipc.open_file(source, options=options)
            else:
                source.seek(max(0, source.size() - len(END_OF_STREAM)))
                if source.read() != END_OF_STREAM:  # which pyarrow does not ask for
                    raise pa.ArrowInvalid("its end marker is missing, so it may be cut short")
                source.seek(0)
                reader = pa.ipc.open_stream(source, options=options)
            self.schema, self.batches = reader.schema, reader.read_all().to_batches()
        self.rows = [batch.num_rows for batch in self.batches]

    def part(self, number: int, column: str, field: str | None) -> Iterator[Any]:
        yield self.batches[number].column(column)
