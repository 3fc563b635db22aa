"""Test predictions of a run -> its average precision in each class beside CLIP's own."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...pipeline.errors import AevlpError
from ...pipeline.evaluation.decision import Decision
from ...pipeline.evaluation.intervals import Interval, NoInterval, judge, map_interval
from ...pipeline.evaluation.metrics import f1_scores, precision_of_each
from ...pipeline.evaluation.teachers import MULTI_FOCUS, teacher_scores
from ...pipeline.policies import create_policy
from ...pipeline.score_cache import ScoreCache
from ..stage_two.run import Run
from .charts import colour
from .run_charts import chosen
from .section import Block, Chart, Column, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CLASSES = 60  # that the chart has room for


def class_blocks(
    run: Run, cache: ScoreCache, rows: np.ndarray, logits: np.ndarray, positive: np.ndarray, decision: Decision
) -> list[Block]:
    """Return a chart and a table with a row a class.

    rows: (n,) of the test images in the cache. logits: (n, C). positive: (n, C) bool, by what they are judged.
    decision: how the run labels.
    """
    precision, counts = precision_of_each(logits, positive), positive.sum(axis=0)
    intervals = [map_interval(judge([logits[:, [c]]], positive[:, [c]])) for c in range(len(cache.classes))]
    teacher = _teacher(run, cache, rows, positive)
    columns = [
        Column("class", cache.classes),
        Column("positives", counts.tolist(), "{:,}"),
        Column(
            "AP", [100 * float(value) if of else None for value, of in zip(precision, counts, strict=True)], "{:.1f}"
        ),
        Column("95 % interval", [_written(interval) for interval in intervals]),
    ]
    if teacher is not None:
        gain = 100 * (precision - teacher)
        columns += [
            Column(
                "CLIP's AP", [100 * float(v) if of else None for v, of in zip(teacher, counts, strict=True)], "{:.1f}"
            ),
            Column("added", [float(v) if of else None for v, of in zip(gain, counts, strict=True)], "{:+z.1f}"),
        ]
    labels = f1_scores(decision.labels(decision.probabilities(logits)), positive)
    columns += [
        Column("threshold", decision.thresholds.tolist(), "{:.2f}"),
        *(
            Column(name, [100 * float(v) if of else None for v, of in zip(values, counts, strict=True)], "{:.1f}")
            for name, values in (("precision", labels.precision), ("recall", labels.recall), ("F1", labels.f1))
        ),
    ]
    caption = (
        f"Average precision of each class on the test images, and precision, recall and F1 of the labels that reach its "
        f"threshold, in percent. Thresholds were {chosen(decision)}. A class without a positive has no figures."
    )
    return [_chart(cache, precision, counts, intervals, teacher), Table(caption, columns)]


def _chart(
    cache: ScoreCache,
    precision: np.ndarray,
    counts: np.ndarray,
    intervals: Sequence[Interval | NoInterval],
    teacher: np.ndarray | None,
) -> Chart:
    some = np.flatnonzero(counts)
    if len(some) > CLASSES:
        some = some[np.argsort(-counts[some], kind="stable")[:CLASSES]]
    some = some[np.argsort(precision[some], kind="stable")]
    places = np.arange(len(some))

    def draw(axes: Sequence["Axes"]) -> None:
        [plot] = axes
        for place, c in enumerate(some):
            if isinstance(of := intervals[c], Interval):
                plot.plot((100 * of.low, 100 * of.high), (place, place), color=colour(0), linewidth=2, alpha=0.45)
        plot.plot(100 * precision[some], places, "o", color=colour(0), label="this run, with 95 % interval")
        if teacher is not None:
            plot.plot(
                100 * teacher[some], places, "D", color=colour(1), label="CLIP without training", markerfacecolor="none"
            )
        plot.set_yticks(places, [cache.classes[c] for c in some], fontsize=8 if len(some) <= 30 else 6)
        plot.set(xlabel="average precision (%)", xlim=(0, 100), ylim=(-0.8, len(some) - 0.2))
        plot.grid(True, axis="x")
        plot.legend(loc="lower right")

    left = f" The {CLASSES} most frequent classes are shown." if (counts > 0).sum() > CLASSES else ""
    caption = (
        f"Average precision of each class on the test images, the best at the top. A class without an interval has too few "
        f"positives or too few mistakes for an honest one.{left}"
    )
    return Chart(
        "classes", "Each class, beside CLIP without training", caption, draw, (7, 1.4 + 0.22 * max(1, len(some)))
    )


def _written(interval: Interval | NoInterval) -> str:
    return (
        interval.what if isinstance(interval, NoInterval) else f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"
    )


def _teacher(run: Run, cache: ScoreCache, rows: np.ndarray, positive: np.ndarray) -> np.ndarray | None:
    """Return CLIP's own average precision (C,) on the same images; None where the truth is not known, or it has no score."""
    said = run.settings.get("teacher", {}).get("policy")
    if cache.truth is None or said is None:
        return None
    order = np.argsort(rows)
    try:
        [scores] = teacher_scores(cache, rows[order], [create_policy(said["name"], **said["constants"])])
    except AevlpError:  # of a policy whose file is gone
        return None
    return precision_of_each(scores[MULTI_FOCUS], positive[order])
