"""Images without a split -> the shares of one by content; of few images such that none of its parts is without a label."""

from collections.abc import Sequence

import numpy as np

from ..datasets.content_split import WHOLE, split_at

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}
_DIGITS = 15  # of a share, at most


def shares_for(places: Sequence[int], labelled: np.ndarray) -> dict[str, float] | None:
    """Return the shares by which images are divided: the usual, or, where these leave a part without a label, nearly those.

    places: of the images, 0 to 2**64 - 1, as `places_by_content` returns them. labelled: (n,) bool, which show a class. None
    where fewer than two different images do, which cannot be divided.
    """
    shown = [place for place, has in zip(places, labelled, strict=True) if has]
    if set(split_at(shown, SHARES).tolist()) == set(SHARES):
        return dict(SHARES)
    ordered = sorted({place / WHOLE for place in shown})
    if len(ordered) < 2:
        return None
    # At least one in each part, a test part from four on.
    tests = max(1, round(SHARES["test"] * len(ordered))) if len(ordered) > 3 else 0
    first = len(ordered) - tests - max(1, round(SHARES["val"] * len(ordered)))
    train = _between(ordered[first - 1], ordered[first])
    until = _between(ordered[-tests - 1], ordered[-tests]) if tests else 1.0
    shares = {"train": train, "val": round(until - train, _DIGITS)}
    return {**shares, "test": round(1 - until, _DIGITS)} if tests else shares


def _between(low: float, high: float) -> float:
    """Return a number between two that differ, with as few digits as can be."""
    middle = (low + high) / 2
    return next((short for digits in range(2, _DIGITS) if low < (short := round(middle, digits)) < high), middle)
