"""A file -> what tells it from another that has taken its place, as a key of what was read from it."""

from pathlib import Path

from .locations import RemotePath


def stamp_of(file: Path) -> tuple[int | str, ...]:
    """Return a file's time of change, size and number on its disk, or what a remote store says of it."""
    if isinstance(file, RemotePath):
        return identity_of(file)
    found = file.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def identity_of(file: Path) -> tuple[int, str]:
    """Return a file's size and a text that changes when it is written anew; FileNotFoundError where there is none."""
    if not isinstance(file, RemotePath):
        found = file.stat()
        return found.st_size, str(found.st_mtime_ns)
    identity = file.identity()
    if identity is None:
        raise FileNotFoundError(file)
    return identity
