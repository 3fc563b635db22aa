"""Learning rates of each step: constant, or one cycle as PyTorch has it, also where an epoch is resumed within."""

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aevlp.pipeline.training.schedule import CONSTANT, ONE_CYCLE, Schedule, one_cycle


@settings(deadline=None)
@given(steps=st.integers(2, 400))
def test_one_cycle_is_pytorchs(steps: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no step is taken here
        pytorchs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=steps)
        rates = [optimizer.param_groups[0]["lr"]]
        for _ in range(steps - 1):
            pytorchs.step()
            rates.append(optimizer.param_groups[0]["lr"])
    assert [0.5 * one_cycle(step, steps) for step in range(steps)] == pytest.approx(rates, rel=1e-9)


def rates(schedule: Schedule, epoch: int, done: int, images: int = 10) -> list[tuple[float, ...]]:
    """Return the rates of each step of the rest of an epoch, for two groups."""
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [{"params": [p], "lr": lr, "initial_lr": lr} for p, lr in zip(parameters, (0.1, 1.0), strict=True)]
    optimizer = torch.optim.SGD(groups)
    left = range(-(-images // schedule.batch_size) - done)
    return [
        tuple(group["lr"] for group in optimizer.param_groups)
        for _ in schedule.paced(left, optimizer, epoch, done, images)
    ]


def test_every_group_has_its_share_and_a_resumed_epoch_the_same_rates() -> None:
    schedule = Schedule(epochs=3, batch_size=4, lr=0.1, lr_schedule=ONE_CYCLE)
    whole = [rate for epoch in (1, 2, 3) for rate in rates(schedule, epoch, 0)]
    assert whole == [pytest.approx((0.1 * one_cycle(n, 9), one_cycle(n, 9))) for n in range(9)]
    assert rates(schedule, 2, 2) == whole[5:6]


def test_a_constant_rate_stays() -> None:
    assert set(rates(Schedule(epochs=3, batch_size=4, lr=0.1), 2, 0)) == {(0.1, 1.0)}
    assert Schedule(epochs=1, batch_size=1, lr=1.0).lr_schedule == CONSTANT
