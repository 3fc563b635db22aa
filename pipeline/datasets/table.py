"""A CSV, JSON-lines or Parquet file with a row an image: a data set of one's own."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import AevlpError, unknown_name
from ..manifest import TableSpec
from ..single_positive import observe
from .image_table import ImageTable, path_array

Row = tuple[str, str, list[str], str]  # where it stands, image, labels, split


def read(spec: TableSpec, root: Path) -> ImageTable:
    """Return the table's images, training rows first, each split in the table's order.

    Raises AevlpError with file and row for a missing column, an empty or repeated image, an image outside the folder, an
    unknown class or split; and for a table without rows.
    """
    path = root / spec.table
    if not root.is_dir():
        raise AevlpError(f"{spec.name}: no folder {root}: pass the folder that holds {spec.table} as --data-root")
    if not path.is_file():
        raise AevlpError(f"{spec.name}: no table {path}: --data-root must be the folder that holds {spec.table}")
    rows = [_row(spec, path, where, record) for where, record in _records(path)]
    if not rows:
        raise AevlpError(f"{path}: the table has no rows, at least one image is needed")
    rows.sort(key=lambda row: row[3] != "train")  # stable: each split keeps its order
    _refuse_repeats(path, rows)
    classes = _classes(spec, root, rows)
    column = {name: n for n, name in enumerate(classes)}
    labels = np.zeros((len(rows), len(classes)), dtype=np.int8)
    for n, (where, _, names, _) in enumerate(rows):
        for name in names:
            if name not in column:
                raise AevlpError(f"{path}, {where}: {unknown_name('class', name, classes)}")
            labels[n, column[name]] = 1
    split = np.array([row[3] for row in rows])
    complete = spec.labels == "complete"
    observed = labels
    if complete:
        observed = np.concatenate([observe(labels[split == s]) for s in ("train", "test")])
    return ImageTable(
        ids=np.array([row[1] for row in rows]),
        paths=path_array([root / row[1] for row in rows]),
        split=split,
        truth=labels if complete else None,
        observed=observed,
        classes=classes,
        root=root,
    )


def _records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each row as a dictionary, with the words that say where it stands."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".csv":
            with path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file, strict=True)
                for record in reader:
                    where = f"line {reader.line_num}"
                    if None in record or None in record.values():
                        raise AevlpError(
                            f"{path}, {where}: expected {len(reader.fieldnames or [])} fields as in the header"
                        )
                    yield where, record
        elif suffix in (".jsonl", ".ndjson"):
            with path.open(encoding="utf-8-sig") as file:
                for number, line in enumerate(file, 1):
                    if line.strip():
                        try:
                            record = json.loads(line)
                        except json.JSONDecodeError as error:
                            raise AevlpError(f"{path}, line {number}: not valid JSON: {error.msg}") from error
                        if not isinstance(record, dict):
                            raise AevlpError(
                                f"{path}, line {number}: expected a JSON object, found {line.strip()[:60]}"
                            )
                        yield f"line {number}", record
        elif suffix == ".parquet":
            import pyarrow.parquet

            start = 0
            for batch in pyarrow.parquet.ParquetFile(path).iter_batches():
                for number, record in enumerate(batch.to_pylist(), start + 1):
                    yield f"row {number}", record
                start += batch.num_rows
        else:
            raise AevlpError(f"{path}: a table is a .csv, .jsonl or .parquet file")
    except UnicodeDecodeError as error:
        raise AevlpError(f"{path}: not UTF-8 text: {error}") from error
    except csv.Error as error:
        raise AevlpError(f"{path}: not a valid {suffix} file: {error}") from error
    except OSError as error:  # pyarrow's errors derive from it
        raise AevlpError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    except ValueError as error:
        raise AevlpError(f"{path}: not a valid {suffix} file: {' '.join(str(error).split())}") from error


def _row(spec: TableSpec, path: Path, where: str, record: dict[str, Any]) -> Row:
    for column in filter(None, (spec.image_column, spec.label_column, spec.split_column)):
        if column not in record:
            raise AevlpError(f"{path}, {where}: {unknown_name('column', column, map(str, record))}")
    value = record[spec.image_column]
    if not isinstance(value, str | None):
        raise AevlpError(
            f"{path}, {where}: the column {spec.image_column} holds {value!r}, expected an image's path as text"
        )
    image = (value or "").strip()
    if not image:
        raise AevlpError(f"{path}, {where}: the column {spec.image_column} is empty, an image's path is needed")
    if "\0" in image or (not image.isascii() and any("\ud800" <= c <= "\udfff" for c in image)):
        raise AevlpError(f"{path}, {where}: the image {image!r} holds a character that no file name can have")
    if Path(image).is_absolute() or ".." in Path(image).parts:
        raise AevlpError(f"{path}, {where}: {image!r} is not below the data set's folder; paths are relative to it")
    split = str(record[spec.split_column]).strip() if spec.split_column else "train"
    if split not in ("train", "test"):
        raise AevlpError(f"{path}, {where}: the split must be train or test, found {split!r}")
    labels = record[spec.label_column]
    if labels is None:
        labels = []
    names = labels if isinstance(labels, list) else str(labels).split(spec.label_separator)
    return where, image, [name for name in (str(n).strip() for n in names) if name], split


def _refuse_repeats(path: Path, rows: list[Row]) -> None:
    first: dict[str, str] = {}
    for where, image, _, _ in rows:
        file = Path(image).as_posix()  # a/b.jpg and ./a//b.jpg are one
        if file in first:
            raise AevlpError(f"{path}, {where}: the image {image!r} stands in {first[file]} too; each may stand once")
        first[file] = where


def _classes(spec: TableSpec, root: Path, rows: list[Row]) -> tuple[str, ...]:
    if isinstance(spec.classes, tuple):
        return spec.classes
    if spec.classes is None:
        found = tuple(sorted({name for row in rows for name in row[2]}))
        if not found:
            raise AevlpError(f"{root / spec.table}: no row has a label, and the manifest lists no classes")
        return found
    path = root / spec.classes
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise AevlpError(f"{spec.name}: cannot read the class names in {path}: {error}") from error
    names = tuple(line for line in lines if line)
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise AevlpError(f"{path}: classes named twice: {', '.join(twice)}")
    if not names:
        raise AevlpError(f"{path}: the file is empty, expected one class name a line")
    return names
