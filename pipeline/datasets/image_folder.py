"""A folder of images for each class, as classification data sets are kept: an image's one label is its folder."""

from itertools import permutations
from pathlib import Path

import numpy as np

from ..errors import AevlpError, unknown_name
from ..files.file_reading import NOT_TEXT, find_pictures, is_systems, kinds_counted
from ..files.whole_text import is_whole
from ..labels.splits import split_of
from ..manifest.formats import ImageFolderSpec
from .class_file import class_list
from .class_list_check import doubts_of_classes
from .faults import DataError, Remark, Report
from .image_table import Listing, Listings

OUTSIDE = "pictures in no class's folder"


def read(spec: ImageFolderSpec, root: Path, report: Report) -> Listings:
    """Return the images below each class's folder, classes and paths sorted; an image's id is its path below the root.

    What is no picture (`image_files.find_pictures`), hidden, or in no class's folder is left out and counted in a remark. A
    folder that is no class of the manifest's list, and a name that is no text, are reported. Raises AevlpError where a split's
    folder is not there or holds no folder.
    """
    folders = {split: root / name for split, name in spec.splits.items()} or {"train": root}
    _check_apart(spec, folders)
    found = {split: _class_folders(spec, folder) for split, folder in folders.items()}
    stated = class_list(spec, root)
    classes = stated or tuple(sorted({name for names in found.values() for name in names}))
    for line in () if stated else doubts_of_classes(classes):
        report(DataError("doubtful class", f"{root}: {line}"))
    column = {name: n for n, name in enumerate(classes)}
    splits: dict[str, Listing] = {}
    left_out: dict[str, list[str]] = {}
    for split, names in found.items():
        folder = folders[split]
        unknown = sorted(set(names) - set(classes))
        for name in unknown:
            report(DataError("unknown class", f"{folder / name}: {unknown_name('class', name, classes)}"))
        inside = find_pictures(folder)
        prefix = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
        for name in inside.left_out.pop(NOT_TEXT, ()):
            report(DataError("bad row", f"{folder}: the name {name!r} is not UTF-8 text: rename it"))
        paths: list[Path] = []
        rows: list[int] = []
        for path in inside.images:
            place = path.relative_to(folder)
            if len(place.parts) == 1:
                inside.left_out.setdefault(OUTSIDE, []).append(place.name)
            elif place.parts[0] in column:
                paths.append(path)
                rows.append(column[place.parts[0]])
        for kind, files in inside.left_out.items():
            left_out.setdefault(kind, []).extend(prefix + name for name in files)
        ids = [path.relative_to(root).as_posix() for path in paths]
        splits[split] = Listing(ids, paths, np.eye(len(classes), dtype=np.int8)[rows])
    remarks = [Remark("left out", f"left out of {root}: {kinds_counted(left_out)}")] if left_out else []
    return Listings(classes, splits, root, [], complete=spec.labels == "complete", remarks=remarks)


def _check_apart(spec: ImageFolderSpec, folders: dict[str, Path]) -> None:
    """Raise AevlpError where one split's folder is, or holds, another's: its images would be in both."""
    for one, other in permutations(folders, 2):
        if folders[one] in (folders[other], *folders[other].parents):
            raise AevlpError(
                f"{spec.name}: {folders[one]}, the folder of the split {one}, holds that of the split {other}: each needs one of "
                f"its own under `splits`"
            )


def _class_folders(spec: ImageFolderSpec, folder: Path) -> list[str]:
    if not folder.is_dir():
        holds = "it" if spec.splits else "a folder for each class"
        raise AevlpError(f"{spec.name}: no folder {folder}: pass the folder that holds {holds} as --data-root")
    names = [path.name for path in sorted(folder.glob("*")) if path.is_dir() and is_whole(path.name)]
    names = [name for name in names if not is_systems(name)]
    if not spec.splits and names and all(map(split_of, names)):
        raise AevlpError(
            f"{spec.name}: the folders in {folder} are named as splits, not as classes ({', '.join(names)}): write which they "
            f"are, such as splits: {{{', '.join(f'{split_of(name)}: {name}' for name in names)}}}"
        )
    if not names:
        raise AevlpError(f"{spec.name}: {folder} holds no folders: each class needs one, named for it")
    return names
