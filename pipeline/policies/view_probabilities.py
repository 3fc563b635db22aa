"""Cosines of views -> each view's probabilities of the classes."""

import numpy as np


def view_probabilities(similarity: np.ndarray, temperature: float) -> np.ndarray:
    """Return the softmax over classes of cosine / temperature, (n, V, C), in the precision of the cosines (n, V, C)."""
    values = similarity / similarity.dtype.type(temperature)
    values = np.exp(values - values.max(axis=-1, keepdims=True))
    return values / values.sum(axis=-1, keepdims=True)
