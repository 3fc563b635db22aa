"""Labels of images whose full truth is not known -> what precision and recall to expect of each class's pseudo-labels."""

from dataclasses import dataclass

import numpy as np

from ...pipeline.labels.codes import POSITIVE
from ...pipeline.policies.calibration import expected_by_observed
from ...pipeline.policies.cap import observed_frequencies
from .statistics import Statistics


@dataclass(frozen=True)
class ExpectedQuality:
    """precision, recall: (C,) float64 in [0, 1], NaN where nothing can be said. how: they were estimated, in words."""

    precision: np.ndarray
    recall: np.ndarray
    how: str


def expected_quality(of: Statistics, expected_positives: float | None) -> ExpectedQuality:
    """Return estimates by the observed positives, as `calibration.expected_by_observed` makes them.

    expected_positives: how many classes an image shows, from which the classes' frequencies follow in the proportions in which
    they were observed; None where that is not known: precision is NaN then.
    """
    positive = of.of.observed == POSITIVE
    codes, counts = (of.of.code == POSITIVE).astype(np.float64), positive.sum(axis=0)
    if not counts.any():
        unknown = np.full(len(counts), np.nan)
        return ExpectedQuality(
            unknown, unknown, "No positive is observed, so that nothing says how good the pseudo-labels are."
        )
    images = positive.any(axis=1).sum()
    frequencies = np.full(len(counts), np.nan)
    if expected_positives is not None:
        frequencies = observed_frequencies(of.of.observed[positive.any(axis=1)], expected_positives)
    found = expected_by_observed(
        codes[positive.any(axis=1)], positive[positive.any(axis=1)], np.full(len(counts), 0.5), frequencies
    )
    how = (
        f"Expected recall is the share of the observed positives, of {images:,} images, that the pseudo-labels have too"
    )
    if expected_positives is None:
        how += ". Expected precision needs the number of positives an image: say expected_positives in the manifest"
    else:
        how += f"; expected precision follows from it where an image shows {expected_positives:g} classes, as often as observed"
    how += ". Both assume that the observed positives are as easy to find as the others."
    return ExpectedQuality(found.precision, found.recall, how)
