"""A cache, rows of it and a policy -> their pseudo-labels; cosines are streamed."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import AevlpError
from ..labels.codes import NEGATIVE, POSITIVE, UNKNOWN
from ..score_cache import CacheHeader, ScoreCache
from ..score_cache.numbers import cosines
from ..score_cache.schema import ROWS_A_BLOCK
from ..score_cache.sentences import sentences_of
from . import Known, Labels, Policy
from .interface import BOXES, VIEWS


def label(cache: ScoreCache, rows: np.ndarray, policy: Policy, epoch: int | None = None, seed: int = 0) -> Labels:
    """Return the labels of some rows of a cache; of the cosines, a block is held at a time.

    rows: (n,) ascending row numbers; the policy knows of no other image. epoch, seed: as for `ScoreCache.codes`, with the same
    draws of flips. Rows that are not "ok" are hidden from the policy: code 0, score 0.
    Raises AevlpError where the policy reads the truth and the cache does not know it, where it reads text features of sentences
    and the cache has none, and for scores and codes that are none.
    """
    rows = np.asarray(rows, dtype=np.int64)
    if (np.diff(rows) <= 0).any():
        raise AevlpError("the rows to label must ascend, each named once")
    if "truth" in policy.reads and not cache.header.has_truth:
        raise AevlpError(f"the policy reads full labels, and {cache.path} has none: choose another policy")
    ok = cache.status[rows] == "ok"
    seen = rows[ok]
    observed = cache.observed[seen]
    final = np.empty(observed.shape, dtype=np.float32)
    ranking = np.empty_like(final)
    done = 0
    for numbers, similarity, view_embedding in view_blocks(cache, seen, epoch, seed, embeddings=VIEWS in policy.reads):
        here = slice(done, done + len(numbers))
        final[here], ranking[here] = block_scores(cache, policy, similarity, view_embedding, observed[here])
        done = here.stop
    labels = _checked_labels(
        policy,
        Known(
            observed=observed,
            final=final,
            ranking=ranking,
            embedding=image_embedding(cache, seen) if "embedding" in policy.reads else None,
            sentences=sentences_of(cache) if "sentences" in policy.reads else None,
            truth=cache.labels("truth", seen) if "truth" in policy.reads else None,
        ),
    )
    codes = np.zeros((len(rows), len(cache.classes)), dtype=np.int8)
    scores = np.zeros(codes.shape, dtype=np.float32)
    codes[ok], scores[ok] = labels.codes, labels.scores
    return Labels(codes, scores)


def require_views(name: str, reads: Sequence[str], header: CacheHeader, path: Path) -> None:
    """Raise AevlpError where the policy `name` reads the embeddings of views, and the cache at a path holds cosines instead."""
    if VIEWS in reads and header.stores != "embedding":
        raise AevlpError(
            f"policy {name} reads the embeddings of views, and {path} holds their cosines: score the images with --store "
            f"embedding, or take another policy, as view-weights"
        )


def view_blocks(
    cache: ScoreCache, rows: np.ndarray, epoch: int | None = None, seed: int = 0, embeddings: bool = False
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    """Yield row numbers, cosines (n, V, C) and, where they are wanted, the views' vectors (n, V, D), block by block."""
    for numbers, values in cache.views(rows, epoch, seed, embeddings=embeddings):
        text = cache.header.text if embeddings else None
        yield (numbers, values, None) if text is None else (numbers, cosines(values, text), values)


def block_scores(
    cache: ScoreCache,
    policy: Policy,
    similarity: np.ndarray,
    view_embedding: np.ndarray | None,
    observed: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return a policy's two scores of a block of images, given what it reads besides the cosines.

    similarity, view_embedding, observed: as for `Policy.scores`; the second may be None where the policy does not read it.
    """
    more: dict[str, Any] = {BOXES: cache.boxes} if BOXES in policy.reads else {}
    if VIEWS in policy.reads:
        more[VIEWS] = view_embedding
    return _checked_scores(policy, policy.scores(similarity, observed, **more), observed.shape)


def set_scores(cache: ScoreCache, rows: np.ndarray, policy: Policy) -> np.ndarray | None:
    """Return a policy's scores (n, C) float32 of rows as one set, None where it scores image by image; no label is read.

    rows: (n,) ascending numbers of rows that are "ok". Raises AevlpError where the cache lacks what the policy reads.
    """
    scores = getattr(policy, "set_scores", None)
    return None if scores is None else scores(image_embedding(cache, rows), sentences_of(cache)).astype(np.float32)


def _checked_scores(policy: Policy, scores: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return a policy's two scores; AevlpError where they are not two arrays of this shape: numpy would repeat a smaller one."""
    name = type(policy).__name__
    if not isinstance(scores, tuple) or len(scores) != 2:
        raise AevlpError(f"{name}.scores must return two arrays, final and ranking, found {type(scores).__name__}")
    for word, values in zip(("final", "ranking"), scores, strict=True):
        if np.shape(values) != shape:
            raise AevlpError(f"{name}.scores must return {word} of shape {shape}, found {np.shape(values)}")
    return scores


def _checked_labels(policy: Policy, known: Known) -> Labels:
    """Return a policy's labels; AevlpError where they are not codes -1, 0, 1 and scores in [0, 1] of the images it was shown."""
    labels, name = policy(known), type(policy).__name__
    if not isinstance(labels, Labels):
        raise AevlpError(f"{name} must return Labels(codes, scores), found {type(labels).__name__}")
    for word, values in (("codes", labels.codes), ("scores", labels.scores)):
        if np.shape(values) != known.observed.shape:
            raise AevlpError(f"{name} must return {word} of shape {known.observed.shape}, found {np.shape(values)}")
    codes, scores = np.asarray(labels.codes), np.asarray(labels.scores)
    if not np.isin(codes, (NEGATIVE, UNKNOWN, POSITIVE)).all():
        raise AevlpError(f"{name} must return codes -1, 0 and 1, found {codes[~np.isin(codes, (-1, 0, 1))][0]}")
    if not ((scores >= 0) & (scores <= 1)).all():
        raise AevlpError(f"{name} must return scores in [0, 1], found {scores[~((scores >= 0) & (scores <= 1))][0]}")
    return labels


def notes_of(policy: Policy, classes: Sequence[str]) -> list[str]:
    """Return what a policy that has labelled has to say of its labels, a line each; classes: their names."""
    notes = getattr(policy, "notes", None)
    return [] if notes is None else notes(classes)


def image_embedding(cache: ScoreCache, rows: np.ndarray) -> np.ndarray:
    """Return the unit vectors (n, D) float32 of whole images: the direction of the mean over the flips."""
    mean = np.empty((len(rows), cache.header.width), dtype=np.float32)
    for start in range(0, len(rows), ROWS_A_BLOCK):  # where the views' vectors are stored, all of them are read
        here = slice(start, start + ROWS_A_BLOCK)
        mean[here] = cache.embedding(rows[here]).mean(axis=1)
    return mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), np.finfo(np.float32).tiny)
