"""A weight for each place of a view in an image: of our own, after the idea of a quality a view of RANK."""

from collections.abc import Sequence

import numpy as np
import torch

from ..errors import AevlpError
from ..labels.damp import DampSettings, codes_from_scores
from .interface import Known, Labels
from .view_probabilities import log_probabilities


class ViewWeights:
    """Codes as `Damp`'s, of the mean of all views' probabilities, the whole image's included, weighted by their quality.

    A view's quality is the softmax over the views of weights[v] + sureness * (highest probability of any class in view v), fitted
    by `aevlp calibrate`. RANK's own, by a network that sees the view, is `ViewQuality`.
    weights: V. sureness: finite. The other constants, and what is raised: `DampSettings`.
    """

    reads: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        temperature: float,
        threshold: float,
        top_k: int,
        negative_ratio: float,
        weights: Sequence[float] | None = None,
        sureness: float = 0.0,
        compat: str = "paper",
    ) -> None:
        if weights is None:
            raise AevlpError(
                "policy view-weights needs a weight for each view: run aevlp calibrate CACHE --policy view-weights "
                "first, and pass its file as --policy"
            )
        self.settings = DampSettings(temperature, 0.0, threshold, top_k, negative_ratio, compat)
        self.weights, self.sureness = np.asarray(weights, dtype=np.float64), sureness
        if not (np.isfinite(self.weights).all() and np.isfinite(sureness)):
            raise AevlpError(f"weights and sureness of policy view-weights must be finite, found {weights}, {sureness}")

    def scores(self, similarity: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if similarity.shape[1] != len(self.weights):
            raise AevlpError(
                f"policy view-weights has {len(self.weights)} weights, and an image has {similarity.shape[1]} views: "
                f"calibrate on this cache"
            )
        probability = log_probabilities(similarity, self.settings.temperature).exp()
        quality = (torch.from_numpy(self.weights) + self.sureness * probability.amax(dim=2)).softmax(dim=1)
        final = torch.einsum("nv,nvc->nc", quality.to(probability.dtype), probability).clamp(0, 1).numpy()
        return final, final

    def __call__(self, known: Known) -> Labels:
        return Labels(codes_from_scores(known.final, known.ranking, self.settings), known.final)


def fit_view_weights(present: np.ndarray, highest: np.ndarray, penalty: float = 1e-3) -> tuple[np.ndarray, float]:
    """Return the weights (V,) float64, of sum 0, and the sureness that make known positives most likely.

    present: (m, V) ln of the probability that each view gives a known positive of its image. highest: (m, V), in [0, 1], the
    view's highest probability of any class. What is maximised is the mean of ln of the weighted probability, less `penalty`
    times the sum of the squares of all that is fitted; from zeros, so that equal input gives equal weights.
    Raises AevlpError where there is no positive.
    """
    if not len(present):
        raise AevlpError("weights of views are fitted to positives, and none of the images has one")
    likelihood, sure = torch.from_numpy(present).double(), torch.from_numpy(highest).double()
    fitted = torch.zeros(present.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([fitted], max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        log_quality = torch.log_softmax(fitted[:-1] + fitted[-1] * sure, dim=1)
        value = -(log_quality + likelihood).logsumexp(dim=1).mean() + penalty * fitted.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    *weights, sureness = fitted.tolist()
    return np.array(weights) - np.mean(weights), sureness
