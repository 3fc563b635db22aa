"""When training ends, against the published rule written out over whole histories."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aevlp.pipeline.training.early_stopping import EarlyStopping


def slow_rule(history: list[float]) -> tuple[list[int], int | None]:
    """Return the epochs (from 0) that are a new best, and the epoch after which training ends; protocol, section 7."""
    bests: list[int] = []
    for epoch, percent in enumerate(history):
        best_before = max([0.0, *history[:epoch]])
        if percent > best_before:
            bests.append(epoch)
            continue
        two_in_a_row = epoch > 0 and epoch - 1 not in bests
        if best_before - percent > 2 or two_in_a_row:
            return bests, epoch
    return bests, None


def run(history: list[float]) -> tuple[list[int], int | None]:
    """Return the same from the class under test, called as the training loop calls it."""
    stopping = EarlyStopping()
    bests: list[int] = []
    for epoch, percent in enumerate(history):
        if stopping.improves(percent):
            bests.append(epoch)
        if stopping.stops(percent):
            return bests, epoch
    return bests, None


# Quarters are exact, so that "more than 2 points" has one meaning; few values, so that ties are common.
HISTORIES = st.lists(st.integers(0, 40).map(lambda quarters: quarters / 4), max_size=12)


@given(HISTORIES)
def test_any_history_ends_where_the_published_rule_ends_it(history: list[float]) -> None:
    assert run(history) == slow_rule(history)


@pytest.mark.parametrize(
    ("history", "bests", "end"),
    [
        ([10, 20, 30, 40], [0, 1, 2, 3], None),
        ([50, 49, 51, 50, 52], [0, 2, 4], None),  # a lapse between two bests is forgiven
        ([50, 49, 49.5], [0], 2),  # the second epoch in a row below the best
        ([50, 48], [0], None),  # exactly 2 points below is not more than 2
        ([50, 47.75], [0], 1),
        ([50, 50], [0], None),  # an equal result is no new best
        ([50, 50, 50], [0], 2),
        ([0, 1], [1], None),  # the best starts at 0, which 0 does not beat
        ([0, 0], [], 1),
        ([], [], None),
    ],
)
def test_examples(history: list[float], bests: list[int], end: int | None) -> None:
    assert run(history) == (bests, end)
    assert slow_rule(history) == (bests, end)


def test_it_goes_on_from_a_saved_best_and_count() -> None:
    stopping = EarlyStopping(best=60.0, worse=1)
    assert not stopping.improves(59.5)
    assert stopping.stops(59.5)
    stopping = EarlyStopping(best=60.0, worse=1)
    assert stopping.improves(60.5)
    assert not stopping.stops(60.5)
    assert (stopping.best, stopping.worse) == (60.5, 0)


def test_a_result_that_is_not_a_number_is_no_new_best() -> None:
    stopping = EarlyStopping()
    assert not stopping.improves(float("nan"))
    assert stopping.best == 0.0
