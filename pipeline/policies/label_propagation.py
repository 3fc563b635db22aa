"""Labels propagated on a graph of images and a graph of classes (PLAIN: Wang et al., IJCAI 2023)."""

from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array

from ..errors import AevlpError
from ..labels.damp import DampSettings, codes_from_scores, damp_scores
from ..plugins import check_ranges
from .interface import Known, Labels
from .observed_scores import with_observed
from .propagation import class_graph, image_graph, propagate


class LabelPropagation:
    """Scores that agree between like images and like classes, then codes as `Damp`'s of them; what is observed stays.

    The released program's: both graphs, of standardised embeddings and of labels; the steps, in which the classifier's
    predictions Q are a term of their own, Y itself before there are any; each class scaled to [0, 1] over the images; and the
    constants. Ours: Y, since single positives are no candidate sets, too small where those are too large: 1 and 0 where observed,
    elsewhere DAMP's fused scores; and codes, where the release trains on the scores themselves.

    neighbours: >= 1, of an image. alpha, beta: >= 0, weights of the graph of images and of that of classes, the paper's names
    (gamma and zeta in the release and in `propagate`). candidates: >= 0, weight of Y (the paper's eta, the release's alpha),
    where that of Q is 1. step: > 0, length of a step (the paper's gamma, the release's eta), short enough to settle. steps:
    >= 1. predictions: whether the classifier takes part. The other constants, and what is raised: `DampSettings`.
    """

    reads: tuple[str, ...] = ("embedding",)

    def __init__(
        self,
        *,
        temperature: float,
        eta: float,
        threshold: float,
        top_k: int,
        negative_ratio: float,
        neighbours: int = 10,
        alpha: float = 0.1,
        beta: float = 0.01,
        candidates: float = 1.0,
        step: float = 0.01,
        steps: int = 200,
        predictions: bool = True,
        compat: str = "paper",
        half: bool = False,
    ) -> None:
        self.settings = DampSettings(temperature, eta, threshold, top_k, negative_ratio, compat, half)
        # The eigenvalues of both graphs are in [-1, 1]; a longer step leads away from where the labels would settle.
        longest = 2 / (1 + candidates + 2 * alpha + 2 * beta) if min(candidates, alpha, beta) >= 0 else 1.0
        check_ranges(
            "policy label-propagation",
            ("neighbours", neighbours, neighbours >= 1, "at least 1"),
            ("alpha", alpha, alpha >= 0, "at least 0"),
            ("beta", beta, beta >= 0, "at least 0"),
            ("candidates", candidates, candidates >= 0, "at least 0"),
            ("step", step, 0 < step < longest, f"above 0 and below {longest:.4g} for these weights"),
            ("steps", steps, steps >= 1, "at least 1"),
        )
        self.neighbours, self.alpha, self.beta, self.candidates = neighbours, alpha, beta, candidates
        self.step, self.steps = step, steps
        self.wants_predictions = predictions
        self._predictions: np.ndarray | None = None
        self._graph: tuple[np.ndarray, csr_array] | None = None  # of these embeddings

    def scores(self, similarity: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return damp_scores(similarity, observed, self.settings)

    def __call__(self, known: Known) -> Labels:
        start = with_observed(known.final, known.observed)
        predicted = start
        if self.wants_predictions and self._predictions is not None:
            predicted = self._predictions
            if predicted.shape != start.shape:
                raise AevlpError(
                    f"policy label-propagation has predictions (images, classes) of shape {predicted.shape}, expected "
                    f"those of the images to label, {start.shape}"
                )
        spread = propagate(
            start,
            predicted,
            self._images(known.embedding),
            class_graph(start),
            gamma=self.alpha,
            alpha=self.candidates,
            zeta=self.beta,
            eta=self.step,
            steps=self.steps,
        )
        scores = with_observed(spread, known.observed)
        return Labels(codes_from_scores(scores, scores, self.settings), scores)

    def after_epoch(self, logits: np.ndarray) -> None:
        """Take the logits (n, C) of the images to label; they count from then on."""
        self._predictions = torch.as_tensor(logits).float().sigmoid().numpy()

    def state_dict(self) -> dict[str, Any]:
        return {} if self._predictions is None else {"predictions": torch.from_numpy(self._predictions)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        stored = state_dict.get("predictions")
        self._predictions = None if stored is None else stored.float().numpy()

    def _images(self, embedding: np.ndarray | None) -> csr_array:
        assert embedding is not None  # `reads` says that it must be there
        if self._graph is None or not np.array_equal(self._graph[0], embedding):  # the same in every epoch
            self._graph = embedding, image_graph(embedding, self.neighbours)
        return self._graph[1]
