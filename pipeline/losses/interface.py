"""What every loss takes and gives: `Targets`, the `TrainingLoss` protocol, and the arithmetic that the papers share."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..errors import AevlpError

READABLE = (
    "observed",
    "pseudo",
    "scores",
    "truth",
    "features",
    "latent",
    "mirrored",
    "mirrored_features",
    "strong",
)


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What may be known of a batch; a loss reads what it needs and changes nothing.

    observed: (B, C) codes -1, 0, +1. pseudo: (B, C) codes, None where pseudo-labels are off. scores: (B, C) soft scores in
    [0, 1] that the codes were made of. truth: (B, C) full labels 0/1, for upper bounds only. rows: (B,) int64 row of each sample
    in the training set. features: (B, D) that the classifier's head sees, with gradient. latent: mean and deviation, (B, C, L)
    each, of a latent head, with gradient. mirrored, mirrored_features: logits (B, C) and features (B, D) of each image's other
    flip, without gradient. strong: logits (B, C) of a strongly changed view of each image, with gradient.
    """

    observed: Tensor
    pseudo: Tensor | None = None
    scores: Tensor | None = None
    truth: Tensor | None = None
    rows: Tensor | None = None
    features: Tensor | None = None
    latent: tuple[Tensor, Tensor] | None = None
    mirrored: Tensor | None = None
    mirrored_features: Tensor | None = None
    strong: Tensor | None = None


class TrainingLoss(Protocol):
    """A loss as training loops see it: a callable, and what it may have besides, each on its own.

    `set_epoch`: it is told which epoch begins. `state_dict` and `load_state_dict`: it remembers. `parameters`: it learns, with
    the optimiser of the classifier, at `lr_factor` times the learning rate. `wants_predictions` and `after_epoch`: `Watching`.
    An nn.Module has all but the first and the last two.
    """

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        """Return the loss of a batch, a scalar; logits (B, C) are unbounded. float64 is computed in float64."""
        ...


@runtime_checkable
class Scheduled(Protocol):
    """What is told which epoch begins, counted from 1, of how many."""

    def set_epoch(self, epoch: int, epochs: int) -> None: ...


@runtime_checkable
class Stateful(Protocol):
    """What learns or remembers, as an nn.Module does."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


@runtime_checkable
class Watching(Protocol):
    """What looks at predictions for the whole training set after an epoch, where it says within the epoch that it does."""

    @property
    def wants_predictions(self) -> bool: ...

    def after_epoch(self, logits: Any) -> None:
        """Take the logits (N, C) of all training images in the order of their rows, made in evaluation mode.

        A loss gets a tensor, a policy an array.
        """
        ...


def wide(logits: Tensor, *labels: Tensor | None) -> Tensor:
    """Return logits in at least single precision; AevlpError if they or the labels are not all of one shape (B, C)."""
    if logits.ndim != 2:
        raise AevlpError(f"logits must be (images, classes), found {tuple(logits.shape)}")
    for label in labels:
        if label is not None and label.shape != logits.shape:
            raise AevlpError(f"labels must have the logits' shape {tuple(logits.shape)}, found {tuple(label.shape)}")
    return logits if logits.dtype == torch.float64 else logits.float()


def needed(targets: Targets, name: str, loss: str) -> Tensor:
    """Return what a loss cannot do without: the field `name` of targets; AevlpError where it is None."""
    value = getattr(targets, name)
    if value is None:
        raise AevlpError(f"loss {loss} reads {name}, and these targets have none")
    return value


def logits_of(targets: Targets, name: str, logits: Tensor, loss: str) -> Tensor:
    """Return another view's logits (B, C), the field `name` of targets; AevlpError where it is None or of another shape."""
    other = needed(targets, name, loss)
    if other.shape != logits.shape:
        raise AevlpError(
            f"{name} must have the logits' shape {tuple(logits.shape)} for loss {loss}, found {tuple(other.shape)}"
        )
    return wide(other)


def features_of(targets: Targets, name: str, logits: Tensor, loss: str) -> Tensor:
    """Return features (B, D) in at least single precision, the field `name` of targets.

    Raises AevlpError where it is None, or has not a row for each of the logits.
    """
    features = needed(targets, name, loss)
    if features.ndim != 2 or len(features) != len(logits):
        raise AevlpError(
            f"{name} must be (images, width) for the logits' shape {tuple(logits.shape)}, found {tuple(features.shape)}"
        )
    return features if features.dtype == torch.float64 else features.float()


def rows_of_table(targets: Targets, table: Tensor, loss: str) -> Tensor:
    """Return the batch's rows (B,) of a table (N, C).

    Raises AevlpError where targets have none, not one for each image of the batch, or one that the table has not.
    """
    rows = needed(targets, "rows", loss)
    if rows.shape != targets.observed.shape[:1]:
        raise AevlpError(
            f"loss {loss} needs one row for each of {len(targets.observed)} images, found rows of shape {tuple(rows.shape)}"
        )
    on_cpu = rows.device.type == "cpu"  # on a GPU, to look at them is to wait for it, and indexing checks them there
    if on_cpu and len(rows) and not (rows.min() >= 0 and rows.max() < len(table)):
        raise AevlpError(
            f"loss {loss} remembers {len(table)} images, so rows must be 0 to {len(table) - 1}, "
            f"found {int(rows.min())} to {int(rows.max())}: make the loss from the training set that it sees"
        )
    return rows


def effective_codes(targets: Targets) -> Tensor:
    """Return the codes (B, C): observed where that is not 0, else pseudo, else 0."""
    if targets.pseudo is None:
        return targets.observed
    return torch.where(targets.observed != 0, targets.observed, targets.pseudo.to(targets.observed.dtype))


def negative_log(logits: Tensor, epsilon: float) -> Tensor:
    """Return -ln(sigmoid(logits) + epsilon), from the logits, so that it is exact and finite however large they are.

    For -ln(1 - p + epsilon) pass -logits.
    """
    log_p = logsigmoid(logits)
    return -torch.logaddexp(log_p, torch.full_like(log_p, epsilon).log())


def expected_positive_penalty(logits: Tensor, expected: float) -> Tensor:
    """Return ((mean number of predicted positives an image) - expected)² / C² (Cole et al., CVPR 2021, eq. 5)."""
    return ((logits.sigmoid().sum(dim=1).mean() - expected) / logits.shape[1]) ** 2
