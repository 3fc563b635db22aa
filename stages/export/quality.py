"""A run and its cache -> how good it is on its test images, by the logits that it keeps."""

from dataclasses import dataclass

import numpy as np

from ...pipeline.evaluation.decision import Decision
from ...pipeline.evaluation.intervals import Interval, NoInterval, judge, map_interval
from ...pipeline.evaluation.metrics import F1Scores, average_precision, f1_scores
from ...pipeline.score_cache import ScoreCache
from ...pipeline.training.run_folder import RunFolder
from ...pipeline.training.splits import judged_by
from ..stage_two.run import Run


@dataclass(frozen=True)
class Quality:
    """Figures of test images, as fractions. labels: F1 and its parts, of the decision's labels. precision: (C,) average."""

    images: int
    map: float
    interval: Interval | NoInterval
    precision: np.ndarray
    positives: np.ndarray
    labels: F1Scores


def quality_on_test(run: Run, cache: ScoreCache | None, decision: Decision) -> Quality | None:
    """Return how good a run is on its test split; None where it has none, or its labels are gone with its cache."""
    folder = RunFolder(run.folder)
    if cache is None or not folder.logits_files["test"].exists():
        return None
    rows, logits = folder.load_logits()
    truth = judged_by(cache)[rows]
    judged = judge([logits], truth)
    labels = f1_scores(decision.labels(decision.probabilities(logits)), truth)
    return Quality(
        len(rows),
        float(judged.maps[0]),
        map_interval(judged),
        average_precision(logits, truth),
        judged.positives,
        labels,
    )
