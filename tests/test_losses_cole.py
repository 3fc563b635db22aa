"""The losses of Cole et al. 2021 against published values and gradients, and loops written from their formulas."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import each
from torch import Tensor, nn

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.losses import Targets, constants, create_loss, remembers_images
from aevlp.pipeline.losses.role import OnlineEstimation, initial_estimates
from goldens import load

GOLDEN = load("cole")
CASES = [name for name in GOLDEN if name != "role_init"]
SEEDS = st.integers(0, 2**32 - 1)
SHAPES = st.tuples(st.integers(1, 4), st.integers(2, 6))
NAMES = ["bce", "bce-ls", "an", "an-ls", "wan", "pr", "epr", "iu", "iun", "role"]


def gradient(loss: Any, logits: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
    logits = logits.detach().clone().requires_grad_()
    value = loss(logits, targets)
    value.backward()
    assert logits.grad is not None
    return value.detach(), logits.grad


def batch(seed: int, rows: int = 4, classes: int = 6) -> tuple[Tensor, Targets]:
    """Return float64 logits, observed codes of all three kinds that agree with a full truth, and rows of a larger table."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 2, (rows, classes))
    observed = np.where(random.random((rows, classes)) < 0.5, 2 * truth - 1, 0)
    targets = Targets(
        observed=torch.from_numpy(observed.astype(np.int8)),
        truth=torch.from_numpy(truth.astype(np.int8)),
        rows=torch.from_numpy(random.permutation(rows + 3)[:rows]),
    )
    return torch.from_numpy(random.normal(0, 3, (rows, classes))), targets


def of_case(name: str, dtype: torch.dtype) -> tuple[Any, Tensor, Targets]:
    case = GOLDEN[name]
    loss_name = str(case["name"])
    given: dict[str, Any] = {"compat": "published"} if loss_name == "iun-cole" else {}
    if "ls_coef" in case:
        given["ls_coef"] = float(case["ls_coef"])
    if "expected_num_pos" in case:
        given["expected_positives"] = float(case["expected_num_pos"])
    logits = torch.from_numpy(case["logits"]).to(dtype)
    loss: Any = create_loss(loss_name.removesuffix("-cole"), logits.shape[1], **given)
    observed = torch.from_numpy(case["observed"])
    truth = torch.from_numpy(case["true"]) if "true" in case else None
    if loss_name.startswith("bce"):
        truth = observed
    if loss_name == "role":
        loss.table = nn.Parameter(torch.from_numpy(case["est_logits"]).to(dtype))
    return loss, logits, Targets(observed=observed, truth=truth, rows=torch.arange(len(logits)))


def test_golden_cases_are_there() -> None:
    families = ["bce", "bce_ls", "an", "an_ls", "wan", "epr", "pr", "iu", "role", "iun", "iun_cole01"]
    assert sorted(CASES) == sorted(f"{family}_{i}" for family in families for i in range(3))


@each(name=CASES)
def test_equals_the_published_loss_and_gradient(name: str) -> None:
    case = GOLDEN[name]
    for dtype, loss_rtol, rtol, atol in ((torch.float64, 1e-9, 1e-6, 1e-9), (torch.float32, 1e-5, 1e-3, 1e-6)):
        loss, logits, targets = of_case(name, dtype)
        value, slope = gradient(loss, logits, targets)
        assert value.dtype == dtype
        np.testing.assert_allclose(value, case["loss"], rtol=loss_rtol)
        np.testing.assert_allclose(slope, case["grad"], rtol=rtol, atol=atol)
        if "grad_est" in case:
            np.testing.assert_allclose(loss.table.grad, case["grad_est"], rtol=rtol, atol=atol)


def test_defaults_are_those_of_the_paper_for_voc() -> None:
    assert {name: constants(name) for name in NAMES} == {
        "bce": {}, "bce-ls": {"ls_coef": 0.1}, "an": {}, "an-ls": {"ls_coef": 0.1}, "wan": {}, "pr": {},
        "epr": {"expected_positives": 1.5}, "iu": {}, "iun": {"compat": "paper"}, "role": {"expected_positives": 1.5},
    }  # fmt: skip
    assert [name for name in NAMES if remembers_images(name)] == ["role"]


def sigmoid(x: Any) -> float:
    return 1 / (1 + math.exp(-x))


def nl5(p: float) -> float:
    return -math.log(p + 1e-5)


def entries(pick: Callable[[float, int, int], float]) -> Callable[..., float]:
    """Return the mean over entries of `pick`(p, observed, true label)."""

    def slow(x: np.ndarray, observed: np.ndarray, truth: np.ndarray) -> float:
        picked = [pick(sigmoid(x[at]), int(observed[at]), int(truth[at])) for at in np.ndindex(*x.shape)]
        return math.fsum(picked) / x.size

    return slow


