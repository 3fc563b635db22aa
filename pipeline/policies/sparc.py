"""SPARC: a class's score from sentences that name it beside others, over all images at once, without training (CVPR 2025)."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..errors import AevlpError, counted, some
from ..labels.damp import DampSettings, codes_from_scores
from ..score_cache.sentences import Sentences
from .arrays import numbers, require
from .interface import Known, Labels
from .observed_scores import with_observed

ROUNDING = 1e-12  # a mean of weights nearer to 0 is 0


def sparc_scores(ensemble: ArrayLike, simple: ArrayLike, compound: ArrayLike, members: ArrayLike) -> np.ndarray:
    """Return each image's fused score of each class, (n, C) float64, in standard deviations (SPARC, CVPR 2025).

    ensemble, simple: (n, C) cosines of images with a class's ensembled text feature and with its bare name. compound: (n, M)
    cosines with sentences. members: (C, M) 0/1, which sentence mentions a class. Scores are standardised by image, those of
    sentences by the bare names', and then over the images; a class's sentences are sorted in each image, weighted by the first
    principal axis of the sorted scores and the class's own, and the sum is averaged with the class's own. It depends on all the
    images, and orders those of one class; a weight may be negative, a sentence listed twice counts twice, and a class without a
    sentence keeps its own score.
    Raises AevlpError for other shapes, numbers that are not finite, scores that do not vary, and where images are no more than a
    class's sentences and one.
    """
    own = numbers("ensemble", ensemble, None, None, what="images, classes")
    bare = numbers("simple", simple, *own.shape, what="images, classes")
    sentences = numbers("compound", compound, len(own), None, what="images, sentences")
    mentioned = numbers("members", members, own.shape[1], sentences.shape[1], what="classes, sentences")
    if not np.isin(mentioned, (0, 1)).all():
        raise AevlpError(f"members must be 0 and 1, found {mentioned[~np.isin(mentioned, (0, 1))][0]}")
    of_class = mentioned.astype(bool)
    final, _ = fused_scores(own, bare, of_class.sum(axis=1), lambda c: sentences[:, of_class[c]], range(own.shape[1]))
    return final


def fused_scores(
    ensemble: np.ndarray,
    simple: np.ndarray,
    counts: np.ndarray,
    sentences: Callable[[int], np.ndarray],
    names: Sequence[object],
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return `sparc_scores`, and each class's weights, of its k sentences in ascending order and of its own score, (k + 1,).

    names: of the classes, in errors. counts: (C,), the k of each. sentences: a class -> the cosines (n, k) of its sentences, read
    class by class, as those of all pairs of many classes would fill the memory.
    """
    n, classes = ensemble.shape
    if n < 2 or classes < 2:
        raise AevlpError(f"sparc needs 2 images and 2 classes at least, found {n} and {classes}")
    most = int(counts.argmax())
    if n <= counts[most] + 1:
        raise AevlpError(
            f"sparc needs more images than a class has sentences, and one: class {names[most]} is in {counts[most]}, so at "
            f"least {counts[most] + 2} images are expected, found {n}: take more images, or fewer sentences (aevlp cache "
            f"sentences --compounds labels, or a file of them)"
        )
    own = _over_images(_by_image(ensemble, ensemble, "ensemble"), "ensemble")
    final, weights = own.copy(), [np.ones(1) for _ in range(classes)]
    for c in np.flatnonzero(counts).tolist():
        beside = np.sort(_over_images(_by_image(sentences(c), simple, "simple"), f"compound of class {c}"), axis=1)
        columns = np.column_stack([beside, own[:, c]])
        weights[c] = _axis(columns)
        final[:, c] = (columns @ weights[c] + own[:, c]) / 2
    return final, weights


def _by_image(values: np.ndarray, by: np.ndarray, name: str) -> np.ndarray:
    """Return values with the mean and the standard deviation of the same row of `by` taken out."""
    equal = np.ptp(by, axis=1) == 0
    if equal.any():
        raise AevlpError(
            f"{name}: image {int(equal.argmax())} has one cosine with all classes, by which none stands out"
        )
    return (values - by.mean(axis=1, keepdims=True)) / by.std(axis=1, ddof=1, keepdims=True)


