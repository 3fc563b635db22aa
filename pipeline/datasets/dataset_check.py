"""A data set read once, every image of it opened -> what is wrong with it, and how its labels are spread."""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from ..errors import AevlpError, ImageError
from ..files.image_formats import MAX_PIXELS
from ..images.read import read_image
from ..labels.codes import NEGATIVE, POSITIVE
from ..labels.splits import SPLITS
from ..labels.usage import LabelUse
from ..manifest.formats import DatasetSpec
from . import DataError, ImageTable, load_images
from .image_table import use_of
from .near_names import hints

# Whether training would go wrong with a fault of this kind, by what is said of it.
KINDS = {
    "cannot be read": True,
    "setting refused": True,
    "bad row": True,
    "unknown split": True,
    "outside the folder": True,
    "listed twice": True,
    "in two splits": True,
    "unknown class": True,
    "doubtful class": True,
    "labels disagree": True,
    "class named twice": True,
    "missing image": True,
    "unreadable image": True,
    "nothing to train on": True,
    "duplicate": False,
    "without a positive": False,
    "class never used": False,
    "class not in training": False,
    "counts differ": False,
    "read differently": False,
    "left out": False,
    "nearly flat": False,
}
FLAT = 16  # levels of 255 that an image lies within: 12 bits in a file of 16 that does not say so reach up to 15
BLOCK = 1024  # images handed to the threads at a time
COMPARED = 20  # missing images whose nearest file is looked for


@dataclass(frozen=True)
class Finding:
    """One fault: its kind, a key of `KINDS`, and a line that says where."""

    kind: str
    text: str

    @property
    def serious(self) -> bool:
        """Whether training would go wrong."""
        return KINDS[self.kind]


@dataclass
class Checked:
    """What a check found. images: how many were opened. classes: positives in each split by class; per_image: how many images
    of each split have how many positives. used: how many labels of the training images are used, None where none can be read."""

    findings: list[Finding] = field(default_factory=list)
    images: int = 0
    classes: dict[str, dict[str, int]] = field(default_factory=dict)
    per_image: dict[str, dict[int, int]] = field(default_factory=dict)
    used: LabelUse | None = None

    def of_kind(self, kind: str) -> list[str]:
        """Return the lines of one kind."""
        return [finding.text for finding in self.findings if finding.kind == kind]


def check_dataset(
    spec: DatasetSpec,
    root: Path,
    workers: int | None = None,
    begin: Callable[[int], None] = lambda images: None,
    done: Callable[[int], None] = lambda images: None,
    max_pixels: int = MAX_PIXELS,
) -> Checked:
    """Return everything that is wrong with a data set; no fault stops the reading.

    workers: how many images are opened at a time, None for one a core. begin: is told how many images there are; done: how
    many more have been opened. max_pixels: of the largest image that is opened.
    """
    faults: list[DataError] = []
    result = Checked()

    def found(kind: str, text: str) -> None:
        result.findings.append(Finding(kind, text))

    try:
        images = load_images(spec, root, report=faults.append)
        failed = None
    except AevlpError as error:
        images, failed = None, error
    for fault in faults:
        found(fault.kind, str(fault))
    if failed is not None:  # after the faults, of which it may come
        found("cannot be read", str(failed))
    if images is None:
        return result
    for remark in images.remarks:
        found(remark.kind, remark.text)
    result.images = len(images)
    result.used = use_of(images)
    begin(len(images))
    _check_images(spec, images, workers or os.cpu_count() or 1, max_pixels, found, done)
    _check_labels(spec, images, {fault.image for fault in faults}, result, found)
    return result


def _check_images(
    spec: DatasetSpec,
    images: ImageTable,
    workers: int,
    max_pixels: int,
    found: Callable[[str, str], None],
    done: Callable[[int], None],
) -> None:
    names = images.relative_paths()
    same: defaultdict[bytes, list[int]] = defaultdict(list)
    missing: dict[int, str] = {}
    for row, outcome in enumerate(_opened(images.paths.tolist(), workers, max_pixels)):
        done(1)
        if isinstance(outcome, ImageError):
            if outcome.status == "missing":
                missing[row] = str(outcome)
            else:
                found("unreadable image", str(outcome))
        else:
            same[outcome.pixels].append(row)
            if outcome.flat:
                found("nearly flat", f"{names[row]}: {outcome.flat}")
    if missing:
        for line, hint in zip(missing.values(), hints(spec, images, list(missing), COMPARED), strict=True):
            found("missing image", f"{line}{hint}")
    for rows in same.values():
        if len(rows) < 2:
            continue
        splits = sorted({str(images.split[row]) for row in rows}, reverse=True)
        listed = ", ".join(f"{names[row]} ({images.split[row]})" for row in rows[:5]) + ", …" * (len(rows) > 5)
        if len({names[row] for row in rows}) < len(rows):
            text = f"{listed}: the image is listed {len(rows)} times"
        else:
            text = f"{listed}: the same picture"
        found("in two splits" if len(splits) > 1 else "duplicate", text)


