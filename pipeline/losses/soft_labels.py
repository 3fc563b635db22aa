"""Losses that learn from soft labels: those of CCD (CVPR 2025) and CDUL (ICCV 2023)."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from .interface import Targets, needed, wide

LEAST = torch.finfo(torch.float32).tiny  # of a label, whose logarithm is taken


def soft_labels(logits: Tensor, targets: Targets, loss: str) -> tuple[Tensor, Tensor]:
    """Return logits in at least single precision, and in theirs the policy's scores, (B, C) each.

    A score is 1 where a positive is observed and 0 where a negative is. AevlpError without scores, and for other shapes.
    """
    scores = needed(targets, "scores", loss)
    x = wide(logits, targets.observed, scores)
    known = (targets.observed > 0).to(x.dtype)
    return x, torch.where(targets.observed == 0, scores.to(x.dtype), known)


class SoftBinaryCrossEntropy:
    """Binary cross entropy with soft labels, the mean over all entries: CCD's loss before its term of consistency.

    That term, between an image and a copy in other colours, is left out, and so are weights of images, which are 1 with the
    published script's constants.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Do nothing: the loss is the same in every epoch."""

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        x, labels = soft_labels(logits, targets, "ccd")
        return -(labels * logsigmoid(x) + (1 - labels) * logsigmoid(-x)).mean()


class Divergence:
    """KL(softmax(logits) || labels / their sum), the mean over images: CDUL's loss, as reproduced in 2024.

    The classes of an image share one probability, so that its logits say which class is likelier, and not whether any is
    there. A label of 0, as of an observed negative, counts as the least normal number of single precision, 1.2e-38: ours, so that
    its loss is finite.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Do nothing: the loss is the same in every epoch."""

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        x, labels = soft_labels(logits, targets, "cdul")
        predicted = x.log_softmax(dim=1)
        labels = labels.clamp(min=LEAST)
        wanted = labels.log() - labels.sum(dim=1, keepdim=True).log()
        return (predicted.exp() * (predicted - wanted)).sum(dim=1).mean()
