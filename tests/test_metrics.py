"""Every metric against published values, scikit-learn and slow loops."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    precision_recall_fscore_support,
    precision_score,
    recall_score,
    top_k_accuracy_score,
)

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.evaluation.metrics import (
    average_precision,
    classes_without_positives,
    f1_scores,
    mean_average_precision,
    micro_average_precision,
    predicted_at_threshold,
    predicted_top_k,
    pseudo_label_quality,
    ranked_precision,
    top_k_quality,
)
from goldens import load

GOLDEN = load("metrics")
ZERO: Any = 0  # what scikit-learn is to say of 0 / 0; its stubs want a word
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


@pytest.mark.parametrize("spread", [(16.7, 16.8), (17.0, 40.0), (-120.0, -105.0)])
def test_logits_that_single_precision_probabilities_would_tie_are_ranked(spread: tuple[float, float]) -> None:
    logits = np.linspace(*spread, 6, dtype=np.float32)[:, None]
    probabilities = 1 / (1 + np.exp(-logits.astype(np.float64)))
    truth = np.array([[0], [0], [0], [1], [1], [1]])
    assert average_precision(logits, truth)[0] == 1
    assert average_precision(probabilities.astype(np.float32), truth)[0] < 1


@st.composite
def untied(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores and truth of one shape; no two scores are equal."""
    shape = draw(SHAPES)
    order = np.random.default_rng(draw(st.integers(0, 999))).permutation(shape[0] * shape[1])
    return order.reshape(shape) / 7, draw(arrays(np.int8, shape, elements=st.integers(0, 1)))


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
@pytest.mark.parametrize(
    "metric",
    [
        average_precision,
        mean_average_precision,
        micro_average_precision,
        ranked_precision,
        lambda scores, truth: top_k_quality(scores, truth, 1),
    ],
)
def test_unusable_scores_are_a_mistake(scores: np.ndarray, truth: np.ndarray, found: str, metric: Callable) -> None:
    with pytest.raises(AevlpError, match=found):
        metric(scores, truth)


def test_scores_that_differ_in_double_precision_alone_do_not_tie() -> None:
    scores, truth = np.array([[1 + 1e-12], [1.0]]), np.array([[1], [0]])
    assert average_precision(scores, truth).tolist() == [1]
    assert micro_average_precision(scores, truth) == 1
    assert ranked_precision(scores[::-1], truth[::-1])[0] == pytest.approx(1)
    assert predicted_top_k(scores.T, 1).tolist() == [[True, False]]
    assert predicted_at_threshold(scores, 1 + 1e-13).ravel().tolist() == [True, False]


@settings(max_examples=100, deadline=None)
@given(scored())
def test_micro_average_precision_equals_scikit_learn(data: tuple[np.ndarray, np.ndarray]) -> None:
    scores, truth = data
    expected = average_precision_score(truth.ravel(), scores.ravel()) if truth.any() else 0.0
    assert micro_average_precision(scores, truth) == pytest.approx(expected, rel=1e-12)
    if truth.shape[1] > 1 and truth.any():
        micro = average_precision_score(truth, scores, average="micro")
        assert micro_average_precision(scores, truth) == pytest.approx(float(micro), rel=1e-12)


def test_ranked_precision_equals_the_published_one() -> None:
    case = GOLDEN["map_0"]
    found = ranked_precision(case["scores"], case["labels"])
    held = (case["labels"] == 1).any(axis=0)
    assert 100 * found[held].mean() == pytest.approx(float(case["eval_script_map_nonempty"]), rel=1e-12)
    assert (found[~held] == 0).all()


@settings(max_examples=100, deadline=None)
@given(scored())
def test_ranked_precision_equals_its_definition(data: tuple[np.ndarray, np.ndarray]) -> None:
    scores, truth = data
    found = ranked_precision(scores, truth)
    assert found.dtype == np.float64
    for c in range(truth.shape[1]):
        hits, total = 0, 0.0
        for place, row in enumerate(sorted(range(len(scores)), key=lambda n: (-scores[n, c], n)), 1):
            hits += int(truth[row, c])
            total += hits / place if truth[row, c] else 0
        assert found[c] == pytest.approx(total / (hits + 1e-8), rel=1e-12)


