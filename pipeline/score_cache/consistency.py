"""A block of rows -> what in it cannot be: impossible words, labels and numbers, and scores that the numbers do not give."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from ..files.stamps import stamped_size
from ..labels.damp import DampSettings, codes_from_scores, damp_scores
from ..labels.splits import SPLITS
from .provenance import simulation_of
from .schema import CacheHeader, CacheRows
from .scores import similarity

# Two machines, or two sizes of a batch, may differ in the last bits of a cosine. A score follows with its slope, which a low
# temperature makes steep, or by a jump, where a tile is at the gate. Where scores are rounded to half precision, a last bit can
# move every number by a step of at most HALF_STEP of it.
SLOPE, JUMP = 1e-3, 1e-4
HALF_STEP = 2**-10
Faults = dict[str, Any]  # a sentence with {} for the number of images -> which of the rows have it, (n,) bool


def row_faults(header: CacheHeader, rows: CacheRows, settings: DampSettings | None) -> Faults:
    """Return of each kind of fault which of the rows have it.

    settings: of the stored scores and codes; None where they are not known, and scores and codes not looked at.
    """
    ok = np.array([word == "ok" for word in rows.status], dtype=bool)
    with np.errstate(all="ignore"):  # what is wrong is counted
        cosines = similarity(header, rows)
        return {
            **_words(rows, ok),
            **_labels(header, rows),
            **_numbers(rows, cosines, ok),
            **(_scores(header, rows, cosines, ok, settings) if settings else {}),
        }


def _words(rows: CacheRows, ok: np.ndarray) -> Faults:
    reasons = np.array([bool(reason) for reason in rows.reason], dtype=bool)
    stamps = np.array([_is_stamp(*pair) for pair in zip(rows.stamps, rows.status, strict=True)], dtype=bool)
    return {
        "a split is none of train, val and test in {} images": ~np.isin(rows.split, SPLITS),
        "a status is not a known word in {} images": ~np.isin(rows.status, ("ok", "unreadable", "missing")),
        "{} images have no reason why they could not be read, or one although they could": reasons == ok,
        "{} images have a stamp that is none": ~stamps,
    }


def _is_stamp(text: str, status: str) -> bool:
    try:
        return (stamped_size(text) is not None and len(text.split(" ", 1)) == 2) or status != "ok"
    except ValueError:
        return False


def _labels(header: CacheHeader, rows: CacheRows) -> Faults:
    faults = {
        "an observed label is not -1, 0 or 1 in {} images": ~np.isin(rows.observed, (-1, 0, 1)).all(axis=1),
        "a code is not -1, 0 or 1 in {} images": ~np.isin(rows.code, (-1, 0, 1)).all(axis=1),
    }
    if rows.truth is not None:
        untrue = ((rows.observed == 1) & (rows.truth == 0)) | ((rows.observed == -1) & (rows.truth == 1))
        faults["a true label is not 0 or 1 in {} images"] = ~np.isin(rows.truth, (0, 1)).all(axis=1)
        if simulation_of(header.provenance)["regime"] != "wrong":  # made wrong on purpose
            faults["{} images have an observed label that is not true"] = untrue.any(axis=1)
    return faults


def _numbers(rows: CacheRows, cosines: np.ndarray, ok: np.ndarray) -> Faults:
    flat = cosines.reshape(len(rows), -1)
    vectors = rows.embedding if rows.view_embedding is None else rows.view_embedding
    assert vectors is not None
    norms = np.linalg.norm(vectors.astype(np.float32), axis=-1).reshape(len(rows), -1)
    empty = [np.isnan(values.reshape(len(rows), -1)).all(axis=1) for values in (flat, vectors, rows.score)]
    numbers = ~np.logical_and.reduce(empty)
    return {
        "{} images have a cosine that is not in [-1, 1]": ok & ~(np.abs(flat) <= 1 + 1e-3).all(axis=1),
        "{} images have an embedding that is no unit vector": ok & ~(np.abs(norms - 1) < 1e-2).all(axis=1),
        "{} images that could not be read have scores": ~ok & (numbers | (rows.code != 0).any(axis=1)),
    }


def _scores(
    header: CacheHeader, rows: CacheRows, cosines: np.ndarray, ok: np.ndarray, settings: DampSettings
) -> Faults:
    slope = _slope(header, cosines[ok], settings)
    jump = slope if settings.half else JUMP
    odd_scores, odd_codes = np.zeros((2, len(rows)), dtype=bool)
    if ok.any():
        mean, observed, score = cosines[ok].mean(axis=1), rows.observed[ok], rows.score[ok]
        given, ranking = damp_scores(mean, observed, settings)
        odd = ~_close(score, given, slope)
        for nudge in (1 - jump, 1 + jump) if odd.any() else ():
            nudged, _ = damp_scores(mean, observed * np.float32(nudge), replace(settings, eta=settings.eta * nudge))
            odd &= ~_close(score, nudged, slope)
        odd_scores[ok] = odd.any(axis=1)
        codes = codes_from_scores(score, ranking, settings)
        different = (codes != rows.code[ok]) & ~_tied(ranking, settings, slope)
        odd_codes[ok] = different.any(axis=1) | ((codes < 0).sum(axis=1) != (rows.code[ok] < 0).sum(axis=1))
    return {
        "{} images have scores that their cosines do not give": odd_scores,
        "{} images have codes that their cosines do not give": odd_codes,
    }


def _slope(header: CacheHeader, cosines: np.ndarray, settings: DampSettings) -> float:
    """Return how far, relative to itself, a score may be from that of cosines which differ in their last bits."""
    if not settings.half:
        return SLOPE
    moved = 4 * HALF_STEP  # the probabilities, and what is made of them
    if header.text is None or not cosines.size:  # the cosines themselves are stored
        return moved
    # A cosine and its quotient may move by a step each, those of one class up and those of the others down.
    return moved + math.expm1(4 * HALF_STEP * float(np.abs(cosines).max()) / settings.temperature)


def _close(score: np.ndarray, given: np.ndarray, slope: float) -> np.ndarray:
    return np.abs(score - given) <= slope * given + 1e-6


def _tied(ranking: np.ndarray, settings: DampSettings, slope: float) -> np.ndarray:
    """Return the entries that rank so nearly as the last negative and the next class do that a last bit decides."""
    classes = ranking.shape[1]
    count = int(settings.negative_ratio * classes)
    if not 0 < count < classes:
        return np.zeros(ranking.shape, dtype=bool)
    last, following = np.sort(ranking, axis=1)[:, count - 1 : count + 1, None].swapaxes(0, 1)
    near = slope * following
    return (following - last <= near) & (np.abs(ranking - following) <= 2 * near)
