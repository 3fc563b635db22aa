"""What every policy takes and gives: `Known`, `Labels` and the `Policy` protocol."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..score_cache.sentences import Sentences

VIEWS, BOXES = "view_embedding", "boxes"
READABLE = ("embedding", VIEWS, BOXES, "sentences", "truth")


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a policy may look at of n images at once; it changes nothing.

    observed: (n, C) int8 codes. final, ranking: (n, C) float32 in [0, 1], the policy's own `scores` of them: the first says how
    likely a class is there, the second orders classes for negatives. embedding: (n, D) float32 unit vectors of the whole images.
    sentences: text features of the cache's classes, in the same space. truth: (n, C) 0/1. The last three are None unless the
    policy's `reads` names them.
    """

    observed: np.ndarray
    final: np.ndarray
    ranking: np.ndarray
    embedding: np.ndarray | None = None
    sentences: Sentences | None = None
    truth: np.ndarray | None = None


@dataclass(frozen=True)
class Labels:
    """Pseudo-labels of n images, not merged with what is observed. codes: (n, C) int8. scores: (n, C) float32 in [0, 1]."""

    codes: np.ndarray
    scores: np.ndarray


class Policy(Protocol):
    """How cached cosines become label codes, in two steps: scores image by image, then codes of all images at once.

    As a loss may (`losses.interface`), it may have `set_epoch`, `state_dict` and `load_state_dict` (of tensors and numbers), and
    `wants_predictions` with `after_epoch`, which gets (n, C) float32 logits of the same n images as an array. And it may have
    `notes`: class names -> lines that are said once it has labelled. Where its scores of an image depend on the others, it has
    `set_scores`: `embedding` and `sentences` of `Known` -> scores (n, C), higher is more likely, as which CLIP without training
    is judged.
    """

    reads: tuple[str, ...]

    def scores(self, similarity: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return `final` and `ranking` of `Known`, (n, C) float32 each, of cosines (n, V, C) and observed codes (n, C).

        V is 1 or more; view 0 is the whole image. What `reads` names of these is passed by keyword. view_embedding: (n, V, D)
        float32, the views' vectors, which the cache must hold. boxes: (V, 4) float64, where the views lie: left, upper, right,
        lower as shares of width and height.
        """
        ...

    def __call__(self, known: Known) -> Labels:
        """Return the labels of n images."""
        ...
