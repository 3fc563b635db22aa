"""A data set as Hugging Face `datasets` keeps it on disk: Arrow or Parquet files whose rows hold the images themselves."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..errors import AevlpError, counted, some, unknown_name
from ..files.arrow_files import chunks, holds_bytes, lengths, schema, values
from ..manifest.formats import HuggingFaceSpec
from .cell_labels import labels_in_cells
from .class_file import class_list
from .faults import DataError, Remark, Report, image_below_root, image_name
from .file_tree import FileTree
from .image_rows import Labels, Row, distinct, listings
from .image_table import Listings
from .label_cells import parsed
from .label_forms import Column
from .split_files import in_one_split, matching
from .table_images import placed


@dataclass(frozen=True)
class _File:
    """A file of a split: how its column of images holds them, and the ClassLabel names of its labels, None for none."""

    path: Path
    split: str
    holds_images: bool
    path_field: str | None
    has_paths: bool
    names: tuple[str, ...] | None


def read(spec: HuggingFaceSpec, root: Path, report: Report) -> Listings:
    """Return the images of the files, in the order that state.json or else their names give.

    The id of an image leads through its file, by column and row, or is its path where the row gives no more than that. Of
    the columns, the labels are held in memory, the images never.
    A row without an image, with a path out of the folder, or an image that is listed again, is reported and left out; an
    unknown class is reported and its label left out. Raises AevlpError for files that are missing, damaged or in two
    splits, a column that is not there or of another type, and ClassLabel names that disagree.
    """
    paths = {split: _data_files(spec, root, name) for split, name in spec.files.items()}
    files = [_checked(spec, path, split) for split, part in in_one_split(spec, paths).items() for path in part]
    stated = class_list(spec, root, report)
    classes = _class_names(files, stated)
    found = [row for file in files for row in _rows(spec, root, file, report)]
    found, said = placed(FileTree(root), found, ["."] * len(found), report)
    rows = list(distinct(found, report))
    if not rows:
        raise AevlpError(f"{spec.name}: the files hold no row with an image, at least one is needed")
    typed = any(file.names for file in files)
    rows, unlabelled = _without_unlabelled(spec, rows) if typed else (rows, [])
    otherwise = stated is not None and stated != classes
    column = Column(f"{spec.name}, the column {spec.label_column}", spec.label_column, classes, typed, otherwise)
    listed = listings(root, [], _in_order(labels_in_cells(spec, column, rows, report), stated))
    listed.remarks += said + unlabelled
    return listed


def _without_unlabelled(spec: HuggingFaceSpec, rows: list[Row]) -> tuple[list[Row], list[Remark]]:
    """Return the rows with no label in place of a ClassLabel's -1, the hub's mark for not labelled, and what is to be said."""
    found = [row for row in rows if row.labels.items == (-1,) and not row.labels.listed]
    if not found:
        return rows, []
    place = f"{spec.name}, the column {spec.label_column}: -1 {counted(len(found), 'time')}, first {found[0].where}"
    if spec.labels != "observed":
        raise AevlpError(
            f"{place}: it marks an image whose labels are not known: say `labels: observed`, or leave out the files or rows that "
            f"are not labelled"
        )
    marked = {row.where for row in found}
    rows = [replace(row, labels=parsed("", None, row.where)) if row.where in marked else row for row in rows]
    return rows, [Remark("read differently", f"{place}: read as no label")]


def _in_order(labels: Labels, stated: tuple[str, ...] | None) -> Labels:
    """Return labels with the manifest's classes as columns, by their names; of one that is not in the files none is present."""
    if stated is None or labels.classes == stated:
        return labels
    codes = np.zeros((len(labels.codes), len(stated)), dtype=labels.codes.dtype)
    codes[:, [stated.index(name) for name in labels.classes]] = labels.codes
    return replace(labels, classes=stated, codes=codes)


def _data_files(spec: HuggingFaceSpec, root: Path, name: str) -> list[Path]:
    """Return the files that a folder's state.json lists, or that match a pattern."""
    folder = root / name
    if not folder.is_dir() or ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
        return matching(spec, root, name)
    if (folder / "dataset_dict.json").is_file():
        raise AevlpError(f"{folder} holds several splits: name the folder of one, such as {name}/train")
    state = folder / "state.json"
    if not state.is_file():
        raise AevlpError(f"no {state}: `files` names a folder of save_to_disk, or a pattern such as {name}/*.parquet")
    try:
        content = json.loads(state.read_text(encoding="utf-8"))
        listed = [file["filename"] for file in content["_data_files"]]
        indices = content.get("_indices_data_files")
        paths = [folder / image_below_root(file, str(state)) for file in listed]
    except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise AevlpError(f"{state} is not what save_to_disk writes: {error!r}") from error
    except DataError as error:
        raise AevlpError(str(error)) from error
    if indices:  # of `datasets` before 1.6
        raise AevlpError(f"{folder} was saved with a list of the rows to take: save it anew with `datasets` of today")
    if missing := [path for path in paths if not path.is_file()]:
        raise AevlpError(f"no {missing[0]}, which {state} lists: copy or save the folder anew")
    return paths


