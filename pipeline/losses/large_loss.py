"""The large-loss schemes: reject or correct the unknown labels that fit worst (Kim et al., "Large Loss Matters", CVPR 2022)."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from ..plugins import check_ranges
from .interface import Targets, rows_of_table, wide
from .schedules import clean_rate


class LargeLossRejection:
    """LL-R: unknown labels are negatives, and in each batch the entries of the largest losses are left out, more every epoch.

    delta_percent: in [0, 100], how much the share of labels taken as clean falls after each epoch (`clean_rate`). Before
    `set_epoch` it is epoch 1, in which nothing is left out.
    """

    name, corrects = "ll-r", False

    def __init__(self, num_classes: int, *, delta_percent: float = 0.2) -> None:
        check_ranges(f"loss {self.name}", ("delta_percent", delta_percent, 0 <= delta_percent <= 100, "in [0, 100]"))
        self.num_classes, self.delta_percent = num_classes, delta_percent
        self.clean_rate = 1.0

    def set_epoch(self, epoch: int, epochs: int) -> None:
        self.clean_rate = clean_rate(epoch, self.delta_percent)

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        logits = wide(logits, targets.observed)
        return large_loss(logits, targets.observed, 1 - self.clean_rate, self.corrects)[0]


class TemporaryCorrection(LargeLossRejection):
    """LL-Ct: as LL-R, but the entries of the largest losses count as positives in this batch."""

    name, corrects = "ll-ct", True


class PermanentCorrection(nn.Module):
    """LL-Cp: the entries of the largest losses count as positives, and those above the threshold do so for good.

    observed: (N, C) codes of the whole training set; then `corrected`, (N, C) bool, remembers, and targets must have rows.
    Without it nothing is remembered. delta_percent: in [0, 100], the share of a batch that is corrected from epoch 2 on.
    compat: "paper", or "published" for the released program, which compared the scheme's name by identity and so did as LL-Ct.
    """

    corrected: Tensor | None

    def __init__(
        self,
        num_classes: int,
        observed: Tensor | None = None,
        *,
        delta_percent: float = 0.2,
        compat: str = "paper",
    ) -> None:
        check_ranges(
            "loss ll-cp",
            ("delta_percent", delta_percent, 0 <= delta_percent <= 100, "in [0, 100]"),
            ("compat", compat, compat in ("paper", "published"), "paper or published"),
        )
        if observed is not None:
            shape = tuple(observed.shape)
            check_ranges(
                "loss ll-cp", ("observed", shape, shape[1:] == (num_classes,), f"(images, {num_classes} classes)")
            )
        super().__init__()
        self.num_classes, self.delta_percent, self.published = num_classes, delta_percent, compat == "published"
        self.clean_rate = 1.0
        nothing = None if observed is None or self.published else torch.zeros_like(observed, dtype=torch.bool)
        self.register_buffer("corrected", nothing)

    def set_epoch(self, epoch: int, epochs: int) -> None:
        self.clean_rate = clean_rate(epoch, self.delta_percent)

    def forward(self, logits: Tensor, targets: Targets) -> Tensor:
        logits, observed = wide(logits, targets.observed), targets.observed
        if self.published:
            return large_loss(logits, observed, 1 - self.clean_rate, True)[0]
        share = 0 if self.clean_rate == 1 else self.delta_percent / 100
        if self.corrected is None:
            return large_loss(logits, observed, share, True)[0]
        rows = rows_of_table(targets, self.corrected, "ll-cp")
        before = self.corrected[rows]
        observed = torch.where(before & (observed == 0), torch.ones_like(observed), observed)
        loss, above = large_loss(logits, observed, share, True)
        self.corrected[rows] = before | above
        return loss


def large_loss(logits: Tensor, observed: Tensor, share: float, corrects: bool) -> tuple[Tensor, Tensor]:
    """Return the mean loss of a batch (B, C), and which unknown labels lie above the threshold, (B, C) bool.

    The threshold is the k-th largest loss of an unknown label, k = ceil(B C share) and at most B C. Labels at or above it are
    taken for positives if it `corrects`, else have no loss. With share 0 all losses count. Kim et al., CVPR 2022.
    """
    positive, negative = -logsigmoid(logits), -logsigmoid(-logits)
    entries = torch.where(observed > 0, positive, negative)
    unknown = observed == 0
    ranked = torch.where(unknown, entries, torch.zeros_like(entries)).detach()
    count = min(math.ceil(ranked.numel() * share), ranked.numel())
    if count == 0:
        return entries.mean(), torch.zeros_like(unknown)
    threshold = ranked.flatten().topk(count).values[-1]
    # A threshold of 0, where k exceeds the unknown labels, must not reach the observed ones.
    large = unknown & (ranked >= threshold)
    return torch.where(large, positive if corrects else torch.zeros_like(entries), entries).mean(), ranked > threshold
