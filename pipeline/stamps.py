"""An image file -> a stamp, a text that tells this version of it from any other: its size and time of change, or its hash."""

import hashlib
from pathlib import Path

from . import containers
from .images import file_identity


def stamp(path: Path, hashed: bool) -> str:
    """Return the stamp of a file, "SIZE TIME" or, with `hashed`, "SIZE sha256:…", which reads it; "" where there is none.

    TIME is the time of change in nanoseconds; in a remote store what that gives, such as an ETag.
    """
    identity = file_identity(path)
    if identity is None:
        return ""
    size, when = identity
    if hashed:
        content = path.read_bytes() if path.is_file() else containers.read_bytes(path)
        when = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return f"{size} {when}"


def is_hashed(text: str) -> bool:
    """Return whether a stamp was made of a file's content."""
    return " sha256:" in text


def stamped_size(text: str) -> int | None:
    """Return the size in bytes that a stamp says; None for that of a file that was not there."""
    return int(text.split(" ")[0]) if text else None
