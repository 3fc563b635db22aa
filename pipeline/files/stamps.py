"""An image file -> a stamp, a text that tells this version of it from any other: its size and time of change, or its hash."""

import errno
import hashlib
from pathlib import Path
from stat import S_ISREG

from ..errors import AevlpError
from . import containers
from .identity import identity_of
from .locations import RemoteError, RemotePath

# What is wrong with a file, or its name. All else is of the machine, a disk or a network, and says nothing of the image.
FILES_OWN = {
    errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.EILSEQ, errno.EISDIR, errno.ENXIO,
    errno.ENODEV, errno.EACCES, errno.EPERM,
}  # fmt: skip


def stamp(path: Path, hashed: bool) -> str:
    """Return the stamp of a file, "SIZE TIME" or, with `hashed`, "SIZE sha256:…", which reads it; "" where there is none.

    TIME is the time of change in nanoseconds; in a remote store what that gives, such as an ETag.
    """
    return stamp_of_identity(file_identity(path), path if hashed else None)


def stamp_of_identity(identity: tuple[int, str] | None, path: Path | None = None) -> str:
    """Return the stamp of a file whose `file_identity` is known; path: where it is, to be read for its hash."""
    if identity is None:
        return ""
    size, when = identity
    if path is not None:
        when = f"sha256:{content_sha256(path)}"
    return f"{size} {when}"


def content_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as hexadecimal digits, also of a file inside a container.

    Raises OSError where it cannot be read, AevlpError where its container is damaged or a remote store does not answer.
    """
    if isinstance(path, RemotePath) or not path.is_file():
        content = path.read_bytes() if path.is_file() else containers.read_bytes(path)
        return hashlib.sha256(content).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_hashed(text: str) -> bool:
    """Return whether a stamp was made of a file's content."""
    return " sha256:" in text


def stamped_size(text: str) -> int | None:
    """Return the size in bytes that a stamp says; None for that of a file that was not there."""
    return int(text.split(" ")[0]) if text else None


def file_size(path: Path) -> int | None:
    """Return the size in bytes of a file, also of one inside a container (`pipeline.files.containers`).

    None where there is no such file, a name too long for the file system and a damaged container included. Raises
    AevlpError where the machine, its disk or a remote store does not say whether there is one.
    """
    identity = file_identity(path)
    return identity and identity[0]


def file_identity(path: Path) -> tuple[int, str] | None:
    """Return the size in bytes of a file and a text that changes when it is written anew; None where `file_size` is None.

    The text is the time of change in nanoseconds, in a remote store what that gives, such as an ETag, and for a file inside
    a container that of the container. Raises AevlpError as `file_size` does.
    """
    try:
        if (whole := _of_file(path)) is not None:
            return whole
        place = containers.locate(path)
        size = containers.size(path) if place else None
        return (size, identity_of(place[0])[1]) if place and size is not None else None
    except RemoteError:
        raise
    except OSError as error:
        require_files_own(path, error)
        return None
    except AevlpError:
        return None


def _of_file(path: Path) -> tuple[int, str] | None:
    """Return the identity of a file, asked for once; None for a folder, and where there is none, or no such name can be."""
    if isinstance(path, RemotePath):
        return path.identity()
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return (found.st_size, str(found.st_mtime_ns)) if S_ISREG(found.st_mode) else None


def require_files_own(path: Path, error: OSError) -> None:
    """Raise AevlpError where an error is of the machine, a disk or a network, and says nothing of the file."""
    if error.errno is not None and error.errno not in FILES_OWN:
        raise AevlpError(
            f"cannot read {path}: {error.strerror}; mend that, or delete the file if it alone is at fault, and run the same "
            f"command again"
        ) from error
