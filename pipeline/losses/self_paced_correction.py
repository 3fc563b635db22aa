"""Self-paced loss correction, SPLC (Zhang et al., "Simple and Robust Loss Design …", 2021)."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..plugins import check_ranges
from .interface import Targets, wide


class SelfPacedCorrection:
    """Focal loss with a margin for observed positives, in which likely unknown labels count as positives after a while.

    tau: in [0, 1], a label whose probability exceeds it is corrected. change_epoch: the first epoch that corrects, counted from
    0 as in the paper: its default of 1 is the second epoch. margin: taken off the logit of an observed positive. gamma: >= 0,
    focusing. reduction: "sum", as published, or "mean". Every other label is a negative. Before `set_epoch` it is epoch 1.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        tau: float = 0.6,
        change_epoch: int = 1,
        margin: float = 1.0,
        gamma: float = 2.0,
        reduction: str = "sum",
    ) -> None:
        check_ranges(
            "loss splc",
            ("tau", tau, 0 <= tau <= 1, "in [0, 1]"),
            ("change_epoch", change_epoch, change_epoch >= 0, "at least 0"),
            ("gamma", gamma, gamma >= 0, "at least 0"),
            ("reduction", reduction, reduction in ("sum", "mean"), "sum or mean"),
        )
        self.num_classes, self.reduction = num_classes, reduction
        self.tau, self.change_epoch, self.margin, self.gamma = tau, change_epoch, margin, gamma
        self.set_epoch(1, 1)

    def set_epoch(self, epoch: int, epochs: int) -> None:
        self.corrects = epoch - 1 >= self.change_epoch  # ours count from 1, the paper's from 0

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        logits = wide(logits, targets.observed)
        positive = targets.observed == 1
        shifted = torch.where(positive, logits - self.margin, logits)
        if self.corrects:
            positive = positive | (shifted.detach().sigmoid() > self.tau)
        right = torch.where(positive, shifted, -shifted)  # the logit of the label that counts as right
        entries = -logsigmoid(right) * torch.exp(self.gamma * logsigmoid(-right))
        return entries.sum() if self.reduction == "sum" else entries.mean()
