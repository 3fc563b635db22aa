"""What every loss takes and gives: `Targets`, the `TrainingLoss` protocol, and the arithmetic that the papers share."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..errors import AevlpError


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What may be known of a batch; a loss reads what it needs and changes nothing.

    observed: (B, C) codes -1, 0, +1. pseudo: (B, C) codes, None where pseudo-labels are off. scores: (B, C) soft scores in
    [0, 1]. truth: (B, C) full labels 0/1, for upper bounds only. rows: (B,) int64 row of each sample in the training set.
    """

    observed: Tensor
    pseudo: Tensor | None = None
    scores: Tensor | None = None
    truth: Tensor | None = None
    rows: Tensor | None = None


class TrainingLoss(Protocol):
    """A loss as training loops see it."""

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Tell the loss which epoch begins, counted from 1, of how many."""
        ...

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        """Return the loss of a batch, a scalar; logits (B, C) are unbounded. float64 is computed in float64."""
        ...


def wide(logits: Tensor, *labels: Tensor | None) -> Tensor:
    """Return logits in at least single precision; AevlpError if they or the labels are not all of one shape (B, C)."""
    if logits.ndim != 2:
        raise AevlpError(f"logits must be (images, classes), found {tuple(logits.shape)}")
    for label in labels:
        if label is not None and label.shape != logits.shape:
            raise AevlpError(f"labels must have the logits' shape {tuple(logits.shape)}, found {tuple(label.shape)}")
    return logits if logits.dtype == torch.float64 else logits.float()


def negative_log(logits: Tensor, epsilon: float) -> Tensor:
    """Return -ln(sigmoid(logits) + epsilon), from the logits, so that it is exact and finite however large they are.

    For -ln(1 - p + epsilon) pass -logits.
    """
    log_p = logsigmoid(logits)
    return -torch.logaddexp(log_p, torch.full_like(log_p, epsilon).log())


def expected_positive_penalty(logits: Tensor, expected: float) -> Tensor:
    """Return ((mean number of predicted positives an image) - expected)² / C² (Cole et al., CVPR 2021, eq. 5)."""
    return ((logits.sigmoid().sum(dim=1).mean() - expected) / logits.shape[1]) ** 2
