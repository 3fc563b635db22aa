"""A folder of images for each class, as classification data sets are kept: an image's one label is its folder."""

from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import AevlpError, unknown_name
from ..specs import ImageFolderSpec
from .faults import DataError, Report
from .image_table import Listing, Listings
from .text_lists import class_list


def read(spec: ImageFolderSpec, root: Path, report: Report) -> Listings:
    """Return the images below each class's folder, classes and paths sorted; an image's id is its path below the root.

    Files whose ending is none of an image are passed over. A folder that is no class of the manifest's list is reported.
    Raises AevlpError where a split's folder is not there or holds no folder.
    """
    Image.init()
    endings = set(Image.registered_extensions())
    folders = {split: root / name for split, name in spec.splits.items()} or {"train": root}
    found = {split: _class_folders(spec, root, folder) for split, folder in folders.items()}
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
            files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in endings and p.is_file())
            paths += files
            rows += [column[folder.name]] * len(files)
        ids = [path.relative_to(root).as_posix() for path in paths]
        splits[split] = Listing(ids, paths, np.eye(len(classes), dtype=np.int8)[rows])
    return Listings(classes, splits, root, [], complete=spec.labels == "complete")


def _class_folders(spec: ImageFolderSpec, root: Path, folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise AevlpError(
            f"{spec.name}: no folder {folder}: `splits` names the folders of train and test below the root"
        )
    names = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not names:
        raise AevlpError(f"{spec.name}: {folder} holds no folders: each class needs one, named for it")
    return names
