"""PLAIN's graph of images, graph of classes and propagation on both, as released (Wang et al., IJCAI 2023)."""

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.sparse import csr_array, issparse

from ..errors import AevlpError
from .arrays import numbers, require

BLOCK_NUMBERS = 1 << 24  # similarities of images held at a time
EMPTY_PAIR = 1e-5  # weight between two classes that no image has


def image_graph(features: ArrayLike, neighbours: int, *, scaled: bool = True) -> csr_array:
    """Return S (n, n) float64, sparse and symmetric: what images are like each other, normalised.

    features: (n, D) finite; float64 is compared in float64, anything else in float32. scaled: whether columns are first
    standardised over the n images (mean 0, deviation 1), which changes nothing where they already are; False takes the features
    as they stand. Rows then get unit length. neighbours: >= 1, how many of the highest cosines of each image are kept, itself
    left out, equal ones in no certain order; an edge weighs the cosine cubed, twice where both chose each other, and
    S = D^(-1/2) W D^(-1/2). Ours: a cosine below 0 counts as 0, with which the release may divide by 0; an image without any
    neighbour has a row of zeros. Raises AevlpError for other shapes and numbers. Source: Wang et al., "Deep Partial Multi-Label
    Learning with Graph Disambiguation", IJCAI 2023, and its program.
    """
    vectors = numbers("features", features, None, None, what="images, width")
    require("neighbours", neighbours, neighbours >= 1, "at least 1")
    n, count = len(vectors), min(neighbours, len(vectors) - 1)
    if count < 1:
        return csr_array((n, n), dtype=np.float64)
    units = torch.from_numpy(_units(vectors, scaled))
    if np.asarray(features).dtype != np.float64:
        units = units.float()
    nearest, cosine = np.empty((n, count), dtype=np.int64), np.empty((n, count), dtype=np.float64)
    rows = max(1, BLOCK_NUMBERS // n)
    for start in range(0, n, rows):
        here = torch.arange(start, min(start + rows, n))
        cosines = units[here] @ units.T
        cosines[torch.arange(len(here)), here] = -torch.inf  # an image is no neighbour of its own
        highest, other = cosines.topk(count, dim=1)
        nearest[start : start + len(here)], cosine[start : start + len(here)] = other.numpy(), highest.numpy()
    own = np.arange(n).repeat(count)
    weights = csr_array((np.maximum(cosine, 0).ravel() ** 3, (own, nearest.ravel())), shape=(n, n))
    edges = (weights + weights.T).tocoo()
    degree = np.bincount(edges.coords[0], edges.data, minlength=n)
    degree[degree == 0] = 1
    a, b = edges.coords
    return csr_array((edges.data / np.sqrt(degree[a] * degree[b]), (a, b)), shape=(n, n))


def class_graph(candidates: ArrayLike) -> np.ndarray:
    """Return K (C, C) float64, symmetric: what classes are on the same images, normalised.

    candidates: (n, C) labels in [0, 1], each column y of a class. Two classes are joined by half their Dice coefficient,
    y_a . y_b / (sum y_a + sum y_b), two that no image has by 1e-5, a class with itself by 0; and K = D^(-1/2) R D^(-1/2). A class
    without any other has zeros. Raises AevlpError for other shapes and numbers. Source: as `image_graph`.
    """
    labels = numbers("candidates", candidates, None, None, what="images, classes")
    counts = labels.sum(axis=0)
    total = counts[:, None] + counts
    together = np.divide(labels.T @ labels, total, out=np.full(total.shape, EMPTY_PAIR), where=total > 0)
    np.fill_diagonal(together, 0)
    degree = together.sum(axis=1)
    degree[degree == 0] = 1
    return together / np.sqrt(degree[:, None] * degree)


def propagate(
    candidates: ArrayLike,
    predictions: ArrayLike,
    image_graph: Any,
    class_graph: ArrayLike,
    gamma: float,
    alpha: float,
    zeta: float,
    eta: float,
    steps: int,
) -> np.ndarray:
    """Return the labels Z (n, C) float64 in [0, 1] after so many steps from candidates Y, each column scaled to 0 ... 1.

    A step is Z -= eta [gamma (Z - S Z) + alpha (Z - Y) + (Z - Q) + zeta (Z - Z K)]. candidates Y, predictions Q: (n, C) in
    [0, 1]. image_graph S: (n, n), sparse or dense. class_graph K: (C, C). The names are the released program's; in the paper
    gamma is alpha, zeta is beta, alpha is eta and eta is gamma; all are >= 0. steps: >= 0, a whole number. A column of one value
    becomes 0. Raises AevlpError for other shapes and numbers, and where steps so long lead away from any labels. Source: as
    `image_graph`.
    """
    start = numbers("candidates", candidates, None, None, what="images, classes")
    n, classes = start.shape
    predicted = numbers("predictions", predictions, n, classes, what="images, classes")
    of_images = _graph_of_images(image_graph, n)
    between = numbers("class_graph", class_graph, classes, classes, what="classes, classes")
    for name, weight in (("gamma", gamma), ("alpha", alpha), ("zeta", zeta), ("eta", eta)):
        require(name, weight, 0 <= weight < np.inf, "at least 0 and finite")
    require("steps", steps, isinstance(steps, int | np.integer) and steps >= 0, "a whole number, at least 0")
    kept = 1 - eta * (gamma + alpha + 1 + zeta)
    given = eta * (alpha * start + predicted)
    of_classes = eta * zeta * between + kept * np.eye(classes)
    labels = start
    with np.errstate(over="ignore", invalid="ignore"):  # said below, once
        for _ in range(steps):
            labels = (eta * gamma) * (of_images @ labels) + labels @ of_classes + given
    if not np.isfinite(labels).all():
        raise AevlpError(
            f"propagate: {steps} steps of eta {eta} grow without bound: below 2 / (1 + alpha + 2 gamma + 2 zeta), here "
            f"{2 / (1 + alpha + 2 * gamma + 2 * zeta):.3g}, they settle"
        )
    return _scaled_columns(labels)


def _graph_of_images(graph: Any, n: int) -> Any:
    """Return a graph (n, n), a sparse one as it is; AevlpError for another shape."""
    if not issparse(graph):
        return numbers("image_graph", graph, n, n, what="images, images")
    if graph.shape != (n, n):
        raise AevlpError(f"image_graph must be (images, images), here ({n}, {n}), found shape {graph.shape}")
    return graph


def _units(values: np.ndarray, scaled: bool) -> np.ndarray:
    """Return rows of unit length, a row of zeros as it is, of the columns (n, D) float64 as they stand or standardised."""
    if scaled:
        deviation, size = values.std(axis=0), np.abs(values).max(axis=0)
        varies = deviation > 1e-12 * size  # of a column of one number, rounding alone is left
        values = (values - values.mean(axis=0)) / np.where(varies, deviation, 1)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(length > 0, length, 1)


def _scaled_columns(labels: np.ndarray) -> np.ndarray:
    if not len(labels):
        return labels
    lowest = labels.min(axis=0)
    span = labels.max(axis=0) - lowest
    return (labels - lowest) / np.where(span > 0, span, 1)
