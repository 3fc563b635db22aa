"""The parts of a cache that is being made: one file a shard of the image list, published whole, claimed by a lock.

A folder beside the cache, `voc.h5.parts/`: `settings.json` says what every part was made with; `part-000012.h5` is shard 12, a
small cache whose first 512 bytes, HDF5's user block, hold the run's fingerprint and the SHA-256 of the rest. Any number of
processes, on one machine or on several over a shared folder, take shards by locks of the operating system, which end with the
process that holds them.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from glob import escape
from io import BytesIO
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .atomic_write import replacing
from .errors import AevlpError
from .provenance import difference
from .score_cache import CacheHeader, CacheRows
from .score_cache.hdf5 import Hdf5Store, to_bytes
from .score_cache.open_elsewhere import USER_BLOCK, as_closed
from .score_cache.reader import ScoreCache
from .score_cache.remote import local_place
from .score_cache.schema import joined

# Parts, locks, settings, what is being written, and what a network's file system keeps of a file that is still open.
OURS = re.compile(r"part-\d+\.h5|claim-\d+\.lock|settings\.json|\.(part-\d+\.h5|settings\.json)\.\d+\.tmp|\.nfs.*")


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
        """Make the folder, or go on with the one that is there; AevlpError where that was made with other settings.

        Where the target is there and the folder is not, another process has just finished: nothing is made, or missing,
        unless the parts are to go into the target that is there.
        """
        with exclusive(self.target):
            _insist_on_ours(self.folder)
            _remove_leftovers(self.target)
            if not self.exists():
                if self.target.exists() and not self.extends:
                    return
                with replacing(self._settings_file) as temporary:
                    temporary.write_text(json.dumps(self._settings, ensure_ascii=False), encoding="utf-8")
            try:
                theirs = json.loads(self._settings_file.read_text(encoding="utf-8"))
                if not isinstance(theirs, dict):
                    raise ValueError("no settings are in it")
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

    @property
    def extends(self) -> bool:
        """Whether the parts go into a cache that is there."""
        return bool(self._settings.get("of"))

    def missing(self) -> list[Shard]:
        """Return the shards that no published part holds; none where the folder is gone, with which the work is done."""
        there = {file.name for file in self.folder.glob("part-*.h5")}
        if not self.exists():  # asked last: the folder may go while it is listed
            return []
        return [shard for shard in self.shards if self.file(shard).name not in there]

    def exists(self) -> bool:
        """Whether the folder is there: it goes when the cache has been made of it."""
        return self._settings_file.exists()

    def is_free(self, shard: Shard) -> bool:
        """Return whether nobody holds a shard at this moment."""
        return not _held(self._lock(shard))

    @contextmanager
    def claim(self, shard: Shard) -> Iterator[bool]:
        """Hold a shard for the context, and give whether it is this process that may score it now."""
        if not self.exists():  # a lock would make the folder again
            yield False
            return
        lock = FileLock(self._lock(shard))
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
            yield self.exists() and not self.file(shard).exists()
        finally:
            lock.release()

    def publish(self, shard: Shard, header: CacheHeader, rows: CacheRows) -> None:
        """Write a shard's rows as one file that appears whole or not at all; header.rows is the number of these rows."""
        if not self.exists():
            raise AevlpError(f"{self.folder} was deleted while it was scored into: run again")
        content = to_bytes(header, rows, USER_BLOCK)[USER_BLOCK:]
        with replacing(self.file(shard)) as temporary:
            temporary.write_bytes(_user_block(self._mark(shard), content) + content)

    def read(self, shard: Shard) -> CacheRows | None:
        """Return the rows of a shard, as `opened` gives its part."""
        part = self.opened(shard)
        return None if part is None else joined([part.block(number) for number in range(part.blocks)])

    def opened(self, shard: Shard) -> ScoreCache | None:
        """Return the part of a shard, whose bytes are in memory and whole; None where it is damaged or not there.

        Raises AevlpError where it is of another run.
        """
        file = self.file(shard)
        try:
            whole = file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise AevlpError(
                f"cannot read {file}: {error.strerror or error}; delete it to score its images again"
            ) from error
        block, content = whole[:USER_BLOCK], as_closed(memoryview(whole)[USER_BLOCK:])
        if block != _user_block(self._mark(shard), content):
            claimed = block[: 2 * 64 + 1].decode("ascii", "replace").split("\n")[0]
            if block == _user_block(claimed, content):
                raise AevlpError(
                    f"{file} is a part of another run, or of other images, than its name in {self.folder} says: remove it"
                )
            return None
        return ScoreCache(file, Hdf5Store(file, partial(BytesIO, content)))

    def discard(self, shard: Shard) -> None:
        """Delete the part of a shard, which is then missing."""
        self.file(shard).unlink(missing_ok=True)

    def file(self, shard: Shard) -> Path:
        """Return where the part of a shard is, or will be."""
        return self.folder / f"part-{shard.number:06d}.h5"

    def remove(self) -> None:
        """Delete the folder, at once for everybody who looks."""
        remove_parts(self.target)

    def _mark(self, shard: Shard) -> str:
        """Return what a shard's part says that it is."""
        return f"{self._run} {shard.number}"

    def _lock(self, shard: Shard) -> Path:
        return self.folder / f"claim-{shard.number:06d}.lock"

    @property
    def _settings_file(self) -> Path:
        return self.folder / "settings.json"


