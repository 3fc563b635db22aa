"""The probabilities and labels of a class, and a rule -> its threshold."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from ..errors import AevlpError
from ..labels.cuts import cuts
from .threshold_rule import Rule

SHRUNK_BY = 3  # a class's own threshold counts as its positives do, the common one as so many: docs/method.md says why


@dataclass(frozen=True)
class Merits:
    """How good the labels of a class are at each of its possible thresholds; all (K,) float64, the highest threshold first.

    at: the thresholds. recall, precision: in [0, 1], as counted or as estimated. comparable: whether precision is a share; where
    the class's frequency is not known, it is known up to a factor alone.
    """

    at: np.ndarray
    recall: np.ndarray
    precision: np.ndarray
    comparable: bool = True


def counted(probabilities: np.ndarray, positive: np.ndarray) -> Merits:
    """Return the merits of a class whose labels (n,) bool are known, at least one of them positive; probabilities: (n,)."""
    at, reached, hits = cuts(probabilities, positive)
    return Merits(at, hits / positive.sum(), hits / reached)


def estimated(probabilities: np.ndarray, observed: np.ndarray, frequency: float | None) -> Merits:
    """Return the merits of a class of which positives alone are known, and not all of them; observed: (n,) bool, one at least.

    The observed positives are taken as picked at random among all of the class: their share that reaches a threshold is the
    recall, and the precision is recall * frequency / (share of all images that reach it), at most 1 (Elkan and Noto, KDD 2008).
    frequency: the class's share of images; None where it is not known, which leaves precision without that factor.
    """
    at, reached, hits = cuts(probabilities, observed)
    recall, share = hits / observed.sum(), reached / len(observed)
    if frequency is None:
        return Merits(at, recall, recall / share, comparable=False)
    return Merits(at, recall, np.minimum(recall * frequency / share, 1))


def best(of: Merits, rule: Rule) -> float:
    """Return the threshold that a rule, which is no number, takes; of equals the highest one.

    Where no threshold has the precision that is asked for, the one with the highest is taken. Where precision is known up to a
    factor alone, precision * recall takes the place of any F: Lee and Liu, ICML 2003. Raises AevlpError for a precision there.
    """
    recall, precision = of.recall, of.precision
    if rule.kind == "recall":
        return float(of.at[np.argmax(recall >= rule.value)])  # the first that has it is the highest
    if rule.kind == "precision":
        if not of.comparable:
            raise AevlpError("a precision cannot be estimated where the classes' frequencies are not known")
        merit = np.where(precision >= rule.value, 1 + recall, precision)
    elif of.comparable:
        square = rule.value**2
        merit = (1 + square) * precision * recall / np.maximum(square * precision + recall, np.finfo(float).tiny)
    else:
        merit = precision * recall
    return float(of.at[np.argmax(merit)])


def shrunk(own: np.ndarray, common: float, positives: np.ndarray) -> np.ndarray:
    """Return thresholds (C,) between each class's own and the common one, nearer to its own the more positives it has.

    own, common: in [0, 1]. positives: (C,) counts. The mean is taken of their logits, with the weights n and `SHRUNK_BY`.
    """
    tiny = 1e-12  # of a threshold of 0 or 1, whose logit is not finite
    own_logit, common_logit = (logit(np.clip(value, tiny, 1 - tiny)) for value in (own, common))
    weight = positives / (positives + SHRUNK_BY)
    return expit(weight * own_logit + (1 - weight) * common_logit)
