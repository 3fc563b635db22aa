"""Hill, and the baselines in the code of Chen et al. and Tran et al., against published values and loops over entries."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import each

from aevlp.pipeline.losses import Targets, constants, create_loss
from goldens import load

NAMES = ("hill", "gr-epr", "gr-weight", "an-e7", "an-pl")
GOLDEN = {name: case for name, case in load("gr_family").items() if str(case["name"]) in NAMES}
SEEDS = st.integers(0, 2**32 - 1)


def batch(seed: int, rows: int = 4, classes: int = 7) -> tuple[torch.Tensor, Targets]:
    """Return float64 logits, and targets with observed and pseudo codes -1, 0, +1."""
    random = np.random.default_rng(seed)
    observed, pseudo = random.integers(-1, 2, (2, rows, classes)).astype(np.int8)
    targets = Targets(observed=torch.from_numpy(observed), pseudo=torch.from_numpy(pseudo))
    return torch.from_numpy(random.normal(0, 3, (rows, classes))), targets


def gradient(name: str, logits: torch.Tensor, targets: Targets) -> tuple[torch.Tensor, torch.Tensor]:
    logits = logits.detach().clone().requires_grad_()
    value = create_loss(name, logits.shape[1])(logits, targets)
    return value.detach(), torch.autograd.grad(value, logits)[0]


def test_golden_cases_are_there() -> None:
    assert sorted(GOLDEN) == sorted(f"{name}_{i}" for name in NAMES for i in range(3))


@each(case_name=GOLDEN)
def test_the_published_loss_and_gradient(case_name: str) -> None:
    case = GOLDEN[case_name]
    pseudo = torch.from_numpy(case["pseudo"]) if "pseudo" in case else None
    targets = Targets(observed=torch.from_numpy(case["observed"]), pseudo=pseudo)
    logits = torch.from_numpy(case["logits"])
    value, slope = gradient(str(case["name"]), logits.double(), targets)
    assert value.dtype == torch.float64
    np.testing.assert_allclose(value, case["loss"], rtol=1e-9)
    np.testing.assert_allclose(slope, case["grad"], rtol=1e-6, atol=1e-9)
    single, single_slope = gradient(str(case["name"]), logits, targets)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single, case["loss"], rtol=1e-5)
    np.testing.assert_allclose(single_slope, case["grad"], rtol=1e-3, atol=1e-6)


def nl7(u: float) -> float:
    return -math.log(u + 1e-7)


def slow_entry(name: str, p: float, observed: int, pseudo: int) -> float:
    """Return the loss of one entry, from the table of formulas."""
    if observed == 1:
        return 8 * nl7(p) if name == "gr-weight" else nl7(p)
    if observed == -1 or name == "gr-epr":
        return 0.0
    if name == "an-pl" and pseudo == 1:
        return nl7(p)
    return {"hill": (1.5 - p) * p * p, "gr-weight": 0.9 * (1 - (1 - p) ** 0.99) / 0.99}.get(name, nl7(1 - p))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, shape=st.tuples(st.integers(1, 4), st.integers(1, 7)))
def test_loops_over_entries_with_observed_negatives(name: str, seed: int, shape: tuple[int, int]) -> None:
    logits, targets = batch(seed, *shape)
    assert targets.pseudo is not None
    entries = [
        slow_entry(name, 1 / (1 + math.exp(-x)), o, z)
        for x, o, z in zip(
            logits.flatten().tolist(),
            targets.observed.flatten().tolist(),
            targets.pseudo.flatten().tolist(),
            strict=True,
        )
    ]
    value, _ = gradient(name, logits, targets)
    np.testing.assert_allclose(value, math.fsum(entries) / len(entries), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_equal_finite_differences(name: str) -> None:
    logits, targets = batch(1)
    loss = create_loss(name, 7)
    assert torch.autograd.gradcheck(lambda x: loss(x, targets), (logits.requires_grad_(),))


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_an_pl_without_pseudo_labels_is_an_e7(seed: int) -> None:
    logits, targets = batch(seed)
    assert create_loss("an-pl", 7)(logits, replace(targets, pseudo=None)) == create_loss("an-e7", 7)(logits, targets)


def test_hill_pushes_a_likely_positive_less_than_a_doubtful_one() -> None:
    _, slope = gradient("hill", torch.tensor([[-4.0, 0.0, 4.0]]), Targets(observed=torch.zeros(1, 3)))
    assert slope[0, 1] > slope[0, 2] > 0
    assert slope[0, 1] > slope[0, 0] > 0


@pytest.mark.parametrize("name", NAMES)
def test_none_takes_constants(name: str) -> None:
    assert constants(name) == {}
