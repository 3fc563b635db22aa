"""COCO-style annotation files: MS COCO 2014 by the benchmarks' rules, and any other data set in that form."""

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import msgspec
import numpy as np

from ..errors import AevlpError
from ..file_stamp import identity_of
from ..locations import RemotePath
from ..specs import CocoJsonSpec, CocoSpec
from .faults import DataError, Report, image_below_root, not_there
from .image_table import Listing, Listings
from .text_lists import class_list

Id = int | str
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # which some editors write


class _Category(msgspec.Struct, gc=False):
    id: Id
    name: str


class _Image(msgspec.Struct, gc=False):
    id: Id
    file_name: str = ""  # MS COCO's is made from the id


class _Annotation(msgspec.Struct, gc=False):
    image_id: Id
    category_id: Id
    area: float | None = None
    bbox: list[float] | None = None  # left, upper, width, height; empty in some files


class _File(msgspec.Struct, gc=False):
    """The parts of an annotation file that are read; outlines and captions, most of its bytes, are skipped over."""

    categories: list[_Category]
    annotations: list[_Annotation]
    images: list[_Image] = []


def read(spec: CocoSpec | CocoJsonSpec, root: Path, report: Report) -> Listings:
    """Return the images of a COCO data set; classes are the `categories` in the order of the annotation file.

    MS COCO (`format: coco`): the images with at least one annotation, crowds included, sorted by their ids as decimal text;
    an image's id here is its file's name without .jpg. Any other (`format: coco_json`): the `images` in the order of the
    file, those without an annotation too; an image's id is its path below the data set's folder.
    Raises AevlpError for a file that is missing, cut short or of another form, and for splits with other categories.
    """
    if isinstance(spec, CocoSpec):
        paths = {split: root / "annotations" / f"instances_{name}.json" for split, name in spec.splits.items()}
    else:
        paths = {split: root / name for split, name in spec.annotations.items()}
    for path in paths.values():
        if not path.is_file():
            raise not_there(spec, root, path)
    classes: tuple[str, ...] | None = None
    splits: dict[str, Listing] = {}
    taken: dict[str, Path] = {}
    for split, path in paths.items():
        content = _parsed(path)
        names = tuple(category.name for category in content.categories)
        if classes is None:
            classes = _checked_classes(spec, root, path, names, report)
        else:
            _same_classes(path, names, classes, f"{next(iter(paths.values())).name}, the file of the other split")
        column: dict[str, int] = {}
        for n, category in enumerate(content.categories):
            if (first := column.setdefault(str(category.id), n)) != n:
                raise AevlpError(
                    f"{path}: the categories {names[first]!r} and {names[n]!r} have one id, {category.id!r}"
                )
        if isinstance(spec, CocoSpec):
            splits[split] = _benchmark(path, content, column, root, spec.splits[split])
        else:
            folder = spec.images.get(split, ".")
            splits[split] = _listed(path, content, column, root, folder, taken, report)
        del content  # before the next file is read
    assert classes is not None
    return Listings(classes, splits, root, list(paths.values()))


