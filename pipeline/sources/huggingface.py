"""A folder that Hugging Face `datasets` saved, or Parquet and Arrow files with images in them, -> the entry that reads them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..datasets.class_list_check import key_of
from ..datasets.column_words import LABELS
from ..errors import AevlpError, some
from ..files.arrow_files import chunks, holds_bytes, schema, values
from ..labels.splits import split_of
from .columns import known_column, looks_like_image
from .separators import between, separator_of
from .split_words import by_split, pattern_of
from .understood import Draft, Given

DICT, STATE = "dataset_dict.json", "state.json"


def is_saved(folder: Path) -> bool:
    """Return whether `save_to_disk` wrote a folder."""
    return (folder / DICT).is_file() or (folder / STATE).is_file()


def draft_of_saved(folder: Path, given: Given) -> Draft:
    """Return what a folder of `save_to_disk` is understood as; AevlpError for splits that are none, and doubtful columns."""
    if not (folder / DICT).is_file():
        return _draft({"train": "."}, _arrow_files(folder), folder, given, None)
    try:
        names = json.loads((folder / DICT).read_text(encoding="utf-8"))["splits"]
        named = {name: split_of(name) for name in names}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise AevlpError(f"{folder / DICT} is not what save_to_disk writes: {error!r}: save the folder anew") from error
    if odd := [name for name, split in named.items() if split is None]:
        raise AevlpError(
            f"{folder}: the part {odd[0]!r} is none of train, val and test (its parts are {some(list(named), 6)}): say which "
            f"part is which as --key 'files: {{train: {odd[0]}}}'"
        )
    files = {split: name for name, split in named.items() if split is not None}
    if len(files) < len(named):
        raise AevlpError(
            f"{folder}: two of its parts {some(list(named), 6)} are one split: say --key 'files: {{train: …}}'"
        )
    paths = [path for name in files.values() for path in _arrow_files(folder / name)]
    return _draft(files, paths, folder, given, "the folder" if set(files) != {"train"} else None)


def holds_images(path: Path) -> bool:
    """Return whether a Parquet or Arrow file has a column of images, not of their names."""
    return any(holds_bytes(field.type) for field in schema(path))


def draft_of_files(paths: Sequence[Path], root: Path, given: Given) -> Draft:
    """Return what Parquet or Arrow files with images in them are understood as; raises as `draft_of_saved`."""
    splits = by_split(paths, root) if len(paths) > 1 else None
    parts = splits or {"train": list(paths)}
    files = {split: pattern_of(of_split, root, paths) for split, of_split in parts.items()}
    return _draft(files, paths, root, given, "the names of the files" if splits else None)


def _arrow_files(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.arrow"))
    if not found:
        raise AevlpError(
            f"{folder} holds no .arrow file, expected what save_to_disk writes: copy or save the folder anew"
        )
    return found


def _draft(files: Mapping[str, str], paths: Sequence[Path], root: Path, given: Given, splits: str | None) -> Draft:
    where = str(root) if len(paths) > 1 else str(paths[0])
    image, label = _image_column(paths[0], given, where), _label_column(paths[0], given, where)
    entry: dict[str, Any] = {
        "format": "huggingface",
        "files": dict(files),
        "image_column": image,
        "label_column": label,
    }
    cells = [value for path in paths for chunk in chunks(path, label) for value in values(path, label, chunk)]
    separator = given.keys.get("label_separator") or separator_of(cells, given.classes, f"{where}, the column {label}")
    said = ""
    if separator is not None:
        entry["label_separator"] = separator
        said = between(separator)
    what = f"Hugging Face files, {where}: images in the column {image}, labels in the column {label}{said}"
    return Draft(entry, root, what, splits)


def _image_column(path: Path, given: Given, where: str) -> str:
    known = schema(path)
    if stated := given.keys.get("image_column"):
        return known_column(stated, known.names, "--image-column", where)
    found = [field.name for field in known if holds_bytes(field.type)]
    if not found:  # the names of files
        found = [name for name in known.names if _first(path, name, looks_like_image)]
    if len(found) != 1:
        what = f"the columns {' and '.join(found)} all hold images" if found else "no column holds images"
        raise AevlpError(
            f"{where}: {what} (its columns are {some(known.names, 8)}), expected one: say which as --image-column "
            f"{found[0] if found else 'NAME'}"
        )
    return found[0]


def _first(path: Path, name: str, says: Any) -> bool:
    return any(says(value) for chunk in chunks(path, name) for value in values(path, name, chunk)[:1])


def _label_column(path: Path, given: Given, where: str) -> str:
    known = schema(path)
    if stated := given.keys.get("label_column"):
        return known_column(stated, known.names, "--label-column", where)
    typed = _class_labels(known.metadata or {})
    found = [name for name in known.names if name in typed] or [name for name in known.names if key_of(name) in LABELS]
    if len(found) != 1:
        what = (
            f"the columns {' and '.join(found)} may all hold the labels"
            if found
            else "no column is named as labels are"
        )
        raise AevlpError(
            f"{where}: {what} (its columns are {some(known.names, 8)}), expected one: say which as --label-column "
            f"{found[0] if found else 'NAME'}"
        )
    return found[0]


def _class_labels(metadata: Mapping[bytes, bytes]) -> set[str]:
    """Return the columns whose type is ClassLabel, or a list of them."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features") or {}
        return {name for name, feature in features.items() if '"ClassLabel"' in json.dumps(feature)}
    except (ValueError, RecursionError, AttributeError, TypeError):  # which the reader says
        return set()
