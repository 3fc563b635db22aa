"""NUS-WIDE, 81 concepts: Cole et al.'s formatted files where they are there, else the official lists."""

from pathlib import Path

import numpy as np

from ..errors import AevlpError
from ..manifest.formats import NusWideSpec
from .faults import Report, image_below_root, not_there
from .formatted import read_formatted
from .image_table import Listing, Listings
from .text_lists import distinct_ids, read_lines

OFFICIAL_SPLITS = {"train": "Train", "test": "Test"}


def read(spec: NusWideSpec, root: Path, report: Report) -> Listings:
    """Return the images of whichever variant is in the folder, in its own order; images without any positive included.

    The two variants differ (150,000 and 161,789 training images); a cache records the hashes of the files that were read.
    An image that is listed twice keeps both rows, the second as id#2.
    Official: ImageList/{Train,Test}Imagelist.txt and Groundtruth/TrainTestLabels/Labels_<concept>_{Train,Test}.txt, a 0 or 1
    for each image of the list. Raises AevlpError where a file is missing or its length is another.
    """
    image_root = root / spec.images if (root / spec.images).is_dir() else root
    if (root / "formatted_train_images.npy").exists():
        return read_formatted(spec, root, root, image_root, spec.classes)
    if not (root / "ImageList" / "TrainImagelist.txt").is_file():
        raise not_there(spec, root, root / "formatted_train_images.npy and no ImageList/TrainImagelist.txt")
    concepts = root / "ConceptsList" / "Concepts81.txt"
    files: list[Path] = []
    if concepts.is_file():
        names = [line.strip() for line in read_lines(concepts, "the concepts in") if line.strip()]
        if sorted(names) != sorted(spec.classes):
            odd = sorted(set(names) ^ set(spec.classes)) or sorted(name for name in names if names.count(name) > 1)
            raise AevlpError(
                f"{concepts} names {len(names)} concepts, which are not the {len(spec.classes)} of the manifest, first "
                f"{odd[0]!r}"
            )
        files.append(concepts)
    splits: dict[str, Listing] = {}
    known: set[str] = set()
    for split, word in OFFICIAL_SPLITS.items():
        listed = root / "ImageList" / f"{word}Imagelist.txt"
        images = [
            image_below_root(line.strip().replace("\\", "/"), f"{listed}, line {number}")
            for number, line in enumerate(_lines(spec, root, listed, "the image list"), 1)
            if line.strip()
        ]
        labels = np.zeros((len(images), len(spec.classes)), dtype=np.int8)
        files.append(listed)
        for column, name in enumerate(spec.classes):
            path = root / "Groundtruth" / "TrainTestLabels" / f"Labels_{name}_{word}.txt"
            labels[:, column] = _flags(_lines(spec, root, path, "the labels in"), path, listed, len(images))
            files.append(path)
        splits[split] = Listing(distinct_ids(images, known), [image_root / name for name in images], labels)
    return Listings(spec.classes, splits, image_root, files)


def _lines(spec: NusWideSpec, root: Path, path: Path, what: str) -> list[str]:
    if not path.is_file():
        raise not_there(spec, root, path)
    return read_lines(path, what)


def _flags(lines: list[str], path: Path, listed: Path, images: int) -> list[int]:
    flags = [line.strip() for line in lines if line.strip()]
    for number, flag in enumerate(flags, 1):
        if flag not in ("0", "1"):
            raise AevlpError(f"{path}, label {number}: expected 0 or 1, found {flag!r}")
    if len(flags) != images:
        raise AevlpError(
            f"{path} holds {len(flags):,} labels and {listed.name} lists {images:,} images: they must be as many"
        )
    return [int(flag) for flag in flags]
