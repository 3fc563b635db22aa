"""A cache and a policy's settings -> how good the labels of each are on several parts of it; CLIP does not run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from ..errors import AevlpError
from ..score_cache import ScoreCache
from . import Known, create_policy

SWEPT = ("damp", "global", "vlpl", "top-k", "sigmoid")  # the policies that label an image by what is known of it alone
# The constants that make their scores; the others make codes of the scores.
SCORING = ("temperature", "eta", "half", "tiles")
FACTORS = {
    "temperature": (0.5, 0.75, 1, 1.5, 2),
    "threshold": (0.5, 0.75, 1, 1.25, 1.5),
    "negative_ratio": (0.5, 1),
    "partial": (0.5, 1),
}
ETAS = (0.0, 0.1, 0.3, 1.0)
STEPS = (-1, 0, 2)


@dataclass(frozen=True)
class Figures:
    """How good the labels of a setting are on a part of a cache.

    precision, recall, f1, negative_precision: as `PseudoLabelQuality` defines them, None where the truth is not known.
    observed_recall: share of the observed positives that are labelled positive; share: of all entries labelled positive.
    positives, negatives: how many are labelled so, an image, observed entries included.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    negative_precision: float | None
    observed_recall: float
    share: float
    positives: float
    negatives: float

    @property
    def merit(self) -> float:
        """F1; where the truth is not known, observed_recall² / share, 0 where nothing is labelled positive.

        That estimates (up to a factor that all settings share) precision times recall, if the observed positives are drawn from
        all positives alike (Lee and Liu, ICML 2003). It is an estimate: single positives of crowded images are drawn less often.
        """
        if self.f1 is not None:
            return self.f1
        return self.observed_recall**2 / self.share if self.share else 0.0


def default_grid(own: Mapping[str, Any], classes: int) -> dict[str, list[Any]]:
    """Return the values to try of each constant, ascending: typical ones around a policy's `own`, which are among them."""
    values: dict[str, list[Any]] = {}
    for name, value in own.items():
        if name in FACTORS:
            highest = float("inf") if name == "temperature" else 1
            tried = [min(float(f"{value * factor:.6g}"), highest) for factor in FACTORS[name]]
        elif name == "eta":
            tried = list(ETAS)
        elif name == "top_k":
            tried = [min(max(1, value + step), classes) for step in STEPS]
        else:
            continue
        values[name] = sorted({value, *tried})
    return values


def settings_of(policy: str, own: Mapping[str, Any], grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return a policy's own constants, then those with every combination of the grid's values in their place, each once.

    Raises AevlpError for a policy that cannot be swept, a constant that it does not take, and a value out of range.
    """
    check_swept(policy)
    settings = [dict(own)]
    for values in product(*grid.values()):
        setting = {**own, **dict(zip(grid, values, strict=True))}
        create_policy(policy, **setting)
        settings.append(setting)
    return list({tuple(setting.items()): setting for setting in settings}.values())


def check_swept(policy: str) -> None:
    """Raise AevlpError for a policy that cannot be swept."""
    if policy not in SWEPT:
        raise AevlpError(
            f"policy {policy} cannot be swept: expected one that labels each image by itself, {', '.join(SWEPT)}"
        )


def tabulate(
    cache: ScoreCache, policy: str, settings: Sequence[Mapping[str, Any]], parts: Sequence[np.ndarray]
) -> np.ndarray:
    """Return how often which code meets which label, (S, P, 3, 2, 3) int64, for S settings of a policy of `SWEPT`.

    The axes: setting, part, observed code -1, 0, +1, truth 0, 1 (0 throughout where it is not known), the policy's code -1, 0,
    +1. parts: P arrays of row numbers, no row in two of them; rows that are not "ok" do not count.
    The cosines are read once, a block at a time, and settings that differ in codes alone share their scores.
    """
    policies = [create_policy(policy, **setting) for setting in settings]
    alike: dict[tuple[Any, ...], list[int]] = {}
    for number, setting in enumerate(settings):
        alike.setdefault(tuple(setting.get(name) for name in SCORING), []).append(number)
    part = np.full(len(cache), -1)
    for number, rows in enumerate(parts):
        part[rows] = number
    cells = len(parts) * 3 * 2 * 3
    counts = np.zeros((len(settings), cells), dtype=np.int64)
    for rows, cosines in cache.views(np.flatnonzero(part >= 0)):
        observed = cache.observed[rows]
        present = np.zeros_like(observed) if cache.truth is None else cache.truth[rows] == 1
        cell = ((part[rows, None] * 3 + observed + 1) * 2 + present) * 3 + 1
        for numbers in alike.values():
            final, ranking = policies[numbers[0]].scores(cosines, observed)
            known = Known(observed=observed, final=final, ranking=ranking)
            for number in numbers:
                codes = policies[number](known).codes
                counts[number] += np.bincount((cell + codes).ravel(), minlength=cells)
    return counts.reshape(len(settings), len(parts), 3, 2, 3)


def figures(table: np.ndarray, classes: int, *, truth: bool) -> Figures:
    """Return the figures of one setting on one part, of its table (3, 2, 3) from `tabulate`; truth: whether it is known."""
    negative, positive, free = 0, 2, slice(2)
    labelled = table[..., positive].sum()
    hits, right = table[free, 1, positive].sum(), table[1, 0, negative]
    precision = _ratio(hits, table[free, :, positive].sum())
    recall = _ratio(hits, table[free, 1].sum())
    return Figures(
        precision=precision if truth else None,
        recall=recall if truth else None,
        f1=_ratio(2 * precision * recall, precision + recall) if truth else None,
        negative_precision=_ratio(right, table[1, :, negative].sum()) if truth else None,
        observed_recall=_ratio(table[2, :, positive].sum(), table[2].sum()),
        share=_ratio(labelled, table.sum()),
        positives=_ratio(labelled * classes, table.sum()),
        negatives=_ratio(table[..., negative].sum() * classes, table.sum()),
    )


def best(settings: Sequence[Mapping[str, Any]], merits: Sequence[float], own: Mapping[str, Any]) -> int:
    """Return which setting has the highest merit; of equals, one with the most constants as in `own`, then the first."""
    kept = [sum(setting[name] == value for name, value in own.items()) for setting in settings]
    return max(range(len(settings)), key=lambda n: (merits[n], kept[n], -n))


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
