"""A cache as one HDF5 file: a dataset a column, and the header as JSON text in the dataset `header`.

A file is opened for each read and closed again, so that no handle ever crosses a fork.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path

import h5py
import numpy as np

from ..atomic_write import replacing
from ..errors import AevlpError
from .schema import TEXT_COLUMNS, CacheHeader, CacheRows, array_columns

CHUNK_BYTES = 1 << 18


def write(path: Path, header: CacheHeader, blocks: Iterable[CacheRows]) -> None:
    """Write the blocks, which hold header.rows rows in all, as one file that appears whole or not at all."""
    blocks = iter(blocks)
    first = list(islice(blocks, 1))  # whatever starts worker processes does so before the file is open
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
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
        start = 0
        for rows in chain(first, blocks):
            here = slice(start, start + len(rows))
            start = here.stop
            if start > header.rows:
                continue  # only counted, for the error below
            for name in (*TEXT_COLUMNS, *array_columns(header)):
                _dataset(file, name)[here] = getattr(rows, name)
        if start != header.rows:
            raise AevlpError(f"{path}: expected {header.rows} rows, {start} were given")


def _dataset(file: h5py.File, name: str) -> h5py.Dataset:
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise AevlpError(f"{file.filename}: the dataset {name} is missing: not a whole aevlp cache")
    return dataset


class Hdf5Store:
    """Reads what `write` wrote."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as file, self._reading("header"):
            text = _dataset(file, "header")[()]
            self.header = CacheHeader.from_json(text if isinstance(text, bytes) else str(text), str(path))
            for name, shape in {
                **dict.fromkeys(TEXT_COLUMNS, ()),
                **{name: shape for name, (_, shape) in array_columns(self.header).items()},
            }.items():
                found, expected = _dataset(file, name).shape, (self.header.rows, *shape)
                if found != expected:
                    raise AevlpError(f"{path}: {name} has the shape {found}, the header says {expected}")

    def text(self, name: str) -> np.ndarray:
        """Return a whole text column, (N,) str."""
        with self._open() as file, self._reading(name):
            return np.array(_dataset(file, name).asstr()[()], dtype=str).reshape(self.header.rows)

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
        try:
            return h5py.File(self.path, "r")
        except OSError as error:
            raise AevlpError(
                f"{self.path} cannot be read as HDF5: it is damaged, incomplete or something else "
                f"({' '.join(str(error).split())[:120]}); run aevlp pseudolabel again"
            ) from error
