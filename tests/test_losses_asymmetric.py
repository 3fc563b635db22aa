"""ASL, SPLC and the loss of CAP against published values and loops from the written formulas."""

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
from goldens import load

GOLDEN = load("asl_splc_cap")
ASL = {name: case for name, case in GOLDEN.items() if name.startswith("asl")}
SPLC = {name: case for name, case in GOLDEN.items() if name.startswith("splc")}
SEEDS = st.integers(0, 2**32 - 1)
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 7))


def batch(seed: int, rows: int = 4, classes: int = 7) -> tuple[torch.Tensor, Targets]:
    """Return float64 logits, and targets with observed and pseudo codes -1, 0, +1."""
    random = np.random.default_rng(seed)
    observed, pseudo = random.integers(-1, 2, (2, rows, classes)).astype(np.int8)
    targets = Targets(observed=torch.from_numpy(observed), pseudo=torch.from_numpy(pseudo))
    return torch.from_numpy(random.normal(0, 3, (rows, classes))), targets


def gradient(loss: Any, logits: torch.Tensor, targets: Targets) -> tuple[torch.Tensor, torch.Tensor]:
    logits = logits.detach().clone().requires_grad_()
    value = loss(logits, targets)
    return value.detach(), torch.autograd.grad(value, logits)[0]


def asl_of(case: dict[str, np.ndarray], **changed: Any) -> Any:
    of = {key: float(case[key]) for key in ("gamma_neg", "gamma_pos", "clip")}
    return create_loss("asl", case["logits"].shape[1], **of, stop_grad_weight=bool(case["stop_grad_weight"]), **changed)


def splc_of(case: dict[str, np.ndarray], **changed: Any) -> Any:
    of = {key: float(case[key]) for key in ("tau", "change_epoch", "margin", "gamma")}
    loss = create_loss("splc", case["logits"].shape[1], **of, **changed)
    loss.set_epoch(int(case["epoch"]) + 1, 10)
    return loss


def test_golden_cases_are_there() -> None:
    assert sorted(ASL) == sorted(f"asl_{i}_{kind}" for i in range(4) for kind in ("stopgrad", "fullgrad"))
    assert sorted(SPLC) == [f"splc_{i}" for i in range(4)]


@each(case_name=[*ASL, *SPLC])
def test_the_published_loss_and_gradient(case_name: str) -> None:
    case = GOLDEN[case_name]
    loss = (asl_of if case_name in ASL else splc_of)(case)
    targets = Targets(observed=torch.from_numpy(case["targets" if case_name in ASL else "observed"]))
    logits = torch.from_numpy(case["logits"])
    value, slope = gradient(loss, logits.double(), targets)
    assert value.dtype == torch.float64
    np.testing.assert_allclose(value, case["loss_sum"], rtol=1e-9)
    np.testing.assert_allclose(slope, case["grad_of_sum"], rtol=1e-6, atol=1e-8)
    single, single_slope = gradient(loss, logits, targets)
    np.testing.assert_allclose(single, case["loss_sum"], rtol=1e-5)
    np.testing.assert_allclose(single_slope, case["grad_of_sum"], rtol=1e-3, atol=1e-6)


@each(case_name=ASL)
def test_every_entry_of_asl_is_the_published_one(case_name: str) -> None:
    case = ASL[case_name]
    loss = asl_of(case)
    for (i, c), expected in np.ndenumerate(case["loss_matrix"]):
        value = loss(torch.tensor([[case["logits"][i, c]]]), Targets(observed=torch.tensor([[case["targets"][i, c]]])))
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("case_name", SPLC)
def test_splc_corrects_the_published_labels(case_name: str) -> None:
    case = SPLC[case_name]
    # With gamma 0 the gradient is p - t, negative where the label counts as positive.
    _, slope = gradient(splc_of(case | {"gamma": np.array(0.0)}), torch.from_numpy(case["logits"]).double(),
                        Targets(observed=torch.from_numpy(case["observed"])))  # fmt: skip
    np.testing.assert_array_equal(slope < 0, case["targets_after"])


