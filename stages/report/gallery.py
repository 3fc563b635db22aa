"""Scores and codes of a cache's images -> the pictures of each class that are worth looking at."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...pipeline.labels.codes import NEGATIVE, POSITIVE, UNKNOWN
from ...pipeline.labels.damp import DampSettings, codes_from_scores, damp_scores
from ...pipeline.score_cache import ScoreCache

SUREST, MISSED, CONTRADICTED, DIFFERENT = "surest", "missed", "contradicted", "different"


@dataclass(frozen=True)
class Looked:
    """What is known of the rows that a report looks at, by the constants of the cache.

    rows: (n,) row numbers. score, whole_score: (n, C) final scores, of all views and of the whole image alone.
    code, whole_code, observed: (n, C) int8. truth: (n, C) int8 0/1, None where it is not known.
    """

    rows: np.ndarray
    score: np.ndarray
    whole_score: np.ndarray
    code: np.ndarray
    whole_code: np.ndarray
    observed: np.ndarray
    truth: np.ndarray | None

    @property
    def by_frequency(self) -> np.ndarray:
        """The classes (C,), those first that most images show, or are labelled with where truth is not known."""
        labelled = (self.code == POSITIVE) | (self.observed == POSITIVE)
        shown = labelled if self.truth is None else self.truth == 1
        return np.argsort(-shown.sum(axis=0), kind="stable")


def looked(cache: ScoreCache, rows: np.ndarray, settings: DampSettings) -> Looked:
    """Return scores and codes of some rows, ascending numbers of scored images; the cosines are read once."""
    shape = (len(rows), len(cache.classes))
    score, whole_score = np.empty(shape, np.float32), np.empty(shape, np.float32)
    code, whole_code = np.empty(shape, np.int8), np.empty(shape, np.int8)
    observed = cache.labels("observed", rows)
    truth = cache.labels("truth", rows) if cache.header.has_truth else None
    for numbers, cosines in cache.views(rows):
        here = np.searchsorted(rows, numbers)
        for views, to, codes in ((slice(None), score, code), (slice(1), whole_score, whole_code)):
            final, ranking = damp_scores(cosines[:, views], observed[here], settings)
            to[here], codes[here] = final, codes_from_scores(final, ranking, settings)
    return Looked(rows, score, whole_score, code, whole_code, observed, truth)


def chosen(of: Looked, column: int, most: int) -> dict[str, list[int]]:
    """Return, for each kind of picture, up to `most` places in `of.rows`, the most telling first; of equal ones the first row.

    surest: labelled positive, by score. missed: not labelled and not observed, by score; where truth is known, only those that
    show the class. contradicted: observed positives with the lowest score, and observed negatives with the highest.
    different: positive by all views and not by the whole image alone, or the other way round, by the difference of scores.
    """
    score, code, observed = of.score[:, column], of.code[:, column], of.observed[:, column]
    positive, whole_positive = code == POSITIVE, of.whole_code[:, column] == POSITIVE
    missed = ~positive & (observed == UNKNOWN)
    if of.truth is not None:
        missed &= of.truth[:, column] == 1
    low = _first(observed == POSITIVE, -score, most)
    high = _first(observed == NEGATIVE, score, most)
    return {
        SUREST: _first(positive, score, most),
        MISSED: _first(missed, score, most),
        CONTRADICTED: _alternating(low, high, most),
        DIFFERENT: _first(positive != whole_positive, np.abs(score - of.whole_score[:, column]), most),
    }


def _first(wanted: np.ndarray, merit: np.ndarray, most: int) -> list[int]:
    places = np.flatnonzero(wanted)
    return places[np.argsort(-merit[places], kind="stable")[:most]].tolist()


def _alternating(one: list[int], other: list[int], most: int) -> list[int]:
    """Return up to `most` of two lists in turn, more of one where the other is short."""

    def turns() -> Iterator[int]:
        for n in range(max(len(one), len(other))):
            yield from one[n : n + 1]
            yield from other[n : n + 1]

    return list(turns())[:most]
