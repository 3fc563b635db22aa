"""A cache as one HDF5 file: a dataset a column, the header as JSON text in `header`, checksums in `checksums`, and before all of
it, in HDF5's user block, the SHA-256 of the file.

A file is opened for each read and closed again, so that no handle ever crosses a fork. No lock is taken: a cache is replaced,
never changed, and some file systems have none.
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import h5py
import numpy as np

from ..errors import AevlpError, UnreadableNow, in_one_line
from ..runtime.interruption import Interruption
from .checksums import Checksums, block_checksums, header_checksum
from .open_elsewhere import USER_BLOCK, closed_superblock, require_free
from .schema import ROWS_A_BLOCK, TEXT_COLUMNS, CacheHeader, CacheRows, array_columns, in_blocks
from .unfailing_file import unfailing_file

CHUNK_BYTES = 1 << 18
CHUNKS_A_READ = 4  # of scattered rows: all between the first and the last of them in as many chunks are read
Source = Callable[[], IO[bytes]]
LAYOUT = ("v110", "v110")  # the oldest layout that guards its own tables with checksums


def write(path: Path, header: CacheHeader, parts: Iterable[CacheRows]) -> None:
    """Write the parts, which hold header.rows rows in all, as a new file."""
    with (
        Interruption() as stop,
        unfailing_file(path) as disk,
        h5py.File(disk, "w", libver=LAYOUT, userblock_size=USER_BLOCK) as file,
    ):
        _fill(file, header, stop.before_each(disk.before_each(parts)))  # HDF5 stands neither error nor interrupt
    with path.open("r+b") as whole:
        seal = _seal(whole)
        whole.seek(0)
        whole.write(seal)


def read(path: Path, whole: bool) -> "Hdf5Store":
    """Return what reads a cache, which is made readable where another program left it open; whole: if no byte has changed."""
    from .recovery import recovered  # which writes with what is here

    source = recovered(path)
    if whole and not is_sealed(path, source):
        raise AevlpError(
            f"{path} is damaged or was changed: the SHA-256 of its bytes is not the one in its first line; take a copy that "
            f"is whole, or let aevlp convert write its content anew where that agrees with its checksums, or score the "
            f"images again"
        )
    return Hdf5Store(path, source)


def is_sealed(path: Path, source: Source | None = None) -> bool:
    """Return whether a file holds the very bytes that `write` wrote; HDF5, which can hang on damaged ones, is not asked.

    source: opens the file in another way than by its path.
    """
    try:
        with source() if source else path.open("rb") as whole:
            return whole.read(USER_BLOCK) == _seal(whole)
    except OSError as error:
        raise UnreadableNow(f"cannot read {path}: {error.strerror or error}") from error


def _seal(whole: IO[bytes]) -> bytes:
    """Return what the user block is to hold: the SHA-256 of all that follows it, as a line of text."""
    whole.seek(USER_BLOCK)
    return f"{hashlib.file_digest(whole, 'sha256').hexdigest()}\n".encode().ljust(USER_BLOCK, b"\0")  # type: ignore[arg-type]


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
        for name in columns:
            _dataset(file, name)[here] = getattr(rows, name)
        for name, digest in block_checksums(rows).items():
            checksums[name].append(digest)
    file["checksums"] = json.dumps(checksums)


def _dataset(file: h5py.File, name: str) -> h5py.Dataset:
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise AevlpError(f"{file.filename}: the dataset {name} is missing: not a whole aevlp cache")
    return dataset


class Hdf5Store:
    """Reads what `write` wrote, or `to_bytes` made, from a path, or from what `source` opens; `path` names it in errors."""

    def __init__(self, path: Path, source: Source | None = None) -> None:
        self.path, self._source = path, source
        with self._open() as file, self._reading("header"):
            self.header = CacheHeader.from_json(_text(file, "header"), str(path))
            self.checksums: Checksums = dict(json.loads(_text(file, "checksums")))
            for name in ("classes", "prompts"):
                if tuple(_dataset(file, name).asstr()[:]) != getattr(self.header, name):
                    raise AevlpError(f"{path}: {name} are not those of the header: the file is damaged")
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
            return np.asarray(_dataset(file, name).asstr()[rows]).tolist()

    def array(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Return some rows of a numeric column, in the order asked for."""
        with self._open() as file, self._reading(name):
            dataset = _dataset(file, name)
            if len(rows) and (np.diff(rows) == 1).all():
                return dataset[int(rows[0]) : int(rows[-1]) + 1]
            result = np.empty((len(rows), *dataset.shape[1:]), dtype=dataset.dtype)
            order = np.argsort(rows, kind="stable")
            stretch = rows[order] // (CHUNKS_A_READ * (dataset.chunks or (1,))[0])
            for places in np.split(order, np.flatnonzero(np.diff(stretch)) + 1) if len(rows) else ():
                first, last = int(rows[places[0]]), int(rows[places[-1]])
                result[places] = dataset[first : last + 1][rows[places] - first]
            return result

    def block(self, rows: slice) -> dict[str, list[str] | np.ndarray]:
        """Return consecutive rows of every column, with one opening of the file."""
        columns: dict[str, list[str] | np.ndarray] = {}
        with self._open() as file:
            for name in TEXT_COLUMNS:
                with self._reading(name):
                    columns[name] = np.asarray(_dataset(file, name).asstr()[rows]).tolist()
            for name in array_columns(self.header):
                with self._reading(name):
                    columns[name] = _dataset(file, name)[rows]
        return columns

    @contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            detail = in_one_line(error, 120)
            raise AevlpError(f"{self.path}: {name} cannot be read, the file is damaged ({detail})") from error

    @contextmanager
    def _open(self) -> Iterator[h5py.File]:
        with ExitStack() as opened:
            try:  # nothing is read twice: straight into the result
                if self._source is None:
                    file = opened.enter_context(h5py.File(self.path, "r", rdcc_nbytes=0, locking=False))
                else:
                    source = opened.enter_context(self._source())
                    file = opened.enter_context(h5py.File(source, "r", rdcc_nbytes=0))
            except OSError as error:
                raise self._refused(error) from error
            yield file

    def _refused(self, error: OSError) -> AevlpError:
        """Return why HDF5 does not open the file."""
        if self._source is None:
            require_free(self.path)
            if closed_superblock(self.path) is not None:
                return UnreadableNow(f"{self.path} was opened for writing by another program: run this again")
        return AevlpError(
            f"{self.path} cannot be read as HDF5: it is damaged, incomplete or something else "
            f"({in_one_line(error, 120)}); run aevlp pseudolabel again"
        )


def _text(file: h5py.File, name: str) -> str:
    text = _dataset(file, name)[()]
    return text.decode() if isinstance(text, bytes) else str(text)
