"""COCO-style annotation files: MS COCO 2014 by the benchmarks' rules, and any other data set in that form."""

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from ..errors import AevlpError
from ..specs import CocoJsonSpec, CocoSpec
from .faults import DataError, Report, image_below_root, not_there
from .image_table import Listing, Listings
from .text_lists import class_list

Id = int | str


class _Category(msgspec.Struct, gc=False):
    id: Id
    name: str


class _Image(msgspec.Struct, gc=False):
    id: Id
    file_name: str


class _Annotation(msgspec.Struct, gc=False):
    image_id: Id
    category_id: Id
    area: float | None = None
    bbox: tuple[float, float, float, float] | None = None  # left, upper, width, height


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
    for split, path in paths.items():
        content = _parsed(path)
        names = tuple(category.name for category in content.categories)
        if classes is None:
            classes = _checked_classes(spec, root, path, names, report)
        elif names != classes:
            raise AevlpError(f"{path}: its {len(names)} categories are not the {len(classes)} of the other split")
        column = {str(category.id): n for n, category in enumerate(content.categories)}
        if len(column) != len(names):
            raise AevlpError(f"{path}: two categories have one id")
        if isinstance(spec, CocoSpec):
            splits[split] = _benchmark(path, content, column, root, spec.splits[split])
        else:
            folder = spec.images.get(split, ".")
            splits[split] = _listed(path, content, column, root, folder, report)
        del content  # before the next file is read
    assert classes is not None
    return Listings(classes, splits, root, list(paths.values()))


def _parsed(path: Path) -> _File:
    """Return what an annotation file says; memory is that of its bytes and of the fields that are kept."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            view = memoryview(content)
            try:
                return msgspec.json.decode(view, type=_File)
            finally:
                view.release()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        size = path.stat().st_size
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
        raise AevlpError(f"{path}: categories named twice: {', '.join(twice)}")
    if not names:
        raise AevlpError(f"{path}: the list of categories is empty, expected at least one")
    stated = class_list(spec, root)
    if isinstance(spec, CocoJsonSpec) and stated is not None and stated != names:
        raise AevlpError(
            f"{path} has {len(names)} categories and the manifest lists {len(stated)} classes, or in another order: leave "
            f"`classes` out, the file's are taken"
        )
    return names


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
    """Return the cells of all annotations; one that names no image or category of the file is reported."""
    places = np.zeros((len(annotations), 2), dtype=np.int64)
    areas = np.zeros(len(annotations))
    kept = np.ones(len(annotations), dtype=bool)
    for n, annotation in enumerate(annotations):
        try:
            places[n] = row[str(annotation.image_id)], column[str(annotation.category_id)]
        except KeyError:
            kept[n] = False
            if str(annotation.category_id) not in column:
                fault = ("unknown class", f"category {annotation.category_id!r}, which is not among its categories")
            else:
                fault = ("bad row", f"image {annotation.image_id!r}, which is not among its images")
            report(DataError(fault[0], f"{path}, annotation {n + 1} of {len(annotations)}: it names {fault[1]}"))
            continue
        box = annotation.bbox
        areas[n] = annotation.area or (box[2] * box[3] if box else 0.0)
    return _Cells(places[kept, 0], places[kept, 1], areas[kept])


def _benchmark(path: Path, content: _File, column: dict[str, int], root: Path, image_set: str) -> Listing:
    ids = sorted({str(annotation.image_id) for annotation in content.annotations})
    if odd := [name for name in ids if not name.isdecimal()]:
        raise AevlpError(f"{path}: MS COCO numbers its images, found the image id {odd[0]!r}; use format: coco_json")
    row = {name: n for n, name in enumerate(ids)}

    def stop(error: DataError) -> None:
        raise error

    cells = _cells(path, content.annotations, row, column, stop)
    shape = (len(ids), len(column))
    names = [f"COCO_{image_set}_{int(name):012d}" for name in ids]
    paths = [root / image_set / f"{name}.jpg" for name in names]
    return Listing(names, paths, cells.labels(shape), sizes=lambda: cells.sizes(shape))


def _listed(path: Path, content: _File, column: dict[str, int], root: Path, folder: str, report: Report) -> Listing:
    if not content.images and content.annotations:
        raise AevlpError(f"{path}: the list of images is empty or missing, and annotations name some")
    images: dict[str, str] = {}  # path below the root by image id
    taken: dict[str, str] = {}
    for number, image in enumerate(content.images, 1):
        where = f"{path}, image {number}"
        try:
            name = (Path(folder) / image_below_root(image.file_name, where)).as_posix()
            if name in taken or str(image.id) in images:
                raise DataError(
                    "listed twice", f"{where}: {image.file_name!r} or its id {image.id!r} stands there twice"
                )
        except DataError as error:
            report(error)
            continue
        taken[name] = images[str(image.id)] = name
    row = {name: n for n, name in enumerate(images)}
    cells = _cells(path, content.annotations, row, column, report)
    shape = (len(images), len(column))
    ids = list(images.values())
    return Listing(ids, [root / name for name in ids], cells.labels(shape), sizes=lambda: cells.sizes(shape))
