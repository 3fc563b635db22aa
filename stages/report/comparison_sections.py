"""A comparison -> the sections of its report: the table, differences, curves, and what each method costs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from ...pipeline.errors import AevlpError, counted
from ...pipeline.training.run_folder import RunFolder
from ..experiments.compare import Comparison
from ..experiments.results import why_none
from .charts import colour, dashes
from .section import Block, Chart, Column, Facts, Section, Table, Text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 40  # methods that a chart has room for


def comparison_sections(comparison: Comparison) -> list[Section]:
    """Return the sections of a comparison, of the methods that are finished."""
    record = comparison.record
    names = _names(record["methods"])
    return [
        Section("comparison", "The comparison", [Text(_said(record)), _table(record, names), *_facts(record)]),
        Section("differences", "Differences", [_intervals(record, names), *_differences(record, names)]),
        Section("curves", "Training", [*_curves(comparison, names), _cost(record, names)]),
    ]


def _names(methods: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what each method is called: its loss, with the policy where the loss stands there with several."""
    losses = [row["loss"] for row in methods]
    return [
        f"{row['loss']} + {row['policy']}" if row["policy"] and losses.count(row["loss"]) > 1 else row["loss"]
        for row in methods
    ]


def _said(record: Mapping[str, Any]) -> list[str]:
    images = record["images"]
    said = [
        f"{counted(len(record['methods']), 'method')} with {counted(record['seeds'], 'seed')} each on {record['dataset']}: "
        f"{images['train']:,} images to train on, {images['val']:,} to validate, {images['test']:,} to test, the same for all. "
        f"Differences are to {record['baseline']}, paired over the same test images and seeds; * where the interval "
        "does not hold 0."
    ]
    if corrections := record.get("corrections"):
        said.append(
            f"All were trained with {counted(corrections['answers'], 'answer')} of a review in the place of observed labels."
        )
    if reason := why_none([*record["teachers"], *record["methods"]]):
        said.append(reason.removeprefix("; "))
    if record["left_out"]:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in record["left_out"].items())
        said.append(f"Left out: {reasons}")
    return said


def _table(record: Mapping[str, Any], names: Sequence[str]) -> Table:
    teachers, methods = record["teachers"], record["methods"]
    blank = [None] * len(teachers)
    columns = [
        Column("method", [*(row["title"] for row in teachers), *names]),
        Column("labels", [*("without training" for _ in teachers), *map(_labels, methods)]),
        Column(
            "mAP",
            [100 * row["mean"] for row in (*teachers, *methods)],
            "{:.2f}",
            "of the test images, mean of the seeds, in percent",
        ),
        Column("95 % interval", [_between(row.get("interval")) for row in (*teachers, *methods)]),
        Column(
            "difference",
            [*blank, *(None if row["baseline"] else 100 * row["difference"] for row in methods)],
            "{:+.2f}",
        ),
        Column("of the difference", [*("-" for _ in teachers), *map(_of_difference, methods)]),
        Column("over CLIP", [*blank, *map(_over, methods)], "{:+.2f}", "what training adds to CLIP's own scores"),
        Column("seconds", [*blank, *(row["seconds"] for row in methods)], "{:,.0f}", "of a training, mean"),
        Column("from", [*("" for _ in teachers), *(f"{row['paper']} {row['year'] or ''}".strip() for row in methods)]),
    ]
    return Table("Test mAP in percent, the best method first, upper bounds last.", columns)


def _labels(row: Mapping[str, Any]) -> str:
    return f"{row['policy'] or 'observed'}{', full labels' * bool(row['oracle'])}"


def _over(row: Mapping[str, Any]) -> float | None:
    return None if "over_teacher" not in row else 100 * row["over_teacher"]


def _between(interval: Sequence[float] | None, sign: str = "") -> str:
    return "-" if interval is None else " to ".join(f"{100 * end:{sign}.2f}" for end in interval)


def _of_difference(row: Mapping[str, Any]) -> str:
    return "baseline" if row["baseline"] else _between(row["difference_interval"], "+") + "*" * bool(row["differs"])


def _facts(record: Mapping[str, Any]) -> list[Facts]:
    values = {
        "cache": f"{record['cache']}, fingerprint {record['cache_fingerprint'][:16]}…",
        "intervals": f"{100 * record['intervals']['level']:g} %, {record['intervals']['method']}",
        **{name: str(version) for name, version in record["versions"].items()},
    }
    return [Facts("What made it", values, folded=True)]


def _intervals(record: Mapping[str, Any], names: Sequence[str]) -> Chart:
    rows = [*zip((row["title"] for row in record["teachers"]), record["teachers"], strict=True)]
    rows += [*zip(names, record["methods"], strict=True)][:MOST]
    rows = rows[::-1]

    def draw(axes: Sequence["Axes"]) -> None:
        [plot] = axes
        for place, (_, row) in enumerate(rows):
            own = "each" in row
            if row.get("interval") is not None:
                plot.plot(
                    [100 * end for end in row["interval"]],
                    (place, place),
                    color=colour(0 if own else 6),
                    linewidth=2,
                    alpha=0.5,
                )
            plot.plot(100 * row["mean"], place, "o" if own else "D", color=colour(0 if own else 6))
            for value in row.get("each", ()):
                plot.plot(100 * value, place, "|", color=colour(1), markersize=7)
        plot.set_yticks(range(len(rows)), [name for name, _ in rows])
        plot.set(xlabel="test mAP (%)", ylim=(-0.7, len(rows) - 0.3))
        plot.grid(True, axis="x")

    caption = (
        "Mean of the seeds with its 95 % interval, each seed as a stroke; CLIP without training as a diamond."
        + _left_out(record)
    )
    return Chart("map", "Test mAP", caption, draw, (7, 1.2 + 0.26 * len(rows)))


