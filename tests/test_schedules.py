"""Hyperparameter schedules against the published ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.losses.schedules import clean_rate, gpr_schedule
from goldens import load

GOLDEN = load("schedules")
ROBUST = [name for name in GOLDEN if not name.startswith("ll_")]
LARGE_LOSS = [name for name in GOLDEN if name.startswith("ll_")]


@pytest.mark.parametrize("name", ROBUST)
def test_gpr_schedule_equals_the_published_one(name: str) -> None:
    case = GOLDEN[name]
    epochs, linear_init = int(case["num_epochs"]), int(case["linear_init"])
    beta, alpha = case["beta"].tolist(), case["alpha"].tolist()
    ours = [gpr_schedule(epoch, epochs, linear_init, beta, alpha) for epoch in range(1, epochs + 1)]
    np.testing.assert_allclose(ours, case["w_b_mu_sigma"], rtol=1e-12, atol=1e-12)


def test_the_defaults_are_those_of_voc() -> None:
    ours = [gpr_schedule(epoch, 8) for epoch in range(1, 9)]
    np.testing.assert_allclose(ours, GOLDEN["pascal_E8_n0"]["w_b_mu_sigma"], rtol=1e-12)


@settings(deadline=None)
@given(epochs=st.integers(1, 40), share=st.floats(0, 0.999))
def test_w_and_b_lag_while_mu_and_sigma_arrive(epochs: int, share: float) -> None:
    linear_init = int(share * epochs)
    trained = epochs - linear_init
    w, b, mu, sigma = gpr_schedule(epochs, epochs, linear_init, (0, 1, 5, 3), (0, 1, 1, 0))
    assert (w, b) == pytest.approx(((trained - 1) / trained, 5 - 2 * (trained - 1) / trained))
    assert (mu, sigma) == (1, 0)
    first = gpr_schedule(1, epochs, linear_init, (0, 1, 5, 3), (0, 1, 1, 0))
    step = 0 if linear_init else 1 / trained
    assert first == pytest.approx((0, 5, step, 1 - step))


@settings(deadline=None)
@given(epochs=st.integers(2, 20), linear_init=st.integers(1, 19))
def test_nothing_moves_while_the_head_trains_alone(epochs: int, linear_init: int) -> None:
    linear_init = min(linear_init, epochs - 1)
    for epoch in range(1, linear_init + 1):
        assert gpr_schedule(epoch, epochs, linear_init, (1, 2, 3, 4), (5, 6, 7, 8)) == (1, 3, 5, 6)


@pytest.mark.parametrize("linear_init", [-1, 8, 9])
def test_a_linear_phase_that_leaves_no_epoch_is_a_mistake(linear_init: int) -> None:
    with pytest.raises(AevlpError, match=f"linear_init .* found {linear_init}"):
        gpr_schedule(1, 8, linear_init)


@pytest.mark.parametrize("epoch", [-1, 0, 9])
def test_an_epoch_out_of_range_is_a_mistake(epoch: int) -> None:
    with pytest.raises(AevlpError, match=f"from 1 to 8, found {epoch}"):
        gpr_schedule(epoch, 8)


@pytest.mark.parametrize("constants", [{"beta": (0, 1, 2)}, {"alpha": (0, 1, 2, 3, 4)}])
def test_another_number_of_constants_is_a_mistake(constants: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(AevlpError, match="four numbers"):
        gpr_schedule(1, 8, **constants)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", LARGE_LOSS)
def test_clean_rate_equals_the_published_one_to_the_last_bit(name: str) -> None:
    case = GOLDEN[name]
    ours = [clean_rate(epoch, float(case["delta_percent"])) for epoch in range(1, len(case["clean_rate"]) + 1)]
    np.testing.assert_array_equal(ours, case["clean_rate"])


def test_clean_rate_is_subtracted_one_epoch_after_the_other() -> None:
    assert clean_rate(41, 0.3) == np.subtract.reduce([1.0] + [0.003] * 40)
    assert clean_rate(41, 0.3) != 1 - 40 * 0.003


def test_one_step_of_clean_rate_rounds_as_published() -> None:
    assert 1 - clean_rate(2, 0.2) > 0.002  # so that 500 entries give a count of 2, not 1


def test_clean_rate_counts_epochs_from_one() -> None:
    assert clean_rate(1, 0.3) == 1
    with pytest.raises(AevlpError, match="from 1, found 0"):
        clean_rate(0, 0.3)
