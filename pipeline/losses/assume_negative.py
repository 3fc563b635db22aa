"""Assume negative, AN (Cole et al., "Multi-Label Learning from Single Positive Labels", CVPR 2021)."""

import torch
from torch import Tensor

from .interface import Targets, negative_log, wide

EPSILON = 1e-5


class AssumeNegative:
    """Binary cross entropy that takes every label which nobody observed for a negative.

    An observed negative (-1), which the paper's setting does not have, has no loss, as in the published program.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Do nothing: the loss is the same in every epoch."""

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        logits = wide(logits, targets.observed)
        positive, negative = negative_log(logits, EPSILON), negative_log(-logits, EPSILON)
        entries = torch.where(targets.observed == 0, negative, torch.zeros_like(logits))
        return torch.where(targets.observed == 1, positive, entries).mean()