def _differences(record: Mapping[str, Any], names: Sequence[str]) -> list[Chart]:
    rows = [(name, row) for name, row in zip(names, record["methods"], strict=True) if not row["baseline"]][:MOST][::-1]
    if not rows:
        return []

    def draw(axes: Sequence["Axes"]) -> None:
        [plot] = axes
        plot.axvline(0, color=colour(6), linestyle=":")
        for place, (_, row) in enumerate(rows):
            series = colour(0) if row["differs"] else colour(6)
            if row["difference_interval"] is not None:
                plot.plot(
                    [100 * end for end in row["difference_interval"]],
                    (place, place),
                    color=series,
                    linewidth=2,
                    alpha=0.5,
                )
            plot.plot(
                100 * row["difference"], place, "o", color=series, markerfacecolor=series if row["differs"] else "none"
            )
        plot.set_yticks(range(len(rows)), [name for name, _ in rows])
        plot.set(xlabel=f"points of mAP over {record['baseline']}", ylim=(-0.7, len(rows) - 0.3))
        plot.grid(True, axis="x")

    caption = (
        f"Paired differences to {record['baseline']} with their 95 % intervals; a filled point is a difference whose "
        f"interval does not hold 0.{_left_out(record)}"
    )
    return [
        Chart("differences", f"Better or worse than {record['baseline']}", caption, draw, (7, 1.2 + 0.26 * len(rows)))
    ]


def _left_out(record: Mapping[str, Any]) -> str:
    return f" The {MOST} best methods are shown." if len(record["methods"]) > MOST else ""


def _curves(comparison: Comparison, names: Sequence[str]) -> list[Block]:
    shown, gone = [], 0
    for name, row in zip(names, comparison.record["methods"], strict=True):
        found = [of for path in row["runs"] if (of := _history(comparison.folder, path))]
        gone += len(row["runs"]) - len(found)
        if found:
            shown.append((name, found))
    said: list[Block] = []
    if gone:
        have = "is not there any more: it has" if gone == 1 else "are not there any more: they have"
        said.append(Text([f"{counted(gone, 'run')} of the comparison {have} no curve."]))
    shown = shown[:MOST]
    if not shown:
        return said
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    top = max(value for _, found in shown for of in found for value in of)
    longest = max(len(of) for _, found in shown for of in found)

    def draw(axes: Sequence["Axes"]) -> None:
        for plot, (name, found) in zip(axes, shown, strict=False):
            for of in found:
                plot.plot(
                    range(1, len(of) + 1), [100 * value for value in of], color=colour(0), linewidth=0.8, alpha=0.6
                )
            shortest = min(map(len, found))
            mean = np.mean([of[:shortest] for of in found], axis=0)
            plot.plot(range(1, shortest + 1), 100 * mean, color=colour(1), linestyle=dashes(0), linewidth=2)
            plot.set_title(name)
            plot.set(xlim=(0.5, longest + 0.5), ylim=(0, 100 * top * 1.05))
            plot.grid(True)
            plot.xaxis.set_major_locator(MaxNLocator(integer=True))

    caption = "Validation mAP (%) by epoch: each seed thin, their mean thick, as far as all seeds were trained."
    return [
        *said,
        Chart("validation", "Validation curves", caption, draw, (2.2 * columns, 1.9 * rows), (rows, columns)),
    ]


def _history(folder: Path, path: str) -> list[float]:
    """Return the validation mAP of each epoch of a run, which stands in the comparison's folder wherever that is now."""
    try:
        return [line["val_map"] for line in RunFolder(folder / Path(path).name).metrics() if "val_map" in line]
    except AevlpError:
        return []


def _cost(record: Mapping[str, Any], names: Sequence[str]) -> Chart:
    rows = [*zip(names, record["methods"], strict=True)][:MOST]

    def draw(axes: Sequence["Axes"]) -> None:
        [plot] = axes
        for number, (name, row) in enumerate(rows):
            plot.plot(row["seconds"], 100 * row["mean"], "o", color=colour(number))
            plot.annotate(
                name, (row["seconds"], 100 * row["mean"]), xytext=(4, 3), textcoords="offset points", fontsize=7
            )
        plot.set(xlabel="seconds of a training", ylabel="test mAP (%)")
        plot.margins(0.15)
        plot.grid(True)

    caption = f"What a training costs against what it reaches: the upper left is cheap and good.{_left_out(record)}"
    height = max(3.4, 1.4 + 0.16 * len(rows))  # room for the names
    return Chart("cost", "Cost against mAP", caption, draw, (7, height))
