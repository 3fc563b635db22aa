"""The policy that propagates labels: what it propagates, what it remembers, and laws."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.policies import Known, create_policy
from aevlp.pipeline.policies.propagation import class_graph, image_graph, propagate

DAMP: dict[str, Any] = {"temperature": 0.1, "eta": 0.1, "threshold": 0.2, "top_k": 3, "negative_ratio": 0.25}
SEEDS = st.integers(0, 2**32 - 1)


def unit(seed: int, n: int, width: int = 4) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def known(seed: int, n: int = 12, classes: int = 5) -> Known:
    random = np.random.default_rng(seed)
    scores = random.dirichlet(np.ones(classes), n).astype(np.float32)
    observed = random.choice(np.array([0, 0, 0, 1, -1], dtype=np.int8), (n, classes))
    return Known(observed=observed, final=scores, ranking=scores, embedding=unit(seed, n))


def expected_scores(given: Known, predictions: np.ndarray | None = None) -> np.ndarray:
    assert given.embedding is not None
    start = np.where(given.observed == 1, 1, np.where(given.observed == -1, 0, given.final))
    graphs = image_graph(given.embedding, 10), class_graph(start)
    found = propagate(start, start if predictions is None else predictions, *graphs, 0.1, 1.0, 0.01, 0.01, 200)
    return np.where(given.observed == 1, 1, np.where(given.observed == -1, 0, found))


def test_it_propagates_what_is_observed_and_damp_s_scores() -> None:
    given = known(0)
    labels = create_policy("label-propagation", **DAMP)(given)
    np.testing.assert_allclose(labels.scores, expected_scores(given), atol=1e-6)
    assert labels.scores.dtype == np.float32


def test_what_is_observed_stays() -> None:
    given = known(1)
    scores = create_policy("label-propagation", **DAMP, alpha=5.0, step=0.1)(given).scores
    assert (scores[given.observed == 1] == 1).all() and (scores[given.observed == -1] == 0).all()


def test_an_image_without_a_label_takes_that_of_its_likes() -> None:
    embedding = np.repeat(np.eye(2, dtype=np.float32), 4, axis=0)  # two groups of four
    observed = np.zeros((8, 2), dtype=np.int8)
    observed[:3, 0] = observed[4:7, 1] = 1
    scores = np.full((8, 2), 0.3, dtype=np.float32)
    policy = create_policy(
        "label-propagation", **(DAMP | {"threshold": 0.1, "negative_ratio": 0.0}), neighbours=3, alpha=2.0
    )
    codes = policy(Known(observed=observed, final=scores, ranking=scores, embedding=embedding)).codes
    assert codes[3].tolist() == [1, 0] and codes[7].tolist() == [0, 1]


def test_predictions_are_a_term_of_their_own_once_there_are_some() -> None:
    given = known(1)
    policy = create_policy("label-propagation", **DAMP)
    assert policy.wants_predictions
    before = policy(given).scores
    logits = np.random.default_rng(2).normal(size=given.final.shape).astype(np.float32)
    policy.after_epoch(logits)
    np.testing.assert_allclose(policy(given).scores, expected_scores(given, 1 / (1 + np.exp(-logits))), atol=1e-5)
    assert (policy(given).scores != before).any()


def test_predictions_can_be_left_out() -> None:
    given = known(1)
    policy = create_policy("label-propagation", **DAMP, predictions=False)
    before = policy(given).scores
    assert not policy.wants_predictions
    policy.after_epoch(np.zeros(given.final.shape, dtype=np.float32))
    np.testing.assert_array_equal(policy(given).scores, before)


def test_what_it_remembers_is_its_state() -> None:
    given = known(3)
    policy, other = create_policy("label-propagation", **DAMP), create_policy("label-propagation", **DAMP)
    assert policy.state_dict() == {}
    policy.after_epoch(np.random.default_rng(0).normal(size=given.final.shape).astype(np.float32))
    assert (policy(given).scores != other(given).scores).any()
    other.load_state_dict(policy.state_dict())
    np.testing.assert_array_equal(policy(given).scores, other(given).scores)
    other.load_state_dict({})
    np.testing.assert_array_equal(other(given).scores, create_policy("label-propagation", **DAMP)(given).scores)


def test_the_graph_is_that_of_the_images_at_hand() -> None:
    policy = create_policy("label-propagation", **DAMP)
    policy(known(4))
    np.testing.assert_array_equal(policy(known(5)).scores, create_policy("label-propagation", **DAMP)(known(5)).scores)


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
def test_reordering_images_reorders_labels(seed: int) -> None:
    given, policy = known(seed), create_policy("label-propagation", **DAMP)
    order = np.random.default_rng(seed).permutation(len(given.final))
    turned = Known(**{key: None if value is None else value[order] for key, value in vars(given).items()})
    np.testing.assert_allclose(policy(turned).scores, policy(given).scores[order], atol=1e-5)


def test_predictions_of_other_images_are_a_mistake() -> None:
    policy = create_policy("label-propagation", **DAMP)
    policy.after_epoch(np.zeros((3, 5), dtype=np.float32))
    with pytest.raises(AevlpError, match=r"shape \(3, 5\), expected those of the images to label, \(12, 5\)"):
        policy(known(0))


def test_a_step_too_long_to_settle_is_a_mistake() -> None:
    with pytest.raises(
        AevlpError, match=r"step of policy label-propagation must be above 0 and below 0\.9009 for these"
    ):
        create_policy("label-propagation", **DAMP, step=0.95)
