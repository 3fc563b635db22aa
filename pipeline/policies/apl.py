"""Asymmetric pseudo-labels: negatives from the classifier's own predictions (Zhou et al., Acknowledging the Unknown, 2022)."""

from typing import Any

import numpy as np
import torch

from ..errors import AevlpError
from .interface import Known, Labels

# A soft negative is kept inside (-1, 0), apart from an unknown label (0) and from an observed negative (-1).
LOWEST, HIGHEST = np.finfo(np.float32).tiny, 1 - np.finfo(np.float32).epsneg


def assign_soft_negatives(
    labels: np.ndarray,
    logits: np.ndarray,
    unknown_at_start: np.ndarray,
    *,
    epochs: int,
    warmup_epoch: int,
    neg_proportion: float,
) -> np.ndarray:
    """Return labels (n, C) float32 in which the least likely unknowns of each class have become soft negatives.

    labels: (n, C), 1 a positive, 0 unknown, -1 a negative, in (-1, 0) a soft negative, which is minus the probability p that it
    was predicted with. logits: (n, C) of the same images. unknown_at_start: (C,) images whose label was unknown before training.
    One pass takes trunc(neg_proportion · unknown_at_start / (epochs - warmup_epoch)) images a class, as far as there are any; the
    earlier image goes first where logits are equal. Raises AevlpError where the shapes differ, a logit is no number, or epochs is
    not above warmup_epoch (Zhou et al., ECCV 2022).
    """
    check_epochs("assigning soft negatives", epochs, warmup_epoch)
    if logits.shape != labels.shape:
        raise AevlpError(f"logits must have the labels' shape {labels.shape}, found {logits.shape}")
    if np.isnan(logits).any():
        raise AevlpError(
            f"{int(np.isnan(logits).sum())} of {logits.size} logits are no numbers: lower the learning rate"
        )
    after = labels.astype(np.float32)
    each = (neg_proportion * unknown_at_start.astype(np.float64) / (epochs - warmup_epoch)).astype(np.int64)
    p = np.exp(-np.logaddexp(0, -logits.astype(np.float64))).clip(LOWEST, HIGHEST)
    for c, count in enumerate(each):
        unknown = np.flatnonzero(labels[:, c] == 0)
        least = unknown[np.argsort(logits[unknown, c], kind="stable")[:count]]
        after[least, c] = -p[least, c]
    return after


def check_epochs(what: str, epochs: int, warmup_epoch: int) -> None:
    """Raise AevlpError where training ends within the warm-up, so that there is no epoch to spread the labelling over."""
    if epochs <= warmup_epoch:
        raise AevlpError(
            f"{what} needs more epochs than warmup_epoch, found {epochs} and {warmup_epoch}: raise epochs or lower warmup_epoch"
        )


class Apl:
    """After each epoch from `warmup_epoch` on, a share of each class's unknown labels becomes negative for good.

    warmup_epoch: >= 1. neg_proportion: in [0, 1], the share while training lasts. It reads no cosines. Before `set_epoch` it is
    epoch 1 of 10.
    """

    reads: tuple[str, ...] = ()

    def __init__(self, *, warmup_epoch: int = 5, neg_proportion: float = 0.9) -> None:
        if not warmup_epoch >= 1:
            raise AevlpError(f"warmup_epoch of policy apl must be at least 1, found {warmup_epoch}")
        if not 0 <= neg_proportion <= 1:
            raise AevlpError(f"neg_proportion of policy apl must be in [0, 1], found {neg_proportion}")
        self.warmup_epoch, self.neg_proportion = warmup_epoch, neg_proportion
        self.labels: np.ndarray | None = None
        self.unknown_at_start: np.ndarray | None = None
        self.set_epoch(1, max(10, warmup_epoch + 1))

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Begin an epoch; AevlpError where training is no longer than the warm-up."""
        check_epochs("policy apl", epochs, self.warmup_epoch)
        self.epoch, self.epochs = epoch, epochs

    @property
    def wants_predictions(self) -> bool:
        return self.epoch >= self.warmup_epoch

    def scores(self, similarity: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return zeros, (n, C) float32 each: nothing is read of the cosines."""
        return np.zeros(observed.shape, np.float32), np.zeros(observed.shape, np.float32)

    def __call__(self, known: Known) -> Labels:
        """Return codes -1 and scores p where a soft negative was assigned, else 0; the first call says what is observed.

        Raises AevlpError where a later call is about other numbers of images or classes.
        """
        if self.labels is None:
            self.labels = known.observed.astype(np.float32)
            self.unknown_at_start = (known.observed == 0).sum(axis=0)
        if known.observed.shape != self.labels.shape:
            raise AevlpError(
                f"policy apl remembers labels of shape {self.labels.shape}, found {known.observed.shape}: make a new policy"
            )
        soft = (self.labels < 0) & (self.labels > -1)
        return Labels(np.where(soft, -1, 0).astype(np.int8), np.where(soft, -self.labels, np.float32(0)))

    def after_epoch(self, logits: np.ndarray) -> None:
        """Turn the least likely unknown labels into soft negatives; logits: (n, C) of the images of the first call.

        Raises AevlpError where there was no call yet, for another shape, and for a logit that is no number.
        """
        if self.labels is None or self.unknown_at_start is None:
            raise AevlpError(
                "policy apl knows no labels yet: call it with the observed ones before the first epoch ends"
            )
        self.labels = assign_soft_negatives(
            self.labels,
            logits,
            self.unknown_at_start,
            epochs=self.epochs,
            warmup_epoch=self.warmup_epoch,
            neg_proportion=self.neg_proportion,
        )

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the labels and how many were unknown at the start; nothing before the first call."""
        if self.labels is None or self.unknown_at_start is None:
            return {}
        return {
            "labels": torch.from_numpy(self.labels),
            "unknown_at_start": torch.from_numpy(self.unknown_at_start),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.labels = state_dict["labels"].cpu().numpy() if state_dict else None
        self.unknown_at_start = state_dict["unknown_at_start"].cpu().numpy() if state_dict else None
