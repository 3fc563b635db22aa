"""Assume negative, without and with pseudo-labels, as baselines in the code of Tran et al. (ICCV 2025)."""

import torch
from torch import Tensor

from .interface import Targets, negative_log, wide

EPSILON = 1e-7


class AssumeNegative:
    """Assume negative with 1e-7 inside the logarithm, where Cole et al. have 1e-5. An observed negative has no loss."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Do nothing: the loss is the same in every epoch."""

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        logits = wide(logits, targets.observed)
        return assume_negative_entries(logits, targets.observed, None).mean()


class AssumeNegativeWithPseudoLabels:
    """Assume negative where a pseudo-positive counts as a positive, and any other unknown label as a negative.

    An observed negative has no loss.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Do nothing: the loss is the same in every epoch."""

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        logits = wide(logits, targets.observed, targets.pseudo)
        return assume_negative_entries(logits, targets.observed, targets.pseudo).mean()


def assume_negative_entries(logits: Tensor, observed: Tensor, pseudo: Tensor | None) -> Tensor:
    """Return the loss of every entry, (B, C), of logits and codes (B, C); without pseudo-labels every unknown is negative."""
    positive = observed == 1
    if pseudo is not None:
        positive = positive | ((observed == 0) & (pseudo == 1))
    entries = torch.where(observed == 0, negative_log(-logits, EPSILON), torch.zeros_like(logits))
    return torch.where(positive, negative_log(logits, EPSILON), entries)
