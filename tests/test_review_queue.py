"""The order of questions: which pairs, by what gain, how far apart; what is likely, against populations that are known."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.policies.labelling import image_embedding
from aevlp.pipeline.review.chances import Chances
from aevlp.pipeline.review.queue import ALIKE, APART, Pair, review_queue
from aevlp.pipeline.review.worth import worth
from aevlp.pipeline.score_cache import CacheRows, ScoreCache, open_cache, reader, write_cache
from fakes import SETTINGS, random_cache

ALL = 10_000  # more pairs than any cache here has


def cached(path: Path, **options: Any) -> tuple[ScoreCache, CacheRows]:
    """Return a cache of which a few images are of the validation split, a few are not "ok", and some labels are negative."""
    header, content = random_cache(**{"rows": 30, "storage": "float32", "bad": 3, "width": 8, **options})
    content = replace(content, split=["val" if n < 3 else split for n, split in enumerate(content.split)])
    content.observed[5, 0] = -1
    write_cache(path, header, [content])
    return open_cache(path), content


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> ScoreCache:
    return cached(tmp_path_factory.mktemp("queue") / "fake.h5")[0]


def places(pairs: list[Pair]) -> list[tuple[int, int]]:
    return [(pair.row, pair.column) for pair in pairs]


def open_pairs(cache: ScoreCache) -> set[tuple[int, int]]:
    return {
        (row, column)
        for row in range(len(cache))
        for column in range(len(cache.classes))
        if cache.split[row] == "train" and cache.status[row] == "ok" and cache.observed[row, column] == 0
    }


PAIRS = st.sets(st.tuples(st.integers(0, 29), st.integers(0, 4)))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answered=PAIRS, count=st.integers(0, 30))
def test_every_pair_that_is_open_is_asked_once_and_no_other(
    cache: ScoreCache, answered: set[tuple[int, int]], count: int
) -> None:
    asked = places(review_queue(cache, SETTINGS, answered, count=ALL))
    assert len(asked) == len(set(asked))
    assert set(asked) == open_pairs(cache) - answered
    first = places(review_queue(cache, SETTINGS, answered, count=count))
    assert len(first) == min(count, len(asked)) and set(first) <= set(asked)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), classes=st.integers(1, 6), grid=st.integers(1, 2), with_logits=st.booleans())
def test_a_pair_comes_after_one_of_less_gain_only_because_its_image_was_like_one_of_the_last(
    tmp_path_factory: pytest.TempPathFactory, seed: int, classes: int, grid: int, with_logits: bool
) -> None:
    header, content = random_cache(20, classes, grid, seed=seed, width=3)
    path = tmp_path_factory.mktemp("queue") / "fake.h5"
    write_cache(path, header, [content])
    cache = open_cache(path)
    trained = np.flatnonzero((cache.split == "train") & (cache.status == "ok"))
    logits = np.random.default_rng(seed).normal(size=(len(trained), classes)) if with_logits else None
    pairs = review_queue(cache, SETTINGS, logits=logits, count=ALL)
    vectors = dict(zip(trained.tolist(), image_embedding(cache, trained), strict=True))
    for n, pair in enumerate(pairs):
        last = [vectors[other.row] for other in pairs[max(0, n - APART) : n]]

        def waits(row: int, last: list[np.ndarray] = last) -> bool:
            return any(float(vectors[row] @ other) > ALIKE - 1e-6 for other in last)

        assert all(later.gain <= pair.gain or waits(later.row) for later in pairs[n:])
        assert 0 <= pair.chance <= 1 and 0 <= pair.wrong <= 1 and 0 <= pair.gain <= 1


def test_images_of_the_same_embedding_stand_apart_while_there_are_others(tmp_path: Path) -> None:
    header, content = random_cache(rows=90, classes=1, width=64, bad=0, storage="float32")
    assert content.embedding is not None
    directions = np.eye(64, dtype=np.float32)[np.arange(90) // 2]  # of two images each
    content.embedding[:] = directions[:, None]
    content.observed[:] = 0
    write_cache(tmp_path / "fake.h5", header, [content])
    pairs = review_queue(open_cache(tmp_path / "fake.h5"), SETTINGS, count=40)
    direction = [pair.row // 2 for pair in pairs]
    assert len(set(direction)) < len(direction)
    for n, one in enumerate(direction):
        assert one not in direction[max(0, n - APART) : n]


def test_gain_is_the_chance_of_a_wrong_label_times_what_f1_rises_by(cache: ScoreCache) -> None:
    """Against loops over all pairs, and F1 itself a little to the right of where it is."""
    pairs = review_queue(cache, SETTINGS, count=ALL)
    chance = {(pair.row, pair.column): pair.chance for pair in pairs}
    codes, classes, step = cache.codes(SETTINGS), len(cache.classes), 1e-6
    trained = [n for n in range(len(cache)) if cache.split[n] == "train" and cache.status[n] == "ok"]
    for pair in pairs:
        labels = positives = right = 0.0
        for row in trained:
            observed = cache.observed[row, pair.column]
            there = chance[row, pair.column] if observed == 0 else float(observed == 1)
            used = (observed or codes[row, pair.column]) == 1
            labels, positives, right = labels + used, positives + there, right + used * there

        used = codes[pair.row, pair.column] == 1
        change = -step if used else step  # of the labels: a false one less, or a right one more
        f1 = 2 * right / (labels + positives)
        changed = 2 * (right + max(change, 0)) / (labels + positives + change)
        rise = (changed - f1) / step / classes
        assert pair.wrong == (1 - pair.chance if used else pair.chance)
        assert pair.gain == pytest.approx(pair.wrong * rise, rel=1e-4, abs=1e-12)


def test_a_label_of_a_rare_class_is_worth_more_and_one_of_a_hopeless_class_less() -> None:
    chance = np.zeros((1000, 4))
    chance[:500, 0] = chance[:50, 1] = chance[:50, 2] = 1  # frequent, rare, rare with many false labels
    labels = chance > 0
    labels[:, 2] = True
    of = worth(labels, chance, 1000)
    assert of.removed[1] > of.removed[0] > of.removed[2] and of.found[1] > of.found[0]
    twice = worth(labels, chance, 2000)
    np.testing.assert_allclose(2 * twice.found[:3], of.found[:3])


def test_nothing_is_known_of_the_truth(cache: ScoreCache, monkeypatch: pytest.MonkeyPatch) -> None:
    before = review_queue(cache, SETTINGS)

    def refused(*_: object) -> None:
        raise AssertionError("the truth was read")

    array = type(cache._store).array
    monkeypatch.setattr(ScoreCache, "truth", property(refused))
    monkeypatch.setattr(
        type(cache._store), "array", lambda self, name, rows: refused() if name == "truth" else array(self, name, rows)
    )
    again = open_cache(cache.path)
    assert review_queue(again, SETTINGS) == before


def test_blocks_of_any_size_give_the_same_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, _ = cached(tmp_path / "fake.h5", rows=300)
    answered = {(row, row % 5) for row in range(0, 300, 7)}
    whole = review_queue(cache, SETTINGS, answered, count=20)
    monkeypatch.setattr(reader, "BLOCK_BYTES", 1)
    monkeypatch.setattr(reader, "LEAST_IMAGES", 1)
    monkeypatch.setattr(reader, "PIECE_BYTES", 1)
    assert review_queue(cache, SETTINGS, answered, count=20) == whole


def test_a_classifier_that_contradicts_a_label_raises_the_chance_that_it_is_wrong(tmp_path: Path) -> None:
    cache, _ = cached(tmp_path / "fake.h5", rows=300, bad=0)
    trained = np.flatnonzero((cache.split == "train") & (cache.status == "ok"))
    plain = {place: pair for pair in review_queue(cache, SETTINGS, count=ALL) for place in places([pair])}
    unsure = np.random.default_rng(0).normal(size=(len(trained), 5))
    (row, column), _ = min(plain.items(), key=lambda of: abs(of[1].chance - 0.3))
    for sign in (-1, 1):
        said = unsure.copy()
        said[np.searchsorted(trained, row), column] = 9 * sign
        chance = {
            place: pair.chance
            for pair in review_queue(cache, SETTINGS, logits=said, count=ALL)
            for place in places([pair])
        }
        assert (chance[row, column] - plain[row, column].chance) * sign > 0


def test_logits_of_other_images_are_refused(cache: ScoreCache) -> None:
    with pytest.raises(
        AevlpError, match=r"expected logits of \d+ readable training images and 5 classes, found \(2, 5\)"
    ):
        review_queue(cache, SETTINGS, logits=np.zeros((2, 5)))


def test_a_cache_without_a_training_image_has_no_question(tmp_path: Path) -> None:
    header, content = random_cache(rows=4, bad=0)
    write_cache(tmp_path / "fake.h5", header, [replace(content, split=["test"] * 4)])
    assert review_queue(open_cache(tmp_path / "fake.h5"), SETTINGS) == []


def population(seed: int, images: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Return evidence (n, C) and truth (n, C) bool of classes of different frequency."""
    random = np.random.default_rng(seed)
    truth = random.random((images, 4)) < [0.05, 0.1, 0.3, 0.5]
    return random.normal(size=truth.shape) + 2.5 * truth, truth


