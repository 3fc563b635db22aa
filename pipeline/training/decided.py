"""The decision stored in a run's best weights: probabilities and thresholds that its validation part chose."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..evaluation.decision import Decision, undecided

DECISION = "decision"


def decision_of(description: Mapping[str, Any], file: Path) -> Decision:
    """Return the decision in the description of best weights; one threshold of 0.5 where its training is not finished, or older.

    Raises AevlpError where it cannot be read.
    """
    classes = description["classes"]
    if DECISION not in description:
        return undecided(len(classes))
    return Decision.from_json(description[DECISION], classes, str(file))
