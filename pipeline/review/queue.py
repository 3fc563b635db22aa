"""Pairs of image and class, those first of which CLIP is least sure."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from ..labels.damp import DampSettings, damp_scores
from ..score_cache import ScoreCache


@dataclass(frozen=True)
class Pair:
    """row, column: of the cache. gain: what an answer is expected to help, higher first. score: how likely the class is there."""

    row: int
    column: int
    gain: float
    score: float


def review_queue(
    cache: ScoreCache,
    settings: DampSettings,
    answered: Collection[tuple[int, int]],
    *,
    logits: np.ndarray | None = None,
    count: int = 1000,
    seed: int = 0,
) -> list[Pair]:
    """Return pairs of training images and classes that nobody observed or answered, the least sure first."""
    found: list[Pair] = []
    rows = np.flatnonzero((cache.split == "train") & (cache.status == "ok"))
    for numbers, similarity in cache.views(rows):
        observed = cache.observed[numbers]
        scores, _ = damp_scores(similarity, observed, settings)
        for n, c in zip(*np.nonzero(observed == 0), strict=True):
            score = float(scores[n, c])
            if (int(numbers[n]), int(c)) not in answered:
                found.append(Pair(int(numbers[n]), int(c), score * (1 - score), score))
    return sorted(found, key=lambda pair: -pair.gain)[:count]
