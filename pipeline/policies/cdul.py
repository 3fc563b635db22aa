"""CDUL: labels from the whole image and its tiles, refined by the classifier (ICCV 2023, as reproduced by others in 2024)."""

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from ..errors import AevlpError
from ..labels.damp import DampSettings, codes_from_scores
from ..plugins import check_ranges
from .arrays import numbers, require
from .interface import Known, Labels
from .observed_scores import with_observed
from .same_images import of_same_images
from .view_probabilities import view_probabilities

INSIDE = 1e-6  # how near a label may be to 0 and 1, where its logit would be infinite
BATCH = 8  # of the paper: the step of an update is divided by it


def cdul_labels(similarity: ArrayLike, temperature: float, threshold: float = 0.0, balance: float = 0.0) -> np.ndarray:
    """Return the first labels (n, C) float64, (g + a + balance * |g - a|) / 2, which do not sum to 1 (CDUL, ICCV 2023).

    similarity: (n, V, C) cosines, view 0 the whole image, then the tiles. Of a view's probabilities, softmax over classes of
    cosine / temperature, g are the whole image's, and a the highest of any tile where that is at least `threshold`, else the
    lowest; where there is no tile the highest is 0 and the lowest 1. temperature: > 0. threshold: in [0, 1]. balance: in [-1, 1],
    1 for the greater of g and a, -1 for the smaller. Raises AevlpError for anything else.
    """
    cosines = numbers("similarity", similarity, None, None, None, what="images, views, classes")
    if not cosines.shape[1] or not cosines.shape[2]:
        raise AevlpError(f"similarity must have a view and a class at least, found shape {cosines.shape}")
    require("temperature", temperature, 0 < temperature < np.inf, "above 0")
    require("threshold", threshold, 0 <= threshold <= 1, "in [0, 1]")
    require("balance", balance, -1 <= balance <= 1, "in [-1, 1]")
    return _aggregated(view_probabilities(cosines, temperature), threshold, balance)


def cdul_update(labels: ArrayLike, logits: ArrayLike, sigma: float = 1.0) -> np.ndarray:
    """Return labels (n, C) float64 after a step towards the classifier's predictions (CDUL, ICCV 2023).

    sigmoid(logit(y) - psi * d): d is the gradient by y of the mean over the n images of KL(y / sum y || softmax(logits)), so
    that a step is the smaller the more images there are, and psi the density at y of the normal distribution of mean 1/2 and
    deviation `sigma`, above 0. labels: (n, C) inside (0, 1). logits: (n, C). Raises AevlpError for anything else.
    """
    before = numbers("labels", labels, None, None, what="images, classes")
    return _stepped(before, numbers("logits", logits, *before.shape, what="images, classes"), sigma, len(before))


