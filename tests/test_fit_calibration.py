"""Calibration against scikit-learn's isotonic regression and a slow search for temperatures, and its laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import log_loss

from aevlp.pipeline.evaluation.decision import Calibration
from aevlp.pipeline.evaluation.fit_calibration import (
    KNOTS,
    PRIOR,
    _curve,
    _temperatures,
    cross_entropy,
    fit_calibration,
)


def drawn(n: int, temperature: float, frequency: float = 0.3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return logits (n, 2) that are `temperature` times too large for their labels (n, 2) bool."""
    random = np.random.default_rng(seed)
    honest = random.normal(np.log(frequency / (1 - frequency)), 2, size=(n, 2))
    return temperature * honest, random.random((n, 2)) < 1 / (1 + np.exp(-honest))


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_a_temperature_is_found_again(temperature: float) -> None:
    logits, positive = drawn(20_000, temperature)
    assert _temperatures(logits, positive) == pytest.approx([temperature] * 2, rel=0.05)


def test_few_images_leave_a_temperature_near_the_common_one() -> None:
    many, few = drawn(2000, 1.0), drawn(2000, 4.0, seed=1)
    logits = np.column_stack([many[0][:, 0], few[0][:, 0]])
    positive = np.column_stack([many[1][:, 0], few[1][:, 0]])
    rare = positive.copy()
    rare[np.flatnonzero(rare[:, 1])[2:], 1] = False  # two positives are left
    absent = rare & [True, False]
    grid = np.exp(np.linspace(np.log(0.05), np.log(20), 4001))

    def cost(columns: slice, labels: np.ndarray) -> np.ndarray:
        signed = np.where(labels, logits, -logits)[:, columns]
        return np.array([np.logaddexp(0, -signed / t).sum() for t in grid])

    common = grid[np.argmin(cost(slice(None), rare))]
    expected = grid[np.argmin(cost(slice(1, 2), rare) + PRIOR * np.log(grid / common) ** 2)]
    assert _temperatures(logits, rare)[1] == pytest.approx(expected, rel=0.01)
    assert _temperatures(logits, absent)[1] == pytest.approx(grid[np.argmin(cost(slice(None), absent))], rel=0.01)


def test_knots_are_the_blocks_of_isotonic_regression() -> None:
    logits, positive = drawn(400, 2.0)
    at, rates = _curve(logits[:, 0], positive[:, 0])
    assert len(at) <= KNOTS
    fitted = IsotonicRegression(out_of_bounds="clip").fit_transform(logits[:, 0], positive[:, 0])
    order = np.argsort(logits[:, 0])
    blocks = np.split(order, np.flatnonzero(np.diff(fitted[order]) > 1e-12) + 1)
    groups = [list(block) for block in blocks]

    def rate(group: list[int]) -> float:
        return (positive[group, 0].sum() + 0.5) / (len(group) + 1)

    while falling := [n for n in range(len(groups) - 1) if rate(groups[n]) >= rate(groups[n + 1])]:
        groups[falling[0]] += groups.pop(falling[0] + 1)
    assert at == pytest.approx([logits[group, 0].mean() for group in groups])
    assert rates == pytest.approx([rate(group) for group in groups])
    assert len(groups) > 5


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, 60, elements=st.integers(-8, 8).map(float)), arrays(np.bool_, 60))
def test_a_curve_rises_and_is_never_certain(logits: np.ndarray, positive: np.ndarray) -> None:
    at, rates = _curve(logits, positive)
    assert (np.diff(at) > 0).all() and (np.diff(rates) > 0).all() and len(at) <= KNOTS
    assert ((rates > 0) & (rates < 1)).all()


def test_many_blocks_become_as_many_as_a_graph_has_room_for() -> None:
    logits = np.linspace(-9, 9, 40_000)
    positive = np.random.default_rng(3).random(40_000) < 1 / (1 + np.exp(-logits))
    at, rates = _curve(logits, positive)
    assert len(at) == KNOTS
    assert np.interp(logits, at, rates) == pytest.approx(1 / (1 + np.exp(-logits)), abs=0.08)


@pytest.mark.parametrize("temperature", [0.3, 5.0])
def test_calibration_lowers_the_loss_on_new_images_and_keeps_the_order(temperature: float) -> None:
    logits, positive = drawn(1500, temperature)
    fresh, truth = drawn(1500, temperature, seed=9)
    found = fit_calibration(logits, positive)
    plain = Calibration(np.ones(2))
    for c in range(2):
        before, after = (log_loss(truth[:, c], of.probabilities(fresh)[:, c]) for of in (plain, found))
        assert after < before
        order = np.argsort(fresh[:, c])
        assert (np.diff(found.probabilities(fresh)[order, c]) >= 0).all()


def test_honest_logits_and_few_images_stay_as_they_are() -> None:
    logits, positive = drawn(4, 5.0)
    assert fit_calibration(logits, positive).temperature.tolist() == [1, 1]
    random = np.random.default_rng(0)
    noise = random.normal(size=(40, 3)), random.random((40, 3)) < 0.5
    found = fit_calibration(*noise)
    ours = cross_entropy(found.probabilities(noise[0]), noise[1]).sum()
    assert ours <= cross_entropy(Calibration(np.ones(3)).probabilities(noise[0]), noise[1]).sum() + 1e-9


def test_a_curve_wins_where_no_temperature_fits() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(3000, 1))
    positive = random.random((3000, 1)) < np.where(logits > 0, 0.2, 0.05)  # far below what any temperature says
    found = fit_calibration(logits, positive)
    assert list(found.knots) == [0]
    assert found.probabilities(logits).mean() == pytest.approx(positive.mean(), abs=0.01)


def test_the_cross_entropy_is_that_of_scikit_learn() -> None:
    logits, positive = drawn(50, 1.0)
    probabilities = Calibration(np.ones(2)).probabilities(logits)
    expected = [log_loss(positive[:, c], probabilities[:, c], normalize=False) for c in range(2)]
    assert cross_entropy(probabilities, positive) == pytest.approx(expected)
