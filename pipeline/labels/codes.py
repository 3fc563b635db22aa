"""What each integer in a label matrix means."""

import numpy as np

POSITIVE = 1
UNKNOWN = 0
NEGATIVE = -1


def effective(observed: np.ndarray, pseudo: np.ndarray) -> np.ndarray:
    """Return `observed` where it is known and `pseudo` elsewhere: an observed label always wins. Any shape, int8."""
    return np.where(observed != UNKNOWN, observed, pseudo)
