"""What a policy needs to know of one cache, fitted: thresholds and temperatures of classes, and the file that keeps them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import policies
from ..errors import AevlpError
from ..files.atomic_write import replacing
from ..labels.codes import POSITIVE
from ..labels.cuts import cuts
from ..runtime.seeding import derive
from ..score_cache import ScoreCache
from .labelling import view_blocks
from .quality_network import quality_target
from .view_probabilities import log_probabilities
from .view_quality import fit_quality_network
from .view_weights import fit_view_weights

KEYS = {
    "policy": str,
    "constants": dict,
    "classes": list,
    "cache_fingerprint": str,
    "fitted_on": str,
    "full_labels": bool,
}
FOLDS = 5
MOST_IMAGES = 8192  # that the quality of views is fitted to: their vectors are held at once


@dataclass(frozen=True)
class Expected:
    """How good a class's labels may be expected to be, (C,) float64 each, NaN where nothing tells."""

    precision: np.ndarray
    recall: np.ndarray


def fit_thresholds(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return each class's threshold (C,) float64: labels of scores at or above it have the highest F1.

    scores: (n, C) finite. truth: (n, C) 0/1. A threshold lies half-way between the lowest score that it lets in and the next
    one below; of equal F1 the higher threshold is taken. A class that is nowhere there gets the threshold that is best for all
    classes together. Raises AevlpError where no class is.
    """
    positive = truth == 1
    if not positive.any():
        raise AevlpError("thresholds are fitted to positives, and the labelled images have none")
    together = _best_threshold(scores.ravel(), positive.ravel())
    return np.array(
        [
            _best_threshold(column, there) if there.any() else together
            for column, there in zip(scores.T, positive.T, strict=True)
        ]
    )


def expected_quality(scores: np.ndarray, truth: np.ndarray, seed: int = 0) -> Expected:
    """Return precision and recall of `fit_thresholds` on images that it has not seen, by cross-validation in 5 folds.

    Every image is labelled once, by thresholds that were fitted without it, and counts are taken over all. Images are dealt to
    folds by a permutation drawn from `seed`; with fewer than 5, each is a fold. A ratio without any entry is NaN.
    """
    n = len(scores)
    order = np.random.default_rng(derive(seed, "folds")).permutation(n)
    labelled = np.zeros(scores.shape, dtype=bool)
    for fold in range(min(FOLDS, n)):
        held = order[fold::FOLDS]
        seen = np.delete(np.arange(n), held)
        if (truth[seen] == 1).any():
            labelled[held] = scores[held] >= fit_thresholds(scores[seen], truth[seen])
    there = truth == 1
    hits = (labelled & there).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return Expected(hits / labelled.sum(axis=0), hits / there.sum(axis=0))


def frequency_thresholds(scores: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """Return each class's threshold (C,) float64, which the share `frequencies` (C,) of the scores (n, C) reaches.

    round(frequency * n) images of a class do, and whatever ties with the last of them; where that is none, no score does.
    """
    if not len(scores):
        raise AevlpError("thresholds are fitted to the scores of images, and there is none")
    counts = np.rint(frequencies * len(scores)).astype(np.int64)
    descending = -np.sort(-scores.astype(np.float64), axis=0)
    lowest = descending[np.maximum(counts, 1) - 1, np.arange(scores.shape[1])]
    return np.where(counts > 0, lowest, np.nextafter(descending[0], np.inf))


def expected_by_observed(
    scores: np.ndarray, observed: np.ndarray, thresholds: np.ndarray, frequencies: np.ndarray
) -> Expected:
    """Return an estimate of the quality of labels at `thresholds` (C,) where no image is labelled in full.

    scores, observed: (n, C), positives observed where 1. frequencies: (C,), each class's share of the images. If the observed
    positives of a class are picked at random among its positives, the share of them that reaches the threshold is the recall,
    and precision is recall * frequency / (share of all images that reach it), at most 1. NaN for a class without an observed
    positive. Elkan and Noto, Learning Classifiers from Only Positive and Unlabeled Data, KDD 2008, for that assumption.
    """
    reached, known = scores >= thresholds, observed == 1
    with np.errstate(invalid="ignore"):  # 0 / 0 where nothing was observed, or nothing reaches the threshold
        recall = (reached & known).sum(axis=0) / known.sum(axis=0)
        precision = np.minimum(recall * frequencies / reached.mean(axis=0), 1)
    return Expected(precision, recall)


def fit_temperatures(cosines: np.ndarray, truth: np.ndarray, start: float, each: bool = False) -> np.ndarray:
    """Return the temperature (C,) float64 of every class that makes whole images' true classes most likely.

    cosines: (n, C) of whole images. truth: (n, C) 0/1. start: > 0, where the search begins. each: whether classes have
    temperatures of their own, else all have the same. What is minimised is the cross-entropy of softmax(cosines / temperature)
    and the labels, each image's spread evenly over its positives (Guo et al., ICML 2017, for several labels), plus the mean over
    classes of 0.001 ln²(temperature / start), which keeps the temperature of a class that is nowhere there from running away.
    Raises AevlpError where no image has a positive.
    """
    there = (truth == 1).any(axis=1)
    if not there.any():
        raise AevlpError("temperatures are fitted to positives, and the labelled images have none")
    scaled = torch.from_numpy(cosines[there] / start).double()
    target = torch.from_numpy(truth[there] == 1).double()
    target = target / target.sum(dim=1, keepdim=True)
    lower = torch.zeros(
        scaled.shape[1] if each else 1, dtype=torch.float64, requires_grad=True
    )  # ln(start / temperature)
    optimiser = torch.optim.LBFGS([lower], max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        logits = torch.log_softmax(scaled * lower.exp(), dim=1)
        value = -(target * logits).sum(dim=1).mean() + 1e-3 * lower.square().mean()
        value.backward()
        return value

    optimiser.step(loss)
    return (start * (-lower).exp()).expand(scaled.shape[1]).detach().numpy()


def fit_views(cache: ScoreCache, rows: np.ndarray, labels: np.ndarray, temperature: float) -> tuple[np.ndarray, float]:
    """Return what `fit_view_weights` does for rows (n,) of a cache, ascending and "ok", and their labels (n, C), 1 positive."""
    present, highest, done = [], [], 0
    for numbers, similarity in cache.views(rows):
        probability = log_probabilities(similarity, temperature)
        image, name = np.nonzero(labels[done : done + len(numbers)] == POSITIVE)
        present.append(probability[image, :, name].numpy())
        highest.append(probability.amax(dim=2).exp().numpy()[image])
        done += len(numbers)
    nothing = np.empty((0, cache.header.views))
    return fit_view_weights(np.concatenate([nothing, *present]), np.concatenate([nothing, *highest]))


def fit_quality(
    cache: ScoreCache, rows: np.ndarray, labels: np.ndarray, label_known: np.ndarray, temperature: float, seed: int = 0
) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Return the constants of `ViewQuality`'s network, and the views' mean quality and mean target, (V,) float64 each.

    rows: (n,) of a cache that holds the views' embeddings, ascending and "ok". labels, label_known: (n, C) 0/1; images without a
    known one are left out, and of more than 8,192 others so many are drawn by `seed`. The target is `quality_target`'s of the
    softmax over classes at `temperature`. Raises AevlpError where no image has a known label.
    """
    some = np.flatnonzero(label_known.any(axis=1))
    if len(some) > MOST_IMAGES:
        random = np.random.default_rng(derive(seed, "quality images"))
        some = np.sort(random.choice(some, size=MOST_IMAGES, replace=False))
    if not len(some):
        raise AevlpError("the quality of views is fitted to known labels, and none of the images has one")
    views, targets, done = [], [], 0
    for numbers, similarity, vectors in view_blocks(cache, rows[some], embeddings=True):
        assert vectors is not None  # they are asked for
        here = some[done : done + len(numbers)]
        probability = log_probabilities(similarity, temperature).exp()
        known = torch.ones(probability.shape[:2])
        targets.append(
            quality_target(probability, torch.from_numpy(labels[here]), known, torch.from_numpy(label_known[here]))
        )
        views.append(torch.from_numpy(vectors))
        done += len(numbers)
    target = torch.cat(targets)
    constants, quality = fit_quality_network(torch.cat(views), target, seed)
    return constants, quality.double().mean(dim=0).numpy(), target.double().mean(dim=0).numpy()


def write_policy_file(
    path: Path,
    policy: str,
    constants: dict[str, Any],
    classes: Sequence[str],
    cache_fingerprint: str,
    fitted_on: str,
    full_labels: bool,
) -> None:
    """Write a policy and all its constants as JSON, whole or not at all; full_labels: whether it was fitted to such."""
    content = dict(
        zip(KEYS, (policy, constants, list(classes), cache_fingerprint, fitted_on, full_labels), strict=True)
    )
    with replacing(path) as temporary:
        temporary.write_text(
            json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n", encoding="utf-8"
        )


def read_policy_file(path: Path) -> dict[str, Any]:
    """Return what `write_policy_file` wrote: "policy", "constants", "classes", "cache_fingerprint", "fitted_on", "full_labels".

    Raises AevlpError where the file is missing or something else, or its policy cannot be made with its constants.
    """
    remedy = "write it with aevlp calibrate"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AevlpError(f"cannot read the policy file {path}: {error.strerror or error}; {remedy}") from error
    except ValueError as error:
        raise AevlpError(f"{path} is no policy file, it does not hold JSON: {error}; {remedy}") from error
    if not isinstance(content, dict):
        raise AevlpError(f"{path} is no policy file: expected a JSON object, found {type(content).__name__}; {remedy}")
    for key, kind in KEYS.items():
        if not isinstance(content.get(key), kind):
            found = repr(content[key])[:60] if key in content else "none"
            raise AevlpError(f"{path} is no policy file: expected {key!r} as {kind.__name__}, found {found}; {remedy}")
    if content["policy"] == "view-quality" and "weights" in content["constants"]:
        content["policy"] = "view-weights"  # as it is called since view-quality is the published network
    try:
        policies.create_policy(content["policy"], **content["constants"])
    except AevlpError as error:
        raise AevlpError(f"{path}: {error}") from error
    return content


def _best_threshold(scores: np.ndarray, positive: np.ndarray) -> float:
    at, reached, hits = cuts(scores, positive)
    return float(at[np.argmax(2 * hits / (reached + positive.sum()))])  # F1; the first of equals is the highest
