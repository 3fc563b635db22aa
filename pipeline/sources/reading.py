"""What the form of a source shows -> its entry, read once to see that its labels are sane, and the lines that say it."""

from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import DataError, ImageTable, load_images
from ..datasets.content_split import places_by_content, split_at
from ..datasets.near_names import hints
from ..errors import AevlpError, counted, some
from ..files.stamps import file_size
from ..labels.codes import POSITIVE
from ..labels.splits import SPLITS
from ..manifest.formats import DatasetSpec
from .checked_entry import checked_entry, require_format
from .made_split import SHARES, shares_for
from .understood import Draft, Given, Understood

SHOWN = 5  # classes that are named
FEWEST = 3  # images: two to train on and one to validate by


def read(source: Path, name: str, draft: Draft, given: Given, forgiving: bool = False) -> Understood:
    """Return what a source is understood as, its labels read and its files there; a split made where nobody gave one.

    Raises AevlpError for faulty labels, fewer than two classes or three images, a class of `given` that no image has, and a part
    of the split that would be empty.
    """
    require_format(source, draft, given)
    entry: dict[str, Any] = {"title": name, **draft.entry, **given.keys}
    if given.classes is not None:
        entry["classes"] = list(given.classes)
    asked = checked_entry(source, name, entry, draft.root, given).split_by
    entry.pop("split_by", None)
    spec = checked_entry(source, name, entry, draft.root, given)
    images = _images(spec, draft.root, forgiving)
    _require_sane(draft, spec, images, given)
    missing = [] if forgiving else _missing(spec, images)
    split, said = images.split, draft.splits
    if asked is not None or _is_to_be_made(draft, images, given):
        if asked is not None:
            _require_no_split(draft, images)
        places = places_by_content(images.paths.tolist(), images.ids.tolist())
        labelled = np.asarray(_present(images).any(axis=1))
        shares = shares_for(places, labelled) if asked is None else asked.content
        if shares is not None:
            entry["split_by"] = {"content": shares}
            split, said = split_at(places, shares), "the hash of each image's content"
            said += _why(shares) if asked is None else ""
            _require_parts(draft.place, split, shares)
    lines = (f"{name}: {draft.what}", _labels_line(draft, images), _split_line(split, said, draft, images))
    return Understood(source, name, entry, draft.root, (*lines, *missing))


def _is_to_be_made(draft: Draft, images: ImageTable, given: Given) -> bool:
    made = not given.says("split_by") and draft.labelled and draft.splits is None
    return made and set(images.split.tolist()) == {"train"}


def _why(shares: dict[str, float]) -> str:
    if shares == SHARES:
        return ""
    return ", in shares that leave a label in each part" + (
        "" if "test" in shares else "; too few for a part to test by"
    )


def _require_no_split(draft: Draft, images: ImageTable) -> None:
    if not draft.labelled:
        raise AevlpError(
            f"{draft.place}: images without labels are all for training, there is nothing to test by: leave "
            "--split-by out"
        )
    if draft.splits is not None or set(images.split.tolist()) != {"train"}:
        raise AevlpError(
            f"{draft.place}: {draft.splits or 'the source'} says of which split each image is: leave --split-by out"
        )


def _images(spec: DatasetSpec, root: Path, forgiving: bool) -> ImageTable:
    """Return the images, with all faults of their labels collected; AevlpError of the first, and how many more there are."""
    faults: list[DataError] = []
    images = load_images(spec, root, report=faults.append)
    if faults and not forgiving:
        known = faults[0].kind == "unknown class" and "--classes" not in str(faults[0]) and "`" not in str(faults[0])
        more = f" (and {len(faults) - 1:,} faults more)" if len(faults) > 1 else ""
        settle = ": correct the label, or name its class too in --classes" if known else ""
        raise AevlpError(f"{faults[0]}{more}{settle}")
    return images


def _require_sane(draft: Draft, spec: DatasetSpec, images: ImageTable, given: Given) -> None:
    if len(images) < FEWEST:
        raise AevlpError(
            f"{draft.place}: {counted(len(images), 'image')}, expected {FEWEST} or more, to train on and to "
            f"validate by: add images, or pass another SOURCE"
        )
    if len(images.classes) < 2:
        raise AevlpError(
            f"{draft.place}: one class, {''.join(map(repr, images.classes))}, expected two or more: {_more_classes(spec, images)}"
        )
    if not draft.labelled:
        return
    unused = [name for name, count in zip(images.classes, _present(images).sum(axis=0), strict=True) if not count]
    said = {**draft.entry, **given.keys}.get("labels")
    if unused and given.classes is not None and not draft.numbered and said != "observed":
        raise _unused(draft, spec, unused, left=len(images.classes) - len(unused))


