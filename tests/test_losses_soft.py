"""Losses of soft labels against the released programs' arrays, and laws."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import aevlp
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.losses import Targets, create_loss
from goldens import load

CCD = {name: case for name, case in load("ccd").items() if not name.startswith("cut") and name != "class_never_first"}
CDUL = {name: case for name, case in load("cdul").items() if name.startswith("train")}


def targets_of(labels: np.ndarray, observed: torch.Tensor | None = None) -> Targets:
    scores = torch.from_numpy(labels.astype(np.float64))
    return Targets(
        observed=torch.zeros(scores.shape, dtype=torch.int8) if observed is None else observed, scores=scores
    )


def value_and_gradient(name: str, logits: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    x = torch.tensor(logits.astype(np.float64), requires_grad=True)
    loss = create_loss(name, logits.shape[1])(x, targets_of(labels))
    loss.backward()
    assert x.grad is not None
    return loss.item(), x.grad.numpy()


@pytest.mark.parametrize("name", CCD)
def test_ccd_s_is_the_released_program_s(name: str) -> None:
    case = CCD[name]
    loss, gradient = value_and_gradient("ccd", case["early_logits"], case["early_labels"])
    assert loss == pytest.approx(float(case["mean_loss"][0]), rel=1e-5)
    np.testing.assert_allclose(gradient, case["early_grad"], rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize(
    "name", [name for name, case in CCD.items() if case["loss_coeff"] == 1 or not case["consistency"]]
)
def test_after_the_correction_ccd_s_gradient_is_the_program_s_where_every_image_weighs_1(name: str) -> None:
    """Its term between an image and a recoloured copy, which is left out here, has no gradient by these logits."""
    case = CCD[name]
    _, gradient = value_and_gradient("ccd", case["late_logits"], case["late_labels"])
    np.testing.assert_allclose(gradient, case["late_grad"], rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("name", CDUL)
def test_cdul_s_is_the_program_s(name: str) -> None:
    case = CDUL[name]
    loss, gradient = value_and_gradient("cdul", case["logits"], case["labels"])
    assert loss == pytest.approx(float(case["loss"]), rel=1e-9)
    np.testing.assert_allclose(gradient, case["grad"], rtol=1e-5, atol=1e-8)  # stored in float32


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), temperature=st.sampled_from([0.005, 0.01, 0.1]))
def test_cdul_s_equals_a_loop_also_for_the_least_labels(seed: int, temperature: float) -> None:
    """Softmax labels of a sure CLIP are far below any rounding of 1, and their logarithms count."""
    random = np.random.default_rng(seed)
    labels = aevlp.cdul_labels(random.normal(0.2, 0.05, (4, 5, 6)), temperature)
    logits = random.normal(size=(4, 6))
    expected = []
    for x, y in zip(logits, labels, strict=True):
        p = np.exp(x) / np.exp(x).sum()
        expected.append(sum(a * np.log(a / (b / y.sum())) for a, b in zip(p, y, strict=True)))
    assert value_and_gradient("cdul", logits, labels)[0] == pytest.approx(np.mean(expected), rel=1e-9)


@pytest.mark.parametrize("name", ["ccd", "cdul"])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_observed_labels_win_and_far_logits_are_finite(name: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    observed = torch.from_numpy(random.choice(np.array([-1, 0, 1], dtype=np.int8), (4, 5)))
    scores = random.random((4, 5))
    known = np.where(observed == 1, 1.0, np.where(observed == -1, 0.0, scores))
    loss = create_loss(name, 5)
    x = torch.from_numpy(random.normal(size=(4, 5)))
    assert loss(x, targets_of(scores, observed)).item() == loss(x, targets_of(known)).item()
    far = torch.tensor(random.choice([-1000.0, 1000.0], (4, 5)), requires_grad=True)
    value = loss(far, targets_of(scores, observed))
    value.backward()
    assert torch.isfinite(value) and far.grad is not None and torch.isfinite(far.grad).all()


@pytest.mark.parametrize("name", ["ccd", "cdul"])
def test_without_scores_there_is_nothing_to_learn(name: str) -> None:
    with pytest.raises(AevlpError, match=f"loss {name} reads scores, and these targets have none"):
        create_loss(name, 3)(torch.zeros(2, 3), Targets(observed=torch.zeros(2, 3, dtype=torch.int8)))
