"""The graphs and the propagation of PLAIN: the released program's arrays, loops from the formulas, and laws."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import aevlp
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.policies import propagation
from aevlp.pipeline.policies.propagation import class_graph, image_graph, propagate
from goldens import load

CASES = load("plain")
SEEDS = st.integers(0, 2**32 - 1)


def graphs(seed: int, n: int = 8, classes: int = 4) -> tuple[np.ndarray, np.ndarray, Any, np.ndarray]:
    """Return labels and predictions (n, classes), and the two graphs."""
    random = np.random.default_rng(seed)
    labels = random.random((n, classes))
    return labels, random.random((n, classes)), image_graph(random.normal(size=(n, 5)), 3), class_graph(labels)


# The released program


@pytest.mark.parametrize("name", CASES)
def test_graphs_and_labels_are_those_of_the_released_program(name: str) -> None:
    case = CASES[name]
    scaled = {} if case["scaled"] else {"scaled": False}
    images = aevlp.image_graph(case["features"], int(case["neighbours"]), **scaled)
    np.testing.assert_allclose(images.toarray(), case["image_graph"], rtol=1e-4, atol=2e-6)
    classes = aevlp.class_graph(case["candidates"])
    np.testing.assert_allclose(classes, case["class_graph"], rtol=1e-9)
    constants = {key: float(case[key]) for key in ("gamma", "alpha", "zeta", "eta")} | {"steps": int(case["steps"])}
    for key, predictions in (("first", case["candidates"]), ("second", case["predictions"])):
        for graph in (images, images.toarray()):
            found = aevlp.propagate(case["candidates"], predictions, graph, classes, **constants)
            np.testing.assert_allclose(found, case[key], rtol=1e-4, atol=2e-6)
            assert found.dtype == np.float64
    logits, last = torch.from_numpy(case["logits"]).double(), torch.from_numpy(found)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, last)
    assert loss.item() == pytest.approx(float(case["loss"]), rel=1e-4)


def test_the_policy_s_constants_are_the_release_s() -> None:
    own, released = aevlp.create_policy, CASES["released_constants"]
    policy: Any = own("label-propagation", temperature=0.1, eta=0.1, threshold=0.2, top_k=3, negative_ratio=0)
    names = {"gamma": "alpha", "alpha": "candidates", "zeta": "beta", "eta": "step"}  # theirs: the policy's
    for theirs, ours in {**names, "neighbours": "neighbours", "steps": "steps"}.items():
        assert getattr(policy, ours) == released[theirs]


# Slow loops


def slow_image_graph(rows: list[list[float]], neighbours: int, scaled: bool) -> np.ndarray:
    n, width = len(rows), len(rows[0])
    columns = [[row[d] for row in rows] for d in range(width)]
    mean = [sum(column) / n if scaled else 0.0 for column in columns]
    spread = [(sum((x - m) ** 2 for x in c) / n) ** 0.5 for c, m in zip(columns, mean, strict=True)]
    by = [s if scaled and s > 1e-9 else 1.0 for s in spread]
    vectors = [[(x - m) / b for x, m, b in zip(row, mean, by, strict=True)] for row in rows]
    length = [sum(x * x for x in v) ** 0.5 or 1.0 for v in vectors]
    cosine = [[sum(x * y for x, y in zip(a, b, strict=True)) / (s * t) for b, t in zip(vectors, length, strict=True)]
              for a, s in zip(vectors, length, strict=True)]  # fmt: skip
    edges = np.zeros((n, n))
    for i in range(n):
        for j in sorted((j for j in range(n) if j != i), key=lambda j: -cosine[i][j])[:neighbours]:
            edges[i, j] += max(cosine[i][j], 0) ** 3
            edges[j, i] += max(cosine[i][j], 0) ** 3
    degree = [sum(row) or 1.0 for row in edges.tolist()]
    return np.array([[edges[i, j] / (degree[i] * degree[j]) ** 0.5 for j in range(n)] for i in range(n)])


@settings(max_examples=20, deadline=None)
@given(
    seed=SEEDS,
    n=st.integers(1, 14),
    neighbours=st.integers(1, 16),
    scaled=st.booleans(),
    block=st.sampled_from([1, 20, 1 << 24]),
)
def test_the_image_graph_equals_a_loop_in_blocks_of_any_size(
    seed: int, n: int, neighbours: int, scaled: bool, block: int
) -> None:
    features = np.random.default_rng(seed).normal(size=(n, 4))
    features[:, 3] = 0.1  # tells nothing
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(propagation, "BLOCK_NUMBERS", block)
        found = image_graph(features, neighbours, scaled=scaled).toarray()
    np.testing.assert_allclose(found, slow_image_graph(features.tolist(), neighbours, scaled), atol=1e-9)
    np.testing.assert_array_equal(found, found.T)


def test_features_that_are_standardised_already_give_the_same_graph() -> None:
    features = np.random.default_rng(0).normal(2, 3, size=(20, 6))
    before = (features - features.mean(axis=0)) / features.std(axis=0)
    found = [
        image_graph(given, 4, scaled=s).toarray() for given, s in ((features, True), (before, True), (before, False))
    ]
    np.testing.assert_allclose(found[1], found[0], atol=1e-12)
    np.testing.assert_allclose(found[2], found[0], atol=1e-12)


def test_images_that_are_like_no_other_have_no_edge() -> None:
    assert image_graph(np.eye(3), 2, scaled=False).toarray().tolist() == np.zeros((3, 3)).tolist()
    assert image_graph(np.ones((4, 2)), 2).toarray().tolist() == np.zeros((4, 4)).tolist()
    for n in (0, 1):
        assert image_graph(np.ones((n, 2)), 3).shape == (n, n)


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, empty=st.integers(0, 3))
def test_the_class_graph_equals_a_loop(seed: int, empty: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 2, (9, 5)).astype(np.float64)
    labels[:, :empty] = 0
    together = np.zeros((5, 5))
    for a in range(5):
        for b in range(5):
            count = labels[:, a].sum() + labels[:, b].sum()
            shared = sum(row[a] * row[b] for row in labels)
            together[a, b] = 0 if a == b else shared / count if count else 1e-5
    degree = [sum(row) or 1.0 for row in together]
    expected = [[together[a, b] / (degree[a] * degree[b]) ** 0.5 for b in range(5)] for a in range(5)]
    np.testing.assert_allclose(class_graph(labels), expected, rtol=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, steps=st.integers(0, 5))
def test_propagation_equals_a_loop_over_entries(seed: int, steps: int) -> None:
    y, q, images, k = graphs(seed, n=6, classes=3)
    s, z = images.toarray(), y.copy()
    gamma, alpha, zeta, eta = np.random.default_rng(seed).random(4)
    for _ in range(steps):
        later = z.copy()
        for i in range(6):
            for c in range(3):
                like_images = z[i, c] - sum(s[i, j] * z[j, c] for j in range(6))
                like_classes = z[i, c] - sum(z[i, b] * k[b, c] for b in range(3))
                slope = gamma * like_images + alpha * (z[i, c] - y[i, c]) + z[i, c] - q[i, c] + zeta * like_classes
                later[i, c] = z[i, c] - eta * slope
        z = later
    expected = (z - z.min(axis=0)) / (z.max(axis=0) - z.min(axis=0))
    np.testing.assert_allclose(propagate(y, q, images, k, gamma, alpha, zeta, eta, steps), expected, atol=1e-9)


# Laws


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, gamma=st.sampled_from([0.0, 0.3, 3.0]), zeta=st.sampled_from([0.0, 0.1, 2.0]))
def test_steps_end_where_the_labels_settle(seed: int, gamma: float, zeta: float) -> None:
    """The limit of the steps solves a linear system in the 32 numbers of Z."""
    y, q, images, classes = graphs(seed)
    eye, wide = np.eye(8), np.eye(4)
    smooth = gamma * np.kron(eye - images.toarray(), wide) + zeta * np.kron(eye, (wide - classes).T)
    limit = np.linalg.solve(1.5 * np.eye(32) + smooth, (0.5 * y + q).ravel()).reshape(8, 4)
    expected = (limit - limit.min(axis=0)) / (limit.max(axis=0) - limit.min(axis=0))
    found = propagate(y, q, images, classes, gamma, 0.5, zeta, eta=0.1, steps=800)
    np.testing.assert_allclose(found, expected, atol=1e-7)


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, steps=st.integers(0, 30))
def test_each_class_reaches_from_0_to_1(seed: int, steps: int) -> None:
    y, q, images, classes = graphs(seed)
    found = propagate(y, q, images, classes, 0.1, 1.0, 0.01, 0.01, steps)
    assert (found.min(axis=0) == 0).all() and (found.max(axis=0) == 1).all()


def test_a_class_that_tells_no_images_apart_is_0() -> None:
    nothing = np.zeros((4, 2))
    found = propagate(nothing, nothing, image_graph(np.eye(4), 2), class_graph(nothing), 0.1, 1, 0.01, 0.01, 10)
    assert found.tolist() == nothing.tolist()
    assert propagate(nothing[:0], nothing[:0], np.zeros((0, 0)), np.eye(2), 0.1, 1, 0, 0.01, 3).shape == (0, 2)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (((4, 2), (4, 3), (4, 4), (2, 2)), r"predictions must be .* here \(4, 2\), found shape \(4, 3\)"),
        (((4, 2), (4, 2), (3, 3), (2, 2)), r"image_graph must be .* here \(4, 4\), found shape \(3, 3\)"),
        (((4, 2), (4, 2), (4, 4), (4, 4)), r"class_graph must be .* here \(2, 2\), found shape \(4, 4\)"),
        (((4,), (4,), (4, 4), (2, 2)), r"candidates must be \(images, classes\)"),
    ],
)
def test_shapes_that_do_not_fit_are_a_mistake(shapes: tuple, words: str) -> None:
    with pytest.raises(AevlpError, match=words):
        propagate(*map(np.zeros, shapes), 0.1, 1, 0.01, 0.01, 1)


def test_numbers_that_are_none_and_fewer_than_no_steps_are_a_mistake() -> None:
    zeros, sparse = np.zeros((2, 2)), image_graph(np.eye(3), 1)
    with pytest.raises(AevlpError, match=r"predictions must be finite numbers, found nan at \(0, 1\)"):
        propagate(zeros, [[0, np.nan], [0, 0]], zeros, zeros, 0.1, 1, 0.01, 0.01, 1)
    with pytest.raises(AevlpError, match="candidates must be numbers of shape"):
        class_graph([["a"]])
    for steps in (-1, 1.5):
        with pytest.raises(AevlpError, match=f"steps must be a whole number, at least 0, found {steps}"):
            propagate(zeros, zeros, zeros, zeros, 0.1, 1, 0.01, 0.01, steps)  # type: ignore[arg-type]
    for eta in (-0.01, np.nan):
        with pytest.raises(AevlpError, match=f"eta must be at least 0 and finite, found {eta}"):
            propagate(zeros, zeros, zeros, zeros, 0.1, 1, 0.01, eta, 1)
    with pytest.raises(
        AevlpError, match=r"2000 steps of eta 5000.0 grow without bound: below .* here 0.901, they settle"
    ):
        propagate(np.eye(2), zeros, zeros, zeros, 0.1, 1, 0.01, 5e3, 2000)
    with pytest.raises(AevlpError, match=r"image_graph must be .* here \(2, 2\), found shape \(3, 3\)"):
        propagate(zeros, zeros, sparse, zeros, 0.1, 1, 0.01, 0.01, 1)


def test_features_and_candidates_that_are_none_are_a_mistake() -> None:
    with pytest.raises(AevlpError, match=r"features must be \(images, width\), found shape \(3,\)"):
        image_graph(np.zeros(3), 1)
    with pytest.raises(AevlpError, match="features must be finite numbers, found nan"):
        image_graph(np.full((2, 2), np.nan), 1)
    with pytest.raises(AevlpError, match="neighbours must be at least 1, found 0"):
        image_graph(np.eye(3), 0)
    with pytest.raises(AevlpError, match=r"candidates must be \(images, classes\)"):
        class_graph(np.zeros(3))
