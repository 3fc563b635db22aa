"""What speaks for a class in an image, of several kinds -> one number that orders the images of a class."""

from collections.abc import Sequence

import numpy as np

TINY = np.float32(1e-6)


def kinds(similarity: np.ndarray, final: np.ndarray, logits: np.ndarray | None) -> list[np.ndarray]:
    """Return the kinds of evidence there are for n images, (n, C) each, higher where a class is likelier.

    similarity: (n, V, C) cosines, view 0 the whole image. final: (n, C), DAMP's score. logits: (n, C) of a classifier, or None.
    """
    # DAMP's score compares the classes of an image, a cosine the images of a class: each sees what the other does not.
    tile = similarity[:, min(1, similarity.shape[1] - 1) :].max(axis=1)
    return [tile, np.log(final + TINY), *([] if logits is None else [logits])]


class Evidence:
    """The kinds of evidence together: each is measured in its class's standard deviations, and they are added up."""

    def __init__(self, parts: Sequence[np.ndarray]) -> None:
        """parts: of `kinds`, of the images whose means and deviations count."""
        self._means = [part.mean(axis=0, dtype=np.float64) for part in parts]
        deviations = [part.std(axis=0, dtype=np.float64) for part in parts]
        self._deviations = [np.where(one > 0, one, 1) for one in deviations]  # a class of equal numbers says nothing

    def __call__(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """Return the sum (n, C) float64 of the kinds."""
        scaled = zip(parts, self._means, self._deviations, strict=True)
        return np.sum([(part - mean) / deviation for part, mean, deviation in scaled], axis=0)
