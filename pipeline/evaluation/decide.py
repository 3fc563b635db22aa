"""Logits and labels of the validation part, and a rule -> the decision that is stored beside a model's weights."""

from typing import Any, Literal

import numpy as np

from ..errors import AevlpError
from ..labels.codes import POSITIVE
from ..policies.cap import observed_frequencies
from .decision import HALF, Calibration, Decision
from .fit_calibration import fit_calibration
from .threshold_rule import Rule
from .thresholds import Merits, best, counted, estimated, shrunk

Evaluated = Literal["truth", "observed", "pseudo-labels"]


def decide(
    logits: np.ndarray,
    labels: np.ndarray,
    rule: Rule,
    evaluated_by: Evaluated = "truth",
    expected_positives: float | None = None,
    seed: int = 0,
) -> Decision:
    """Return how a model labels, chosen on the validation part: logits (n, C) and labels (n, C), positive where 1.

    Probabilities are calibrated (`fit_calibration`), then each class gets the threshold that `rule` takes, drawn towards that of
    all classes together as far as it has few positives; a class without any has that one. Where labels are observed positives
    alone, which are not all there are, thresholds follow from estimates and probabilities stay as they are: fitted to such labels
    they would be too low. expected_positives: how many classes an image shows, for those estimates; None where it is not known.
    Raises AevlpError where the rule is a precision and that is needed.
    """
    positive = labels == POSITIVE
    observed = evaluated_by == "observed"
    counts = positive.sum(axis=0)
    calibration = Calibration(np.ones(logits.shape[1])) if observed else fit_calibration(logits, positive, seed)
    about: dict[str, Any] = {
        "rule": str(rule),
        "images": len(logits),
        "positives": counts.tolist(),
        "evaluated_by": evaluated_by,
        "method": _methods(calibration, observed),
    }
    if rule.kind == "number" or not counts.any():
        value = rule.value if rule.kind == "number" else HALF
        return Decision(calibration, np.full(logits.shape[1], value), about)
    probabilities = calibration.probabilities(logits)
    frequencies = None
    if observed and expected_positives is not None:
        frequencies = observed_frequencies(labels, expected_positives)
        about["expected_positives"] = expected_positives

    def merits(scores: np.ndarray, there: np.ndarray, frequency: float | None) -> Merits:
        return estimated(scores, there, frequency) if observed else counted(scores, there)

    together = None if frequencies is None else float(frequencies.mean())
    common = best(merits(probabilities.ravel(), positive.ravel(), together), rule)
    own, about["common"] = np.full(logits.shape[1], common), common
    for c in np.flatnonzero(counts):
        frequency = None if frequencies is None else float(frequencies[c])
        of = merits(probabilities[:, c], positive[:, c], frequency)
        own[c] = best(of, rule)
        if rule.kind == "precision" and of.precision.max() < rule.value:
            about["unreached"] = about.get("unreached", 0) + 1  # classes
    return Decision(calibration, shrunk(own, common, counts), about)


def require_rule(rule: Rule, evaluated_by: Evaluated, expected_positives: float | None) -> None:
    """Raise AevlpError where thresholds for a rule cannot be chosen by such labels, so that it is said before a training."""
    if rule.kind == "precision" and evaluated_by == "observed" and expected_positives is None:
        raise AevlpError(
            f"--threshold-for {rule} needs to know how frequent the classes are, as the validation images have observed labels "
            f"alone: say expected_positives, the classes that an image shows, in the manifest entry, or choose f1 or recall=0.9"
        )


def _methods(calibration: Calibration, observed: bool) -> list[str]:
    """Return what each class's probabilities come from: none, temperature or isotonic."""
    plain = observed or (not calibration.knots and bool((calibration.temperature == 1).all()))
    classes = range(len(calibration.temperature))
    return ["none" if plain else "isotonic" if c in calibration.knots else "temperature" for c in classes]
