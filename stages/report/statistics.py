"""A cache -> what a report says of its scores, labels and views, over all of a small cache and blocks of rows of a large one."""

from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np

from ...pipeline.evaluation.teachers import TeacherScores
from ...pipeline.labels.codes import POSITIVE, UNKNOWN, effective
from ...pipeline.labels.damp import DampSettings, damp_codes
from ...pipeline.policies import create_policy
from ...pipeline.score_cache import ScoreCache
from ..caches.inspect import cached_settings
from .drawn_rows import drawn_rows
from .gallery import Looked, looked

LOOKED = 40_000  # images
NUMBERS = 1 << 28  # cosines that are read
DRAWS = 5  # of flips, to see which codes change
CURVE = 200  # points of a curve


@dataclass(frozen=True)
class Statistics:
    """of: scores and codes of the rows that were looked at, n of `images` scored ones. Shares are in [0, 1].

    settings: the constants of the cache. teachers: scores (n, C) of CLIP without training by the name of each teacher, as `aevlp
    inspect` measures them: no observed label is read. whole, tiles: (C,) int64, pseudo-positives that the whole image alone has
    too, and those that only the tiles bring. agreement: (V - 1,) how often each tile's most likely class is the whole image's.
    changes: (C,) how often a code changes over `DRAWS` draws of flips, of the rows in `redrawn`; None with a single flip.
    """

    of: Looked
    images: int
    settings: DampSettings
    teachers: dict[str, np.ndarray]
    whole: np.ndarray
    tiles: np.ndarray
    agreement: np.ndarray
    changes: np.ndarray | None
    redrawn: int

    @property
    def complete(self) -> bool:
        """Whether every scored image was looked at."""
        return len(self.of.rows) == self.images

    @cached_property
    def pseudo(self) -> np.ndarray:
        """Pseudo-labels (n, C) int8 where nothing is observed, 0 elsewhere."""
        return np.where(self.of.observed == UNKNOWN, self.of.code, np.int8(UNKNOWN))

    @cached_property
    def used(self) -> np.ndarray:
        """The labels (n, C) int8 that a training sees: observed, and pseudo-labels of the rest."""
        return effective(self.of.observed, self.of.code)


def statistics(cache: ScoreCache, seed: int = 0) -> Statistics:
    """Return what there is to say of a cache; equal arguments, equal figures."""
    settings = cached_settings(cache)
    a_row = cache.header.flips * cache.header.views * len(cache.classes)
    rows = drawn_rows(cache, min(LOOKED, max(1024, NUMBERS // a_row)), seed)
    of = looked(cache, rows, settings)
    positive, whole = of.code == POSITIVE, of.whole_code == POSITIVE
    teachers, agreement = _of_views(cache, rows, settings)
    few = rows if len(rows) <= 10_000 else rows[:10_000]
    return Statistics(
        of,
        int((cache.status == "ok").sum()),
        settings,
        teachers,
        (positive & whole).sum(axis=0),
        (positive & ~whole).sum(axis=0),
        agreement,
        _changes(cache, few, settings) if cache.header.flips > 1 and len(rows) else None,
        len(few),
    )


def curve(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return recall and precision at each distinct score of entries (n,), the highest first, thinned to `CURVE` points.

    positive: (n,) bool, at least one. Both begin where the highest scores are labelled alone.
    """
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    hits = np.cumsum(positive[order])[last]
    recall, precision = hits / hits[-1], hits / (last + 1)
    if len(last) > CURVE:  # evenly along the recall
        at = np.unique(np.searchsorted(recall, np.linspace(recall[0], 1, CURVE)).clip(0, len(last) - 1))
        recall, precision = recall[at], precision[at]
    return recall, precision


def label_quality(
    codes: np.ndarray, observed: np.ndarray, truth: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return precision, recall and F1 (C,) of pseudo-positives on what nobody observed; NaN where nothing counts."""
    free = observed != POSITIVE  # as `pseudo_label_quality` counts
    claimed, present = (codes == POSITIVE) & free, (truth == 1) & free
    hits = (claimed & present).sum(axis=0)
    with np.errstate(invalid="ignore"):
        precision, recall = hits / claimed.sum(axis=0), hits / present.sum(axis=0)
        return precision, recall, 2 * hits / (claimed.sum(axis=0) + present.sum(axis=0))


def together(labels: np.ndarray) -> np.ndarray:
    """Return how often a class stands beside another (C, C): of the images with the row's class, the share with the column's."""
    positive = (labels == POSITIVE).astype(np.float32)
    both = positive.T @ positive
    return both / np.maximum(np.diag(both)[:, None], 1)


def _of_views(cache: ScoreCache, rows: np.ndarray, settings: DampSettings) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the teachers' scores, and how often each tile's first class is the whole image's; cosines are read once."""
    scores = TeacherScores(cache, rows, [create_policy("damp", **asdict(settings))])
    agree = np.zeros(cache.header.views - 1)
    for numbers, cosines in cache.views(rows):
        scores(numbers, cosines)
        first = cosines.argmax(axis=2)
        agree += (first[:, 1:] == first[:, :1]).sum(axis=0)
    [teachers] = scores.found
    return teachers, agree / max(1, len(rows))


def _changes(cache: ScoreCache, rows: np.ndarray, settings: DampSettings) -> np.ndarray:
    """Return how often the code of an epoch is not that of the mean over the flips, (C,)."""
    observed = cache.labels("observed", rows)
    still = np.empty(observed.shape, np.int8)
    for numbers, cosines in cache.views(rows):
        here = np.searchsorted(rows, numbers)
        still[here] = damp_codes(cosines, observed[here], settings)
    changed = np.zeros(observed.shape[1])
    for epoch in range(1, DRAWS + 1):
        for numbers, cosines in cache.views(rows, epoch):
            here = np.searchsorted(rows, numbers)
            changed += (damp_codes(cosines, observed[here], settings) != still[here]).sum(axis=0)
    return changed / (DRAWS * len(rows))
