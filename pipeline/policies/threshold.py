"""A threshold for each class: CLIP is surer of some classes than of others, however often they are there."""

from collections.abc import Sequence

import numpy as np

from ..errors import AevlpError
from ..labels.codes import NEGATIVE, POSITIVE, UNKNOWN
from ..labels.damp import DampSettings, damp_scores
from .interface import Known, Labels


class Threshold:
    """DAMP's fused score of a class against the class's own threshold, as `aevlp calibrate` fits them.

    temperature, eta: as for `Damp`. thresholds: C, >= 0, a positive's score is at least its class's; above 1 for a class that is
    never positive. temperatures: C, > 0, by which each class's cosines are divided instead of by `temperature`, before the
    softmax over classes. negative_thresholds: C, a negative's score is below its class's; none is above its `thresholds`.
    Raises AevlpError for anything else.
    """

    reads: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        temperature: float,
        eta: float,
        thresholds: Sequence[float] | None = None,
        temperatures: Sequence[float] | None = None,
        negative_thresholds: Sequence[float] | None = None,
    ) -> None:
        if thresholds is None:
            raise AevlpError(
                "policy threshold needs a threshold for each class: run aevlp calibrate CACHE --policy threshold "
                "first, and pass its file as --policy"
            )
        self.settings = DampSettings(temperature, eta, threshold=0, top_k=1, negative_ratio=0)
        self.thresholds = np.asarray(thresholds, dtype=np.float64)
        self.temperatures = None if temperatures is None else np.asarray(temperatures, dtype=np.float64)
        self.negative_thresholds = np.asarray(
            np.zeros(len(self.thresholds)) if negative_thresholds is None else negative_thresholds, dtype=np.float64
        )
        for name, values, range_, fits in (
            ("thresholds", self.thresholds, "at least 0", lambda values: values >= 0),
            ("temperatures", self.temperatures, "above 0", lambda values: (values > 0) & (values < np.inf)),
            (
                "negative_thresholds",
                self.negative_thresholds,
                "at least 0 and none above the class's `thresholds`",
                lambda values: (values >= 0) & (values <= self.thresholds),
            ),
        ):
            if values is None:
                continue
            if values.shape != self.thresholds.shape:
                raise AevlpError(
                    f"policy threshold needs as many {name} as thresholds, {len(self.thresholds)}, found {len(values)}"
                )
            if not fits(values).all():
                odd = int(np.flatnonzero(~fits(values))[0])
                raise AevlpError(f"{name} of policy threshold must be {range_}, found {values[odd]} for class {odd}")

    def scores(self, similarity: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self._check(similarity)
        if self.temperatures is None:
            return damp_scores(similarity, observed, self.settings)
        # Relative to the one by which `damp_scores` divides, so that equal temperatures are as none of a class's own.
        own = (self.temperatures / self.settings.temperature).astype(similarity.dtype)
        return damp_scores(similarity / own, observed, self.settings)

    def __call__(self, known: Known) -> Labels:
        self._check(known.final)
        codes = np.full(known.final.shape, UNKNOWN, dtype=np.int8)
        codes[known.final < self.negative_thresholds] = NEGATIVE
        codes[known.final >= self.thresholds] = POSITIVE
        return Labels(codes, known.final)

    def _check(self, scores: np.ndarray) -> None:
        if scores.shape[-1] != len(self.thresholds):
            raise AevlpError(
                f"policy threshold has {len(self.thresholds)} thresholds, and there are {scores.shape[-1]} classes: "
                f"calibrate on this cache"
            )
