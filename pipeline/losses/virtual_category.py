"""Virtual categories (Chen et al., "Semi-supervised Object Detection via Virtual Category Learning", ECCV 2022), adapted."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from .interface import Targets, check_ranges, needed, wide


class VirtualCategory:
    """Binary cross entropy that leaves ambiguous labels alone and keeps the negatives that are certain.

    The paper's is the idea: for a confusing sample no confusing class is pushed up or down, while all others are still learned
    as negatives. Ours is the multi-label form without softmax: an unknown label is positive from score `high` up, negative from
    `low` down, and ambiguous between, with no loss. Left out: the virtual category's own weight vector, which stands in for the
    confusing classes in the paper's softmax; only the paper's text would settle a form of it for independent labels, and
    thresholds. Observed labels count as they are.

    low, high: 0 <= low < high <= 1, bounds of the ambiguous scores.
    """

    def __init__(self, num_classes: int, *, low: float = 0.05, high: float = 0.5) -> None:
        check_ranges(
            "virtual-category",
            ("low", low, 0 <= low <= 1, "in [0, 1]"),
            ("high", high, low < high <= 1, f"above low, {low}, and at most 1"),
        )
        self.num_classes, self.low, self.high = num_classes, low, high

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Do nothing: the loss is the same in every epoch."""

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        scores = needed(targets, "scores", "virtual-category")
        logits = wide(logits, targets.observed, scores)
        unknown = targets.observed == 0
        positive = (targets.observed > 0) | (unknown & (scores >= self.high))
        negative = (targets.observed < 0) | (unknown & (scores <= self.low))
        entries = torch.where(negative, -logsigmoid(-logits), torch.zeros_like(logits))
        return torch.where(positive, -logsigmoid(logits), entries).mean()
