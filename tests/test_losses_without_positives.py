"""Images without any positive, observed or pseudo, among others and alone: every loss tolerates them."""

from dataclasses import fields
from typing import Any

import pytest
import torch
from test_losses import ALL, batch, made

from aevlp.pipeline.losses import Targets, entry

EVERY_ROW, ONE_ROW = slice(None), slice(1, 2)


def without_positives(targets: Targets, rows: slice, negative: bool) -> Targets:
    """Return targets of which some rows have no positive: all of them unknown, or every other one an observed negative."""
    known: dict[str, Any] = {field.name: getattr(targets, field.name) for field in fields(targets)}
    for name in ("observed", "pseudo", "truth", "scores"):
        known[name] = known[name].clone()
        known[name][rows] = 0
    if negative:
        known["observed"][rows, ::2] = -1
    return Targets(**known)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("rows", [ONE_ROW, EVERY_ROW], ids=["one", "all"])
@pytest.mark.parametrize("negative", [False, True], ids=["unknown", "negatives"])
@pytest.mark.parametrize("remembers", [False, True], ids=["alone", "training set"])
def test_a_loss_is_finite_and_so_is_its_gradient(name: str, rows: slice, negative: bool, remembers: bool) -> None:
    for seed, dtype in ((0, torch.float64), (1, torch.float32)):
        logits, targets = batch(seed, spread=8.0)
        logits = logits.to(dtype).requires_grad_()
        learns: dict[str, Any] = {
            field: getattr(targets, field).to(dtype).requires_grad_()
            for field in ("features", "strong")
            if field in entry(name).reads
        }
        changed = without_positives(targets, rows, negative)
        known: dict[str, Any] = {field.name: getattr(changed, field.name) for field in fields(changed)}
        changed = Targets(**{**known, **learns})
        loss = made(name, changed, remembers=remembers)
        for epoch in (1, 2, 9):
            told: Any = loss
            if hasattr(told, "set_epoch"):
                told.set_epoch(epoch, 10)
            value = loss(logits, changed)
            assert value.shape == () and value.requires_grad and torch.isfinite(value)
            slopes = torch.autograd.grad(value, [logits, *learns.values()], allow_unused=True)
            assert slopes[0] is not None
            for slope in slopes:
                assert slope is None or torch.isfinite(slope).all()
