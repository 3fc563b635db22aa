"""Labels propagated on a graph of images and a graph of classes (Wang et al., IJCAI 2023)."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import AevlpError
from ..labels.codes import NEGATIVE, POSITIVE
from ..labels.damp import DampSettings, codes_from_scores, damp_scores
from .interface import Known, Labels

BLOCK_NUMBERS = 1 << 24  # similarities of images held at a time


class LabelPropagation:
    """Scores that agree between like images and like classes, then codes as `Damp`'s of them.

    The paper's: labels are propagated each epoch on a graph of the nearest neighbours of every image and a graph of classes, and
    the classifier's predictions take part. Ours, as its text leaves it open or speaks of candidate labels that single positives
    do not have: the labels Y that are propagated are 1 and 0 where observed, and elsewhere DAMP's fused scores, once there are
    predictions their mean with these; an edge between images weighs the cosine of their CLIP embeddings, one between classes how
    often both score together; both are normalised as D^-1/2 W D^-1/2; and a threshold at the end. Unsettled: the constants.

    neighbours: >= 1, of an image. alpha, beta: >= 0, weight of the images' and the classes' graph. steps: >= 1, of descent.
    predictions: whether the classifier takes part. The other constants, and what is raised: `DampSettings`.
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
        alpha: float = 0.5,
        beta: float = 0.1,
        steps: int = 20,
        predictions: bool = True,
        compat: str = "paper",
        half: bool = False,
    ) -> None:
        self.settings = DampSettings(temperature, eta, threshold, top_k, negative_ratio, compat, half)
        for name, value, fits, range_ in (
            ("neighbours", neighbours, neighbours >= 1, "at least 1"),
            ("alpha", alpha, alpha >= 0, "at least 0"),
            ("beta", beta, beta >= 0, "at least 0"),
            ("steps", steps, steps >= 1, "at least 1"),
        ):
            if not fits:
                raise AevlpError(f"{name} of policy label-propagation must be {range_}, found {value!r}")
        self.neighbours, self.alpha, self.beta, self.steps = neighbours, alpha, beta, steps
        self.wants_predictions = predictions
        self._predictions: np.ndarray | None = None
        self._graph: tuple[np.ndarray, Tensor] | None = None  # of these embeddings

    def scores(self, similarity: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return damp_scores(similarity, observed, self.settings)

    def __call__(self, known: Known) -> Labels:
        likely = known.final
        if self.wants_predictions and self._predictions is not None:
            if self._predictions.shape != likely.shape:
                raise AevlpError(
                    f"policy label-propagation has predictions (images, classes) of shape {self._predictions.shape}, expected "
                    f"those of the images to label, {likely.shape}"
                )
            likely = (likely + self._predictions) / 2
        likely = np.where(known.observed == POSITIVE, 1, np.where(known.observed == NEGATIVE, 0, likely))
        labels = torch.from_numpy(likely.astype(np.float32))
        spread = propagate(
            labels, self._images(known.embedding), class_graph(labels), self.alpha, self.beta, self.steps
        )
        scores = spread.clamp(0, 1).numpy()
        return Labels(codes_from_scores(scores, scores, self.settings), scores)

    def after_epoch(self, logits: np.ndarray) -> None:
        """Take the logits (n, C) of the images to label; they count from then on."""
        self._predictions = torch.as_tensor(logits).float().sigmoid().numpy()

    def state_dict(self) -> dict[str, Any]:
        return {} if self._predictions is None else {"predictions": torch.from_numpy(self._predictions)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        stored = state_dict.get("predictions")
        self._predictions = None if stored is None else stored.float().numpy()

    def _images(self, embedding: np.ndarray | None) -> Tensor:
        assert embedding is not None  # `reads` says that it must be there
        if self._graph is None or not np.array_equal(self._graph[0], embedding):  # the same in every epoch
            self._graph = embedding, image_graph(torch.from_numpy(embedding), self.neighbours)
        return self._graph[1]


def propagate(labels: Tensor, images: Tensor, classes: Tensor, alpha: float, beta: float, steps: int) -> Tensor:
    """Return Z (n, C) after so many steps from Y = labels (n, C) down |Z - Y|² + alpha tr(Z' (I - S) Z) + beta tr(Z (I - R) Z').

    images, classes: S (n, n), which may be sparse, and R (C, C), symmetric, of spectral norm at most 1. A step is one of the
    gradient, of length 1 / (2 (1 + alpha + beta)), which never leads up and converges to the one minimum.
    """
    spread = labels
    for _ in range(steps):
        spread = (labels + alpha * (images @ spread) + beta * (spread @ classes)) / (1 + alpha + beta)
    return spread


def image_graph(embedding: Tensor, neighbours: int) -> Tensor:
    """Return S (n, n), sparse: cosines of images that are among each other's nearest neighbours, normalised.

    embedding: (n, D) unit vectors. Two images are joined where either is among the `neighbours` nearest of the other, equal
    cosines in no certain order, and the cosine is above 0; an image without any is its own neighbour.
    """
    n = len(embedding)
    count = min(neighbours, n - 1)
    rows = max(1, BLOCK_NUMBERS // max(n, 1))
    keys, weights = [], []
    for start in range(0, n, rows):
        here = torch.arange(start, min(start + rows, n))
        cosines = embedding[here] @ embedding.T
        cosines[torch.arange(len(here)), here] = -2  # an image is no neighbour of its own
        nearest, other = cosines.topk(count, dim=1)
        own = here[:, None].expand_as(other)
        keys.append((torch.minimum(own, other) * n + torch.maximum(own, other)).flatten())
        weights.append(nearest.flatten())
    if not keys:
        return torch.zeros(0, 0)
    key, first = np.unique(torch.cat(keys).numpy(), return_index=True)  # a pair that is found twice is one edge
    weight = torch.cat(weights)[torch.from_numpy(first)].clamp(min=0)
    a, b = torch.from_numpy(key // n), torch.from_numpy(key % n)
    degree = torch.zeros(n).index_add(0, a, weight).index_add(0, b, weight)
    alone = torch.nonzero(degree == 0)[:, 0]
    degree[alone] = 1
    weight = weight / (degree[a] * degree[b]).sqrt()
    places = torch.stack([torch.cat([a, b, alone]), torch.cat([b, a, alone])])
    values = torch.cat([weight, weight, torch.ones(len(alone))])
    return torch.sparse_coo_tensor(places, values, (n, n), check_invariants=True).coalesce()


def class_graph(scores: Tensor) -> Tensor:
    """Return R (C, C): how much classes score in the same images, normalised; a class without any other is its own neighbour."""
    together = scores.T @ scores
    together.fill_diagonal_(0)
    degree = together.sum(dim=1)
    alone = degree == 0
    together += torch.diag(alone.to(scores.dtype))
    degree[alone] = 1
    return together / (degree[:, None] * degree).sqrt()
