"""The losses of Zhou et al. 2022 against published values, gradients and labels, and loops written from their formulas."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.losses import Targets, constants, create_loss, remembers_images
from aevlp.pipeline.losses.entropy_maximization import AsymmetricPseudoLabels, entropy
from goldens import load

GOLDEN = load("em")
EM = [name for name, case in GOLDEN.items() if case["name"] == "em"]
EM_APL = [name for name, case in GOLDEN.items() if case["name"] == "em-apl"]
PASSES = [name for name, case in GOLDEN.items() if case["name"] == "em-apl-policy"]
SEEDS = st.integers(0, 2**32 - 1)
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 6))
PRECISIONS = ((torch.float64, 1e-9, 1e-6, 1e-9), (torch.float32, 1e-5, 1e-3, 1e-6))


def gradient(loss: Any, logits: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
    logits = logits.detach().clone().requires_grad_()
    value = loss(logits, targets)
    value.backward()
    assert logits.grad is not None
    return value.detach(), logits.grad


def test_golden_cases_are_there() -> None:
    assert sorted(EM) == ["em_0", "em_1", "em_2"]
    assert sorted(EM_APL) == ["em_apl_0", "em_apl_1", "em_apl_2"]
    assert sorted(PASSES) == ["apl_policy_0", "apl_policy_1", "apl_policy_2"]


@pytest.mark.parametrize("name", EM)
def test_em_equals_the_published_loss_and_gradient(name: str) -> None:
    case = GOLDEN[name]
    loss = create_loss("em", case["logits"].shape[1], alpha=float(case["alpha"]))
    for dtype, loss_rtol, rtol, atol in PRECISIONS:
        logits, targets = (
            torch.from_numpy(case["logits"]).to(dtype),
            Targets(observed=torch.from_numpy(case["observed"])),
        )
        value, slope = gradient(loss, logits, targets)
        assert value.dtype == dtype
        np.testing.assert_allclose(value, case["loss"], rtol=loss_rtol)
        np.testing.assert_allclose(slope, case["grad"], rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", EM_APL)
def test_em_apl_equals_the_published_loss_and_gradient_wherever_its_labels_stand(name: str) -> None:
    case = GOLDEN[name]
    labels, given = torch.from_numpy(case["labels"]), {key: float(case[key]) for key in ("alpha", "beta")}
    observed = (labels > 0).to(torch.int8)
    loss = create_loss("em-apl", labels.shape[1], **given)
    remembering: Any = create_loss("em-apl", labels.shape[1], torch.zeros(20, labels.shape[1]), **given)
    rows = torch.arange(len(labels)).flip(0) + 7
    remembering.labels[rows] = labels
    for dtype, loss_rtol, rtol, atol in PRECISIONS:
        logits = torch.from_numpy(case["logits"]).to(dtype)
        for made, targets in (
            (loss, Targets(observed=labels)),
            (remembering, Targets(observed=observed, rows=rows)),
        ):
            value, slope = gradient(made, logits, targets)
            assert value.dtype == dtype
            np.testing.assert_allclose(value, case["loss"], rtol=loss_rtol)
            np.testing.assert_allclose(slope, case["grad"], rtol=rtol, atol=atol)


def nl5(p: float) -> float:
    return -math.log(p + 1e-5)


def slow(x: np.ndarray, labels: np.ndarray, alpha: float, beta: float) -> float:
    """Return EM-APL from its formula; -1 is an observed negative, which neither paper nor program knows."""
    total = 0.0
    for at in np.ndindex(*x.shape):
        p, t = 1 / (1 + math.exp(-x[at])), labels[at]
        if t == 1:
            total += nl5(p)
        elif t == 0:
            total -= alpha * (p * nl5(p) + (1 - p) * nl5(1 - p))
        elif t > -1:
            total += beta * (-t * nl5(p) + (1 + t) * nl5(1 - p))
    return float(total) / x.size


def differences(x: np.ndarray, *rest: Any) -> np.ndarray:
    """Return the gradient of `slow` by central differences."""
    slope = np.zeros(x.shape)
    for at in np.ndindex(*x.shape):
        step = np.zeros(x.shape)
        step[at] = 1e-5
        slope[at] = (slow(x + step, *rest) - slow(x - step, *rest)) / 2e-5
    return slope


@settings(max_examples=12, deadline=None)
@given(seed=SEEDS, shape=SHAPES, alpha=st.floats(0, 2), beta=st.floats(0, 2))
def test_equal_loops_and_finite_differences(seed: int, shape: tuple[int, int], alpha: float, beta: float) -> None:
    random = np.random.default_rng(seed)
    x, codes = random.normal(0, 3, shape), random.integers(-1, 2, shape)
    labels = np.where(random.random(shape) < 0.4, -random.random(shape), codes)
    for name, weights, known in (
        ("em", {"alpha": alpha}, codes.astype(np.int8)),
        ("em-apl", {"alpha": alpha, "beta": beta}, labels),
        ("em-apl", {"alpha": alpha, "beta": beta}, codes.astype(np.int8)),
    ):
        loss = create_loss(name, shape[1], **weights)
        value, slope = gradient(loss, torch.from_numpy(x), Targets(observed=torch.from_numpy(known)))
        np.testing.assert_allclose(value, slow(x, known, alpha, beta), rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(slope, differences(x, known, alpha, beta), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("size", [1000.0, 3e4])
def test_huge_logits_give_the_value_of_double_precision_and_a_finite_gradient(size: float) -> None:
    x, labels = torch.cartesian_prod(torch.tensor([size, -size]), torch.tensor([-1.0, -0.75, 0.0, 1.0])).T[:, None]
    for name in ("em", "em-apl"):
        loss = create_loss(name, 8)
        value, slope = gradient(loss, x, Targets(observed=labels))
        assert torch.isfinite(slope).all()
        assert value.item() == pytest.approx(loss(x.double(), Targets(observed=labels)).item(), rel=1e-6)
        assert 0 < value < 3


def test_entropy_is_greatest_at_even_odds_and_about_0_at_certainty() -> None:
    found = entropy(torch.tensor([[0.0, 3.0, -3.0, 1000.0, -1000.0]], dtype=torch.float64))[0]
    np.testing.assert_allclose(found[0], math.log(2), atol=3e-5)
    np.testing.assert_allclose(found[3:], 0, atol=2e-5)
    assert found[0] > found[1] == found[2] > found[3]


def test_the_defaults_are_those_of_the_paper_for_voc() -> None:
    assert constants("em") == {"alpha": 0.2}
    assert constants("em-apl") == {
        "alpha": 0.2, "beta": 0.02, "warmup_epoch": 5, "neg_proportion": 0.9, "compat": "paper",
    }  # fmt: skip
    assert remembers_images("em-apl")
    assert not remembers_images("em")


def train(loss: AsymmetricPseudoLabels, batches: int) -> None:
    """Call a loss for each batch of an epoch."""
    assert loss.labels is not None
    for rows in torch.arange(len(loss.labels)).chunk(batches):
        logits = torch.zeros(len(rows), loss.num_classes)
        loss(logits, Targets(observed=torch.zeros_like(logits), rows=rows))


@pytest.mark.parametrize("compat", ["paper", "published"])
@pytest.mark.parametrize("name", PASSES)
def test_labels_equal_the_published_ones_after_each_pass(name: str, compat: str) -> None:
    case = GOLDEN[name]
    start, warmup = torch.from_numpy(case["start"]), int(case["warmup_epoch"])
    loss = AsymmetricPseudoLabels(
        start.shape[1], start, warmup_epoch=warmup, neg_proportion=float(case["neg_proportion"]), compat=compat
    )
    assert loss.labels is not None
    for i, (logits, after) in enumerate(zip(case["logits"], case["after"], strict=True)):
        loss.set_epoch(warmup + i, int(case["num_epochs"]))
        batches = int(case["batches_per_epoch"])
        train(loss, batches)
        loss.after_epoch(torch.from_numpy(logits))
        if compat == "published" or batches > 1:
            np.testing.assert_array_equal(loss.labels < 0, after < 0)
            np.testing.assert_allclose(loss.labels, after, rtol=1e-6)
        else:  # the program's case of a single batch, where it labels nothing
            each = np.trunc(0.5 * (case["start"] == 0).sum(axis=0) / 3)
            np.testing.assert_array_equal((loss.labels < 0).sum(dim=0), (i + 1) * each)


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, shape=st.tuples(st.integers(1, 12), st.integers(1, 3)), proportion=st.floats(0, 1))
def test_labels_equal_a_loop_over_epochs(seed: int, shape: tuple[int, int], proportion: float) -> None:
    random = np.random.default_rng(seed)
    observed = random.choice(np.array([-1, 0, 1], np.int8), shape, p=[0.1, 0.7, 0.2])
    expected = observed.astype(np.float64)
    loss = AsymmetricPseudoLabels(shape[1], torch.from_numpy(observed), warmup_epoch=2, neg_proportion=proportion)
    for epoch in range(1, 6):
        loss.set_epoch(epoch, 5)
        assert loss.wants_predictions == (epoch >= 2)
        if not loss.wants_predictions:
            continue
        logits = random.normal(0, 3, shape)
        loss.after_epoch(torch.from_numpy(logits))
        for c in range(shape[1]):
            count = math.trunc(proportion * int((observed[:, c] == 0).sum()) / 3)
            order = np.argsort(logits[:, c], kind="stable")
            for n in [n for n in order if expected[n, c] == 0][:count]:
                expected[n, c] = -1 / (1 + math.exp(-logits[n, c]))
    assert loss.labels is not None
    np.testing.assert_allclose(loss.labels, expected, rtol=1e-5)
    assert np.all(loss.labels.numpy()[observed == -1] == -1)

    rows = torch.from_numpy(random.permutation(shape[0]))
    x = random.normal(0, 3, shape)
    value = loss(torch.from_numpy(x), Targets(observed=torch.from_numpy(observed)[rows], rows=rows))
    np.testing.assert_allclose(value, slow(x, expected[rows.numpy()], 0.2, 0.02), rtol=1e-6, atol=1e-9)


def test_labels_are_a_copy_in_single_precision_and_no_parameter() -> None:
    observed = torch.tensor([[1.0, 0.0], [0.0, -1.0], [0.0, 0.0]])
    loss = AsymmetricPseudoLabels(2, observed, warmup_epoch=1, neg_proportion=1.0)
    loss.set_epoch(1, 2)
    loss.after_epoch(torch.zeros(3, 2, dtype=torch.bfloat16))
    torch.testing.assert_close(observed, torch.tensor([[1.0, 0.0], [0.0, -1.0], [0.0, 0.0]]))
    torch.testing.assert_close(loss.labels, torch.tensor([[1, -0.5], [-0.5, -1], [-0.5, -0.5]]))
    torch.testing.assert_close(loss.unknown_at_start, torch.tensor([2, 2]))
    assert list(loss.parameters()) == []


@pytest.mark.parametrize("compat", ["paper", "published"])
def test_a_loss_resumed_within_an_epoch_labels_as_one_that_never_stopped(compat: str) -> None:
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 20, 3)))
    observed = (logits[0] > 1).to(torch.int8)

    def fresh() -> AsymmetricPseudoLabels:
        return AsymmetricPseudoLabels(3, observed, warmup_epoch=2, compat=compat)

    whole, resumed = fresh(), fresh()
    whole.set_epoch(2, 10)
    train(whole, 2)
    whole.after_epoch(logits[1])
    whole.set_epoch(3, 10)
    train(whole, 1)
    resumed.set_epoch(3, 10)
    resumed.load_state_dict(whole.state_dict())
    train(whole, 1)
    train(resumed, 1)
    for loss in (whole, resumed):
        loss.after_epoch(logits[2])
    assert whole.labels is not None and resumed.labels is not None
    torch.testing.assert_close(resumed.labels, whole.labels, rtol=0, atol=0)
    assert (whole.labels < 0).sum() == 2 * sum(math.trunc(0.9 * n / 8) for n in (observed == 0).sum(dim=0).tolist())
    assert (whole.labels < 0).any()


def test_without_the_codes_of_the_training_set_nothing_is_labelled() -> None:
    loss: Any = create_loss("em-apl", 3)
    loss.set_epoch(9, 10)
    assert not loss.wants_predictions
    with pytest.raises(AevlpError, match="loss em-apl has no labels: make it with observed="):
        loss.after_epoch(torch.zeros(4, 3))


@pytest.mark.parametrize(
    ("constant", "expected"),
    [
        ({"alpha": -1}, "alpha of loss em-apl must be at least 0, found -1"),
        ({"beta": -0.1}, "beta of loss em-apl must be at least 0, found -0.1"),
        ({"warmup_epoch": 0}, "warmup_epoch of loss em-apl must be at least 1, found 0"),
        ({"neg_proportion": 1.1}, r"neg_proportion of loss em-apl must be in \[0, 1\], found 1.1"),
        ({"compat": "code"}, "compat of loss em-apl must be paper or published, found 'code'"),
    ],
)
def test_a_constant_out_of_range_is_a_mistake(constant: dict[str, Any], expected: str) -> None:
    with pytest.raises(AevlpError, match=f"^{expected}$"):
        create_loss("em-apl", 3, **constant)


def test_a_negative_alpha_of_em_is_a_mistake() -> None:
    with pytest.raises(AevlpError, match=r"^alpha of loss em must be at least 0, found -1$"):
        create_loss("em", 3, alpha=-1)


@pytest.mark.parametrize("epochs", [1, 4, 5])
def test_training_within_the_warmup_is_a_mistake(epochs: int) -> None:
    loss: Any = create_loss("em-apl", 3)
    with pytest.raises(AevlpError, match=f"em-apl .*more epochs than warmup_epoch, found {epochs} and 5: raise epochs"):
        loss.set_epoch(1, epochs)


def test_other_shapes_and_odd_predictions_are_mistakes_and_change_nothing() -> None:
    loss: Any = create_loss("em-apl", 3, torch.zeros(4, 3))
    with pytest.raises(AevlpError, match=r"labels' shape \(4, 3\), found \(5, 3\)"):
        loss.after_epoch(torch.zeros(5, 3))
    with pytest.raises(AevlpError, match="12 of 12 logits are no numbers"):
        loss.after_epoch(torch.full((4, 3), math.nan))
    assert not loss.labels.any()
    with pytest.raises(AevlpError, match=r"observed of loss em-apl must be \(images, 3 classes\), found \(4, 2\)"):
        create_loss("em-apl", 3, torch.zeros(4, 2))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (None, "loss em-apl reads rows, and these targets have none"),
        (torch.tensor([0]), "loss em-apl needs one row for each of 2 images"),
        (torch.tensor([3, 4]), "loss em-apl remembers 4 images, so rows must be 0 to 3, found 3 to 4"),
    ],
)
def test_rows_that_are_not_in_the_labels_are_a_mistake(rows: Tensor | None, expected: str) -> None:
    loss = create_loss("em-apl", 3, torch.zeros(4, 3))
    with pytest.raises(AevlpError, match=expected):
        loss(torch.zeros(2, 3), Targets(observed=torch.zeros(2, 3), rows=rows))
