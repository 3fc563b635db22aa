"""A cache and a policy -> a table of labels, for people who want nothing else."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.errors import AevlpError, counted
from ...pipeline.files.locations import RemotePath
from ...pipeline.labels.codes import POSITIVE, UNKNOWN, effective
from ...pipeline.losses import entry
from ...pipeline.method_names import set_constants
from ...pipeline.policies.labelling import label
from ...pipeline.review.corrections import CorrectedCache, corrected, read_corrections
from ...pipeline.score_cache import ScoreCache, open_whole_cache
from ...pipeline.sources.written_labels import COLUMNS, CORRECTED, OBSERVED, PSEUDO, RowOf
from ..cache_origin import data_root, dataset_of
from ..console import out, print_result, say
from ..declaration import takes
from ..new_files import check_unused
from ..results import Table
from .asked_methods import asked_policy, check_used
from .label_files import SUFFIXES, write_labels, write_manifest
from .labels_plan import policy_of
from .options import LabelsOptions


@dataclass(frozen=True, repr=False)
class LabelTable(Table):
    """Positive labels, a row for each, or a row an image; images without any have one without a label.

    cache: that they are of. places, columns_of: (n,) numbers of the images' rows and of the classes, -1 for no label.
    scores: (n,) float32, of the policy, in [0, 1]. sources: (n,) "observed", "pseudo" or "corrected". of: "label" or "image".
    left_out: images that could not be scored. output, manifest: the file, and what reads it again, where one was written; of
    images in a store there is no manifest.
    """

    cache: ScoreCache
    places: np.ndarray
    columns_of: np.ndarray
    scores: np.ndarray
    sources: np.ndarray
    of: RowOf = "label"
    left_out: int = 0
    output: Path | None = None
    manifest: Path | None = None

    @property
    def columns(self) -> Sequence[str]:
        return COLUMNS[self.of]

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
    root = data_root(cache, options.data_root, needed=False)
    write_labels(table.each(), table.of, cache.classes, target)
    if isinstance(root, RemotePath):  # and a manifest's table has to be where its images are
        return replace(table, output=target)
    write_manifest(table.of, cache.classes, target, manifest, root, spec.title)
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
        if table.manifest is None:
            say("its images are in a store: to read it again, copy them to a folder, and name that as --data-root")
        else:
            out.print(f"read it again: aevlp run {table.manifest}")
    if table.left_out:
        say(f"{counted(table.left_out, 'image')} that could not be scored are left out")


def _table(cache: ScoreCache, rows: np.ndarray, codes: np.ndarray, scores: np.ndarray, of: RowOf) -> LabelTable:
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
