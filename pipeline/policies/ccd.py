"""CCD: labels from scores without the bias of CLIP, corrected once by what crops show (CVPR 2025)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from ..errors import AevlpError, some
from ..labels.damp import DampSettings, codes_from_scores
from ..plugins import check_ranges
from .arrays import numbers, require
from .interface import Known, Labels
from .observed_scores import with_observed
from .same_images import of_same_images
from .view_probabilities import view_probabilities

OF_ENTROPY = 1e-10  # added to a probability before its logarithm, as in the released program
LOOK = 100  # images between two looks of `ccd_cut`
STEP, BAND = 0.001, 2
FLOOR = 0.05  # of the script for the 20 classes of VOC
ROUNDING = 1e-6


def ccd_bias(scores: ArrayLike, gate: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Return each class's bias (C,) float64, and which images are certain (n,) bool (CCD, CVPR 2025, steps 1 and 2).

    scores: (n, C) probabilities of whole images. gate: >= 0, nats: an image whose entropy is above it is not certain. A class's
    bias is the mean of its scores over the certain images in which it is first; of a class that is never first it is 1, which is
    ours: the released program divides by zero there. Equal scores: the lower class is first.
    Raises AevlpError for other shapes, numbers that are not finite, and what is out of range.
    """
    values = _probabilities("scores", scores)
    require("gate", gate, gate >= 0, "at least 0")
    certain = -(values * np.log(values + OF_ENTROPY)).sum(axis=1) <= gate
    first = _first(values, certain)
    counts = first.sum(axis=0)
    bias = np.divide((values * first).sum(axis=0), counts, out=np.ones(values.shape[1]), where=counts > 0)
    return bias, certain


def ccd_labels(scores: ArrayLike, bias: ArrayLike, floor: float | None) -> np.ndarray:
    """Return the first labels clip(max(scores, floor) / bias, 0, 1), (n, C) float64 (CCD, CVPR 2025, step 3).

    scores: (n, C) probabilities. bias: (C,) above 0, ones for none. floor: in [0, 1], 0 or None for none; it comes before the
    bias, so that the least label of a class is floor / bias. Raises AevlpError as `ccd_bias` does.
    """
    values = _probabilities("scores", scores)
    return (np.maximum(values, _floor(floor)) / _bias(bias, values.shape[1])).clip(0, 1)


def ccd_correct(
    labels: ArrayLike, crop_scores: ArrayLike, bias: ArrayLike, floor: float | None, ratio: float
) -> np.ndarray:
    """Return clip(ratio * labels + (1 - ratio) * u, 0, 1), (n, C) float64, u = max(crop_scores, floor) / bias.

    labels: (n, C). crop_scores: (n, C), the highest score that any crop of the image gives a class, 0 where it has no crop; or
    (n, K, C), of K crops each. bias, floor: as for `ccd_labels`; u itself is not clipped. ratio: in [0, 1].
    Raises AevlpError as `ccd_bias` does (CCD, CVPR 2025, step 4).
    """
    before = numbers("labels", labels, None, None, what="images, classes")
    crops = np.asarray(crop_scores)
    if crops.ndim == 3:
        whole = numbers("crop_scores", crops, len(before), None, before.shape[1], what="images, crops, classes")
        crops = whole.max(axis=1, initial=0)
    crops = numbers("crop_scores", crops, *before.shape, what="images, classes")
    require("ratio", ratio, 0 <= ratio <= 1, "in [0, 1]")
    seen = np.maximum(crops, _floor(floor)) / _bias(bias, before.shape[1])
    return (ratio * before + (1 - ratio) * seen).clip(0, 1)


def ccd_cut(probabilities: np.ndarray, start: float, bound: float) -> tuple[float, bool]:
    """Return the probability from which on a class gets a crop, and whether it was found (CCD, CVPR 2025, step 5).

    probabilities: (n, C) of the classifier, in the order in which images are visited. start: the least cut. It is raised by
    0.001 until more than `bound` and fewer than `bound` + 2 classes an image reach it, counted anew at the images 100, 200, …
    """
    cut, classes = start, np.float32(0)
    for number, row in enumerate(probabilities.astype(np.float32)):
        classes += np.float32((row >= np.float32(cut)).sum() / LOOK)
        if number and number % LOOK == 0:
            if bound < classes < bound + BAND:
                return cut, True
            cut, classes = cut + STEP, np.float32(0)
    return cut, False


