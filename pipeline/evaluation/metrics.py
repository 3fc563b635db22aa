"""Scores, labels or label codes, and truth -> average precision, precision, recall and F1. All in float64, in [0, 1]."""

from dataclasses import dataclass

import numpy as np

from ..errors import AevlpError
from ..labels.codes import NEGATIVE, POSITIVE


def average_precision(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return each class's average precision, (C,) float64: the sum over distinct scores of recall gained times precision.

    scores: (N, C), any finite numbers, higher is more likely. truth: (N, C), positive where it equals 1. Equal scores count
    as one step, as in scikit-learn's average_precision_score. A class without positives gets 0.
    Raises AevlpError where shapes differ or a score is not finite.
    """
    scores, positive = checked(scores, truth)
    return np.array([_one_class(scores[:, c], positive[:, c]) for c in range(scores.shape[1])])


def precision_of_each(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return `average_precision`, of which one class at a time is held in double precision: for many images and classes."""
    return np.array([average_precision(scores[:, [c]], truth[:, [c]])[0] for c in range(scores.shape[1])])


def mean_average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return the unweighted mean of `average_precision` over all classes, those without positives included."""
    return float(average_precision(scores, truth).mean())


def classes_without_positives(truth: np.ndarray) -> np.ndarray:
    """Return the columns (k,) int64 of `truth` (N, C) that hold no 1: their average precision is 0 by definition."""
    return np.flatnonzero(~(np.asarray(truth) == 1).any(axis=0))


def micro_average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return the average precision of all N * C entries in one ranking, as scikit-learn's with average="micro".

    scores, truth and what is raised: as for `average_precision`; 0 where nothing is positive.
    """
    scores, positive = checked(scores, truth)
    return _one_class(scores.ravel(), positive.ravel())


def ranked_precision(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return average precision as the programs of Tran et al. 2025 and Ding et al. 2023 report it, (C,) float64.

    It is the sum over a class's positives of the precision at their rank, over (positives + 1e-8). Every image has a rank of
    its own: of equal scores the lower row comes first, where the published order is undefined.
    scores, truth and what is raised: as for `average_precision`, which it agrees with to 1e-8 where no scores are equal.
    """
    scores, positive = checked(scores, truth)
    hits = np.take_along_axis(positive, np.argsort(-scores, axis=0, kind="stable"), axis=0)
    precision = np.cumsum(hits, axis=0) / np.arange(1, len(hits) + 1)[:, None]
    return (hits * precision).sum(axis=0) / (hits.sum(axis=0) + 1e-8)


@dataclass(frozen=True)
class TopKQuality:
    """How good the k highest scores of an image are, averaged over images, as in Cole et al. 2021.

    precision: the positives among the k, over k; recall: the positives among the k, over the image's positives, 0 for an
    image without any; hit: the share of images with at least one positive among the k.
    """

    precision: float
    recall: float
    hit: float


def top_k_quality(scores: np.ndarray, truth: np.ndarray, k: int) -> TopKQuality:
    """Return the quality of each image's k highest scores, k in 1..C; of equal scores the lower class comes first.

    scores, truth and what is raised: as for `average_precision`; AevlpError for another k too.
    """
    scores, positive = checked(scores, truth)
    hits = (predicted_top_k(scores, k) & positive).sum(axis=1)
    recall = _ratios(hits, positive.sum(axis=1))
    return TopKQuality(float((hits / k).mean()), float(recall.mean()), float((hits > 0).mean()))


def predicted_at_threshold(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Return the labels (N, C) bool whose score is at least `threshold`; AevlpError where either is not finite."""
    if not np.isfinite(threshold):
        raise AevlpError(f"the threshold must be finite, found {threshold}")
    return _checked_scores(scores) >= threshold


def predicted_top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the labels (N, C) bool of each image's k highest scores, exactly k an image, k in 1..C.

    Of equal scores the lower class comes first. Raises AevlpError for another k and where a score is not finite.
    """
    scores = _checked_scores(scores)
    classes = scores.shape[1]
    if k not in range(1, classes + 1):
        raise AevlpError(f"k must be a whole number from 1 to the number of classes, {classes}, found {k}")
    predicted = np.zeros(scores.shape, dtype=bool)
    np.put_along_axis(predicted, np.argsort(-scores, axis=1, kind="stable")[:, :k], True, axis=1)
    return predicted


@dataclass(frozen=True)
class F1Scores:
    """Precision, recall and F1 of predicted labels; a ratio without any entry is 0.

    overall_*: over all entries at once (OP, OR, OF1; scikit-learn's micro average). mean_precision, mean_recall: unweighted
    means over classes (CP, CR); f1_of_means: their harmonic mean (CF1). The names in brackets are those of Chen et al. 2019
    (ML-GCN). mean_f1: the mean of the classes' F1, scikit-learn's macro average, which is not CF1.
    precision, recall, f1: of each class, (C,) float64.
    """

    overall_precision: float
    overall_recall: float
    overall_f1: float
    mean_precision: float
    mean_recall: float
    f1_of_means: float
    mean_f1: float
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray


def f1_scores(predicted: np.ndarray, truth: np.ndarray) -> F1Scores:
    """Return precision, recall and F1 of `predicted` (N, C), 0/1 or bool, against `truth` (N, C), positive where it equals 1.

    Raises AevlpError where shapes differ, nothing is there, or a prediction is neither 0 nor 1.
    """
    labels, positive = np.asarray(predicted), np.asarray(truth) == 1
    _check_shapes("predicted labels", labels, positive)
    if not np.isin(labels, (0, 1)).all():
        odd = labels[~np.isin(labels, (0, 1))][0]
        raise AevlpError(f"predicted labels must be 0 or 1, found {odd}: turn scores into labels first")
    labels = labels == 1
    hits, claimed, present = ((labels & positive).sum(axis=0), labels.sum(axis=0), positive.sum(axis=0))
    precision, recall, f1 = _ratios(hits, claimed), _ratios(hits, present), _ratios(2 * hits, claimed + present)
    mean_precision, mean_recall = float(precision.mean()), float(recall.mean())
    return F1Scores(
        overall_precision=_ratio(hits.sum(), claimed.sum()),
        overall_recall=_ratio(hits.sum(), present.sum()),
        overall_f1=_ratio(2 * hits.sum(), claimed.sum() + present.sum()),
        mean_precision=mean_precision,
        mean_recall=mean_recall,
        f1_of_means=_ratio(2 * mean_precision * mean_recall, mean_precision + mean_recall),
        mean_f1=float(f1.mean()),
        precision=precision,
        recall=recall,
        f1=f1,
    )


def checked(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return scores (N, C) float64 and where truth is positive (N, C) bool; AevlpError as `average_precision` says."""
    scores, positive = np.asarray(scores, dtype=np.float64), np.asarray(truth) == 1
    _check_shapes("scores", scores, positive)
    return _checked_scores(scores), positive


def _check_shapes(name: str, values: np.ndarray, truth: np.ndarray) -> None:
    if values.ndim != 2 or values.shape != truth.shape:
        raise AevlpError(f"{name} and truth must both be (images, classes), found {values.shape} and {truth.shape}")
    if 0 in values.shape:
        raise AevlpError(f"a metric needs at least one image and one class, found {values.shape}")


def _checked_scores(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2:
        raise AevlpError(f"scores must be (images, classes), found {scores.shape}")
    if not np.isfinite(scores).all():
        row, column = np.argwhere(~np.isfinite(scores))[0]
        raise AevlpError(f"scores must be finite, found {scores[row, column]} in row {row}, class {column}")
    return scores


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
class Reliability:
    """Bins of equal width of probabilities, as (bins,) arrays: share of positives, mean probability, count; empty ones are NaN.

    error: the expected calibration error, the mean over entries of |share - mean| of their bin (Guo et al., ICML 2017).
    """

    share: np.ndarray
    mean: np.ndarray
    count: np.ndarray
    error: float


def reliability(probabilities: np.ndarray, positive: np.ndarray, bins: int = 10) -> Reliability:
    """Return how far probabilities (n,) in [0, 1] can be believed; positive: (n,) bool.

    Bins hold their lower end, the last one 1 too.
    """
    of = np.minimum((probabilities * bins).astype(int), bins - 1)
    count = np.bincount(of, minlength=bins)
    with np.errstate(invalid="ignore"):
        share = np.bincount(of, positive, minlength=bins) / count
        mean = np.bincount(of, probabilities, minlength=bins) / count
    filled = count > 0
    error = float((np.abs(share - mean)[filled] * count[filled]).sum() / count.sum())
    return Reliability(share, mean, count, error)


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


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0


def _ratios(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return part / np.maximum(whole, 1)  # of whole numbers, where part <= whole
