"""A cache and a policy -> a table of labels, for people who want nothing else, with the manifest that reads it again."""

import csv
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ...pipeline.errors import AevlpError, counted
from ...pipeline.files.atomic_write import replacing
from ...pipeline.labels.codes import POSITIVE, UNKNOWN, effective
from ...pipeline.losses import entry
from ...pipeline.method_names import set_constants
from ...pipeline.policies.labelling import label
from ...pipeline.review.corrections import CorrectedCache, corrected, read_corrections
from ...pipeline.score_cache import ScoreCache, open_whole_cache
from ..cache_origin import data_root, dataset_of
from ..console import out, print_result, say
from ..declaration import takes
from ..new_files import check_unused
from ..results import Table
from .asked_methods import asked_policy, check_used
from .labels_plan import policy_of
from .options import LabelsOptions

OBSERVED, PSEUDO, CORRECTED = "observed", "pseudo", "corrected"
SUFFIXES = (".csv", ".jsonl", ".parquet")
SEPARATORS = (";", "|", ",", "/", "\t", "~", "^", "¦")
A_WRITE = 50_000  # rows


@dataclass(frozen=True, repr=False)
class LabelTable(Table):
    """Positive labels, a row for each, or a row an image; images without any have one without a label.

    cache: that they are of. places, columns: (n,) numbers of the images' rows and of the classes, -1 for no label.
    scores: (n,) float32, of the policy, in [0, 1]. sources: (n,) "observed", "pseudo" or "corrected". of: "label" or "image".
    left_out: images that could not be scored. output, manifest: the file, and what reads it again, where one was written.
    """

    cache: ScoreCache
    places: np.ndarray
    columns_of: np.ndarray
    scores: np.ndarray
    sources: np.ndarray
    of: str = "label"
    left_out: int = 0
    output: Path | None = None
    manifest: Path | None = None

    @property
    def columns(self) -> Sequence[str]:
        of_each = ("label", "score", "source") if self.of == "label" else ("labels", "scores", "sources")
        return ("image", *of_each, "split")

    @property
    def rows(self) -> list[dict[str, Any]]:
        return list(self.each())

    def __len__(self) -> int:
        return len(self.places) if self.of == "label" else len(np.unique(self.places))

    def each(self) -> Iterator[dict[str, Any]]:
        """Yield the rows one by one."""
        paths, split, classes = self.cache.paths, self.cache.split, self.cache.classes
        starts = np.flatnonzero(np.diff(self.places, prepend=-1))
        if self.of == "label":
            for place, column, score, source in zip(
                self.places, self.columns_of, self.scores, self.sources, strict=True
            ):
                known = {"label": None, "score": None, "source": None}
                if column >= 0:
                    known = {"label": classes[column], "score": round(float(score), 6), "source": str(source)}
                yield {"image": str(paths[place]), **known, "split": str(split[place])}
            return
        for first, last in zip(starts, [*starts[1:], len(self.places)], strict=True):
            here = [n for n in range(first, last) if self.columns_of[n] >= 0]
            yield {
                "image": str(paths[self.places[first]]),
                "labels": [classes[self.columns_of[n]] for n in here],
                "scores": [round(float(self.scores[n]), 6) for n in here],
                "sources": [str(self.sources[n]) for n in here],
                "split": str(split[self.places[first]]),
            }

    def counts(self) -> dict[str, int]:
        """Return how many labels are of each source."""
        labels = self.columns_of >= 0
        return {name: int((self.sources[labels] == name).sum()) for name in (OBSERVED, PSEUDO, CORRECTED)}

    def summary(self) -> dict[str, Any]:
        """Return how many images and labels there are."""
        return {"images": len(np.unique(self.places)), "labels": int((self.columns_of >= 0).sum()), **self.counts()}


@takes(LabelsOptions)
def labels(options: LabelsOptions) -> LabelTable:
    """Return the labels that a training would learn from: observed ones, corrected ones, and a policy's where nothing is known.

    Written where `to` says, with a manifest beside it that reads it again as observed labels. An observed or answered absence
    suppresses a label. Raises AevlpError where a file is there already, or a policy cannot label the cache.
    """
    target = options.to
    manifest = target and target.with_suffix(".yaml")
    if target is not None and target.suffix not in SUFFIXES:
        raise AevlpError(f"--to {target}: expected a {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file")
    for path in (target, manifest):
        if path is not None:
            check_unused(path)
    given = set_constants(options.set or ())
    asked = asked_policy(options.policy or "damp", given)
    check_used(given, [asked.name])
    cache = open_whole_cache(options.cache)
    spec = dataset_of(cache, None, options.manifest)
    if options.corrections is not None:
        cache = corrected(cache, read_corrections(options.corrections))
    plan = policy_of(str(asked), "gpr", entry("gpr"), cache, spec)
    assert plan is not None  # gpr reads labels of a policy
    of_split = np.ones(len(cache), dtype=bool) if options.split is None else cache.split == options.split
    rows = np.flatnonzero(of_split & (cache.status == "ok"))
    if not len(rows):
        raise AevlpError(
            f"{cache.path} holds no readable image{f' of the split {options.split}' * bool(options.split)}"
        )
    found = label(cache, rows, plan.create())
    table = _table(cache, rows, found.codes, found.scores, options.rows)
    table = replace(table, left_out=int(of_split.sum()) - len(rows))
    if target is None or manifest is None:
        return table
    _write(table, target)
    _write_manifest(table, target, manifest, data_root(cache, None, needed=False), spec.title or spec.name)
    return replace(table, output=target, manifest=manifest)


