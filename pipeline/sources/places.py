"""The names of images in a table or an annotation file -> the data set's folder, and the folder below it that they are in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..datasets.file_tree import FileTree
from ..datasets.image_names import find_images, readings
from ..datasets.near_names import NearNames
from ..errors import AevlpError
from .naming import is_general

SAMPLE = 200


@dataclass(frozen=True)
class Place:
    """root: of the data set. images: the folder below it that the names are in, None where the reader finds it itself."""

    root: Path
    images: str | None


def place_of(file: Path, names: Sequence[str], stated: str | None) -> Place:
    """Return where the images are that a file names: beside it, in a folder below its own, or beside its own folder.

    Paths of another machine, of which none is found from there, are looked for in a folder by their ends alone.
    stated: the folder that a person says, below the file's. Where no image is found, the file's own folder, and the reader
    names what it misses.
    """
    if stated is not None:
        return Place(file.parent, stated)
    return next((place for place, count in _tried(file, _sample(names)) if count), Place(file.parent, None))


def are_files(file: Path, names: Sequence[str]) -> bool:
    """Return whether all of some names are files that are found from the file that names them."""
    sample = _sample(names)
    return any(count == len(sample) for _, count in _tried(file, sample))


def _sample(names: Sequence[str]) -> list[str]:
    different = list(dict.fromkeys(names))
    return different[:: max(1, len(different) // SAMPLE)][:SAMPLE]


def _tried(file: Path, names: Sequence[str]) -> Iterator[tuple[Place, int]]:
    """Yield the places where most names are found, and how many are found there."""
    above = [file.parent.parent] if is_general(file.parent.name) else []  # labels/train.csv beside images/
    trees = [FileTree(root) for root in (file.parent, *above)]
    for tree in trees:
        root = tree.root
        try:
            if 2 * (count := _found(tree, ".", names)) > len(names):
                yield Place(root, None), count
                continue
            folder = NearNames(root, ()).folder_of(names)
            if folder is not None:
                yield Place(root, folder), _found(tree, folder, names)
        except AevlpError:  # a folder that may not be listed
            continue
    if 2 * sum(map(_begins_elsewhere, names)) <= len(names):
        return
    for tree in trees:
        try:
            folder = NearNames(tree.root, ()).folder_of_ends(names)
            if folder is not None and 2 * (count := _found(tree, folder, names)) > len(names):
                yield Place(tree.root, folder), count
        except AevlpError:
            continue


def _begins_elsewhere(name: str) -> bool:
    return any(elsewhere for _, elsewhere in readings(name))


def _found(tree: FileTree, folder: str, names: Sequence[str]) -> int:
    return find_images(tree.root, [(folder, name) for name in names], tree).count