def test_chances_are_what_they_say_where_observed_positives_are_picked_at_random() -> None:
    evidence, truth = population(0)
    observed = (truth & (np.random.default_rng(1).random(truth.shape) < 0.3)).astype(np.int8)
    chances = Chances(evidence, observed, np.full(evidence.shape, 0.1), truth.sum(axis=1).mean())
    unseen, there = population(2)
    chance = chances(unseen)
    for low, high in ((0, 0.1), (0.1, 0.3), (0.3, 0.6), (0.6, 0.9), (0.9, 1)):
        here = (chance >= low) & (chance <= high)
        assert here.sum() > 50
        assert abs(there[here].mean() - chance[here].mean()) < 0.08


def test_chances_without_an_observed_label_follow_damps_scores_and_the_number_of_positives() -> None:
    evidence, truth = population(3)
    final = 1 / (1 + np.exp(-(evidence - 2)))
    chances = Chances(evidence, np.zeros(evidence.shape, dtype=np.int8), final, 1.2)
    chance = chances(evidence)
    assert chance[truth].mean() > 3 * chance[~truth].mean()
    assert chance.sum(axis=1).mean() == pytest.approx(1.2, rel=0.15)
    ordered = np.sort(evidence, axis=0)
    assert (np.diff(chances(ordered), axis=0) >= 0).all()


@settings(max_examples=40, deadline=None)
@given(images=st.integers(1, 40), classes=st.integers(1, 4), seed=st.integers(0, 99), positives=st.floats(0.01, 4))
def test_chances_are_chances_and_rise_with_the_evidence(images: int, classes: int, seed: int, positives: float) -> None:
    random = np.random.default_rng(seed)
    evidence = random.integers(0, 5, (images, classes)).astype(np.float64)  # many are equal
    observed = random.integers(-1, 2, (images, classes)).astype(np.int8)
    chance = Chances(evidence, observed, random.random((images, classes)) * random.integers(0, 2), positives)(
        np.sort(evidence, axis=0)
    )
    assert ((chance >= 0) & (chance <= 1)).all() and (np.diff(chance, axis=0) >= 0).all()
