"""Tar shards -> the entry that reads them: which files beside the images hold labels, and how."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..datasets.class_list_check import key_of
from ..datasets.column_words import LABELS
from ..datasets.json_text import json_value
from ..datasets.webdataset import IMAGE_EXTENSIONS
from ..errors import AevlpError, some
from ..files.tar_files import member, tar_members
from .separators import between, separator_of
from .split_words import by_split, pattern_of
from .understood import Draft, Given

_LABELS = ("json", "txt", "cls")
_SAMPLE = 500  # labels of each shard that are looked at


def draft_of_tars(shards: Sequence[Path], root: Path, given: Given) -> Draft:
    """Return what tar shards are understood as; AevlpError that names the key by which two kinds of labels are told apart."""
    splits = by_split(shards, root)
    parts: Mapping[str, Sequence[Path]] = splits or {"train": shards}
    patterns = {split: pattern_of(paths, root, shards) for split, paths in parts.items()}
    where = f"{root}, {len(shards)} tar shards" if len(shards) > 1 else str(shards[0])
    extension = given.keys.get("label_extension") or _extension(shards[0], where)
    keys: dict[str, Any] = {"format": "webdataset", "shards": patterns, "label_extension": extension}
    values = [value for shard in shards for value in _contents(shard, extension)]
    if extension.endswith("json") and any(isinstance(value, dict) for value in values):
        key = given.keys.get("label_key") or _key([value for value in values if isinstance(value, dict)], where)
        keys["label_key"] = key
        values = [value.get(key) if isinstance(value, dict) else value for value in values]
    said = f"labels in the .{extension} files"
    if not extension.endswith("cls"):
        lines = [line for value in values for line in (value.splitlines() if isinstance(value, str) else [value])]
        separator = given.keys.get("label_separator") or separator_of(
            lines, given.classes, f"{where}, the .{extension} files"
        )
        if separator is not None and separator != "\n":
            keys["label_separator"] = separator
            said += between(separator)
    return Draft(
        keys, root, f"{where}: an image and its labels a sample, {said}", "the names of the shards" if splits else None
    )


def _samples(shard: Path) -> dict[str, list[str]]:
    """Return the members of a shard by their extensions, as WebDataset cuts a name: at the first dot."""
    found: dict[str, list[str]] = {}
    for name in tar_members(shard):
        _, _, extension = name.rpartition("/")[2].partition(".")
        found.setdefault(extension.lower(), []).append(name)
    return found


def _extension(shard: Path, where: str) -> str:
    found = _samples(shard)
    if not any(extension in IMAGE_EXTENSIONS for extension in found):
        raise AevlpError(
            f"{where}: no image in it, only {some([f'.{extension}' for extension in found], 6) or 'nothing'}; expected a "
            f"picture and its labels a sample: pass another SOURCE, or say which file is the picture as --key "
            "'image_extension: …'"
        )
    labels = [extension for extension in found if extension.rpartition(".")[2] in _LABELS]
    if len(labels) == 1:
        return labels[0]
    if labels:
        raise AevlpError(
            f"{where}: the .{' and the .'.join(labels)} files may both hold the labels, expected one: say --key "
            f"'label_extension: {labels[0]}'"
        )
    raise AevlpError(
        f"{where}: no labels beside the images, expected a .json, .txt or .cls a sample: for images without labels unpack the "
        f"shards, and pass their folder with --classes"
    )


def _contents(shard: Path, extension: str) -> list[Any]:
    """Return what the first files of an extension hold: of JSON its value, else text; None for what cannot be read."""
    return [_value(member(shard, name), extension) for name in _samples(shard).get(extension, [])[:_SAMPLE]]


def _value(content: bytes | None, extension: str) -> Any:
    try:
        text = (content or b"").decode("utf-8-sig")
        return json_value(text) if extension.endswith("json") else text
    except (ValueError, RecursionError):  # which the reader says
        return None


def _key(objects: Sequence[dict[str, Any]], where: str) -> str:
    counts = Counter(key for value in objects for key in value)
    named = [key for key in counts if key_of(key) in LABELS]
    if len(named) == 1:
        return named[0]
    keys = named or list(counts)
    if not keys:
        raise AevlpError(f"{where}: its .json files hold empty objects, expected the labels under a key such as labels")
    found = "both" if len(named) > 1 else "none of the keys is named as labels are:"
    raise AevlpError(
        f"{where}: {found} {some(keys, 6)} may hold the labels, expected one: say which as --key 'label_key: {keys[0]}'"
    )