@settings(max_examples=50, deadline=None)
@given(untied())
def test_without_ties_ranked_precision_is_average_precision_but_for_its_constant(
    data: tuple[np.ndarray, np.ndarray],
) -> None:
    scores, truth = data
    positives = truth.sum(axis=0)
    expected = average_precision(scores, truth) * positives / (positives + 1e-8)
    np.testing.assert_allclose(ranked_precision(scores, truth), expected, rtol=1e-12)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("name", MAP)
def test_top_k_quality_equals_the_published_one(name: str, k: int) -> None:
    case = GOLDEN[name]
    favour = 1e-9 * (case["labels"] == 1)  # decides ties, whose published order is undefined, for or against positives
    worst, best = (top_k_quality(case["scores"] + sign * favour, case["labels"], k) for sign in (-1, 1))
    tied = any(len(set(row)) < len(row) for row in case["scores"].tolist())
    assert tied == (name == "map_1")
    for ours, key in (("precision", f"prec_at_{k}"), ("recall", f"rec_at_{k}"), ("hit", f"top_{k}")):
        low, high, published = getattr(worst, ours), getattr(best, ours), float(case[key])
        assert low - 1e-12 <= published <= high + 1e-12
        assert tied or low == pytest.approx(high, rel=1e-12)


@settings(max_examples=50, deadline=None)
@given(data=scored(), share=st.floats(0, 1))
def test_top_k_quality_equals_counting(data: tuple[np.ndarray, np.ndarray], share: float) -> None:
    scores, truth = data
    images, classes = truth.shape
    k = 1 + round(share * (classes - 1))
    precision, recall, hit = [], [], []
    for row in range(images):
        best = sorted(range(classes), key=lambda c: (-scores[row, c], c))[:k]
        right = sum(int(truth[row, c]) for c in best)
        precision.append(right / k)
        recall.append(right / truth[row].sum() if truth[row].any() else 0)
        hit.append(right > 0)
        assert np.flatnonzero(predicted_top_k(scores, k)[row]).tolist() == sorted(best)
    quality = top_k_quality(scores, truth, k)
    assert quality.precision == pytest.approx(np.mean(precision))
    assert quality.recall == pytest.approx(np.mean(recall))
    assert quality.hit == pytest.approx(np.mean(hit))


def test_with_one_label_an_image_the_hits_are_top_k_accuracy() -> None:
    random = np.random.default_rng(3)
    label, scores = random.integers(0, 6, 50), random.normal(size=(50, 6))
    for k in range(1, 6):
        quality = top_k_quality(scores, np.eye(6)[label], k)
        expected = float(top_k_accuracy_score(label, scores, k=k, labels=np.arange(6)))
        assert 0 < expected < 1
        assert quality.hit == pytest.approx(expected) == pytest.approx(quality.recall)
        assert quality.precision == pytest.approx(expected / k)


@pytest.mark.parametrize("k", [0, -1, 4, 1.5])
def test_k_is_one_to_the_number_of_classes(k: float) -> None:
    for call in (lambda: predicted_top_k(np.eye(3), k), lambda: top_k_quality(np.eye(3), np.eye(3), k)):  # type: ignore[arg-type]
        with pytest.raises(AevlpError, match=rf"from 1 to the number of classes, 3, found {k}$"):
            call()


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(data=scored(), threshold=st.sampled_from([-2, -0.5, 0, 0.25, 2]), by_top_k=st.booleans())
def test_f1_scores_equal_scikit_learn(data: tuple[np.ndarray, np.ndarray], threshold: float, by_top_k: bool) -> None:
    scores, truth = data
    k = min(3, truth.shape[1])
    predicted = predicted_top_k(scores, k) if by_top_k else predicted_at_threshold(scores, threshold)
    found = f1_scores(predicted, truth)
    assert by_top_k or (predicted == (scores >= threshold)).all()

    flat = {"y_true": truth.ravel(), "y_pred": predicted.ravel().astype(int), "zero_division": ZERO}
    assert found.overall_precision == pytest.approx(float(precision_score(**flat)))
    assert found.overall_recall == pytest.approx(float(recall_score(**flat)))
    assert found.overall_f1 == pytest.approx(float(f1_score(**flat)))

    columns = [
        precision_recall_fscore_support(t, p, average="binary", zero_division=ZERO)[:3]
        for t, p in zip(truth.T, predicted.T.astype(int), strict=True)
    ]
    each = np.array(columns, dtype=np.float64)
    for kind, name in enumerate(("precision", "recall", "f1")):
        assert getattr(found, name).dtype == np.float64
        np.testing.assert_allclose(getattr(found, name), each[:, kind], rtol=1e-12)
    mean_precision, mean_recall, mean_f1 = each.mean(axis=0)
    assert found.mean_precision == pytest.approx(mean_precision)
    assert found.mean_recall == pytest.approx(mean_recall)
    assert found.mean_f1 == pytest.approx(mean_f1)
    both = mean_precision + mean_recall
    assert found.f1_of_means == pytest.approx(2 * mean_precision * mean_recall / both if both else 0)
    if truth.shape[1] > 1:
        assert found.mean_f1 == pytest.approx(
            float(f1_score(truth, predicted.astype(int), average="macro", zero_division=ZERO))
        )
        assert found.overall_f1 == pytest.approx(
            float(f1_score(truth, predicted.astype(int), average="micro", zero_division=ZERO))
        )


