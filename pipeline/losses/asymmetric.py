"""The asymmetric loss, ASL (Ridnik et al., "Asymmetric Loss for Multi-Label Classification", ICCV 2021)."""

import math

import torch
from torch import Tensor

from ..plugins import check_ranges
from .interface import Targets, negative_log, wide

EPSILON = 1e-8


class Asymmetric:
    """ASL on observed positives; every other label is a negative.

    gamma_neg, gamma_pos: >= 0, focusing of negatives and positives. clip: in [0, 1), shift of a negative's probability.
    stop_grad_weight: whether the focusing factor carries no gradient, as by default in the published code. reduction: "sum", as
    published, or "mean".
    """

    def __init__(
        self,
        num_classes: int,
        *,
        gamma_neg: float = 4.0,
        gamma_pos: float = 1.0,
        clip: float = 0.05,
        stop_grad_weight: bool = True,
        reduction: str = "sum",
    ) -> None:
        check_asymmetric("asl", gamma_neg, gamma_pos, clip, reduction)
        self.num_classes, self.reduction = num_classes, reduction
        self.gamma_neg, self.gamma_pos, self.clip, self.stop_grad_weight = gamma_neg, gamma_pos, clip, stop_grad_weight

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Do nothing: the loss is the same in every epoch."""

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        logits = wide(logits, targets.observed)
        entries = asymmetric_entries(
            logits, targets.observed > 0, (self.gamma_neg, self.gamma_pos), self.clip, self.stop_grad_weight
        )
        return entries.sum() if self.reduction == "sum" else entries.mean()


def asymmetric_entries(
    logits: Tensor, positive: Tensor, gammas: tuple[float, float], clip: float, stop_grad_weight: bool
) -> Tensor:
    """Return the loss of every entry, (B, C), of logits and a mask of positives; gammas: of negatives, of positives."""
    largest = -math.log(EPSILON)
    as_positive = negative_log(logits, 0).clamp(max=largest)
    as_negative = negative_log(-logits, clip).clamp(min=0, max=largest)
    # Clamped from below, as the derivative of a power below 1 is infinite at 0.
    missing = torch.where(positive, (-logits).sigmoid(), logits.sigmoid() - clip).clamp(
        min=torch.finfo(logits.dtype).tiny
    )
    gamma_neg, gamma_pos = gammas
    log_missing = missing.log()
    factor = torch.where(positive, gamma_pos * log_missing, gamma_neg * log_missing).exp()
    return torch.where(positive, as_positive, as_negative) * (factor.detach() if stop_grad_weight else factor)


def check_asymmetric(loss: str, gamma_neg: float, gamma_pos: float, clip: float, reduction: str) -> None:
    """Raise AevlpError for a constant of an asymmetric loss that is out of range."""
    check_ranges(
        f"loss {loss}",
        ("gamma_neg", gamma_neg, gamma_neg >= 0, "at least 0"),
        ("gamma_pos", gamma_pos, gamma_pos >= 0, "at least 0"),
        ("clip", clip, 0 <= clip < 1, "in [0, 1)"),
        ("reduction", reduction, reduction in ("sum", "mean"), "sum or mean"),
    )
