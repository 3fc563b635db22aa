"""Entropy maximisation and asymmetric pseudo-labels, EM and EM-APL (Zhou et al., Acknowledging the Unknown, ECCV 2022)."""

import torch
from torch import Tensor, nn

from ..errors import AevlpError
from ..plugins import check_ranges
from ..policies.apl import assign_soft_negatives, check_epochs
from .binary_cross_entropy import cross_entropies
from .interface import Targets, rows_of_table, wide


def entropy(logits: Tensor) -> Tensor:
    """Return -p ln(p + 1e-5) - (1 - p) ln(1 - p + 1e-5) of every entry, (B, C): ln 2 at most, about 0 where p is certain."""
    positive, negative = cross_entropies(logits)
    return logits.sigmoid() * positive + (-logits).sigmoid() * negative


def entropy_maximization(logits: Tensor, observed: Tensor, alpha: float) -> Tensor:
    """Return the loss of every entry, (B, C): of a positive its own, of an unknown label -alpha times the entropy, else 0."""
    positive, _ = cross_entropies(logits)
    entries = torch.where(observed == 0, -alpha * entropy(logits), torch.zeros_like(logits))
    return torch.where(observed == 1, positive, entries)


class EntropyMaximization:
    """EM: unknown labels are neither positive nor negative, and their predictions are to stay uncertain.

    alpha: >= 0, weight of the entropy; the paper's are 0.2 for VOC, 0.1 for COCO and NUS-WIDE, 0.01 for CUB. An observed negative
    has no loss, as in the published program.
    """

    def __init__(self, num_classes: int, *, alpha: float = 0.2) -> None:
        check_ranges("loss em", ("alpha", alpha, alpha >= 0, "at least 0"))
        self.num_classes = num_classes
        self.alpha = alpha

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Do nothing: the loss is the same in every epoch."""

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        return entropy_maximization(wide(logits, targets.observed), targets.observed, self.alpha).mean()


class AsymmetricPseudoLabels(nn.Module):
    """EM-APL: EM, and after each epoch from `warmup_epoch` on the least likely unknown labels become soft negatives for good.

    observed: (N, C) codes of the whole training set, of which the buffer `labels` is made, float32: 1 observed, 0 unknown, in
    (-1, 0) a soft negative that was predicted with minus that probability, -1 an observed negative, which has no loss. Without
    `observed` such labels are read from `Targets.observed`. alpha, beta: >= 0, weight of an unknown label's entropy and of a soft
    negative. warmup_epoch: >= 1. neg_proportion: in [0, 1], share of a class's unknowns that become negative while training
    lasts. compat: "published" labels nothing after an epoch of a single batch. A call raises AevlpError for `Targets.rows` that
    are missing or not in the labels. Before `set_epoch` it is epoch 1 of 10.
    """

    labels: Tensor | None
    unknown_at_start: Tensor | None
    batches: Tensor

    def __init__(
        self,
        num_classes: int,
        observed: Tensor | None = None,
        *,
        alpha: float = 0.2,
        beta: float = 0.02,
        warmup_epoch: int = 5,
        neg_proportion: float = 0.9,
        compat: str = "paper",
    ) -> None:
        super().__init__()
        check_ranges(
            "loss em-apl",
            ("alpha", alpha, alpha >= 0, "at least 0"),
            ("beta", beta, beta >= 0, "at least 0"),
            ("warmup_epoch", warmup_epoch, warmup_epoch >= 1, "at least 1"),
            ("neg_proportion", neg_proportion, 0 <= neg_proportion <= 1, "in [0, 1]"),
            ("compat", compat, compat in ("paper", "published"), "paper or published"),
        )
        if observed is not None and (observed.ndim != 2 or observed.shape[1] != num_classes):
            raise AevlpError(
                f"observed of loss em-apl must be (images, {num_classes} classes), found {tuple(observed.shape)}"
            )
        self.num_classes = num_classes
        self.alpha, self.beta = alpha, beta
        self.warmup_epoch, self.neg_proportion = warmup_epoch, neg_proportion
        self.compat = compat
        device = None if observed is None else observed.device
        self.register_buffer("labels", None if observed is None else observed.to(torch.float32, copy=True))
        self.register_buffer("unknown_at_start", None if observed is None else (observed == 0).sum(dim=0))
        # How many batches this epoch had: a buffer, so that a run resumed within an epoch knows.
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64, device=device))
        self.set_epoch(1, max(10, warmup_epoch + 1))

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Begin an epoch; AevlpError where training is no longer than the warm-up."""
        check_epochs("loss em-apl", epochs, self.warmup_epoch)
        self.epoch, self.epochs = epoch, epochs
        self.batches.zero_()

    @property
    def wants_predictions(self) -> bool:
        """Whether this epoch's end labels: there are labels to change, and the warm-up's last epoch has begun."""
        return self.labels is not None and self.epoch >= self.warmup_epoch

    def after_epoch(self, logits: Tensor) -> None:
        """Turn the least likely unknown labels of each class into soft negatives.

        logits: (N, C) of all training images in the order of their rows. Raises AevlpError for another shape or a logit that is
        no number, and where no `observed` was given.
        """
        if self.labels is None or self.unknown_at_start is None:
            raise AevlpError("loss em-apl has no labels: make it with observed=, the codes (N, C) of the training set")
        if self.compat == "published" and self.batches == 1:
            return
        labels = assign_soft_negatives(
            self.labels.cpu().numpy(),
            logits.detach().float().cpu().numpy(),
            self.unknown_at_start.cpu().numpy(),
            epochs=self.epochs,
            warmup_epoch=self.warmup_epoch,
            neg_proportion=self.neg_proportion,
        )
        self.labels.copy_(torch.from_numpy(labels))

    def forward(self, logits: Tensor, targets: Targets) -> Tensor:
        logits = wide(logits, targets.observed)
        self.batches += 1
        labels = targets.observed
        if self.labels is not None:
            labels = self.labels[rows_of_table(targets, self.labels, "em-apl")]
        positive, negative = cross_entropies(logits)
        share = -labels.to(logits.dtype)
        entries = entropy_maximization(logits, labels, self.alpha)
        soft = self.beta * (share * positive + (1 - share) * negative)
        return torch.where((share > 0) & (share < 1), soft, entries).mean()
