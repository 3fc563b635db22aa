"""Binary cross entropy with full labels, the upper bound of single-positive training (as in Cole et al., CVPR 2021)."""

import torch
from torch import Tensor

from ..plugins import check_ranges
from .interface import Targets, negative_log, wide

EPSILON = 1e-5


def cross_entropies(logits: Tensor, ls_coef: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return the loss of a positive and of a negative at every entry, (B, C) each, in the logits' dtype.

    These are -ln(p + 1e-5) and -ln(1 - p + 1e-5), at least -1e-5; with label smoothing `ls_coef` in [0, 1] each takes that share
    of the other. All losses of Cole et al. 2021, Zhou et al. 2022 and Xing et al. 2024 are made of them.
    """
    positive, negative = negative_log(logits, EPSILON), negative_log(-logits, EPSILON)
    if ls_coef == 0:
        return positive, negative
    return (1 - ls_coef) * positive + ls_coef * negative, (1 - ls_coef) * negative + ls_coef * positive


class BinaryCrossEntropy:
    """Binary cross entropy on `Targets.truth`; where that is None, `Targets.observed` is taken to be the full labels."""

    ls_coef = 0.0

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Do nothing: the loss is the same in every epoch."""

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        labels = targets.observed if targets.truth is None else targets.truth
        positive, negative = cross_entropies(wide(logits, labels), self.ls_coef)
        return torch.where(labels == 1, positive, negative).mean()


class SmoothedBinaryCrossEntropy(BinaryCrossEntropy):
    """Binary cross entropy on smoothed full labels: 1 - ls_coef for a positive, ls_coef, in [0, 1], for a negative."""

    def __init__(self, num_classes: int, *, ls_coef: float = 0.1) -> None:
        check_ranges("loss bce-ls", ("ls_coef", ls_coef, 0 <= ls_coef <= 1, "in [0, 1]"))
        super().__init__(num_classes)
        self.ls_coef = ls_coef
