"""Expected positive regularisation, EPR (Cole et al., Multi-Label Learning from Single Positive Labels, CVPR 2021)."""

import torch
from torch import Tensor

from ..plugins import check_ranges
from .binary_cross_entropy import cross_entropies
from .interface import Targets, expected_positive_penalty, wide


class ExpectedPositives:
    """The loss of observed positives alone, with a penalty that keeps the mean number of predicted positives near a given one.

    expected_positives: >= 0, positives an image; the paper's are 1.5 for VOC, 2.9 for COCO, 1.9 for NUS-WIDE, 31.4 for CUB.
    """

    def __init__(self, num_classes: int, *, expected_positives: float = 1.5) -> None:
        check_ranges("loss epr", ("expected_positives", expected_positives, expected_positives >= 0, "at least 0"))
        self.num_classes = num_classes
        self.expected_positives = expected_positives

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Do nothing: the loss is the same in every epoch."""

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        logits = wide(logits, targets.observed)
        positive, _ = cross_entropies(logits)
        known = torch.where(targets.observed == 1, positive, torch.zeros_like(logits)).mean()
        return known + expected_positive_penalty(logits, self.expected_positives)
