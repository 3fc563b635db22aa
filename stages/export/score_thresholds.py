"""A decision -> the thresholds of what a library's pipeline prints, the plain sigmoid of a logit.

Calibration rises with the logit, so that "calibrated probability at least t" is "sigmoid at least s" for some s.
"""

import math

import numpy as np

from ...pipeline.evaluation.decision import Decision

NEVER = 2.0  # above any score


def score_thresholds(decision: Decision) -> list[float]:
    """Return for each class the least sigmoid of a logit that its label has, 0 where each image has it, 2 where none has."""
    least = [_least_logit(decision, number) for number in range(len(decision.thresholds))]
    return [NEVER if logit is None else _sigmoid(logit) for logit in least]


def _least_logit(decision: Decision, number: int) -> float | None:
    """Return the least logit whose calibrated probability reaches a class's threshold, None where none does."""
    threshold = float(decision.thresholds[number])
    if number not in decision.calibration.knots:
        if threshold in (0, 1):
            return -math.inf if threshold == 0 else math.inf
        return float(decision.calibration.temperature[number]) * math.log(threshold / (1 - threshold))
    at, values = decision.calibration.knots[number]
    reaching = np.flatnonzero(values >= threshold)
    if not len(reaching):
        return None
    first = int(reaching[0])
    if first == 0:
        return -math.inf  # the probability is that of the first knot below it
    share = (threshold - values[first - 1]) / (values[first] - values[first - 1])
    return float(at[first - 1] + share * (at[first] - at[first - 1]))


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0