def penalty(x: np.ndarray, expected: float) -> float:
    return (sum(sigmoid(value) for value in x.ravel()) / len(x) - expected) ** 2 / x.shape[1] ** 2


def slow_wan(x: np.ndarray, observed: np.ndarray, truth: np.ndarray) -> float:
    weight = 1 / (x.shape[1] - 1)
    return entries(lambda p, o, y: nl5(p) if o == 1 else weight * nl5(1 - p) if o == 0 else 0)(x, observed, truth)


def slow_epr(x: np.ndarray, observed: np.ndarray, truth: np.ndarray) -> float:
    return entries(lambda p, o, y: nl5(p) if o == 1 else 0)(x, observed, truth) + penalty(x, 1.5)


def slow_pr(x: np.ndarray, observed: np.ndarray, truth: np.ndarray) -> float:
    total = 0.0
    for n, i in zip(*np.nonzero(observed == 1), strict=True):
        for j in np.flatnonzero(observed[n] == 0):
            total += max(0, 1 - sigmoid(x[n, i]) + sigmoid(x[n, j]))
    return total / x.size


SLOW: dict[str, Callable[..., float]] = {
    "bce": entries(lambda p, o, y: nl5(p) if y else nl5(1 - p)),
    "bce-ls": entries(lambda p, o, y: 0.9 * nl5(p) + 0.1 * nl5(1 - p) if y else 0.9 * nl5(1 - p) + 0.1 * nl5(p)),
    "an": entries(lambda p, o, y: (nl5(1 - p), nl5(p), 0)[o]),
    "an-ls": entries(lambda p, o, y: (0.9 * nl5(1 - p) + 0.1 * nl5(p), 0.9 * nl5(p) + 0.1 * nl5(1 - p), 0)[o]),
    "wan": slow_wan,
    "epr": slow_epr,
    "pr": slow_pr,
    "iu": entries(lambda p, o, y: (0, nl5(p), nl5(1 - p))[o]),
    "iun": entries(lambda p, o, y: nl5(p) if o == 1 else nl5(1 - p) if y == 0 else 0),
}


def differences(slow: Callable[[np.ndarray], float], x: np.ndarray) -> np.ndarray:
    """Return the gradient of a function of an array by central differences."""
    slope = np.zeros(x.shape)
    for at in np.ndindex(*x.shape):
        step = np.zeros(x.shape)
        step[at] = 1e-5
        slope[at] = (slow(x + step) - slow(x - step)) / 2e-5
    return slope


@each(name=SLOW)
@settings(max_examples=8, deadline=None)
@given(seed=SEEDS, shape=SHAPES)
def test_equals_loops_and_finite_differences(name: str, seed: int, shape: tuple[int, int]) -> None:
    logits, targets = batch(seed, *shape)
    assert targets.truth is not None
    known = (targets.observed.numpy(), targets.truth.numpy())
    value, slope = gradient(create_loss(name, shape[1]), logits, targets)
    np.testing.assert_allclose(value, SLOW[name](logits.numpy(), *known), rtol=1e-9, atol=1e-15)
    expected = differences(lambda x: SLOW[name](x, *known), logits.numpy())
    np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-8)


def slow_role(x: np.ndarray, u: np.ndarray, observed: np.ndarray, stopped: tuple[np.ndarray, np.ndarray]) -> float:
    """Return ROLE from its formula; `stopped` are the logits that only weigh, and so have no gradient."""
    total = 0.0
    for at in np.ndindex(*x.shape):
        p, q = sigmoid(x[at]), sigmoid(u[at])
        stopped_p, stopped_q = (sigmoid(values[at]) for values in stopped)
        if observed[at] == 1:
            total += (nl5(p) + nl5(q)) / 2
        total += (stopped_q * nl5(p) + (1 - stopped_q) * nl5(1 - p)) / 2
        total += (stopped_p * nl5(q) + (1 - stopped_p) * nl5(1 - q)) / 2
    return total / x.size + (penalty(x, 2.5) + penalty(u, 2.5)) / 2


@settings(max_examples=8, deadline=None)
@given(seed=SEEDS, shape=SHAPES)
def test_role_equals_loops_and_trains_the_rows_of_the_batch_alone(seed: int, shape: tuple[int, int]) -> None:
    logits, targets = batch(seed, *shape)
    assert targets.rows is not None
    loss: Any = OnlineEstimation(shape[1], expected_positives=2.5)
    loss.table = nn.Parameter(torch.from_numpy(np.random.default_rng(seed).normal(0, 3, (shape[0] + 3, shape[1]))))
    value, slope = gradient(loss, logits, targets)
    x, u, observed = logits.numpy(), loss.table.detach()[targets.rows].numpy(), targets.observed.numpy()
    np.testing.assert_allclose(value, slow_role(x, u, observed, (x, u)), rtol=1e-9)
    expected = differences(lambda moved: slow_role(moved, u, observed, (x, u)), x)
    np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-8)
    in_table = np.zeros(loss.table.shape)
    in_table[targets.rows] = differences(lambda moved: slow_role(x, moved, observed, (x, u)), u)
    assert loss.table.grad is not None
    np.testing.assert_allclose(loss.table.grad, in_table, rtol=1e-4, atol=1e-8)


