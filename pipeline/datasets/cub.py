"""CUB-200-2011 with its 312 attributes as classes: images.txt, train_test_split.txt, attributes/image_attribute_labels.txt."""

from pathlib import Path

import numpy as np

from ..errors import AevlpError
from ..labels.names import named_twice
from ..manifest.formats import CubSpec
from .faults import Report, image_below_root, not_there
from .image_table import Listing, Listings
from .text_lists import distinct_ids, read_lines


def read(spec: CubSpec, root: Path, report: Report) -> Listings:
    """Return the images in the order of images.txt, split by train_test_split.txt (1 = train).

    Labels are read one after another, a line for each image and attribute, the third field alone: a few lines of the
    official file carry more fields than they should. Raises AevlpError where a file is missing or of another length.
    """
    folder = root if (root / "images.txt").is_file() else root / spec.folder
    images_file, split_file = folder / "images.txt", folder / "train_test_split.txt"
    labels_file = folder / "attributes" / "image_attribute_labels.txt"
    for path in (images_file, split_file, labels_file):
        if not path.is_file():
            raise not_there(spec, root, path)
    classes, class_files = _classes(spec, root, folder)
    names, flags = _pairs(images_file), _pairs(split_file)
    labels = _labels(labels_file, len(names), len(classes))
    for number, name in names.items():
        image_below_root(name, f"{images_file}, image {number}")
        if flags.get(number) not in ("0", "1"):
            raise AevlpError(
                f"{split_file}: expected 1 (train) or 0 (test) for the image {number} of {images_file.name}, found "
                f"{flags.get(number, 'no line for it')!r}"
            )
    image_root = folder / "images"
    in_training = np.array([flags[number] == "1" for number in names], dtype=bool)
    everything = list(names.values())
    known: set[str] = set()
    splits = {}
    for split, rows in (("train", in_training), ("test", ~in_training)):
        listed = [everything[row] for row in np.flatnonzero(rows)]
        splits[split] = Listing(distinct_ids(listed, known), [image_root / name for name in listed], labels[rows])
    return Listings(classes, splits, image_root, [images_file, split_file, labels_file, *class_files])


def _classes(spec: CubSpec, root: Path, folder: Path) -> tuple[tuple[str, ...], list[Path]]:
    """Return the attributes' names: those of attributes.txt where it is there, as many as the manifest's."""
    for path in (root / "attributes.txt", folder / "attributes" / "attributes.txt", folder / "attributes.txt"):
        if path.is_file():
            names = tuple(_pairs(path).values())
            if twice := named_twice(names):
                raise AevlpError(f"{path}: attributes named twice: {', '.join(twice)}")
            if len(names) != len(spec.classes):
                raise AevlpError(
                    f"{path} names {len(names)} attributes, expected the {len(spec.classes)} of the manifest"
                )
            return names, [path]
    return spec.classes, []


def _pairs(path: Path) -> dict[str, str]:
    """Return the word of each line by its number, in their order; AevlpError where a number stands on two lines."""
    pairs: dict[str, str] = {}
    for number, line in enumerate(read_lines(path, "a list"), 1):
        fields = line.split(maxsplit=1)
        if not fields:
            continue
        if len(fields) != 2:
            raise AevlpError(f"{path}, line {number}: expected a number and a word, found {line.strip()!r}")
        if fields[0] in pairs:
            raise AevlpError(
                f"{path}, line {number}: the number {fields[0]} stands on a line before it, for {pairs[fields[0]]!r}"
            )
        pairs[fields[0]] = fields[1].strip()
    return pairs


def _labels(path: Path, images: int, classes: int) -> np.ndarray:
    expected = images * classes
    labels = np.zeros(expected, dtype=np.int8)
    count = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                fields = line.split(None, 3)
                if not fields:
                    continue
                flag = fields[2] if len(fields) > 2 else b""
                if flag not in (b"0", b"1"):
                    found = line.strip()[:60].decode(errors="replace")
                    raise AevlpError(f"{path}, line {number}: expected image, attribute and 0 or 1, found {found!r}")
                if count < expected:
                    labels[count] = flag == b"1"
                count += 1
    except OSError as error:
        raise AevlpError(f"cannot read {path}: {error.strerror or error}") from error
    if count != expected:
        raise AevlpError(
            f"{path} holds {count:,} labels, expected {expected:,}: {classes} for each of the {images:,} images of images.txt"
        )
    return labels.reshape(images, classes)
