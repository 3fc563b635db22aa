"""Virtual categories against the published program's values and gradients, and the multi-label form against loops."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

import aevlp
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.losses import Targets, constants, create_loss
from goldens import load

CASES = load("virtual_category")
SEEDS = st.integers(0, 2**32 - 1)


def of(prefix: str) -> list[str]:
    return [name for name in CASES if name.startswith(prefix)]


def targets_of_segmentation(case: dict[str, np.ndarray]) -> torch.Tensor:
    """Return the targets of rows with a label and a potential label: one more class, the virtual one, comes last."""
    rows, classes = np.arange(len(case["label"])), case["logits"].shape[1]
    targets = np.zeros((len(rows), classes))
    same = case["label"] == case["potential"]
    targets[rows, case["label"]] = np.where(same, 1, -1)
    targets[rows[~same], case["potential"][~same]] = -1
    targets[:, -1] = np.where(same, -1, 1)
    return torch.from_numpy(targets)


@pytest.mark.parametrize("name", of("function"))
def test_the_function_equals_the_published_one(name: str) -> None:
    case = CASES[name]
    logits = torch.from_numpy(case["logits"]).double().requires_grad_()
    targets = torch.from_numpy(case["targets"])
    if "mask" in case:  # what a mask leaves out is what a target below 0 leaves out
        mask = torch.from_numpy(case["mask"])
        rows = aevlp.virtual_category_loss(logits, targets, float(case["gamma"]), mask)
        by_targets = torch.where(mask == 1, targets, -torch.ones_like(targets))
        assert torch.equal(rows, aevlp.virtual_category_loss(logits, by_targets, float(case["gamma"])))
    else:
        rows = aevlp.virtual_category_loss(logits, targets, gamma=float(case["gamma"]))
    assert rows.dtype == torch.float64 and rows.shape == (len(logits),)
    np.testing.assert_allclose(rows.detach(), case["loss_rows"], rtol=1e-9)
    slope = torch.autograd.grad(rows.sum(), logits)[0]
    np.testing.assert_allclose(slope, case["grad_of_sum"], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", of("segmentation"))
def test_rows_of_the_segmentation_program(name: str) -> None:
    """Its kinds "mse" and "soft_ce" are other losses of the same targets: of them the targets are what is compared."""
    case = CASES[name]
    logits = torch.from_numpy(case["logits"]).double().requires_grad_()
    targets, kind = targets_of_segmentation(case), str(case["kind"])
    counted = (targets >= 0).double()
    if kind in ("ce", "focal_loss"):
        gamma = {"ce": 0.0, "focal_loss": 1.5}[kind]
        rows = aevlp.virtual_category_loss(logits, targets, gamma)
    elif kind == "mse":
        powers = (logits - logits.amax(dim=1, keepdim=True)).exp()
        shares = powers / ((powers * counted).sum(dim=1, keepdim=True) + 1e-10)
        rows = (shares - targets) ** 2 * counted
    else:
        centre = (logits.amax(dim=1, keepdim=True) - logits.amin(dim=1, keepdim=True)) / 2
        powers = (logits - centre).exp()
        rows = -targets.clamp(min=0) * (powers / (powers * counted).sum(dim=1, keepdim=True)).log()
        plain = aevlp.virtual_category_loss(logits, targets)
        torch.testing.assert_close(rows.sum(dim=1), plain, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(rows.detach(), case["loss_rows"], rtol=1e-9, atol=1e-12)
    slope = torch.autograd.grad(rows.sum(), logits)[0]
    np.testing.assert_allclose(slope, case["grad_of_sum"], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", of("detection"))
def test_the_detector(name: str) -> None:
    """In it the virtual categories of confusing boxes stay ignored, so such rows have no loss, and are counted all the same."""
    case = CASES[name]
    features = torch.from_numpy(case["features"]).double().requires_grad_()
    directions = normalize(torch.from_numpy(case["teacher_features"]).double(), dim=1)
    virtual = features @ directions.T / float(case["temperature"])
    np.testing.assert_allclose(virtual.detach(), case["virtual_logits"], rtol=1e-9, atol=1e-12)
    real = features @ torch.from_numpy(case["weights"]).double().T
    targets = torch.zeros(len(features), real.shape[1] + virtual.shape[1])
    targets[:, real.shape[1] :] = -1
    for row, box in enumerate(case["box"]):
        label, potential = (case[key][box] for key in ("label", "potential"))
        if box < 0:
            targets[row, real.shape[1] - 1] = 1
        else:
            targets[row, [int(label), int(potential)]] = 1 if label == potential else -1
    loss = aevlp.virtual_category_loss(torch.cat([real, virtual], dim=1), targets, float(case["gamma"])).mean()
    np.testing.assert_allclose(loss.detach(), case["loss"], rtol=1e-9)
    slope = torch.autograd.grad(loss, features)[0]
    np.testing.assert_allclose(slope, case["grad_features"], rtol=1e-6, atol=1e-9)


def slow_row(x: list[float], t: list[float], gamma: float) -> float:
    a = math.fsum(weight * math.exp(-value) for value, weight in zip(x, t, strict=True) if weight > 0)
    n = math.fsum(math.exp(value) for value, weight in zip(x, t, strict=True) if weight == 0)
    ce = math.log1p(a * n)
    return (1 - math.exp(-ce)) ** gamma * ce


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, shape=st.tuples(st.integers(1, 5), st.integers(1, 6)), gamma=st.sampled_from([0.0, 0.5, 1.0, 1.5]))
def test_the_function_equals_a_loop(seed: int, shape: tuple[int, int], gamma: float) -> None:
    random = np.random.default_rng(seed)
    logits, targets = random.normal(0, 3, shape), random.choice([-1, 0, 0.5, 1, 2], shape)
    found = aevlp.virtual_category_loss(torch.from_numpy(logits), torch.from_numpy(targets), gamma)
    expected = [slow_row(x, t, gamma) for x, t in zip(logits.tolist(), targets.tolist(), strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.5])
def test_the_function_is_finite_however_large_the_logits(dtype: torch.dtype, gamma: float) -> None:
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)
    for codes in torch.cartesian_prod(*[torch.tensor([-1, 0, 1])] * 3):
        logits = (3e4 * signs).to(dtype).requires_grad_()
        rows = aevlp.virtual_category_loss(logits, codes.expand(len(signs), 3), gamma)
        assert torch.isfinite(rows).all()
        assert torch.isfinite(torch.autograd.grad(rows.sum(), logits)[0]).all()


def test_mistakes_of_the_function() -> None:
    with pytest.raises(AevlpError, match="gamma of virtual_category_loss must be at least 0, found -1"):
        aevlp.virtual_category_loss(torch.zeros(2, 3), torch.zeros(2, 3), -1)
    with pytest.raises(AevlpError, match=r"logits' shape \(2, 3\), found \(3,\)"):
        aevlp.virtual_category_loss(torch.zeros(2, 3), torch.zeros(3))


def batch(seed: int, rows: int = 5, classes: int = 6) -> tuple[torch.Tensor, Targets]:
    random = np.random.default_rng(seed)
    observed, pseudo = random.choice([-1, 0, 1], (2, rows, classes), p=[0.1, 0.7, 0.2]).astype(np.int8)
    targets = Targets(
        observed=torch.from_numpy(observed),
        pseudo=torch.from_numpy(pseudo),
        features=torch.from_numpy(random.normal(size=(rows, 3))).requires_grad_(),
        mirrored=torch.from_numpy(random.normal(0, 3, (rows, classes))),
        mirrored_features=torch.from_numpy(random.normal(size=(rows, 3))).requires_grad_(),
    )
    return torch.from_numpy(random.normal(0, 3, (rows, classes))), targets


@settings(max_examples=60, deadline=None)
@given(
    seed=SEEDS,
    shape=st.tuples(st.integers(1, 5), st.integers(1, 6)),
    temperature=st.floats(0.2, 5),
    gamma=st.sampled_from([0.0, 1.5]),
)
def test_the_multi_label_form_equals_loops(seed: int, shape: tuple[int, int], temperature: float, gamma: float) -> None:
    logits, targets = batch(seed, *shape)
    assert targets.pseudo is not None and targets.mirrored is not None
    assert targets.features is not None and targets.mirrored_features is not None
    total = 0.0
    for i in range(shape[0]):
        label = [
            c for c in range(shape[1]) if (targets.observed[i, c] or targets.pseudo[i, c]) == 1
        ]  # 0 is unknown: the pseudo-label's turn
        order = sorted(range(shape[1]), key=lambda c: -float(targets.mirrored[i, c]))
        named = order[: len(label)]
        codes = []
        for c in range(shape[1]):
            confusing = targets.observed[i, c] == 0 and (c in label) != (c in named)
            codes.append(-1 if confusing else int(c in label))
        towards = targets.mirrored_features[i] / targets.mirrored_features[i].norm()
        virtual = float((targets.features[i] @ towards).detach()) / temperature
        total += slow_row([*logits[i].tolist(), virtual], [*codes, 1 if -1 in codes else -1], gamma)
    loss = create_loss("virtual-category", shape[1], temperature=temperature, gamma=gamma)
    value = loss(logits.requires_grad_(), targets)
    np.testing.assert_allclose(value.detach(), total / shape[0], rtol=1e-9, atol=1e-12)
    _, towards_own, towards_other = torch.autograd.grad(
        value, (logits, targets.features, targets.mirrored_features), allow_unused=True
    )
    assert towards_own is not None and towards_other is None  # the mirrored view is the teacher


def test_where_both_predictions_agree_there_is_no_virtual_category() -> None:
    observed = torch.tensor([[1, 0, 0, 0]])
    logits, features = torch.zeros(1, 4, requires_grad=True), torch.ones(1, 2)
    agree, differ = torch.tensor([[3.0, 0, 0, 0]]), torch.tensor([[0, 3.0, 0, 0]])

    def slopes(mirrored: torch.Tensor) -> list[float]:
        known: Any = {"features": features, "mirrored_features": features, "mirrored": mirrored}
        value = create_loss("virtual-category", 4)(logits, Targets(observed=observed, **known))
        return torch.autograd.grad(value, logits)[0].sign().tolist()[0]

    assert slopes(agree) == [-1, 1, 1, 1]
    assert slopes(differ) == [-1, 0, 1, 1]  # the observed label is certain, what the other view names is not


@pytest.mark.parametrize("constant", [{"temperature": 0}, {"temperature": -1}, {"gamma": -0.1}])
def test_a_constant_out_of_range_is_a_mistake(constant: dict[str, Any]) -> None:
    with pytest.raises(AevlpError, match=f"^{next(iter(constant))} of loss virtual-category must be "):
        create_loss("virtual-category", 3, **constant)


def test_the_defaults() -> None:
    assert constants("virtual-category") == {"temperature": 3.5, "gamma": 0.0}
