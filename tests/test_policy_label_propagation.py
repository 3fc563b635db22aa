"""Labels propagated on graphs: against dense loops, the minimum that they go to, and laws."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.policies import Known, create_policy, label_propagation
from aevlp.pipeline.policies.label_propagation import class_graph, image_graph, propagate

DAMP: dict[str, Any] = {"temperature": 0.1, "eta": 0.1, "threshold": 0.2, "top_k": 3, "negative_ratio": 0.25}
SEEDS = st.integers(0, 2**32 - 1)


def unit(seed: int, n: int, width: int = 4) -> torch.Tensor:
    vectors = torch.from_numpy(np.random.default_rng(seed).normal(size=(n, width))).float()
    return vectors / vectors.norm(dim=1, keepdim=True)


def known(seed: int, n: int = 12, classes: int = 5) -> Known:
    random = np.random.default_rng(seed)
    scores = random.dirichlet(np.ones(classes), n).astype(np.float32)
    observed = random.choice(np.array([0, 0, 0, 1, -1], dtype=np.int8), (n, classes))
    return Known(observed=observed, final=scores, ranking=scores, embedding=unit(seed, n).numpy())


def slow_image_graph(vectors: list[list[float]], neighbours: int) -> np.ndarray:
    n = len(vectors)
    cosine = [[sum(x * y for x, y in zip(a, b, strict=True)) for b in vectors] for a in vectors]
    edges = np.zeros((n, n))
    for i in range(n):
        for j in sorted((j for j in range(n) if j != i), key=lambda j: -cosine[i][j])[:neighbours]:
            edges[i, j] = edges[j, i] = max(cosine[i][j], 0)
    for i in range(n):
        if not edges[i].any():
            edges[i, i] = 1
    degree = edges.sum(axis=1)
    return np.array([[edges[i, j] / np.sqrt(degree[i] * degree[j]) for j in range(n)] for i in range(n)])


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, n=st.integers(1, 14), neighbours=st.integers(1, 16), block=st.sampled_from([1, 20, 1 << 24]))
def test_the_image_graph_equals_a_loop_in_blocks_of_any_size(seed: int, n: int, neighbours: int, block: int) -> None:
    vectors = unit(seed, n)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(label_propagation, "BLOCK_NUMBERS", block)
        found = image_graph(vectors, neighbours).to_dense()
    np.testing.assert_allclose(found, slow_image_graph(vectors.tolist(), neighbours), atol=1e-5)
    np.testing.assert_array_equal(found, found.T)


def test_images_that_are_like_no_other_keep_to_themselves() -> None:
    graph = image_graph(torch.eye(3), 2).to_dense()
    np.testing.assert_array_equal(graph, np.eye(3))


def test_the_class_graph_equals_a_loop() -> None:
    scores = np.random.default_rng(0).random((9, 4))
    scores[:, 3] = 0
    together = np.zeros((4, 4))
    for a in range(4):
        for b in range(4):
            together[a, b] = sum(row[a] * row[b] for row in scores) if a != b else 0
    together[3, 3] = 1  # which is seen with no other
    degree = together.sum(axis=1)
    expected = [[together[a, b] / np.sqrt(degree[a] * degree[b]) for b in range(4)] for a in range(4)]
    np.testing.assert_allclose(class_graph(torch.from_numpy(scores)), expected, rtol=1e-12)


def objective(
    z: torch.Tensor, y: torch.Tensor, images: torch.Tensor, classes: torch.Tensor, alpha: float, beta: float
) -> float:
    smooth = torch.eye(len(z)) - images
    alike = torch.eye(z.shape[1]) - classes
    rough = alpha * torch.trace(z.T @ smooth @ z) + beta * torch.trace(z @ alike @ z.T)
    return float(((z - y) ** 2).sum() + rough)


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, alpha=st.sampled_from([0.0, 0.3, 3.0]), beta=st.sampled_from([0.0, 0.1, 2.0]))
def test_no_step_leads_up_and_they_end_at_the_minimum(seed: int, alpha: float, beta: float) -> None:
    y = torch.from_numpy(np.random.default_rng(seed).random((8, 4)))
    images, classes = image_graph(unit(seed, 8), 3).to_dense().double(), class_graph(y)
    values = [
        objective(propagate(y, images, classes, alpha, beta, steps), y, images, classes, alpha, beta)
        for steps in range(8)
    ]
    assert all(later <= earlier + 1e-9 for earlier, later in pairwise(values))

    # The minimum solves Z + alpha (I - S) Z + beta Z (I - R) = Y, linear in the 32 numbers of Z.
    eye, wide = np.eye(8), np.eye(4)
    system = np.kron(eye + alpha * (eye - images.numpy()), wide) + beta * np.kron(eye, (wide - classes.numpy()).T)
    expected = np.linalg.solve(system, y.numpy().ravel()).reshape(8, 4)
    np.testing.assert_allclose(propagate(y, images, classes, alpha, beta, 400), expected, atol=1e-8)


def test_without_graphs_labels_are_the_observed_ones_joined_with_the_scores() -> None:
    given = known(0)
    labels = create_policy("label-propagation", **DAMP, alpha=0.0, beta=0.0)(given)
    expected = np.where(given.observed == 1, 1, np.where(given.observed == -1, 0, given.final))
    np.testing.assert_array_equal(labels.scores, expected)


def test_an_image_without_a_label_takes_that_of_its_likes() -> None:
    embedding = np.repeat(np.eye(2, dtype=np.float32), 4, axis=0)  # two groups of four
    observed = np.zeros((8, 2), dtype=np.int8)
    observed[:3, 0] = observed[4:7, 1] = 1
    scores = np.full((8, 2), 0.3, dtype=np.float32)
    policy = create_policy(
        "label-propagation", **(DAMP | {"threshold": 0.5, "negative_ratio": 0.0}), neighbours=3, beta=0.0, alpha=2.0
    )
    codes = policy(Known(observed=observed, final=scores, ranking=scores, embedding=embedding)).codes
    assert codes[3].tolist() == [1, 0] and codes[7].tolist() == [0, 1]


def test_predictions_count_half_once_there_are_some() -> None:
    given = known(1)
    policy = create_policy("label-propagation", **DAMP, alpha=0.0, beta=0.0)
    assert policy.wants_predictions
    before = policy(given).scores
    logits = np.random.default_rng(2).normal(size=given.final.shape).astype(np.float32)
    policy.after_epoch(logits)
    unknown = given.observed == 0
    expected = (given.final + 1 / (1 + np.exp(-logits))) / 2
    np.testing.assert_allclose(policy(given).scores[unknown], expected[unknown], rtol=1e-5)
    np.testing.assert_array_equal(policy(given).scores[~unknown], before[~unknown])


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
