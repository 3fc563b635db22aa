"""Scores of one or more trainings, and truth -> intervals of mean average precision and of its difference, without resampling.

What they are intervals of is the mAP of the whole population that the test images were drawn from, each independently: the mAP
that ever larger test sets come to. That of a small set lies above it, for each positive counts for its own precision, by about
1 / P for P positives: a share that averages over classes keep, while the spread shrinks. So the middle of an interval
is the mAP in which every image is judged by the others, its spread is that of the jackknife.

The jackknife's spread: Tukey (1958), Efron and Stein, "The jackknife estimate of variance" (1981). Logits: Boyd, Eng and Page,
"Area under the precision-recall curve: point estimates and confidence intervals" (2013). Degrees of freedom: Satterthwaite,
"An approximate distribution of estimates of variance components" (1946).
tests/test_coverage.py shows by simulation how often these intervals hold the truth.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtr, stdtrit  # Student's t: the probability below a value, and the value of a probability

from ..datasets.left_out import left_out_precision
from ..errors import AevlpError
from .metrics import average_precision, checked

LEVEL = 0.95
FEWEST = 5  # positives of a class: with fewer the intervals of a simulation hold the truth less often than they say
FEWEST_IN_ALL = 20  # degrees of freedom that the positives give
MOST_FREEDOM = 1000.0  # from here on Student's t is the normal distribution
TOO_FEW = "too few positives"


@dataclass(frozen=True)
class Interval:
    """The ends of an interval, as fractions."""

    low: float
    high: float


@dataclass(frozen=True)
class NoInterval:
    """Why no interval would be honest. what: to stand in its place. why: the numbers behind it."""

    what: str
    why: str

    @property
    def reason(self) -> str:
        """Both in one line."""
        return f"{self.what}, {self.why}"


@dataclass(frozen=True)
class Judged:
    """What the test images say of S trainings of one method.

    maps: (S,) mAP. left_out: (S,) mAP with each image judged by the others. influences: (S, N) what each image adds to that.
    classes: (P,) the average precision of the P classes with positives that `left_out` is made of, the mean of the trainings.
    leaning: (P,) the covariance of it with the mean mAP, as far as the images go. positives: (C,) int64, of every class.
    Floats are float64 in [-1, 1].
    """

    maps: np.ndarray
    left_out: np.ndarray
    influences: np.ndarray
    classes: np.ndarray
    leaning: np.ndarray
    positives: np.ndarray


def judge(scores: Sequence[np.ndarray], truth: np.ndarray) -> Judged:
    """Return what is needed for intervals of S >= 1 matrices of scores (N, C), one a training seed, and of their differences.

    truth: (N, C), positive where it equals 1. A class without positives counts 0, as in `mean_average_precision`.
    Raises AevlpError for scores that `average_precision` refuses, and for no matrix.
    """
    if not len(scores):
        raise AevlpError("an interval needs the scores of at least one training, found none")
    pairs = [checked(matrix, truth) for matrix in scores]
    positive = pairs[0][1]
    present = np.flatnonzero(positive.any(axis=0))
    classes, by_class = np.zeros((len(pairs), len(present))), np.zeros((len(positive), len(present)))
    influences = np.zeros((len(pairs), len(positive)))
    for training, (values, _) in enumerate(pairs):
        for place, c in enumerate(present):
            classes[training, place], influence = left_out_precision(values[:, c], positive[:, c])
            by_class[:, place] += influence / len(pairs)
            influences[training] += influence / positive.shape[1]
    return Judged(
        maps=np.array([average_precision(values, positive).mean() for values, _ in pairs]),
        left_out=classes.sum(axis=1) / positive.shape[1],
        influences=influences,
        classes=classes.mean(axis=0),
        leaning=by_class.T @ influences.mean(axis=0),
        positives=positive.sum(axis=0),
    )


def repeated(judged: Judged, trainings: int) -> Judged:
    """Return a method without seeds, judged by its one matrix of scores, as so many trainings that came out alike.

    So it can be the baseline of as many trainings of another method in `difference_interval`.
    """
    maps, left_out, influences = (
        np.repeat(of, trainings, axis=0) for of in (judged.maps, judged.left_out, judged.influences)
    )
    return replace(judged, maps=maps, left_out=left_out, influences=influences)


def map_interval(judged: Judged, level: float = LEVEL) -> Interval | NoInterval:
    """Return the interval of a method's mAP, averaged over its trainings, in [0, 1]; it always holds that average.

    It allows for the choice of test images and, where there are several trainings, for that of their seeds. At an end each class
    has moved along the logit of its average precision by as much as it goes with the mean, or not where it goes against it: of
    one class the interval is symmetric on logits, of many it is symmetric itself. Where the average lies outside, as it may with
    many rare classes, the interval ends there, and its other end takes the rest of 1 - level.
    level: above 0 and below 1, AevlpError for another.
    There is none where a class has positives, but fewer than `FEWEST`; where all positives together, the rarest classes weighing
    most, give fewer than `FEWEST_IN_ALL` degrees of freedom; and where every training ranks every positive above all else.
    """
    _check_level(level)
    refusal = _too_few(judged.positives)
    if refusal is not None:
        return refusal
    error, freedom = _error(judged.left_out, judged.influences)
    if error == 0:
        return NoInterval("too few mistakes", "every positive is ranked above every other image")
    mean, middle = float(judged.maps.mean()), float(judged.left_out.mean())
    down, up = _reach(middle, error, freedom, mean, level)
    leaning = np.maximum(judged.leaning, 0)
    steps = error * len(judged.positives) * leaning / leaning.sum()  # their mean over all classes is the error
    share = np.clip(judged.classes, 1e-9, 1 - 1e-9)
    moved = [np.log(share / (1 - share)) + reach * steps / (share * (1 - share)) for reach in (-down, up)]
    low, high = (
        float((1 / (1 + np.exp(-np.clip(logits, -500, 500)))).sum()) / len(judged.positives) for logits in moved
    )
    return Interval(min(low, mean), max(high, mean))


def difference_interval(judged: Judged, baseline: Judged, level: float = LEVEL) -> Interval | NoInterval:
    """Return the interval of a method's mean mAP less a baseline's, on the same images and seeds, in [-1, 1]; it holds that.

    Where one has more trainings, the first ones are compared, as many as both have. What images and seeds do to both at once is
    no part of it. When there is none, and what is raised: as for `map_interval`, but that two methods that rank alike have the
    interval from 0 to 0. AevlpError too where images or classes differ.
    """
    _check_level(level)
    if judged.influences.shape[1:] != baseline.influences.shape[1:] or not np.array_equal(
        judged.positives, baseline.positives
    ):
        raise AevlpError(
            f"a difference needs the same images and classes, found {judged.influences.shape[1]:,} images of "
            f"{len(judged.positives)} classes and {baseline.influences.shape[1]:,} of {len(baseline.positives)}"
        )
    both = min(len(judged.maps), len(baseline.maps))
    refusal = _too_few(judged.positives)
    if refusal is not None:
        return refusal
    lead, left_out = judged.maps[:both] - baseline.maps[:both], judged.left_out[:both] - baseline.left_out[:both]
    error, freedom = _error(left_out, judged.influences[:both] - baseline.influences[:both])
    mean, middle = float(lead.mean()), float(left_out.mean())
    down, up = _reach(middle, error, freedom, mean, level) if error else (0.0, 0.0)
    return Interval(max(min(middle - down * error, mean), -1.0), min(max(middle + up * error, mean), 1.0))


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise AevlpError(f"the level of an interval must be above 0 and below 1, found {level}")


def _too_few(positives: np.ndarray) -> NoInterval | None:
    """Return why classes with so many positives (C,) have no interval; None where they have one."""
    held = positives[positives > 0].astype(np.float64)
    few = int((held < FEWEST).sum())
    if not len(held):
        return NoInterval(TOO_FEW, "no class has any")
    if few:
        return NoInterval(TOO_FEW, f"{few} {'class' if few == 1 else 'classes'} below {FEWEST}")
    # Satterthwaite's, where the variance of a class is as 1 / P and has P - 1 of them
    freedom = (1 / held).sum() ** 2 / (1 / (held**2 * (held - 1))).sum()
    if round(freedom, 6) < FEWEST_IN_ALL:
        return NoInterval(TOO_FEW, f"worth {int(round(freedom, 6))} degrees of freedom, {FEWEST_IN_ALL} are needed")
    return None


def _error(left_out: np.ndarray, influences: np.ndarray) -> tuple[float, float]:
    """Return the standard error of the mean of S trainings, left_out (S,), influences (S, N), and its degrees of freedom.

    What all trainings owe to the images is the variance of their mean influence, less each one's own share of it. That share, and
    what seeds add, is in the variance between trainings, with S - 1 degrees of freedom.
    """
    mean, count = influences.mean(axis=0), len(left_out)
    variance = float((mean**2).sum())
    unsure = (float((mean**4).sum()) - variance**2 / len(mean)) / 2  # half the variance of this variance
    if count > 1 and variance > 0:
        own = float(((influences - mean) ** 2).sum()) / (count - 1) / count
        shared = max(0.0, 1 - own / variance)
        between = float(left_out.var(ddof=1)) / count
        variance, unsure = variance * shared + between, unsure * shared**2 + between**2 / (count - 1)
    freedom = variance**2 / unsure if unsure > 0 else MOST_FREEDOM
    return float(np.sqrt(variance)), min(max(freedom, 1.0), MOST_FREEDOM)


def _reach(middle: float, error: float, freedom: float, estimate: float, level: float) -> tuple[float, float]:
    """Return how many errors an interval goes below and above `middle`, by Student's t: alike but where `estimate` is outside."""
    tail, off = (1 - level) / 2, (estimate - middle) / error
    down, up = (-stdtrit(freedom, 2 * tail - min(tail, stdtr(freedom, -side))) for side in (off, -off))
    return float(down), float(up)