def slow_asl(x: float, positive: bool, of: dict[str, Any]) -> tuple[float, float]:
    """Return loss and gradient of one entry, from the formula with probabilities."""
    p = 1 / (1 + math.exp(-x))
    if positive:
        log, d_log = math.log(max(p, 1e-8)), (1 - p) if p > 1e-8 else 0.0
        base, d_base, gamma = 1 - p, -p * (1 - p), of["gamma_pos"]
    else:
        p_n = min(1 - p + of["clip"], 1)
        log, d_log = math.log(max(p_n, 1e-8)), -p * (1 - p) / p_n if 1e-8 < p_n < 1 else 0.0
        base, d_base, gamma = 1 - p_n, p * (1 - p) if p_n < 1 else 0.0, of["gamma_neg"]
    weight = base**gamma
    slope = -d_log * weight
    if not of["stop_grad_weight"] and gamma > 0 and base > 0:
        slope -= log * gamma * base ** (gamma - 1) * d_base
    return -log * weight, slope


ASL_CONSTANTS = st.fixed_dictionaries(
    {
        "gamma_neg": st.sampled_from([0.0, 0.5, 1.0, 2.0, 4.0]),
        "gamma_pos": st.sampled_from([0.0, 0.5, 1.0, 2.0]),
        "clip": st.sampled_from([0.0, 0.05, 0.3]),
        "stop_grad_weight": st.booleans(),
    }
)


