"""The label-relation matrices and the frozen random graph network on text features (spec section 4).

The relation between labels is the cosine of their text features, or a file's. The graph network is drawn once from a seed
and never trained; it adds to each class's text feature a mixture of its neighbours'.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import AevlpError, in_one_line

HIDDEN = 1024
SLOPE = np.float32(0.2)


def relation_matrices(
    relation: np.ndarray, sparse_topk: int, reweight: float, temperature: float, classes: list[str] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the smoothed relation Q and the adjacency A, (C, C) float32 each.

    relation: (C, C) similarities of labels. sparse_topk: how many of a row are kept, 1 to C, its own place competing like any
    other; of equal ones the lower column. reweight: in [0, 1], the share of a row of A that goes to other labels.
    temperature: > 0, of the softmax that makes Q of A. Raises AevlpError for a matrix of another shape, a constant out of
    range, and a row that keeps no similarity to another label. Source: Ding et al., SCPNet (CVPR 2023), as Tran et al. use it.
    """
    relation = np.asarray(relation, dtype=np.float32)
    size = len(relation)
    if relation.shape != (size, size) or not size:
        raise AevlpError(f"a relation matrix must be (classes, classes), found {relation.shape}")
    if not np.isfinite(relation).all():
        odd = ~np.isfinite(relation).min(axis=1)
        raise AevlpError(f"the relation of class {_name(odd, classes)} is not finite")
    if not (sparse_topk >= 1 and 0 <= reweight <= 1 and temperature > 0):
        raise AevlpError(
            f"sparse_topk must be at least 1, reweight in [0, 1] and temperature above 0, found {sparse_topk}, {reweight} and "
            f"{temperature}"
        )
    kept = np.zeros(relation.shape, dtype=bool)
    np.put_along_axis(kept, np.argsort(-relation, axis=1, kind="stable")[:, :sparse_topk], True, axis=1)
    others = np.where(kept, relation, 0)
    np.fill_diagonal(others, 0)
    sums = others.sum(axis=1, keepdims=True)
    if (sums == 0).any():
        raise AevlpError(
            f"the label graph leaves the class {_name(sums[:, 0] == 0, classes)} without any neighbour: raise sparse_topk, "
            f"or pass --text-graph none"
        )
    adjacency = others / sums * np.float32(reweight)
    np.fill_diagonal(adjacency, np.float32(1 - reweight))
    powers = np.exp((adjacency - adjacency.max(axis=1, keepdims=True)) / np.float32(temperature))
    powers[~kept] = 0
    return powers / powers.sum(axis=1, keepdims=True), adjacency


def gcn_residual(text: np.ndarray, adjacency: np.ndarray, w1: np.ndarray, w2: np.ndarray, w3: np.ndarray) -> np.ndarray:
    """Return the residual G alone, (C, D) float32: three graph layers, leaky after the first two, no bias.

    text: (C, D) features as the tower gives them, not normalised. adjacency: (C, C). w1: (D, h). w2: (h, h). w3: (h, D).
    """
    text, adjacency, w1, w2, w3 = (np.asarray(a, dtype=np.float32) for a in (text, adjacency, w1, w2, w3))
    hidden = _leaky(adjacency @ (text @ w1))
    hidden = _leaky(adjacency @ (hidden @ w2))
    return adjacency @ (hidden @ w3)


def graph_weights(width: int, seed: int, hidden: int = HIDDEN) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return w1, w2 and w3, uniform within ±1/sqrt(output width) as published, but from a seed."""
    random = np.random.default_rng(seed)
    shapes = ((width, hidden), (hidden, hidden), (hidden, width))
    w1, w2, w3 = (random.uniform(-(out**-0.5), out**-0.5, (into, out)).astype(np.float32) for into, out in shapes)
    return w1, w2, w3


@dataclass(frozen=True)
class TextGraph:
    """What the frozen graph does to text features; seed: of its weights. relation: (C, C), None for that of the features."""

    sparse_topk: int
    reweight: float
    temperature: float
    seed: int
    relation: np.ndarray | None = None

    def __call__(self, text: np.ndarray, classes: list[str]) -> np.ndarray:
        """Return text features (C, D) float32 plus their graph residual; `text` is not normalised."""
        relation = cosines(text) if self.relation is None else self.relation
        if len(relation) != len(text):
            raise AevlpError(f"the relation matrix is of {len(relation)} classes, and there are {len(text)}")
        _, adjacency = relation_matrices(relation, self.sparse_topk, self.reweight, self.temperature, classes)
        return text + gcn_residual(text, adjacency, *graph_weights(text.shape[1], self.seed))


def cosines(text: np.ndarray) -> np.ndarray:
    """Return the cosine of every pair of features, (C, C) float32."""
    unit = text / np.linalg.norm(text, axis=1, keepdims=True)
    return unit @ unit.T


def load_relation(path: Path) -> np.ndarray:
    """Return the matrix in a .npy or .csv file; AevlpError where it is none. Nothing is ever unpickled."""
    try:
        if path.suffix == ".npy":
            with path.open("rb") as file:
                matrix = np.lib.format.read_array(file, allow_pickle=False)
        elif path.suffix == ".csv":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that the file is empty: its shape says so
                matrix = np.loadtxt(path, delimiter=",", ndmin=2)
        else:
            raise AevlpError(f"{path}: a relation matrix is a .npy or .csv file")
    except (OSError, ValueError, EOFError) as error:
        raise AevlpError(f"cannot read a relation matrix from {path}: {in_one_line(error, 160)}") from error
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.dtype.kind not in "fiu":
        raise AevlpError(f"{path}: expected a square matrix of numbers, found {matrix.dtype} of shape {matrix.shape}")
    return matrix.astype(np.float32)


def _leaky(values: np.ndarray) -> np.ndarray:
    return np.where(values < 0, SLOPE * values, values)


def _name(rows: np.ndarray, classes: list[str] | None) -> str:
    row = int(np.flatnonzero(rows)[0])
    return repr(classes[row]) if classes else f"number {row}"
