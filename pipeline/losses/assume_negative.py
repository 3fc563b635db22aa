"""Assume negative: AN, smoothed AN, weak AN (Cole et al., Multi-Label Learning from Single Positive Labels, CVPR 2021)."""

import torch
from torch import Tensor

from ..errors import AevlpError
from ..plugins import check_ranges
from .binary_cross_entropy import cross_entropies
from .interface import Targets, wide


class AssumeNegative:
    """Binary cross entropy that takes every label which nobody observed for a negative.

    An observed negative (-1), which the paper's setting does not have, has no loss, as in the published program.
    """

    ls_coef = 0.0
    weight = 1.0  # of a label that is only assumed

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Do nothing: the loss is the same in every epoch."""

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        logits = wide(logits, targets.observed)
        positive, negative = cross_entropies(logits, self.ls_coef)
        entries = torch.where(targets.observed == 0, self.weight * negative, torch.zeros_like(logits))
        return torch.where(targets.observed == 1, positive, entries).mean()


class SmoothedAssumeNegative(AssumeNegative):
    """AN with smoothed labels: 1 - ls_coef where a positive is observed, ls_coef, in [0, 1], where a negative is assumed."""

    def __init__(self, num_classes: int, *, ls_coef: float = 0.1) -> None:
        check_ranges("loss an-ls", ("ls_coef", ls_coef, 0 <= ls_coef <= 1, "in [0, 1]"))
        super().__init__(num_classes)
        self.ls_coef = ls_coef


class WeakAssumeNegative(AssumeNegative):
    """AN whose assumed negatives weigh 1/(C - 1), together as much as one positive. AevlpError where there is but one class."""

    def __init__(self, num_classes: int) -> None:
        if num_classes < 2:
            raise AevlpError(
                f"loss wan divides by the number of classes less one: expected at least 2, found {num_classes}"
            )
        super().__init__(num_classes)
        self.weight = 1 / (num_classes - 1)
