"""What a person gives as classes, names with commas or a file of them, -> the names, checked."""

from collections.abc import Sequence
from pathlib import Path

from ..datasets.text_lists import read_lines
from ..errors import AevlpError, some

_FILES = (".txt", ".csv", ".tsv", ".names", ".json", ".yaml", ".yml")


def class_names(given: str | Path | Sequence[str]) -> tuple[str, ...]:
    """Return the class names in a list, in a text with commas between them, or in a file with one a line.

    Raises AevlpError for a file that is not there or empty, fewer than two names, an empty one, one that stands twice, and
    names that differ only in case.
    """
    where, names = _listed(given)
    names = [name.strip() for name in names]
    if not all(names):
        raise AevlpError(f"{where}: a class has no name, expected names such as --classes cat,dog")
    if len(names) < 2:
        found = f"one class, {names[0]!r}" if names else "no class"
        more = ", or a file with one name a line" if where == "--classes" else ", one a line"
        raise AevlpError(f"{where}: {found}; expected two or more, such as --classes cat,dog{more}")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise AevlpError(f"{where}: classes named twice: {some(twice, 4)}; name each once in --classes")
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.casefold(), []).append(name)
    if alike := next((group for group in groups.values() if len(group) > 1), None):
        raise AevlpError(
            f"{where}: the classes {' and '.join(map(repr, alike))} differ only in case, expected names that can be told apart: "
            f"name the class once in --classes"
        )
    return tuple(names)


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
