"""A data set as Hugging Face `datasets` keeps it on disk: Arrow or Parquet files whose rows hold the images themselves."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path, PurePosixPath
from typing import Any

from ..column_files import chunks, holds_bytes, lengths, schema
from ..errors import AevlpError, unknown_name
from ..specs import HuggingFaceSpec
from .cell_labels import labels_in_cells
from .faults import DataError, Report, image_below_root, image_name
from .file_tree import FileTree
from .image_rows import Row, distinct, listings
from .image_table import Listings
from .label_cells import parsed
from .label_forms import Column
from .split_files import in_one_split, matching
from .table_images import placed
from .text_lists import class_list


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
    classes = _class_names(files, class_list(spec, root, report))
    found = [row for file in files for row in _rows(spec, root, file, report)]
    found, said = placed(FileTree(root), found, ["."] * len(found), report)
    rows = list(distinct(found, report))
    if not rows:
        raise AevlpError(f"{spec.name}: the files hold no row with an image, at least one is needed")
    typed = any(file.names for file in files)
    column = Column(f"{spec.name}, the column {spec.label_column}", spec.label_column, classes, typed)
    listed = listings(root, [], labels_in_cells(spec, column, rows, report))
    listed.remarks += said
    return listed


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
    """Return the manifest's classes, which the ClassLabel names must be as many as; else those names; else None."""
    with_names = [file for file in files if file.names]
    for file in with_names:
        first = with_names[0]
        if file.names != first.names:
            raise AevlpError(
                f"{file.path} has other ClassLabel names than {first.path}: a number would mean two classes"
            )
        if stated and len(stated) != len(file.names or ()):
            raise AevlpError(
                f"{file.path} has {len(file.names or ())} ClassLabel names and the manifest lists {len(stated)} classes: leave "
                f"`classes` out, the file's are taken"
            )
    return stated or (with_names[0].names if with_names else None)


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
        yield from chunk.to_pylist()