@each(name=NAMES, size=[1000.0, 3e4])
def test_huge_logits_give_the_value_of_double_precision_and_a_finite_gradient(name: str, size: float) -> None:
    signs, codes = torch.tensor([1.0, -1.0]), torch.tensor([-1.0, 0.0, 1.0])
    x, u, observed = (t.reshape(3, 4) for t in torch.cartesian_prod(signs, signs, codes).T)
    targets = Targets(observed=observed, truth=(observed > 0).float(), rows=torch.arange(3))
    given = {"observed": observed} if name == "role" else {}
    values = []
    for dtype in (torch.float32, torch.float64):
        loss: Any = create_loss(name, 4, **given)
        if name == "role":
            loss.table = nn.Parameter((size * u).to(dtype))
        value, slope = gradient(loss, (size * x).to(dtype), targets)
        assert torch.isfinite(slope).all()
        if name == "role":
            assert all(torch.isfinite(learned.grad).all() for learned in loss.parameters())
        values.append(float(value))
    assert values[0] == pytest.approx(values[1], rel=1e-6)
    assert 0 < values[1] < 100


def test_pr_is_0_where_every_positive_is_certain_and_every_unknown_excluded() -> None:
    observed = torch.tensor([[1, 0, -1, 0], [0, 0, 1, 1]])
    logits = torch.where(observed == 1, 1000.0, -1000.0)
    assert create_loss("pr", 4)(logits, Targets(observed=observed)) == 0
    assert create_loss("pr", 4)(-logits, Targets(observed=observed)) == pytest.approx(2 * (2 + 4) / 8)


def test_a_batch_without_negatives_has_no_loss_of_negatives_in_iu() -> None:
    logits, targets = batch(1)
    for kept in (1, -1):
        _, slope = gradient(
            create_loss("iu", 6), logits, Targets(observed=targets.observed.where(targets.observed == kept, 0))
        )
        np.testing.assert_array_equal((slope != 0).numpy(), (targets.observed == kept).numpy())


def test_label_smoothing_of_0_is_none_and_of_1_is_the_opposite() -> None:
    logits, targets = batch(2)
    assert targets.truth is not None
    for plain, smoothed in (("bce", "bce-ls"), ("an", "an-ls")):
        assert create_loss(smoothed, 6, ls_coef=0)(logits, targets) == create_loss(plain, 6)(logits, targets)
    turned = Targets(observed=targets.observed, truth=1 - targets.truth)
    torch.testing.assert_close(
        create_loss("bce-ls", 6, ls_coef=1)(logits, targets), create_loss("bce", 6)(logits, turned)
    )


def test_full_labels_may_stand_among_the_observed() -> None:
    logits, targets = batch(3)
    assert targets.truth is not None
    alone = create_loss("bce-ls", 6)(logits, Targets(observed=targets.truth))
    assert alone == create_loss("bce-ls", 6)(logits, targets)
    assert alone != create_loss("bce-ls", 6)(logits, Targets(observed=targets.observed))


def test_iun_without_truth_is_a_mistake() -> None:
    logits, targets = batch(4)
    with pytest.raises(AevlpError, match="loss iun reads truth, and these targets have none"):
        create_loss("iun", 6)(logits, Targets(observed=targets.observed))


@pytest.mark.parametrize(
    ("name", "constant", "range_"),
    [
        ("bce-ls", {"ls_coef": 1.1}, r"in \[0, 1\], found 1.1"),
        ("an-ls", {"ls_coef": -0.1}, r"in \[0, 1\], found -0.1"),
        ("epr", {"expected_positives": -1}, "at least 0, found -1"),
        ("role", {"expected_positives": -2}, "at least 0, found -2"),
        ("iun", {"compat": "cole"}, "paper or published, found 'cole'"),
    ],
)
def test_a_constant_out_of_range_is_a_mistake(name: str, constant: dict[str, Any], range_: str) -> None:
    with pytest.raises(AevlpError, match=f"^{next(iter(constant))} of loss {name} must be {range_}$"):
        create_loss(name, 6, **constant)


def test_wan_of_one_class_is_a_mistake() -> None:
    with pytest.raises(AevlpError, match=r"loss wan .* at least 2, found 1"):
        create_loss("wan", 1)


