"""The plain text lists of the official archives: read as lines, or refused by name."""

from pathlib import Path

from ..errors import AevlpError
from ..labels.names import named_twice
from ..manifest.formats import DatasetSpec
from .faults import DataError, Report, not_there, refuse


def read_lines(path: Path, what: str) -> list[str]:
    """Return a file's lines without line ends; AevlpError that names `what` it should be where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise AevlpError(f"cannot read {what} {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise AevlpError(f"cannot read {what} {path}: not UTF-8 text: {error}") from error


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


def class_list(spec: DatasetSpec, root: Path, report: Report = refuse) -> tuple[str, ...] | None:
    """Return the manifest's class names, from the file that it names where it names one; None where it says nothing.

    A class that the file names twice is reported, and taken once.
    """
    if not isinstance(spec.classes, str):
        return spec.classes
    path = root / spec.classes
    if not path.is_file():
        raise not_there(spec, root, path)
    names = tuple(line.strip() for line in read_lines(path, "the class names in") if line.strip())
    if twice := named_twice(names):
        report(DataError("class named twice", f"{path}: classes named twice: {', '.join(twice)}"))
    if not names:
        raise AevlpError(f"{path}: the file is empty, expected one class name a line")
    return tuple(dict.fromkeys(names))
