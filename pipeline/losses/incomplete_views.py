"""RANK's other terms, for loops of one's own that train encoders of views (Liu et al., IEEE TPAMI 2025).

A cache's embeddings are fixed, and these have nothing to train there: `policies.quality_network` is what is used of the method.
Source of all: Liu et al., "Reliable Representation Learning for Incomplete Multi-View Missing Multi-Label Classification", IEEE
TPAMI 2025, and its released program.
"""

from itertools import combinations

import torch
from torch import Tensor

LEAST, MOST = 1e-10, 0.9  # of a probability, in the classification loss


def label_relation(labels: Tensor, sigma: float) -> Tensor:
    """Return G (C, C) float64: the share of a class's images that show another, 0 where it is at most sigma, 1 on the diagonal.

    labels: (N, C) 0/1 of the training images. With sigma 1, as published, classes are unrelated.
    """
    y = labels.double()
    share = (y.T @ y) / (y.sum(dim=0)[:, None] + LEAST)
    return torch.where(share > sigma, share, 0).fill_diagonal_(1)


def related_cross_entropy(prediction: Tensor, labels: Tensor, label_known: Tensor, relation: Tensor) -> Tensor:
    """Return the mean over all entries of a cross-entropy in which related classes share their loss, a scalar.

    prediction P: (B, C) probabilities, clipped to [1e-10, 0.9] without gradient outside. labels y, label_known k: (B, C) 0/1.
    relation G: (C, C). An entry is k |y (k ln P) G' + (1 - y) (k ln(1 - P)) G|.
    """
    p = prediction.clamp(LEAST, MOST)
    y, k, related = (part.to(p.dtype) for part in (labels, label_known, relation))
    present, absent = (k * p.log()) @ related.T, (k * (1 - p).log()) @ related
    return (k * (y * present + (1 - y) * absent).abs()).mean()


def view_agreement(views: Tensor, view_known: Tensor) -> Tensor:
    """Return how far the directions of an image's views are apart, summed over pairs of views, a scalar.

    views: (B, V, D). view_known: (B, V) 0/1. Of a pair it is the squared distance of the unit vectors, summed over images that
    have both and divided by D times their number. In the released training its weight is 1 - 0.97^epoch, counted from 0.
    """
    unit, known = torch.nn.functional.normalize(views, dim=-1), view_known.to(views.dtype)
    total = views.new_zeros(())
    for a, b in combinations(range(views.shape[1]), 2):
        both = known[:, a] * known[:, b]
        apart = (unit[:, a] - unit[:, b]).square().sum(dim=-1)
        total = total + (both * apart).sum() / (views.shape[2] * both.sum() + LEAST)
    return total


def label_guide(
    views: Tensor,
    labels: Tensor,
    view_known: Tensor,
    label_known: Tensor,
    all_views: Tensor,
    all_labels: Tensor,
    all_view_known: Tensor,
    all_label_known: Tensor,
    first_row: int,
) -> Tensor:
    """Return how badly views' likeness follows that of labels, half the mean over views, a scalar.

    views: (B, V, D), labels, label_known: (B, C) 0/1, view_known: (B, V) 0/1, of the images first_row, first_row + 1, … of all N
    training images, of which the others are as they were remembered, without gradient. Two images are alike by their labels as
    y_i . y_j over the labels known of both, relative to the image's most alike; and by a view as (1 + cosine) / 2.
    """
    y, k = labels.to(views.dtype), label_known.to(views.dtype)
    both = k @ all_label_known.to(views.dtype).T
    target = (y @ all_labels.to(views.dtype).T) / (both + 1e-9)
    rows = torch.arange(len(views), device=views.device)
    target[rows, first_row + rows] = 0
    target = target / (target.amax(dim=1, keepdim=True) + 1e-9)
    kept = view_known.to(views.dtype).T[:, :, None] * all_view_known.to(views.dtype).T[:, None]
    kept[:, rows, first_row + rows] = 0
    unit, remembered = (torch.nn.functional.normalize(part, dim=-1) for part in (views, all_views.detach()))
    alike = ((1 + torch.einsum("ivd,jvd->vij", unit, remembered)) / 2).clamp(max=1)
    entropy = (target * (alike + 1e-5).log() + (1 - target) * (1 - alike + 1e-5).log()).abs()
    return ((kept * entropy).sum(dim=(1, 2)) / kept.sum(dim=(1, 2))).mean() / 2
