"""A text that names a place, `my_photos` or `s3://bucket/photos`, -> a path: on the local disk, or in a remote store.

A remote path is read, and a file written whole, through fsspec, which takes the address and the credentials of a store from
its usual settings (for S3 the AWS_* variables and files, and FSSPEC_S3_*). It holds nothing but its own name, so that it may
cross a fork: the file system, and the threads behind it, are each process's own.
"""

import errno
import io
import os
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path, PurePath
from typing import Any

from ..errors import AevlpError, in_one_line

BLOCK = 8 << 20  # bytes fetched at a time of a file that is read through
BUFFER = 1 << 16
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
# What stores call that which changes when a file is written anew, the surest first.
STAMPS = ("ETag", "etag", "blob_id", "LastModified", "last_modified", "mtime", "modified", "updated", "created")

# s3fs asks for the size first of all that it would fetch in several parts at once.
OPTIONS: dict[str, dict[str, Any]] = {"s3": {"max_concurrency": 1}, "s3a": {"max_concurrency": 1}}


class RemoteError(AevlpError):
    """A store that does not answer, or refuses: nothing is known of the file, which is not to be taken for a missing one."""

    def __init__(self, text: str) -> None:
        super().__init__(text.rpartition("RemoteError: ")[2])  # a DataLoader puts its worker's traceback before it


def location(text: str | os.PathLike[str]) -> Path:
    """Return the path that a text names: a `RemotePath` for `scheme://…`, otherwise one on the local disk.

    Raises AevlpError for a scheme that fsspec does not know, or whose package is not installed.
    """
    if isinstance(text, Path):
        return text
    text = os.fspath(text)
    parts = SCHEME.fullmatch(text)
    if parts is None:
        if "://" in text:
            raise AevlpError(f"{text!r} is no place: expected a folder, or an address such as s3://bucket/photos")
        return Path(text)
    scheme, rest = parts[1].lower(), parts[2]
    if scheme == "file":
        return Path(rest)
    if not rest.strip("/"):
        raise AevlpError(f"{text!r} names no place in the store: expected an address such as {scheme}://bucket/photos")
    path = RemotePath(f"{scheme}:", rest.strip("/"))
    with _asking(path):
        _store(path)
    return path


