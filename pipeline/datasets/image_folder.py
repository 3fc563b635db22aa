"""A folder of images for each class, as classification data sets are kept: an image's one label is its folder."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import AevlpError, unknown_name
from ..specs import ImageFolderSpec
from ..splits import split_of
from .faults import DataError, Report
from .image_table import Listing, Listings
from .text_lists import class_list


def read(spec: ImageFolderSpec, root: Path, report: Report) -> Listings:
    """Return the images below each class's folder, classes and paths sorted; an image's id is its path below the root.

    Files whose ending is none of an image, and what is hidden behind a leading dot, are passed over. A folder that is no
    class of the manifest's list, and a name that is no text, are reported. Raises AevlpError where a split's folder is not
    there or holds no folder.
    """
    endings = {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    folders = {split: root / name for split, name in spec.splits.items()} or {"train": root}
    found = {split: _class_folders(spec, folder, report) for split, folder in folders.items()}
    classes = class_list(spec, root) or tuple(sorted({p.name for names in found.values() for p in names}))
    column = {name: n for n, name in enumerate(classes)}
    splits: dict[str, Listing] = {}
    for split, names in found.items():
        paths: list[Path] = []
        rows: list[int] = []
        for folder in names:
            if folder.name not in column:
                report(DataError("unknown class", f"{folder}: {unknown_name('class', folder.name, classes)}"))
                continue
            files = [path for path in _shown(folder, report) if path.suffix.lower() in endings and path.is_file()]
            paths += files
            rows += [column[folder.name]] * len(files)
        ids = [path.relative_to(root).as_posix() for path in paths]
        splits[split] = Listing(ids, paths, np.eye(len(classes), dtype=np.int8)[rows])
    return Listings(classes, splits, root, [], complete=spec.labels == "complete")


def _class_folders(spec: ImageFolderSpec, folder: Path, report: Report) -> list[Path]:
    if not folder.is_dir():
        holds = "it" if spec.splits else "a folder for each class"
        raise AevlpError(f"{spec.name}: no folder {folder}: pass the folder that holds {holds} as --data-root")
    names = [path for path in _shown(folder, report, "*") if path.is_dir()]
    if not spec.splits and names and all(split_of(path.name) for path in names):
        listed = ", ".join(path.name for path in names)
        which = ", ".join(f"{split_of(path.name)}: {path.name}" for path in names)
        raise AevlpError(
            f"{spec.name}: the folders in {folder} are named as splits, not as classes ({listed}): write which they are, such "
            f"as splits: {{{which}}}"
        )
    if not names:
        raise AevlpError(f"{spec.name}: {folder} holds no folders: each class needs one, named for it")
    return names


def _shown(folder: Path, report: Report, pattern: str = "**/*") -> Iterator[Path]:
    """Yield what is below a folder, sorted, without what is hidden; a name that is no text is reported and left out."""
    for path in sorted(folder.glob(pattern)):
        name = path.relative_to(folder).as_posix()
        if "/." in f"/{name}":
            continue
        if any("\ud800" <= c <= "\udfff" for c in name):  # bytes that are no UTF-8
            report(DataError("bad row", f"{folder}: the name {name!r} is not UTF-8 text: rename it"))
        else:
            yield path