def _over_images(values: np.ndarray, name: str) -> np.ndarray:
    equal = np.ptp(values, axis=0) == 0
    if equal.any():
        raise AevlpError(f"{name}: column {int(equal.argmax())} is the same for all images, by which none stands out")
    return (values - values.mean(axis=0)) / values.std(axis=0, ddof=1)


def _axis(columns: np.ndarray) -> np.ndarray:
    """Return the first principal axis of columns (n, k), of a mean that is not negative, divided by the sum of its sizes.

    Where the mean is 0, as for one sentence that speaks against the class's own score, the last column's weight is positive.
    """
    centred = columns - columns.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)  # eigenvalues ascend
    axis = axes[:, -1]
    mean = axis.mean()
    against = axis[-1] < 0 if abs(mean) < ROUNDING else mean < 0
    return np.where(against, -axis, axis) / np.abs(axis).sum()


class Sparc:
    """Fused scores of sentences that name several classes, as a label's likelihood; codes as `Damp`'s of them.

    The paper's: the score. Ours, as it only orders the images of a class: a score of z standard deviations becomes
    1 / (1 + exp(-steepness * (z - centre))), the same for every class, so that 0.5 is a class's score in an image in which it
    stands out by `centre`, and the labels of a class are more the more its scores lean to one side. It reads no tiles; the
    images that are labelled together are the set over which scores are standardised; a mirrored image counts with its own.

    centre: finite. steepness: > 0. threshold: in [0, 1], least score of a positive. top_k, negative_ratio: as for `Damp`.
    """

    reads: tuple[str, ...] = ("embedding", "sentences")

    def __init__(
        self,
        *,
        top_k: int,
        negative_ratio: float,
        threshold: float = 0.5,
        centre: float = 1.25,
        steepness: float = 2.0,
        compat: str = "paper",
    ) -> None:
        self.settings = DampSettings(1.0, 0.0, threshold, top_k, negative_ratio, compat)
        require("centre of policy sparc", centre, np.isfinite(centre), "a finite number")
        require("steepness of policy sparc", steepness, 0 < steepness < np.inf, "above 0")
        self.centre, self.steepness = centre, steepness
        self._fused: tuple[np.ndarray, np.ndarray] | None = None  # of these embeddings
        self._leaning: list[int] = []  # classes with a negative weight

    def scores(self, similarity: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return zeros, (n, C) float32 each: the cosines of views are not read."""
        return np.zeros(observed.shape, np.float32), np.zeros(observed.shape, np.float32)

    def set_scores(self, embedding: np.ndarray, sentences: Sentences) -> np.ndarray:
        """Return `sparc_scores` of images (n, D) as one set, (n, C) float64, in standard deviations; no label is read."""
        if self._fused is None or not np.array_equal(self._fused[0], embedding):  # the same in every epoch
            images, of_class = embedding.astype(np.float64), sentences.members.astype(bool)
            final, weights = fused_scores(
                images @ sentences.ensemble.T.astype(np.float64),
                images @ sentences.bare.T.astype(np.float64),
                of_class.sum(axis=1),
                lambda c: images @ sentences.compound[of_class[c]].T.astype(np.float64),
                sentences.classes,
            )
            self._fused = embedding, final
            self._leaning = [c for c, weight in enumerate(weights) if (weight < 0).any()]
        return self._fused[1]

    def __call__(self, known: Known) -> Labels:
        assert known.embedding is not None and known.sentences is not None  # `reads` says that they must be there
        likely = 1 / (1 + np.exp(-self.steepness * (self.set_scores(known.embedding, known.sentences) - self.centre)))
        scores = with_observed(likely, known.observed)
        return Labels(codes_from_scores(scores, likely.astype(np.float32), self.settings), scores)

    def notes(self, classes: Sequence[str]) -> list[str]:
        """Return a line on the classes some of whose sentences count against them, where there are any."""
        if not self._leaning:
            return []
        names = some([classes[c] for c in self._leaning], 5)
        many = counted(len(self._leaning), "class", "classes")
        return [f"policy sparc: of {many} a sentence counts against the class, as it may: {names}"]
