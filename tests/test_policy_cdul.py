"""CDUL's labels against the reproduction's arrays and a slow loop, and the policy's epochs."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import aevlp
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.policies import Known, create_policy
from aevlp.pipeline.policies.cdul import Cdul, cdul_labels, cdul_update
from goldens import load

GOLDEN = load("cdul")
LABELS = [name for name in GOLDEN if name.startswith("labels")]
TRAIN = [name for name in GOLDEN if name.startswith("train")]
CONSTANTS: dict[str, Any] = {"temperature": 0.1, "threshold": 0.2, "top_k": 3, "negative_ratio": 0.25}
SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("name", LABELS)
def test_labels_are_the_program_s(name: str) -> None:
    case = GOLDEN[name]
    constants = {"threshold": float(case["threshold"]), "balance": float(case["final_lambda"])}
    found = cdul_labels(case["cosine"][None], float(case["temperature"]), **constants)
    np.testing.assert_allclose(found[0], case["labels"], rtol=1e-9)


@pytest.mark.parametrize("name", TRAIN)
def test_updates_are_the_program_s(name: str) -> None:
    case = GOLDEN[name]
    policy: Any = create_policy(
        "cdul",
        **CONSTANTS,
        frequency=int(case["frequency"]),
        warmup_epoch=int(case["warmup"]),
        sigma=float(case["sigma"]),
    )
    policy.set_epoch(int(case["epoch_from_0"]) + 1, 100)
    assert policy.wants_predictions == bool(case["updated"])
    if not case["updated"]:
        return
    found = cdul_update(case["labels"], case["logits"], float(case["sigma"]))
    np.testing.assert_allclose(found, case["labels_after"], rtol=1e-9)


@settings(max_examples=20, deadline=None)
@given(
    seed=SEEDS, views=st.integers(1, 4), threshold=st.sampled_from([0.0, 0.2, 0.5]), balance=st.sampled_from([-1, 0, 0.5, 1])
)  # fmt: skip
def test_labels_equal_a_loop(seed: int, views: int, threshold: float, balance: float) -> None:
    cosines = np.random.default_rng(seed).uniform(-1, 1, (3, views, 4))
    found = cdul_labels(cosines, 0.3, threshold, balance)
    for n, image in enumerate(cosines.tolist()):
        of_views = [
            [math.exp(x / 0.3) / math.fsum(math.exp(other / 0.3) for other in view) for x in view] for view in image
        ]
        for c in range(4):
            whole, tiles = of_views[0][c], [view[c] for view in of_views[1:]]
            highest, lowest = max([0.0, *tiles]), min([1.0, *tiles])
            aggregate = highest if highest >= threshold else lowest
            expected = (whole + aggregate + balance * abs(whole - aggregate)) / 2
            assert found[n, c] == pytest.approx(expected, rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, sigma=st.sampled_from([0.25, 1.0, 3.0]))
def test_an_update_is_a_step_down_the_divergence(seed: int, sigma: float) -> None:
    random = np.random.default_rng(seed)
    start, logits = random.uniform(0.01, 0.99, (4, 5)), random.normal(size=(4, 5)) * 3
    labels = torch.tensor(start, requires_grad=True)
    share = labels / labels.sum(dim=1, keepdim=True)
    predicted = torch.tensor(logits).log_softmax(dim=1)
    (share * (share.log() - predicted)).sum(dim=1).mean().backward()
    assert labels.grad is not None
    density = np.exp(-(((start - 0.5) / sigma) ** 2) / 2) / (sigma * math.sqrt(2 * math.pi))
    expected = torch.sigmoid(torch.logit(torch.tensor(start)) - torch.tensor(density) * labels.grad)
    np.testing.assert_allclose(aevlp.cdul_update(start, logits, sigma), expected.numpy(), rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: cdul_labels(np.zeros((2, 3)), 0.01), r"similarity must be \(images, views, classes\), found shape \(2, 3\)"),
        (lambda: cdul_labels(np.zeros((2, 0, 3)), 0.01), "a view and a class at least"),
        (lambda: cdul_labels(np.zeros((2, 1, 3)), 0.0), "temperature must be above 0, found 0.0"),
        (lambda: cdul_labels(np.zeros((2, 1, 3)), 0.1, 1.5), r"threshold must be in \[0, 1\]"),
        (lambda: cdul_labels(np.zeros((2, 1, 3)), 0.1, 0, 2), r"balance must be in \[-1, 1\]"),
        (lambda: cdul_update([[0.5, 1.0]], [[0.0, 0.0]]), "labels must be above 0 and below 1, .* found 1.0"),
        (lambda: cdul_update([[0.5, 0.5]], [[0.0]]), r"logits must be .* \(1, 2\), found shape \(1, 1\)"),
        (lambda: cdul_update([[0.5]], [[float("inf")]]), "logits must be finite numbers, found inf"),
        (lambda: cdul_update([[0.5]], [[0.0]], sigma=0), "sigma must be above 0"),
    ],
)  # fmt: skip
def test_what_is_no_input_is_said_in_a_line(call: Any, words: str) -> None:
    with pytest.raises(AevlpError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


# The policy


def known_of(policy: Any, seed: int, count: int = 11, views: int = 5) -> tuple[Known, np.ndarray]:
    random = np.random.default_rng(seed)
    cosines = random.uniform(-0.3, 0.4, (count, views, 6)).astype(np.float32)
    observed = random.choice(np.array([0, 0, 0, 1, -1], dtype=np.int8), (count, 6))
    final, ranking = policy.scores(cosines, observed)
    return Known(observed=observed, final=final, ranking=ranking), cosines


def test_it_labels_as_the_function_does_and_moves_them_in_steps_of_the_paper_s_batch() -> None:
    policy = create_policy("cdul", **CONSTANTS, frequency=2, warmup_epoch=2)
    given, cosines = known_of(policy, 0, count=16)
    unknown = given.observed == 0
    expected = cdul_labels(cosines, 0.1)
    np.testing.assert_allclose(policy(given).scores[unknown], expected[unknown], rtol=1e-5)
    logits = np.random.default_rng(1).normal(size=expected.shape)
    for epoch in range(1, 6):
        policy.set_epoch(epoch, 9)
        assert policy.wants_predictions == (epoch == 4)
        if epoch == 4:
            policy.after_epoch(logits)
            halves = [cdul_update(expected[half], logits[half]) for half in (slice(8), slice(8, None))]
            expected = np.concatenate(halves)
        np.testing.assert_allclose(policy(given).scores[unknown], expected[unknown], rtol=1e-4)


def test_observed_labels_win_before_and_after_an_update() -> None:
    policy = create_policy("cdul", **CONSTANTS)
    given, _ = known_of(policy, 3)
    for _ in range(2):
        labels = policy(given)
        assert (labels.scores[given.observed == 1] == 1).all() and (labels.scores[given.observed == -1] == 0).all()
        policy.after_epoch(np.random.default_rng(0).normal(size=given.final.shape))


def test_without_tiles_the_whole_image_alone_says_the_label() -> None:
    policy = create_policy("cdul", **CONSTANTS)
    cosines = np.random.default_rng(0).uniform(-0.3, 0.3, (3, 1, 6)).astype(np.float32)
    final, _ = policy.scores(cosines, np.zeros((3, 6), dtype=np.int8))
    np.testing.assert_allclose(final.sum(axis=1), 1, rtol=1e-5)


def test_labels_at_the_ends_stay_finite() -> None:
    policy = create_policy("cdul", **{**CONSTANTS, "temperature": 0.001})
    cosines = np.tile(np.array([1, -1, -1, -1, -1, -1], dtype=np.float32), (2, 3, 1))
    final, ranking = policy.scores(cosines, np.zeros((2, 6), dtype=np.int8))
    known = Known(observed=np.zeros((2, 6), dtype=np.int8), final=final, ranking=ranking)
    assert final[0, 0] == 1 and final[0, 1] == 0
    policy(known)
    for _ in range(3):
        policy.after_epoch(np.full((2, 6), 1000.0) * np.array([-1, 1, 1, 1, 1, 1]))
        assert np.isfinite(policy(known).scores).all()


def test_it_goes_on_from_its_state() -> None:
    policy, other = create_policy("cdul", **CONSTANTS), create_policy("cdul", **CONSTANTS)
    assert policy.state_dict() == {}
    given, _ = known_of(policy, 5)
    policy(given)
    policy.after_epoch(np.random.default_rng(2).normal(size=given.final.shape))
    other.load_state_dict(policy.state_dict())
    np.testing.assert_array_equal(other(given).scores, policy(given).scores)


def test_other_images_and_predictions_before_labels_are_mistakes() -> None:
    policy = create_policy("cdul", **CONSTANTS)
    with pytest.raises(AevlpError, match="asked for labels once before it takes predictions"):
        policy.after_epoch(np.zeros((11, 6)))
    policy(known_of(policy, 0)[0])
    with pytest.raises(AevlpError, match="it must see the same images every time"):
        policy(known_of(policy, 0, count=5)[0])


@pytest.mark.parametrize(
    ("constant", "value"),
    [("gate", 2.0), ("balance", 1.5), ("frequency", 0), ("warmup_epoch", -1), ("sigma", 0.0), ("threshold", 2.0)],
)
def test_a_constant_out_of_range_is_a_mistake(constant: str, value: float) -> None:
    with pytest.raises(AevlpError, match=constant):
        Cdul(**(CONSTANTS | {constant: value}))