class Cdul:
    """Mean of the whole image's and the tiles' highest probability as labels, moved by the classifier's predictions.

    From the paper: aggregation and update. Ours: an update after whole epochs, from predictions in evaluation mode, with the
    paper's batch of 8 for its step; every `frequency` epochs, 10 of 100 in the paper; observed labels win over both; codes are as
    `Damp`'s, of the labels. Of an image without tiles the whole image is the only tile.

    temperature, threshold, top_k, negative_ratio: as for `Damp`. gate, balance: `threshold` and `balance` of `cdul_labels`.
    frequency: >= 1. warmup_epoch: >= 0, epochs without an update. sigma: > 0. Raises AevlpError for anything else.
    """

    reads: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        temperature: float,
        threshold: float,
        top_k: int,
        negative_ratio: float,
        gate: float = 0.0,
        balance: float = 0.0,
        frequency: int = 1,
        warmup_epoch: int = 0,
        sigma: float = 1.0,
        compat: str = "paper",
    ) -> None:
        self.settings = DampSettings(temperature, 0.0, threshold, top_k, negative_ratio, compat)
        check_ranges(
            "policy cdul",
            ("gate", gate, 0 <= gate <= 1, "in [0, 1]"),
            ("balance", balance, -1 <= balance <= 1, "in [-1, 1]"),
            ("frequency", frequency, frequency >= 1, "at least 1"),
            ("warmup_epoch", warmup_epoch, warmup_epoch >= 0, "at least 0"),
            ("sigma", sigma, sigma > 0, "above 0"),
        )
        self.gate, self.balance, self.sigma = gate, balance, sigma
        self.frequency, self.warmup_epoch = frequency, warmup_epoch
        self._labels: np.ndarray | None = None
        self.epoch = 1

    def set_epoch(self, epoch: int, epochs: int) -> None:
        self.epoch = epoch

    @property
    def wants_predictions(self) -> bool:
        return self.epoch > self.warmup_epoch and self.epoch % self.frequency == 0

    def scores(self, similarity: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the first labels, and the mean of the whole image's and the tiles' mean probability."""
        of_views = view_probabilities(similarity, self.settings.temperature)
        if of_views.shape[1] == 1:
            of_views = np.concatenate([of_views, of_views], axis=1)
        whole, tiles = of_views[:, 0], of_views[:, 1:]
        final = _aggregated(of_views, self.gate, self.balance).clip(0, 1)
        return final.astype(np.float32), ((whole + tiles.mean(axis=1)) / 2).astype(np.float32)

    def __call__(self, known: Known) -> Labels:
        """Return the labels; the first call makes them of the scores, a later one is about the same images."""
        if self._labels is None:
            self._labels = known.final.astype(np.float64).clip(INSIDE, 1 - INSIDE)
        remembered = of_same_images("cdul", self._labels, known.final.shape, "scores")
        labels = with_observed(remembered, known.observed)
        return Labels(codes_from_scores(labels, known.ranking, self.settings), labels)

    def after_epoch(self, logits: np.ndarray) -> None:
        """Move the labels towards the predictions of their images; logits: (n, C)."""
        labels = of_same_images("cdul", self._labels, logits.shape, "logits")
        after = _stepped(labels, numbers("logits", logits, *labels.shape, what="images, classes"), self.sigma, BATCH)
        self._labels = after.clip(INSIDE, 1 - INSIDE)

    def state_dict(self) -> dict[str, Any]:
        return {} if self._labels is None else {"labels": torch.from_numpy(self._labels)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self._labels = state_dict["labels"].cpu().numpy() if state_dict else None


def _aggregated(of_views: np.ndarray, threshold: float, balance: float) -> np.ndarray:
    whole, tiles = of_views[:, 0], of_views[:, 1:]
    highest, lowest = tiles.max(axis=1, initial=0), tiles.min(axis=1, initial=1)
    aggregate = np.where(highest >= threshold, highest, lowest)
    return (whole + aggregate + balance * np.abs(whole - aggregate)) / 2


def _stepped(labels: np.ndarray, logits: np.ndarray, sigma: float, batch: int) -> np.ndarray:
    """Return the labels after a step; batch: how many images the loss is the mean of."""
    require("sigma", sigma, sigma > 0, "above 0")
    if not ((labels > 0) & (labels < 1)).all():
        odd = labels[~((labels > 0) & (labels < 1))][0]
        raise AevlpError(f"labels must be above 0 and below 1, where their logits are finite, found {odd}")
    total = labels.sum(axis=1, keepdims=True)
    share = labels / total
    predicted = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)  # ln of the softmax
    apart = np.log(share) - predicted
    gradient = (apart - (share * apart).sum(axis=1, keepdims=True)) / (total * max(batch, 1))
    density = np.exp(-(((labels - 0.5) / sigma) ** 2) / 2) / (sigma * np.sqrt(2 * np.pi))
    moved = np.log(labels) - np.log1p(-labels) - density * gradient
    return np.exp(-np.logaddexp(0, -moved))
