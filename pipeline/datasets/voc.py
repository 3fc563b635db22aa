"""PASCAL VOC: the devkit, or what a labelling tool writes in its form -> `Listings`."""

from pathlib import Path, PurePosixPath

import numpy as np

from ..errors import AevlpError, counted
from ..manifest.formats import VocSpec
from .class_file import class_list
from .class_list_check import doubts_of_classes
from .faults import DataError, Remark, Report, not_there
from .image_table import Listing, Listings
from .voc_folder import LabelledFolder
from .voc_sets import MAIN, ImageSet, read_image_set
from .voc_xml import read_annotation


def read(spec: VocSpec, root: Path, report: Report) -> Listings:
    """Return the images of each set that show at least one class, sorted by id within each set.

    By the lists of classes only the flag 1 counts as present: 0 (difficult) and -1 are absent, and an id of the training set
    is not listed again. Without whole lists, by the objects in XML files that are not difficult (`read_image_set`).
    """
    remarks: list[Remark] = []
    folder = _devkit(spec, root, remarks)
    beside = LabelledFolder(folder)
    stated = class_list(spec, root)
    sets = {split: read_image_set(spec, split, stated, beside, report, remarks) for split in spec.splits}
    classes = stated or tuple(sorted({c for found in sets.values() for names in found.shown.values() for c in names}))
    for line in () if stated else doubts_of_classes(classes):
        report(DataError("doubtful class", f"{folder}: {line}"))
    column = {name: n for n, name in enumerate(classes)}
    placed: dict[str, str] = {}
    taken: dict[Path, str] = {}
    splits: dict[str, Listing] = {}
    for split, found in sets.items():
        names, paths = [], []
        for name in sorted(name for name, shown in found.shown.items() if shown):
            try:
                if placed.setdefault(name, split) != split:
                    if name not in found.annotations:
                        continue  # as published
                    raise DataError(
                        "in two splits", f"{name} is in the {placed[name]} and the {split} split of {folder}"
                    )
                path = _picture(beside, found, name)
                if taken.setdefault(path, name) != name:
                    raise DataError(
                        "listed twice", f"{path} is the picture of {taken[path]} and of {name}; it may be of one"
                    )
            except DataError as error:
                report(error)
                continue
            names.append(name)
            paths.append(path)
        labels = np.zeros((len(names), len(classes)), dtype=np.int8)
        for row, name in zip(labels, names, strict=True):
            row[[column[shown] for shown in found.shown[name]]] = 1
        xml = [
            beside.xml[name] if name in found.annotations else folder / "Annotations" / f"{name}.xml" for name in names
        ]
        splits[split] = Listing(names, paths, labels, sizes=lambda xml=xml: _sizes(xml, column))
    if not taken:
        read_xml = any(found.annotations for found in sets.values())
        source = f"XML files in {folder}" if read_xml else f"lists in {folder / MAIN}"
        raise AevlpError(f"{spec.name}: the {source} mark no image as showing any class")
    usual = folder / "JPEGImages"
    listed = [
        path
        for found, part in zip(sets.values(), splits.values(), strict=True)
        if not found.annotations
        for path in part.paths
    ]
    if elsewhere := [path for path in listed if path.parent != usual or path.suffix != ".jpg"]:
        first = elsewhere[0].relative_to(folder).as_posix()
        text = f"{counted(len(elsewhere), 'picture')} not at JPEGImages/<id>.jpg, found by name, first {first}"
        remarks.append(Remark("read differently", text))
    in_place = all(usual in path.parents for path in taken)
    lists = [path for found in sets.values() for path in found.lists]
    return Listings(classes, splits, usual if in_place else folder, lists, remarks=remarks)


def _devkit(spec: VocSpec, root: Path, remarks: list[Remark]) -> Path:
    """Return the folder that holds ImageSets/Main: the manifest's, or the only one there is; or one with XML files alone."""
    own = root / spec.folder
    if (own / MAIN).is_dir():
        return own
    base = own if own.is_dir() else root
    levels = ("",), ("*/", "*/*/")
    mains: list[Path] = []
    for above in levels:
        mains = mains or [p for a in above for p in sorted(base.glob(f"{a}{MAIN.as_posix()}")) if p.is_dir()]
    found = [path for path in mains if all(_has_set(path, name) for name in spec.splits.values())] or mains
    if len(found) > 1:
        folders = [path.parent.parent.relative_to(root).as_posix() for path in found]
        raise AevlpError(
            f"{spec.name}: {len(found)} folders below {root} hold {MAIN.as_posix()} ({', '.join(folders)}): write the one "
            f"that is meant as folder: {folders[0]}, or pass it as --data-root"
        )
    if found:
        folder = found[0].parent.parent
        remarks.append(Remark("read differently", f"{MAIN.as_posix()} is taken from {folder}, as {own} has none"))
        return folder
    if not spec.downloads and LabelledFolder(base).xml:  # the benchmark is its lists
        return base
    raise not_there(spec, root, own / MAIN)


def _has_set(main: Path, image_set: str) -> bool:
    return (main / f"{image_set}.txt").is_file() or any(main.glob(f"*_{image_set}.txt"))


def _picture(beside: LabelledFolder, found: ImageSet, name: str) -> Path:
    """Return an image's file: JPEGImages/<id>.jpg or the one picture that is called so; the first if neither is there."""
    usual = beside.folder / "JPEGImages" / f"{name}.jpg"
    annotation = found.annotations.get(name)
    if annotation is None and usual.is_file():
        return usual
    picture = beside.picture_of(name, annotation and annotation.picture)
    if picture is not None or annotation is None:
        return picture or usual
    place = usual.parent if usual.parent.is_dir() else beside.xml[name].parent
    return place / (annotation.picture or f"{PurePosixPath(name).name}.jpg")


def _sizes(files: list[Path], column: dict[str, int]) -> np.ndarray:
    """Return the area in pixels of each class's largest box in each image, from the XML file of each."""
    sizes = np.zeros((len(files), len(column)))
    for row, path in zip(sizes, files, strict=True):
        for thing in read_annotation(path).things:
            place = column.get(thing.name)
            if place is not None:
                try:
                    row[place] = max(row[place], thing.area())
                except ValueError as error:
                    raise AevlpError(f"cannot read the boxes in {path}: {error}") from error
    return sizes
