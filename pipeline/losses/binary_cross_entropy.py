"""Binary cross entropy with full labels, the upper bound of single-positive training (as in Cole et al., CVPR 2021)."""

import torch
from torch import Tensor

from .interface import Targets, negative_log, wide

EPSILON = 1e-5


class BinaryCrossEntropy:
    """Binary cross entropy on `Targets.truth`; where that is None, `Targets.observed` is taken to be the full labels."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Do nothing: the loss is the same in every epoch."""

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        labels = targets.observed if targets.truth is None else targets.truth
        logits = wide(logits, labels)
        return torch.where(labels == 1, negative_log(logits, EPSILON), negative_log(-logits, EPSILON)).mean()
