"""Cosines of an image's views and its observed labels -> label codes, by DAMP (Tran et al., ICCV 2025, arXiv 2508.20381)."""

from dataclasses import dataclass

import numpy as np

from ..errors import AevlpError
from .codes import NEGATIVE, POSITIVE, UNKNOWN

BLOCK_BYTES = 1 << 20  # of probabilities worked on at a time: they stay in the processor's cache
LEAST_IMAGES = 64  # of a block: with fewer, numpy's loops are too short
LEAST_HALF = 2e-5  # temperature: a cosine of 1 divided by less is infinite in half precision


@dataclass(frozen=True)
class DampSettings:
    """The constants of DAMP; AevlpError where one is out of range.

    temperature: > 0, divides cosines. eta: >= 0, upper end of the gate. threshold: in [0, 1], least score of a positive.
    top_k: >= 1, most positives an image. negative_ratio: in [0, 1], share of the classes that become negative.
    compat: "paper" codes those classes -1, "published" codes them 0, as the published program does.
    half: whether cosines, what the temperature makes of them, probabilities and scores are rounded to half precision, as in
    the published program on a GPU. A data set's settings have it on under "published" (`spec_sections.Damp.settings`).
    """

    temperature: float
    eta: float
    threshold: float
    top_k: int
    negative_ratio: float
    compat: str = "paper"
    half: bool = False  # not derived from `compat`: the published formulas hold in any precision

    def __post_init__(self) -> None:
        for name, fits, range_ in (
            ("temperature", self.temperature > 0, "above 0"),
            ("eta", self.eta >= 0, "at least 0"),
            ("threshold", 0 <= self.threshold <= 1, "in [0, 1]"),
            ("top_k", self.top_k >= 1, "at least 1"),
            ("negative_ratio", 0 <= self.negative_ratio <= 1, "in [0, 1]"),
            ("compat", self.compat in ("paper", "published"), "paper or published"),
            ("half", self.half in (False, True), "true or false"),
            ("temperature", not self.half or self.temperature >= LEAST_HALF, f"at least {LEAST_HALF} with half"),
        ):
            if not fits:
                raise AevlpError(f"{name} must be {range_}, found {getattr(self, name)!r}")


def damp_scores(similarity: np.ndarray, observed: np.ndarray, settings: DampSettings) -> tuple[np.ndarray, np.ndarray]:
    """Return the final score F and the negative-ranking score L, (B, C) each, in [0, 1].

    similarity: (B, V, C) cosines, view 0 the whole image, then the tiles; float64 is computed in float64, anything else in
    float32, with `half` rounded after each step. observed: (B, C) codes. Without tiles (V = 1) both scores are the whole
    image's probabilities. The scores of an image are the same to the last bit whatever images stand beside it.
    Raises AevlpError where the shapes do not fit.
    """
    similarity, observed = np.asarray(similarity), np.asarray(observed)
    if similarity.ndim != 3 or observed.shape != (similarity.shape[0], similarity.shape[2]):
        raise AevlpError(
            f"expected similarity (images, views, classes) and observed (images, classes), "
            f"found {similarity.shape} and {observed.shape}"
        )
    dtype = np.dtype(np.float64 if similarity.dtype == np.float64 else np.float32)
    final, ranking = np.empty(observed.shape, dtype), np.empty(observed.shape, dtype)
    row_bytes = dtype.itemsize * similarity.shape[1] * similarity.shape[2]
    size = max(LEAST_IMAGES, BLOCK_BYTES // max(row_bytes, 1))
    for start in range(0, len(similarity), size):
        here = slice(start, start + size)
        scores, means = _block_scores(similarity[here].astype(dtype, copy=False), observed[here], settings)
        final[here], ranking[here] = scores.T, means.T
    return final, ranking


def codes_from_scores(final: np.ndarray, negative_ranking: np.ndarray, settings: DampSettings) -> np.ndarray:
    """Return codes (B, C) int8 from the two scores of `damp_scores`; ties go to the lower class index.

    The classes that rank lowest are written last, over a positive if need be; a row without scores (NaN) is unknown throughout.
    """
    threshold = np.float16(settings.threshold) if settings.half else settings.threshold
    reached = final >= final.dtype.type(threshold)
    crowded = reached.sum(axis=1) > settings.top_k
    if crowded.any():
        reached[crowded] &= lowest(-final[crowded], settings.top_k)
    codes = np.where(reached, np.int8(POSITIVE), np.int8(UNKNOWN))
    count = int(settings.negative_ratio * final.shape[1])
    codes[lowest(negative_ranking, count)] = NEGATIVE if settings.compat == "paper" else UNKNOWN
    codes[np.isnan(final).any(axis=1)] = UNKNOWN
    return codes


def lowest(values: np.ndarray, count: int) -> np.ndarray:
    """Return which `count` values of each row (B, C) are lowest, (B, C) bool; ties go to the lower index, NaN comes last."""
    if not 0 < count < values.shape[1]:
        return np.full(values.shape, count > 0)
    limit = np.partition(values, count - 1, axis=1)[:, count - 1 : count]
    found = values <= limit
    if np.count_nonzero(found) == count * len(values) and not np.isnan(limit).any():
        return found
    odd = found.sum(axis=1) != count  # equal values at the limit, or NaN
    order = np.argsort(values[odd], axis=1, kind="stable")[:, :count]
    sorted_out = np.zeros((len(order), values.shape[1]), dtype=bool)
    np.put_along_axis(sorted_out, order, True, axis=1)
    found[odd] = sorted_out
    return found


def damp_codes(similarity: np.ndarray, observed: np.ndarray, settings: DampSettings) -> np.ndarray:
    """Return pseudo-label codes (B, C) int8 of cosines (B, V, C), not merged with the observed codes (B, C)."""
    return codes_from_scores(*damp_scores(similarity, observed, settings), settings)


def _block_scores(
    similarity: np.ndarray, observed: np.ndarray, settings: DampSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Return `damp_scores` of a few images, (C, B) each: with the images last, every step runs along contiguous memory."""
    images = len(similarity)
    if images == 1:  # numpy would add up the classes of a single image in another order
        similarity, observed = similarity.repeat(2, axis=0), observed.repeat(2, axis=0)
    rounded = _to_half if settings.half else _unrounded
    values = np.empty((*similarity.shape[1:], len(similarity)), similarity.dtype)
    np.divide(rounded(similarity.transpose(1, 2, 0)), similarity.dtype.type(settings.temperature), out=values)
    values = rounded(values)
    values -= values.max(axis=1, keepdims=True)
    np.exp(values, out=values)
    values /= values.sum(axis=1, keepdims=True)
    values = rounded(values)
    whole, tiles = values[0, :, :images], values[1:, :, :images]
    if not len(tiles):
        return whole, whole
    highest, lowest, mean = tiles.max(axis=0), tiles.min(axis=0), rounded(tiles.mean(axis=0))
    # The surer CLIP is of the observed class in the whole image, the higher a tile must score to speak for a class.
    sureness = (whole * observed[:images].T).max(axis=0)
    gate = highest > np.minimum(sureness, np.float32(settings.eta))
    local = np.where(gate, highest, lowest)
    return rounded(rounded(whole + local) / 2), rounded(rounded(whole + mean) / 2)


def _to_half(values: np.ndarray) -> np.ndarray:
    """Return the nearest numbers of half precision, in the type of `values`."""
    return values.astype(np.float16).astype(values.dtype)


def _unrounded(values: np.ndarray) -> np.ndarray:
    return values
