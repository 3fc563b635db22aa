"""The names of files and folders -> the splits that they say."""

import re
from collections.abc import Sequence
from os.path import commonprefix
from pathlib import Path, PurePosixPath

from ..errors import AevlpError
from ..labels.splits import split_of


def split_in_name(name: str) -> str | None:
    """Return the split that a file's or folder's name says, as `train-000` and `instances_val2017` do; None for any other."""
    found = {split for part in re.findall(r"[^\W\d_]+", name) if (split := split_of(part))}
    return found.pop() if len(found) == 1 else None


def by_split(paths: Sequence[Path], root: Path) -> dict[str, list[Path]] | None:
    """Return the files of each split, by their names or those of their folders below the root; None where none says one.

    Raises AevlpError where some say a split and others do not.
    """
    found: dict[str, list[Path]] = {}
    silent: list[Path] = []
    for path in paths:
        below = path.relative_to(root)
        split = split_in_name(path.stem) or next(filter(None, map(split_in_name, reversed(below.parts[:-1]))), None)
        found.setdefault(split, []).append(path) if split else silent.append(path)
    if found and silent:
        raise AevlpError(
            f"{root}: {silent[0].name} says no split in its name, and {next(iter(found.values()))[0].name} does: pass one file "
            f"as SOURCE, or name all of them for train, val or test"
        )
    return found or None


def pattern_of(paths: Sequence[Path], root: Path, others: Sequence[Path]) -> str:
    """Return a pattern below the root that matches these files and none of the others."""
    names = sorted(path.relative_to(root).as_posix() for path in paths)
    if len(names) == 1:
        return names[0]
    folder = PurePosixPath(names[0]).parent
    same = all(PurePosixPath(name).parent == folder for name in names)
    ending = PurePosixPath(names[0]).suffix
    if same:
        prefix = re.sub(r"\d+$", "", commonprefix([PurePosixPath(name).name for name in names]))  # noqa: RUF071 - of names, letter by letter
        place = "" if folder == PurePosixPath(".") else f"{folder.as_posix()}/"
        pattern = f"{place}{prefix}*{ending}"
        matched = {path.relative_to(root).as_posix() for path in root.glob(pattern)}
        if matched == set(names) and not set("[]{}?") & set(pattern):
            return pattern
    if any(set("[]{},*?") & set(name) for name in names):
        raise AevlpError(
            f"{root}: the names of its files hold characters of a pattern, such as {names[0]!r}: rename them"
        )
    return f"{{{','.join(names)}}}"
