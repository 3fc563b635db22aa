"""The idea of virtual categories (Chen et al., ECCV 2022) without a virtual category: two thresholds on the cached scores."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..plugins import check_ranges
from .interface import Targets, needed, wide


class VirtualCategoryThresholds:
    """Binary cross entropy that leaves ambiguous labels alone and keeps the negatives that are certain.

    The paper's is the idea: for a confusing sample no confusing class is pushed up or down, while all others are still learned
    as negatives. Ours is all else: binary cross entropy for softmax, and two thresholds for what is confusing. An unknown label
    is positive from score `high` up, negative from `low` down, and ambiguous between, with no loss. Observed labels count as
    they are. The virtual category itself is in `virtual-category`.

    low, high: 0 <= low < high <= 1, bounds of the ambiguous scores.
    """

    def __init__(self, num_classes: int, *, low: float = 0.05, high: float = 0.5) -> None:
        check_ranges(
            "loss virtual-category-thresholds",
            ("low", low, 0 <= low <= 1, "in [0, 1]"),
            ("high", high, low < high <= 1, f"above low, {low}, and at most 1"),
        )
        self.num_classes, self.low, self.high = num_classes, low, high

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Do nothing: the loss is the same in every epoch."""

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        scores = needed(targets, "scores", "virtual-category-thresholds")
        logits = wide(logits, targets.observed, scores)
        unknown = targets.observed == 0
        positive = (targets.observed > 0) | (unknown & (scores >= self.high))
        negative = (targets.observed < 0) | (unknown & (scores <= self.low))
        entries = torch.where(negative, -logsigmoid(-logits), torch.zeros_like(logits))
        return torch.where(positive, -logsigmoid(logits), entries).mean()
