"""WebDataset shards: plain tar files in which the files of one sample, its image and its labels, share the name up to a dot."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import AevlpError, unknown_name
from ..files.file_reading import HIDDEN, is_systems, kinds_counted
from ..files.image_formats import ENDINGS
from ..files.tar_files import tar_members
from ..manifest.formats import WebDatasetSpec
from .cell_labels import labels_in_cells
from .class_file import class_list
from .faults import DataError, Remark, Report, image_below_root
from .image_rows import Row, listings
from .image_table import Listings
from .json_text import json_value
from .label_cells import Cell, parsed
from .label_forms import Column
from .split_files import in_one_split, matching

IMAGE_EXTENSIONS = tuple(ending.removeprefix(".") for ending in sorted(ENDINGS))
_MEMBER = re.compile(r"((?:.*/)?[^./]+)\.([^/]*)", re.DOTALL)  # key and extension, as WebDataset cuts a name


def read(spec: WebDatasetSpec, root: Path, report: Report) -> Listings:
    """Return the images of the shards, in the order of their names and then of the tar; an id leads through its shard.

    A sample without one image or without labels is reported and left out; an unknown class is reported and its label left
    out. Raises AevlpError for a pattern that no shard matches, a shard in two splits, and what `tar_members` refuses.
    """
    shards = in_one_split(spec, {split: matching(spec, root, pattern) for split, pattern in spec.shards.items()})
    classes = class_list(spec, root, report)
    left_out: dict[str, list[str]] = {}
    rows = [
        row for split in shards for shard in shards[split] for row in _rows(spec, root, shard, split, report, left_out)
    ]
    if not rows:
        raise AevlpError(f"{spec.name}: the shards hold no sample with an image and labels, at least one is needed")
    column = Column(f"{spec.name}, the .{spec.label_extension} files", "labels", classes)
    found = listings(root, [], labels_in_cells(spec, column, rows, report))
    if left_out:
        found.remarks.append(Remark("left out", f"left out of the shards: {kinds_counted(left_out)}"))
    return found


def _rows(
    spec: WebDatasetSpec, root: Path, shard: Path, split: str, report: Report, left_out: dict[str, list[str]]
) -> Iterator[Row]:
    if shard.suffix.lower() != ".tar":
        raise AevlpError(f"{shard}: a shard is an uncompressed .tar, images are read from its middle: unpack it to one")
    members = tar_members(shard)
    samples = _samples(shard.name, members, left_out)
    with shard.open("rb") as file:
        for key, files in samples.items():
            where = f"{shard}, sample {key!r}"
            try:
                image = image_below_root((shard.relative_to(root) / _image(spec, where, files)).as_posix(), where)
                offset, size = members[_sidecar(spec, where, files)]
                file.seek(offset)
                cell = _labels(spec, where, file.read(size))
            except DataError as error:
                report(error)
            else:
                yield Row(where, image, cell, split)


def _samples(shard: str, members: Iterable[str], left_out: dict[str, list[str]]) -> dict[str, dict[str, str]]:
    """Return the members of each sample by its key and their extensions; what is of no sample goes to `left_out`, by kind."""
    samples: dict[str, dict[str, str]] = {}
    for name in members:
        parts = _MEMBER.fullmatch(name)
        if any(map(is_systems, name.split("/"))):
            left_out.setdefault(HIDDEN, []).append(f"{shard}/{name}")
        elif parts is None:
            left_out.setdefault("files without an extension", []).append(f"{shard}/{name}")
        else:
            samples.setdefault(parts[1], {})[parts[2].lower()] = name
    return samples


def _image(spec: WebDatasetSpec, where: str, files: dict[str, str]) -> str:
    known = (spec.image_extension,) if spec.image_extension else IMAGE_EXTENSIONS
    images = [extension for extension in files if extension in known]
    if len(images) != 1:
        found = f"{len(images)} images ({', '.join(images)})" if images else f"no image among {', '.join(files)}"
        raise DataError("bad row", f"{where}: {found}; expected one of .{' .'.join(known)} after the first dot")
    return files[images[0]]


def _sidecar(spec: WebDatasetSpec, where: str, files: dict[str, str]) -> str:
    if spec.label_extension not in files:
        raise DataError("bad row", f"{where}: no labels: no .{spec.label_extension} among {', '.join(files)}")
    return files[spec.label_extension]


def _instead(value: dict[str, Any]) -> str:
    """Return what to do about an object without the key of the labels, for a message."""
    said = ": name the key that holds the labels as `label_key`"
    if value and all(isinstance(v, int | float) and v in (0, 1) for v in value.values()):
        said += "; or, where the keys are classes, write the list of those that are present"
    return said


def _labels(spec: WebDatasetSpec, where: str, content: bytes) -> Cell:
    kind = spec.label_extension.rpartition(".")[2]
    try:
        text = content.decode("utf-8-sig")
        if kind == "cls" and (not text.strip() or "\n" in text.strip()):
            raise ValueError(f"expected one class, found {text[:60]!r}")
        value = json_value(text) if kind == "json" else text
    except (ValueError, RecursionError) as error:
        raise DataError("bad row", f"{where}: its .{spec.label_extension} cannot be read: {error}") from error
    if kind == "cls":
        return parsed(value, None, where)
    if kind == "json" and isinstance(value, dict):
        if spec.label_key not in value:
            raise DataError("bad row", f"{where}: {unknown_name('key', spec.label_key, value)}{_instead(value)}")
        value = value[spec.label_key]
    return parsed(value, spec.label_separator, where, lines=kind == "txt")
