"""MIME (Liu et al., "Revisiting Pseudo-Label for Single-Positive Multi-Label Learning", ICML 2023)."""

import torch
from torch import Tensor, nn

from ..errors import AevlpError
from ..plugins import check_ranges
from ..policies.mime import raise_labels
from .assume_negative import AssumeNegative
from .interface import Targets, needed, rows_of_table, wide


class MutualInformation(nn.Module):
    """Assume negative plus a divergence of the latent, on labels to which the classifier's confident predictions are added.

    observed: (N, C) codes of the whole training set; then `labels`, (N, C) int8, starts there and is raised after epochs, and
    targets must have rows. Without it the labels are the batch's observed codes. theta: in [0, 1], a label whose probability
    exceeds it is raised. beta: >= 0, weight of the divergence. T: > 0, temperature of the loss, not of the predictions.
    warmup_epoch: the first epoch after which labels are raised. An observed negative, which the paper's setting does not have,
    has no loss until it is raised.
    """

    labels: Tensor | None

    def __init__(
        self,
        num_classes: int,
        observed: Tensor | None = None,
        *,
        theta: float = 0.95,
        beta: float = 1e-4,
        T: float = 1.0,
        warmup_epoch: int = 2,
    ) -> None:
        check_ranges(
            "loss mime",
            ("theta", theta, 0 <= theta <= 1, "in [0, 1]"),
            ("beta", beta, beta >= 0, "at least 0"),
            ("T", T, T > 0, "above 0"),
        )
        if observed is not None:
            shape = tuple(observed.shape)
            check_ranges(
                "loss mime", ("observed", shape, shape[1:] == (num_classes,), f"(images, {num_classes} classes)")
            )
        super().__init__()
        self.theta, self.beta, self.T, self.warmup_epoch = theta, beta, T, warmup_epoch
        self.assume_negative = AssumeNegative(num_classes)
        self.register_buffer("labels", None if observed is None else observed.to(torch.int8, copy=True))
        self.set_epoch(1, 1)

    def set_epoch(self, epoch: int, epochs: int) -> None:
        self.warm = epoch >= self.warmup_epoch

    def forward(self, logits: Tensor, targets: Targets) -> Tensor:
        logits = wide(logits, targets.observed) / self.T
        mean, deviation = needed(targets, "latent", "mime")
        for part in (mean, deviation):
            if part.ndim != 3 or part.shape[:2] != logits.shape:
                raise AevlpError(
                    f"latent must be (images, classes, width) with the logits' shape {tuple(logits.shape)} in front, "
                    f"found {tuple(part.shape)}"
                )
        labels = targets.observed if self.labels is None else self.labels[rows_of_table(targets, self.labels, "mime")]
        return self.assume_negative(logits, Targets(observed=labels)) + self.beta * latent_divergence(mean, deviation)

    @property
    def wants_predictions(self) -> bool:
        return self.warm and self.labels is not None

    def after_epoch(self, logits: Tensor) -> None:
        """Raise the labels that logits (N, C) of all training images are sure of."""
        if self.labels is not None:
            raised = raise_labels(self.labels.cpu().numpy(), wide(logits.detach()).cpu().numpy(), self.theta)
            self.labels.copy_(torch.from_numpy(raised))


def latent_divergence(mean: Tensor, deviation: Tensor) -> Tensor:
    """Return the mean divergence of N(mean, deviation²) from N(0, 1), a scalar; both of one shape, the deviation above 0."""
    mean, deviation = (part if part.dtype == torch.float64 else part.float() for part in (mean, deviation))
    return -(1 + 2 * deviation.log() - mean**2 - deviation**2).mean() / 2