def test_the_initial_estimates_equal_the_published_ones() -> None:
    case = GOLDEN["role_init"]
    table = initial_estimates(torch.from_numpy(case["observed"]), torch.from_numpy(case["uniform"]))
    assert table.dtype == torch.float32
    np.testing.assert_allclose(table, case["logits0"], rtol=1e-6, atol=1e-7)


def test_role_makes_its_table_with_the_draws_of_the_global_generator_in_row_order() -> None:
    observed = torch.from_numpy(GOLDEN["role_init"]["observed"])
    torch.manual_seed(5)
    loss: Any = create_loss("role", observed.shape[1], observed)
    torch.manual_seed(5)
    rows = torch.stack([torch.rand(observed.shape[1]) for _ in observed])
    torch.testing.assert_close(loss.table.detach(), initial_estimates(observed, rows), rtol=0, atol=0)
    assert loss.table.dtype == torch.float32
    assert [name for name, _ in loss.named_parameters()] == ["table"]
    assert loss.lr_factor == 10


def test_the_estimates_of_role_come_through_a_state_dict() -> None:
    logits, targets = batch(6)
    observed = torch.zeros(7, 6, dtype=torch.int8)
    first, second = OnlineEstimation(6, observed), OnlineEstimation(6, observed)
    optimizer = torch.optim.Adam(first.parameters(), lr=0.1)
    before = first(logits, targets)
    before.backward()
    optimizer.step()
    assert first(logits, targets) < before
    assert first(logits, targets) != second(logits, targets)
    second.load_state_dict(first.state_dict())
    assert first(logits, targets) == second(logits, targets)


def test_role_starts_from_earlier_estimates() -> None:
    estimates = torch.tensor([[0.0, 0.25, 0.5], [0.75, 1.0, 0.999]], dtype=torch.float64)
    ends = math.log(1e-5 / (1 - 1e-5))
    expected = torch.tensor([[ends, -math.log(3), 0], [math.log(3), -ends, math.log(999)]])
    fresh, made = OnlineEstimation(3), OnlineEstimation(3, torch.zeros(2, 3))
    parameter = made.table
    for loss in (fresh, made):
        loss.load_estimates(estimates)
        assert loss.table is not None
        torch.testing.assert_close(loss.table.detach(), expected)
    assert made.table is parameter  # which an optimiser may hold already


@pytest.mark.parametrize(
    ("estimates", "expected"),
    [
        (torch.zeros(2, 4), r"must be \(images, 3 classes\), found \(2, 4\)"),
        (torch.zeros(3), r"must be \(images, 3 classes\), found \(3,\)"),
        (torch.zeros(3, 3), r"table's shape \(2, 3\), found \(3, 3\)"),
        (torch.full((2, 3), 1.5), r"in \[0, 1\]"),
        (torch.full((2, 3), -0.5), r"in \[0, 1\]"),
        (torch.full((2, 3), math.nan), r"in \[0, 1\]"),
    ],
)
def test_odd_estimates_are_a_mistake_and_change_nothing(estimates: Tensor, expected: str) -> None:
    loss = OnlineEstimation(3, torch.zeros(2, 3))
    assert loss.table is not None
    before = loss.table.detach().clone()
    with pytest.raises(AevlpError, match=f"estimates of loss role .*{expected}"):
        loss.load_estimates(estimates)
    torch.testing.assert_close(loss.table.detach(), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (None, "loss role reads rows, and these targets have none"),
        (torch.tensor([0, 1]), r"one row for each of 4 images, found rows of shape \(2,\)"),
        (torch.tensor([[0], [1], [2], [3]]), r"one row for each of 4 images, found rows of shape \(4, 1\)"),
        (torch.tensor([0, 1, 2, 7]), "remembers 7 images, so rows must be 0 to 6, found 0 to 7"),
        (torch.tensor([0, 1, -1, 2]), "remembers 7 images, so rows must be 0 to 6, found -1 to 2"),
    ],
)
def test_rows_that_are_not_in_the_table_are_a_mistake(rows: Tensor | None, expected: str) -> None:
    logits, targets = batch(7)
    loss = OnlineEstimation(6, torch.zeros(7, 6))
    with pytest.raises(AevlpError, match=expected):
        loss(logits, Targets(observed=targets.observed, rows=rows))


def test_role_without_a_table_is_a_mistake() -> None:
    logits, targets = batch(8)
    with pytest.raises(AevlpError, match=r"no estimates: make it with observed=.*load_estimates"):
        create_loss("role", 6)(logits, targets)
    with pytest.raises(AevlpError, match=r"observed of loss role must be \(images, 6 classes\), found \(7, 5\)"):
        create_loss("role", 6, torch.zeros(7, 5))
