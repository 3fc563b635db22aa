"""The loss with two thresholds on the cached scores, against a loop over entries."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.losses import Targets, constants, create_loss

SEEDS = st.integers(0, 2**32 - 1)


def batch(seed: int, rows: int = 5, classes: int = 6) -> tuple[torch.Tensor, Targets]:
    """Return float64 logits, and targets with codes and scores."""
    random = np.random.default_rng(seed)
    observed, pseudo = random.choice([-1, 0, 1], (2, rows, classes), p=[0.2, 0.5, 0.3]).astype(np.int8)
    targets = Targets(
        observed=torch.from_numpy(observed),
        pseudo=torch.from_numpy(pseudo),
        scores=torch.from_numpy(random.random((rows, classes))),
    )
    return torch.from_numpy(random.normal(0, 3, (rows, classes))), targets


@settings(max_examples=40, deadline=None)
@given(
    seed=SEEDS,
    shape=st.tuples(st.integers(1, 5), st.integers(1, 6)),
    bounds=st.tuples(st.floats(0, 1), st.floats(0, 1)).filter(lambda pair: pair[0] != pair[1]).map(sorted),
)
def test_virtual_category_thresholds_equals_loops_over_entries(
    seed: int, shape: tuple[int, int], bounds: list[float]
) -> None:
    low, high = bounds
    logits, targets = batch(seed, *shape)
    assert targets.scores is not None
    total, slope = 0.0, np.zeros(shape)
    for i, c in np.ndindex(*shape):
        code, score, p = targets.observed[i, c], targets.scores[i, c], 1 / (1 + math.exp(-logits[i, c]))
        if code == 1 or (code == 0 and score >= high):
            total, slope[i, c] = total - math.log(p), p - 1
        elif code == -1 or score <= low:
            total, slope[i, c] = total - math.log(1 - p), p
    logits = logits.requires_grad_()
    value = create_loss("virtual-category-thresholds", shape[1], low=low, high=high)(logits, targets)
    np.testing.assert_allclose(value.detach(), total / logits.numel(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(torch.autograd.grad(value, logits)[0], slope / logits.numel(), rtol=1e-8, atol=1e-12)


def test_an_ambiguous_label_is_pushed_nowhere_and_bounds_count_as_certain() -> None:
    scores = torch.tensor([[0.0, 0.05, 0.0501, 0.3, 0.4999, 0.5, 1.0]])
    logits = torch.zeros(1, 7, requires_grad=True)
    targets = Targets(observed=torch.zeros(1, 7), scores=scores.double())
    # 0.05 in single precision is a little above 0.05 in double: bounds are met exactly only in the dtype they came in.
    value = create_loss("virtual-category-thresholds", 7, low=float(scores[0, 1]))(logits, targets)
    assert torch.autograd.grad(value, logits)[0].sign().tolist() == [[1, 1, 0, 0, 0, -1, -1]]


@pytest.mark.parametrize(
    "given_", [{"low": 0.5}, {"low": 0.6}, {"high": 0.05}, {"high": 1.1}, {"low": -0.1}, {"low": 0.2, "high": 0.1}]
)
def test_bounds_that_leave_no_order_are_a_mistake(given_: dict[str, float]) -> None:
    with pytest.raises(AevlpError, match="of loss virtual-category-thresholds must be "):
        create_loss("virtual-category-thresholds", 3, **given_)


def test_the_loss_cannot_do_without_scores() -> None:
    with pytest.raises(AevlpError, match="virtual-category-thresholds reads scores"):
        create_loss("virtual-category-thresholds", 3)(torch.zeros(1, 3), Targets(observed=torch.zeros(1, 3)))


def test_the_defaults() -> None:
    assert constants("virtual-category-thresholds") == {"low": 0.05, "high": 0.5}
