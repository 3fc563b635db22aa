"""Labels that are used and how likely each is right -> what it is worth to put one of a class right."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Worth:
    """What one corrected label adds to the mean over classes of F1 of the labels, (C,) float64 each.

    found: of a positive that was not labelled. removed: of a false positive.
    """

    found: np.ndarray
    removed: np.ndarray


def worth(positive: np.ndarray, chance: np.ndarray, images: int) -> Worth:
    """Return it for `images` images, of which these are a sample.

    positive: (n, C) bool, labels that are used. chance: (n, C), how likely each class is there; n > 0.

    Of a class, F1 = 2 T / (L + P), of L labels, P positives and T labels that are right. A label found adds 1 to T and L, a
    false one removed takes 1 from L, so that F1 rises by (2 - F1) / (L + P) and by F1 / (L + P). So a label counts for more the
    rarer its class is, as in the mAP, but not where so many labels of the class are wrong that a few answers change little.
    """
    scale = images / len(positive)
    labels, positives = scale * positive.sum(axis=0), scale * chance.sum(axis=0)
    right = scale * (positive * chance).sum(axis=0)
    both = np.maximum(labels + positives, 1)
    f1 = 2 * right / both
    classes = positive.shape[1]
    return Worth((2 - f1) / both / classes, f1 / both / classes)
