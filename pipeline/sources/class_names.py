"""What a person gives as classes, names with commas or a file of them, -> the names, checked."""

import re
from collections.abc import Sequence
from pathlib import Path

from ..datasets.class_list_check import alike_in_case
from ..datasets.text_lists import read_lines
from ..errors import AevlpError, some
from ..labels.names import named_twice

_PLAIN = re.compile(r"[\w.-]+")
_FILES = (".txt", ".csv", ".tsv", ".names", ".json", ".yaml", ".yml")


def class_names(given: str | Path | Sequence[str]) -> tuple[str, ...]:
    """Return the class names in a list, in a text with commas between them, or in a file with one a line.

    Raises AevlpError for a file that is not there or empty, fewer than two names, an empty one, one that stands twice, and
    names that differ only in case.
    """
    where, names = _listed(given)
    names = [name.strip() for name in names]
    if not all(names):
        raise AevlpError(
            f"{where}: a class has no name, expected names with one comma between two, such as --classes cat,dog"
        )
    if len(names) < 2:
        raise _too_few(where, f"one class, {names[0]!r}" if names else "no class", names)
    if twice := named_twice(names):
        found = f"classes named twice: {some(twice, 4)}"
        if len(set(names)) < 2:
            raise _too_few(where, f"{found}, so this is one class", names)
        raise AevlpError(f"{where}: {found}; name each once in --classes")
    if alike := alike_in_case(names):
        found = f"the classes {' and '.join(map(repr, alike[0]))} differ only in case, no prompt can tell them apart"
        kept = [name for name in names if not any(name in group[1:] for group in alike)]
        if len(kept) < 2:
            raise _too_few(where, f"{found}, so this is one class", kept)
        raise AevlpError(f"{where}: {found}, expected each class once: leave {alike[0][1]!r} out of --classes")
    return tuple(names)


def _too_few(where: str, found: str, names: list[str]) -> AevlpError:
    first = names[0] if names and _PLAIN.fullmatch(names[0]) else "cat"
    another = "dog" if first.casefold() != "dog" else "cat"
    way = f"such as --classes {first},{another}, or a file with one name a line"
    return AevlpError(
        f"{where}: {found}; expected two or more, {way if where == '--classes' else 'one a line in --classes'}"
    )


def _listed(given: str | Path | Sequence[str]) -> tuple[str, list[str]]:
    """Return where the names are, for a message, and the names."""
    if not isinstance(given, str | Path):
        return "--classes", list(given)
    path = Path(given)
    try:
        there = path.is_file()
    except OSError:  # a list too long for a file's name
        there = False
    if there:
        lines = [line for line in read_lines(path, "the class names in") if line.strip()]
        if len(lines) == 1 and "," in lines[0]:
            raise AevlpError(
                f"{path}: expected one class name a line, found one line with commas: pass it as --classes "
                f"'{lines[0].strip()[:60]}'"
            )
        return str(path), lines
    if isinstance(given, Path) or path.suffix.lower() in _FILES:
        raise AevlpError(
            f"--classes: there is no file {path}; expected names with commas, or a file with one name a line"
        )
    return "--classes", given.split(",")
