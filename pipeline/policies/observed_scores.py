"""Soft labels and what is observed -> soft labels in which an observed label wins."""

import numpy as np

from ..labels.codes import NEGATIVE, POSITIVE


def with_observed(scores: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return scores (n, C) float32, 1 where a positive is observed, 0 where a negative is, else clipped to [0, 1]."""
    known = np.where(observed == POSITIVE, 1, np.where(observed == NEGATIVE, 0, scores))
    return known.clip(0, 1).astype(np.float32)
