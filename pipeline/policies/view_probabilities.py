"""Cosines of views -> each view's probabilities of the classes."""

import numpy as np
import torch


def view_probabilities(similarity: np.ndarray, temperature: float) -> np.ndarray:
    """Return the softmax over classes of cosine / temperature, (n, V, C), in the precision of the cosines (n, V, C)."""
    return log_probabilities(similarity, temperature).exp().numpy()


def log_probabilities(similarity: np.ndarray, temperature: float) -> torch.Tensor:
    """Return the logarithm of `view_probabilities`, as a tensor."""
    return torch.log_softmax(torch.from_numpy(similarity / similarity.dtype.type(temperature)), dim=2)
