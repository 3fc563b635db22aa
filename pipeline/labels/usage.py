"""Labels that are given and labels that are observed -> how many of them are used, in numbers and in words."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .codes import NEGATIVE, POSITIVE
from .observation import NONE, written


@dataclass(frozen=True)
class LabelUse:
    """How many labels of some images are given, and how many are used; all are counts over all the images.

    given: positives. used: observed positives, of which `wrong` are not true. negatives: observed ones. simulate: by which regime
    labels were hidden, None where none were. brought: whether fewer are used because the data set itself gives fewer as observed.
    """

    images: int
    given: int
    used: int
    wrong: int
    negatives: int
    simulate: str | None
    brought: bool

    @property
    def text(self) -> str:
        """A sentence such as "2.4 labels an image are given, all are used"."""
        if not self.images:
            return "no image, no label"
        if not (self.given or self.used or self.negatives):
            return "no label is given"
        if self.simulate is None and not self.brought:
            counted = ((self.given, "labels"), (self.negatives, "verified absent"))
            return f"{' and '.join(f'{self._each(n)} {what}' for n, what in counted if n)} an image are given, all are used"
        negatives = f" and {self._each(self.negatives)} verified absent" if self.negatives else ""
        wrong = f", {self._each(self.wrong)} of them wrong" if self.wrong else ""
        why = f"simulate: {self.simulate}" if self.simulate else "the data set says itself which are observed"
        return f"{self._each(self.used)} of {self._each(self.given)} labels{negatives} an image are used{wrong}: {why}"

    @property
    def simulated(self) -> str:
        """What is to be said before work with hidden labels begins, "" where none are hidden."""
        if self.simulate is None:
            return ""
        right = self.used - self.wrong
        return (
            f"Labels are hidden to study the method, simulate: {self.simulate}: {right:,} of {self.given:,} given labels are "
            f"used (--simulate none uses all)"
        )

    def _each(self, count: int) -> str:
        share = count / self.images
        return f"{share:.1f}" if share >= 0.095 or not count else f"{share:.2g}"


def label_use(observed: np.ndarray, truth: np.ndarray | None, simulate: dict[str, Any]) -> LabelUse:
    """Return how many labels are used of images (n, C): observed codes, truth 0/1, None where it is not known.

    simulate: the regime by which labels were hidden, as `observation.checked` returns it.
    """
    positive = observed == POSITIVE
    given = positive if truth is None else truth == 1
    used, of = int(positive.sum()), int(given.sum())
    wrong = int((positive & ~given).sum())
    text = None if simulate == NONE else written(simulate)
    brought = text is None and (used != of or wrong > 0)
    return LabelUse(len(observed), of, used, wrong, int((observed == NEGATIVE).sum()), text, brought)