def _unused(draft: Draft, spec: DatasetSpec, unused: list[str], left: int) -> AevlpError:
    """Return the error for classes that a person named and no image has. left: how many classes there are without them."""
    ways = ["leave it out of --classes"] if left > 1 else []
    if "labels" in type(spec).model_fields:
        ways.append("where images may show it and nobody labelled it, say --key 'labels: observed'")
    elif not ways:
        ways.append(
            "where the labels are of no use, pass the folder of the images as SOURCE, with --key 'format: images'"
        )
    return AevlpError(
        f"{draft.place}: no image has the label {some(list(map(repr, unused)), 4)}, expected each of --classes on one at least: "
        f"{'; or, '.join(ways)}"
    )


def _more_classes(spec: DatasetSpec, images: ImageTable) -> str:
    """Return how a source with labels of one class may be scored for more."""
    names = f"{images.classes[0]},dog" if images.classes and images.classes[0] != "dog" else "cat,dog"
    if "labels" in type(spec).model_fields:
        return (
            f"name all that the images may show, labelled or not, such as --classes {names} --key 'labels: observed'; or label "
            f"images of another class"
        )
    return f"label images of another class, or pass a folder of images and the names of classes, as --classes {names}"


def _require_parts(place: Path, split: np.ndarray, shares: dict[str, float]) -> None:
    counts = {name: int((split == name).sum()) for name in shares}
    if empty := [name for name, count in counts.items() if not count]:
        found = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise AevlpError(
            f"{place}: {len(split)} images without a split, of which none would fall to {' and '.join(empty)} ({found}), "
            f"expected some in each: leave --split-by out, and shares are found that give each part some; or say --split-by none "
            "to train on all of them"
        )


def _present(images: ImageTable) -> np.ndarray:
    return images.truth == 1 if images.truth is not None else images.observed == POSITIVE


def _labels_line(draft: Draft, images: ImageTable) -> str:
    named = ", ".join(images.classes[:SHOWN]) + ", …" * (len(images.classes) > SHOWN)
    classes = f"{len(images.classes):,} classes ({named})"
    if not draft.labelled:
        return f"{len(images):,} images, none with a label; {classes}"
    present = _present(images)
    empty = int((~present.any(axis=1)).sum())
    without = f", {empty:,} images without any" if empty else ""
    unused = [name for name, count in zip(images.classes, present.sum(axis=0), strict=True) if not count]
    never = f"; no image shows {some(unused, 4)}" if unused else ""
    return f"{len(images):,} images, {classes}, {present.sum() / len(images):.1f} labels an image{without}{never}"


def _split_line(split: np.ndarray, said: str | None, draft: Draft, images: ImageTable) -> str:
    counts = [f"{int((split == name).sum()):,} {name}" for name in SPLITS if (split == name).any()]
    if not draft.labelled:
        return "all images are for training, none to test by without labels; a part is drawn then to validate by pseudo-labels"
    if said is None and (few := int(_present(images).any(axis=1).sum())) < 2:
        return f"all images are for training, and {few} shows a class: to train, two need a label, one of them to validate by"
    if said is None:
        return "all images are for training; a part of them is drawn for validation when training starts"
    return f"{', '.join(counts)}: by {said}"


def _missing(spec: DatasetSpec, images: ImageTable) -> list[str]:
    """Return a line on images that are not there; AevlpError where most are not."""
    gone = [row for row, path in enumerate(images.paths.tolist()) if file_size(path) is None]
    if not gone:
        return []
    first = images.paths[gone[0]]
    text = f"{len(gone):,} of {len(images):,} images are not there, first {first}"
    if 2 * len(gone) > len(images):
        hint = hints(spec, images, gone, 1)[0]
        where = hint.removeprefix("; ")
        if "`images: " not in where:
            where += f"{'; ' * bool(where)}say where they are as --key 'images: FOLDER'"
        raise AevlpError(f"{text}, expected most of them below {images.root}: {where}")
    return [f"{text}: they are left out of training"]
