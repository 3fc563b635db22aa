"""An .h5 cache that another program has opened for writing: whether it still has, and the cache's bytes from before.

HDF5 notes in a file's superblock, which follows the user block, that a program has it open for writing, and nobody can open the
file until the note is taken back, which a program that was killed never does. Nothing else need have changed.
"""

import io
import os
import struct
import time
from pathlib import Path
from typing import Any

from ..errors import UnreadableNow

try:
    import fcntl
except ImportError:  # a system without these locks, where nobody can be asked
    fcntl = None

USER_BLOCK = 512  # bytes before HDF5's own, the least that it allows
_START = b"\x89HDF\r\n\x1a\n\x03\x08\x08"  # of the superblock: its signature, version 3, and numbers of 8 bytes
_LENGTH, _FLAGS = 48, len(_START)  # of the superblock, whose last 4 bytes are the checksum of the rest
_TRIES, _PAUSE = 10, 0.05  # another process may ask for the lock in the same instant


def require_free(path: Path) -> None:
    """Raise UnreadableNow where another program holds a file's lock, as one does that has it open for writing."""
    try:
        with path.open("rb") as file:
            _lock(file, path, exclusive=False)
    except OSError as error:
        raise UnreadableNow(f"cannot read {path}: {error.strerror or error}") from error


def closed_superblock(path: Path) -> bytes | None:
    """Return a file's superblock without the note that it is open for writing; None where there is no such note."""
    try:
        with path.open("rb") as file:
            file.seek(USER_BLOCK)
            return _closed(file.read(_LENGTH))
    except OSError as error:
        raise UnreadableNow(f"cannot read {path}: {error.strerror or error}") from error


def as_closed(content: memoryview) -> memoryview:
    """Return a file's bytes after the user block without the note that it is open for writing."""
    superblock = _closed(bytes(content[:_LENGTH]))
    return content if superblock is None else memoryview(superblock + content[_LENGTH:])


def close_again(path: Path, superblock: bytes, seen: os.stat_result) -> bool:
    """Take back the note that a file is open for writing; False where the file cannot be written to.

    seen: the file as it was when its content was looked at. Raises UnreadableNow where it was written to since, or is in use.
    """
    try:
        with path.open("r+b", buffering=0) as file:
            _lock(file, path, exclusive=True)
            now = os.fstat(file.fileno())
            if (now.st_mtime_ns, now.st_size) != (seen.st_mtime_ns, seen.st_size):
                raise UnreadableNow(f"{path} was written to while it was read: run again")
            file.seek(USER_BLOCK)
            file.write(superblock)  # within a sector of the disk: there whole or not at all
            os.fsync(file.fileno())
    except OSError:
        return False
    return True


class AsClosed(io.FileIO):
    """A file as it reads without the note that it is open for writing; what is on disk stays as it is."""

    def __init__(self, path: Path, superblock: bytes) -> None:
        super().__init__(path, "r")
        self._superblock = superblock

    def readinto(self, buffer: Any, /) -> int:
        """Read, with the closed superblock in the place of the file's."""
        place, view = self.tell(), memoryview(buffer).cast("B")
        count = super().readinto(view)
        first, last = max(place, USER_BLOCK), min(place + count, USER_BLOCK + _LENGTH)
        if first < last:
            view[first - place : last - place] = self._superblock[first - USER_BLOCK : last - USER_BLOCK]
        return count


def _closed(superblock: bytes) -> bytes | None:
    """Return a superblock without its flags; None where none is set, or this is no whole superblock of a cache."""
    if len(superblock) < _LENGTH or not superblock.startswith(_START) or not superblock[_FLAGS]:
        return None
    if superblock[-4:] != _checksum(superblock[:-4]):
        return None
    closed = superblock[:_FLAGS] + b"\0" + superblock[_FLAGS + 1 : -4]
    return closed + _checksum(closed)


def _checksum(content: bytes) -> bytes:
    """Return Jenkins' lookup3 hash of some bytes, which HDF5 guards its tables with, as HDF5 stores it."""
    a = b = c = (0xDEADBEEF + len(content)) & 0xFFFFFFFF
    words = struct.unpack(f"<{-(-len(content) // 12) * 3}I", content.ljust(-(-len(content) // 12) * 12, b"\0"))
    for start in range(0, len(words), 3):
        a, b, c = ((x + word) & 0xFFFFFFFF for x, word in zip((a, b, c), words[start : start + 3], strict=True))
        if start + 3 < len(words):
            for turn in (4, 6, 8, 16, 19, 4):
                a = ((a - c) & 0xFFFFFFFF) ^ _turned(c, turn)
                c = (c + b) & 0xFFFFFFFF
                a, b, c = b, c, a
    for turn in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _turned(b, turn)) & 0xFFFFFFFF
        a, b, c = b, c, a
    return struct.pack("<I", b)


def _turned(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (32 - bits))) & 0xFFFFFFFF


def _lock(file: Any, path: Path, *, exclusive: bool) -> None:
    """Take a file's lock until it is closed; UnreadableNow where a program holds it. Without locks nothing is known."""
    if fcntl is None:
        return
    for _ in range(_TRIES):
        try:
            fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(_PAUSE)
        except OSError:  # a network's file system without locks
            return
    raise UnreadableNow(
        f"{path} is in use by another program, which has it open for writing: close it there, or wait, and run this again"
    )