def _opened(paths: list[Path], workers: int, max_pixels: int) -> Iterator["_Seen | ImageError"]:
    """Yield for each image, in order, what is to be known of it or why it cannot be read."""
    waiting = iter(paths)
    with ThreadPoolExecutor(workers) as threads:
        while block := list(islice(waiting, BLOCK)):
            yield from threads.map(partial(_seen, max_pixels=max_pixels), block)


@dataclass(frozen=True)
class _Seen:
    """pixels: a hash of them. flat: of an image that is nearly of one colour, a line that says so, else ""."""

    pixels: bytes
    flat: str


def _seen(path: Path, max_pixels: int) -> _Seen | ImageError:
    try:
        image = read_image(path, max_pixels=max_pixels)
    except ImageError as error:
        return error
    pixels = hashlib.blake2b(image.tobytes(), digest_size=16, key=repr(image.size).encode()).digest()
    return _Seen(pixels, _flat(image))


def _flat(image: Image.Image) -> str:
    """Return what is to be said of an image whose levels lie close together in each channel, "" of any other."""
    found: Any = image.getextrema()
    ranges: dict[tuple[int, int], None] = dict.fromkeys(found)
    if any(high - low >= FLAT for low, high in ranges):
        return ""
    between = ", ".join(f"{low} and {high}" for low, high in ranges)
    dark = "; if these are 12 bits in a file of 16, spread them over all 16" * (max(ranges)[1] < FLAT)
    return f"its levels lie between {between} of 255{dark}"


def _check_labels(
    spec: DatasetSpec,
    images: ImageTable,
    misread: set[str | None],
    result: Checked,
    found: Callable[[str, str], None],
) -> None:
    labels = images.observed == POSITIVE if images.truth is None else images.truth == 1
    training = images.split == "train"
    positives = labels.sum(axis=1)
    absent = (images.observed == NEGATIVE).any(axis=1) & (images.truth is None)
    labelled = spec.format != "images"  # of which nobody gave a label
    for row in (positives == 0).nonzero()[0].tolist() if labelled else ():
        name = str(images.ids[row])
        if name not in misread:  # of which an unknown class was said already
            what = "every label it has is absent" if absent[row] else "it has no label"
            found("without a positive", f"{name}: {what}")
    present = [split for split in SPLITS if split != "val" or (images.split == split).any()]
    for split in present:
        rows = images.split == split
        result.per_image[split] = dict(sorted(Counter(positives[rows].tolist()).items()))
    counts = {split: labels[images.split == split].sum(axis=0).tolist() for split in present}
    result.classes = {
        name: {split: int(counts[split][column]) for split in counts} for column, name in enumerate(images.classes)
    }
    for name, of_class in result.classes.items() if labelled else ():
        if not any(of_class.values()):
            found("class never used", f"{name}: no image shows it")
        elif not of_class.get("train"):
            others = " and ".join(f"{count} {split}" for split, count in of_class.items() if count)
            found("class not in training", f"{name}: {others} images show it and no training image does")
    if int(training.sum()) < 1 or ("val" not in present and int(training.sum()) < 3):
        part = "" if "val" in present else ", of which a fifth is for validation"
        found("nothing to train on", f"{int(training.sum())} training images{part}")
    elif labelled and not (images.observed[training] == POSITIVE).any():
        found("nothing to train on", "no training image has an observed positive")
    found_counts: dict[str, Any] = {
        "classes": len(images.classes),
        "train": int(training.sum()),
        "test": int((images.split == "test").sum()),
    }
    for kind, expected in spec.expected.model_dump().items():
        if expected not in (None, found_counts[kind]):
            found("counts differ", f"{kind}: {found_counts[kind]:,}, the published data set has {expected:,}")
