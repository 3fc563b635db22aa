"""The PASCAL VOC devkit: ImageSets/Main/<class>_<set>.txt, JPEGImages/ and, for the size of objects, Annotations/."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ..errors import AevlpError
from ..specs import VocSpec
from .faults import Report, not_there
from .image_table import Listing, Listings
from .text_lists import read_lines


def read(spec: VocSpec, root: Path, report: Report) -> Listings:
    """Return the images of both sets that show at least one class, sorted by id within each set.

    Only the flag 1 counts as present: 0 (difficult) and -1 are absent. An id of the training set is not listed again.
    """
    folder = _devkit(spec, root)
    known: set[str] = set()
    splits: dict[str, Listing] = {}
    files: list[Path] = []
    for split, image_set in spec.splits.items():
        lists = {name: folder / "ImageSets" / "Main" / f"{name}_{image_set}.txt" for name in spec.classes}
        present = _present(lists, folder / "ImageSets" / "Main" / f"{image_set}.txt")
        files += lists.values()
        names = sorted(name for name in present if name not in known)
        known.update(names)
        labels = np.zeros((len(names), len(spec.classes)), dtype=np.int8)
        for row, name in zip(labels, names, strict=True):
            row[present[name]] = 1
        splits[split] = Listing(
            names,
            [folder / "JPEGImages" / f"{name}.jpg" for name in names],
            labels,
            sizes=lambda names=names: _sizes(folder, names, spec.classes),
        )
    if not known:
        raise AevlpError(
            f"{spec.name}: the lists in {folder / 'ImageSets' / 'Main'} mark no image as showing any class"
        )
    return Listings(spec.classes, splits, folder / "JPEGImages", files)


def _devkit(spec: VocSpec, root: Path) -> Path:
    """Return the folder that holds ImageSets/Main: the manifest's, or that of the one year there is."""
    years = [spec.folder, *(p.relative_to(root).as_posix() for p in sorted(root.glob("VOCdevkit/VOC2*")))]
    for folder in years:
        if (root / folder / "ImageSets" / "Main").is_dir():
            return root / folder
    raise not_there(spec, root, root / spec.folder / "ImageSets" / "Main")


def _present(lists: dict[str, Path], whole: Path) -> dict[str, list[int]]:
    """Return the columns of the classes that each image shows; every list is as long as that of the whole set, if it is there."""
    present: dict[str, list[int]] = {}
    expected = sum(bool(line.strip()) for line in read_lines(whole, "a list")) if whole.is_file() else None
    for column, path in enumerate(lists.values()):
        if not path.is_file():
            raise AevlpError(f"no list {path}: the image set {whole.stem} needs one for each of {len(lists)} classes")
        count = 0
        for number, line in enumerate(read_lines(path, "a list"), 1):
            fields = line.split()
            if not fields:
                continue
            if len(fields) < 2 or fields[-1] not in ("1", "0", "-1"):
                raise AevlpError(f"{path}, line {number}: expected an image id and 1, 0 or -1, found {line.strip()!r}")
            count += 1
            if fields[-1] == "1":
                present.setdefault(fields[0], []).append(column)
        if expected not in (None, count):
            raise AevlpError(
                f"{path} has {count:,} lines and {whole.name} lists {expected:,} images: it is cut or too long"
            )
    return present


def _sizes(folder: Path, names: list[str], classes: tuple[str, ...]) -> np.ndarray:
    """Return the area in pixels of each class's largest box in each image, from Annotations/<id>.xml."""
    column = {name: n for n, name in enumerate(classes)}
    sizes = np.zeros((len(names), len(classes)))
    for row, name in zip(sizes, names, strict=True):
        path = folder / "Annotations" / f"{name}.xml"
        try:
            objects = ElementTree.fromstring(path.read_bytes()).findall("object")
            for thing in objects:
                left, upper, right, lower = (
                    float(thing.findtext(f"bndbox/{side}", "nan")) for side in ("xmin", "ymin", "xmax", "ymax")
                )
                place = column.get(thing.findtext("name", ""))
                if place is not None:
                    row[place] = max(row[place], (right - left) * (lower - upper))
        except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:  # LookupError: an encoding unknown
            raise AevlpError(f"cannot read the boxes in {path}: {error}") from error
    return sizes
