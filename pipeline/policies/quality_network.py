"""The quality of views that RANK learns: the network, its target and its loss, as released (Liu et al., IEEE TPAMI 2025)."""

import torch
from torch import Tensor

LEAST = 1e-10  # added to what a logarithm is taken of
UNKNOWN_VIEW = 1e9  # loss of a view that there is not


def view_quality(views: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    """Return the quality s (n, V) of views, which sums to 1 over those of an image, with gradient into all that is given.

    views: (n, V, D). w1, b1, w2, b2: (H, D), (H,), (1, H) and (1,). s is the softmax over the views of w2 . relu(w1 z + b1) + b2;
    a view that there is not takes part. Source: Liu et al., "Reliable Representation Learning for Incomplete Multi-View Missing
    Multi-Label Classification", IEEE TPAMI 2025, and its program.
    """
    hidden = torch.relu(torch.nn.functional.linear(views, w1, b1))
    return torch.nn.functional.linear(hidden, w2, b2).squeeze(-1).softmax(dim=-1)


def fused_view(views: Tensor, quality: Tensor) -> Tensor:
    """Return the mean (n, D) of views (n, V, D) by their quality (n, V), without gradient into the quality. Source: as above."""
    return torch.einsum("nv,nvd->nd", quality.detach(), views)


def quality_target(predictions: Tensor, labels: Tensor, view_known: Tensor, label_known: Tensor) -> Tensor:
    """Return the quality r (n, V) that views deserve, which sums to 1 over those of an image, without gradient.

    predictions P: (n, V, C) probabilities by each view alone. labels y: (n, C) 0/1. view_known: (n, V) 0/1, whether there is a
    view. label_known k: (n, C) 0/1, one of an image at least. r is the softmax over the views of minus the mean over known labels
    of |y ln(P + 1e-10) + (1 - y) ln(1 - P + 1e-10)|. Source: as above.
    """
    probability = predictions.detach()
    y, k = labels.to(probability.dtype)[:, None], label_known.to(probability.dtype)[:, None]
    likelihood = y * (probability + LEAST).log() + (1 - y) * (1 - probability + LEAST).log()
    loss = (k * likelihood.abs()).sum(dim=-1) / k.sum(dim=-1)
    return (-loss.masked_fill(view_known == 0, UNKNOWN_VIEW)).softmax(dim=-1)


def quality_loss(quality: Tensor, target: Tensor) -> Tensor:
    """Return the cross-entropy of target r (n, V) and quality s (n, V), the mean over images, a scalar. Source: as above."""
    return -(target * (quality + LEAST).log()).sum(dim=-1).mean()
