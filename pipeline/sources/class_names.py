"""What a person gives as classes, names with commas or a file of them, -> the names, checked."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from ..datasets.class_file import is_quoted, names_in
from ..datasets.class_list_check import alike_in_case
from ..errors import AevlpError, some
from ..labels.names import named_twice

_PLAIN = re.compile(r"[\w.-]+")
_LONGEST = 200  # characters of names that are shown to be pasted, all of them or none
_FILES = (".txt", ".csv", ".tsv", ".names", ".json", ".yaml", ".yml")


def class_names(given: str | Path | Sequence[str]) -> tuple[str, ...]:
    """Return the class names in a list, in a text with commas between them, or in a file with one a line.

    A file may hold a list of JSON or YAML. Raises AevlpError for a file that is not there or empty, one whose lines hold more
    than names, names in quotes or brackets, fewer than two names, an empty one, one that stands twice, and
    names that differ only in case.
    """
    where, names = _listed(given)
    names = [name.strip() for name in names]
    if not all(names):
        raise AevlpError(
            f"{where}: a class has no name, expected names with one comma between two, such as --classes cat,dog"
        )
    if odd := [name for name in names if is_quoted(name)]:
        raise _quoted(where, odd[0], names)
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


def _quoted(where: str, odd: str, names: list[str]) -> AevlpError:
    plain = [name.strip("[]{}\"' ") for name in names]
    text = ",".join(plain)
    whole = len(text) <= _LONGEST and all(plain) and not re.search(r"[\"'\[\]{}]", text)
    way = shlex.quote(text) if whole else "cat,dog"
    return AevlpError(
        f"{where}: the class {odd[:60]!r} has the quotes or brackets of a list, expected names with commas and nothing else: "
        f"write {'' if whole else 'them as '}--classes {way}"
    )


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
        names = names_in(path)
        if len(names) == 1 and "," in names[0]:
            raise AevlpError(
                f"{path}: expected one class name a line, found one line with commas: put each name on a line of "
                f"its own, or say the names as --classes"
            )
        return str(path), names
    if isinstance(given, Path) or path.suffix.lower() in _FILES:
        raise AevlpError(
            f"--classes: there is no file {path}; expected names with commas, or a file with one name a line"
        )
    return "--classes", given.split(",")
