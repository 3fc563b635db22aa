"""A pair of image and class -> how CLIP scores it and where, what it is labelled now and why, in short."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ...pipeline.labels.codes import NEGATIVE, POSITIVE
from ...pipeline.labels.damp import DampSettings, codes_from_scores, damp_scores
from ...pipeline.score_cache import ScoreCache

ROWS_KEPT = 1024
LISTED = 12  # labels of an image that are named


@dataclass(frozen=True)
class Explained:
    """What is known of a pair.

    score: CLIP's, of the whole image and its tiles, in [0, 1]. code: the pseudo-label. view: the tile that scores highest, 0
    where there is none. box: of that view, shares of width and height. reason: the score and the label, in a sentence or two.
    """

    score: float
    code: int
    view: int
    box: tuple[float, ...]
    reason: str


@dataclass(frozen=True)
class _Image:
    """Of one image. score, code: (C,). views: (V, C), each view's probabilities."""

    score: np.ndarray
    code: np.ndarray
    views: np.ndarray


def training_rows(cache: ScoreCache) -> np.ndarray:
    """Return the numbers of the training images that could be read, which alone are asked about."""
    return np.flatnonzero((cache.split == "train") & (cache.status == "ok"))


class Explainer:
    """Explains pairs of a cache. logits: (n, C) of a run for the rows of `training_rows`; None without a run."""

    def __init__(self, cache: ScoreCache, settings: DampSettings, logits: np.ndarray | None = None) -> None:
        self._cache, self._settings, self._logits = cache, settings, logits
        self._trained = training_rows(cache)
        self._image = lru_cache(ROWS_KEPT)(self._scored)

    def of(self, row: int, column: int) -> Explained:
        """Return what is known of a pair."""
        image = self._image(row)
        views = image.views[:, column]
        view = 1 + int(views[1:].argmax()) if len(views) > 1 else 0
        score = float(image.score[column])
        code = int(image.code[column])
        said = [self._of_score(score, views, view), self._of_label(score, code)]
        if self._logits is not None and row in self._trained:
            logit = float(self._logits[np.searchsorted(self._trained, row), column])
            said.append(f"The run says {1 / (1 + np.exp(-logit)):.2f}.")
        return Explained(score, code, view, tuple(self._cache.boxes[view].tolist()), " ".join(said))

    def positives(self, row: int) -> list[int]:
        """Return the classes whose pseudo-label of an image is positive, those of the highest scores first."""
        image = self._image(row)
        found = np.flatnonzero(image.code == POSITIVE)
        return found[np.argsort(-image.score[found], kind="stable")][:LISTED].tolist()

    def _scored(self, row: int) -> _Image:
        similarity = self._cache.similarity([row]).mean(axis=1)
        final, ranking = damp_scores(similarity, self._cache.labels("observed", [row]), self._settings)
        code = codes_from_scores(final, ranking, self._settings)
        powers = similarity[0].astype(np.float64) / self._settings.temperature
        powers = np.exp(powers - powers.max(axis=1, keepdims=True))
        return _Image(final[0], code[0], powers / powers.sum(axis=1, keepdims=True))

    def _of_score(self, score: float, views: np.ndarray, view: int) -> str:
        if not view:
            return f"CLIP scores it {score:.2f}."
        return f"CLIP scores it {score:.2f}: the whole image {views[0]:.2f}, the strongest tile {views[view]:.2f}."

    def _of_label(self, score: float, code: int) -> str:
        threshold, top = self._settings.threshold, self._settings.top_k
        if code == POSITIVE:
            return f"The pseudo-label is yes: it reaches {threshold:g}."
        if code == NEGATIVE:
            return "The pseudo-label is no: it is among the image's lowest classes."
        if score < threshold:
            return f"There is no pseudo-label: it is {threshold - score:.2f} below {threshold:g}."
        return f"There is no pseudo-label: {top} other classes of the image score higher."
