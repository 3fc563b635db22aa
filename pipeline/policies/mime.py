"""MIME's labels: what the classifier is sure of is positive for good (Liu et al., "Revisiting Pseudo-Label …", ICML 2023)."""

from typing import Any

import numpy as np
import torch

from ..errors import AevlpError
from .interface import Known, Labels
from .same_images import of_same_images


class Mime:
    """Positives from the classifier's own predictions, raised after each epoch from `warmup_epoch` on; never from cosines.

    theta: in [0, 1], a label whose probability exceeds it is raised.
    """

    reads: tuple[str, ...] = ()

    def __init__(self, *, theta: float = 0.95, warmup_epoch: int = 2) -> None:
        if not 0 <= theta <= 1:
            raise AevlpError(f"theta of policy mime must be in [0, 1], found {theta}")
        self.theta, self.warmup_epoch = theta, warmup_epoch
        self.labels: np.ndarray | None = None
        self.wants_predictions = False

    def set_epoch(self, epoch: int, epochs: int) -> None:
        self.wants_predictions = epoch >= self.warmup_epoch

    def scores(self, similarity: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        nothing = np.zeros(observed.shape, np.float32)
        return nothing, nothing.copy()

    def __call__(self, known: Known) -> Labels:
        """Return a code +1 with score 1 where a label was raised that was not observed; AevlpError if the images changed."""
        if self.labels is None:
            self.labels = known.observed.astype(np.int8)
        labels = of_same_images("mime", self.labels, known.observed.shape, "observed codes")
        raised = (labels == 1) & (known.observed != 1)
        return Labels(raised.astype(np.int8), raised.astype(np.float32))

    def after_epoch(self, logits: np.ndarray) -> None:
        labels = of_same_images("mime", self.labels, logits.shape, "logits")
        self.labels = raise_labels(labels, logits, self.theta)

    def state_dict(self) -> dict[str, Any]:
        return {} if self.labels is None else {"labels": torch.from_numpy(self.labels)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.labels = state_dict["labels"].numpy().astype(np.int8) if "labels" in state_dict else None


def raise_labels(labels: np.ndarray, logits: np.ndarray, theta: float) -> np.ndarray:
    """Return int8 codes (N, C), each of `labels` raised by 1, to 1 at most, where the logits' probability exceeds theta.

    So an observed negative becomes unknown first, and positive the next time. Raises AevlpError where the shapes differ.
    """
    if labels.shape != logits.shape:
        raise AevlpError(f"logits must have the labels' shape {labels.shape}, found {logits.shape}")
    sure = np.exp(-np.logaddexp(0, -logits)) > theta
    return np.where(sure, np.minimum(labels + 1, 1), labels).astype(np.int8)


def class_prior(observed: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """Return how frequent each class is, (C,) float64, from single positive labels and how many positives each image truly has.

    observed: (N, C) codes. positives: (N,) true counts, an oracle; an image with none counts as one that shows nothing. The
    share of images on which a class was observed, divided by the mean chance that a positive label is the observed one.
    Raises AevlpError where the lengths differ or no image has a positive.
    """
    if positives.shape != observed.shape[:1]:
        raise AevlpError(f"positives must be {observed.shape[:1]}, one count an image, found {positives.shape}")
    some = positives > 0
    if not some.any():
        raise AevlpError("positives must be above 0 for one image at least, found none")
    chance = (1 / positives[some]).sum() / len(positives)
    return (observed == 1).mean(axis=0) / chance
