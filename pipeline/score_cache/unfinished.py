"""What lies beside a cache while it is made: the folder of its parts, locks, what is being written; and how far it is."""

import json
import re
import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import AevlpError
from ..files.atomic_write import remove_temporaries, temporaries
from ..files.locations import local_place
from ..files.locks import is_held, lock_of, locked

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
    return f"{target} is unfinished: {done}; the same command resumes (aevlp pseudolabel …, of {dataset})"


def in_use(target: Path) -> bool:
    """Return whether a process is scoring into the parts of a cache now."""
    return any(map(is_held, parts_folder(target).glob("claim-*.lock")))


def remove_parts(target: Path) -> None:
    """Delete a cache's parts, at once for everybody who looks, and what killed processes left beside them.

    Raises AevlpError where the folder cannot be deleted, or holds what is no part.
    """
    remove_leftovers(target)
    folder = parts_folder(target)
    if folder.exists():
        require_ours(folder)
        try:
            folder.rename(_retired(target))
        except OSError as error:
            raise AevlpError(f"cannot delete {folder}: {error.strerror or error}") from error
    shutil.rmtree(_retired(target), ignore_errors=True)


def leftovers(target: Path) -> list[Path]:
    """Return what killed processes left beside a cache, other than its parts; a process that is at work looks alike."""
    lock = lock_of(local_place(target))
    return [*temporaries(local_place(target)), *(path for path in (_retired(target), lock) if path.exists())]


def require_ours(folder: Path) -> None:
    """Raise AevlpError where the folder holds what would be deleted with the parts, and is none."""
    if folder.exists() and not folder.is_dir():
        raise AevlpError(f"{folder} is a file, where the parts are to go: move it away, or choose another --cache")
    strange = [path.name for path in folder.glob("*") if not OURS.fullmatch(path.name)]
    if strange:
        raise AevlpError(
            f"{folder} is deleted once its parts are used, and holds {min(strange)!r}, which is no part: move that away first"
        )


def remove_leftovers(target: Path) -> None:
    """Delete what was left by processes that were killed while they deleted the parts or wrote the cache."""
    shutil.rmtree(_retired(target), ignore_errors=True)
    remove_temporaries(local_place(target))


def _retired(target: Path) -> Path:
    return _beside(target, ".{}.parts.old")


def _beside(target: Path, name: str) -> Path:
    """Return a path beside a cache, `name` with the cache's own in it; on the local disk, where locks hold."""
    place = local_place(target)
    return place.with_name(name.format(place.name))


def exclusive(target: Path) -> AbstractContextManager[None]:
    """Hold the lock of a cache, waiting for who holds it: for changing its settings, and for making it of its parts."""
    return locked(local_place(target))
