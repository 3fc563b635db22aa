"""A cache -> pairs of image and class in the order in which an answer helps most."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np

from ..labels.codes import POSITIVE, UNKNOWN
from ..labels.damp import DampSettings, codes_from_scores, damp_scores
from ..policies.labelling import image_embedding
from ..score_cache import ScoreCache
from .chances import Chances

MOST = 40_000  # images that chances are fitted to
ALIKE = 0.95  # cosine of two images from which on they are near-duplicates
APART = 12  # pairs that stand between two of near-duplicates
KEPT = 8  # candidates for each pair that is wanted
HALF = 5  # answers about a class after which another one of it helps half as much


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

    An answer helps by the chance that the label of now is wrong, times the class's rarity, as every class counts alike in the mAP
    and a label of a rare one is a larger share of it, times 2 where multi-focus and the whole image alone label differently or a
    classifier contradicts the label, and less the more answers about the class there are before it: it is halved after `HALF`.
    Pairs of near-duplicates, by the images' embeddings, do not follow each other. The truth is never read.

    settings: of DAMP, whose labels a training uses. answered: rows and columns. positives: how many classes an image shows; None
    for as many as observed and pseudo-labels together. logits: (n, C) of a classifier for the training images that are "ok", by
    ascending row. Memory beyond a block of scores does not grow with the images.
    """
    rows = np.flatnonzero((cache.split == "train") & (cache.status == "ok"))
    if not len(rows):
        return []
    chances, rarity = _fitted(cache, rows, settings, positives)
    done = np.array(sorted(answered), dtype=np.int64).reshape(-1, 2)
    a_class = max(2 * APART, KEPT * count // len(cache.classes))
    best = np.empty((0, 5))  # row, column, gain, chance, wrong
    for numbers, score, code, whole_code in _scored(cache, rows, settings):
        chance = chances(score)
        positive = code == POSITIVE
        wrong = np.where(positive, 1 - chance, chance)
        differ = positive != (whole_code == POSITIVE)
        if logits is not None:
            differ |= (logits[np.searchsorted(rows, numbers)] > 0) != positive
        gain = wrong * rarity * (1 + differ)
        gain[cache.labels("observed", numbers) != UNKNOWN] = 0
        here = done[np.isin(done[:, 0], numbers)]
        gain[np.searchsorted(numbers, here[:, 0]), here[:, 1]] = 0
        places = np.nonzero(gain > np.maximum(0, -np.sort(-gain, axis=0)[a_class]) if len(gain) > a_class else gain > 0)
        found = np.column_stack([numbers[places[0]], places[1], gain[places], chance[places], wrong[places]])
        best = _best_of_each_class(np.concatenate([best, found]), a_class)
    asked = np.bincount(done[:, 1], minlength=len(cache.classes))
    return list(_in_turn(cache, best, asked, count))


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


def _best_of_each_class(candidates: np.ndarray, count: int) -> np.ndarray:
    """Return the candidates (m, 5) of highest gain of each class, by class and gain; of equal ones the first row."""
    ordered = candidates[np.lexsort((candidates[:, 0], -candidates[:, 2], candidates[:, 1]))]
    first = np.searchsorted(ordered[:, 1], ordered[:, 1])  # of each one's class
    return ordered[np.arange(len(ordered)) - first < count]


def _in_turn(cache: ScoreCache, best: np.ndarray, asked: np.ndarray, count: int) -> Iterator[Pair]:
    """Yield up to `count` pairs by their gain, which falls with the answers about their class; near-duplicates wait.

    best: of `_best_of_each_class`. asked: (C,) answers about each class so far.
    """
    rows = np.unique(best[:, 0]).astype(np.int64)
    embedding = image_embedding(cache, rows) if len(rows) else np.empty((0, 1), np.float32)
    ends = np.searchsorted(best[:, 1], np.arange(len(asked)), side="right")
    next_of = np.searchsorted(best[:, 1], np.arange(len(asked)))
    asked = asked.copy()
    waiting: list[
        tuple[float, int]
    ] = []  # the gain, negative, and the place in `best` of one candidate a class, or more

    def take_up(column: int) -> None:
        if (place := int(next_of[column])) < ends[column]:
            next_of[column] += 1
            heappush(waiting, (-best[place, 2], place))

    for column in range(len(asked)):
        take_up(column)
    last: list[int] = []
    while waiting and count > 0:
        passed = []
        chosen = None
        while waiting and chosen is None and len(passed) < 4 * APART:
            gain, place = heappop(waiting)
            column = int(best[place, 1])
            now = -best[place, 2] / (1 + asked[column] / HALF)
            if now > gain:  # it fell since it was put there
                heappush(waiting, (now, place))
                continue
            image = int(np.searchsorted(rows, best[place, 0]))
            if last and (embedding[last[-APART:]] @ embedding[image]).max() >= ALIKE:
                passed.append((gain, place))
                take_up(column)
                continue
            chosen = place
        if chosen is None:
            chosen = passed.pop(0)[1]
        for held in passed:
            heappush(waiting, held)
        row, column, gain, chance, wrong = best[chosen].tolist()
        yield Pair(int(row), int(column), gain / (1 + asked[int(column)] / HALF), chance, wrong)
        last.append(int(np.searchsorted(rows, row)))
        asked[int(column)] += 1
        count -= 1
        take_up(int(column))