class Ccd:
    """Debiased scores of whole images as labels; from epoch `warmup_epoch` + 1 on, corrected by what the tiles show.

    The paper's: bias, floor, the correction and its constants, of the published script. Ours: crops are the tiles, of which the
    one that gives a class most counts, for classes that the classifier gives at least the cut; images are visited in a fixed
    random order; the floor is 1 / C, or 0.05 if that is less; codes are as `Damp`'s, of the labels above the floor, the lowest by
    whole image and tiles being negative.

    temperature, top_k, negative_ratio: as for `Damp`. threshold: in [0, 1], least label of a positive. gate, floor, ratio: as for
    `ccd_bias`, `ccd_labels` and `ccd_correct`. warmup_epoch: >= 1, epochs before the first correction. corrections: >= 0, how
    many there are, an epoch each. cut: in [0, 1], and bound: >= 0, as for `ccd_cut`. Raises AevlpError for anything else.
    """

    reads: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        temperature: float,
        top_k: int,
        negative_ratio: float,
        threshold: float = 0.3,
        gate: float = 2.0,
        floor: float | None = None,
        ratio: float = 0.2,
        warmup_epoch: int = 2,
        corrections: int = 1,
        cut: float = 0.05,
        bound: float = 4.0,
        compat: str = "paper",
    ) -> None:
        self.settings = DampSettings(temperature, 0.0, threshold, top_k, negative_ratio, compat)
        check_ranges(
            "policy ccd",
            ("gate", gate, gate >= 0, "at least 0"),
            ("floor", floor, floor is None or 0 <= floor <= 1, "in [0, 1]"),
            ("ratio", ratio, 0 <= ratio <= 1, "in [0, 1]"),
            ("warmup_epoch", warmup_epoch, warmup_epoch >= 1, "at least 1"),
            ("corrections", corrections, corrections >= 0, "at least 0"),
            ("cut", cut, 0 <= cut <= 1, "in [0, 1]"),
            ("bound", bound, bound >= 0, "at least 0"),
        )
        self.gate, self.floor, self.ratio, self.bound = gate, floor, ratio, bound
        self.warmup_epoch, self.corrections = warmup_epoch, corrections
        self._cut, self._found_cut = cut, False
        self._labels: np.ndarray | None = None
        self._bias, self._never_first = np.ones(0), np.zeros(0, dtype=bool)
        self._predictions: np.ndarray | None = None  # that the next call corrects by
        self.epoch = 1

    def set_epoch(self, epoch: int, epochs: int) -> None:
        self.epoch = epoch

    @property
    def wants_predictions(self) -> bool:
        return self.warmup_epoch <= self.epoch < self.warmup_epoch + self.corrections

    def scores(self, similarity: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the whole image's probabilities, and the highest of any tile; without tiles, the same twice."""
        of_views = view_probabilities(similarity, self.settings.temperature)
        return of_views[:, 0], of_views[:, 1:].max(axis=1) if of_views.shape[1] > 1 else of_views[:, 0]

    def __call__(self, known: Known) -> Labels:
        """Return the labels; the first call makes them of the scores, a later one is about the same images."""
        if self._labels is None:
            self._bias, certain = ccd_bias(known.final, self.gate)
            self._never_first = ~_first(known.final, certain).any(axis=0)
            self._labels = ccd_labels(known.final, self._bias, self._floor_of(known.final.shape[1]))
        before = of_same_images("ccd", self._labels, known.final.shape, "scores")
        floor = self._floor_of(known.final.shape[1])
        if self._predictions is not None:
            crops = np.where(self._predictions >= self._cut, known.ranking, 0)
            self._labels = ccd_correct(before, crops, self._bias, floor, self.ratio)
            self._predictions = None
        # Most classes of an image are at the floor: there none is a positive, and none ranks below another.
        above = np.where(self._labels > floor / self._bias * (1 + ROUNDING), self._labels, 0)
        ranking = ((known.final + known.ranking) / self._bias).astype(np.float32)
        codes = codes_from_scores(with_observed(above, known.observed), ranking, self.settings)
        return Labels(codes, with_observed(self._labels, known.observed))

    def after_epoch(self, logits: np.ndarray) -> None:
        """Take the logits (n, C) of the images that are labelled; the next call corrects its labels by them."""
        of_same_images("ccd", self._labels, logits.shape, "logits")
        self._predictions = torch.from_numpy(np.asarray(logits, dtype=np.float32)).sigmoid().numpy()
        if not self._found_cut:
            order = np.random.default_rng(0).permutation(len(logits))
            self._cut, _ = ccd_cut(self._predictions[order], self._cut, self.bound)
            self._found_cut = True

    def notes(self, classes: Sequence[str]) -> list[str]:
        """Return a line on the classes without a bias of their own, where there are any; classes: their names."""
        names = [classes[c] for c in np.flatnonzero(self._never_first).tolist()]
        if not names:
            return []
        # No entropy is above that of equal probabilities: from there on every image is certain already.
        more = "a higher --set ccd.gate makes more images certain, or " if self.gate < np.log(len(classes)) else ""
        return [
            f"policy ccd: no certain image has {some(names, 5)} first: the bias there is 1, so scores count as they are; "
            f"{more}another --policy, such as damp, needs no bias"
        ]

    def state_dict(self) -> dict[str, Any]:
        if self._labels is None:
            return {}
        state = {"labels": torch.from_numpy(self._labels), "bias": torch.from_numpy(self._bias)}
        state |= {"cut": torch.tensor(self._cut, dtype=torch.float64), "found_cut": torch.tensor(self._found_cut)}
        if self._predictions is not None:
            state["predictions"] = torch.from_numpy(self._predictions)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        if not state_dict:
            return
        self._labels, self._bias = (state_dict[name].cpu().numpy() for name in ("labels", "bias"))
        self._cut, self._found_cut = float(state_dict["cut"]), bool(state_dict["found_cut"])
        predictions = state_dict.get("predictions")
        self._predictions = None if predictions is None else predictions.cpu().numpy()

    def _floor_of(self, classes: int) -> float:
        return min(FLOOR, 1 / classes) if self.floor is None else self.floor


def _first(scores: np.ndarray, certain: np.ndarray) -> np.ndarray:
    """Return which class is first in each certain image, (n, C) bool."""
    first = np.zeros(scores.shape, dtype=bool)
    if scores.size:
        first[np.arange(len(scores)), scores.argmax(axis=1)] = certain
    return first


def _probabilities(name: str, given: ArrayLike) -> np.ndarray:
    values = numbers(name, given, None, None, what="images, classes")
    if (values < 0).any():
        raise AevlpError(f"{name} must be probabilities, at least 0, found {values.min()}")
    return values


def _bias(given: ArrayLike, classes: int) -> np.ndarray:
    bias = numbers("bias", given, classes, what="classes")
    if (bias <= 0).any():
        raise AevlpError(f"bias must be above 0, found {bias.min()} for class {int(bias.argmin())}")
    return bias


def _floor(floor: float | None) -> float:
    least = 0.0 if floor is None else floor
    require("floor", least, 0 <= least <= 1, "in [0, 1]")
    return least
