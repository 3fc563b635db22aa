"""A source -> what it is understood as: its entry, read once to see that its labels are sane, and the lines that say it."""

from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import DataError, ImageTable, load_images
from ..datasets.content_split import split_by_content
from ..datasets.near_names import hints
from ..datasets.table_files import TEXT_ENDINGS
from ..errors import AevlpError, some
from ..files.file_reading import KINDS
from ..files.image_formats import ENDINGS, HEAD, format_of
from ..files.locations import location
from ..files.stamps import file_size
from ..labels.codes import POSITIVE
from ..labels.splits import SPLITS
from ..manifest.formats import DatasetSpec
from ..manifest.load import checked_manifest
from .coco import draft_of_coco
from .folders import TABLES, draft_of_folder
from .huggingface import draft_of_files, holds_images
from .naming import name_of
from .tables import draft_of_table
from .tars import draft_of_tars
from .understood import Draft, Given, Understood, with_options

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}
FEWEST = 3  # images: two to train on and one to validate by
_STARTS = {
    b"%PDF": "a PDF",
    b"PK\3\4": "an archive",
    b"\x1f\x8b": "an archive",
    b"Rar!": "an archive",
    b"7z\xbc\xaf": "an archive",
}
_ADVICE = {
    "a video": "save pictures of it into a folder, and pass that as SOURCE",
    "an archive": "unpack it, and pass its folder as SOURCE",
    "a PDF": "save its pages as pictures in a folder, and pass that as SOURCE",
    "a picture": "pass its folder as SOURCE, or label it by a trained run: aevlp predict RUN IMAGE",
}
EXPECTED = (
    "expected a folder of images or of one folder a class, a .csv, .tsv, .jsonl or .parquet, a COCO-style .json, tar shards, a "
    "manifest .yaml, or a name in the manifest"
)


def look(source: str | Path, given: Given | None = None, name: str | None = None) -> Understood:
    """Return what a folder or file is understood as; nothing is written.

    given: what a person says of it. name: of the data set, None for one made of the source's. Raises AevlpError, in one line
    that names the option which settles it, for what is no source, for what can be meant in two ways, and for faulty labels.
    """
    given, path = given or Given(), location(source)
    try:
        draft = _draft(path, given)
        return _understood(name or name_of(path), draft, given)
    except DataError as error:
        raise with_options(AevlpError(str(error))) from error
    except AevlpError as error:
        raise with_options(error) from error


def _draft(path: Path, given: Given) -> Draft:
    if path.is_dir():
        return draft_of_folder(path, given)
    if not path.is_file():
        raise AevlpError(f"{path}: no such file or folder; {EXPECTED}")
    ending = path.suffix.lower()
    if (kind := _not_a_source(path)) is not None:
        raise AevlpError(f"{path} is {kind}, {EXPECTED}: {_ADVICE[kind]}")
    if ending == ".tar":
        return draft_of_tars([path], path.parent, given)
    if ending in (".parquet", ".arrow") and holds_images(path):
        return draft_of_files([path], path.parent, given)
    if ending in (*TEXT_ENDINGS, *TABLES, ".parquet"):
        return draft_of_table({None: path}, given)
    if ending == ".json":
        return draft_of_coco({None: path}, given)
    raise AevlpError(f"{path} is no source, {EXPECTED}: pass one of these as SOURCE")


