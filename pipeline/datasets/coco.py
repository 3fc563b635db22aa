"""COCO-style annotation files: MS COCO by the benchmarks' rules, and any other data set in that form."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import AevlpError
from ..specs import CocoJsonSpec, CocoSpec
from .coco_categories import CategoryTable, category_table, joined_classes
from .coco_file import Annotation, AnnotationFile, Id, id_text, object_area, parsed
from .faults import DataError, Remark, Report, image_below_root, not_there, refuse
from .image_table import Listing, Listings
from .text_lists import class_list


def read(spec: CocoSpec | CocoJsonSpec, root: Path, report: Report) -> Listings:
    """Return the images of a COCO data set; classes are the `categories` in the order of the first annotation file.

    MS COCO (`format: coco`): the images with at least one annotation, crowds included, sorted by their ids as decimal text;
    an image's id here is its file's name without .jpg. Any other (`format: coco_json`): the `images` in the order of the
    file, those without an annotation too; an image's id is its path below the data set's folder. The images of a file that
    has no list of annotations are not labelled: they are left out, and said.
    Raises AevlpError for a file that is missing, cut short or of another form, and for categories that cannot be told apart.
    """
    paths = _annotation_files(spec, root)
    parts: dict[str, _Part] = {}
    unlabelled: list[Remark] = []
    taken: dict[str, Path] = {}
    for split, path in paths.items():
        content = parsed(path)
        if content.annotations is None:
            unlabelled.append(_unlabelled(split, path, content))
            continue
        table = category_table(path, content.categories)
        if isinstance(spec, CocoSpec):
            parts[split] = _benchmark(path, content, table, root, spec.splits[split], taken)
        else:
            parts[split] = _listed(path, content, table, root, spec.images.get(split, "."), taken, report)
        del content  # before the next file is read
    if not parts:
        raise AevlpError(
            f"{spec.name}: no list of annotations in {', '.join(map(str, paths.values()))}: nothing is labelled"
        )
    stated = class_list(spec, root) if isinstance(spec, CocoJsonSpec) else None
    classes = joined_classes([part.table for part in parts.values()], stated)
    splits = {
        split: part.listing(places, len(classes.names))
        for (split, part), places in zip(parts.items(), classes.places, strict=True)
    }
    return Listings(classes.names, splits, root, list(paths.values()), remarks=classes.remarks + unlabelled)


def _annotation_files(spec: CocoSpec | CocoJsonSpec, root: Path) -> dict[str, Path]:
    """Return each split's file; the error for one that is not there names where one of that name is."""
    if isinstance(spec, CocoSpec):
        paths = {split: root / "annotations" / f"instances_{name}.json" for split, name in spec.splits.items()}
    else:
        paths = {split: root / name for split, name in spec.annotations.items()}
    for split, path in paths.items():
        if path.is_file():
            continue
        patterns = (f"{above}{path.name}" for above in ("", "*/", "*/*/"))
        found = next((file for pattern in patterns for file in root.glob(pattern) if file.is_file()), None)
        if found is None:
            raise not_there(spec, root, path)
        if isinstance(spec, CocoJsonSpec):
            way = f"write annotations: {{{split}: {found.relative_to(root).as_posix()}}}"
        elif found.parent.name == "annotations":
            way = f"pass {found.parent.parent} as --data-root"
        else:
            way = f"put it into a folder annotations/ beside {spec.splits[split]}/"
        raise AevlpError(f"{spec.name}: no {path}: {found} is there: {way}")
    return paths


def _unlabelled(split: str, path: Path, content: AnnotationFile) -> Remark:
    """Return what is said of a split without labels, of which nothing can be judged; AevlpError for the training split."""
    if split == "train":
        raise AevlpError(
            f"{path} has no list `annotations`, so no label of a training image is known: export it with its annotations; an "
            f"empty list would say that no image shows any class"
        )
    number = len(content.images or ())
    return Remark(
        "left out",
        f"{path} has no list `annotations`: the labels of its {number:,} images are not known, nothing can be judged by them "
        f"and they are left out of the {split} split; aevlp predict labels them",
    )


@dataclass
class _Cells:
    """The label cells that annotations set: rows, columns by the file's own categories, and the area of the object in each."""

    rows: np.ndarray
    columns: np.ndarray
    areas: np.ndarray


@dataclass
class _Part:
    """What one file says: n images, the cells that its annotations set, and its categories."""

    ids: list[str]
    paths: list[Path]
    cells: _Cells
    table: CategoryTable

    def listing(self, places: np.ndarray, classes: int) -> Listing:
        """Return the images with labels by the classes of all files; `places`: of the file's categories among those."""
        rows, columns, shape = self.cells.rows, places[self.cells.columns], (len(self.ids), classes)
        labels = np.zeros(shape, dtype=np.int8)
        labels[rows, columns] = 1

        def sizes() -> np.ndarray:
            if unknown := int((~np.isfinite(self.cells.areas)).sum()):
                raise AevlpError(
                    f"{self.table.path}: {unknown:,} annotations have an area or box that is no size in pixels"
                )
            largest = np.zeros(shape)
            np.maximum.at(largest, (rows, columns), self.cells.areas)
            return largest

        return Listing(self.ids, self.paths, labels, sizes=sizes)


