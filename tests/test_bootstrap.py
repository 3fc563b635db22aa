"""The bootstrap interval against scikit-learn on repeated rows, against every possible resample, and laws of it."""

from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score

from aevlp.pipeline import bootstrap
from aevlp.pipeline.bootstrap import (
    Interval,
    map_interval,
    percentile_interval,
    rank,
    resampled_average_precision,
    resampled_maps,
)
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.metrics import average_precision, mean_average_precision
from fakes import map_difference_interval
from goldens import load

GOLDEN = load("metrics")
MAP = [name for name in GOLDEN if name.startswith("map_")]


@st.composite
def resampled(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A class's scores (N,), which often tie, its truth (N,) with a positive, and the counts (N, B) of resamples."""
    images, resamples = draw(st.integers(1, 20)), draw(st.integers(1, 5))
    levels = draw(st.sampled_from([1, 3, 1000]))
    scores = draw(arrays(np.int64, images, elements=st.integers(-levels, levels))) / levels
    truth = draw(arrays(np.int8, images, elements=st.integers(0, 1)))
    assume(truth.any())
    return scores, truth, draw(arrays(np.int32, (images, resamples), elements=st.integers(0, 4)))


def random_run(images: int, classes: int, trainings: int, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Scores of several trainings that are right more often than not, with ties, and truth with positives in all classes."""
    random = np.random.default_rng(seed)
    truth = (random.random((images, classes)) < 0.3).astype(np.int8)
    truth[:classes][np.eye(classes, dtype=bool)] = 1
    return [np.round(truth + random.normal(size=truth.shape), 1) for _ in range(trainings)], truth


@settings(max_examples=200, deadline=None)
@given(resampled())
def test_a_resample_equals_scikit_learn_on_repeated_rows_and_on_weights(
    data: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    scores, truth, counts = data
    found = resampled_average_precision(rank(scores, truth == 1), counts)
    assert found.dtype == np.float64 and found.shape == (counts.shape[1],)
    for value, count in zip(found, counts.T, strict=True):
        if not count[truth == 1].any():
            assert np.isnan(value)
            continue
        repeated = average_precision_score(np.repeat(truth, count), np.repeat(scores, count))
        weighted = average_precision_score(truth, scores, sample_weight=count)
        assert value == pytest.approx(float(repeated), rel=1e-12)
        assert value == pytest.approx(float(weighted), rel=1e-12)


@pytest.mark.parametrize("name", MAP)
def test_every_image_once_is_average_precision(name: str) -> None:
    scores, truth = GOLDEN[name]["scores"], GOLDEN[name]["labels"]
    once = np.ones((len(truth), 1), dtype=np.int32)
    held = np.flatnonzero((truth == 1).any(axis=0))
    found = [resampled_average_precision(rank(scores[:, c], truth[:, c] == 1), once)[0] for c in held]
    np.testing.assert_allclose(found, GOLDEN[name]["ap"][held], rtol=1e-12)
    np.testing.assert_allclose(found, average_precision(scores, truth)[held], rtol=1e-12)


TRUTH = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0]])  # the last class has no positive and counts 0


def map_of_resample(scores: list[np.ndarray], rows: tuple[int, ...], chosen: tuple[int, ...]) -> float:
    """The mean over the chosen trainings of mAP on these rows of `TRUTH`, NaN where they hold no positive."""
    drawn = TRUTH[list(rows)]
    classes = [c for c in range(2) if drawn[:, c].any()]
    if not classes:
        return np.nan
    means = [
        sum(average_precision_score(drawn[:, c], scores[s][list(rows), c]) for c in classes) / (len(classes) + 1)
        for s in chosen
    ]
    return float(np.mean(means))


def check_quantiles(everything: np.ndarray, found: Interval, level: float) -> None:
    slack = 0.02  # more than four standard errors of a share of 20,000 resamples
    for value, share in ((found.low, (1 - level) / 2), (found.high, (1 + level) / 2)):
        assert (everything < value - 1e-9).mean() <= share + slack
        assert (everything <= value + 1e-9).mean() >= share - slack


@pytest.mark.parametrize("trainings", [1, 2])
def test_the_interval_is_that_of_all_possible_resamples(trainings: int) -> None:
    random = np.random.default_rng(7)
    scores = [random.normal(size=TRUTH.shape) for _ in range(trainings)]
    draws = product(product(range(4), repeat=4), product(range(trainings), repeat=trainings))
    everything = np.array([map_of_resample(scores, *draw) for draw in draws])
    everything = everything[~np.isnan(everything)]
    assert len(everything) == (4**4 - 1) * trainings**trainings  # the last image four times holds no positive
    for level in (0.2, 0.5, 0.8, 0.95):
        check_quantiles(everything, map_interval(scores, TRUTH, level, resamples=20_000, seed=1), level)


def test_the_interval_of_a_difference_is_that_of_all_paired_resamples() -> None:
    random = np.random.default_rng(8)
    scores, baseline = ([random.normal(size=TRUTH.shape) for _ in range(2)] for _ in range(2))
    draws = list(product(product(range(4), repeat=4), product(range(2), repeat=2)))
    everything = np.array([map_of_resample(scores, *draw) - map_of_resample(baseline, *draw) for draw in draws])
    everything = everything[~np.isnan(everything)]
    for level in (0.5, 0.95):
        found = map_difference_interval(scores, baseline, TRUTH, level, resamples=20_000, seed=1)
        check_quantiles(everything, found, level)


@settings(max_examples=25, deadline=None)
@given(shape=st.tuples(st.integers(4, 30), st.integers(1, 4), st.integers(1, 3)), seed=st.integers(0, 99))
def test_laws_of_the_difference(shape: tuple[int, int, int], seed: int) -> None:
    scores, truth = random_run(*shape, seed)
    others = [np.round(s + np.random.default_rng(seed).normal(size=s.shape), 1) for s in scores]
    given = {"resamples": 60, "seed": seed}
    assert map_difference_interval(scores, [s.copy() for s in scores], truth, **given) == Interval(0, 0)
    found = map_difference_interval(scores, others, truth, **given)
    swapped = map_difference_interval(others, scores, truth, **given)
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low), abs=1e-12)
    assert found.low <= found.high
    constant = [np.zeros_like(s, dtype=float) for s in scores]
    shared = resampled_maps(constant, truth, **given)  # every method's resamples are made once, and compared with any
    assert map_difference_interval(scores, constant, truth, **given) == percentile_interval(
        resampled_maps(scores, truth, **given) - shared
    )


def test_pairing_narrows_the_interval_of_like_methods() -> None:
    scores, truth = random_run(60, 3, 2)
    others = [s + 1e-3 * np.random.default_rng(0).normal(size=s.shape) for s in scores]
    paired, alone = map_difference_interval(scores, others, truth), map_interval(scores, truth)
    assert paired.high - paired.low < 0.5 * (alone.high - alone.low)
    assert paired.low < 0 < paired.high


def test_the_interval_of_a_large_sample_is_as_wide_as_its_standard_error() -> None:
    truth = np.random.default_rng(0).permutation(np.arange(400) % 4 == 0)[:, None]
    found = map_interval([np.zeros((400, 1))], truth, 0.95, resamples=4000)
    half = 1.96 * np.sqrt(
        0.25 * 0.75 / 400
    )  # of a share: a constant score's average precision is the share of positives
    assert (found.low, found.high) == pytest.approx((0.25 - half, 0.25 + half), abs=0.006)


def test_seeds_that_differ_widen_the_interval() -> None:
    truth = np.tile([1, 0, 0, 0], 50)[:, None]
    good, bad = truth * 1.0, -truth * 1.0
    assert map_interval([good], truth) == Interval(1, 1)
    worst = mean_average_precision(bad, truth)
    found = map_interval([good, bad], truth)
    assert found.high == 1 and found.low < worst + 0.05


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(4, 30), st.integers(1, 4), st.integers(1, 3)),
    seed=st.integers(0, 99),
    level=st.floats(0.01, 0.98),
)
def test_laws_of_the_interval(shape: tuple[int, int, int], seed: int, level: float) -> None:
    scores, truth = random_run(*shape, seed)
    given = {"level": level, "resamples": 60, "seed": seed}
    found = map_interval(scores, truth, **given)
    assert 0 <= found.low <= found.high <= 1 + 1e-12
    assert map_interval(scores, truth, **given) == found
    wider = map_interval(scores, truth, (1 + level) / 2, 60, seed)
    assert wider.low <= found.low and found.high <= wider.high

    def same(other: Interval) -> bool:
        return (other.low, other.high) == pytest.approx((found.low, found.high), rel=1e-12)

    assert same(map_interval([3 * s**3 + 5 * s for s in scores], truth, **given)), "only the order of scores counts"
    columns = np.random.default_rng(seed).permutation(shape[1])
    assert same(map_interval([s[:, columns] for s in scores], truth[:, columns], **given)), "classes have no order"
    once, thrice = map_interval(scores[:1], truth, **given), map_interval(scores[:1] * 3, truth, **given)
    assert (once.low, once.high) == pytest.approx((thrice.low, thrice.high), rel=1e-12), "equal trainings add nothing"


def test_another_seed_draws_other_images() -> None:
    scores, truth = random_run(30, 3, 2)
    assert map_interval(scores, truth, seed=0) != map_interval(scores, truth, seed=1)


def test_the_size_of_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, truth = random_run(30, 3, 2)
    whole = map_interval(scores, truth, resamples=100)
    for size in (1, 30 * 7, 30 * 50):
        monkeypatch.setattr(bootstrap, "BLOCK", size)
        parts = map_interval(scores, truth, resamples=100)
        assert (parts.low, parts.high) == pytest.approx((whole.low, whole.high), rel=1e-12)


def test_truth_without_positives_is_zero() -> None:
    assert map_interval([np.eye(3)], np.zeros((3, 3)), resamples=5) == Interval(0, 0)


def test_a_class_without_positives_counts_zero_in_every_resample() -> None:
    truth = np.array([[1, 0], [1, 0], [0, 0]])
    assert map_interval([truth * 2.0], truth, resamples=200) == Interval(0.5, 0.5)


@pytest.mark.parametrize(
    ("scores", "truth", "options", "found"),
    [
        ([], np.eye(2), {}, "at least one training, found none"),
        ([np.eye(2), np.eye(3)], np.eye(2), {}, r"\(3, 3\) and \(2, 2\)"),
        (np.eye(2), np.eye(2), {}, r"\(2,\) and \(2, 2\)"),
        ([np.zeros((0, 2))], np.zeros((0, 2)), {}, "at least one image"),
        ([np.eye(2), np.array([[0, 1], [np.nan, 2]])], np.eye(2), {}, "nan in row 1, class 0"),
        ([np.eye(2)], np.eye(2), {"level": 95}, "above 0 and below 1, found 95"),
        ([np.eye(2)], np.eye(2), {"level": 0}, "above 0 and below 1, found 0"),
        ([np.eye(2)], np.eye(2), {"level": np.nan}, "above 0 and below 1, found nan"),
        ([np.eye(2)], np.eye(2), {"resamples": 0}, "at least one resample, found 0"),
    ],
)
def test_mistakes_are_said(scores: list[np.ndarray], truth: np.ndarray, options: dict, found: str) -> None:
    with pytest.raises(AevlpError, match=found):
        map_interval(scores, truth, **options)


def test_resamples_without_any_positive_are_left_out() -> None:
    scores, truth = np.array([[2.0], [1.0], [0.0]]), np.array([[1], [0], [0]])
    missed = 0
    for seed in range(30):
        try:
            assert map_interval([scores], truth, resamples=1, seed=seed) == Interval(1, 1)
        except AevlpError as error:
            assert "none of 1 resamples holds a positive" in str(error)
            missed += 1
    assert 0 < missed < 30  # of three images the first is missed with probability 8/27
    assert map_interval([scores], truth, resamples=200) == Interval(1, 1)
