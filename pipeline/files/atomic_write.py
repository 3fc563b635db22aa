"""A path -> the same path with new content, whole or not at all: temporary name, fsync, rename, fsync of the folder."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from ..errors import AevlpError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write a file or a folder at; what stands there afterwards becomes `path`.

    On an exception the temporary is deleted and `path` stays as it was. Raises AevlpError where the folder cannot be
    written to or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(temporary)
        yield temporary
        if path.is_dir() and not temporary.is_dir():
            raise AevlpError(f"{path} is a folder: choose another name for the file, nothing was replaced")
        for file in [temporary, *temporary.rglob("*")] if temporary.is_dir() else [temporary]:
            _sync(file)
        if path.is_dir():  # a folder cannot be renamed over another one that holds files
            retired = path.with_name(f".{path.name}.{os.getpid()}.old")
            path.rename(retired)
            try:
                temporary.rename(path)
            except OSError:
                retired.rename(path)
                raise
            _remove(retired)
        else:
            temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        # Arrow's own text says more than a reader can use.
        raise AevlpError(f"cannot write {path}: {os.strerror(error.errno) if error.errno else error}") from error
    finally:
        with suppress(OSError):  # what went wrong before is what the user should read
            _remove(temporary)


def temporaries(path: Path) -> list[Path]:
    """Return what killed processes had begun to write for `path`; what a process is at now looks alike."""
    return list(path.parent.glob(f".{escape(path.name)}.*.tmp"))


def remove_temporaries(path: Path) -> None:
    """Delete what killed processes had begun to write for `path`; the caller knows that nobody is at it now."""
    for left in temporaries(path):
        with suppress(OSError):  # it is in nobody's way
            _remove(left)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
