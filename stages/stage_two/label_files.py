"""Rows of labels -> a file, and the manifest that reads it again as a data set."""

import csv
import json
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from ...pipeline.files.atomic_write import replacing
from ...pipeline.sources.written_labels import COLUMNS, RowOf, reading_keys, separator_for

SUFFIXES = (".csv", ".jsonl", ".parquet")
A_WRITE = 50_000  # rows


def write_labels(rows: Iterator[dict[str, Any]], of: RowOf, classes: Sequence[str], path: Path) -> None:
    """Write rows one by one as the file that the suffix of `path` says; each has the columns of what a row is `of`."""
    if of == "label" and separator_for(classes) is None:
        rows = ({**row, "label": row["label"] and json.dumps([row["label"]], ensure_ascii=False)} for row in rows)
    with replacing(path) as temporary:
        if path.suffix == ".parquet":
            _write_parquet(rows, of, temporary)
            return
        with temporary.open("w", encoding="utf-8", newline="") as file:
            if path.suffix == ".jsonl":
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
                return
            writer = csv.writer(file)
            writer.writerow(COLUMNS[of])
            for row in rows:
                writer.writerow([_cell(value) for value in row.values()])


def write_manifest(of: RowOf, classes: Sequence[str], path: Path, manifest: Path, root: Path, title: str) -> None:
    """Write the entry by which a file of labels is read again: its classes, its columns, and the folder of the images.

    root: that folder; the manifest leads there from its own.
    """
    root = Path(os.path.abspath(root))  # noqa: PTH100, resolve() would follow links
    content = {
        "title": f"Labels of {title}",
        "format": "table",
        "root": os.path.relpath(root, manifest.absolute().parent),
        "table": os.path.relpath(path.absolute(), root),
        **reading_keys(of, classes),
        "classes": list(classes),
    }
    text = yaml.safe_dump({"datasets": {path.stem: content}}, sort_keys=False, allow_unicode=True, width=120)
    with replacing(manifest) as temporary:
        temporary.write_text(
            f"# Reads {path.name}, written by aevlp labels: aevlp run {manifest.name}\n{text}", encoding="utf-8"
        )


def _write_parquet(rows: Iterator[dict[str, Any]], of: RowOf, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, number = pa.string(), pa.float64()
    kinds = (text, number, text) if of == "label" else map(pa.list_, (text, number, text))
    schema = pa.schema(list(zip(COLUMNS[of], (text, *kinds, text), strict=True)))
    with pq.ParquetWriter(path, schema) as writer:
        while some := list(islice(rows, A_WRITE)):
            writer.write_table(pa.Table.from_pylist(some, schema))


def _cell(value: Any) -> Any:
    """Return a value of a CSV: a list as JSON writes it, which holds any name."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value
