"""Locks of the operating system beside what they are of, which end with the process that holds them."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import AevlpError


def lock_of(place: Path) -> Path:
    """Return the file that `locked` locks for a file or folder."""
    place = place.absolute()  # of "." the folder has a name
    return place.with_name(f".{place.name}.lock")


@contextmanager
def locked(place: Path, seconds: float = -1, busy: str = "") -> Iterator[None]:
    """Hold a file or folder, there or not, for the context; its lock is removed at the end.

    seconds: how long to wait for who holds it, -1 for ever. Raises AevlpError, with the text `busy` where they were not enough.
    """
    file = lock_of(place)
    lock = FileLock(file, timeout=seconds)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()  # filelock waits for ever for a file that cannot be made
        lock.acquire()
    except Timeout as error:
        raise AevlpError(busy) from error
    except OSError as error:
        raise AevlpError(f"cannot lock {place}: {error.strerror or error}") from error
    try:
        yield
    finally:
        with suppress(OSError):  # what went wrong before is what the user should read
            file.unlink(missing_ok=True)  # whoever waits for it sees that it is gone, and makes a new one
        lock.release()


@contextmanager
def claimed(lock: Path) -> Iterator[bool]:
    """Hold a lock for the context, unless another process does, and give whether; OSError where it cannot be asked."""
    held = FileLock(lock)
    try:
        held.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        held.release()


def is_held(lock: Path) -> bool:
    """Return whether a process holds a lock; AevlpError where that cannot be asked."""
    if not lock.exists():
        return False
    try:
        with FileLock(lock, blocking=False):
            return False
    except Timeout:
        return True
    except OSError as error:
        raise AevlpError(f"cannot lock files in {lock.parent}: {error.strerror or error}") from error
