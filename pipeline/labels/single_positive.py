"""Full labels -> what is observed of them, and rows -> train and validation: the protocol of Cole et al. (CVPR 2021).

All draws come from NumPy's legacy generator in the published order, so that they equal the published ones bit for bit.
"""

import numpy as np

from ..errors import AevlpError
from .codes import NEGATIVE, POSITIVE


def observe(labels: np.ndarray, positives: int = 1, negatives: int = 0, seed: int = 1200) -> np.ndarray:
    """Return the observed labels (N, C) int8: `positives` and `negatives` entries a row kept, the rest unknown (0).

    labels: (N, C), > 0 where the class is present. positives, negatives: how many of each a row keeps, -1 for all of them.
    A row with fewer keeps what it has. Each split file is observed on its own, from the same seed.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2:
        raise AevlpError(f"labels must be (images, classes), found shape {labels.shape}")
    if min(positives, negatives) < -1:
        raise AevlpError(f"positives and negatives must be counts, or -1 for all, found {positives} and {negatives}")
    random = np.random.RandomState(seed)
    observed = np.zeros(labels.shape, dtype=np.int8)
    for row, present in zip(observed, labels > 0, strict=True):
        # Both shuffles happen whatever the counts are: the published stream depends on it.
        for columns, count, code in (
            (np.flatnonzero(present), positives, POSITIVE),
            (np.flatnonzero(~present), negatives, NEGATIVE),
        ):
            random.shuffle(columns)
            row[columns if count == -1 else columns[:count]] = code
    return observed


def split_train_val(
    n: int, val_fraction: float = 0.2, seed: int = 1200, compat: str = "paper"
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted training and validation rows of 0..n-1, two int64 arrays that share no row.

    The validation part has val_fraction * n rows, rounded half to even. Raises AevlpError where that leaves either part
    empty; compat="published" then follows the published slicing, by which an empty validation part becomes all rows.
    """
    order = np.random.RandomState(seed).permutation(n)
    size = round(val_fraction * n)
    if compat != "published" and not 0 < size < n:
        raise AevlpError(
            f"{n} training images at a validation fraction of {val_fraction} leave {size} for validation and "
            f"{n - size} for training: both need at least one"
        )
    return np.sort(order[: n - size]), np.sort(order[-size:])


def subsample(
    train_rows: np.ndarray,
    val_rows: np.ndarray,
    train_fraction: float = 1.0,
    val_fraction: float = 1.0,
    seed: int = 999,
) -> tuple[np.ndarray, np.ndarray]:
    """Return a seeded share of each part, in the order given; sizes are rounded half to even. Fractions are in [0, 1]."""
    random = np.random.RandomState(seed)
    kept = []
    for rows, fraction in ((train_rows, train_fraction), (val_rows, val_fraction)):
        if not 0 <= fraction <= 1:
            raise AevlpError(f"a fraction to keep must be in [0, 1], found {fraction}")
        rows = np.asarray(rows)
        kept.append(rows[np.sort(random.permutation(len(rows))[: round(fraction * len(rows))])])
    return kept[0], kept[1]
