"""COCO-style annotation files: MS COCO by the benchmarks' rules, and any other data set in that form."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from posixpath import basename, splitext

import numpy as np

from ..errors import AevlpError, counted
from ..manifest.formats import CocoJsonSpec, CocoSpec
from .class_file import class_list
from .class_list_check import doubts_of_classes
from .coco_categories import category_table, joined_classes
from .coco_file import AnnotationFile, Id, id_text, parsed
from .coco_labels import Cells, cells_of
from .faults import DataError, Remark, Report, image_below_root, not_there
from .image_names import find_images
from .image_table import Listing, Listings


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
    for split, path in paths.items():
        content = parsed(path)
        if content.annotations is None:
            unlabelled.append(_unlabelled(split, path, content))
        elif isinstance(spec, CocoSpec):
            parts[split] = _benchmark(path, content, spec.splits[split])
        else:
            parts[split] = _listed(path, content, spec.images.get(split), report)
        del content  # before the next file is read
    if not parts:
        raise AevlpError(
            f"{spec.name}: no list of annotations in {', '.join(map(str, paths.values()))}: nothing is labelled"
        )
    stated = class_list(spec, root) if isinstance(spec, CocoJsonSpec) else None
    classes = joined_classes([part.cells.table for part in parts.values()], stated)
    found_names = classes.names if isinstance(spec, CocoJsonSpec) and stated is None else ()
    for line in doubts_of_classes(found_names):
        report(DataError("doubtful class", f"{', '.join(map(str, paths.values()))}: {line}"))
    found, remarks = _places(root, parts)
    taken: dict[str, Path] = {}
    splits: dict[str, Listing] = {}
    for (split, part), columns in zip(parts.items(), classes.places, strict=True):
        ids, files, rows = _distinct(part, found[split], taken, report)
        cells, shape = part.cells.of_rows(rows), (len(ids), len(classes.names))
        labels = cells.labels(shape, columns)
        if harmless := cells.report(ids, labels, report):
            text = f"{counted(harmless, 'annotation')} of {part.path} without a category, of images that show every class already"
            remarks.append(Remark("left out", text))
        splits[split] = Listing(
            ids,
            [root / file for file in files],
            labels,
            sizes=lambda cells=cells, shape=shape, columns=columns: cells.sizes(shape, columns),
        )
    return Listings(classes.names, splits, root, list(paths.values()), remarks=classes.remarks + unlabelled + remarks)


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
        f"{path} has no list `annotations`: the labels of its {counted(number, 'image')} are not known, nothing can be "
        f"judged by them and they are left out of the {split} split; aevlp predict labels them",
    )


@dataclass
class _Part:
    """What one file says: n images, each by its number there and its file's name, and the label cells of them.

    folder: below the root, that the images are in; None where nobody says. published: whether the files are named by the rule
    of the benchmark, and looked for nowhere else. stems: whether an image's id is its file's name alone, without ending.
    """

    path: Path
    images: list[tuple[int | str, str]]
    cells: Cells
    folder: str | None
    published: bool = False
    stems: bool = False


def _benchmark(path: Path, content: AnnotationFile, image_set: str) -> _Part:
    """Return the images with an annotation; the files of 2014 are named for their set, later ones as the list of images says."""
    annotations = content.annotations or []
    written = {annotation.image_id for annotation in annotations}
    number = {id_text(image): _number(path, image) for image in written}  # "042" is the image 42
    ids = sorted(set(number.values()))
    place = {name: n for n, name in enumerate(ids)}
    cells = cells_of(
        annotations, category_table(path, content.categories), {k or "": place[n] for k, n in number.items()}
    )
    published = image_set.endswith("2014")
    names = {name: f"COCO_{image_set}_{name:0>12}.jpg" if published else f"{name:0>12}.jpg" for name in ids}
    if content.images is not None and not published:
        listed = {_number(path, image.id): image.file_name or "" for image in content.images}
        if odd := [name for name in ids if name not in listed]:
            raise DataError("bad row", f"{path}: annotations name image {odd[0]}, which is not among its images")
        names = {name: listed[name] for name in ids}
    return _Part(path, list(names.items()), cells, image_set, published, stems=True)


def _number(path: Path, image: Id) -> str:
    found = id_text(image) or ""
    if not (found.isascii() and found.isdecimal()):
        raise AevlpError(f"{path}: MS COCO numbers its images, found the image id {image!r}; use format: coco_json")
    return found.lstrip("0") or "0"


def _listed(path: Path, content: AnnotationFile, folder: str | None, report: Report) -> _Part:
    """Return all images of the file; one whose id is none or stands on another before it is reported and left out."""
    if not content.images and content.annotations:
        raise AevlpError(f"{path}: the list of images is empty or missing, and annotations name some")
    row: dict[str, int] = {}
    images: list[tuple[int | str, str]] = []
    for number, image in enumerate(content.images or (), 1):
        found = id_text(image.id)
        if found is None:
            text = f"its id is {image.id!r}, expected a whole number or text"
            report(DataError("bad row", f"{path}, image {number}: {text}"))
        elif found in row:
            text = f"its id {image.id!r} stands on an image before it too"
            report(DataError("listed twice", f"{path}, image {number}: {text}"))
        else:
            row[found] = len(images)
            images.append((number, image.file_name or ""))
    cells = cells_of(content.annotations or [], category_table(path, content.categories), row)
    return _Part(path, images, cells, folder)


def _places(root: Path, parts: dict[str, _Part]) -> tuple[dict[str, list[str | None]], list[Remark]]:
    """Return the path below the root of each image of each split, None for one that leads out of it, and what is to be said."""
    remarks = []
    for split, part in parts.items():
        if part.folder is None:
            beside = part.path.parent
            part.folder = "."
            if beside != root and ".." not in beside.parts and not _any_in(root, part) and _any_in(beside, part):
                part.folder = beside.relative_to(root).as_posix()
                text = f"the images of the {split} split are looked for beside {part.path}, as `images` names no folder for them"
                remarks.append(Remark("read differently", text))
    named = [(part.folder or ".", name) for part in parts.values() if not part.published for _, name in part.images]
    found = find_images(root, named)
    paths = iter(found.paths)
    placed = {
        split: [f"{part.folder}/{name}" if part.published else next(paths) for _, name in part.images]
        for split, part in parts.items()
    }
    return placed, remarks + found.remarks


def _any_in(folder: Path, part: _Part) -> bool:
    names = (PurePosixPath(name) for _, name in part.images if name)
    return any((folder / name).is_file() for name in names if not name.is_absolute() and ".." not in name.parts)


def _distinct(
    part: _Part, paths: list[str | None], taken: dict[str, Path], report: Report
) -> tuple[list[str], list[str], np.ndarray]:
    """Return the ids and paths of the images that are kept, and the new row of each, -1 for one that is left out.

    taken: the ids so far, and the annotation file that each is from; one that has no path, or stands there, is reported.
    """
    rows = np.full(len(part.images), -1)
    ids: list[str] = []
    files: list[str] = []
    for n, ((number, name), path) in enumerate(zip(part.images, paths, strict=True)):
        where = f"{part.path}, image {number}"
        try:
            file = path if part.published and path is not None else _checked(name, path, where)
            found = splitext(basename(file))[0] if part.stems else file
            if found in taken:
                kind = "listed twice" if taken[found] == part.path else "in two splits"
                raise DataError(kind, f"{where}: {name!r} stands in {taken[found]} too; each may stand once")
        except DataError as error:
            report(error)
            continue
        taken[found] = part.path
        rows[n] = len(ids)
        ids.append(found)
        files.append(file)
    return ids, files, rows


def _checked(name: str, path: str | None, where: str) -> str:
    """Return the path that was found for a name; DataError for a name that is none, or leads to no file of the data set."""
    try:
        image_below_root(name, where)
    except DataError as error:
        if error.kind != "outside the folder" or path is None:
            raise
    assert path is not None
    return path
