"""Vision-language pseudo-labels: every class above a threshold in the whole image (Xing et al., 2024)."""

import numpy as np

from ..labels.codes import NEGATIVE, POSITIVE, UNKNOWN
from ..labels.damp import DampSettings, damp_scores, lowest
from ..plugins import check_ranges
from .interface import Known, Labels


class Vlpl:
    """Whole-image probabilities above a threshold are positive, the least similar classes negative.

    temperature: > 0, divides cosines. threshold: in [0, 1], a positive's score is above it. partial: in [0, 1], share of the
    classes that become negative, over a positive if need be. AevlpError where one is out of range.
    """

    reads: tuple[str, ...] = ()

    def __init__(self, *, temperature: float = 0.01, threshold: float = 0.3, partial: float = 0.0) -> None:
        check_ranges(
            "policy vlpl",
            ("temperature", temperature, temperature > 0, "above 0"),
            ("threshold", threshold, 0 <= threshold <= 1, "in [0, 1]"),
            ("partial", partial, 0 <= partial <= 1, "in [0, 1]"),
        )
        self.threshold, self.partial = threshold, partial
        self._whole = DampSettings(temperature, eta=0, threshold=0, top_k=1, negative_ratio=0)

    def scores(self, similarity: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        probability, _ = damp_scores(similarity[:, :1], observed, self._whole)
        return probability, (1 + similarity[:, 0]) / 2  # at a low temperature the least probabilities underflow and tie

    def __call__(self, known: Known) -> Labels:
        return Labels(vlpl_codes(known.final, known.ranking, self.threshold, self.partial), known.final)


def vlpl_codes(scores: np.ndarray, ranking: np.ndarray, threshold: float, partial: float) -> np.ndarray:
    """Return codes (n, C) int8: +1 where scores (n, C) are above the threshold, then -1 for trunc(partial * C) classes an image.

    ranking: (n, C), anything that rises with the score; the lowest become negative, ties go to the lower class index.
    """
    codes = np.where(scores > scores.dtype.type(threshold), POSITIVE, UNKNOWN).astype(np.int8)
    codes[lowest(ranking, int(partial * scores.shape[1]))] = NEGATIVE
    return codes
