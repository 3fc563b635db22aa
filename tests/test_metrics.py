"""Average precision and pseudo-label quality against published values, scikit-learn and slow loops."""

import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn.metrics import average_precision_score

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.metrics import (
    average_precision,
    classes_without_positives,
    mean_average_precision,
    pseudo_label_quality,
)
from goldens import load

GOLDEN = load("metrics")
MAP = [name for name in GOLDEN if name.startswith("map_")]
QUALITY = [name for name in GOLDEN if name.startswith("pseudo_quality_")]

SHAPES = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=15)


@st.composite
def scored(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores and truth of one shape; the scores often tie."""
    shape = draw(SHAPES)
    levels = draw(st.sampled_from([2, 4, 1000]))
    scores = draw(arrays(np.int64, shape, elements=st.integers(-levels, levels))) / levels
    return scores, draw(arrays(np.int8, shape, elements=st.integers(0, 1)))


@st.composite
def coded(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pseudo-label codes, observed codes and truth of one shape; what is observed is true."""
    shape = draw(SHAPES)
    truth = draw(arrays(np.int8, shape, elements=st.integers(0, 1)))
    told = draw(arrays(np.bool_, shape))
    codes = draw(arrays(np.int8, shape, elements=st.integers(-1, 1)))
    return codes, np.where(told, 2 * truth - 1, 0).astype(np.int8), truth


@pytest.mark.parametrize("name", MAP)
def test_average_precision_equals_the_published_one(name: str) -> None:
    case = GOLDEN[name]
    np.testing.assert_allclose(average_precision(case["scores"], case["labels"]), case["ap"], rtol=1e-12)
    assert 100 * mean_average_precision(case["scores"], case["labels"]) == pytest.approx(float(case["map"]), rel=1e-12)


@settings(max_examples=100, deadline=None)
@given(scored())
def test_average_precision_equals_scikit_learn_ties_included(data: tuple[np.ndarray, np.ndarray]) -> None:
    scores, truth = data
    ours = average_precision(scores, truth)
    assert ours.dtype == np.float64
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about classes without positives, which are 0 for both
        expected = [average_precision_score(truth[:, c], scores[:, c]) for c in range(truth.shape[1])]
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-15)
    assert mean_average_precision(scores, truth) == pytest.approx(np.mean(expected))


@settings(max_examples=50, deadline=None)
@given(scored())
def test_average_precision_equals_its_definition(data: tuple[np.ndarray, np.ndarray]) -> None:
    scores, truth = data
    for c, found in enumerate(average_precision(scores, truth)):
        total, area, recall = truth[:, c].sum(), 0.0, 0.0
        for cut in sorted(set(scores[:, c]), reverse=True):
            taken = truth[scores[:, c] >= cut, c]
            if total:
                area += (taken.sum() / total - recall) * taken.mean()
                recall = taken.sum() / total
        assert found == pytest.approx(area, abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(data=scored(), seed=st.integers(0, 99))
def test_average_precision_ignores_the_order_of_images_and_the_scale_of_scores(
    data: tuple[np.ndarray, np.ndarray], seed: int
) -> None:
    scores, truth = data
    order = np.random.default_rng(seed).permutation(len(scores))
    expected = average_precision(scores, truth)
    np.testing.assert_allclose(average_precision(scores[order], truth[order]), expected, rtol=1e-12)
    np.testing.assert_allclose(average_precision(5 * scores - 1e6, truth), expected, rtol=1e-12)
    assert ((expected >= 0) & (expected <= 1 + 1e-12)).all()


def test_a_perfect_ranking_is_one_and_a_constant_score_is_the_share_of_positives() -> None:
    truth = np.array([[1, 1], [0, 1], [1, 0], [0, 0], [0, 0]])
    np.testing.assert_allclose(average_precision(truth * 2.5, truth), 1)
    np.testing.assert_allclose(average_precision(np.zeros((5, 2)), truth), 0.4)


def test_a_class_without_positives_counts_zero_and_stays_in_the_mean() -> None:
    truth = np.array([[1, 0, 0], [0, 0, -1]])
    scores = np.array([[2.0, 1.0, 1.0], [1.0, 2.0, 2.0]])
    assert average_precision(scores, truth).tolist() == [1, 0, 0]
    assert mean_average_precision(scores, truth) == pytest.approx(1 / 3)
    assert classes_without_positives(truth).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("scores", "truth", "found"),
    [
        (np.zeros((3, 2)), np.zeros((2, 3)), r"\(3, 2\) and \(2, 3\)"),
        (np.zeros(3), np.zeros(3), r"\(3,\)"),
        (np.zeros((0, 2)), np.zeros((0, 2)), "at least one image"),
        (np.zeros((2, 0)), np.zeros((2, 0)), "one class"),
        (np.array([[0.0, 1.0], [2.0, np.nan]]), np.eye(2), "nan in row 1, class 1"),
        (np.array([[0.0, -np.inf], [2.0, 1.0]]), np.eye(2), "-inf in row 0, class 1"),
    ],
)
def test_unusable_scores_are_a_mistake(scores: np.ndarray, truth: np.ndarray, found: str) -> None:
    with pytest.raises(AevlpError, match=found):
        average_precision(scores, truth)


@pytest.mark.parametrize("name", QUALITY)
def test_pseudo_label_quality_equals_the_published_one(name: str) -> None:
    case = GOLDEN[name]
    quality = pseudo_label_quality(case["pseudo"], case["observed"], case["labels"])
    for key in ("precision", "recall", "f1_published"):
        assert 100 * getattr(quality, key) == pytest.approx(float(case[key]), rel=1e-12), key
    assert quality.f1 == 2 * quality.f1_published


@settings(max_examples=100, deadline=None)
@given(coded())
@example((np.array([[1, 0]]), np.array([[0, 0]]), np.array([[0, 1]])))
def test_pseudo_label_quality_equals_counting(data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    quality = pseudo_label_quality(*data)
    claimed = right = hidden = denied = rightly_denied = 0
    for code, known, true in zip(*(part.ravel().tolist() for part in data), strict=True):
        if known != 0:
            continue
        claimed += code == 1
        hidden += true
        right += code == 1 and true
        denied += code == -1
        rightly_denied += code == -1 and not true
    assert (quality.negatives, quality.hidden) == (denied, hidden)
    assert quality.negative_precision == (rightly_denied / denied if denied else 0)
    assert quality.recall == (right / hidden if hidden else 0)
    if not (data[1] == -1).any():  # observed negatives, which the published count does not leave out
        assert quality.positives == claimed
        assert quality.precision == (right / claimed if claimed else 0)
        assert quality.f1 == pytest.approx(2 * right / (claimed + hidden) if right else 0)


def test_pseudo_label_quality_needs_one_shape() -> None:
    with pytest.raises(AevlpError, match=r"\(2, 3\), \(2, 3\), \(3, 2\)"):
        pseudo_label_quality(np.zeros((2, 3)), np.zeros((2, 3)), np.zeros((3, 2)))
