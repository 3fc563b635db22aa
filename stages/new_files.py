"""Where a command writes a file of its own, and the names of classes or images that it is told."""

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ..pipeline.datasets.text_lists import read_lines
from ..pipeline.errors import AevlpError
from ..pipeline.score_cache import check_suffix
from ..pipeline.score_cache.remote import local_place


def check_new(target: Path) -> Path:
    """Return the path of a cache that is to be written; AevlpError where something is there already."""
    return check_unused(check_suffix(target))


def check_unused(target: Path) -> Path:
    """Return the path of a file that is to be written; AevlpError where something is there already, or nothing can be."""
    if target.exists():
        raise AevlpError(f"{target} is there already: choose another name, or remove it first")
    check_folder(target)
    return target


def check_folder(target: Path) -> None:
    """Raise AevlpError where the folder that a file is to be written in takes none, before any work is done for it."""
    existing = next(folder for folder in local_place(target).absolute().parents if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise AevlpError(f"cannot write {target}: {existing} is {'read-only' if existing.is_dir() else 'not a folder'}")


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
