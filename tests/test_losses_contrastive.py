"""MulSupCon against the published program's values and gradients, step by step with its queue, and against loops."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import each
from torch.nn.functional import normalize

import aevlp
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.losses import Targets, constants, create_loss
from aevlp.pipeline.losses.key_queue import KeyQueue
from goldens import load

CASES = load("mulsupcon")
STEPS = [name for name in CASES if name.startswith("steps")]
SEEDS = st.integers(0, 2**32 - 1)


def number(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values).double()


def slope_of(value: torch.Tensor, query: torch.Tensor) -> np.ndarray:
    return torch.autograd.grad(value, query)[0].numpy()


@pytest.mark.parametrize("name", [name for name in CASES if name not in STEPS])
def test_the_function_equals_the_published_one(name: str) -> None:
    case = CASES[name]
    query, key, labels = number(case["query"]).requires_grad_(), number(case["key"]), torch.from_numpy(case["labels"])
    queue: Any = (None, None)
    if "queue" in case:
        queue = number(case["queue"]), torch.from_numpy(case["queue_labels"])
    value = aevlp.multi_label_contrastive_loss(
        query, key, labels, float(case["temperature"]), *queue, bool(case["per_image_weight"]), str(case["pattern"])
    )
    assert value.dtype == torch.float64 and value.shape == ()
    np.testing.assert_allclose(value.detach(), case["loss"], rtol=1e-6)
    np.testing.assert_allclose(slope_of(value, query), case["grad_query"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", STEPS)
def test_steps_with_the_queue_equal_the_published_ones(name: str) -> None:
    case = CASES[name]
    queue = KeyQueue(int(case["capacity"]))
    queue.keys = number(case["queue_at_start"])
    queue.labels = torch.zeros(queue.capacity, case["labels"].shape[2], dtype=torch.bool)
    for step, references in enumerate(case["references"]):
        query, key = number(case["query"][step]).requires_grad_(), number(case["key"][step])
        labels = torch.from_numpy(case["labels"][step]) == 1
        held = queue.read(key, labels)
        assert len(key) + (0 if held is None else len(held[0])) == references
        value = aevlp.multi_label_contrastive_loss(
            query, key, labels, float(case["temperature"]), *(held or (None, None))
        )
        queue.store(key, labels)
        np.testing.assert_allclose(value.detach(), case["losses"][step], rtol=1e-6)
        np.testing.assert_allclose(slope_of(value, query), case["grads"][step], rtol=1e-6, atol=1e-6)


def slow(
    query: np.ndarray, keys: np.ndarray, labels: np.ndarray, marks: np.ndarray, temperature: float, per_image: bool
) -> float:
    """Return the loss from its formula: image by image, label by label, reference by reference."""
    q, k = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (query, keys))
    total = 0.0
    for i, c in np.ndindex(*labels.shape):
        if labels[i, c]:
            below = math.log(math.fsum(math.exp(q[i] @ k[j] / temperature) for j in range(len(k))))
            sharing = [j for j in range(len(k)) if marks[j, c]]
            mean = math.fsum(below - q[i] @ k[j] / temperature for j in sharing) / len(sharing)
            total += mean / (len(q) * labels[i].sum() if per_image else labels.sum())
    return total


@settings(max_examples=40, deadline=None)
@given(
    seed=SEEDS,
    shape=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    more=st.integers(0, 4),
    temperature=st.floats(0.1, 2),
    per_image=st.booleans(),
)
def test_the_function_equals_loops(
    seed: int, shape: tuple[int, int], more: int, temperature: float, per_image: bool
) -> None:
    random = np.random.default_rng(seed)
    query, key, queue = (random.normal(size=(n, 3)) for n in (shape[0], shape[0], more))
    labels, marks = (random.integers(0, 2, (n, shape[1])) for n in (shape[0], more))
    extra: Any = (torch.from_numpy(queue), torch.from_numpy(marks)) if more else (None, None)
    found = aevlp.multi_label_contrastive_loss(
        torch.from_numpy(query), torch.from_numpy(key), torch.from_numpy(labels), temperature, *extra, per_image
    )
    every = np.concatenate([key, queue]), np.concatenate([labels, marks])
    expected = slow(query, every[0], labels, every[1], temperature, per_image)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("pattern", ["MulSupCon", "any", "all"])
def test_images_without_labels_add_nothing_that_is_not_finite(pattern: str) -> None:
    query, key = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4)
    for labels in (torch.zeros(3, 2), torch.tensor([[1, 0], [0, 0], [1, 1]])):
        value = aevlp.multi_label_contrastive_loss(query, key, labels, 0.1, pattern=pattern)
        assert torch.isfinite(value) and np.isfinite(slope_of(value, query)).all()
        if pattern != "all" and not labels.any():
            assert value == 0


def test_the_gradient_equals_finite_differences_and_goes_to_the_query_alone() -> None:
    query, key = (torch.randn(4, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    labels = torch.randint(0, 2, (4, 5))
    assert torch.autograd.gradcheck(lambda q: aevlp.multi_label_contrastive_loss(q, key, labels, 0.5), (query,))
    value = aevlp.multi_label_contrastive_loss(query, key, labels, 0.5)
    assert torch.autograd.grad(value, key, allow_unused=True) == (None,)


def test_mistakes_of_the_function() -> None:
    q, y = torch.zeros(2, 3), torch.ones(2, 4)
    for given_, said in (
        (
            (q, q[:1], y, 0.1),
            r"query and key must be \(images, width\).* found the shapes \(2, 3\), \(1, 3\), \(2, 4\)",
        ),
        ((q, q, y[:1], 0.1), "labels"),
        ((q, q, y, 0.0), "temperature must be above 0, found 0.0"),
        ((q, q, y, 0.1, q), "references and reference_labels go together"),
        ((q, q, y, 0.1, q, y[:, :3]), r"must be \(2, 3\) and \(2, 4\), found \(2, 3\) and \(2, 3\)"),
        ((q, q, y, 0.1, None, None, False, "some"), "pattern must be one of MulSupCon, any, all, found 'some'"),
    ):
        arguments: Any = given_
        with pytest.raises(AevlpError, match=said):
            aevlp.multi_label_contrastive_loss(*arguments)


def test_a_queue_holds_the_newest_of_batches_of_any_size() -> None:
    queue, kept = KeyQueue(5), []
    for step, size in enumerate([2, 1, 3, 7, 2, 4]):
        keys = torch.randn(size, 3, generator=torch.Generator().manual_seed(step))
        labels = torch.arange(size)[:, None] % 2 == 0
        before = None if queue.stored + size < 5 else torch.cat(kept or [keys[:0]])[-5:]
        held = queue.read(keys, labels)
        assert (held is None) == (before is None)
        if held is not None and before is not None and len(before) == 5:
            order = torch.cdist(held[0].double(), before.double()).argmin(dim=1)
            torch.testing.assert_close(held[0], before[order])
        queue.store(keys, labels)
        kept.append(normalize(keys, dim=1))
        again = KeyQueue(5)
        again.load_state_dict(queue.state_dict())
        for one, other in zip(again.read(keys, labels) or (), queue.read(keys, labels) or (), strict=True):
            assert torch.equal(one, other)
    empty = KeyQueue(3)
    empty.load_state_dict(KeyQueue(3).state_dict())
    assert empty.keys is None
    none = KeyQueue(0)
    none.store(torch.ones(2, 3), torch.ones(2, 1) == 1)
    assert none.read(torch.ones(2, 3), torch.ones(2, 1) == 1) is None


def batch(seed: int, rows: int = 5, classes: int = 6) -> tuple[torch.Tensor, Targets]:
    random = np.random.default_rng(seed)
    observed, pseudo = random.choice([-1, 0, 1], (2, rows, classes), p=[0.2, 0.5, 0.3]).astype(np.int8)
    features, mirrored = (torch.from_numpy(random.normal(size=(rows, 3))) for _ in range(2))
    targets = Targets(
        observed=torch.from_numpy(observed),
        pseudo=torch.from_numpy(pseudo),
        features=features.requires_grad_(),
        mirrored_features=mirrored,
    )
    return torch.from_numpy(random.normal(0, 3, (rows, classes))).requires_grad_(), targets


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, use_pseudo=st.booleans(), weight=st.floats(0, 2))
def test_the_loss_is_an_pl_plus_the_term_with_the_queue(seed: int, use_pseudo: bool, weight: float) -> None:
    loss, rest, queue = create_loss("mulsupcon", 6, weight=weight, queue=10), create_loss("an-pl", 6), KeyQueue(10)
    for step in range(4):
        logits, targets = batch(seed + step)
        if not use_pseudo:
            targets = replace(targets, pseudo=None)
        assert targets.features is not None and targets.mirrored_features is not None
        guess = targets.observed if targets.pseudo is None else targets.pseudo
        positive = (targets.observed == 1) | ((targets.observed == 0) & (guess == 1))
        held = queue.read(targets.mirrored_features, positive) or (None, None)
        term = aevlp.multi_label_contrastive_loss(targets.features, targets.mirrored_features, positive, 0.1, *held)
        queue.store(targets.mirrored_features, positive)
        expected = rest(logits, targets) + weight * term
        torch.testing.assert_close(loss(logits, targets), expected, rtol=1e-9, atol=1e-12)


def test_two_phases_learn_one_after_the_other() -> None:
    logits, targets = batch(1)
    assert targets.features is not None
    loss = create_loss("mulsupcon", 6, pretraining_epochs=2)
    for epoch in (1, 2, 3, 4):
        loss.set_epoch(epoch, 4)
        value = loss(logits, targets)
        of_logits, of_features = torch.autograd.grad(value, (logits, targets.features), allow_unused=True)
        assert of_logits is not None
        assert bool(of_logits.any()) == (epoch > 2)
        assert (of_features is not None) == (epoch <= 2)
    assert value == create_loss("an-pl", 6)(logits, targets)
    with pytest.raises(AevlpError, match="pretraining_epochs of loss mulsupcon must be fewer than the 2 epochs"):
        loss.set_epoch(1, 2)


@each(
    dtype=[torch.float16, torch.bfloat16, torch.float32, torch.float64],
    size=[0.0, 1e-7, 1.0, 3e4],
    rows=[1, 2, 6],
    half=[None, torch.float16, torch.bfloat16],
)
def test_any_features_give_a_finite_value_and_gradient(
    dtype: torch.dtype, size: float, rows: int, half: torch.dtype | None
) -> None:
    features = (
        (size * (2 * torch.rand(rows, 4, generator=torch.Generator().manual_seed(0)) - 1)).to(dtype).requires_grad_()
    )
    logits = torch.zeros(rows, 2, dtype=dtype, requires_grad=True)
    targets = Targets(observed=torch.ones(rows, 2), features=features, mirrored_features=features.detach().flip(1))
    with torch.autocast("cpu", dtype=half, enabled=half is not None):
        value = create_loss("mulsupcon", 2)(logits, targets)
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.isfinite(value)
    for slope in torch.autograd.grad(value, (features, logits)):
        assert torch.isfinite(slope).all()


def test_what_mulsupcon_lacks_or_gets_in_another_shape_is_a_mistake() -> None:
    logits, targets = batch(3)
    for field in ("features", "mirrored_features"):
        with pytest.raises(AevlpError, match=f"mulsupcon reads {field}"):
            create_loss("mulsupcon", 6)(logits, replace(targets, **{field: None}))
        for wrong in (torch.zeros(1, 3), torch.zeros(5), torch.zeros(5, 3, 1)):
            with pytest.raises(AevlpError, match=rf"{field} must be \(images, width\)"):
                create_loss("mulsupcon", 6)(logits, replace(targets, **{field: wrong}))


@pytest.mark.parametrize(
    "constant", [{"weight": -0.1}, {"temperature": 0}, {"temperature": -1}, {"queue": -1}, {"pretraining_epochs": -1}]
)
def test_a_constant_out_of_range_is_a_mistake(constant: dict[str, Any]) -> None:
    with pytest.raises(AevlpError, match=f"^{next(iter(constant))} of loss mulsupcon must be "):
        create_loss("mulsupcon", 3, **constant)


def test_the_defaults() -> None:
    assert constants("mulsupcon") == {
        "weight": 0.1, "temperature": 0.1, "queue": 256, "per_image_weight": False, "pretraining_epochs": 0,
    }  # fmt: skip
