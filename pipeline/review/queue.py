"""A cache -> pairs of image and class in the order in which an answer helps most."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from ..errors import AevlpError
from ..labels.codes import POSITIVE, UNKNOWN
from ..labels.damp import DampSettings, codes_from_scores, damp_scores
from ..policies.labelling import image_embedding
from ..score_cache import ScoreCache
from .chances import Chances
from .evidence import Evidence, kinds
from .worth import Worth, worth

ENTRIES = 4_000_000  # of images and classes, that chances are fitted to
ALIKE = 0.95  # cosine of two images from which on they are near-duplicates
APART = 12  # questions that stand between two of near-duplicates
LOOKED_AT = 64  # candidates at a time
KEPT = 8  # candidates for each pair that is wanted: those put back have others to follow


@dataclass(frozen=True)
class Pair:
    """A question: does the image of a row show the class of a column?

    gain: by how much an answer is expected to raise the mean over classes of F1 of the labels. chance: how likely the class is
    there. wrong: how likely it is that the label which a training uses now, a pseudo-label or none, is wrong. All in [0, 1].
    """

    row: int
    column: int
    gain: float
    chance: float
    wrong: float


@dataclass(frozen=True)
class _Block:
    """Some rows. parts: of `kinds`. final: (n, C). observed: (n, C) codes. positive: (n, C) bool, the labels that are used."""

    rows: np.ndarray
    parts: list[np.ndarray]
    final: np.ndarray
    observed: np.ndarray
    positive: np.ndarray


def review_queue(
    cache: ScoreCache,
    settings: DampSettings,
    answered: Collection[tuple[int, int]] = (),
    *,
    positives: float | None = None,
    logits: np.ndarray | None = None,
    count: int = 1000,
) -> list[Pair]:
    """Return up to `count` pairs of training images and classes that nobody observed or answered, the most helpful first.

    An answer helps as much as it is expected to raise the F1 of the labels that a training learns from, each class counting
    alike: the chance that the label of now is wrong, times what it is worth to put one of the class right (`worth`). The chance
    is of all that speaks for a class: DAMP's score, the tile nearest to it, and the classifier, so that a label is doubted where
    they contradict it. Pairs of one image, or of near-duplicates by the images' embeddings, do not follow each other while there
    are others. The truth is never read; equal arguments, equal pairs.

    cache: with its own observed labels; answers in their place would be no random choice of positives, as chances take them to
    be. settings: of DAMP, whose labels a training uses. answered: rows and columns. positives: how many classes an image shows;
    None for as many as are observed and pseudo-labels together. logits: (n, C) of a classifier for the training images that are
    "ok", by ascending row. count: at least 0. Memory beyond a block of scores and the logits does not grow with the images.
    Raises AevlpError where the logits are not of this shape.
    """
    rows = np.flatnonzero((cache.split == "train") & (cache.status == "ok"))
    if logits is not None and logits.shape != (len(rows), len(cache.classes)):
        raise AevlpError(
            f"expected logits of {len(rows):,} readable training images and {len(cache.classes):,} classes, found {logits.shape}"
        )
    if not len(rows) or count < 1:
        return []
    evidence, chances, each = _fitted(cache, rows, settings, positives, logits)
    done = np.array(sorted(answered), dtype=np.int64).reshape(-1, 2)
    best, least = np.empty((0, 5)), -1.0  # row, column, gain, chance, wrong; the gain that a pair must exceed
    for block in _blocks(cache, rows, settings, logits, rows):
        chance = chances(evidence(block.parts))
        wrong = np.where(block.positive, 1 - chance, chance)
        gain = wrong * np.where(block.positive, each.removed, each.found)
        free = (block.observed == UNKNOWN) & (gain > least)  # of equals the first stay
        known = done[slice(*np.searchsorted(done[:, 0], (block.rows[0], block.rows[-1] + 1)))]
        known = known[np.isin(known[:, 0], block.rows)]
        free[np.searchsorted(block.rows, known[:, 0]), known[:, 1]] = False
        place, column = np.nonzero(free)
        found = (block.rows[place], column, gain[free], chance[free], wrong[free])
        if len(place):
            best = _best(np.concatenate([best, np.column_stack(found)]), KEPT * count)
        if len(best) == KEPT * count:
            least = best[-1, 2]
    pairs = [Pair(int(row), int(column), *map(float, rest)) for row, column, *rest in best.tolist()]
    return list(_apart(cache, pairs, count))


def _fitted(
    cache: ScoreCache, rows: np.ndarray, settings: DampSettings, positives: float | None, logits: np.ndarray | None
) -> tuple[Evidence, Chances, Worth]:
    """Return what adds up the evidence, the chances by it, and what a corrected label of each class is worth."""
    some = rows[:: -(-len(rows) * len(cache.classes) // ENTRIES)]
    blocks = list(_blocks(cache, some, settings, logits, rows))
    parts = [np.concatenate(part) for part in zip(*(block.parts for block in blocks), strict=True)]
    final, observed, positive = (
        np.concatenate([getattr(block, name) for block in blocks]) for name in ("final", "observed", "positive")
    )
    evidence = Evidence(parts)
    together = evidence(parts)
    if positives is None:
        positives = max(float(positive.sum(axis=1).mean()), 1 / len(some))
    chances = Chances(together, observed, final, positives)
    known = np.where(observed == UNKNOWN, chances(together), observed == POSITIVE)
    return evidence, chances, worth(positive, known, len(rows))


def _blocks(
    cache: ScoreCache, rows: np.ndarray, settings: DampSettings, logits: np.ndarray | None, rows_of_logits: np.ndarray
) -> Iterator[_Block]:
    """Yield what is known of some rows, block by block."""
    for numbers, similarity in cache.views(rows):
        observed = cache.labels("observed", numbers)
        final, ranking = damp_scores(similarity, observed, settings)
        pseudo = codes_from_scores(final, ranking, settings)
        predicted = None if logits is None else logits[np.searchsorted(rows_of_logits, numbers)]
        used = np.where(observed == UNKNOWN, pseudo, observed)
        yield _Block(numbers, kinds(similarity, final, predicted), final, observed, used == POSITIVE)


def _best(candidates: np.ndarray, count: int) -> np.ndarray:
    """Return the candidates (m, 5) of highest gain; of equal ones the first row, then the first column."""
    if len(candidates) > count:  # sorting them all would take most of the time
        candidates = candidates[candidates[:, 2] >= np.partition(candidates[:, 2], -count)[-count]]
    return candidates[np.lexsort((candidates[:, 1], candidates[:, 0], -candidates[:, 2]))[:count]]


def _apart(cache: ScoreCache, pairs: list[Pair], count: int) -> Iterator[Pair]:
    """Yield up to `count` pairs by their gain; one of an image that is like one of the last few waits until they are past."""
    rows = np.unique(np.array([pair.row for pair in pairs], dtype=np.int64))
    embedding = image_embedding(cache, rows)
    vectors = embedding[np.searchsorted(rows, [pair.row for pair in pairs])]
    waiting = list(range(len(pairs)))
    last: list[int] = []
    while waiting and count > len(last):
        recent = vectors[last[-APART:]]
        last.append(waiting.pop(_first_unlike(vectors, waiting, recent)))
        yield pairs[last[-1]]


def _first_unlike(vectors: np.ndarray, waiting: list[int], recent: np.ndarray) -> int:
    """Return the place in `waiting` of the first whose vector is like none of the recent (r, D); 0 where each is."""
    for start in range(0, len(waiting), LOOKED_AT):
        here = vectors[waiting[start : start + LOOKED_AT]]
        unlike = (here @ recent.T).max(axis=1, initial=-1) < ALIKE
        if unlike.any():
            return start + int(unlike.argmax())
    return 0
