"""What the test split says of several trainings, and the table of it."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.evaluation.intervals import Interval, NoInterval, judge, map_interval
from ...pipeline.losses import entry
from ...pipeline.method_names import parsed
from ...pipeline.score_cache import ScoreCache
from ...pipeline.training.run_folder import RunFolder
from ...pipeline.training.splits import judged_by
from ..columns import Column, percent, show_columns
from ..console import out


def scores_on_test(cache: ScoreCache, runs: Sequence[Path]) -> tuple[list[np.ndarray], np.ndarray]:
    """Return each finished run's logits (n, C) on the test split, and the labels (n, C) that they are judged by."""
    rows, logits = zip(*(RunFolder(path).load_logits() for path in runs), strict=True)
    return list(logits), judged_by(cache)[rows[0]]


def measure(cache: ScoreCache, runs: Sequence[Path]) -> dict[str, Any]:
    """Return each run's test mAP, their mean and its 95 % interval, as fractions, or None and why there is none."""
    judged = judge(*scores_on_test(cache, runs))
    maps = [float(value) for value in judged.maps]
    return {"each": maps, "mean": statistics.mean(maps), **ends("interval", map_interval(judged))}


def ends(name: str, interval: Interval | NoInterval) -> dict[str, Any]:
    """Return an interval's ends under its name; where there is none, None, and why under that name's `_reason`."""
    if isinstance(interval, NoInterval):
        return {name: None, f"{name}_reason": interval.reason}
    return {name: [interval.low, interval.high]}


def show_results(
    title: str, measured: Mapping[str, Mapping[str, Any]], teachers: Sequence[Mapping[str, Any]], where: str
) -> None:
    """Print a row for each teacher and each "loss", in percent, beside what was published for it, upper bounds named.

    teachers: as `Untrained.records` has them. where: what holds the figures too.
    """
    entries = [entry(parsed(row["loss"]).name) for row in measured.values()]
    papers = [found.paper for found in entries]
    names = [
        f"{name}, full labels" if "truth" in of.reads else name for name, of in zip(measured, entries, strict=True)
    ]
    rows = [*({**row, "each": []} for row in teachers), *measured.values()]
    columns = [
        Column("loss", [*(row["title"] for row in teachers), *names], varies=False, right=False),
        Column("from", ["without training"] * len(teachers) + papers, spare=2, right=False),
        Column("each seed", [each_cell(row) for row in rows], spare=3),
        Column("mean", [f"{100 * row['mean']:.2f}" for row in rows], varies=False),
        Column("95 % interval", [ends_cell(row, "interval") for row in rows], spare=1),
        Column("published", [percent(row.get("published")) for row in rows], varies=False),
    ]
    without = set()
    if all(row.get("published") is None for row in rows):
        without.add("published")
    if all(len(row["each"]) <= 1 for row in rows):
        without.add("each seed")  # which is the mean
    if all(row["interval"] is None for row in rows):
        without.add("95 % interval")
    show_columns(title, [column for column in columns if column.header not in without], where)
    if why := why_none(rows):
        out.print(why.removeprefix("; "))


def each_cell(row: Mapping[str, Any]) -> str:
    """Return the mAP of each seed as a cell of a table, in percent."""
    return " ".join(f"{100 * value:.1f}" for value in row["each"]) or "-"


def ends_cell(row: Mapping[str, Any], name: str, form: str = "{:.2f} to {:.2f}") -> str:
    """Return what `ends` gave as a cell of a table, in percent, in brief where there is no interval."""
    if row[name] is None:
        return row[f"{name}_reason"].partition(",")[0]
    return form.format(*(100 * end for end in row[name]))


def why_none(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return why rows have no interval, each reason once, to end a note with; nothing where all have one."""
    reasons = dict.fromkeys(row["interval_reason"] for row in rows if row["interval"] is None)
    return "".join(f"; no interval: {reason}" for reason in reasons)
