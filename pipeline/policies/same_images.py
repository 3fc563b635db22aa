"""A policy that remembers labels is about the same images every time."""

import numpy as np

from ..errors import AevlpError


def of_same_images(policy: str, labels: np.ndarray | None, shape: tuple[int, ...], what: str) -> np.ndarray:
    """Return the labels (n, C) that a policy remembers; AevlpError where there are none yet, or of another shape than what came.

    what: which array has that shape, as in "logits".
    """
    if labels is None:
        raise AevlpError(f"policy {policy} must be asked for labels once before it takes predictions")
    if labels.shape != shape:
        raise AevlpError(
            f"policy {policy} remembers labels of shape {labels.shape}, found {what} of {shape}: it must see the same images "
            f"every time"
        )
    return labels
