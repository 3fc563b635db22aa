"""The large-loss schemes against published values, loops from the written rule, and what the permanent one remembers."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import each

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.losses import Targets, create_loss
from aevlp.pipeline.losses.large_loss import PermanentCorrection, large_loss
from goldens import load

GOLDEN = load("ll")
NAMES = ("ll-r", "ll-ct", "ll-cp")
SEEDS = st.integers(0, 2**32 - 1)


def made(name: str, classes: int, epoch: int, observed: torch.Tensor | None = None, **given_: Any) -> Any:
    loss = create_loss(name, classes, observed=observed, **given_)
    loss.set_epoch(epoch, 10)
    return loss


def batch(seed: int, rows: int = 5, classes: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """Return float64 logits and codes -1, 0, +1, most of them 0."""
    random = np.random.default_rng(seed)
    observed = random.choice([-1, 0, 1], (rows, classes), p=[0.1, 0.7, 0.2]).astype(np.int8)
    return torch.from_numpy(random.normal(0, 3, (rows, classes))), torch.from_numpy(observed)


def gradient(loss: Any, logits: torch.Tensor, targets: Targets) -> tuple[torch.Tensor, torch.Tensor]:
    logits = logits.detach().clone().requires_grad_()
    value = loss(logits, targets)
    return value.detach(), torch.autograd.grad(value, logits)[0]


def test_golden_cases_are_there() -> None:
    kinds = ("LL-R_{}", "LL-Ct_{}", "LL-Cp_{}", "LL-Cp_{}_published")
    assert sorted(GOLDEN) == sorted(kind.format(i) for kind in kinds for i in range(6))


@each(case_name=GOLDEN)
def test_the_published_loss_and_gradient(case_name: str) -> None:
    case = GOLDEN[case_name]
    name, _, published = str(case["name"]).partition("_")
    compat: dict[str, Any] = {"compat": "published"} if published else {}
    logits, observed = torch.from_numpy(case["logits"]), torch.from_numpy(case["observed"])
    epoch = int(case["epoch"])
    loss = made(name, logits.shape[1], epoch, delta_percent=float(case["delta_percent"]), **compat)
    assert loss.clean_rate == case["clean_rate"]
    value, slope = gradient(loss, logits.double(), Targets(observed=observed))
    assert value.dtype == torch.float64
    np.testing.assert_allclose(value, case["loss"], rtol=1e-9)
    np.testing.assert_allclose(slope, case["grad"], rtol=1e-6, atol=1e-9)
    single, single_slope = gradient(loss, logits, Targets(observed=observed))
    np.testing.assert_allclose(single, case["loss"], rtol=1e-5)
    np.testing.assert_allclose(single_slope, case["grad"], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("case_name", [f"LL-Cp_{i}" for i in range(6)])
def test_permanent_correction_remembers_what_the_published_program_has_above_the_threshold(case_name: str) -> None:
    case = GOLDEN[case_name]
    logits, observed = torch.from_numpy(case["logits"]).double(), torch.from_numpy(case["observed"])
    rows = torch.arange(len(logits)).flip(0)
    loss = made(
        "ll-cp", logits.shape[1], int(case["epoch"]), observed.flip(0), delta_percent=float(case["delta_percent"])
    )
    loss(logits, Targets(observed=observed, rows=rows))
    np.testing.assert_array_equal(loss.corrected[rows], case["above_threshold"])


@each(case_name=[name for name in GOLDEN if "_5" not in name and "published" not in name])
def test_the_entries_above_the_threshold_are_the_published_ones(case_name: str) -> None:
    case = GOLDEN[case_name]
    name, delta = str(case["name"]), float(case["delta_percent"])
    share = delta / 100 if name == "ll-cp" else 1 - float(case["clean_rate"])
    logits, observed = torch.from_numpy(case["logits"]).double(), torch.from_numpy(case["observed"])
    _, above = large_loss(logits, observed, share, name != "ll-r")
    np.testing.assert_array_equal(above, case["above_threshold"])


def slow(x: np.ndarray, observed: np.ndarray, share: float, corrects: bool) -> tuple[float, np.ndarray]:
    """Return loss and gradient from the written rule: sort the losses of unknown labels, treat those not below the k-th."""
    rows, classes = x.shape
    unknown = sorted(
        (math.log1p(math.exp(x[i, c])) if observed[i, c] == 0 else 0.0 for i, c in np.ndindex(rows, classes)),
        reverse=True,
    )
    k = min(math.ceil(rows * classes * share), rows * classes)
    total, slope = 0.0, np.zeros(x.shape)
    for i, c in np.ndindex(rows, classes):
        p = 1 / (1 + math.exp(-x[i, c]))
        negative = math.log1p(math.exp(x[i, c]))
        flipped = k > 0 and observed[i, c] == 0 and negative >= unknown[k - 1]
        if observed[i, c] == 1 or (flipped and corrects):
            total, slope[i, c] = total + math.log1p(math.exp(-x[i, c])), p - 1
        elif not flipped:
            total, slope[i, c] = total + negative, p
    return total / x.size, slope / x.size


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(
    seed=SEEDS,
    shape=st.tuples(st.integers(1, 5), st.integers(1, 8)),
    epoch=st.integers(1, 10),
    delta=st.sampled_from([0, 0.1, 0.2, 3, 7, 20, 100]),
    ties=st.booleans(),
)
def test_a_sorted_list_says_the_same(
    name: str, seed: int, shape: tuple[int, int], epoch: int, delta: float, ties: bool
) -> None:
    logits, observed = batch(seed, *shape)
    logits = logits.round() if ties else logits
    rate = 1.0
    for _ in range(epoch - 1):
        rate -= delta / 100
    share = 0 if rate == 1 else (delta / 100 if name == "ll-cp" else 1 - rate)
    value, slope = gradient(made(name, shape[1], epoch, delta_percent=delta), logits, Targets(observed=observed))
    expected, expected_slope = slow(logits.numpy(), observed.numpy(), share, name != "ll-r")
    np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(slope, expected_slope, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_threshold_beyond_all_unknown_labels_leaves_observed_ones_alone(name: str) -> None:
    logits, observed = batch(2)
    _, slope = gradient(made(name, 8, 2, delta_percent=100), logits, Targets(observed=observed))
    assert (slope[observed == 1] < 0).all()
    assert (slope[observed == -1] > 0).all()
    assert (slope[observed == 0] == 0).all() if name == "ll-r" else (slope[observed == 0] < 0).all()


def test_the_rounding_of_the_clean_rate_takes_one_label_more() -> None:
    # 500 x 0.002 = 1, but 1 - 0.998 is a little more than 0.002.
    logits = torch.arange(500.0, dtype=torch.float64).reshape(1, 500) / 100
    targets = Targets(observed=torch.zeros(1, 500))
    for name, number in (("ll-r", 2), ("ll-cp", 1)):
        _, slope = gradient(made(name, 500, 2, delta_percent=0.2), logits, targets)
        assert int((slope <= 0).sum()) == number


def test_permanent_correction_stays_through_epochs_and_batches() -> None:
    observed = torch.zeros(6, 4, dtype=torch.int8)
    observed[:, 0] = 1
    loss = made("ll-cp", 4, 2, observed, delta_percent=20.0)
    high = torch.tensor([[0.0, 3.0, 2.0, -1.0], [0.0, 5.0, -1.0, -2.0]], dtype=torch.float64)  # k = 2 of 8
    rows = torch.tensor([4, 1])
    loss(high, Targets(observed=observed[rows], rows=rows))
    assert loss.corrected.nonzero().tolist() == [[1, 1]]

    loss.set_epoch(1, 10)  # in which nothing new is corrected
    low = torch.full((2, 4), -2.0, dtype=torch.float64)
    _, slope = gradient(loss, low, Targets(observed=observed[rows], rows=rows))
    assert (slope < 0).tolist() == [[True, False, False, False], [True, True, False, False]]
    assert loss.corrected.nonzero().tolist() == [[1, 1]]
    _, slope = gradient(loss, low, Targets(observed=observed[:2] * 0, rows=torch.tensor([0, 2])))
    assert (slope > 0).all()


def test_permanent_correction_never_overrules_an_observed_negative() -> None:
    observed = torch.tensor([[0, -1]])
    loss = made("ll-cp", 2, 2, torch.zeros(1, 2), delta_percent=100.0)
    loss(torch.tensor([[1.0, 9.0]]), Targets(observed=observed * 0, rows=torch.tensor([0])))
    loss.corrected[:] = True
    _, slope = gradient(loss, torch.zeros(1, 2), Targets(observed=observed, rows=torch.tensor([0])))
    assert slope[0, 0] < 0 < slope[0, 1]


def test_what_is_corrected_is_saved_and_loaded() -> None:
    logits, observed = batch(3)
    targets = Targets(observed=observed, rows=torch.arange(5))
    loss, other = made("ll-cp", 8, 4, observed, delta_percent=10.0), made("ll-cp", 8, 4, observed, delta_percent=10.0)
    loss(logits, targets)
    assert loss.corrected.sum() == 3  # k - 1
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other.corrected, loss.corrected)
    assert other(logits, targets) == loss(logits, targets)


@pytest.mark.parametrize("compat", ["paper", "published"])
def test_without_the_codes_of_the_training_set_or_as_published_nothing_is_remembered(compat: str) -> None:
    logits, observed = batch(4)
    table = observed if compat == "published" else None
    loss = made("ll-cp", 8, 5, table, delta_percent=10.0, compat=compat)
    assert loss.state_dict() == {}
    assert loss(logits, Targets(observed=observed)) == loss(logits, Targets(observed=observed))


def test_as_published_permanent_correction_is_temporary_correction() -> None:
    logits, observed = batch(5)
    targets = Targets(observed=observed, rows=torch.arange(5))
    for epoch in range(1, 11):
        published = made("ll-cp", 8, epoch, observed, delta_percent=3.0, compat="published")
        assert published(logits, targets) == made("ll-ct", 8, epoch, delta_percent=3.0)(logits, targets)


def test_permanent_correction_needs_rows_where_it_remembers() -> None:
    logits, observed = batch(6)
    loss = PermanentCorrection(8, observed)
    with pytest.raises(AevlpError, match="ll-cp reads rows"):
        loss(logits, Targets(observed=observed))
    with pytest.raises(AevlpError, match="ll-cp remembers 5 images, so rows must be 0 to 4, found 1 to 5"):
        loss(logits, Targets(observed=observed, rows=torch.arange(1, 6)))


def test_codes_of_the_training_set_with_other_classes_are_a_mistake() -> None:
    for wrong in (torch.zeros(5, 3), torch.zeros(8)):
        with pytest.raises(AevlpError, match=r"^observed of loss ll-cp must be \(images, 8 classes\), found "):
            create_loss("ll-cp", 8, observed=wrong)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("delta", [-0.1, 100.5])
def test_a_delta_out_of_range_is_a_mistake(name: str, delta: float) -> None:
    with pytest.raises(AevlpError, match=f"^delta_percent of loss {name} must be in "):
        create_loss(name, 3, delta_percent=delta)


def test_another_compat_is_a_mistake() -> None:
    with pytest.raises(AevlpError, match=r"^compat of loss ll-cp must be paper or published, found 'exact'"):
        create_loss("ll-cp", 3, compat="exact")
