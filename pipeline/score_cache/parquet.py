"""A cache as a folder of Parquet files: a column a column, arrays flattened to fixed-size lists, the header as JSON text in
the schema's metadata under `aevlp`, in every file."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..atomic_write import replacing
from ..errors import AevlpError
from .schema import TEXT_COLUMNS, CacheHeader, CacheRows, array_columns

ROWS_A_FILE = 65536
ROWS_A_GROUP = 1024


def write(path: Path, header: CacheHeader, blocks: Iterable[CacheRows]) -> None:
    """Write the blocks, which hold header.rows rows in all, as one folder that appears whole or not at all."""
    schema = _schema(header)
    with replacing(path) as folder:
        folder.mkdir()
        start, writer = 0, None
        try:
            for rows in _groups(blocks):
                if start % ROWS_A_FILE == 0:
                    if writer:
                        writer.close()
                    writer = pq.ParquetWriter(folder / f"part-{start // ROWS_A_FILE:05d}.parquet", schema)
                assert writer is not None
                writer.write_table(_table(rows, header, schema))
                start += len(rows)
        finally:
            if writer:
                writer.close()
        if start != header.rows:
            raise AevlpError(f"{path}: expected {header.rows} rows, {start} were given")


def _groups(blocks: Iterable[CacheRows]) -> Iterable[CacheRows]:
    """Join small blocks and cut large ones into row groups of one size, so that files do not depend on the batch."""
    held: CacheRows | None = None
    for block in blocks:
        held = block if held is None else _joined(held, block)
        while len(held) >= ROWS_A_GROUP:
            yield _cut(held, slice(0, ROWS_A_GROUP))
            held = _cut(held, slice(ROWS_A_GROUP, None))
    if held is not None and len(held):
        yield held


def _joined(a: CacheRows, b: CacheRows) -> CacheRows:
    return _map(lambda x, y: x + y if isinstance(x, list) else np.concatenate([x, y]), a, b)


def _cut(rows: CacheRows, part: slice) -> CacheRows:
    return _map(lambda values: values[part], rows)


def _map(change: Callable[..., Any], *rows: CacheRows) -> CacheRows:
    """Return rows whose every column is `change` of the columns given; truth may be None."""
    columns: dict[str, Any] = {}
    for name in vars(rows[0]):
        values = [getattr(r, name) for r in rows]
        columns[name] = None if values[0] is None else change(*values)
    return CacheRows(**columns)


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
        start = 0
        headers = set()
        for file in files:
            found = self._file(file)
            headers.add((found.schema_arrow.metadata or {}).get(b"aevlp", b"{}"))
            for group in range(found.num_row_groups):
                self._groups.append((start, file, group))
                start += found.metadata.row_group(group).num_rows
        if len(headers) > 1:
            raise AevlpError(f"{path}: its files are of different caches")
        self.header = CacheHeader.from_json(headers.pop(), str(path))
        if start != self.header.rows:
            raise AevlpError(f"{path}: {start} rows found, the header says {self.header.rows}: files are missing")
        self._starts = np.array([first for first, _, _ in self._groups])

    def text(self, name: str) -> np.ndarray:
        """Return a whole text column, (N,) str."""
        try:
            values = [value for _, file, group in self._groups for value in self._column(file, group, name).to_pylist()]
            return np.array(values, dtype=str).reshape(self.header.rows)
        except ValueError as error:
            raise AevlpError(
                f"{self.path}: the column {name} is damaged: {' '.join(str(error).split())[:160]}"
            ) from error

    def array(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Return some rows of a numeric column, in the order asked for."""
        dtype, shape = array_columns(self.header)[name]
        result = np.empty((len(rows), *shape), dtype=dtype)
        owner = np.searchsorted(self._starts, rows, side="right") - 1
        for index in np.unique(owner):
            first, file, group = self._groups[index]
            column = self._column(file, group, name)
            mine = owner == index
            try:
                values = np.concatenate([chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks])
                result[mine] = values.reshape(-1, *shape)[rows[mine] - first]
            except (ValueError, IndexError) as error:
                raise AevlpError(f"{file}: the column {name} is damaged: {error}") from error
        return result

    def _column(self, file: Path, group: int, name: str) -> pa.ChunkedArray:
        try:
            return self._file(file).read_row_group(group, columns=[name]).column(name)
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise AevlpError(
                f"{file}: the column {name} cannot be read: {' '.join(str(error).split())[:160]}"
            ) from error

    @staticmethod
    def _file(path: Path) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(path)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise AevlpError(f"{path} cannot be read as Parquet: {' '.join(str(error).split())[:160]}") from error
