"""The Hill loss (Zhang et al., "Simple and Robust Loss Design for Multi-Label Learning with Missing Labels", 2021)."""

import torch
from torch import Tensor

from .generalized_robust_baselines import EPSILON
from .interface import Targets, negative_log, wide


class Hill:
    """Hill in the form of Chen et al. (IJCAI 2024): (1.5 - p) p² for an unknown label, so that a likely positive pushes little.

    An observed positive has -ln(p + 1e-7); an observed negative has no loss.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Do nothing: the loss is the same in every epoch."""

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        logits = wide(logits, targets.observed)
        p = logits.sigmoid()
        entries = torch.where(targets.observed == 0, (1.5 - p) * p**2, torch.zeros_like(p))
        return torch.where(targets.observed == 1, negative_log(logits, EPSILON), entries).mean()