def _user_block(mark: str, content: bytes | memoryview) -> bytes:
    """Return a part's first bytes: the mark and the SHA-256 of mark and content, as two lines of text."""
    digest = hashlib.sha256(mark.encode())
    digest.update(content)
    return f"{mark}\n{digest.hexdigest()}\n".encode().ljust(USER_BLOCK, b"\0")


def parts_folder(target: Path) -> Path:
    """Return the folder of a cache's parts."""
    return _beside(target, "{}.parts")


def recorded_settings(target: Path) -> dict[str, Any] | None:
    """Return the settings that the parts of a cache were made with; None where there are none that can be read."""
    try:
        settings = json.loads((parts_folder(target) / "settings.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return settings if isinstance(settings, dict) else None


def progress(target: Path) -> str | None:
    """Return how far a cache is that is being made of parts, as a sentence; None where there are no parts of it."""
    made_with = recorded_settings(target)
    try:
        images, size = int(made_with["images"]), int(made_with["shard_size"])  # type: ignore[index]
        dataset = made_with["dataset"]["name"]  # type: ignore[index]
    except (TypeError, KeyError, ValueError):
        return None
    shards = {f"part-{shard.number:06d}.h5": shard for shard in cut(images, size)}
    there = [shards[part.name] for part in parts_folder(target).glob("part-*.h5") if part.name in shards]
    done = f"{sum(shard.stop - shard.start for shard in there):,} of {images:,} images are scored"
    if in_use(target):
        return f"{target} is unfinished: {done}, and a process is at it"
    return f"{target} is unfinished: {done}; the same command goes on (aevlp pseudolabel --dataset {dataset} …)"


def in_use(target: Path) -> bool:
    """Return whether a process is scoring into the parts of a cache now."""
    return any(map(_held, parts_folder(target).glob("claim-*.lock")))


def _held(lock: Path) -> bool:
    if not lock.exists():
        return False
    try:
        with FileLock(lock, blocking=False):
            return False
    except Timeout:
        return True
    except OSError as error:
        raise AevlpError(f"cannot lock files in {lock.parent}: {error.strerror or error}") from error


def remove_parts(target: Path) -> None:
    """Delete a cache's parts, at once for everybody who looks, and what killed processes left beside them.

    Raises AevlpError where the folder cannot be deleted, or holds what is no part.
    """
    _remove_leftovers(target)
    folder = parts_folder(target)
    if folder.exists():
        _insist_on_ours(folder)
        try:
            folder.rename(_retired(target))
        except OSError as error:
            raise AevlpError(f"cannot delete {folder}: {error.strerror or error}") from error
    shutil.rmtree(_retired(target), ignore_errors=True)


def leftovers(target: Path) -> list[Path]:
    """Return what killed processes left beside a cache, other than its parts; a process that is at work looks alike."""
    lock = _exclusive_lock(target)
    return [*_temporaries(target), *(path for path in (_retired(target), lock) if path.exists())]


def _insist_on_ours(folder: Path) -> None:
    """Raise AevlpError where the folder holds what would be deleted with the parts, and is none."""
    if folder.exists() and not folder.is_dir():
        raise AevlpError(f"{folder} is a file, where the parts are to go: move it away, or choose another --cache")
    strange = [path.name for path in folder.glob("*") if not OURS.fullmatch(path.name)]
    if strange:
        raise AevlpError(
            f"{folder} is deleted once its parts are used, and holds {min(strange)!r}, which is no part: move that away first"
        )


def _remove_leftovers(target: Path) -> None:
    """Delete what was left by processes that were killed while they deleted the parts or wrote the cache."""
    shutil.rmtree(_retired(target), ignore_errors=True)
    for left in _temporaries(target):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _temporaries(target: Path) -> list[Path]:
    place = local_place(target)
    return list(place.parent.glob(f".{escape(place.name)}.*.tmp"))


def _retired(target: Path) -> Path:
    return _beside(target, ".{}.parts.old")


def _exclusive_lock(target: Path) -> Path:
    return _beside(target, ".{}.lock")


def _beside(target: Path, name: str) -> Path:
    """Return a path beside a cache, `name` with the cache's own in it; on the local disk, where locks hold."""
    place = local_place(target)
    return place.with_name(name.format(place.name))


@contextmanager
def exclusive(target: Path) -> Iterator[None]:
    """Hold the lock of a cache, waiting for who holds it: for changing its settings, and for making it of its parts."""
    path = _exclusive_lock(target)
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()  # filelock waits for ever for a file that cannot be made
        lock.acquire()
    except OSError as error:
        raise AevlpError(f"cannot lock {target}: {error.strerror or error}") from error
    try:
        yield
    finally:
        with suppress(OSError):  # what went wrong before is what the user should read
            path.unlink(missing_ok=True)  # whoever waits for it sees that it is gone, and makes a new one
        lock.release()
