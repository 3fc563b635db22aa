"""Scores of one or more trainings, and truth -> bootstrap intervals of mean average precision, and of its difference."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .errors import AevlpError
from .metrics import checked

BLOCK = 500_000  # entries (image, resample) at a time: enough to keep numpy busy, few enough for the processor's cache


@dataclass(frozen=True)
class Interval:
    """The ends of an interval, in the unit of what was measured."""

    low: float
    high: float


@dataclass(frozen=True)
class Ranking:
    """A class's images by falling score, cut into K stretches; each ends with a group of equal scores that holds a positive.

    images: (n,) row numbers, down to the last such group; starts: (K,) where in them each stretch begins.
    positives: (P,) the row numbers of the positives; positive_starts: (K,) where in them each stretch begins.
    """

    images: np.ndarray
    starts: np.ndarray
    positives: np.ndarray
    positive_starts: np.ndarray


def map_interval(
    scores: Sequence[np.ndarray], truth: np.ndarray, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Interval:
    """Return the percentile bootstrap interval of mAP, averaged over S trainings, in [0, 1].

    level: the share of resamples inside, above 0 and below 1. The rest, and what is raised: as for `resampled_maps` and
    `percentile_interval`.
    """
    check_level(level)
    return percentile_interval(resampled_maps(scores, truth, resamples, seed), level)


def resampled_maps(scores: Sequence[np.ndarray], truth: np.ndarray, resamples: int = 1000, seed: int = 0) -> np.ndarray:
    """Return mAP, averaged over S trainings, in each resample, (resamples,) float64, NaN where one misses every positive.

    scores: S >= 1 matrices (N, C), one a training seed; truth: (N, C), positive where it equals 1. A resample draws N images
    with replacement, the same for every training, and, where S > 1, S trainings with replacement too. The same seed draws the
    same images, and of as many trainings the same ones, for any scores: the nth resamples of two methods are paired,
    and the interval of a difference is `percentile_interval` of that of the two.
    A class without positives counts 0, as in `mean_average_precision`; one whose positives a resample misses is left out of
    that resample's mean.
    Raises AevlpError for scores that `average_precision` refuses, no matrix, and too few resamples.
    """
    if resamples < 1:
        raise AevlpError(f"a bootstrap needs at least one resample, found {resamples}")
    if not len(scores):
        raise AevlpError("a bootstrap needs the scores of at least one training, found none")
    pairs = [checked(matrix, truth) for matrix in scores]
    positive = pairs[0][1]
    images, classes = positive.shape
    present = np.flatnonzero(positive.any(axis=0))
    if not len(present):
        return np.zeros(resamples)
    rankings = [[rank(matrix[:, c], positive[:, c]) for c in present] for matrix, _ in pairs]
    image_draws, training_draws = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))
    maps = []
    for size in _block_sizes(resamples, images):
        counts = _draw(image_draws, images, size)
        precision = np.array([[resampled_average_precision(r, counts) for r in training] for training in rankings])
        missed = np.isnan(precision[0]).sum(axis=0)
        each = np.nansum(precision, axis=1) / np.maximum(classes - missed, 1)
        each[:, missed == len(present)] = np.nan
        maps.append((each * _draw(training_draws, len(rankings), size)).sum(axis=0) / len(rankings))
    return np.concatenate(maps)


def percentile_interval(values: np.ndarray, level: float = 0.95) -> Interval:
    """Return the interval that leaves out equal shares of the values (resamples,) at both ends; those that are NaN do not count.

    Raises AevlpError for a level that is not above 0 and below 1, and where every value is NaN.
    """
    check_level(level)
    counted = values[~np.isnan(values)]
    if not len(counted):
        raise AevlpError(f"none of {len(values)} resamples holds a positive: draw more resamples")
    low, high = np.quantile(counted, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def check_level(level: float) -> None:
    """Raise AevlpError for a share of resamples that no interval can hold."""
    if not 0 < level < 1:
        raise AevlpError(f"the level of an interval must be above 0 and below 1, found {level}")


def rank(scores: np.ndarray, positive: np.ndarray) -> Ranking:
    """Return the ranking of one class: scores (N,) finite, positive (N,) bool with at least one True."""
    order = np.argsort(-scores, kind="stable")
    group = np.append(0, np.cumsum(np.diff(scores[order]) != 0))  # of each rank: which distinct score it has
    ranks = np.flatnonzero(positive[order])
    _, positive_starts = np.unique(group[ranks], return_index=True)
    ends = np.searchsorted(group, group[ranks][positive_starts], side="right")
    return Ranking(order[: ends[-1]], np.append(0, ends[:-1]), order[ranks], positive_starts)


def resampled_average_precision(ranking: Ranking, counts: np.ndarray) -> np.ndarray:
    """Return a class's average precision in each of B resamples, (B,) float64, NaN where one misses all its positives.

    counts: (N, B) int32, how often a resample holds each image. With counts of 1 it is `average_precision`.
    """
    found = np.add.reduceat(counts[ranking.positives], ranking.positive_starts, axis=0, dtype=np.int32)
    taken = np.add.reduceat(counts[ranking.images], ranking.starts, axis=0, dtype=np.int32)
    precision = np.cumsum(found, axis=0) / np.maximum(np.cumsum(taken, axis=0), 1)
    with np.errstate(invalid="ignore"):  # 0 / 0 where no positive was drawn
        return (found * precision).sum(axis=0) / found.sum(axis=0)


def _draw(generator: np.random.Generator, n: int, resamples: int) -> np.ndarray:
    """Return how often each of n things is drawn in n draws with replacement, (n, resamples) int32."""
    drawn = generator.integers(n, size=(resamples, n)) + n * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=n * resamples).reshape(resamples, n)
    return np.ascontiguousarray(counts.T, dtype=np.int32)


def _block_sizes(resamples: int, images: int) -> list[int]:
    block = max(1, BLOCK // images)
    return [min(block, resamples - start) for start in range(0, resamples, block)]
