"""What the manifest says of a split's files, a glob pattern with a shell's braces, -> the files."""

import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import AevlpError
from ..labels.splits import SPLITS
from ..manifest.formats import DatasetSpec
from .faults import not_there

_BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")


def matching(spec: DatasetSpec, root: Path, pattern: str) -> list[Path]:
    """Return the files below `root` that a glob pattern matches, sorted; {00..12} and {a,b} stand for each in turn.

    Raises AevlpError where nothing matches, whichever of the braces' alternatives it is.
    """
    found: set[Path] = set()
    for each in _alternatives(pattern):
        try:
            if PurePosixPath(each).is_absolute() or ".." in PurePosixPath(each).parts:
                raise ValueError("it leads out of it")
            files = [path for path in root.glob(each) if path.is_file()]
        except ValueError as error:
            raise AevlpError(
                f"{spec.name}: {each!r} is no pattern for files below the data set's folder: {error}"
            ) from error
        if not files:
            raise not_there(spec, root, root / each)
        found.update(files)
    return sorted(found)


def in_one_split(spec: DatasetSpec, files: dict[Any, list[Path]]) -> dict[Any, list[Path]]:
    """Return the files of each split, train first; AevlpError where two have one in common."""
    for one, other in combinations(files, 2):
        if both := sorted(set(files[one]) & set(files[other])):
            raise AevlpError(f"{spec.name}: {both[0]} is in the splits {one} and {other}; each file may be in one")
    return {split: files[split] for split in SPLITS if split in files}


def _alternatives(pattern: str) -> Iterator[str]:
    """Yield what a pattern stands for, the braces of a shell written out; one at a time, as a range may be long."""
    braces = _BRACES.search(pattern)
    if braces is None:
        yield pattern
        return
    first, last, words = braces.groups()
    if words is None:
        step = 1 if int(first) <= int(last) else -1
        padded = any(len(number) > 1 and number[0] == "0" for number in (first, last))
        width = max(len(first), len(last)) if padded else 0
        choices = (f"{n:0{width}d}" for n in range(int(first), int(last) + step, step))
    else:
        choices = iter(words.split(","))
    for choice in choices:
        yield from _alternatives(pattern[: braces.start()] + choice + pattern[braces.end() :])
