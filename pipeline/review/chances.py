"""Evidence and observed labels -> how likely each class is in each image, where nobody knows the full truth."""

import numpy as np
from scipy.optimize import isotonic_regression

from ..labels.codes import POSITIVE

# Ranks of a class's images by evidence, as shares from the top: positives stand near the top, where the bins are fine.
EDGES = np.array([0, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.45, 0.7, 1])
PRIOR = 10.0  # observed positives that what is known of all classes together weighs as much as


class Chances:
    """How likely a class is there, by the evidence for it; fitted to the observed positives of n images.

    Of a class, P(there | evidence) = frequency * p(evidence | there) / p(evidence) by Bayes' rule. The evidence for its observed
    positives stands for that of all its positives, as if which of them are observed were chance (Elkan and Noto, KDD 2008); they
    are counted in bins of ranks, shrunk towards the bins of all classes together, made to rise with the evidence, and what lies
    between the middles of two bins is interpolated.
    """

    def __init__(self, evidence: np.ndarray, observed: np.ndarray, final: np.ndarray, positives: float) -> None:
        """evidence: (n, C), higher where a class is likelier, n > 0. observed: (n, C) codes. positives: classes an image, > 0.

        final: (n, C) in [0, 1], DAMP's score, which stands in for observed positives where there are few or none.
        """
        images, classes = evidence.shape
        ends = np.unique(np.ceil(EDGES * images).astype(int))
        sizes = np.diff(ends)
        descending = -np.sort(-evidence, axis=0)
        lowest = descending[ends[1:-1] - 1]  # (bins - 1, C), of each bin but the last
        bins = [np.searchsorted(-lowest[:, c], -evidence[:, c]) for c in range(classes)]
        seen = observed == POSITIVE
        counts = np.stack([np.bincount(b[seen[:, c]], minlength=len(sizes)) for c, b in enumerate(bins)], axis=1)
        mass = np.stack([np.bincount(b, final[:, c], len(sizes)) for c, b in enumerate(bins)], axis=1)
        common = counts.sum(axis=1) + PRIOR * _shares(mass.sum(axis=1))
        share = (counts + PRIOR * _shares(common)[:, None]) / (counts.sum(axis=0) + PRIOR)
        frequency = positives * _shares(counts.sum(axis=0) + PRIOR * _shares(mass.sum(axis=0)))
        chance = np.clip(frequency * images * share / sizes[:, None], 0, 1)
        rising = [isotonic_regression(of_class, weights=sizes, increasing=False).x for of_class in chance.T]
        middles = descending[(ends[1:] + ends[:-1] - 1) // 2]
        self._curves = [(middle[::-1], of_class[::-1]) for middle, of_class in zip(middles.T, rising, strict=True)]

    def __call__(self, evidence: np.ndarray) -> np.ndarray:
        """Return how likely each class is in images (m, C), in [0, 1], float64."""
        each = zip(evidence.T, self._curves, strict=True)
        return np.stack([np.interp(of_class, *curve) for of_class, curve in each], axis=1)


def _shares(amounts: np.ndarray) -> np.ndarray:
    """Return each amount as a share of them all; equal shares where all are 0."""
    total = amounts.sum()
    return amounts / total if total > 0 else np.full(len(amounts), 1 / len(amounts))
