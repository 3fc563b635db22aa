"""Class-distribution-aware pseudo-labels: as many positives a class as its frequency says (Xie et al., NeurIPS 2023)."""

from collections.abc import Sequence

import numpy as np

from ..errors import AevlpError
from ..labels.codes import NEGATIVE, POSITIVE, UNKNOWN
from ..labels.damp import DampSettings, damp_scores
from ..plugins import check_ranges
from .interface import Known, Labels

MOST_NEGATIVES = 0.998  # share of a class's negatives that may be trusted, in the paper's program


class Cap:
    """The paper's rule on DAMP's fused scores of the training images; scores and frequencies are our adaptation.

    The paper labels by the scores of a classifier, refreshed every epoch, and counts class frequencies in fully labelled images.
    Here scores are CLIP's, and of single positives the frequency of a class is taken to be `expected_positives` times the class's
    share of the observed positives, clipped to [0, 1], unless `frequencies` (C, in [0, 1]) are given.
    positive_share, negative_share: in [0, 1], share of a class's expected positives and negatives that is trusted.
    temperature, eta, half: as for `Damp`. compat: as for `cap_labels`. Raises AevlpError for anything else.
    """

    reads: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        temperature: float,
        eta: float,
        expected_positives: float | None,
        frequencies: Sequence[float] | None = None,
        positive_share: float = 1.0,
        negative_share: float = MOST_NEGATIVES,
        compat: str = "paper",
        half: bool = False,
    ) -> None:
        self.settings = DampSettings(temperature, eta, threshold=0, top_k=1, negative_ratio=0, compat=compat, half=half)
        self.frequencies = None if frequencies is None else np.asarray(frequencies, dtype=np.float64)
        check_ranges(
            "policy cap",
            ("positive_share", positive_share, 0 <= positive_share <= 1, "in [0, 1]"),
            ("negative_share", negative_share, 0 <= negative_share <= 1, "in [0, 1]"),
            ("frequencies", frequencies, self.frequencies is None or _is_share(self.frequencies), "in [0, 1]"),
            (
                "expected_positives",
                expected_positives,
                self.frequencies is not None or (expected_positives is not None and expected_positives > 0),
                "above 0, unless `frequencies` of the classes are given",
            ),
        )
        self.expected_positives, self.positive_share = expected_positives, positive_share
        self.negative_share = negative_share

    def scores(self, similarity: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return damp_scores(similarity, observed, self.settings)

    def __call__(self, known: Known) -> Labels:
        positive = self._frequencies(known.observed)
        label, mask = cap_labels(
            known.final, positive, 1 - positive, self.positive_share, self.negative_share, self.settings.compat
        )
        codes = np.where(label == 1, POSITIVE, NEGATIVE)
        return Labels(np.where(mask == 1, codes, UNKNOWN).astype(np.int8), known.final)

    def _frequencies(self, observed: np.ndarray) -> np.ndarray:
        if self.frequencies is None:
            assert self.expected_positives is not None
            return observed_frequencies(observed, self.expected_positives)
        if len(self.frequencies) != observed.shape[1]:
            raise AevlpError(
                f"policy cap needs a frequency for each of the {observed.shape[1]} classes, found {len(self.frequencies)}"
            )
        return self.frequencies


def observed_frequencies(observed: np.ndarray, expected_positives: float) -> np.ndarray:
    """Return the frequency (C,) float64 of each class among images with so many positives on average, in [0, 1].

    observed: (n, C) codes; what share of their positives is of a class is its share of all positives. AevlpError where there is
    no observed positive.
    """
    counts = (observed == POSITIVE).sum(axis=0)
    if not counts.any():
        raise AevlpError("class frequencies need observed positives, and none of the images has one")
    return np.clip(expected_positives * counts / counts.sum(), 0, 1)


def cap_labels(
    scores: np.ndarray,
    positive_frequency: np.ndarray,
    negative_frequency: np.ndarray,
    positive_share: float,
    negative_share: float,
    compat: str = "paper",
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels (n, C) int8 0/1, and the mask (n, C) int8 0/1 of those that are trusted (Xie et al., NeurIPS 2023).

    scores: (n, C), any finite numbers. positive_frequency, negative_frequency: (C,) in [0, 1]. Of a class, trunc(frequency * n)
    images are positive; of these and of the negatives the shares with the highest and the lowest scores are trusted, and whatever
    ties with the last of them. compat: where a class is expected in no image, "paper" gives it no positive, and "published" gives
    it to every image, as the published program does; a share of none likewise trusts none, or all.
    """
    n = len(scores)
    if n == 0:
        return np.zeros(scores.shape, dtype=np.int8), np.zeros(scores.shape, dtype=np.int8)
    positive_share, negative_share = np.clip(positive_share, 0, 1), np.clip(negative_share, 0, MOST_NEGATIVES)
    ascending = np.sort(scores, axis=0)
    descending = ascending[::-1]

    def last(ordered: np.ndarray, counts: np.ndarray, none: float) -> np.ndarray:
        places = counts.astype(np.int64) - 1
        found = ordered[places, np.arange(scores.shape[1])]  # place -1 is the last, as in the published program
        return found if compat == "published" else np.where(places < 0, none, found)

    label = scores >= last(descending, positive_frequency * n, np.inf)
    sure = scores >= last(descending, positive_share * positive_frequency * n, np.inf)
    absent = scores <= last(ascending, negative_share * negative_frequency * n, -np.inf)
    return label.astype(np.int8), (sure | absent).astype(np.int8)


def _is_share(values: np.ndarray) -> bool:
    return values.ndim == 1 and bool(((values >= 0) & (values <= 1)).all())
