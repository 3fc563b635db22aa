"""A table of labelled images, or a number of them -> rows of a cache and all their labels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...pipeline.datasets import table as tables
from ...pipeline.datasets.faults import refuse
from ...pipeline.errors import AevlpError, counted
from ...pipeline.manifest.formats import TableSpec
from ...pipeline.runtime.seeding import derive
from ...pipeline.score_cache import ScoreCache
from ..console import say
from .options import CalibrateOptions


@dataclass(frozen=True)
class Labelled:
    """Rows of the training split, ascending, and their full labels (n, C); what they are, in words."""

    rows: np.ndarray
    truth: np.ndarray
    words: str


def labelled_images(options: CalibrateOptions, cache: ScoreCache, train: np.ndarray) -> Labelled | None:
    """Return rows of the training split whose labels are all known, by a table or by the cache; None where neither is asked.

    train: the rows of the training part. Raises AevlpError for a table that holds others, and for too few or too many.
    """
    if options.labelled is not None:
        return _from_table(options.labelled, cache, train)
    if options.labelled_truth is None:
        return None
    if cache.truth is None:
        raise AevlpError(f"--labelled-truth needs full labels, and {cache.path} has none: give --labelled FILE")
    count = options.labelled_truth
    if not 1 <= count <= len(train):
        raise AevlpError(
            f"--labelled-truth must be from 1 to the number of scored training images, {len(train):,}, found {count}"
        )
    random = np.random.default_rng(derive(options.seed, "labelled"))
    rows = np.sort(random.choice(train, size=count, replace=False))
    return Labelled(rows, cache.truth[rows], f"{count:,} training images whose truth is known, seed {options.seed}")


def _from_table(path: Path, cache: ScoreCache, train: np.ndarray) -> Labelled:
    if not path.is_file():
        raise AevlpError(f"no labelled images {path}: expected a table with the columns image and labels")
    spec = TableSpec(title="labelled images", format="table", table=path.name, classes=tuple(cache.classes))
    listings = tables.read(spec.placed(path.name, path), path.parent, refuse)
    if not listings.complete:
        why = listings.remarks[0].text
        raise AevlpError(f"{path}: some labels are not known, and a labelled image needs all of them: {why}")
    listing = listings.splits["train"]
    row_of = {name: row for row, name in enumerate(cache.ids.tolist())}
    if strange := [name for name in listing.ids if name not in row_of]:
        raise AevlpError(
            f"{path}: {counted(len(strange), 'image is', 'images are')} not in {cache.path}, first {strange[0]!r}"
        )
    rows = np.array([row_of[name] for name in listing.ids], dtype=np.int64)
    if (held := cache.split[rows] != "train").any():
        raise AevlpError(
            f"{path}: {counted(held.sum(), 'image is', 'images are')} not of the training split, first "
            f"{listing.ids[int(held.argmax())]!r}: label images of the training split, the others are there to evaluate by"
        )
    scored = cache.status[rows] == "ok"
    if not scored.all():
        say(f"{path}: {counted((~scored).sum(), 'image')} could not be scored: left out")
    if chosen_by := int((scored & ~np.isin(rows, train)).sum()):
        say(
            f"{path}: {counted(chosen_by, 'image is', 'images are')} of the validation part, by which training chooses its epoch"
        )
    order = np.argsort(rows[scored])
    return Labelled(
        rows[scored][order], listing.labels[scored][order], f"{counted(scored.sum(), 'image')} of {path.name}"
    )
