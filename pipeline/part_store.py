"""The parts of a cache that is being made: one file a shard of the image list, published whole, claimed by a lock.

A folder beside the cache, `voc.h5.parts/`: `settings.json` says what every part was made with; `part-000012.h5` is shard 12, a
small cache whose first 512 bytes, HDF5's user block, hold the run's fingerprint and the SHA-256 of the rest. Any number of
processes, on one machine or on several over a shared folder, take shards by locks of the operating system, which end with the
process that holds them.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .atomic_write import replacing
from .errors import AevlpError
from .provenance import difference
from .score_cache import CacheHeader, CacheRows
from .score_cache.hdf5 import Hdf5Store, to_bytes
from .score_cache.reader import ScoreCache

USER_BLOCK = 512  # bytes, the least that HDF5 knows


@dataclass(frozen=True)
class Shard:
    """Consecutive rows of the image list: those from start up to, but without, stop."""

    number: int
    start: int
    stop: int


def cut(rows: int, size: int) -> list[Shard]:
    """Return the shards of a list of images: `size` rows each, the last one what remains."""
    return [Shard(n, start, min(start + size, rows)) for n, start in enumerate(range(0, rows, size))]


class PartStore:
    """The parts of one cache.

    target: the cache. settings: everything that shapes a part, JSON-like. shards: the whole list of them.
    """

    def __init__(self, target: Path, settings: dict[str, Any], shards: list[Shard]) -> None:
        self.target, self.shards = target, shards
        self.folder = parts_folder(target)
        self._settings = json.loads(json.dumps(settings))
        self._run = hashlib.sha256(json.dumps(self._settings).encode()).hexdigest()

    def begin(self) -> None:
        """Make the folder, or go on with the one that is there; AevlpError where that was made with other settings."""
        with exclusive(self.target):
            if not self._settings_file.exists():
                with replacing(self._settings_file) as temporary:
                    temporary.write_text(json.dumps(self._settings, ensure_ascii=False), encoding="utf-8")
            try:
                theirs = json.loads(self._settings_file.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise AevlpError(
                    f"{self._settings_file} cannot be read ({error}): --restart deletes the parts and starts anew"
                ) from error
        changed = difference(self._settings, theirs)
        if changed:
            raise AevlpError(
                f"{self.folder} holds parts of a run that was started otherwise (this run has {changed}): run with its "
                f"settings, choose another --cache, or --restart to delete them"
            )

    def missing(self) -> list[Shard]:
        """Return the shards that no published part holds; none where the folder is gone, with which the work is done."""
        if not self.exists():
            return []
        there = {file.name for file in self.folder.glob("part-*.h5")}
        return [shard for shard in self.shards if self.file(shard).name not in there]

    def exists(self) -> bool:
        """Whether the folder is there: it goes when the cache has been made of it."""
        return self._settings_file.exists()

    @contextmanager
    def claim(self, shard: Shard) -> Iterator[bool]:
        """Hold a shard for the context, and give whether it is this process that may score it now."""
        lock = FileLock(self.folder / f"claim-{shard.number:06d}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            yield False
            return
        except OSError as error:
            if self.exists():
                raise AevlpError(f"cannot lock files in {self.folder}: {error.strerror or error}") from error
            yield False
            return
        try:
            yield not self.file(shard).exists()
        finally:
            lock.release()

    def publish(self, shard: Shard, header: CacheHeader, rows: CacheRows) -> None:
        """Write a shard's rows as one file that appears whole or not at all; header.rows is the number of these rows."""
        if not self.exists():
            raise AevlpError(f"{self.folder} was deleted while it was scored into: run again")
        content = to_bytes(header, rows, USER_BLOCK)[USER_BLOCK:]
        with replacing(self.file(shard)) as temporary:
            temporary.write_bytes(_user_block(self._run, content) + content)

    def read(self, shard: Shard) -> CacheRows | None:
        """Return the rows of a shard, None where its part is damaged or not there; AevlpError where it is of another run."""
        file = self.file(shard)
        try:
            whole = file.read_bytes()
        except FileNotFoundError:
            return None
        block, content = whole[:USER_BLOCK], whole[USER_BLOCK:]
        if block != _user_block(self._run, content):
            claimed = block[: 2 * 64 + 1].decode("ascii", "replace").split("\n")[0]
            if block == _user_block(claimed, content):
                raise AevlpError(f"{file} is a part of another run, not of the one in {self.folder}: remove it")
            return None
        [rows] = ScoreCache(file, Hdf5Store(file, content)).rows()
        return rows

    def discard(self, shard: Shard) -> None:
        """Delete the part of a shard, which is then missing."""
        self.file(shard).unlink(missing_ok=True)

    def file(self, shard: Shard) -> Path:
        """Return where the part of a shard is, or will be."""
        return self.folder / f"part-{shard.number:06d}.h5"

    def remove(self) -> None:
        """Delete the folder, at once for everybody who looks."""
        remove_parts(self.target)

    @property
    def _settings_file(self) -> Path:
        return self.folder / "settings.json"


def _user_block(run: str, content: bytes) -> bytes:
    """Return a part's first bytes: the run and the SHA-256 of run and content, as two lines of text."""
    checksum = hashlib.sha256(run.encode() + content).hexdigest()
    return f"{run}\n{checksum}\n".encode().ljust(USER_BLOCK, b"\0")


def parts_folder(target: Path) -> Path:
    """Return the folder of a cache's parts."""
    return target.with_name(f"{target.name}.parts")


def in_use(target: Path) -> bool:
    """Return whether a process is scoring into the parts of a cache now."""
    for file in parts_folder(target).glob("claim-*.lock"):
        try:
            with FileLock(file, blocking=False):
                pass
        except Timeout:
            return True
    return False


def remove_parts(target: Path) -> None:
    """Delete a cache's parts, at once for everybody who looks, and what killed processes left of earlier deletions."""
    folder = parts_folder(target)
    if folder.exists():
        folder.rename(target.with_name(f".{target.name}.parts.old"))
    shutil.rmtree(target.with_name(f".{target.name}.parts.old"), ignore_errors=True)


@contextmanager
def exclusive(target: Path) -> Iterator[None]:
    """Hold the lock of a cache, waiting for who holds it: for changing its settings, and for making it of its parts."""
    path = target.with_name(f".{target.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path):
            try:
                yield
            finally:
                path.unlink(missing_ok=True)  # whoever waits for it sees that it is gone, and makes a new one
    except OSError as error:
        raise AevlpError(f"cannot lock {target}: {error.strerror or error}") from error