def _not_a_source(path: Path) -> str | None:
    """Return what a file is, by its first bytes and its ending, where it is none that holds labels."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if format_of(head) or path.suffix.lower() in ENDINGS:
        return "a picture"
    for start, kind in _STARTS.items():
        if head.startswith(start):
            return kind
    ending = path.suffix.lower()
    kinds = {"videos": "a video", "archives": "an archive"}
    found = next((kind for kind, endings in KINDS.items() if ending in endings.split()), "")
    if ending == ".pdf":
        return "a PDF"
    return None if ending == ".tar" else kinds.get(found) or ("a video" if head[4:8] == b"ftyp" else None)


def _understood(name: str, draft: Draft, given: Given) -> Understood:
    entry: dict[str, Any] = {"title": name, **draft.entry, **given.keys}
    if given.classes is not None:
        entry["classes"] = list(given.classes)
    whole = entry.pop("split_by", None) is None and given.says("split_by")
    shares = (given.keys.get("split_by") or {}).get("content", SHARES)
    spec = _spec(name, {**entry, "split_by": {"content": shares}} if given.keys.get("split_by") else entry, draft.root)
    images = _images(spec, draft.root, divided=draft.labelled and draft.splits is None and not whole)
    _require_sane(draft, images, given)
    if draft.labelled and draft.splits is None and not whole and set(images.split.tolist()) == {"train"}:
        entry["split_by"] = {"content": dict(shares)}
        split = split_by_content(images.paths.tolist(), images.ids.tolist(), shares)
        said = "by their content"
        _require_parts(draft.root, split, shares)
    else:
        split, said = (
            images.split,
            draft.splits and f"as {draft.splits} say{'s' * draft.splits.startswith('the column')}",
        )
    lines = (f"{name}: {draft.what}", _labels_line(draft, images), _split_line(split, said, draft))
    return Understood(name, entry, draft.root, (*lines, *_missing(spec, images)))


def _spec(name: str, entry: dict[str, Any], root: Path) -> DatasetSpec:
    return checked_manifest({"datasets": {name: entry}}, Path(str(root)) / f"{name}.yaml")[name]


def _images(spec: DatasetSpec, root: Path, divided: bool) -> ImageTable:
    """Return the images, with all faults of their labels collected; AevlpError of the first, and how many more there are."""
    faults: list[DataError] = []
    spec = spec.model_copy(update={"split_by": None}).placed(spec.name, spec.manifest_path) if divided else spec
    images = load_images(spec, root, report=faults.append)
    if faults:
        more = f" (and {len(faults) - 1:,} faults more)" if len(faults) > 1 else ""
        raise AevlpError(f"{faults[0]}{more}")
    return images


def _require_sane(draft: Draft, images: ImageTable, given: Given) -> None:
    if len(images) < FEWEST:
        raise AevlpError(
            f"{draft.root}: {len(images)} image{'s' * (len(images) != 1)}, expected {FEWEST} or more, to train on and to validate by: "
            f"add images, or pass another SOURCE"
        )
    if len(images.classes) < 2:
        raise AevlpError(
            f"{draft.root}: one class, {images.classes[0]!r}, expected two or more: name all that the images may show as --classes"
        )
    if not draft.labelled:
        return
    unused = [name for name, count in zip(images.classes, _present(images).sum(axis=0), strict=True) if not count]
    if unused and given.classes is not None:
        raise AevlpError(
            f"{draft.root}: no image has the label {some(list(map(repr, unused)), 4)}, expected each of --classes on one at least: leave "
            f"it out of --classes"
        )


def _require_parts(root: Path, split: np.ndarray, shares: dict[str, float]) -> None:
    counts = {name: int((split == name).sum()) for name in shares}
    if empty := [name for name, count in counts.items() if not count]:
        found = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise AevlpError(
            f"{root}: {len(split)} images without a split, of which none would fall to {' and '.join(empty)} ({found}), expected some in "
            f"each: say --split-by none to train on all of them, or other shares, as --split-by train=0.5,val=0.25,test=0.25"
        )


def _present(images: ImageTable) -> np.ndarray:
    return images.truth == 1 if images.truth is not None else images.observed == POSITIVE


def _labels_line(draft: Draft, images: ImageTable) -> str:
    classes = f"{len(images.classes):,} classes ({some(list(images.classes), 5)})"
    if not draft.labelled:
        return f"{len(images):,} images, none with a label; {classes}"
    present = _present(images)
    empty = int((~present.any(axis=1)).sum())
    without = f", {empty:,} images without any" if empty else ""
    unused = [name for name, count in zip(images.classes, present.sum(axis=0), strict=True) if not count]
    never = f"; no image shows {some(unused, 4)}" if unused else ""
    return f"{len(images):,} images, {classes}, {present.sum() / len(images):.1f} labels an image{without}{never}"


def _split_line(split: np.ndarray, said: str | None, draft: Draft) -> str:
    counts = [f"{int((split == name).sum()):,} {name}" for name in SPLITS if (split == name).any()]
    if not draft.labelled:
        return "all images are for training: without labels there is nothing to validate or test by"
    if said is None:
        return "all images are for training; a part of them is drawn for validation when training starts"
    return f"{', '.join(counts)}, {said}"


def _missing(spec: DatasetSpec, images: ImageTable) -> list[str]:
    """Return a line on images that are not there; AevlpError where most are not."""
    gone = [row for row, path in enumerate(images.paths.tolist()) if file_size(path) is None]
    if not gone:
        return []
    first = images.paths[gone[0]]
    text = f"{len(gone):,} of {len(images):,} images are not there, first {first}"
    if 2 * len(gone) > len(images):
        hint = hints(spec, images, gone, 1)[0]
        where = hint.removeprefix("; ") or "say where they are as --key 'images: FOLDER'"
        raise AevlpError(f"{text}, expected most of them below {images.root}: {where}")
    return [f"{text}: they are left out of training"]
