"""A cache as one HDF5 file: a dataset a column, the header as JSON text in `header`, and checksums in `checksums`.

A file is opened for each read and closed again, so that no handle ever crosses a fork.
"""

import io
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import h5py
import numpy as np

from ..errors import AevlpError
from .checksums import Checksums, block_checksums, header_checksum
from .schema import ROWS_A_BLOCK, TEXT_COLUMNS, CacheHeader, CacheRows, array_columns, in_blocks

CHUNK_BYTES = 1 << 18
LAYOUT = ("v110", "v110")  # the oldest layout that guards its own tables with checksums


def write(path: Path, header: CacheHeader, parts: Iterable[CacheRows]) -> None:
    """Write the parts, which hold header.rows rows in all, as a new file."""
    with h5py.File(path, "w", libver=LAYOUT) as file:
        _fill(file, header, parts)


def to_bytes(header: CacheHeader, rows: CacheRows, user_block: int = 0) -> bytes:
    """Return the file that `write` would write of these rows, with some bytes before it that are the caller's."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=LAYOUT, userblock_size=user_block) as file:
        _fill(file, header, [rows])
    return buffer.getvalue()


def _fill(file: h5py.File, header: CacheHeader, parts: Iterable[CacheRows]) -> None:
    file["header"] = header.to_json()
    text = h5py.string_dtype()
    for name in ("classes", "prompts"):
        file.create_dataset(name, data=list(getattr(header, name)), dtype=text)
    for name in TEXT_COLUMNS:
        file.create_dataset(name, (header.rows,), dtype=text)
    for name, (dtype, shape) in array_columns(header).items():
        row_bytes = np.dtype(dtype).itemsize * int(np.prod(shape))
        chunk = max(1, min(header.rows, CHUNK_BYTES // max(row_bytes, 1)))
        file.create_dataset(name, (header.rows, *shape), dtype=dtype, chunks=(chunk, *shape))
    columns = (*TEXT_COLUMNS, *array_columns(header))
    checksums: Checksums = {"header": [header_checksum(header)], **{name: [] for name in columns}}
    start = 0
    for rows in in_blocks(parts, ROWS_A_BLOCK):
        here = slice(start, start + len(rows))
        start = here.stop
        if start > header.rows:
            continue  # only counted, for the error below
        for name in columns:
            _dataset(file, name)[here] = getattr(rows, name)
        for name, digest in block_checksums(rows).items():
            checksums[name].append(digest)
    if start != header.rows:
        raise AevlpError(f"expected {header.rows} rows, {start} were given")
    file["checksums"] = json.dumps(checksums)


def _dataset(file: h5py.File, name: str) -> h5py.Dataset:
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise AevlpError(f"{file.filename}: the dataset {name} is missing: not a whole aevlp cache")
    return dataset


class Hdf5Store:
    """Reads what `write` wrote, from its path, or `to_bytes` made, from these bytes; `path` names it in errors."""

    def __init__(self, path: Path, content: bytes | None = None) -> None:
        self.path, self._content = path, content
        with self._open() as file, self._reading("header"):
            self.header = CacheHeader.from_json(_text(file, "header"), str(path))
            self.checksums: Checksums = json.loads(_text(file, "checksums"))
            for name, shape in {
                **dict.fromkeys(TEXT_COLUMNS, ()),
                **{name: shape for name, (_, shape) in array_columns(self.header).items()},
            }.items():
                found, expected = _dataset(file, name).shape, (self.header.rows, *shape)
                if found != expected:
                    raise AevlpError(f"{path}: {name} has the shape {found}, the header says {expected}")

    def text(self, name: str, rows: slice) -> list[str]:
        """Return consecutive rows of a text column."""
        with self._open() as file, self._reading(name):
            return _dataset(file, name).asstr()[rows].tolist()

    def array(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Return some rows of a numeric column, in the order asked for."""
        with self._open() as file, self._reading(name):
            dataset = _dataset(file, name)
            if len(rows) and (np.diff(rows) == 1).all():
                return dataset[int(rows[0]) : int(rows[-1]) + 1]
            distinct, inverse = np.unique(rows, return_inverse=True)
            return dataset[distinct][inverse]

    @contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, RuntimeError) as error:
            detail = " ".join(str(error).split())[:120]
            raise AevlpError(f"{self.path}: {name} cannot be read, the file is damaged ({detail})") from error

    def _open(self) -> h5py.File:
        source: Path | IO[bytes] = self.path if self._content is None else io.BytesIO(self._content)
        try:
            return h5py.File(source, "r")
        except OSError as error:
            raise AevlpError(
                f"{self.path} cannot be read as HDF5: it is damaged, incomplete or something else "
                f"({' '.join(str(error).split())[:120]}); run aevlp pseudolabel again"
            ) from error


def _text(file: h5py.File, name: str) -> str:
    text = _dataset(file, name)[()]
    return text.decode() if isinstance(text, bytes) else str(text)
