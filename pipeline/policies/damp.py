"""DAMP: the whole image and its gated tiles (Tran et al., ICCV 2025, arXiv 2508.20381)."""

import numpy as np

from ..labels.damp import DampSettings, codes_from_scores, damp_scores
from .interface import Known, Labels


class Damp:
    """The codes of `damp_codes`; the constants, their ranges and what is raised: `DampSettings`."""

    reads: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        temperature: float,
        eta: float,
        threshold: float,
        top_k: int,
        negative_ratio: float,
        compat: str = "paper",
        half: bool = False,
    ) -> None:
        self.settings = DampSettings(temperature, eta, threshold, top_k, negative_ratio, compat, half)

    def scores(self, similarity: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return damp_scores(similarity, observed, self.settings)

    def __call__(self, known: Known) -> Labels:
        return Labels(codes_from_scores(known.final, known.ranking, self.settings), known.final)


class Global(Damp):
    """As `Damp`, from the whole image alone: what tiles add is the difference."""

    def scores(self, similarity: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return damp_scores(similarity[:, :1], observed, self.settings)
