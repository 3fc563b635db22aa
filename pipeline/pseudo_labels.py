"""Cosines of an image's views and its observed labels -> label codes, by DAMP (Tran et al., ICCV 2025, arXiv 2508.20381)."""

from dataclasses import dataclass

import numpy as np

from .errors import AevlpError
from .label_codes import NEGATIVE, POSITIVE, UNKNOWN


@dataclass(frozen=True)
class DampSettings:
    """The constants of DAMP; AevlpError where one is out of range.

    temperature: > 0, divides cosines. eta: >= 0, upper end of the gate. threshold: in [0, 1], least score of a positive.
    top_k: >= 1, most positives an image. negative_ratio: in [0, 1], share of the classes that become negative.
    compat: "paper" codes those classes -1, "published" codes them 0, as the published program does.
    """

    temperature: float
    eta: float
    threshold: float
    top_k: int
    negative_ratio: float
    compat: str = "paper"

    def __post_init__(self) -> None:
        for name, fits, range_ in (
            ("temperature", self.temperature > 0, "above 0"),
            ("eta", self.eta >= 0, "at least 0"),
            ("threshold", 0 <= self.threshold <= 1, "in [0, 1]"),
            ("top_k", self.top_k >= 1, "at least 1"),
            ("negative_ratio", 0 <= self.negative_ratio <= 1, "in [0, 1]"),
            ("compat", self.compat in ("paper", "published"), "paper or published"),
        ):
            if not fits:
                raise AevlpError(f"{name} must be {range_}, found {getattr(self, name)!r}")


def damp_scores(similarity: np.ndarray, observed: np.ndarray, settings: DampSettings) -> tuple[np.ndarray, np.ndarray]:
    """Return the final score F and the negative-ranking score L, (B, C) each, in [0, 1].

    similarity: (B, V, C) cosines, view 0 the whole image, then the tiles; float64 is computed in float64, anything else in
    float32. observed: (B, C) codes. Without tiles (V = 1) both scores are the whole image's probabilities.
    Raises AevlpError where the shapes do not fit. Source: the spec's section 5, steps 1 to 5.
    """
    similarity, observed = np.asarray(similarity), np.asarray(observed)
    if similarity.ndim != 3 or observed.shape != (similarity.shape[0], similarity.shape[2]):
        raise AevlpError(
            f"expected similarity (images, views, classes) and observed (images, classes), "
            f"found {similarity.shape} and {observed.shape}"
        )
    if similarity.dtype != np.float64:
        similarity = similarity.astype(np.float32)
    probability = _softmax(similarity / similarity.dtype.type(settings.temperature))
    whole, tiles = probability[:, 0], probability[:, 1:]
    if tiles.shape[1] == 0:
        return whole, whole
    highest, lowest, mean = tiles.max(axis=1), tiles.min(axis=1), tiles.mean(axis=1)
    # The surer CLIP is of the observed class in the whole image, the higher a tile must score to speak for a class.
    sureness = (whole * observed).max(axis=1, keepdims=True)
    gate = highest > np.minimum(sureness, np.float32(settings.eta))
    local = np.where(gate, highest, lowest)
    return (whole + local) / 2, (whole + mean) / 2


def codes_from_scores(final: np.ndarray, negative_ranking: np.ndarray, settings: DampSettings) -> np.ndarray:
    """Return codes (B, C) int8 from the two scores of `damp_scores`; ties go to the lower class index.

    The classes that rank lowest are written last, over a positive if need be; a row without scores (NaN) is unknown throughout.
    Source: the spec's section 5, steps 6 and 7.
    """
    classes = final.shape[1]
    codes = np.full(final.shape, UNKNOWN, dtype=np.int8)
    top = np.argsort(-final, axis=1, kind="stable")[:, : settings.top_k]
    reached = np.take_along_axis(final, top, axis=1) >= final.dtype.type(settings.threshold)
    np.put_along_axis(codes, top, np.where(reached, POSITIVE, UNKNOWN).astype(np.int8), axis=1)
    count = int(settings.negative_ratio * classes)
    bottom = np.argsort(negative_ranking, axis=1, kind="stable")[:, :count]
    np.put_along_axis(codes, bottom, np.int8(NEGATIVE if settings.compat == "paper" else UNKNOWN), axis=1)
    codes[np.isnan(final).any(axis=1)] = UNKNOWN
    return codes


def damp_codes(similarity: np.ndarray, observed: np.ndarray, settings: DampSettings) -> np.ndarray:
    """Return pseudo-label codes (B, C) int8 of cosines (B, V, C), not merged with the observed codes (B, C)."""
    return codes_from_scores(*damp_scores(similarity, observed, settings), settings)


def _softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)
