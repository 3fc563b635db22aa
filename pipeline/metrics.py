"""Scores and truth -> average precision; label codes and truth -> precision and recall. All in float64, in [0, 1]."""

from dataclasses import dataclass

import numpy as np

from .errors import AevlpError
from .label_codes import NEGATIVE, POSITIVE


def average_precision(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return each class's average precision, (C,) float64: the sum over distinct scores of recall gained times precision.

    scores: (N, C), any finite numbers, higher is more likely. truth: (N, C), positive where it equals 1. Equal scores count
    as one step, as in scikit-learn's average_precision_score. A class without positives gets 0.
    Raises AevlpError where shapes differ or a score is not finite.
    """
    scores, positive = _checked(scores, truth)
    return np.array([_one_class(scores[:, c], positive[:, c]) for c in range(scores.shape[1])])


def mean_average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return the unweighted mean of `average_precision` over all classes, those without positives included."""
    return float(average_precision(scores, truth).mean())


def classes_without_positives(truth: np.ndarray) -> np.ndarray:
    """Return the columns (k,) int64 of `truth` (N, C) that hold no 1: their average precision is 0 by definition."""
    return np.flatnonzero(~(np.asarray(truth) == 1).any(axis=0))


def _checked(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, truth = np.asarray(scores, dtype=np.float64), np.asarray(truth)
    if scores.ndim != 2 or scores.shape != truth.shape:
        raise AevlpError(f"scores and truth must both be (images, classes), found {scores.shape} and {truth.shape}")
    if 0 in scores.shape:
        raise AevlpError(f"average precision needs at least one image and one class, found {scores.shape}")
    if not np.isfinite(scores).all():
        row, column = np.argwhere(~np.isfinite(scores))[0]
        raise AevlpError(f"scores must be finite, found {scores[row, column]} in row {row}, class {column}")
    return scores, truth == 1


def _one_class(scores: np.ndarray, positive: np.ndarray) -> float:
    order = np.argsort(-scores, kind="stable")
    scores, positive = scores[order], positive[order]
    last_of_each_score = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    hits = np.cumsum(positive)[last_of_each_score]
    if hits[-1] == 0:
        return 0.0
    precision = hits / (last_of_each_score + 1)
    return float((np.diff(hits, prepend=0) * precision).sum() / hits[-1])


@dataclass(frozen=True)
class PseudoLabelQuality:
    """How good pseudo-labels are where no positive was observed; a ratio without any entry is 0.

    precision: true among pseudo-positives; recall: found among true positives that are not observed; f1: their harmonic
    mean; f1_published: 1 / (1 / precision + 1 / recall), half of f1, as the published program reports it.
    negative_precision: truly absent among pseudo-negatives on entries that nobody observed. positives, negatives: how many
    pseudo-labels of each kind.
    hidden: how many true positives are not observed.
    """

    precision: float
    recall: float
    f1: float
    f1_published: float
    negative_precision: float
    positives: int
    negatives: int
    hidden: int


def pseudo_label_quality(codes: np.ndarray, observed: np.ndarray, truth: np.ndarray) -> PseudoLabelQuality:
    """Return the quality of pseudo-label `codes` (N, C) against `truth` (N, C), on entries that `observed` (N, C) leaves open."""
    codes, observed, truth = np.asarray(codes), np.asarray(observed), np.asarray(truth)
    if not codes.shape == observed.shape == truth.shape:
        raise AevlpError(f"codes, observed and truth must match, found {codes.shape}, {observed.shape}, {truth.shape}")
    free = observed != POSITIVE
    present = (truth == 1) & free
    positive, negative = (codes == POSITIVE) & free, (codes == NEGATIVE) & (observed == 0)
    hits = int((positive & present).sum())
    precision, recall = _ratio(hits, int(positive.sum())), _ratio(hits, int(present.sum()))
    half = 0.0 if hits == 0 else 1 / (1 / precision + 1 / recall)
    return PseudoLabelQuality(
        precision=precision,
        recall=recall,
        f1=2 * half,
        f1_published=half,
        negative_precision=_ratio(int((negative & ~present).sum()), int(negative.sum())),
        positives=int(positive.sum()),
        negatives=int(negative.sum()),
        hidden=int(present.sum()),
    )


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
