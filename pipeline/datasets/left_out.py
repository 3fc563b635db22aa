"""A class's scores and positives -> its average precision with no image counted for itself, and what each image does to it."""

import numpy as np


def left_out_precision(scores: np.ndarray, positive: np.ndarray) -> tuple[float, np.ndarray]:
    """Return a class's average precision with each positive judged by the other images, and each image's influence on it.

    scores: (N,) finite; positive: (N,) bool with P >= 1 True. The first is in [0, 1]: the mean over positives of the precision
    among the *other* images that score at least as high. There the other positives count P / (P - 1) times each: positives
    are then as frequent as with the one left out. An only positive has 0. A positive above all others takes the middle of 1 and
    the share of positives at the next lower score. The second is (N,) float64, with mean 0: by how much the first falls where
    an image is left out, times (P - 1) / P; their squares add up to its variance.
    """
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # of the images that share a score
    size = np.diff(last, prepend=-1)
    above = np.cumsum(positive[order])[last]
    hits, false = np.diff(above, prepend=0), last + 1 - above
    positives = int(above[-1])

    first = _first_alone(size, hits)
    whole = ((hits * _precision(above - 1, false, positives)).sum() + first) / positives
    changes = []
    for lost in (0, 1):  # an image that is left out is no positive, or one
        kept = positives - lost
        higher = hits * _precision(above - 1, false, kept)
        precision = _precision(above - 1 - lost, false - 1 + lost, kept)
        lower = hits * precision
        without = np.cumsum(higher) - higher + (hits - lost) * precision + np.cumsum(lower[::-1])[::-1] - lower + first
        for group in range(min(2, len(size))):
            sizes, found = size[:3].copy(), hits[:3].copy()
            sizes[group], found[group] = sizes[group] - 1, found[group] - lost
            without[group] += _first_alone(sizes, found) - first
        changes.append(whole - without / max(kept, 1))
    group_of = np.repeat(np.arange(len(size)), size)
    influence = np.empty(len(scores))
    influence[order] = np.where(positive[order], changes[1][group_of], changes[0][group_of])
    return float(whole), (influence - influence.mean()) * (positives - 1) / positives


def _precision(others: np.ndarray, false: np.ndarray, positives: int) -> np.ndarray:
    """Return the precision among other positives, as frequent as with the one left out, and negatives; 0 where none is there."""
    true = others * (positives / max(positives - 1, 1))
    there = true + false
    return np.divide(true, there, out=np.zeros(len(there)), where=there > 0)


def _first_alone(size: np.ndarray, hits: np.ndarray) -> float:
    """Return what a positive adds that has the highest score alone, else 0; given images and positives at falling scores."""
    hits, size = hits[:3][size[:3] > 0], size[:3][size[:3] > 0]
    if not len(size) or size[0] != 1 or hits[0] != 1:
        return 0.0
    return 1.0 if len(size) == 1 else float(1 + hits[1] / size[1]) / 2
