"""Two baselines of the generalized robust loss, in the code of Chen et al. (IJCAI 2024)."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from .interface import Targets, negative_log, wide

EPSILON = 1e-7
POSITIVE_WEIGHT, UNKNOWN_WEIGHT, POWER = 8, 0.9, 0.99  # of `Weighted`, fixed in the published program


class PositivesAlone:
    """The cross entropy of observed positives, and nothing else."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Do nothing: the loss is the same in every epoch."""

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        logits = wide(logits, targets.observed)
        return torch.where(targets.observed == 1, negative_log(logits, EPSILON), torch.zeros_like(logits)).mean()


class Weighted:
    """Heavy observed positives, and a robust term that takes unknown labels for negatives: 0.9 (1 - (1 - p)^0.99) / 0.99.

    An observed negative has no loss.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Do nothing: the loss is the same in every epoch."""

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        logits = wide(logits, targets.observed)
        unknown = -UNKNOWN_WEIGHT * torch.expm1(POWER * logsigmoid(-logits)) / POWER
        entries = torch.where(targets.observed == 0, unknown, torch.zeros_like(logits))
        return torch.where(targets.observed == 1, POSITIVE_WEIGHT * negative_log(logits, EPSILON), entries).mean()
