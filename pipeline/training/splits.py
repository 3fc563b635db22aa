"""A cache -> the rows that are trained on, validated on and tested on, and the labels they are evaluated by."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..errors import AevlpError
from ..labels.single_positive import split_train_val
from ..score_cache import ScoreCache


@dataclass(frozen=True)
class Split:
    """Rows of the cache (n,), and the labels (n, C) that scores on them are evaluated by."""

    rows: np.ndarray
    truth: np.ndarray


def evaluated_by(cache: ScoreCache) -> Literal["truth", "observed", "pseudo-labels"]:
    """Return what the labels of its splits are: "truth", "observed" where that is not known, "pseudo-labels" where none is."""
    if cache.truth is not None:
        return "truth"
    return "observed" if cache.observed.any() else "pseudo-labels"


def judged_by(cache: ScoreCache) -> np.ndarray:
    """Return the labels (N, C) that scores are evaluated by: the truth, or observed labels where that is not known."""
    return cache.observed if cache.truth is None else cache.truth


def splits(cache: ScoreCache, val_fraction: float, there: np.ndarray | None = None) -> tuple[Split, Split, Split]:
    """Return the training, validation and test rows that could be scored; evaluated by truth, where known, or observed labels.

    A validation split of the data set is used as it is. Otherwise it is drawn from all training rows, as in the
    protocol, before unreadable images are left out. Where full labels are not known, an image without a known label is in the
    training part alone: it would count as showing nothing.
    there: (N,) bool, which rows the data set still lists; None for all.
    """
    ok = cache.status == "ok"
    if there is not None:
        ok &= there
    labels = judged_by(cache)
    known = has_known_label(cache)
    if not known.any():
        raise AevlpError(
            f"{cache.path}: no image has a known label, so there is nothing to evaluate by: give some images labels, in a "
            f"table with the columns image and labels, and score that; or fit a policy to a few with aevlp calibrate --labelled "
            f"FILE"
        )
    pool = np.flatnonzero(cache.split == "train")
    if not ok[pool].any():
        raise AevlpError(f"{cache.path} holds no readable image of the training split: there is nothing to train on")
    train, val = pool, np.flatnonzero((cache.split == "val") & known)
    if not (cache.split == "val").any():
        labelled = pool[known[pool]]
        if not len(labelled):
            raise AevlpError(
                f"{cache.path}: no image of the training split has a known label, so there is nothing to validate by: label some"
            )
        compat = cache.provenance["method"]["compat"]
        kept, val = (labelled[part] for part in split_train_val(len(labelled), val_fraction, compat=compat))
        train = np.sort(np.concatenate([kept, pool[~known[pool]]]))
    test = np.flatnonzero((cache.split == "test") & known)
    parts = [Split(rows[ok[rows]], labels[rows[ok[rows]]]) for rows in (train, val, test)]
    for name, part in zip(("training", "validation"), parts, strict=False):
        if not len(part.rows):
            known_label = " with a known label" * (name == "validation")
            raise AevlpError(f"{cache.path}: no readable image{known_label} is left for {name}")
    return parts[0], parts[1], parts[2]


def splits_of_run(cache: ScoreCache, settings: Mapping[str, Any]) -> tuple[Split, Split, Split]:
    """Return the rows that a run was trained on, validated on and tested on; settings: as its folder records them."""
    there = ~np.isin(cache.ids, settings.get("without", []))
    return splits(cache, settings["recipe"]["val_fraction"], there)


def has_known_label(cache: ScoreCache) -> np.ndarray:
    """Return for each image (N,) bool whether anything is known of what it shows: all of it, or a label that came with it."""
    return np.ones(len(cache), dtype=bool) if cache.truth is not None else cache.labelled
