"""Row numbers -> resized images on disk, so that later epochs and later runs open no image file.

Below the folder that is named, one of its own holds the images of one list at one size: `images.npy`, written row by row by
whoever has resized one first, `rows.npy` with what each row was made from and its checksum, and `about.json`. A row that was
not written, was written in part, or whose image file has changed since, counts as not there. Several processes and runs may
share it: they write the same.
"""

import errno
import hashlib
import json
import os
import weakref
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from filelock import FileLock

from ..errors import AevlpError
from ..files.atomic_write import replacing

IMAGES, ROWS, ABOUT = "images.npy", "rows.npy", "about.json"
_ROW = np.dtype([("source", "<u8"), ("crc", "<u4")])  # all zeros where there is no image
_HEADER = 128  # bytes of a .npy header, as numpy pads it


class ImageCache:
    """Images (size, size, 3) uint8 by row, of the files `names` (N,), resized as `resize` says (`pipeline.images.resizing`).

    It is handed to worker processes, each of which opens the files itself.
    """

    def __init__(self, folder: Path, names: np.ndarray, size: int, upright: bool, resize: str) -> None:
        """Open the images of this list below `folder`, which is made where there is none.

        Raises AevlpError where it cannot be made or written, or holds other images under the same name.
        """
        self._size, self._rows = size, len(names)
        about = {
            "names": hashlib.sha256("\n".join(names.tolist()).encode("utf-8", "surrogateescape")).hexdigest(),
            "rows": len(names),
            "size": size,
            "upright": upright,
            "resize": resize,
            "versions": {"pillow": PIL.__version__, "torch": torch.__version__},
        }
        self.path = folder / hashlib.sha256(json.dumps(about).encode()).hexdigest()[:12]
        self._files: tuple[int, int] | None = None
        try:
            self._make(about)
        except OSError as error:
            raise self._unwritable(error) from error

    def read(self, row: int, stamp: str) -> np.ndarray | None:
        """Return the image of a row, None where there is none of the file with this stamp (`pipeline.files.stamps`)."""
        images, rows = self._open()
        image = np.empty((self._size, self._size, 3), dtype=np.uint8)
        try:
            place = np.frombuffer(os.pread(rows, _ROW.itemsize, _HEADER + row * _ROW.itemsize), _ROW)[0]
            if place["source"] != _source(stamp):
                return None
            length = os.preadv(images, [image.data.cast("B")], _HEADER + row * image.nbytes)
        except OSError as error:
            raise _unreadable(self.path, error) from error
        return image if length == image.nbytes and zlib.crc32(image.data) == place["crc"] else None

    def write(self, row: int, stamp: str, image: np.ndarray) -> None:
        """Keep an image (size, size, 3) uint8; AevlpError where the folder cannot be written to or the disk is full."""
        images, rows = self._open()
        image = np.ascontiguousarray(image)
        place = np.array((_source(stamp), zlib.crc32(image.data)), _ROW)
        try:
            _write_all(images, image.data.cast("B"), _HEADER + row * image.nbytes)
            _write_all(rows, memoryview(place.tobytes()), _HEADER + row * _ROW.itemsize)
        except OSError as error:
            raise self._unwritable(error) from error

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_files": None}

    def _open(self) -> tuple[int, int]:
        if self._files is None:
            self._files = tuple(_opened(self.path / name) for name in (IMAGES, ROWS))  # type: ignore[assignment]
            assert self._files is not None
            for file in self._files:
                weakref.finalize(self, os.close, file)
        return self._files

    def _make(self, about: dict[str, Any]) -> None:
        described = self.path / ABOUT
        if not described.exists():
            self.path.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path / ".lock"):
                if not described.exists():  # written last: with it, the others are whole
                    _make_array(self.path / IMAGES, np.dtype(np.uint8), (self._rows, self._size, self._size, 3))
                    _make_array(self.path / ROWS, _ROW, (self._rows,))
                    with replacing(described) as temporary:
                        temporary.write_text(json.dumps(about, indent=1), encoding="utf-8")
        try:
            found = json.loads(described.read_text(encoding="utf-8"))
        except ValueError:
            found = None
        if found != about:
            raise AevlpError(f"{self.path} does not hold the images that its name stands for: delete that folder")

    def _unwritable(self, error: OSError) -> AevlpError:
        whole = self._rows * self._size**2 * 3 / 1e6
        needs = f", all images take {whole:,.1f} MB" if error.errno == errno.ENOSPC else ""
        reason = "it is read-only" if error.errno == errno.EBADF else error.strerror or str(error)
        return AevlpError(
            f"cannot write the image cache {self.path}: {reason}{needs}; choose another folder as --image-cache, or leave it out"
        )


def _source(stamp: str) -> int:
    """Return a number above 0 that stands for a version of a file."""
    return int.from_bytes(hashlib.blake2b(stamp.encode(), digest_size=8).digest(), "little") or 1


def _unreadable(path: Path, error: OSError) -> AevlpError:
    return AevlpError(f"cannot read the image cache {path}: {error.strerror}; delete it, it is made anew")


def _make_array(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    """Make a .npy file of zeros that takes no room on the disk yet."""
    with path.open("wb") as file:
        description = np.lib.format.dtype_to_descr(dtype)
        np.lib.format.write_array_header_1_0(file, {"descr": description, "fortran_order": False, "shape": shape})
        assert file.tell() == _HEADER
        file.truncate(_HEADER + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)


def _opened(path: Path) -> int:
    """Return a file opened for reading and, where that is permitted, for writing."""
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise _unreadable(path, error) from error
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _write_all(file: int, content: memoryview, place: int) -> None:
    while content:
        written = os.pwrite(file, content, place)
        content, place = content[written:], place + written
