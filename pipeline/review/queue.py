"""A cache -> pairs of image and class in the order in which an answer helps most."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from ..labels.codes import POSITIVE, UNKNOWN
from ..labels.damp import DampSettings, codes_from_scores, damp_scores
from ..policies.labelling import image_embedding
from ..score_cache import ScoreCache
from .chances import Chances

MOST = 40_000  # images that chances are fitted to
ALIKE = 0.95  # cosine of two images from which on they are near-duplicates
APART = 12  # pairs that stand between two of near-duplicates
KEPT = 8  # candidates a pair that is wanted, from which those that are alike are put back


@dataclass(frozen=True)
class Pair:
    """A question: does the image of a row show the class of a column?

    gain: what an answer is expected to help, in no unit, higher first. chance: how likely the class is there; wrong: how likely
    it is that the label which a training uses now, a pseudo-label or none, is wrong; both in [0, 1].
    """

    row: int
    column: int
    gain: float
    chance: float
    wrong: float


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

    An answer helps as much as it is likely to change what a training learns from: the chance that the label of now is wrong, times
    the class's rarity, as every class counts alike in the mAP and a label of a rare one is a larger share of it, times 2 where
    multi-focus and the whole image alone label differently, or a classifier contradicts the label. Pairs of near-duplicates, by
    the images' embeddings, do not follow each other. The truth is never read.

    settings: of DAMP, whose labels a training uses. answered: rows and columns. positives: how many classes an image shows; None
    for as many as observed and pseudo-labels together. logits: (n, C) of a classifier for the training images that are "ok", by
    ascending row. Memory beyond a block of scores does not grow with the images.
    """
    rows = np.flatnonzero((cache.split == "train") & (cache.status == "ok"))
    if not len(rows):
        return []
    chances, rarity = _fitted(cache, rows, settings, positives)
    candidates: list[np.ndarray] = []  # of each block the best: row, column, gain, chance, wrong
    done = set(answered)
    for numbers, score, code, whole_code in _scored(cache, rows, settings):
        chance = chances(score)
        positive = code == POSITIVE
        wrong = np.where(positive, 1 - chance, chance)
        differ = positive != (whole_code == POSITIVE)
        if logits is not None:
            differ |= (logits[np.searchsorted(rows, numbers)] > 0) != positive
        gain = wrong * rarity * (1 + differ)
        gain[cache.labels("observed", numbers) != UNKNOWN] = -1
        best = np.argsort(-gain, axis=None, kind="stable")[: KEPT * count + len(done)]
        places = np.unravel_index(best, gain.shape)
        found = np.column_stack([numbers[places[0]], places[1], gain[places], chance[places], wrong[places]])
        candidates.append(found[found[:, 2] > 0])
        if sum(map(len, candidates)) > 4 * KEPT * count + len(done):
            candidates = [_best(candidates, KEPT * count + len(done))]
    pairs = [
        Pair(int(row), int(column), float(gain), float(chance), float(wrong))
        for row, column, gain, chance, wrong in _best(candidates, KEPT * count + len(done)).tolist()
        if (int(row), int(column)) not in done
    ]
    return list(_apart(cache, pairs[: KEPT * count], count))


def _fitted(
    cache: ScoreCache, rows: np.ndarray, settings: DampSettings, positives: float | None
) -> tuple[Chances, np.ndarray]:
    """Return the chances of classes by their scores, and each class's rarity (C,): 1 for one of mean frequency."""
    some = rows[:: -(-len(rows) // MOST)]
    parts = [(score, code) for _, score, code, _ in _scored(cache, some, settings)]
    scores, codes = (np.concatenate(part) for part in zip(*parts, strict=True))
    observed = cache.labels("observed", some)
    labelled = (observed == POSITIVE) | ((observed == UNKNOWN) & (codes == POSITIVE))
    expected = positives if positives is not None else max(float(labelled.sum(axis=1).mean()), 1e-6)
    chances = Chances(scores, observed, expected)
    frequency = chances(scores).mean(axis=0) + 1 / len(some)
    return chances, np.sqrt(frequency.mean() / frequency)


def _scored(
    cache: ScoreCache, rows: np.ndarray, settings: DampSettings
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield row numbers, scores (n, C), codes of all views and codes of the whole image alone, block by block."""
    for numbers, cosines in cache.views(rows):
        observed = cache.labels("observed", numbers)
        final, ranking = damp_scores(cosines, observed, settings)
        whole = damp_scores(cosines[:, :1], observed, settings)
        yield numbers, final, codes_from_scores(final, ranking, settings), codes_from_scores(*whole, settings)


def _best(candidates: list[np.ndarray], count: int) -> np.ndarray:
    """Return the candidates (m, 5) of highest gain; of equal ones the first row, then the first column."""
    together = np.concatenate([np.empty((0, 5)), *candidates])
    return together[np.lexsort((together[:, 1], together[:, 0], -together[:, 2]))[:count]]


def _apart(cache: ScoreCache, pairs: list[Pair], count: int) -> Iterator[Pair]:
    """Yield up to `count` pairs by their gain; one of an image that is like one of the last few waits until they are past."""
    rows = np.unique([pair.row for pair in pairs]).astype(np.int64)
    embedding = image_embedding(cache, rows) if len(rows) else np.empty((0, 1), np.float32)
    place = {row: n for n, row in enumerate(rows.tolist())}
    waiting = list(pairs)
    last: list[int] = []
    for _ in range(min(count, len(pairs))):
        recent = embedding[last[-APART:]]
        pick = 0
        for n, pair in enumerate(waiting[: 4 * APART]):
            if not len(recent) or (recent @ embedding[place[pair.row]]).max() < ALIKE:
                pick = n
                break
        pair = waiting.pop(pick)
        last.append(place[pair.row])
        yield pair
