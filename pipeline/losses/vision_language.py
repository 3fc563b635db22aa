"""Vision-language pseudo-labels, VLPL (Xing et al., Vision-Language Pseudo-Labels, 2024)."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..plugins import check_ranges
from .binary_cross_entropy import cross_entropies
from .entropy_maximization import entropy, entropy_maximization
from .interface import Targets, effective_codes, needed, wide

SMOOTHING = 0.1  # of a pseudo-positive


class VisionLanguage:
    """EM with smoothed pseudo-positives. Pseudo-negatives and observed negatives have no loss, as in the published program.

    alpha, beta_pos: >= 0, weight of an unknown label's entropy and of a pseudo-positive. warmup_epoch: leading epochs that are
    EM's. Before `set_epoch` it is epoch 1. A call raises AevlpError where the targets have no pseudo-labels, in the warm-up too.
    """

    def __init__(self, num_classes: int, *, alpha: float = 0.2, beta_pos: float = 0.7, warmup_epoch: int = 0) -> None:
        check_ranges(
            "loss vlpl",
            ("alpha", alpha, alpha >= 0, "at least 0"),
            ("beta_pos", beta_pos, beta_pos >= 0, "at least 0"),
            ("warmup_epoch", warmup_epoch, warmup_epoch >= 0, "at least 0"),
        )
        self.num_classes = num_classes
        self.alpha, self.beta_pos, self.warmup_epoch = alpha, beta_pos, warmup_epoch
        self.set_epoch(1, 10)

    def set_epoch(self, epoch: int, epochs: int) -> None:
        self.warm = epoch > self.warmup_epoch

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        logits = wide(logits, targets.observed, targets.pseudo)
        pseudo = needed(targets, "pseudo", "vlpl")
        entries = entropy_maximization(logits, targets.observed, self.alpha)
        if self.warm:
            smoothed, _ = cross_entropies(logits, SMOOTHING)
            unknown = targets.observed == 0
            entries = torch.where(unknown & (pseudo == 1), self.beta_pos * smoothed, entries)
            entries = torch.where(unknown & (pseudo == -1), torch.zeros_like(logits), entries)
        return entries.mean()


class AsymmetricVisionLanguage:
    """VLPL with focal factors, through which the gradient goes, in place of weights; observed negatives have no loss.

    gamma_unknown, gamma_pos, gamma_neg: >= 0, exponents for unknown labels, positives and pseudo-negatives. alpha: >= 0, weight
    of an unknown label's entropy in the warm-up. warmup_epoch: leading epochs that are EM's. Before `set_epoch` it is epoch 1.
    A call raises AevlpError where the targets have no pseudo-labels, in the warm-up too.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        alpha: float = 0.2,
        gamma_unknown: float = 4.0,
        gamma_pos: float = 2.0,
        gamma_neg: float = 4.0,
        warmup_epoch: int = 0,
    ) -> None:
        check_ranges(
            "loss vlpl-asl",
            ("alpha", alpha, alpha >= 0, "at least 0"),
            ("gamma_unknown", gamma_unknown, gamma_unknown >= 0, "at least 0"),
            ("gamma_pos", gamma_pos, gamma_pos >= 0, "at least 0"),
            ("gamma_neg", gamma_neg, gamma_neg >= 0, "at least 0"),
            ("warmup_epoch", warmup_epoch, warmup_epoch >= 0, "at least 0"),
        )
        self.num_classes = num_classes
        self.alpha, self.warmup_epoch = alpha, warmup_epoch
        self.gamma_unknown, self.gamma_pos, self.gamma_neg = gamma_unknown, gamma_pos, gamma_neg
        self.set_epoch(1, 10)

    def set_epoch(self, epoch: int, epochs: int) -> None:
        self.warm = epoch > self.warmup_epoch

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        logits = wide(logits, targets.observed, targets.pseudo)
        pseudo = needed(targets, "pseudo", "vlpl-asl")
        if not self.warm:
            return entropy_maximization(logits, targets.observed, self.alpha).mean()
        codes = effective_codes(targets)
        positive, negative = cross_entropies(logits)
        as_positive = torch.exp(self.gamma_pos * logsigmoid(-logits)) * positive
        as_unknown = -torch.exp(self.gamma_unknown * logsigmoid(-logits)) * entropy(logits)
        as_negative = torch.exp(self.gamma_neg * logsigmoid(logits)) * negative
        entries = torch.where(codes == 1, as_positive, torch.zeros_like(logits))
        entries = torch.where(codes == 0, as_unknown, entries)
        return torch.where((targets.observed == 0) & (pseudo == -1), as_negative, entries).mean()
