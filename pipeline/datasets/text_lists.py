"""The plain text lists of the official archives: read as lines, or refused by name."""

from pathlib import Path

from ..errors import AevlpError
from ..specs import DatasetSpec


def read_lines(path: Path, what: str) -> list[str]:
    """Return a file's lines without line ends; AevlpError that names `what` it should be where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise AevlpError(f"cannot read {what} {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise AevlpError(f"{path} is not the text of {what}: {error}") from error


def class_list(spec: DatasetSpec, root: Path) -> tuple[str, ...] | None:
    """Return the manifest's class names, from the file that it names where it names one; None where it says nothing."""
    if not isinstance(spec.classes, str):
        return spec.classes
    path = root / spec.classes
    names = tuple(line.strip() for line in read_lines(path, "the class names in") if line.strip())
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise AevlpError(f"{path}: classes named twice: {', '.join(twice)}")
    if not names:
        raise AevlpError(f"{path}: the file is empty, expected one class name a line")
    return names
