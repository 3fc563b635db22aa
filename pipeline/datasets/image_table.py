"""What every reader gives of a split, and what becomes of it: images in order, with what is known and observed of each."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..files.stamps import file_size
from ..labels.relabelling import class_places, relabelled, relabelled_truth
from ..labels.usage import LabelUse, label_use
from .faults import Remark


@dataclass
class Listing:
    """What a reader finds of one split, in its published order.

    ids: n str. paths: n Path. labels: (n, C) 0/1. observed: (n, C) codes, where the data set says itself what was observed.
    sizes: gives the area of the largest object of each class in each image, (n, C), 0 where there is none; called if needed.
    """

    ids: list[str]
    paths: list[Path]
    labels: np.ndarray
    observed: np.ndarray | None = None
    sizes: Callable[[], np.ndarray] | None = None


@dataclass
class Listings:
    """What a reader finds of a data set.

    classes: C names. splits: some of "train", "val" and "test". complete: whether the labels are all that an image shows, 0/1,
    or the few that somebody gave, as codes: +1, 0 unknown, -1 verified absent. image_root: below which a formatted file names the
    images. label_files: what was read. remarks: what was read differently from how it is written, or left out on purpose.
    """

    classes: tuple[str, ...]
    splits: dict[str, Listing]
    image_root: Path
    label_files: Sequence[Path]
    complete: bool = True
    remarks: list[Remark] = field(default_factory=list)


@dataclass(frozen=True)
class ImageTable:
    """N images, training rows first.

    ids: (N,) str, distinct. paths: (N,) Path, whether or not an image is there. split: (N,) str, one of `SPLITS`.
    truth: (N, C) int8 0/1, or None where full labels are not known. observed: (N, C) int8 codes. classes: C names.
    root: the data set's own folder, below which the paths are. image_root: the folder below it that holds the images.
    simulate: the regime by which some labels were hidden, "none" where `observed` is all that was given. label_files: what the
    labels are from. remarks: what a reader of the data set should be told.
    """

    ids: np.ndarray
    paths: np.ndarray
    split: np.ndarray
    truth: np.ndarray | None
    observed: np.ndarray
    classes: tuple[str, ...]
    root: Path
    image_root: Path
    simulate: dict[str, Any]
    label_files: tuple[Path, ...]
    remarks: tuple[Remark, ...] = ()

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

    def of_classes(self, classes: Sequence[str]) -> "ImageTable":
        """Return the table with the labels of other classes; one that it does not know is unobserved, and no truth is known."""
        places = class_places(self.classes, classes)
        truth, observed = relabelled_truth(self.truth, places), relabelled(self.observed, places)
        return replace(self, classes=tuple(classes), truth=truth, observed=observed)

    def relative_paths(self) -> list[str]:
        """Return the paths as written in a cache: relative to the root, with forward slashes."""
        prefix = f"{self.root.as_posix().rstrip('/')}/"
        texts = (path.as_posix() for path in self.paths)  # pathlib's own way takes half a minute for a million
        return [
            text[len(prefix) :] if text.startswith(prefix) else path.relative_to(self.root).as_posix()
            for text, path in zip(texts, self.paths, strict=True)
        ]

    def fingerprint(self, sizes: Sequence[int | None] | None = None) -> str:
        """Return a SHA-256 of classes, ids, paths, splits, labels and file sizes: equal data, equal fingerprint.

        sizes: of the files, where they are known; None to look at them.
        """
        sizes = [file_size(path) for path in self.paths] if sizes is None else sizes
        return data_fingerprint(self, self.relative_paths(), sizes)

    def listing(self) -> str:
        """Return the `fingerprint` without the file sizes: no image is looked at."""
        return data_fingerprint(self, self.relative_paths(), None)

    def label_hashes(self) -> dict[str, str]:
        """Return the SHA-256 of each label file by its path from the root: which variant of a data set this is."""
        hashes = {}
        for path in self.label_files:
            with path.open("rb") as file:
                name = Path(os.path.relpath(str(path), str(self.root))).as_posix()
                hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
        return hashes


class Labelled(Protocol):
    """Images with their labels: a table, or an opened cache."""

    @property
    def classes(self) -> Sequence[str]: ...
    @property
    def ids(self) -> np.ndarray: ...
    @property
    def split(self) -> np.ndarray: ...
    @property
    def truth(self) -> np.ndarray | None: ...
    @property
    def observed(self) -> np.ndarray: ...


def data_fingerprint(images: Labelled, paths: Sequence[str], sizes: Sequence[int | None] | None) -> str:
    """Return the `Fingerprint` of images and labels, which are added at once."""
    fingerprint = Fingerprint(images.classes)
    fingerprint.add(images.ids, paths, images.split, sizes, images.truth, images.observed)
    return fingerprint.hexdigest()


class Fingerprint:
    """A SHA-256 of classes and of images and labels, which may be added some at a time: of the digests of each column."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = "\0".join(classes).encode()
        self._columns = [hashlib.sha256() for _ in range(6)]

    def add(
        self,
        ids: Iterable[str],
        paths: Iterable[str],
        split: Iterable[str],
        sizes: Iterable[int | None] | None,
        truth: np.ndarray | None,
        observed: np.ndarray,
    ) -> None:
        """Add images. paths: from the root. sizes: of the files, None for one that is not there; all None if not looked at.

        truth, observed: (n, C) int8; truth is None where it is unknown.
        """
        texts = (ids, paths, split, () if sizes is None else sizes)
        for column, values in zip(self._columns, texts, strict=False):
            column.update("".join(f"{value}\0" for value in values).encode())
        for column, labels in zip(self._columns[4:], (truth, observed), strict=True):
            if labels is not None:
                column.update(np.ascontiguousarray(labels).data)

    def hexdigest(self) -> str:
        """Return the fingerprint of what was added."""
        return hashlib.sha256(b"\1".join([self._classes, *(column.digest() for column in self._columns)])).hexdigest()


def use_of(images: ImageTable) -> LabelUse:
    """Return how many labels of the training images are used; of all images where none is for training."""
    train = images.split == "train"
    rows = train if train.any() else np.ones(len(images), dtype=bool)
    truth = None if images.truth is None else images.truth[rows]
    return label_use(images.observed[rows], truth, images.simulate)


def path_array(paths: Sequence[Path]) -> np.ndarray:
    """Return paths as a one-dimensional object array."""
    array = np.empty(len(paths), dtype=object)
    array[:] = list(paths)
    return array
