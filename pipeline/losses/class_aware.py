"""The loss of class-distribution-aware pseudo-labels, CAP (Xie et al., "Class-Distribution-Aware Pseudo-Labeling …", 2023)."""

import torch
from torch import Tensor

from .asymmetric import asymmetric_entries, check_asymmetric
from .interface import Targets, effective_codes, wide


class ClassAware:
    """ASL on the labels that are known or guessed with confidence; all others have no loss.

    The paper's are the asymmetric loss, its constants and the mask of confident pseudo-labels. Ours is where the labels stand:
    the paper has fully labelled and unlabelled images apart, here each entry is labelled if it is observed, else as the policy
    has it (code 0: masked). An observed label, negative or positive, is never overruled.

    gamma_neg, gamma_pos, clip, stop_grad_weight, reduction: as in ASL.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        gamma_neg: float = 4.0,
        gamma_pos: float = 0.0,
        clip: float = 0.05,
        stop_grad_weight: bool = True,
        reduction: str = "sum",
    ) -> None:
        check_asymmetric("cap", gamma_neg, gamma_pos, clip, reduction)
        self.num_classes, self.reduction = num_classes, reduction
        self.gamma_neg, self.gamma_pos, self.clip, self.stop_grad_weight = gamma_neg, gamma_pos, clip, stop_grad_weight

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Do nothing: the loss is the same in every epoch."""

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        logits = wide(logits, targets.observed, targets.pseudo)
        codes = effective_codes(targets)
        entries = asymmetric_entries(
            logits, codes > 0, (self.gamma_neg, self.gamma_pos), self.clip, self.stop_grad_weight
        )
        entries = torch.where(codes != 0, entries, torch.zeros_like(entries))
        return entries.sum() if self.reduction == "sum" else entries.mean()
