"""CCD's labels against the released program's arrays and a slow loop, and the policy's epochs."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import aevlp
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.policies import Known, create_policy
from aevlp.pipeline.policies.ccd import Ccd, ccd_bias, ccd_correct, ccd_cut, ccd_labels
from goldens import load

GOLDEN = load("ccd")
CASES = [name for name in GOLDEN if not name.startswith("cut")]
CUTS = [name for name in GOLDEN if name.startswith("cut")]
CONSTANTS: dict[str, Any] = {"temperature": 0.1, "top_k": 3, "negative_ratio": 0.25}
SEEDS = st.integers(0, 2**32 - 1)
CLOSE: dict[str, Any] = {"rtol": 2e-5, "atol": 1e-7}  # label tables are float32


def softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def probabilities(seed: int, n: int = 9, classes: int = 5) -> np.ndarray:
    return softmax(np.random.default_rng(seed).normal(size=(n, classes)) * 2)


@pytest.mark.parametrize("name", CASES)
def test_bias_and_labels_are_the_released_program_s(name: str) -> None:
    case = GOLDEN[name]
    bias, certain = ccd_bias(case["softscore"])
    np.testing.assert_array_equal(certain, case["flag"] == 1)
    assert bias.dtype == np.float64 and certain.dtype == bool
    there = np.isfinite(case["bias"])  # the program's is not a number where a class is never first
    np.testing.assert_allclose(bias[there], case["bias"][there], rtol=2e-5)
    assert (bias[~there] == 1).all() and there.all() == (name != "class_never_first")

    floor = 1 / int(case["smooth_divisor"]) if case["smooth"] else 0
    none = np.ones_like(bias)
    labels = ccd_labels(case["softscore"], bias if case["debias_global"] else none, floor)
    np.testing.assert_allclose(labels[:, there], case["labels_first"][:, there], **CLOSE)

    of_crops = softmax(case["crop_cosine"].astype(np.float64) * 100)
    of_crops[case["above"] == 0] = 0
    of_locals = bias if case["debias_local"] else none
    for number in range(int(case["inference_epochs"])):
        labels = ccd_correct(labels, of_crops.max(axis=1), of_locals, floor, float(case["ratio"]))
        if number == 0:
            np.testing.assert_allclose(labels[:, there], case["labels_second"][:, there], **CLOSE)
    np.testing.assert_allclose(labels[:, there], case["labels_last"][:, there], **CLOSE)


@pytest.mark.parametrize("name", CUTS)
def test_the_cut_is_the_released_program_s(name: str) -> None:
    case = GOLDEN[name]
    visited = 1 / (1 + np.exp(-case["visited_logits"]))
    cut, found = ccd_cut(visited, float(case["start"]), float(case["bound"]))
    assert cut == pytest.approx(float(case["cut"]), abs=1e-12) and found == bool(case["found"])


@settings(max_examples=20, deadline=None)
@given(
    seed=SEEDS,
    gate=st.sampled_from([0.5, 1.0, 2.0]),
    floor=st.sampled_from([0.0, 0.05]),
    ratio=st.sampled_from([0.0, 0.2, 1.0]),
)
def test_labels_equal_a_loop(seed: int, gate: float, floor: float, ratio: float) -> None:
    scores = probabilities(seed)
    first: dict[int, list[float]] = {}
    for row in scores.tolist():
        if -math.fsum(p * math.log(p + 1e-10) for p in row) <= gate:
            first.setdefault(row.index(max(row)), []).append(max(row))
    bias, _ = ccd_bias(scores, gate)
    expected = [math.fsum(first[c]) / len(first[c]) if c in first else 1.0 for c in range(5)]
    np.testing.assert_allclose(bias, expected, rtol=1e-12)
    crops = probabilities(seed + 1)
    labels = ccd_labels(scores, bias, floor)
    corrected = ccd_correct(labels, crops, bias, floor, ratio)
    for n in range(len(scores)):
        for c in range(5):
            label = min(max(scores[n, c], floor) / expected[c], 1)
            assert labels[n, c] == pytest.approx(label, rel=1e-12)
            seen = max(crops[n, c], floor) / expected[c]
            assert corrected[n, c] == pytest.approx(min(ratio * label + (1 - ratio) * seen, 1), rel=1e-12)


def test_several_crops_count_by_their_highest() -> None:
    labels, bias = probabilities(0), np.full(5, 0.5)
    crops = np.stack([probabilities(1), probabilities(2)], axis=1)
    found = ccd_correct(labels, crops, bias, 0, 0.3)
    np.testing.assert_array_equal(found, ccd_correct(labels, crops.max(axis=1), bias, 0, 0.3))


def test_the_functions_are_public_and_change_nothing() -> None:
    scores = probabilities(0).astype(np.float32)
    before = scores.copy()
    bias, _ = aevlp.ccd_bias(scores)
    first = aevlp.ccd_labels(scores, bias, 0.05)
    aevlp.ccd_correct(first, scores, bias, 0.05, 0.2)
    np.testing.assert_array_equal(scores, before)
    assert first.dtype == np.float64


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ccd_bias([0.5, 0.5]), r"scores must be \(images, classes\), found shape \(2,\)"),
        (lambda: ccd_bias([[0.5, float("nan")]]), r"scores must be finite numbers, found nan at \(0, 1\)"),
        (lambda: ccd_bias([[0.5, -0.1]]), "scores must be probabilities, at least 0, found -0.1"),
        (lambda: ccd_bias([["a"]]), "scores must be numbers"),
        (lambda: ccd_bias([[0.5, 0.5]], gate=-1), "gate must be at least 0, found -1"),
        (lambda: ccd_labels([[0.5, 0.5]], [1.0], 0), r"bias must be \(classes\), here \(2\), found shape \(1,\)"),
        (lambda: ccd_labels([[0.5, 0.5]], [1.0, 0.0], 0), "bias must be above 0, found 0.0 for class 1"),
        (lambda: ccd_labels([[0.5, 0.5]], [1.0, 1.0], 1.5), r"floor must be in \[0, 1\], found 1.5"),
        (lambda: ccd_correct([[0.5]], [[0.5, 0.5]], [1.0], 0, 0.2), r"crop_scores must be .* \(1, 1\), found shape \(1, 2\)"),
        (lambda: ccd_correct([[0.5]], [[0.5]], [1.0], 0, 1.2), r"ratio must be in \[0, 1\], found 1.2"),
    ],
)  # fmt: skip
def test_what_is_no_input_is_said_in_a_line(call: Any, words: str) -> None:
    with pytest.raises(AevlpError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


# The policy


def known_of(policy: Any, seed: int, count: int = 12, views: int = 5) -> Known:
    random = np.random.default_rng(seed)
    cosines = random.uniform(-0.3, 0.4, (count, views, 6)).astype(np.float32)
    observed = random.choice(np.array([0, 0, 0, 1, -1], dtype=np.int8), (count, 6))
    final, ranking = policy.scores(cosines, observed)
    return Known(observed=observed, final=final, ranking=ranking)


def test_it_labels_as_the_functions_do_and_corrects_once_after_the_warm_up() -> None:
    policy = create_policy("ccd", **CONSTANTS, floor=0.05)
    given = known_of(policy, 0)
    unknown = given.observed == 0
    bias, _ = ccd_bias(given.final)
    expected = ccd_labels(given.final, bias, 0.05)
    logits = np.random.default_rng(1).normal(size=expected.shape).astype(np.float32)
    for epoch in range(1, 6):
        policy.set_epoch(epoch, 5)
        assert policy.wants_predictions == (epoch == 2)
        if epoch == 3:
            crops = np.where(1 / (1 + np.exp(-logits)) >= 0.05, given.ranking, 0)
            expected = ccd_correct(expected, crops, bias, 0.05, 0.2)
        for _ in range(2):  # a resumed epoch asks again
            labels = policy(given)
            np.testing.assert_allclose(labels.scores[unknown], expected[unknown], rtol=1e-5)
        if policy.wants_predictions:
            policy.after_epoch(logits)


def test_observed_labels_win() -> None:
    policy = create_policy("ccd", **CONSTANTS, warmup_epoch=1)
    given = known_of(policy, 3)
    policy(given)
    policy.after_epoch(np.zeros(given.final.shape, dtype=np.float32))
    labels = policy(given)
    assert (labels.scores[given.observed == 1] == 1).all() and (labels.scores[given.observed == -1] == 0).all()


def test_a_class_at_the_floor_is_no_positive() -> None:
    scores = np.full((4, 40), 0.0, dtype=np.float32)
    scores[:, 0], scores[:, 1] = 0.04, 0.02
    policy = create_policy("ccd", **{**CONSTANTS, "negative_ratio": 0.0}, floor=0.05, gate=10.0)
    codes = policy(Known(observed=np.zeros((4, 40), dtype=np.int8), final=scores, ranking=scores)).codes
    assert not codes.any()  # all are raised to the floor, and 0.05 / 0.04 is above the threshold


def test_an_image_without_tiles_is_its_own_crop() -> None:
    policy = create_policy("ccd", **CONSTANTS)
    final, ranking = policy.scores(np.random.default_rng(0).uniform(-1, 1, (3, 1, 6)), np.zeros((3, 6), dtype=np.int8))
    np.testing.assert_array_equal(final, ranking)


def test_classes_that_are_never_first_are_named() -> None:
    policy = create_policy("ccd", **CONSTANTS)
    assert policy.notes(list("abcdef")) == []
    final = np.tile(np.array([0.7, 0.3, 0, 0, 0, 0], dtype=np.float32), (3, 1))
    policy(Known(observed=np.zeros((3, 6), dtype=np.int8), final=final, ranking=final))
    (line,) = policy.notes(list("abcdef"))
    assert line.startswith("policy ccd: no certain image has b, c, d, e, f first: the bias there is 1")
    assert line.endswith("; another --policy, such as damp, needs no bias")  # with 6 classes every image is certain
    narrow = create_policy("ccd", gate=1.0, **CONSTANTS)
    narrow(Known(observed=np.zeros((3, 6), dtype=np.int8), final=final, ranking=final))
    assert "a higher --set ccd.gate makes more images certain" in narrow.notes(list("abcdef"))[0]


def test_it_goes_on_from_its_state() -> None:
    policy = create_policy("ccd", **CONSTANTS)
    assert policy.state_dict() == {}
    given = known_of(policy, 5)
    policy(given)
    policy.set_epoch(2, 9)
    policy.after_epoch(np.random.default_rng(2).normal(size=given.final.shape))
    other = create_policy("ccd", **CONSTANTS)
    other.load_state_dict(policy.state_dict())
    for _ in range(2):
        np.testing.assert_array_equal(other(given).scores, policy(given).scores)


def test_other_images_and_predictions_before_labels_are_mistakes() -> None:
    policy = create_policy("ccd", **CONSTANTS)
    with pytest.raises(AevlpError, match="asked for labels once before it takes predictions"):
        policy.after_epoch(np.zeros((12, 6)))
    policy(known_of(policy, 0))
    with pytest.raises(AevlpError, match="it must see the same images every time"):
        policy(known_of(policy, 0, count=5))


@pytest.mark.parametrize(
    ("constant", "value"),
    [("gate", -1.0), ("floor", 2.0), ("ratio", 1.5), ("warmup_epoch", 0), ("corrections", -1), ("cut", 2.0), ("bound", -1.0),
     ("threshold", 2.0), ("top_k", 0)],
)  # fmt: skip
def test_a_constant_out_of_range_is_a_mistake(constant: str, value: float) -> None:
    with pytest.raises(AevlpError, match=constant):
        Ccd(**(CONSTANTS | {constant: value}))