def _checked(spec: HuggingFaceSpec, path: Path, split: str) -> _File:
    import pyarrow as pa

    if path.suffix.lower() not in (".parquet", ".arrow"):
        raise AevlpError(f"{path}: `files` names .parquet and .arrow files, or folders of save_to_disk")
    known = schema(path)
    for column in (spec.image_column, spec.label_column):
        if known.names.count(column) != 1:
            raise AevlpError(f"{path}: {unknown_name('column', column, known.names)}")
    kind = known.field(spec.image_column).type
    in_struct = pa.types.is_struct(kind) and kind.get_field_index("path") >= 0
    texts = kind.field("path").type if in_struct else kind
    has_paths = pa.types.is_string(texts) or pa.types.is_large_string(texts)
    if not holds_bytes(kind) and not has_paths:
        raise AevlpError(f"{path}: the column {spec.image_column} is {kind}, expected images, bytes or paths")
    names = _class_label(path, known.metadata or {}, spec.label_column)
    return _File(path, split, holds_bytes(kind), "path" if in_struct else None, has_paths, names)


def _class_label(path: Path, metadata: dict[bytes, bytes], column: str) -> tuple[str, ...] | None:
    """Return the names of a column's ClassLabel, which may be in a List, a Sequence or, of old, a list of one."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features") or {}
        feature = features.get(column)
        while isinstance(feature, list) or (isinstance(feature, dict) and isinstance(feature.get("feature"), dict)):
            feature = feature[0] if isinstance(feature, list) else feature["feature"]
        if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel":
            return None
        names = tuple(map(str, feature["names"]))
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise AevlpError(f"{path}: its `huggingface` metadata is not what `datasets` writes: {error!r}") from error
    if not names or len(set(names)) < len(names):
        raise AevlpError(f"{path}: the ClassLabel names of {column} are none, or one stands there twice")
    return names


def _class_names(files: list[_File], stated: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return what the numbers count: the ClassLabel names, all of which the manifest must list; else its classes; else None."""
    with_names = [file for file in files if file.names]
    for file in with_names:
        first = with_names[0]
        if file.names != first.names:
            raise AevlpError(
                f"{file.path} has other ClassLabel names than {first.path}: a number would mean two classes"
            )
    if not with_names:
        return stated
    first = with_names[0]
    names = first.names or ()
    if stated and (extra := [name for name in names if name not in stated]):
        others = [name for name in stated if name not in names]
        missed = f", and the manifest lists {_few(others)}" if others else ""
        raise AevlpError(
            f"{first.path} has the ClassLabel names {_few(extra)}, which the manifest's `classes` lack{missed}: leave `classes` "
            f"out or use the same names (`natural_names` and `synonyms` give other words for the prompts)"
        )
    nameless = [file for file in files if not file.names]
    if stated and stated != names and nameless:
        raise AevlpError(
            f"{nameless[0].path} has no ClassLabel names, and {first.path} has them in another order than `classes`: a number "
            f"would mean two classes: list `classes` in the order of the file's names"
        )
    return names


def _few(names: list[str]) -> str:
    return some([repr(name) for name in names], 4)


def _rows(spec: HuggingFaceSpec, root: Path, file: _File, report: Report) -> Iterator[Row]:
    inside = (file.path.relative_to(root) / spec.image_column).as_posix()
    labels = _cells(file.path, spec.label_column)
    held = lengths(file.path, spec.image_column) >= 0 if file.holds_images else None
    paths: Iterator[Any] = repeat(None)
    if file.has_paths and (held is None or not held.all()):
        paths = _cells(file.path, spec.image_column, file.path_field)
    for number, (value, path) in enumerate(zip(labels, paths, strict=False)):
        where = f"{file.path}, row {number}"
        try:
            if held is not None and held[number]:
                image = f"{inside}/{number}"
            else:
                image = PurePosixPath(image_name(path or "", where)).as_posix()
            cell = parsed(value, spec.label_separator, where)
        except DataError as error:
            report(error)
        else:
            yield Row(where, image, cell, file.split)


def _cells(path: Path, column: str, field: str | None = None) -> Iterator[Any]:
    for chunk in chunks(path, column, field):
        yield from values(path, column, chunk)
