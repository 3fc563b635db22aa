"""One image set of a PASCAL VOC data set -> the classes that each image shows: by the class lists, or by XML files."""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ..errors import AevlpError, counted, some, unknown_name
from ..manifest.formats import VocSpec
from .faults import DataError, Remark, Report
from .voc_folder import LabelledFolder
from .voc_lists import NAMED, ClassLists, read_class_lists, read_set
from .voc_xml import Annotation, read_annotation

MAIN = Path("ImageSets", "Main")


@dataclass
class ImageSet:
    """The classes that each image shows, the lists that were read, and what the XML files say where those were."""

    shown: dict[str, list[str]]
    lists: list[Path]
    annotations: dict[str, Annotation] = field(default_factory=dict)


def read_image_set(
    spec: VocSpec,
    split: str,
    classes: tuple[str, ...] | None,
    beside: LabelledFolder,
    report: Report,
    remarks: list[Remark],
) -> ImageSet:
    """Return the image set of a split; what is read otherwise than from whole lists is added to the remarks.

    The lists count where there is one for each class that names every image of the set. Else the XML file of an image counts;
    an image that no class list names and that has no XML file has no label. Raises AevlpError where neither is there, where a
    list lacks images that others name, and where list and XML file disagree.
    """
    image_set, main = spec.splits[split], beside.folder / MAIN
    whole_list = main / f"{image_set}.txt"
    whole = read_set(whole_list) if whole_list.is_file() else None
    if classes is None and (lists := sorted(main.glob(f"*_{image_set}.txt"))):
        listed = ", ".join(path.stem.removesuffix(f"_{image_set}") for path in lists)
        raise AevlpError(f"{spec.name}: {main} has lists of classes: name them in the manifest, as classes: [{listed}]")
    lists = read_class_lists(main, image_set, classes or (), whole)
    images = lists.images() if whole is None else whole
    if lists.flags and not lists.absent and not any(map(lists.without, images)):
        return ImageSet({image: lists.shown(image) for image in images}, lists.files)
    if not images:
        images = _images_of_xml(spec, split, beside)
    found = _by_xml(images, lists, beside, classes, report)
    if not found.annotations and (lists.absent or not lists.flags):
        raise _no_list(lists, whole_list)
    remarks += _said(found, images, lists, beside, split)
    return found


def _images_of_xml(spec: VocSpec, split: str, beside: LabelledFolder) -> list[str]:
    """Return the images of a split that no list gives: those in its folder, or all where there is one split alone."""
    image_set, main = spec.splits[split], beside.folder / MAIN
    if inside := [name for name in beside.xml if image_set in PurePosixPath(name).parts[:-1]]:
        return inside
    if lists := sorted(path.name for path in main.glob("*.txt")):
        raise AevlpError(
            f"{spec.name}: no list {main / image_set}.txt: there are {some(lists, NAMED)}: write the one of the {split} split as "
            f"splits: {{{split}: {Path(lists[0]).stem}}}"
        )
    named = beside.split_folders()
    if len(spec.splits) == 1 and set(named) <= {split}:
        return list(beside.xml)
    way = ", ".join(f"{word}: {folder}" for word, folder in named.items()) or "train: all"
    raise AevlpError(
        f"{spec.name}: no list {main / image_set}.txt and no folder {image_set}/ with XML files in {beside.folder}, so "
        f"the images of the {split} split are not known: write splits: {{{way}}}"
    )


def _by_xml(
    images: list[str], lists: ClassLists, beside: LabelledFolder, classes: tuple[str, ...] | None, report: Report
) -> ImageSet:
    found = ImageSet({}, lists.files)
    cut: defaultdict[str, list[str]] = defaultdict(list)
    for image in images:
        name = beside.id_of(image)
        if name is None and len(lacking := lists.without(image)) < len(lists.flags):
            if lists.absent:
                raise _no_list(lists, lists.absent[0])
            found.shown[image] = lists.shown(image)
            for of in lacking:
                cut[of].append(image)
        elif name is not None and name not in found.annotations:
            try:
                annotation = read_annotation(beside.xml[name])
            except DataError as error:
                report(error)
                continue
            found.annotations[name] = annotation
            found.shown[name] = _shown(annotation, name, beside.xml[name], classes, report)
            _compare(found.shown[name], lists, image, beside.xml[name])
    for of, lacked in cut.items():
        raise AevlpError(
            f"{lists.path(of)} lacks images that other lists name: {some(lacked, NAMED)}: give each a line with 1 or -1, or "
            f"fetch the list again"
        )
    return found


def _shown(annotation: Annotation, name: str, path: Path, classes: tuple[str, ...] | None, report: Report) -> list[str]:
    shown: dict[str, None] = {}
    for number, thing in enumerate(annotation.things, 1):
        if classes is not None and thing.name not in classes:
            text = f"{path}, object {number}: {unknown_name('class', thing.name, classes)}"
            report(DataError("unknown class", text, name))
        elif not thing.difficult:
            shown[thing.name] = None
    return list(shown)


def _compare(shown: list[str], lists: ClassLists, image: str, path: Path) -> None:
    for of, flags in lists.flags.items():
        if image in flags and flags[image] != (of in shown):
            raise AevlpError(
                f"{path} and {lists.path(of)} disagree on whether {image} shows {of!r}: correct one of them, or remove the lists "
                f"of classes to have the XML files read"
            )


def _no_list(lists: ClassLists, path: Path) -> AevlpError:
    missing = lists.absent[0] if lists.absent else path
    needed = f"one for each of {len(lists.absent) + len(lists.flags)} classes, or an XML file for each image"
    return AevlpError(f"no list {missing}: the image set {lists.image_set} needs {needed}")


def _said(found: ImageSet, images: list[str], lists: ClassLists, beside: LabelledFolder, split: str) -> list[Remark]:
    remarks = []
    if read := len(found.annotations):
        why = "the lists of classes are not whole" if lists.flags else "there are no lists of classes"
        text = f"the labels of {counted(read, 'image')} of the {split} split are read from XML files in {beside.folder}: {why}"
        remarks.append(Remark("read differently", text))
    silent = [image for image in images if image not in found.shown and beside.id_of(image) is None]
    if silent:
        text = f"{counted(len(silent), 'image')} of the {split} split without a label, in no class's list and without an XML file"
        remarks.append(Remark("left out", f"{text}: {some(silent, NAMED)}"))
    if empty := [name for name in found.annotations if not found.shown[name]]:
        text = f"{counted(len(empty), 'image')} of the {split} split without an object that is not difficult"
        remarks.append(Remark("left out", f"{text}: {some(empty, NAMED)}"))
    return remarks
