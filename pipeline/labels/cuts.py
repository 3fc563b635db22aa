"""The thresholds that part the scores of a class, and what reaches each."""

from typing import NamedTuple

import numpy as np


class Cuts(NamedTuple):
    """The thresholds of one class, the highest first, all (K,) float64.

    at: half-way between a score and the next lower one; the last is the lowest score. reached: how many images reach it. hits:
    how many of these are positive.
    """

    at: np.ndarray
    reached: np.ndarray
    hits: np.ndarray


def cuts(scores: np.ndarray, positive: np.ndarray) -> Cuts:
    """Return the thresholds between the different values of scores (n,), n > 0; positive: (n,) bool."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order].astype(np.float64)
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)  # of each run of equal scores
    at = np.append((ordered[last[:-1]] + ordered[last[1:]]) / 2, ordered[-1])
    return Cuts(at, last + 1.0, np.cumsum(positive[order])[last].astype(np.float64))
