"""A file -> what tells it from another that has taken its place, as a key of what was read from it."""

from pathlib import Path


def stamp_of(file: Path) -> tuple[int, ...]:
    """Return a file's time of change, size and number on its disk."""
    found = file.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino
