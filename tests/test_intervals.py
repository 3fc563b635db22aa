"""Intervals against their formula written out image by image, SciPy's Student's t, what they refuse, and laws of them."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import t as student

from aevlp.pipeline.datasets.left_out import left_out_precision
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.evaluation.intervals import Interval, Judged, NoInterval, difference_interval, judge, map_interval
from aevlp.pipeline.evaluation.metrics import mean_average_precision


def slow_left_out(scores: np.ndarray, positive: np.ndarray) -> float:
    """The mean over positives of the precision among the other images at or above each, written out."""
    positives, found = int(positive.sum()), []
    for n in np.flatnonzero(positive):
        others, kinds = np.delete(scores, n), np.delete(positive, n)
        higher = kinds[others >= scores[n]]
        if len(higher):
            true = higher.sum() * positives / max(positives - 1, 1)
            found.append(true / (true + (~higher).sum()))
        else:
            found.append((1 + kinds[others == others.max()].mean()) / 2 if len(others) else 1.0)
    return float(np.mean(found))


@st.composite
def a_class(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """A class's scores (N,), which often tie, and its positives, at least two."""
    images, levels = draw(st.integers(2, 14)), draw(st.sampled_from([1, 3, 1000]))
    scores = draw(arrays(np.int64, images, elements=st.integers(-levels, levels))) / levels
    positive = draw(arrays(np.bool_, images))
    assume(positive.sum() > 1)
    return scores, positive


@settings(max_examples=400, deadline=None)
@given(a_class())
def test_precision_and_influences_are_those_of_leaving_each_image_out(data: tuple[np.ndarray, np.ndarray]) -> None:
    scores, positive = data
    found, influences = left_out_precision(scores, positive)
    assert found == pytest.approx(slow_left_out(scores, positive), abs=1e-12)
    rows = range(len(scores))
    without = [slow_left_out(np.delete(scores, n), np.delete(positive, n)) for n in rows]
    expected = (found - np.array(without)) * (1 - 1 / positive.sum())
    np.testing.assert_allclose(influences, expected - expected.mean(), atol=1e-12)


def test_a_single_positive_has_a_precision_of_its_own() -> None:
    for place, expected in ((0, 0.5), (1, 0.0), (2, 0.0)):
        positive = np.arange(3) == place
        found, influences = left_out_precision(np.array([3.0, 2.0, 1.0]), positive)
        assert found == slow_left_out(np.array([3.0, 2.0, 1.0]), positive) == expected
        assert np.isfinite(influences).all()
    assert left_out_precision(np.zeros(1), np.ones(1, dtype=bool))[0] == 1


