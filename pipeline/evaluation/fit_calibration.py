"""Logits and labels of the validation part -> how logits become probabilities, class by class.

Temperature: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, a class at a time. Isotonic regression: Zadrozny and
Elkan, Transforming Classifier Scores into Accurate Multiclass Probability Estimates, KDD 2002.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression, minimize_scalar

from ..runtime.seeding import derive
from .decision import Calibration

FOLDS = 5
LEAST = 20  # positives, and negatives, below which a curve is not fitted
KNOTS = 32  # of a curve at most: each is a step of an exported graph
PRIOR = 5.0  # what (ln(own / common))² of a class's temperature costs, in nats, beside its images' cross-entropy
RANGE = np.log([0.05, 20.0])  # of temperatures

Curve = tuple[np.ndarray, np.ndarray]


def fit_calibration(logits: np.ndarray, positive: np.ndarray, seed: int = 0) -> Calibration:
    """Return the calibration of logits (n, C) by labels (n, C) bool, each class by what cross-validates better.

    A class has a temperature of its own, which few images leave near the common one, or, with at least 20 positives and 20
    negatives, a curve; whichever has the lower cross-entropy on images that it was not fitted to, in 5 folds drawn from
    `seed`. Where that of all classes together is no lower than without calibration, every temperature is 1.
    """
    logits = logits.astype(np.float64)
    n, classes = logits.shape
    plain = Calibration(np.ones(classes))
    if n < FOLDS:
        return plain
    order = np.random.default_rng(derive(seed, "calibration folds")).permutation(n)
    losses = np.zeros((3, classes))  # as it is, temperature, curve
    for fold in range(FOLDS):
        held = order[fold::FOLDS]
        seen = np.delete(np.arange(n), held)
        scaled = Calibration(_temperatures(logits[seen], positive[seen]))
        curved = Calibration(scaled.temperature, _curves(logits[seen], positive[seen]))
        for number, fitted in enumerate((plain, scaled, curved)):
            losses[number] += cross_entropy(fitted.probabilities(logits[held]), positive[held])
    if losses[1:].min(axis=0).sum() >= losses[0].sum():
        return plain
    better = losses[2] < losses[1]
    curves = {c: curve for c, curve in _curves(logits, positive).items() if better[c]}
    return Calibration(_temperatures(logits, positive), curves)


def cross_entropy(probabilities: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Return the sum over images of each class's cross-entropy (C,) in nats; a probability counts as at least 1e-12."""
    of_label = np.where(positive, probabilities, 1 - probabilities)
    return -np.log(np.maximum(of_label, 1e-12)).sum(axis=0)


def _temperatures(logits: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Return each class's temperature (C,); the common one for a class that is nowhere or everywhere there."""
    signed = np.where(positive, logits, -logits)  # the cross-entropy of an entry is ln(1 + exp(-signed / temperature))
    common = _least(lambda log: np.logaddexp(0, -signed * np.exp(-log)).sum())
    found = np.full(logits.shape[1], common)
    for c in np.flatnonzero(positive.any(axis=0) & ~positive.all(axis=0)):
        column = signed[:, c]
        found[c] = _least(
            lambda log, column=column: np.logaddexp(0, -column * np.exp(-log)).sum() + PRIOR * (log - common) ** 2
        )
    return np.exp(found)


def _least(cost: Callable[[float], float]) -> float:
    """Return the logarithm of the temperature of the lowest cost, a convex function of it near enough."""
    found: Any = minimize_scalar(cost, bounds=tuple(RANGE), method="bounded", options={"xatol": 1e-6})
    return float(found.x)


def _curves(logits: np.ndarray, positive: np.ndarray) -> dict[int, Curve]:
    """Return the curves of the classes that have enough of both kinds."""
    counts = positive.sum(axis=0)
    enough = np.flatnonzero(np.minimum(counts, len(positive) - counts) >= LEAST)
    return {int(c): _curve(logits[:, c], positive[:, c]) for c in enough}


def _curve(logits: np.ndarray, positive: np.ndarray) -> Curve:
    """Return the knots of isotonic regression, at most 32: the mean logit of each block of equal rates, and its rate.

    A rate is (positives + 1/2) / (images + 1), so that it is never 0 or 1; between knots the curve rises.
    """
    values, which, counts = np.unique(logits, return_inverse=True, return_counts=True)
    hits = np.bincount(which, weights=positive)
    blocks = isotonic_regression(hits / counts, weights=counts).blocks
    while True:
        starts = blocks[:-1]
        images, there = np.add.reduceat(counts, starts), np.add.reduceat(hits, starts)
        at = np.add.reduceat(values * counts, starts) / images
        rates = (there + 0.5) / (images + 1)
        falling = np.flatnonzero(np.diff(rates) <= 0)
        if len(falling):  # of a small block beside a larger one; they become one
            blocks = np.delete(blocks, falling[0] + 1)
        elif len(starts) > KNOTS:  # the two blocks that hold the fewest images
            blocks = np.delete(blocks, 1 + np.argmin(images[:-1] + images[1:]))
        else:
            return at, rates
