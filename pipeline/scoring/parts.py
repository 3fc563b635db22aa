"""The parts of a cache that is being made: one file a shard of the image list, published whole, claimed by a lock.

A folder beside the cache, `voc.h5.parts/`: `settings.json` says what every part was made with; `part-000012.h5` is shard 12, a
small cache whose first 512 bytes, HDF5's user block, hold the run's fingerprint and the SHA-256 of the rest. Any number of
processes, on one machine or on several over a shared folder, take shards by locks of the operating system, which end with the
process that holds them.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

from ..errors import AevlpError
from ..files.atomic_write import replacing
from ..files.locks import claimed, is_held
from ..runtime.provenance import difference
from ..score_cache import CacheHeader, CacheRows
from ..score_cache.hdf5 import Hdf5Store, to_bytes
from ..score_cache.open_elsewhere import USER_BLOCK, as_closed
from ..score_cache.reader import ScoreCache
from ..score_cache.schema import joined
from ..score_cache.unfinished import (
    Shard,
    exclusive,
    parts_folder,
    remove_leftovers,
    remove_parts,
    require_ours,
)


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
        """Make the folder, or resume with the one that is there; AevlpError where that was made with other settings.

        Where the target is there and the folder is not, another process has just finished: nothing is made, or missing,
        unless the parts are to go into the target that is there.
        """
        with exclusive(self.target):
            require_ours(self.folder)
            remove_leftovers(self.target)
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
                    f"{self._settings_file} cannot be read ({error}): delete {self.folder} to start anew"
                ) from error
        changed = difference(self._settings, theirs)
        if changed:
            raise AevlpError(
                f"{self.folder} holds parts of a run that was started differently (this run has {changed}): run with its "
                f"settings, choose another --cache, or delete {self.folder}"
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
        return not is_held(self._lock(shard))

    @contextmanager
    def claim(self, shard: Shard) -> Iterator[bool]:
        """Hold a shard for the context, and give whether it is this process that may score it now."""
        if not self.exists():  # a lock would make the folder again
            yield False
            return
        with ExitStack() as held:
            try:
                mine = held.enter_context(claimed(self._lock(shard)))
            except OSError as error:
                if self.exists():
                    raise AevlpError(f"cannot lock files in {self.folder}: {error.strerror or error}") from error
                mine = False
            yield mine and self.exists() and not self.file(shard).exists()

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
