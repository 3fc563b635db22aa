"""Pseudo-label codes beside observed ones -> how many labels they add, and whether that is too few or too many."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..errors import counted
from .codes import NEGATIVE, POSITIVE, UNKNOWN

FEW = 0.02  # of the images: fewer that get a label are hardly any
MOST = 0.9  # of the images: more that get as many as they may are too many


@dataclass(frozen=True)
class AddedLabels:
    """What pseudo-labels add to the observed labels of some images; a pseudo-label of an observed entry adds nothing.

    of: images. images: those with a positive added. positives, negatives: labels added. full: images with as many
    pseudo-positives as one may have. labelled: images with any label added.
    """

    of: int = 0
    images: int = 0
    positives: int = 0
    negatives: int = 0
    full: int = 0
    labelled: int = 0

    @property
    def text(self) -> str:
        """A phrase such as "412 labels added to 85 images"."""
        return f"{counted(self.positives, 'label')} added to {counted(self.images, 'image')}"

    @property
    def hardly_any(self) -> bool:
        """Whether hardly an image gets a label."""
        return self.images < FEW * self.of or not self.images

    @property
    def too_many(self) -> bool:
        """Whether nearly every image gets as many positives as one may have, so that no score decides."""
        return self.full > MOST * self.of


def added_labels(parts: Iterable[tuple[np.ndarray, np.ndarray]], most: int = 0) -> AddedLabels:
    """Return what codes (n, C) add to observed codes (n, C), given in any number of parts.

    most: pseudo-positives that an image may have, as the method's `top_k`; 0 where nothing limits them.
    """
    counts = np.zeros(6, dtype=np.int64)
    for codes, observed in parts:
        free = observed == UNKNOWN
        positive, negative = (codes == POSITIVE) & free, (codes == NEGATIVE) & free
        limit = min(most, codes.shape[1])
        full = (codes == POSITIVE).sum(axis=1) >= limit if limit > 0 else np.zeros(len(codes), dtype=bool)
        counts += (
            len(codes),
            positive.any(axis=1).sum(),
            positive.sum(),
            negative.sum(),
            full.sum(),
            (positive | negative).any(axis=1).sum(),
        )
    return AddedLabels(*counts.tolist())


def may_show_more(truth: np.ndarray | None, observed: np.ndarray) -> bool:
    """Return whether images may show classes that nobody observed: not where all true labels are known, and observed.

    truth: (N, C) 0/1, None where it is not known. observed: (N, C) codes.
    """
    return truth is None or bool(((truth == 1) & (observed != POSITIVE)).any())
