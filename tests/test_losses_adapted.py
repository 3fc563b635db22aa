"""Losses adapted from other tasks, virtual categories and MulSupCon, against loops written from their formulas."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import each

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.losses import Targets, constants, create_loss
from aevlp.pipeline.losses.supervised_contrastive import contrastive

SEEDS = st.integers(0, 2**32 - 1)


def batch(seed: int, rows: int = 5, classes: int = 6) -> tuple[torch.Tensor, Targets]:
    """Return float64 logits, and targets with codes, scores and features that want a gradient."""
    random = np.random.default_rng(seed)
    observed, pseudo = random.choice([-1, 0, 1], (2, rows, classes), p=[0.2, 0.5, 0.3]).astype(np.int8)
    targets = Targets(
        observed=torch.from_numpy(observed),
        pseudo=torch.from_numpy(pseudo),
        scores=torch.from_numpy(random.random((rows, classes))),
        features=torch.from_numpy(random.normal(size=(rows, 3))).requires_grad_(),
    )
    return torch.from_numpy(random.normal(0, 3, (rows, classes))), targets


@settings(max_examples=40, deadline=None)
@given(
    seed=SEEDS,
    shape=st.tuples(st.integers(1, 5), st.integers(1, 6)),
    bounds=st.tuples(st.floats(0, 1), st.floats(0, 1)).filter(lambda pair: pair[0] != pair[1]).map(sorted),
)
def test_virtual_category_equals_loops_over_entries(seed: int, shape: tuple[int, int], bounds: list[float]) -> None:
    low, high = bounds
    logits, targets = batch(seed, *shape)
    assert targets.scores is not None
    total, slope = 0.0, np.zeros(shape)
    for i, c in np.ndindex(*shape):
        code, score, p = targets.observed[i, c], targets.scores[i, c], 1 / (1 + math.exp(-logits[i, c]))
        if code == 1 or (code == 0 and score >= high):
            total, slope[i, c] = total - math.log(p), p - 1
        elif code == -1 or score <= low:
            total, slope[i, c] = total - math.log(1 - p), p
    logits = logits.requires_grad_()
    value = create_loss("virtual-category", shape[1], low=low, high=high)(logits, targets)
    np.testing.assert_allclose(value.detach(), total / logits.numel(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(torch.autograd.grad(value, logits)[0], slope / logits.numel(), rtol=1e-8, atol=1e-12)


def test_an_ambiguous_label_is_pushed_nowhere_and_bounds_count_as_certain() -> None:
    scores = torch.tensor([[0.0, 0.05, 0.0501, 0.3, 0.4999, 0.5, 1.0]])
    logits = torch.zeros(1, 7, requires_grad=True)
    targets = Targets(observed=torch.zeros(1, 7), scores=scores.double())
    # 0.05 in single precision is a little above 0.05 in double: bounds are met exactly only in the dtype they came in.
    value = create_loss("virtual-category", 7, low=float(scores[0, 1]))(logits, targets)
    assert torch.autograd.grad(value, logits)[0].sign().tolist() == [[1, 1, 0, 0, 0, -1, -1]]


@pytest.mark.parametrize(
    "given_", [{"low": 0.5}, {"low": 0.6}, {"high": 0.05}, {"high": 1.1}, {"low": -0.1}, {"low": 0.2, "high": 0.1}]
)
def test_bounds_that_leave_no_order_are_a_mistake(given_: dict[str, float]) -> None:
    with pytest.raises(AevlpError, match="of loss virtual-category must be "):
        create_loss("virtual-category", 3, **given_)


def test_virtual_category_cannot_do_without_scores() -> None:
    with pytest.raises(AevlpError, match="virtual-category reads scores"):
        create_loss("virtual-category", 3)(torch.zeros(1, 3), Targets(observed=torch.zeros(1, 3)))


def slow_contrastive(features: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    """Return the contrastive term from its formula: anchor by anchor, label by label, partner by partner."""
    z = [row / math.sqrt(math.fsum(row**2)) for row in features]
    terms = []
    for i, c in np.ndindex(*labels.shape):
        partners = [p for p in range(len(z)) if p != i and labels[p, c]]
        if labels[i, c] and partners:
            below = math.fsum(math.exp(z[i] @ z[a] / temperature) for a in range(len(z)) if a != i)
            shares = [math.exp(z[i] @ z[p] / temperature) / below for p in partners]
            terms.append(-math.fsum(map(math.log, shares)) / len(partners))
    return math.fsum(terms) / len(terms) if terms else 0.0


@settings(max_examples=40, deadline=None)
@given(
    seed=SEEDS,
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    weight=st.floats(0, 2),
    temperature=st.floats(0.05, 2),
    use_pseudo=st.booleans(),
)
def test_mulsupcon_equals_loops_over_anchors_labels_and_partners(
    seed: int, shape: tuple[int, int], weight: float, temperature: float, use_pseudo: bool
) -> None:
    logits, targets = batch(seed, *shape)
    if not use_pseudo:
        targets = replace(targets, pseudo=None)
    assert targets.features is not None
    guess = targets.observed if targets.pseudo is None else targets.pseudo
    positive = (targets.observed == 1) | ((targets.observed == 0) & (guess == 1))
    expected = slow_contrastive(targets.features.detach().numpy(), positive.numpy(), temperature)
    term = contrastive(targets.features, positive, temperature)
    np.testing.assert_allclose(term.detach(), expected, rtol=1e-9, atol=1e-12)
    value = create_loss("mulsupcon", shape[1], weight=weight, temperature=temperature)(logits, targets)
    rest = create_loss("an-pl", shape[1])(logits, targets)
    np.testing.assert_allclose(value.detach(), float(rest) + weight * expected, rtol=1e-9, atol=1e-12)


def test_the_contrastive_gradient_equals_finite_differences() -> None:
    _, targets = batch(1)
    labels = targets.observed == 1
    assert torch.autograd.gradcheck(lambda f: contrastive(f, labels, 0.5), (targets.features,))


def test_features_that_agree_with_the_labels_lose_less_whatever_their_length() -> None:
    labels = torch.tensor([[1, 0], [1, 0], [0, 1], [0, 1]]) == 1
    apart = torch.tensor([[1.0, 0], [2.0, 0], [0, 1.0], [0, 3.0]])
    assert contrastive(apart, labels, 0.1) < contrastive(apart[[0, 2, 1, 3]], labels, 0.1)
    torch.testing.assert_close(contrastive(100 * apart, labels, 0.1), contrastive(apart, labels, 0.1))


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_where_no_two_images_share_a_label_there_is_no_contrastive_term(rows: int) -> None:
    features = torch.randn(rows, 3, requires_grad=True)
    value = contrastive(features, torch.eye(rows, 5) == 1, 0.1)
    assert value.item() == 0
    assert not torch.autograd.grad(value, features)[0].any()


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
    targets = Targets(observed=torch.ones(rows, 2), features=features)
    with torch.autocast("cpu", dtype=half, enabled=half is not None):
        value = create_loss("mulsupcon", 2)(logits, targets)
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.isfinite(value)
    for slope in torch.autograd.grad(value, (features, logits)):
        assert torch.isfinite(slope).all()


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
def test_mixed_precision_changes_nothing(half: torch.dtype) -> None:
    _, targets = batch(2)
    assert targets.features is not None
    features, labels = targets.features.float(), targets.observed == 1
    with torch.autocast("cpu", dtype=half):
        mixed = contrastive(features, labels, 0.1)
    assert mixed == contrastive(features, labels, 0.1)


def test_what_mulsupcon_lacks_or_gets_in_another_shape_is_a_mistake() -> None:
    logits, targets = batch(3)
    with pytest.raises(AevlpError, match="mulsupcon reads features"):
        create_loss("mulsupcon", 6)(logits, replace(targets, features=None))
    for wrong in (torch.zeros(1, 3), torch.zeros(5), torch.zeros(5, 3, 1)):
        with pytest.raises(AevlpError, match=r"features must be \(images, width\)"):
            create_loss("mulsupcon", 6)(logits, replace(targets, features=wrong))


@pytest.mark.parametrize("constant", [{"weight": -0.1}, {"temperature": 0}, {"temperature": -1}])
def test_a_constant_out_of_range_is_a_mistake(constant: dict[str, Any]) -> None:
    with pytest.raises(AevlpError, match=f"^{next(iter(constant))} of loss mulsupcon must be "):
        create_loss("mulsupcon", 3, **constant)


def test_the_defaults() -> None:
    assert constants("virtual-category") == {"low": 0.05, "high": 0.5}
    assert constants("mulsupcon") == {"weight": 0.1, "temperature": 0.1}