@pytest.mark.parametrize("name", ["asl", "cap"])
@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, shape=SHAPES, of=ASL_CONSTANTS, reduction=st.sampled_from(["sum", "mean"]))
def test_asl_and_cap_equal_loops_over_entries(
    name: str, seed: int, shape: tuple[int, int], of: dict[str, Any], reduction: str
) -> None:
    logits, targets = batch(seed, *shape)
    assert targets.pseudo is not None
    total, slope = 0.0, np.zeros(shape)
    for i, c in np.ndindex(*shape):
        known, guess = int(targets.observed[i, c]), int(targets.pseudo[i, c])
        code = known if known or name == "asl" else guess
        if code or name == "asl":
            entry, slope[i, c] = slow_asl(float(logits[i, c]), code == 1, of)
            total += entry
    number = 1 if reduction == "sum" else logits.numel()
    value, ours = gradient(create_loss(name, shape[1], **of, reduction=reduction), logits, targets)
    np.testing.assert_allclose(value, total / number, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(ours, slope / number, rtol=1e-6, atol=1e-9)


@each(clip=[0.0, 0.05], gamma=[0.0, 0.1, 0.5, 4.0], dtype=[torch.float32, torch.float64])
def test_asl_with_a_small_gamma_has_a_finite_gradient_everywhere(clip: float, gamma: float, dtype: torch.dtype) -> None:
    edge = math.log(0.05 / 0.95)  # where the shifted probability becomes 1
    line = [-3e4, -1000, -104, -90, -40, edge - 1e-7, edge, edge + 1e-7, 0, 20, 40, 90, 1000, 3e4]
    logits = torch.tensor([line, line], dtype=dtype)
    observed = torch.tensor([[1], [0]]).expand(2, len(line))
    loss = create_loss("asl", len(line), gamma_neg=gamma, gamma_pos=gamma, clip=clip, stop_grad_weight=False)
    value, slope = gradient(loss, logits, Targets(observed=observed))
    assert torch.isfinite(value)
    assert torch.isfinite(slope).all()


@pytest.mark.parametrize("name", ["asl", "cap"])
def test_a_probability_below_1e_8_counts_as_1e_8_and_has_no_gradient(name: str) -> None:
    logits = torch.tensor([[-18.0, -19.0, -40.0]], dtype=torch.float64)
    loss = create_loss(name, 3, gamma_pos=0)
    value, slope = gradient(loss, logits, Targets(observed=torch.ones(1, 3)))
    np.testing.assert_allclose(value, math.log1p(math.exp(18)) + 2 * math.log(1e8), rtol=1e-12)
    assert (slope != 0).tolist() == [[True, False, False]]


def slow_splc(x: float, observed: int, late: bool, of: dict[str, float]) -> float:
    shifted = x - of["margin"] if observed == 1 else x
    p = 1 / (1 + math.exp(-shifted))
    t = 1 if observed == 1 or (late and p > of["tau"]) else 0
    return -(t * math.log(p) + (1 - t) * math.log(1 - p)) * (t * (1 - p) + (1 - t) * p) ** of["gamma"]


@settings(max_examples=40, deadline=None)
@given(
    seed=SEEDS,
    shape=SHAPES,
    epoch=st.integers(1, 5),
    change=st.integers(0, 4),
    of=st.fixed_dictionaries({"tau": st.floats(0, 1), "margin": st.floats(-1, 2), "gamma": st.floats(0, 3)}),
    reduction=st.sampled_from(["sum", "mean"]),
)
def test_splc_equals_loops_over_entries(
    seed: int, shape: tuple[int, int], epoch: int, change: int, of: dict[str, float], reduction: str
) -> None:
    logits, targets = batch(seed, *shape)
    late = epoch > change  # epochs of the paper count from 0, these from 1
    entries = [
        slow_splc(x, o, late, of)
        for x, o in zip(logits.flatten().tolist(), targets.observed.flatten().tolist(), strict=True)
    ]
    loss = create_loss("splc", shape[1], change_epoch=change, reduction=reduction, **of)
    loss.set_epoch(epoch, 5)
    number = 1 if reduction == "sum" else len(entries)
    np.testing.assert_allclose(loss(logits, targets), math.fsum(entries) / number, rtol=1e-9, atol=1e-12)


def test_splc_before_it_is_told_is_in_its_first_epoch() -> None:
    logits, targets = batch(1)
    fresh, first, second = (create_loss("splc", 7) for _ in range(3))
    first.set_epoch(1, 10)
    second.set_epoch(2, 10)
    assert fresh(logits, targets) == first(logits, targets) != second(logits, targets)


def test_gradients_of_the_whole_loss_equal_finite_differences() -> None:
    logits, targets = batch(2)
    for loss in (
        create_loss("asl", 7, stop_grad_weight=False),
        create_loss("splc", 7),
        create_loss("cap", 7, stop_grad_weight=False),
    ):
        assert torch.autograd.gradcheck(lambda x, loss=loss: loss(x, targets), (logits.requires_grad_(),))


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_cap_is_asl_where_every_label_is_known_and_nothing_where_none_is(seed: int) -> None:
    logits, targets = batch(seed)
    of = {"gamma_neg": 4, "gamma_pos": 0}
    known = torch.where(targets.observed == 0, -1, targets.observed)
    cap, asl = create_loss("cap", 7), create_loss("asl", 7, **of)
    assert cap(logits, replace(targets, observed=known)) == asl(logits, replace(targets, observed=known))
    nothing = torch.zeros_like(known)
    value, slope = gradient(cap, logits, Targets(observed=nothing, pseudo=nothing))
    assert value == 0
    assert not slope.any()
    _, slope = gradient(cap, logits.abs(), replace(targets, pseudo=None))
    np.testing.assert_array_equal(slope != 0, targets.observed != 0)


def test_cap_keeps_observed_labels_whatever_is_guessed() -> None:
    logits, targets = batch(3)
    assert targets.pseudo is not None
    elsewhere = torch.where(targets.observed != 0, -targets.observed, targets.pseudo)
    loss = create_loss("cap", 7)
    assert loss(logits, replace(targets, pseudo=elsewhere)) == loss(logits, targets)


def test_the_defaults_are_the_published_ones() -> None:
    shared = {"clip": 0.05, "stop_grad_weight": True, "reduction": "sum"}
    assert constants("asl") == {"gamma_neg": 4, "gamma_pos": 1, **shared}
    assert constants("cap") == {"gamma_neg": 4, "gamma_pos": 0, **shared}
    assert constants("splc") == {"tau": 0.6, "change_epoch": 1, "margin": 1, "gamma": 2, "reduction": "sum"}


@pytest.mark.parametrize(
    ("name", "constant"),
    [
        *[(name, {key: -0.1}) for name in ("asl", "cap") for key in ("gamma_neg", "gamma_pos", "clip")],
        *[(name, {"clip": 1}) for name in ("asl", "cap")],
        *[(name, {"reduction": "none"}) for name in ("asl", "cap", "splc")],
        *[("splc", constant) for constant in ({"tau": 1.1}, {"tau": -0.1}, {"change_epoch": -1}, {"gamma": -1})],
    ],
)
def test_a_constant_out_of_range_is_a_mistake(name: str, constant: dict[str, Any]) -> None:
    with pytest.raises(AevlpError, match=f"^{next(iter(constant))} of loss {name} must be .*, found "):
        create_loss(name, 3, **constant)


def test_a_constant_of_another_kind_is_a_mistake() -> None:
    with pytest.raises(AevlpError, match="stop_grad_weight of loss asl must be true or false, found 1"):
        create_loss("asl", 3, stop_grad_weight=1)
    with pytest.raises(AevlpError, match="reduction of loss splc must be a word, found 1"):
        create_loss("splc", 3, reduction=1)
