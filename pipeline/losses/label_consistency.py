"""The consistency of two views of an image under a relation of labels, and the class thresholds in it (SCPNet, CVPR 2023)."""

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

LEAST = math.log(1e-8)  # below which the program cuts the logarithm of a probability


def consistency(
    strong: Tensor,
    weak: Tensor,
    observed: Tensor,
    smoothed: Tensor,
    confidence: Tensor,
    hard_k: int,
    cutoff: float = 0.95,
    kl_lambda: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Return the consistency of two views, a scalar sum, and the labels (B, C) bool that it learned.

    strong, weak: logits (B, C) of the view that learns and of the one that teaches, which gets no gradient. observed: (B, C)
    codes; 1 is always a label, -1 never (ours: the program has none). smoothed: (C, C) relation Q of labels, rows sum to 1.
    confidence: (C,) of `class_confidence`; a class's threshold is cutoff x confidence / (2 - confidence). hard_k: how many
    of an image's highest classes can become labels. kl_lambda: >= 0, weight of the part that learns Q's mixture of the weak view.
    An image none of whose highest classes reaches its threshold adds nothing. Source: Ding et al., SCPNet, CVPR 2023, and their
    program; all is summed, nothing averaged.
    """
    with torch.autocast(strong.device.type, enabled=False):
        weak = weak.detach().to(strong.dtype)
        p = weak.sigmoid()
        mixed = p @ smoothed.to(p).T
        threshold = (cutoff * confidence / (2 - confidence)).to(p.dtype)
        candidates = weak.topk(min(hard_k, p.shape[1]), dim=1).indices  # not of p, where high ones round to the same
        highest = torch.zeros_like(p, dtype=torch.bool).scatter(1, candidates, True)
        sure = highest & (p >= threshold)
        labels = (sure & (observed != -1)) | (observed == 1)
        used = sure.any(dim=1, keepdim=True).to(p.dtype)
        log_q, log_not_q = (logsigmoid(x).clamp(min=LEAST) for x in (strong, -strong))
        own = torch.where(labels, log_q, log_not_q)
        return -(used * (own + kl_lambda * (mixed * log_q + (1 - mixed) * log_not_q))).sum(), labels


def class_confidence(selected: Tensor, hard_k: int) -> Tensor:
    """Return how often each class became a label so far, (C,) float64 in [1/C, 1], beside the class that most often did.

    selected: (N, C) 0/1, the last labels of every training image, 0 for one not seen yet. Source: as `consistency`.
    """
    images, classes = selected.shape
    counts = selected.sum(dim=0, dtype=torch.float64)
    most, unselected = counts.max(), hard_k * images - counts.sum()
    shares = counts / torch.maximum(most, unselected).clamp(min=1)  # where there is none yet: 0
    return shares.clamp(min=1 / classes)
