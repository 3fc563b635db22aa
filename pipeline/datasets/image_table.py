"""What every reader returns: images in order, with what is known and what is observed of each."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..images import file_size


@dataclass(frozen=True)
class ImageTable:
    """N images, training rows first.

    ids: (N,) str, distinct. paths: (N,) Path, whether or not a file is there. split: (N,) str, "train" or "test".
    truth: (N, C) int8 0/1, or None where full labels are not known. observed: (N, C) int8 codes. classes: C names.
    root: the data set's own folder, below which the paths are.
    """

    ids: np.ndarray
    paths: np.ndarray
    split: np.ndarray
    truth: np.ndarray | None
    observed: np.ndarray
    classes: tuple[str, ...]
    root: Path

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: np.ndarray | slice) -> "ImageTable":
        """Return a table of some rows."""
        return replace(
            self,
            ids=self.ids[rows],
            paths=self.paths[rows],
            split=self.split[rows],
            truth=None if self.truth is None else self.truth[rows],
            observed=self.observed[rows],
        )

    def relative_paths(self) -> list[str]:
        """Return the paths as written in a cache: relative to the root, with forward slashes."""
        return [Path(p).relative_to(self.root).as_posix() for p in self.paths]

    def fingerprint(self) -> str:
        """Return a SHA-256 of classes, ids, paths, splits, labels and file sizes: equal data, equal fingerprint."""
        digest = hashlib.sha256()
        sizes = [file_size(path) for path in self.paths]
        for part in (self.classes, self.ids, self.relative_paths(), self.split, sizes):
            digest.update("\0".join(map(str, part)).encode() + b"\1")
        for labels in (self.truth, self.observed):
            digest.update(b"none" if labels is None else labels.tobytes())
        return digest.hexdigest()


def path_array(paths: list[Path]) -> np.ndarray:
    """Return paths as a one-dimensional object array."""
    array = np.empty(len(paths), dtype=object)
    array[:] = paths
    return array
