"""What a sigmoid-scored model says of each class on its own: its own scale and bias make probabilities of cosines."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..errors import AevlpError
from ..labels.codes import NEGATIVE, POSITIVE, UNKNOWN
from ..labels.damp import lowest
from .arrays import numbers, require
from .interface import Known, Labels


def sigmoid_probabilities(similarity: ArrayLike, scale: float, bias: float) -> np.ndarray:
    """Return the probability that a sigmoid-scored model gives each class, 1 / (1 + exp(-(scale * similarity + bias))).

    similarity: cosines, any shape. scale: > 0, of the model itself, not its logarithm. bias: the model's. Computed and returned
    in float64, of the same shape, in [0, 1]. Raises AevlpError for cosines that are no finite numbers, and for a scale or bias
    that cannot be one. SigLIP (Zhai et al., Sigmoid Loss for Language Image Pre-Training, ICCV 2023).
    """
    require("the scale of a sigmoid-scored model", scale, 0 < scale < np.inf, "above 0 and finite")
    require("the bias of a sigmoid-scored model", bias, bool(np.isfinite(bias)), "finite")
    cosines = numbers("similarity", similarity, *[None] * np.ndim(similarity), what="any shape")
    return np.exp(-np.logaddexp(0, -(scale * cosines + bias)))


class Sigmoid:
    """Each class by its own probability: positive at the threshold and above, whatever the other classes are.

    scale, bias: of the model that made the cosines. threshold: in [0, 1], of all classes; probabilities are low, a right class
    has often a few hundredths. thresholds: C, >= 0, of each class instead, as `aevlp calibrate` fits them. tiles: whether the
    highest probability of all views counts, else the whole image's. negative_ratio: in [0, 1], share of the classes that become
    negative, the least similar, those of them that are not positive. Raises AevlpError for anything else.
    """

    reads: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        scale: float,
        bias: float,
        threshold: float = 0.03,
        thresholds: Sequence[float] | None = None,
        tiles: bool = False,
        negative_ratio: float = 0.0,
    ) -> None:
        sigmoid_probabilities(np.zeros(0), scale, bias)
        for name, value in (("threshold", threshold), ("negative_ratio", negative_ratio)):
            require(f"{name} of policy sigmoid", value, 0 <= value <= 1, "in [0, 1]")
        self.scale, self.bias, self.tiles, self.negative_ratio = scale, bias, tiles, negative_ratio
        self.thresholds = np.asarray(threshold if thresholds is None else thresholds, dtype=np.float64)
        if not (self.thresholds >= 0).all():
            odd = int(np.flatnonzero(~(self.thresholds >= 0))[0])
            raise AevlpError(
                f"thresholds of policy sigmoid must be at least 0, found {self.thresholds[odd]} for class {odd}"
            )

    def scores(self, similarity: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        cosines = similarity.max(axis=1) if self.tiles else similarity[:, 0]
        probability = sigmoid_probabilities(cosines, self.scale, self.bias).astype(np.float32)
        return probability, (1 + cosines) / 2  # far from a class probabilities underflow and tie

    def __call__(self, known: Known) -> Labels:
        classes = known.final.shape[1]
        if self.thresholds.shape not in ((), (classes,)):
            raise AevlpError(
                f"policy sigmoid has {len(self.thresholds)} thresholds, and there are {classes} classes: calibrate on this cache"
            )
        codes = np.full(known.final.shape, UNKNOWN, dtype=np.int8)
        codes[lowest(known.ranking, int(self.negative_ratio * classes))] = NEGATIVE
        codes[known.final >= self.thresholds] = POSITIVE
        return Labels(codes, known.final)
