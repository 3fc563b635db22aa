"""Stored numbers of some rows -> their cosines, and the score and code that they give."""

from dataclasses import replace

import numpy as np

from ..labels.damp import DampSettings, codes_from_scores, damp_scores
from ..labels.relabelling import relabelled, relabelled_truth
from .numbers import cosines
from .schema import CacheHeader, CacheRows


def similarity(header: CacheHeader, rows: CacheRows) -> np.ndarray:
    """Return the cosines of rows (n, F, V, C) float32, whichever numbers are stored."""
    if header.text is None:
        assert rows.similarity is not None
        return rows.similarity.astype(np.float32)
    assert rows.view_embedding is not None
    return cosines(rows.view_embedding, header.text)


def of_classes(rows: CacheRows, places: np.ndarray, header: CacheHeader, settings: DampSettings) -> CacheRows:
    """Return rows with the labels, and the cosines if they are stored, of other classes, and with scores made anew of these.

    places: of each of `header`'s classes its place among those of the rows, -1 for one that is new.
    """
    chosen = replace(
        rows,
        truth=relabelled_truth(rows.truth, places),
        observed=relabelled(rows.observed, places),
        similarity=None if rows.similarity is None else rows.similarity[..., places],
    )
    return with_scores(header, chosen, settings)


def with_scores(header: CacheHeader, rows: CacheRows, settings: DampSettings) -> CacheRows:
    """Return rows whose score and code are made anew of what is stored; those that are not "ok" stay without."""
    ok = np.array([status == "ok" for status in rows.status], dtype=bool)
    score = np.full(rows.observed.shape, np.nan, dtype=np.float32)
    code = np.zeros(rows.observed.shape, dtype=np.int8)
    if ok.any():
        mean = similarity(header, rows.take(ok)).mean(axis=1)
        score[ok], ranking = damp_scores(mean, rows.observed[ok], settings)
        code[ok] = codes_from_scores(score[ok], ranking, settings)
    return replace(rows, score=score, code=code)
