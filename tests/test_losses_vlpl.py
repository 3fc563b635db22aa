"""The losses of Xing et al. 2024 against published values and gradients, and loops written from their formulas."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import each
from torch import Tensor

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.losses import Targets, constants, create_loss
from goldens import load

GOLDEN = {name: case for name, case in load("vlpl").items() if case["name"] != "vlpl-policy"}
NAMES = ["vlpl", "vlpl-asl"]
SEEDS = st.integers(0, 2**32 - 1)


def gradient(loss: Any, logits: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
    logits = logits.detach().clone().requires_grad_()
    value = loss(logits, targets)
    value.backward()
    assert logits.grad is not None
    return value.detach(), logits.grad


def batch(seed: int, rows: int = 4, classes: int = 7) -> tuple[Tensor, Targets]:
    random = np.random.default_rng(seed)
    observed, pseudo = (torch.from_numpy(random.integers(-1, 2, (rows, classes)).astype(np.int8)) for _ in range(2))
    observed = torch.where(torch.from_numpy(random.random((rows, classes))) < 0.6, 0, observed)
    return torch.from_numpy(random.normal(0, 3, (rows, classes))), Targets(observed=observed, pseudo=pseudo)


def test_golden_cases_are_there() -> None:
    epochs = ("0_ep0", "0_ep1", "1_ep0", "1_ep1", "2_ep1", "2_ep2")
    assert sorted(GOLDEN) == sorted(f"{name}_{epoch}" for name in NAMES for epoch in epochs)


@each(name=GOLDEN)
def test_equals_the_published_loss_and_gradient(name: str) -> None:
    case = GOLDEN[name]
    taken = constants(str(case["name"]))
    loss: Any = create_loss(str(case["name"]), case["logits"].shape[1], **{key: case[key].item() for key in taken})
    loss.set_epoch(int(case["epoch"]), 10)
    targets = Targets(observed=torch.from_numpy(case["observed"]), pseudo=torch.from_numpy(case["pseudo"]))
    for dtype, loss_rtol, rtol, atol in ((torch.float64, 1e-9, 1e-6, 1e-9), (torch.float32, 1e-5, 1e-3, 1e-6)):
        value, slope = gradient(loss, torch.from_numpy(case["logits"]).to(dtype), targets)
        assert value.dtype == dtype
        np.testing.assert_allclose(value, case["loss"], rtol=loss_rtol)
        np.testing.assert_allclose(slope, case["grad"], rtol=rtol, atol=atol)


def test_the_defaults_are_those_of_the_paper_for_voc() -> None:
    assert constants("vlpl") == {"alpha": 0.2, "beta_pos": 0.7, "warmup_epoch": 0}
    assert constants("vlpl-asl") == {
        "alpha": 0.2, "gamma_unknown": 4.0, "gamma_pos": 2.0, "gamma_neg": 4.0, "warmup_epoch": 0,
    }  # fmt: skip


def nl5(p: float) -> float:
    return -math.log(p + 1e-5)


def slow_entry(name: str, p: float, o: int, z: int, of: dict[str, float]) -> float:
    """Return the loss of one entry from the formulas."""
    f = o or z
    entropy = p * nl5(p) + (1 - p) * nl5(1 - p)
    if name == "vlpl":
        if o == 1:
            return nl5(p)
        if f == 1:
            return of["beta_pos"] * (0.9 * nl5(p) + 0.1 * nl5(1 - p))
        return -of["alpha"] * entropy if f == 0 else 0
    if f == 1:
        return (1 - p) ** of["gamma_pos"] * nl5(p)
    if f == 0:
        return -((1 - p) ** of["gamma_unknown"]) * entropy
    return p ** of["gamma_neg"] * nl5(1 - p) if o == 0 else 0


def slow(name: str, x: np.ndarray, targets: Targets, of: dict[str, float]) -> tuple[float, np.ndarray]:
    """Return the loss and its gradient, entry by entry, the gradient by central differences."""
    assert targets.pseudo is not None
    total, slope = 0.0, np.zeros(x.shape)
    for at in np.ndindex(*x.shape):
        codes = int(targets.observed[at]), int(targets.pseudo[at])
        below, here, above = (
            slow_entry(name, 1 / (1 + math.exp(-(x[at] + step))), *codes, of) for step in (-1e-5, 0, 1e-5)
        )
        total += here
        slope[at] = (above - below) / 2e-5
    return total / x.size, slope / x.size


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, shape=st.tuples(st.integers(1, 4), st.integers(1, 7)), data=st.data())
def test_equals_loops_and_finite_differences(name: str, seed: int, shape: tuple[int, int], data: st.DataObject) -> None:
    logits, targets = batch(seed, *shape)
    of = {key: data.draw(st.floats(0, 5)) for key in constants(name) if key != "warmup_epoch"}
    value, slope = gradient(create_loss(name, shape[1], **of), logits, targets)
    expected, expected_slope = slow(name, logits.numpy(), targets, of)
    np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(slope, expected_slope, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_the_warmup_is_em_and_ends_after_its_last_epoch(name: str) -> None:
    logits, targets = batch(0)
    loss: Any = create_loss(name, 7, alpha=0.3, warmup_epoch=2)
    em = create_loss("em", 7, alpha=0.3)(logits, targets)
    assert loss(logits, targets) == em  # before any epoch was begun, as in epoch 1
    for epoch, same in ((1, True), (2, True), (3, False), (10, False)):
        loss.set_epoch(epoch, 10)
        assert (loss(logits, targets) == em) == same
    assert loss(logits, targets) == create_loss(name, 7, alpha=0.3)(logits, targets)


@pytest.mark.parametrize("name", NAMES)
def test_an_observed_label_wins_and_an_observed_negative_has_no_loss(name: str) -> None:
    logits, targets = batch(1)
    assert targets.pseudo is not None
    loss = create_loss(name, 7)
    value, slope = gradient(loss, logits, targets)
    others = torch.where(targets.observed != 0, -targets.observed, targets.pseudo)
    assert loss(logits, replace(targets, pseudo=others)) == value
    no_loss = targets.observed == -1
    if name == "vlpl":
        no_loss |= (targets.observed == 0) & (targets.pseudo == -1)
    np.testing.assert_array_equal(slope == 0, no_loss)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [90.0, 1000.0, 3e4])
def test_huge_logits_give_the_value_of_double_precision_and_a_finite_gradient(name: str, size: float) -> None:
    codes = torch.tensor([-1.0, 0.0, 1.0])
    x, observed, pseudo = torch.cartesian_prod(torch.tensor([size, -size]), codes, codes).T[:, None]
    for constant in (
        {},
        {"gamma_unknown": 0, "gamma_pos": 0, "gamma_neg": 0.5} if name == "vlpl-asl" else {"alpha": 0},
    ):
        loss = create_loss(name, 18, **constant)
        targets = Targets(observed=observed, pseudo=pseudo)
        value, slope = gradient(loss, x, targets)
        assert torch.isfinite(slope).all()
        assert value.item() == pytest.approx(loss(x.double(), targets).item(), rel=1e-6)
        assert 0 < value < 18 * 12


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("warmup_epoch", [0, 3])
def test_targets_without_pseudo_labels_are_a_mistake_from_the_first_epoch(name: str, warmup_epoch: int) -> None:
    logits, targets = batch(2)
    with pytest.raises(AevlpError, match=f"loss {name} reads pseudo, and these targets have none"):
        create_loss(name, 7, warmup_epoch=warmup_epoch)(logits, replace(targets, pseudo=None))


@pytest.mark.parametrize("name", NAMES)
def test_a_constant_below_0_is_a_mistake(name: str) -> None:
    for constant in constants(name):
        with pytest.raises(AevlpError, match=f"^{constant} of loss {name} must be at least 0, found -1$"):
            create_loss(name, 7, **{constant: -1})
