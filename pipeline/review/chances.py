"""Scores and observed labels -> how likely each class is in each image, where nobody knows the full truth."""

import numpy as np
from scipy.optimize import isotonic_regression

from ..labels.codes import POSITIVE

# Ranks of a class's scores, as shares of the images from the top: positives stand near the top, where the bins are fine.
EDGES = np.array([0, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.45, 0.7, 1])
PRIOR = 10.0  # observed positives that what all classes have in common weighs as much as


class Chances:
    """How likely a class is there, by its score; fitted to the observed positives of n images.

    Of a class, P(there | score) = frequency * p(score | there) / p(score) by Bayes' rule. The scores of its observed positives
    stand for those of all its positives, as if which of them are observed were chance (Elkan and Noto, KDD 2008); they are
    counted in bins of ranks, shrunk towards the bins of all classes together, and made to rise with the score.
    """

    def __init__(self, scores: np.ndarray, observed: np.ndarray, positives: float) -> None:
        """scores: (n, C). observed: (n, C) codes. positives: how many classes an image shows, > 0.

        Where nothing is observed every class is taken to be as frequent as another, and scores to be right in their order.
        """
        images, classes = scores.shape
        ends = np.unique(np.ceil(EDGES * images).astype(int))
        sizes = np.diff(ends)
        order = -np.sort(-scores, axis=0)
        self._limits = order[ends[1:] - 1]  # (bins, C), the lowest score of each bin
        counts = np.stack([self._counts(scores[:, c], observed[:, c] == POSITIVE, c) for c in range(classes)], axis=1)
        common = counts.sum(axis=1) + sizes / images  # no bin is impossible
        of_class = counts.sum(axis=0)
        share = (counts + PRIOR * (common / common.sum())[:, None]) / (of_class + PRIOR)
        frequency = positives * (of_class + 1) / (of_class + 1).sum()
        chance = np.clip(frequency * images * share / sizes[:, None], 0, 1)
        self._chance = np.stack(
            [isotonic_regression(chance[:, c], weights=sizes, increasing=False).x for c in range(classes)], axis=1
        )

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Return how likely each class is in images (m, C), in [0, 1]."""
        return np.stack([self._chance[self._bins(scores[:, c], c), c] for c in range(scores.shape[1])], axis=1)

    def _bins(self, scores: np.ndarray, column: int) -> np.ndarray:
        limits = self._limits[:, column]
        return np.minimum(np.searchsorted(-limits, -scores), len(limits) - 1)

    def _counts(self, scores: np.ndarray, positive: np.ndarray, column: int) -> np.ndarray:
        return np.bincount(self._bins(scores[positive], column), minlength=len(self._limits)).astype(np.float64)
