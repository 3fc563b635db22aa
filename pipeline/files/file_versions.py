"""Files -> their versions, looked at once: whoever asks again is told what was found then."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from .stamps import file_identity, is_hashed, stamp, stamp_of_identity

LARGEST = 2**63 - 1


class FileVersions:
    """The versions of n files, looked at when one of them is first asked for, and not again; 16 bytes a local file are kept."""

    def __init__(self, paths: Sequence[Path] | np.ndarray) -> None:
        self.paths = paths

    @property
    def sizes(self) -> list[int | None]:
        """Of each file its size in bytes; None where there is none."""
        return [None if size < 0 else size for size in self._found[0].tolist()]

    def identity(self, row: int) -> tuple[int, str] | None:
        """Return what `file_identity` gave of a file."""
        sizes, times, texts = self._found
        return None if sizes[row] < 0 else (int(sizes[row]), texts.get(row, str(times[row])))

    def take(self, rows: np.ndarray) -> "FileVersions":
        """Return those of some of the files, by their numbers."""
        sizes, times, texts = self._found
        some = FileVersions([self.paths[int(row)] for row in rows])
        some._found = sizes[rows], times[rows], {new: texts[old] for new, old in enumerate(rows) if old in texts}
        return some

    def is_now(self, row: int, then: str) -> bool:
        """Return whether a file is of the version that a stamp says; one that is a hash is compared by content."""
        identity = self.identity(row)
        if identity is None or not is_hashed(then):
            return stamp_of_identity(identity) == then
        return stamp(self.paths[row], hashed=True) == then

    @cached_property
    def _found(self) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
        """Return sizes (n,), -1 where there is no file, and times of change (n,) int64; by row what a store says in its place."""
        sizes, times = np.full(len(self.paths), -1, dtype=np.int64), np.zeros(len(self.paths), dtype=np.int64)
        texts: dict[int, str] = {}
        for row, path in enumerate(self.paths):
            if (identity := file_identity(path)) is None:
                continue
            sizes[row], when = identity
            if when.isdecimal() and str(number := int(when)) == when and number <= LARGEST:
                times[row] = number
            else:
                texts[row] = when
        return sizes, times, texts