def test_f1_of_means_is_not_the_mean_of_f1() -> None:
    found = f1_scores(np.array([[1, 1], [1, 0]]), np.array([[1, 1], [0, 1]]))
    assert (found.precision.tolist(), found.recall.tolist()) == ([0.5, 1], [1, 0.5])
    assert found.f1_of_means == 0.75
    assert found.mean_f1 == pytest.approx(2 / 3)
    assert found.overall_f1 == pytest.approx(2 / 3)


@settings(max_examples=50, deadline=None)
@given(data=untied(), seed=st.integers(0, 99))
def test_the_order_of_images_and_classes_does_not_matter(data: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    scores, truth = data
    random = np.random.default_rng(seed)
    rows, columns = random.permutation(truth.shape[0]), random.permutation(truth.shape[1])
    moved = scores[rows][:, columns], truth[rows][:, columns]
    np.testing.assert_allclose(ranked_precision(*moved), ranked_precision(scores, truth)[columns], rtol=1e-12)
    assert micro_average_precision(*moved) == pytest.approx(micro_average_precision(scores, truth), rel=1e-12)
    assert vars(top_k_quality(*moved, 1)) == pytest.approx(vars(top_k_quality(scores, truth, 1)))
    before = f1_scores(predicted_at_threshold(scores, 3), truth)
    after = f1_scores(predicted_at_threshold(moved[0], 3), moved[1])
    np.testing.assert_allclose(after.f1, before.f1[columns])
    assert after.f1_of_means == pytest.approx(before.f1_of_means)


@pytest.mark.parametrize(
    ("predicted", "truth", "found"),
    [
        (np.ones((3, 2)), np.ones((2, 3)), r"\(3, 2\) and \(2, 3\)"),
        (np.ones(3), np.ones(3), r"\(3,\)"),
        (np.ones((0, 2)), np.ones((0, 2)), "at least one image"),
        (np.array([[0.0, 0.7]]), np.ones((1, 2)), "must be 0 or 1, found 0.7"),
        (np.array([[0.0, np.nan]]), np.ones((1, 2)), "must be 0 or 1, found nan"),
    ],
)
def test_unusable_labels_are_a_mistake(predicted: np.ndarray, truth: np.ndarray, found: str) -> None:
    with pytest.raises(AevlpError, match=found):
        f1_scores(predicted, truth)


def test_labels_need_finite_scores_and_a_finite_threshold() -> None:
    with pytest.raises(AevlpError, match="threshold must be finite, found nan"):
        predicted_at_threshold(np.eye(2), np.nan)
    for call in (lambda s: predicted_at_threshold(s, 0), lambda s: predicted_top_k(s, 1)):
        with pytest.raises(AevlpError, match="inf in row 0, class 1"):
            call(np.array([[0, np.inf]]))
        with pytest.raises(AevlpError, match=r"must be \(images, classes\), found \(2,\)"):
            call(np.zeros(2))


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
