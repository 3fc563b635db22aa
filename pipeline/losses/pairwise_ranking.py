"""Pairwise ranking, PR (Cole et al., Multi-Label Learning from Single Positive Labels, CVPR 2021)."""

from torch import Tensor

from .interface import Targets, wide


class PairwiseRanking:
    """The sum of max(0, 1 - p_i + p_j) over an image's observed positives i and its unknown classes j, as a mean over B·C.

    Probabilities differ by 1 at most, so no pair is ever beyond the margin and the sum over pairs is a sum over classes: time and
    memory are those of the logits.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Do nothing: the loss is the same in every epoch."""

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        logits = wide(logits, targets.observed)
        positive, unknown = (targets.observed == 1).to(logits.dtype), (targets.observed == 0).to(logits.dtype)
        too_low = (positive * (-logits).sigmoid()).sum(dim=1)
        too_high = (unknown * logits.sigmoid()).sum(dim=1)
        return (unknown.sum(dim=1) * too_low + positive.sum(dim=1) * too_high).sum() / logits.numel()