def show(table: LabelTable) -> None:
    """Print how many labels there are, a few of them, and how the file is read again."""
    counts = ", ".join(f"{count:,} {name}" for name, count in table.counts().items() if count)
    if table.output is None:
        for row in islice(table.each(), 20):
            out.print(json.dumps(row, ensure_ascii=False), markup=False, highlight=False)
        out.print("… --to labels.csv writes all" if len(table) > 20 else "--to labels.csv writes them")
    said = f"{counted(table.summary()['labels'], 'label')} of {counted(table.summary()['images'], 'image')} ({counts or 'none'})"
    if table.output is None:
        out.print(said)
    else:
        print_result(table.output, f": {said}")
        out.print(f"read it again: aevlp run {table.manifest}")
    if table.left_out:
        say(f"{counted(table.left_out, 'image')} that could not be scored are left out")


def _table(cache: ScoreCache, rows: np.ndarray, codes: np.ndarray, scores: np.ndarray, of: str) -> LabelTable:
    observed = cache.observed[rows]
    places, columns = np.nonzero(effective(observed, codes) == POSITIVE)
    source = np.where(observed[places, columns] == UNKNOWN, PSEUDO, OBSERVED).astype("<U9")
    if isinstance(cache, CorrectedCache):
        answered = np.zeros(observed.shape, dtype=bool)
        here = np.isin(cache.answered_rows, rows)
        answered[np.searchsorted(rows, cache.answered_rows[here]), cache.answered_columns[here]] = True
        source[answered[places, columns]] = CORRECTED
    without = np.setdiff1d(np.arange(len(rows)), places)
    none = np.zeros(len(without))
    every = np.concatenate([places, without])
    order = np.argsort(every, kind="stable")
    return LabelTable(
        cache,
        rows[every][order],
        np.concatenate([columns, none - 1]).astype(np.int64)[order],
        np.concatenate([scores[places, columns], none]).astype(np.float32)[order],
        np.concatenate([source, np.full(len(without), "")])[order],
        of,
    )


def _write(table: LabelTable, path: Path) -> None:
    with replacing(path) as temporary:
        if path.suffix == ".parquet":
            _write_parquet(table, temporary)
            return
        with temporary.open("w", encoding="utf-8", newline="") as file:
            if path.suffix == ".jsonl":
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in table.each())
                return
            writer = csv.writer(file)
            writer.writerow(table.columns)
            for row in table.each():
                writer.writerow([_cell(value) for value in row.values()])


def _write_parquet(table: LabelTable, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {
        "image": pa.string(),
        "label": pa.string(),
        "score": pa.float64(),
        "source": pa.string(),
        "split": pa.string(),
    }
    kinds |= {"labels": pa.list_(pa.string()), "scores": pa.list_(pa.float64()), "sources": pa.list_(pa.string())}
    schema = pa.schema([(name, kinds[name]) for name in table.columns])
    rows = table.each()
    with pq.ParquetWriter(path, schema) as writer:
        while some := list(islice(rows, A_WRITE)):
            writer.write_table(pa.Table.from_pylist(some, schema))


def _cell(value: Any) -> Any:
    """Return a value of a CSV: a list as JSON writes it, which holds any name."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value


def _write_manifest(table: LabelTable, path: Path, manifest: Path, root: Path, title: str) -> None:
    """Write the entry by which the file is read again: its classes, which column is which, and the folder of the images."""
    root = Path(os.path.abspath(root))  # noqa: PTH100, resolve() would follow links
    names = "".join(table.cache.classes)
    content = {
        "title": f"Labels of {title}",
        "format": "table",
        "root": os.path.relpath(root, manifest.absolute().parent),
        "table": os.path.relpath(path.absolute(), root),
        "image_column": "image",
        "label_column": table.columns[1],
        "split_column": "split",
        "labels": "observed",
        "label_form": "names",
        "classes": list(table.cache.classes),
    }
    if table.of == "label":
        content |= {"rows": "label", "confidence_column": None}
        content["label_separator"] = next((sign for sign in SEPARATORS if sign not in names), SEPARATORS[0])
    text = yaml.safe_dump({"datasets": {path.stem: content}}, sort_keys=False, allow_unicode=True, width=120)
    with replacing(manifest) as temporary:
        temporary.write_text(
            f"# Reads {path.name}, written by aevlp labels: aevlp run {manifest.name}\n{text}", encoding="utf-8"
        )