def _cells(
    annotations: Sequence[Annotation], table: CategoryTable, row: dict[str, int], ids: list[str], report: Report
) -> _Cells:
    """Return the cells of all annotations, noting which categories they use; one that names no image or category is reported.

    row: of each image by its id, -1 for one that is left out, with its annotations. ids: of the images in the table, by row.
    """
    column: dict[str | None, int] = {number: n for n, number in enumerate(table.ids)}
    rows: dict[str | None, int] = {**row}
    places = np.full((len(annotations), 2), -1)
    areas = np.zeros(len(annotations))
    for n, annotation in enumerate(annotations):
        image, category = id_text(annotation.image_id), id_text(annotation.category_id)
        try:
            places[n] = rows[image], column[category]
        except KeyError:
            kept = rows.get(image, -1)
            where = f"{table.path}, annotation {n + 1} of {len(annotations)}"
            report(_fault(annotation, where, category in column, ids[kept] if kept >= 0 else None))
            continue
        areas[n] = object_area(annotation)
    table.used[places[places[:, 1] >= 0, 1]] = True
    kept = places[:, 0] >= 0
    return _Cells(places[kept, 0], places[kept, 1], areas[kept])


def _fault(annotation: Annotation, where: str, of_a_category: bool, image: str | None) -> DataError:
    given = annotation.category_id
    if of_a_category:
        return DataError("bad row", f"{where}: it names image {annotation.image_id!r}, which is not among its images")
    if given is None or given != given:  # NaN
        text = "its `category_id` is null, so what it shows is not known: give it the id of a category, or remove it"
        return DataError("bad row", f"{where}: {text}", image)
    return DataError("unknown class", f"{where}: it names category {given!r}, which is not among its categories", image)


def _benchmark(
    path: Path, content: AnnotationFile, table: CategoryTable, root: Path, image_set: str, taken: dict[str, Path]
) -> _Part:
    """Return the images with an annotation; those of 2014 are named for their set, later ones as the file or MS COCO has them."""
    annotations = content.annotations or []
    written = {annotation.image_id for annotation in annotations}
    number = {id_text(image): _number(path, image) for image in written}  # "042" is the image 42
    ids = sorted(set(number.values()))
    if image_set.endswith("2014"):
        names = [f"COCO_{image_set}_{name:0>12}.jpg" for name in ids]
    else:
        names = _file_names(path, content, ids, taken)
    place = {name: n for n, name in enumerate(ids)}
    row = {found: place[name] for found, name in number.items()}
    stems = [name.rpartition(".")[0] or name for name in names]
    return _Part(
        stems, [root / image_set / name for name in names], _cells(annotations, table, row, stems, refuse), table
    )


def _number(path: Path, image: Id) -> str:
    found = id_text(image) or ""
    if not (found.isascii() and found.isdecimal()):
        raise AevlpError(f"{path}: MS COCO numbers its images, found the image id {image!r}; use format: coco_json")
    return found.lstrip("0") or "0"


def _file_names(path: Path, content: AnnotationFile, ids: list[str], taken: dict[str, Path]) -> list[str]:
    """Return the images' files; `taken`: the image numbers of the files before, each of which is one picture."""
    named = {_number(path, image.id): image.file_name or "" for image in content.images or ()}
    names = []
    for name in ids:
        where = f"{path}, image {name}"
        if content.images is not None and name not in named:
            raise DataError("bad row", f"{where}: annotations name it, and it is not among its images")
        if name in taken:
            raise DataError("in two splits", f"{where}: it stands in {taken[name]} too; each may stand once")
        taken[name] = path
        names.append(image_below_root(named.get(name, f"{name:0>12}.jpg"), where))
    return names


def _listed(
    path: Path,
    content: AnnotationFile,
    table: CategoryTable,
    root: Path,
    folder: str,
    taken: dict[str, Path],
    report: Report,
) -> _Part:
    """Return all images of the file; one that stands in it twice, or in a file before it (`taken`), is left out."""
    if not content.images and content.annotations:
        raise AevlpError(f"{path}: the list of images is empty or missing, and annotations name some")
    images: dict[str, str] = {}  # path below the root by image id
    left_out: set[str] = set()
    for number, image in enumerate(content.images or (), 1):
        where = f"{path}, image {number}"
        found = id_text(image.id)
        try:
            if found is None:
                raise DataError("bad row", f"{where}: its id is {image.id!r}, expected a whole number or text")
            name = (Path(folder) / image_below_root(image.file_name or "", where)).as_posix()
            if found in images:
                raise DataError("listed twice", f"{where}: its id {image.id!r} stands on an image before it too")
            if name in taken:
                kind = "listed twice" if taken[name] == path else "in two splits"
                raise DataError(kind, f"{where}: {image.file_name!r} stands in {taken[name]} too; each may stand once")
        except DataError as error:
            report(error)
            if found is not None:
                left_out.add(found)
            continue
        taken[name] = path
        images[found] = name
    row = dict.fromkeys(left_out, -1) | {name: n for n, name in enumerate(images)}
    ids = list(images.values())
    cells = _cells(content.annotations or [], table, row, ids, report)
    return _Part(ids, [root / name for name in ids], cells, table)
