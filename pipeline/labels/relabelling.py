"""Labels of some classes -> the same images' labels of other classes; of a class that is not among them nothing is known."""

from collections.abc import Sequence

import numpy as np


def class_places(known: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Return the place of each of `classes` among the known ones, -1 for one that is not there."""
    place = {name: n for n, name in enumerate(known)}
    return np.array([place.get(name, -1) for name in classes], dtype=np.int64)


def relabelled(labels: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the columns of labels (n, C) at these places; where the place is -1, nothing is known: 0."""
    return np.where(places >= 0, labels[:, places], labels.dtype.type(0))


def relabelled_truth(truth: np.ndarray | None, places: np.ndarray) -> np.ndarray | None:
    """Return the columns of full labels (n, C) at these places; None where they are not known of every class."""
    return None if truth is None or (places < 0).any() else truth[:, places]
