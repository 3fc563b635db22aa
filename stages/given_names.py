"""The names of classes or images that a command is told."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ..pipeline.datasets.text_lists import read_lines
from ..pipeline.errors import AevlpError


def names_of_file(path: Path, what: str) -> list[str]:
    """Return the distinct names in a text file, one a line; AevlpError where it has none, or one twice.

    what: they are, in errors, such as "class names".
    """
    return _distinct([line.strip() for line in read_lines(path, f"the {what} in")], f"{path}: {what}")


def names_given(given: Sequence[str] | Path, what: str) -> list[str]:
    """Return the names in a list, in a text file of that name, one a line, or in the text itself, with commas."""
    if isinstance(given, list | tuple):
        return _distinct(list(given), what)
    text = str(given)
    with suppress(OSError):  # a list that is too long for the name of a file
        if Path(text).is_file():
            return names_of_file(Path(text), what)
    return _distinct([name.strip() for name in text.split(",")], f"{text}: {what}")


def _distinct(names: list[str], where: str) -> list[str]:
    names = [name for name in names if name]
    if not names:
        raise AevlpError(f"{where}: expected at least one, found none")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise AevlpError(f"{where} named twice: {', '.join(twice[:5])}")
    return names
