"""The plain text lists of the official archives: read as lines, or refused by name."""

from pathlib import Path

from ..errors import AevlpError


def read_lines(path: Path, what: str) -> list[str]:
    """Return a file's lines without line ends; AevlpError that names `what` it should be where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise AevlpError(f"cannot read {what} {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise AevlpError(
            f"cannot read {what} {path}: not UTF-8 text (byte 0x{error.object[error.start]:02x} at {error.start})"
        ) from error


def distinct_ids(names: list[str], taken: set[str]) -> list[str]:
    """Return an id for each name that is not among `taken`, and add them: the name, or name#2 where it is listed again."""
    ids = []
    for name in names:
        free, number = name, 1
        while free in taken:
            number += 1
            free = f"{name}#{number}"
        taken.add(free)
        ids.append(free)
    return ids