def _parsed(path: Path) -> _File:
    """Return what an annotation file says; memory is that of its bytes and of the fields that are kept."""
    try:
        if isinstance(path, RemotePath):
            return msgspec.json.decode(path.read_bytes().removeprefix(BYTE_ORDER_MARK), type=_File)
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            view = memoryview(content)
            try:
                start = len(BYTE_ORDER_MARK) if content[:3] == BYTE_ORDER_MARK else 0
                with view[start:] as text:
                    return msgspec.json.decode(text, type=_File)
            finally:
                view.release()
    except msgspec.ValidationError as error:
        raise AevlpError(f"{path} is not of the form of a COCO annotation file: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        size = identity_of(path)[0]
        raise AevlpError(
            f"{path} ({size:,} bytes) is not a whole COCO annotation file: {error}; fetch or write it again"
        ) from error
    except ValueError as error:  # mmap's word for an empty file
        raise AevlpError(f"{path} is empty, expected a COCO annotation file") from error
    except OSError as error:
        raise AevlpError(f"cannot read {path}: {error.strerror or error}") from error


def _checked_classes(
    spec: CocoSpec | CocoJsonSpec, root: Path, path: Path, names: tuple[str, ...], report: Report
) -> tuple[str, ...]:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise AevlpError(f"{path}: categories named twice: {', '.join(map(repr, twice))}")
    if not names:
        raise AevlpError(f"{path}: the list of categories is empty, expected at least one")
    stated = class_list(spec, root)
    if isinstance(spec, CocoJsonSpec) and stated is not None:
        _same_classes(path, names, stated, "the manifest's `classes`, which may be left out")
    return names


def _same_classes(path: Path, names: tuple[str, ...], expected: tuple[str, ...], of: str) -> None:
    for number, (found, other) in enumerate(zip_longest(names, expected), 1):
        if found != other:
            words = ["none" if name is None else repr(name) for name in (found, other)]
            raise AevlpError(f"{path}: category {number} is {words[0]}, expected {words[1]} as in {of}")


@dataclass
class _Cells:
    """The label cells that annotations set: rows and columns, and the area of the object in each."""

    rows: np.ndarray
    columns: np.ndarray
    areas: np.ndarray

    def labels(self, shape: tuple[int, int]) -> np.ndarray:
        labels = np.zeros(shape, dtype=np.int8)
        labels[self.rows, self.columns] = 1
        return labels

    def sizes(self, shape: tuple[int, int]) -> np.ndarray:
        sizes = np.zeros(shape)
        np.maximum.at(sizes, (self.rows, self.columns), self.areas)
        return sizes


def _cells(path: Path, annotations: Sequence[_Annotation], row: dict[str, int], column: dict[str, int], report: Report):
    """Return the cells of all annotations; one that names no image or category of the file is reported.

    row: of each image by its id, -1 for one that is left out, with its annotations.
    """
    places = np.full((len(annotations), 2), -1)
    areas = np.zeros(len(annotations))
    for n, annotation in enumerate(annotations):
        try:
            places[n] = row[str(annotation.image_id)], column[str(annotation.category_id)]
        except KeyError:
            if str(annotation.category_id) not in column:
                fault = ("unknown class", f"category {annotation.category_id!r}, which is not among its categories")
            else:
                fault = ("bad row", f"image {annotation.image_id!r}, which is not among its images")
            report(DataError(fault[0], f"{path}, annotation {n + 1} of {len(annotations)}: it names {fault[1]}"))
            continue
        box = annotation.bbox
        areas[n] = annotation.area or (box[2] * box[3] if box and len(box) == 4 else 0.0)
    kept = places[:, 0] >= 0
    return _Cells(places[kept, 0], places[kept, 1], areas[kept])


def _benchmark(path: Path, content: _File, column: dict[str, int], root: Path, image_set: str) -> Listing:
    written = {str(annotation.image_id) for annotation in content.annotations}
    if odd := sorted(name for name in written if not (name.isascii() and name.isdecimal())):
        raise AevlpError(f"{path}: MS COCO numbers its images, found the image id {odd[0]!r}; use format: coco_json")
    number = {name: name.lstrip("0") or "0" for name in written}  # "042" is the image 42
    ids = sorted(set(number.values()))
    place = {name: n for n, name in enumerate(ids)}
    row = {name: place[number[name]] for name in written}

    def stop(error: DataError) -> None:
        raise error

    cells = _cells(path, content.annotations, row, column, stop)
    shape = (len(ids), len(column))
    names = [f"COCO_{image_set}_{name:0>12}" for name in ids]
    paths = [root / image_set / f"{name}.jpg" for name in names]
    return Listing(names, paths, cells.labels(shape), sizes=lambda: cells.sizes(shape))


def _listed(
    path: Path,
    content: _File,
    column: dict[str, int],
    root: Path,
    folder: str,
    taken: dict[str, Path],
    report: Report,
) -> Listing:
    """Return all images of the file; one that stands in it twice, or in a file before it (`taken`), is left out."""
    if not content.images and content.annotations:
        raise AevlpError(f"{path}: the list of images is empty or missing, and annotations name some")
    images: dict[str, str] = {}  # path below the root by image id
    left_out: set[str] = set()
    for number, image in enumerate(content.images, 1):
        where = f"{path}, image {number}"
        try:
            name = (Path(folder) / image_below_root(image.file_name, where)).as_posix()
            if str(image.id) in images:
                raise DataError("listed twice", f"{where}: its id {image.id!r} stands on an image before it too")
            if name in taken:
                kind = "listed twice" if taken[name] == path else "in two splits"
                raise DataError(kind, f"{where}: {image.file_name!r} stands in {taken[name]} too; each may stand once")
        except DataError as error:
            report(error)
            left_out.add(str(image.id))
            continue
        taken[name] = path
        images[str(image.id)] = name
    row = dict.fromkeys(left_out, -1) | {name: n for n, name in enumerate(images)}
    cells = _cells(path, content.annotations, row, column, report)
    shape = (len(images), len(column))
    ids = list(images.values())
    return Listing(ids, [root / name for name in ids], cells.labels(shape), sizes=lambda: cells.sizes(shape))