class RemotePath(type(Path())):
    """A path in a remote store, for reading, and for writing a whole file; what would need the local disk is refused.

    Its first part is the scheme, `s3:`, and all that pathlib computes from the name alone works as for any path. Whether a
    file is there, and its size, is taken from the listing of its folder, which is asked for once (`forget_listings`): the
    images of a folder cost one request for each thousand of them, not one each.
    """

    __slots__ = ()

    def __str__(self) -> str:
        scheme, *rest = self.parts or ("",)
        return f"{scheme}//{'/'.join(rest)}" if scheme.endswith(":") else super().__str__()

    def __fspath__(self) -> str:
        raise AevlpError(
            f"{self} would have to be on the local disk: copy what is there to a local folder, and name that"
        )

    def absolute(self) -> "RemotePath":
        """Return the path itself: it starts at the store."""
        return self

    def identity(self) -> tuple[int, str] | None:
        """Return the size and a text that changes when the file is written anew, None where there is no file."""
        if len(self.parts) < 3:  # a bucket is no file
            return None
        return (_listing(self.parent) or {}).get(self.name)

    def is_file(self) -> bool:
        return self.identity() is not None

    def is_dir(self) -> bool:
        return _listing(self) is not None

    def exists(self) -> bool:
        """Return whether the store has it now, whatever a listing said before: other processes write there too."""
        try:
            with _asking(self):
                store = _store(self)
                store.invalidate_cache()
                store.info(str(self))
        except FileNotFoundError:
            return False
        return True

    def iterdir(self) -> Generator["RemotePath", None, None]:
        yield from (self / name for name in _listing(self) or {})

    def glob(self, pattern: str) -> Generator["RemotePath", None, None]:
        """Yield what is below the folder and matches, as pathlib has it; ValueError for what is no pattern."""
        steps = PurePath(pattern).parts
        if not steps or any("**" in step and step != "**" for step in steps):
            raise ValueError(f"unacceptable pattern: {pattern!r}")
        yield from dict.fromkeys(self._matching(steps))

    def _matching(self, steps: tuple[str, ...]) -> Iterator["RemotePath"]:
        first, rest = steps[0], steps[1:]
        if first == "**":
            yield from self._matching(rest) if rest else [self]
        for name, file in (_listing(self) or {}).items():
            if first == "**":
                if file is None:
                    yield from (self / name)._matching(steps)
            elif fnmatchcase(name, first):
                if not rest:
                    yield self / name
                elif file is None:
                    yield from (self / name)._matching(rest)

    def open(
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:
        """Open the file for reading, some megabytes fetched at a time.

        Raises FileNotFoundError where the store has none, RemoteError where it does not say.
        """
        if mode not in ("r", "rb"):
            raise AevlpError(f"cannot write {self}: the folder of a data set is only read")
        with _asking(self):
            file = _store(self).open(str(self), "rb", block_size=BLOCK)
        binary = io.BufferedReader(_Reading(self, file), BUFFER)
        return binary if mode == "rb" else io.TextIOWrapper(binary, encoding or "utf-8", errors, newline)

    def read_bytes(self) -> bytes:
        """Return the whole file, which is one request; raises as `open` does."""
        with _asking(self):
            return _store(self).cat_file(str(self))

    def read_range(self, offset: int, size: int) -> bytes:
        """Return some bytes of the file, which is one request; raises as `open` does."""
        with _asking(self):
            return _store(self).cat_file(str(self), start=offset, end=offset + size) if size else b""

    def download(self, local: Path) -> None:
        """Write the file to the local disk; RemoteError where the store does not give it."""
        with _asking(self, "fetch"):
            _store(self).get_file(str(self), str(local))

    def upload(self, local: Path) -> None:
        """Write a local file here, in the place of what is there; RemoteError where the store does not take it whole."""
        with _asking(self, "write"):
            _store(self).put_file(str(local), str(self))
        forget_listings()
        size, found = local.stat().st_size, self.identity()
        if found is None or found[0] != size:
            raise RemoteError(f"cannot write {self}: {size:,} bytes were uploaded, the store has {found and found[0]}")

    def remove(self) -> None:
        """Delete the file, or the folder and all that is in it, if it is there; RemoteError where the store refuses."""
        with _asking(self, "delete"), suppress(FileNotFoundError):
            _store(self).rm(str(self), recursive=True)
        forget_listings()
        if self.exists():  # many are deleted by one request, which may succeed without all of them
            raise RemoteError(f"cannot delete {self}: the store keeps it")


def forget_listings() -> None:
    """Have the folders of remote stores listed anew."""
    _listing.cache_clear()


class _Reading(io.RawIOBase):
    """An opened file of fsspec, whose errors name the path."""

    def __init__(self, path: RemotePath, file: Any) -> None:
        self._path, self._file = path, file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        with _asking(self._path):
            content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()


@cache
def _listing(folder: RemotePath) -> dict[str, tuple[int, str] | None] | None:
    """Return what is in a folder, sorted by name: size and stamp of a file, None for a folder; None where there is none."""
    try:
        with _asking(folder):
            store = _store(folder)
            found = store.ls(str(folder), detail=True)
            store.invalidate_cache()  # fsspec's own listings: these here are enough
    except FileNotFoundError:
        return None
    own_name = store._strip_protocol(str(folder)).strip("/")
    content: dict[str, tuple[int, str] | None] = {}
    for entry in sorted(found, key=lambda entry: entry["name"]):
        name = entry["name"].strip("/")
        if name != own_name:
            stamp = next((str(entry[key]).strip('"') for key in STAMPS if entry.get(key)), "")
            content[name.rpartition("/")[2]] = None if entry["type"] == "directory" else (entry["size"], stamp)
        elif entry["type"] == "file" and not entry["name"].endswith("/"):  # which marks an empty folder
            return None
    return content


def _store(path: RemotePath) -> Any:
    """Return the file system of a path, of which fsspec keeps one for each process."""
    scheme = path.parts[0].removesuffix(":")
    if scheme == path.parts[0]:
        raise AevlpError(f"{path} is not in the store of the data set's folder: name it relative to that")
    try:
        from fsspec.core import url_to_fs

        return url_to_fs(str(path), **OPTIONS.get(scheme, {}))[0]
    except ImportError as error:
        how = "pip install 'aevlp[remote]'" if scheme in OPTIONS else in_one_line(error)
        raise AevlpError(f"{scheme}:// needs a package that is not installed: {how}") from error
    except ValueError as error:
        raise AevlpError(f"{scheme}:// is no store that fsspec knows: {in_one_line(error)}") from error


@contextmanager
def _asking(path: RemotePath, to: str = "read") -> Iterator[None]:
    """Raise FileNotFoundError where the store has no such file to read, RemoteError for all else that it may answer."""
    try:
        yield
    except (AevlpError, MemoryError):
        raise
    except Exception as error:  # each store's client has its own
        if to == "read" and isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError):
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path)) from error
        found = in_one_line(error) or type(error).__name__
        raise RemoteError(f"cannot {to} {path}: {found}") from error


def local_place(target: Path) -> Path:
    """Return beside what path the parts and locks of a cache are: itself, or for s3://bucket/x.h5 cache/s3/bucket/x.h5."""
    if not isinstance(target, RemotePath):
        return target
    scheme, *rest = target.parts
    return Path("cache", scheme.removesuffix(":"), *rest)
