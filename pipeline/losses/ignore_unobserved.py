"""Ignore unobserved, IU, and with true negatives, IUN (Cole et al., CVPR 2021; Zhou et al., ECCV 2022)."""

import torch
from torch import Tensor

from ..plugins import check_ranges
from .binary_cross_entropy import cross_entropies
from .interface import Targets, needed, wide


class IgnoreUnobserved:
    """Binary cross entropy on observed labels alone.

    The training set needs observed negatives (-1), or every class is soon predicted everywhere. A batch that lacks one kind has
    no loss of that kind.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Do nothing: the loss is the same in every epoch."""

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        logits = wide(logits, targets.observed)
        return _known(logits, targets.observed == 1, targets.observed == -1)


class IgnoreUnobservedNegatives:
    """Observed positives with all true negatives, which `Targets.truth` tells: an upper bound. AevlpError without truth.

    compat: "paper" for the form of Zhou et al. 2022; "published" for the program of Cole et al. 2021, which looks for negatives
    coded -1 among labels 0/1, so that none has a loss.
    """

    def __init__(self, num_classes: int, *, compat: str = "paper") -> None:
        check_ranges("loss iun", ("compat", compat, compat in ("paper", "published"), "paper or published"))
        self.num_classes = num_classes
        self.negative = 0 if compat == "paper" else -1

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Do nothing: the loss is the same in every epoch."""

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        logits = wide(logits, targets.observed, targets.truth)
        return _known(logits, targets.observed == 1, needed(targets, "truth", "iun") == self.negative)


def _known(logits: Tensor, is_positive: Tensor, is_negative: Tensor) -> Tensor:
    """Return the mean loss with what is positive or negative for certain; positive wins where both are said."""
    positive, negative = cross_entropies(logits)
    entries = torch.where(is_negative, negative, torch.zeros_like(logits))
    return torch.where(is_positive, positive, entries).mean()
