"""The cache of scores: one .h5 file or one .parquet folder, the same object to its readers. docs/cache_format.md describes it."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import AevlpError
from ..files.atomic_write import replacing
from ..files.locations import RemotePath, location
from .containers import container_of
from .not_a_cache import require_cache
from .reader import ScoreCache
from .remote import on_disk, remove_local, uploading
from .schema import CacheHeader, CacheRows
from .unfinished import progress

__all__ = [
    "CacheHeader",
    "CacheRows",
    "ScoreCache",
    "check_suffix",
    "open_cache",
    "open_to_verify",
    "open_whole_cache",
    "remove_cache",
    "write_cache",
]


def open_cache(path: Path | str) -> ScoreCache:
    """Return the cache at `path`; AevlpError where it is missing, damaged or not a cache, UnreadableNow where it is in use.

    A cache in a remote store is copied to the local disk, once until it is written anew. One that another program had opened for
    writing and left is recovered, with a Notice.
    """
    return _opened(path, whole=False)


def open_whole_cache(path: Path | str) -> ScoreCache:
    """Return `open_cache`, after all bytes were compared with their checksums; AevlpError where they do not agree."""
    return _opened(path, whole=True)


def open_to_verify(path: Path | str) -> ScoreCache:
    """Return a cache whose damage is to be looked for; AevlpError where it cannot be read without danger to the reader."""
    return _opened(path, whole=container_of(require_cache(location(path))).sealed)


def _opened(path: Path | str, *, whole: bool) -> ScoreCache:
    path = require_cache(location(path))
    if not path.exists():
        raise AevlpError(progress(path) or f"no cache {path}: make it with aevlp pseudolabel SOURCE --cache {path}")
    place = on_disk(path)
    try:
        return ScoreCache(path, container_of(path).read(place, whole))
    except AevlpError as error:
        if place == path:
            raise
        raise type(error)(f"cannot use {path}: {error}") from error  # which names the copy


def write_cache(path: Path | str, header: CacheHeader, rows: Iterable[CacheRows]) -> None:
    """Write a cache at `path`, whole or not at all, replacing what is there; the suffix chooses the format.

    rows: header.rows of them in all, in parts of any size. What was written is read again and compared with its checksums
    before it takes the place. Raises AevlpError where it cannot be written, or the number of rows is another.
    In a remote store, files of a .parquet folder appear one by one; what is not all of them is refused by `open_cache`.
    """
    path = check_suffix(location(path))
    with uploading(path) if isinstance(path, RemotePath) else replacing(path) as temporary:
        container = container_of(path)
        container.write(temporary, header, _counted(path, header, rows))
        for _ in ScoreCache(path, container.read(temporary)).rows():
            pass


def _counted(path: Path, header: CacheHeader, parts: Iterable[CacheRows]) -> Iterator[CacheRows]:
    given = 0
    for part in parts:
        given += len(part)
        if given <= header.rows:  # what is too much is only counted, for the error
            yield part
    if given != header.rows:
        raise AevlpError(f"{path}: expected {header.rows} rows, {given} were given")


def remove_cache(path: Path) -> None:
    """Delete a cache, if it is there."""
    if isinstance(path, RemotePath):
        path.remove()
    else:
        remove_local(path)


def check_suffix(path: Path) -> Path:
    """Return the path; AevlpError unless it ends as a cache does."""
    container_of(path)
    return path