def random_run(images: int, classes: int, trainings: int, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Scores of several trainings that are right more often than not, with ties, and truth with six positives a class or more."""
    random = np.random.default_rng(seed)
    truth = (random.random((images, classes)) < 0.2).astype(np.int8)
    for c in range(classes):
        truth[random.permutation(images)[:6], c] = 1
    return [np.round(truth + random.normal(size=truth.shape), 1) for _ in range(trainings)], truth


def slow_interval(
    scores: list[np.ndarray], baseline: list[np.ndarray] | None, truth: np.ndarray, level: float
) -> Interval:
    """The interval of mAP, or of its difference to a baseline, written out for classes that all have positives."""
    images, classes = truth.shape

    def one(matrix: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.array([slow_left_out(matrix[rows, c], truth[rows, c] == 1) for c in range(classes)])

    def both(n: int | None) -> np.ndarray:
        rows = np.array([r for r in range(images) if r != n])
        first = np.array([one(matrix, rows) for matrix in scores])
        return first - np.array([one(matrix, rows) for matrix in baseline]) if baseline else first

    scale = 1 - 1 / truth.sum(axis=0)
    without = np.array([both(n) for n in range(images)])  # (images, trainings, classes)
    influences = ((without.mean(axis=0) - without) * scale).mean(axis=2)
    each = both(None).mean(axis=1)
    estimate = np.mean([mean_average_precision(matrix, truth) for matrix in scores])
    if baseline:
        estimate -= np.mean([mean_average_precision(matrix, truth) for matrix in baseline])
    trainings, mean = len(each), influences.mean(axis=1)
    variance = (mean**2).sum()
    freedom = 2 * variance**2 / ((mean**4).sum() - variance**2 / images)
    if trainings > 1:
        own = sum(((influences[:, s] - mean) ** 2).sum() for s in range(trainings)) / (trainings - 1) / trainings
        images_part, seeds_part = max(0, variance - own), each.var(ddof=1) / trainings
        total = images_part + seeds_part
        freedom = total**2 / (images_part**2 / freedom + seeds_part**2 / (trainings - 1))
        variance = total
    error, middle, freedom = np.sqrt(variance), each.mean(), min(max(freedom, 1), 1000)
    tail = (1 - level) / 2
    above, below = student.sf((estimate - middle) / error, freedom), student.cdf((estimate - middle) / error, freedom)
    down, up = (student.isf(1 - level - min(tail, side), freedom) for side in (above, below))
    if baseline:
        return Interval(float(min(middle - down * error, estimate)), float(max(middle + up * error, estimate)))
    steps = [float(((without.mean(axis=0) - without) * scale).mean(axis=1)[:, c] @ mean) for c in range(classes)]
    steps = [max(step, 0) for step in steps]
    ends = []
    for reach in (-down, up):
        moved = []
        for share, step in zip(both(None).mean(axis=0), steps, strict=True):
            logit = np.log(share / (1 - share)) + reach * step * error * classes / sum(steps) / (share * (1 - share))
            moved.append(1 / (1 + np.exp(-logit)))
        ends.append(float(np.mean(moved)))
    return Interval(min(ends[0], float(estimate)), max(ends[1], float(estimate)))


@pytest.mark.parametrize("trainings", [1, 3])
@pytest.mark.parametrize("classes", [5, 8])
def test_intervals_are_those_of_the_formula(classes: int, trainings: int) -> None:
    outside = 0
    for seed, level in ((1, 0.95), (2, 0.8), (3, 0.05)):
        scores, truth = random_run(30, classes, trainings, seed)
        others = [np.round(s + np.random.default_rng(seed).normal(size=s.shape), 1) for s in scores]
        judged, baseline = judge(scores, truth), judge(others, truth)
        for found, expected in (
            (map_interval(judged, level), slow_interval(scores, None, truth, level)),
            (difference_interval(judged, baseline, level), slow_interval(scores, others, truth, level)),
        ):
            assert isinstance(found, Interval)
            assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-4, abs=1e-5)
            outside += found.high == pytest.approx(float(judged.maps.mean()), abs=1e-12)
    assert outside, "at a low level a mAP is the end of its own interval"


def of(found: Interval | NoInterval) -> tuple[float, float]:
    assert isinstance(found, Interval), found
    return found.low, found.high


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(20, 60), st.integers(5, 9), st.integers(1, 3)),
    seed=st.integers(0, 99),
    level=st.floats(0.01, 0.98),
    worth=st.sampled_from([-1.0, 0.0, 0.3, 3.0]),
)
def test_laws_of_the_interval(shape: tuple[int, int, int], seed: int, level: float, worth: float) -> None:
    scores, truth = random_run(*shape, seed)
    scores = [s + (worth - 1) * truth for s in scores]
    judged = judge(scores, truth)
    low, high = of(map_interval(judged, level))
    mean = float(np.mean([mean_average_precision(s, truth) for s in scores]))
    assert 0 <= low <= mean <= high <= 1, "it holds its own estimate"
    assert of(map_interval(judge(scores, truth), level)) == (low, high), "nothing is drawn"
    wider = of(map_interval(judged, (1 + level) / 2))
    assert wider[0] <= low and high <= wider[1]

    def same(matrices: list[np.ndarray], labels: np.ndarray) -> None:
        assert of(map_interval(judge(matrices, labels), level)) == pytest.approx((low, high), rel=1e-9)

    same([3 * s**3 + 5 * s for s in scores], truth)  # only the order of scores counts
    columns, rows = (np.random.default_rng(seed).permutation(n) for n in (shape[1], shape[0]))
    same([s[:, columns] for s in scores], truth[:, columns])  # classes have no order
    same([s[rows] for s in scores], truth[rows])  # nor have images
    same(scores[::-1], truth)  # nor have seeds
    once, thrice = (of(map_interval(judge(scores[:1] * n, truth), level)) for n in (1, 3))
    assert once == pytest.approx(thrice, rel=1e-9), "equal trainings add nothing"


@settings(max_examples=60, deadline=None)
@given(shape=st.tuples(st.integers(20, 60), st.integers(5, 9), st.integers(1, 3)), seed=st.integers(0, 99))
def test_laws_of_the_difference(shape: tuple[int, int, int], seed: int) -> None:
    scores, truth = random_run(*shape, seed)
    others = [np.round(s + np.random.default_rng(seed).normal(size=s.shape), 1) for s in scores]
    one, two = judge(scores, truth), judge(others, truth)
    assert difference_interval(one, judge([2 * s for s in scores], truth)) == Interval(0, 0)
    low, high = of(difference_interval(one, two))
    assert -1 <= low <= (one.maps - two.maps).mean() <= high <= 1
    assert of(difference_interval(two, one)) == pytest.approx((-high, -low), abs=1e-12)


def test_pairing_narrows_the_interval_of_like_methods() -> None:
    scores, truth = random_run(60, 5, 2)
    random = np.random.default_rng(0)  # neither has ties
    judged, like = (judge([s + 1e-2 * random.normal(size=s.shape) for s in scores], truth) for _ in range(2))
    paired, alone = of(difference_interval(judged, like)), of(map_interval(judged))
    assert paired[1] - paired[0] < 0.5 * (alone[1] - alone[0])
    assert paired[0] < 0 < paired[1]


def test_the_interval_of_a_large_sample_is_as_wide_as_its_standard_error() -> None:
    truth = np.random.default_rng(0).permutation(np.arange(4000) % 4 == 0)[:, None]
    half = 1.96 * np.sqrt(0.25 * 0.75 / 4000)  # a constant score's average precision is the share of positives
    assert of(map_interval(judge([np.zeros((4000, 1))], truth))) == pytest.approx((0.25 - half, 0.25 + half), abs=4e-4)


def test_seeds_that_differ_widen_the_interval() -> None:
    scores, truth = random_run(400, 6, 3)
    worse = [scores[0], scores[1] - 0.5 * truth, scores[2] - truth]
    alike, apart = (of(map_interval(judge(each, truth))) for each in (scores, worse))
    assert apart[1] - apart[0] > 3 * (alike[1] - alike[0])


def test_a_class_without_positives_counts_zero_and_caps_the_interval() -> None:
    scores, truth = random_run(60, 6, 2)
    low, high = of(map_interval(judge(scores, truth)))
    with_empty = [np.hstack([s, s[:, :2]]) for s in scores]
    found = of(map_interval(judge(with_empty, np.hstack([truth, np.zeros((60, 2))]))))
    assert found == pytest.approx((low * 6 / 8, high * 6 / 8), rel=1e-12)


def with_positives(*counts: int) -> Judged:
    """What a run says of 60 images with so many positives in each class."""
    truth = np.zeros((60, len(counts)))
    for c, count in enumerate(counts):
        truth[:count, c] = 1
    scores = [truth + np.random.default_rng(1).normal(size=truth.shape)]
    return judge(scores, truth)


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        ([4, *[20] * 9], "1 class below 5"),
        ([1, 4, *[20] * 9], "2 classes below 5"),
        ([2, 3, 1], "3 classes below 5"),
        ([0, 0], "no class has any"),
        ([5, 5, 0], "worth 8 degrees of freedom, 20 are needed"),
        ([20], "worth 19 degrees of freedom, 20 are needed"),
        ([5, 30, 30, 30], "worth 8 degrees of freedom, 20 are needed"),
    ],
)
def test_with_too_few_positives_there_is_no_interval(counts: list[int], why: str) -> None:
    judged = with_positives(*counts)
    for found in (map_interval(judged), difference_interval(judged, judged)):
        assert found == NoInterval("too few positives", why)
        assert found.reason == f"too few positives, {why}"


@pytest.mark.parametrize("counts", [[5] * 5, [21], [10, 10, 10], [0, 0, 21], [5, 7, 10, *[20] * 9]])
def test_with_enough_positives_there_is_an_interval(counts: list[int]) -> None:
    low, high = of(map_interval(with_positives(*counts)))
    assert 0 < low < high < 1


def test_without_a_mistake_there_is_no_interval() -> None:
    truth = np.tile([1, 0, 0], 25)[:, None]
    good = judge([truth * 2.0, truth * 3.0], truth)
    found = map_interval(good)
    assert isinstance(found, NoInterval) and found.what == "too few mistakes"
    assert difference_interval(good, good) == Interval(0, 0)
    bad = judge([truth * 2.0, -truth * 1.0], truth)
    assert isinstance(map_interval(bad), Interval)


@pytest.mark.parametrize(
    ("scores", "truth", "found"),
    [
        ([], np.eye(2), "at least one training, found none"),
        ([np.eye(2), np.eye(3)], np.eye(2), r"\(3, 3\) and \(2, 2\)"),
        (np.eye(2), np.eye(2), r"\(2,\) and \(2, 2\)"),
        ([np.zeros((0, 2))], np.zeros((0, 2)), "at least one image"),
        ([np.eye(2), np.array([[0, 1], [np.nan, 2]])], np.eye(2), "nan in row 1, class 0"),
    ],
)
def test_mistakes_in_scores_are_said(scores: list[np.ndarray], truth: np.ndarray, found: str) -> None:
    with pytest.raises(AevlpError, match=found):
        judge(scores, truth)


@pytest.mark.parametrize("level", [0, 1, 95, np.nan])
def test_a_level_is_a_share(level: float) -> None:
    judged = with_positives(21)
    for interval in (lambda: map_interval(judged, level), lambda: difference_interval(judged, judged, level)):
        with pytest.raises(AevlpError, match=f"above 0 and below 1, found {level}"):
            interval()


def test_a_difference_is_of_the_same_images() -> None:
    scores, truth = random_run(60, 5, 2)
    one = judge(scores, truth)
    others = (
        judge([s[:-1] for s in scores], truth[:-1]),
        judge(scores, 1 - truth),
        judge([s[:, 1:] for s in scores], truth[:, 1:]),
    )
    for other in others:
        with pytest.raises(AevlpError, match="the same images and classes"):
            difference_interval(one, other)


@pytest.mark.parametrize("seeds", [(1, 3), (3, 1), (2, 3)])
def test_a_difference_is_of_the_seeds_that_both_have(seeds: tuple[int, int]) -> None:
    scores, truth = random_run(80, 4, 3)
    others = [s + np.random.default_rng(n).normal(size=s.shape) for n, s in enumerate(scores)]
    both = min(seeds)
    expected = difference_interval(judge(scores[:both], truth), judge(others[:both], truth))
    assert isinstance(expected, Interval)
    assert difference_interval(judge(scores[: seeds[0]], truth), judge(others[: seeds[1]], truth)) == expected
