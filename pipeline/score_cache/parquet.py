"""A cache as a folder of Parquet files: a column a column, arrays flattened to fixed-size lists, the header as JSON text in
the metadata under `aevlp`, in every file, and the checksums of its rows under `aevlp.checksums`."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import AevlpError, in_one_line
from .checksums import Checksums, block_checksums, header_checksum
from .reader import ScoreCache
from .schema import ROWS_A_BLOCK, TEXT_COLUMNS, CacheHeader, CacheRows, array_columns, in_blocks

WITH_DICTIONARY: Any = list(TEXT_COLUMNS)  # numbers are read four times as fast without
ROWS_A_FILE = 64 * ROWS_A_BLOCK  # a row group is a block


def write(folder: Path, header: CacheHeader, parts: Iterable[CacheRows]) -> None:
    """Write the parts, which hold header.rows rows in all, as a new folder."""
    schema = _schema(header)
    folder.mkdir()
    start, writer = 0, None
    checksums: Checksums = {}
    try:
        for rows in in_blocks(parts, ROWS_A_BLOCK):
            if start % ROWS_A_FILE == 0:
                _close(writer, checksums)
                place = folder / f"part-{start // ROWS_A_FILE:05d}.parquet"
                writer = pq.ParquetWriter(place, schema, use_dictionary=WITH_DICTIONARY)
                checksums = {"header": [header_checksum(header)]}
            assert writer is not None
            writer.write_table(_table(rows, header, schema))
            for name, digest in block_checksums(rows).items():
                checksums.setdefault(name, []).append(digest)
            start += len(rows)
    finally:
        _close(writer, checksums)


def read(path: Path, whole: bool) -> "ParquetStore":
    """Return what reads a cache; whole: if all its checksums agree."""
    if not path.is_dir():
        raise AevlpError(f"{path}: a .parquet cache is a folder of Parquet files, found a file")
    store = ParquetStore(path)
    if whole:
        for _ in ScoreCache(path, store).rows():
            pass
    return store


def _close(writer: pq.ParquetWriter | None, checksums: Checksums) -> None:
    if writer:
        writer.add_key_value_metadata({"aevlp.checksums": json.dumps(checksums)})
        writer.close()


def _schema(header: CacheHeader) -> pa.Schema:
    columns = [pa.field(name, pa.string()) for name in TEXT_COLUMNS]
    for name, (dtype, shape) in array_columns(header).items():
        kind = pa.from_numpy_dtype(np.dtype(dtype))
        columns.append(pa.field(name, pa.list_(kind, int(np.prod(shape)))))
    return pa.schema(columns, metadata={"aevlp": header.to_json()})


def _table(rows: CacheRows, header: CacheHeader, schema: pa.Schema) -> pa.Table:
    columns: list[pa.Array] = [pa.array(getattr(rows, name), pa.string()) for name in TEXT_COLUMNS]
    for name, (dtype, shape) in array_columns(header).items():
        flat = np.ascontiguousarray(getattr(rows, name), dtype=dtype).reshape(-1)
        columns.append(pa.FixedSizeListArray.from_arrays(pa.array(flat), int(np.prod(shape))))
    return pa.Table.from_arrays(columns, schema=schema)


class ParquetStore:
    """Reads what `write` wrote."""

    def __init__(self, path: Path) -> None:
        self.path = path
        files = sorted(path.glob("part-*.parquet"))
        if not files:
            raise AevlpError(f"{path}: no part-*.parquet in it: not an aevlp cache")
        self._groups: list[tuple[int, Path, int]] = []  # first row, file, row group
        self.checksums: Checksums = {}
        start = 0
        headers = set()
        for file in files:
            found = self._file(file)
            metadata = found.metadata.metadata or {}
            headers.add(metadata.get(b"aevlp", b"{}"))
            if len(headers) > 1:
                raise AevlpError(f"{path}: its files are of different caches")
            self.header = CacheHeader.from_json(next(iter(headers)), str(path))
            for name, digests in self._checksums(file, metadata).items():
                self.checksums.setdefault(name, []).extend(digests)
            for group in range(found.num_row_groups):
                self._groups.append((start, file, group))
                start += found.metadata.row_group(group).num_rows
        if start != self.header.rows:
            raise AevlpError(f"{path}: {start} rows found, the header says {self.header.rows}: files are missing")
        self._starts = np.array([first for first, _, _ in self._groups])

    def text(self, name: str, rows: slice) -> list[str]:
        """Return consecutive rows of a text column."""
        start, stop, _ = rows.indices(self.header.rows)
        values: list[str] = []
        first, last = np.searchsorted(self._starts, (start, stop - 1), side="right") - 1
        for at, file, group in self._groups[first : last + 1]:
            with _reading(file, f"the column {name}"):
                values += self._column(file, group, name).to_pylist()[max(start - at, 0) : stop - at]
        return values

    def array(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Return some rows of a numeric column, in the order asked for."""
        dtype, shape = array_columns(self.header)[name]
        result = np.empty((len(rows), *shape), dtype=dtype)
        order = np.argsort(rows, kind="stable")
        owner = np.searchsorted(self._starts, rows[order], side="right") - 1
        opened: tuple[Path, pq.ParquetFile] | None = None
        for places in np.split(order, np.flatnonzero(np.diff(owner)) + 1) if len(rows) else ():
            first, file, group = self._groups[int(np.searchsorted(self._starts, rows[places[0]], side="right")) - 1]
            if opened is None or opened[0] != file:
                opened = file, self._file(file)
            with _reading(file, f"the column {name}"):
                column = opened[1].read_row_group(group, columns=[name]).column(name)
                result[places] = _numbers(column, shape)[rows[places] - first]
        return result

    def block(self, rows: slice) -> dict[str, list[str] | np.ndarray]:
        """Return every column of the rows of one row group, with one opening of its file."""
        first, file, group = self._groups[int(np.searchsorted(self._starts, rows.start, side="right")) - 1]
        with _reading(file, "a row group"):
            table = self._file(file).read_row_group(group)
        if (first, len(table)) != (rows.start, rows.stop - rows.start):
            raise AevlpError(f"{file}: its row groups are not those of an aevlp cache")
        columns: dict[str, list[str] | np.ndarray] = {}
        for name in TEXT_COLUMNS:
            with _reading(file, f"the column {name}"):
                columns[name] = table.column(name).to_pylist()
        for name, (_, shape) in array_columns(self.header).items():
            with _reading(file, f"the column {name}"):
                columns[name] = _numbers(table.column(name), shape)
        return columns

    def _column(self, file: Path, group: int, name: str) -> pa.ChunkedArray:
        with _reading(file, f"the column {name}"):
            return self._file(file).read_row_group(group, columns=[name]).column(name)

    @staticmethod
    def _checksums(file: Path, metadata: dict[bytes, bytes]) -> Checksums:
        try:
            return dict(json.loads(metadata[b"aevlp.checksums"]))
        except (KeyError, ValueError, TypeError) as error:
            raise AevlpError(f"{file}: its checksums are missing: not a whole part of an aevlp cache") from error

    @staticmethod
    def _file(path: Path) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(path)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise AevlpError(f"{path} cannot be read as Parquet: {in_one_line(error, 160)}") from error


def _numbers(column: pa.ChunkedArray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a column of flattened arrays, (rows, *shape)."""
    values = np.concatenate([chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks])
    return values.reshape(-1, *shape)


@contextmanager
def _reading(file: Path, what: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, KeyError, ValueError, IndexError) as error:
        raise AevlpError(f"{file}: {what} cannot be read: {in_one_line(error, 160)}") from error
