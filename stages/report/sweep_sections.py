"""A sweep -> the sections of its report: what it recommends, all settings, and what each constant does."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...pipeline.errors import counted
from ..experiments.sweep import Sweep
from ..experiments.sweep_table import HIDDEN
from .charts import colour
from .section import Block, Chart, Column, Facts, Section, Table, Text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 50  # settings, of the best


def sweep_sections(sweep: Sweep) -> list[Section]:
    """Return the sections of a sweep; its figures are those of the validation part, which chooses."""
    record = sweep.record
    known = record["recommended"]["val"]["f1"] is not None
    return [
        Section("recommended", "What it recommends", [*_recommended(record, known), *_facts(record)]),
        Section("settings", "Settings", [_table(record, known), _trade(record, known)]),
        Section("constants", "What each constant does", _constants(record, known)),
    ]


def _recommended(record: Mapping[str, Any], known: bool) -> list[Block]:
    choice, images = record["recommended"], record["images"]
    same = [row for row in record["results"] if (row["views"], row["policy"]) == (choice["views"], choice["policy"])]
    own = next(row for row in same if row["own"])
    said = [
        f"{counted(record['settings'], 'setting')} were measured on {images.get('train', 0):,} training and "
        f"{images['val']:,} validation images. The choice is by {record['criterion']}; figures of the test split choose nothing."
    ]
    name, scale, form = ("F1", 100, ".1f") if known else ("estimate", 1, ".3f")
    reached = f"{choice['policy']} with {choice['views']}, {name} {scale * choice['merit']:{form}}"
    if choice["own"] and not choice["changes"]:
        said.append(f"Recommended: the manifest's own setting, {reached}: there is nothing to change.")
    else:
        instead = f"instead of {scale * own['merit']:{form}} with the manifest's own setting of that policy"
        said.append(f"Recommended: {reached}, {instead}.")
    return [Text(said), Facts("The line for the manifest", {"line": choice["line"]})]


def _facts(record: Mapping[str, Any]) -> list[Facts]:
    values = {
        "caches": "; ".join(f"{each['cache']} ({each['views']})" for each in record["caches"]),
        **{name: str(version) for name, version in record["versions"].items()},
    }
    return [Facts("What made it", values, folded=True)]


def _table(record: Mapping[str, Any], known: bool) -> Table:
    rows = [row for place, row in enumerate(record["results"]) if place < SHOWN or row["own"]]
    constants = [
        name for name in dict.fromkeys(name for row in rows for name in row["constants"]) if name not in HIDDEN
    ]
    figures = ("precision", "recall", "f1", "negative_precision") if known else ("observed_recall", "share")
    columns = [
        Column("setting", [_setting(row) for row in rows]),
        *(Column(name, [_number(row["constants"].get(name)) for row in rows], "{:g}") for name in constants),
        *(Column(name.replace("_", " "), [_percent(row["val"][name]) for row in rows], "{:.1f}") for name in figures),
        Column("positives an image", [row["val"]["positives"] for row in rows], "{:.2f}"),
    ]
    left = f" The best {SHOWN} and the manifest's own." if len(record["results"]) > len(rows) else ""
    return Table(f"Figures of the validation part, in percent.{left}", columns)


def _setting(row: Mapping[str, Any]) -> str:
    own = ", the manifest's own" if row["own"] else ""
    return f"{row['policy']}, {row['views']}{own}"


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _trade(record: Mapping[str, Any], known: bool) -> Chart:
    across, up = ("recall", "precision") if known else ("observed_recall", "share")
    points = np.array([(row["val"][across], row["val"][up]) for row in record["results"]], dtype=float)
    own = [place for place, row in enumerate(record["results"]) if row["own"]]
    choice = record["recommended"]["val"]

    def draw(axes: Sequence["Axes"]) -> None:
        [plot] = axes
        plot.plot(*(100 * points.T), ".", color=colour(5), label="a setting", alpha=0.6)
        plot.plot(*(100 * points[own].T), "D", color=colour(1), label="the manifest's own")
        plot.plot(100 * choice[across], 100 * choice[up], "o", color=colour(0), markersize=8, label="recommended")
        plot.set(xlabel=f"{across.replace('_', ' ')} (%)", ylabel=f"{'labelled positive' if up == 'share' else up} (%)")
        plot.grid(True)
        plot.legend()

    if known:
        caption = "Precision against recall of pseudo-positives on what nobody observed; a point is a setting."
    else:
        caption = (
            "How many of the observed positives a setting finds against how many of all entries it labels positive: "
            "the lower right is better. The full truth is not known."
        )
    return Chart("trade", "What settings trade", caption, draw)


def _constants(record: Mapping[str, Any], known: bool) -> list[Block]:
    """Return the best merit at each value of each constant that varies, and a map of threshold and temperature."""
    results = [row for row in record["results"] if row["policy"] == record["recommended"]["policy"]]
    values: dict[str, dict[float, float]] = {}
    for row in results:
        for name, value in row["constants"].items():
            if (number := _number(value)) is not None and not isinstance(value, bool):
                of = values.setdefault(name, {})
                of[number] = max(of.get(number, 0.0), row["merit"])
    varied = {name: of for name, of in values.items() if len(of) > 1}
    if not varied:
        return [Text(["No constant was varied."])]
    scale, what = (100, "F1 (%)") if known else (1, "estimate")
    columns = min(3, len(varied))
    rows = -(-len(varied) // columns)
    reached = [scale * merit for of in varied.values() for merit in of.values()]
    room = 0.05 * (max(reached) - min(reached)) or scale / 100

    def draw(axes: Sequence["Axes"]) -> None:
        for plot, (name, of) in zip(axes, varied.items(), strict=False):
            plot.plot(sorted(of), [scale * of[value] for value in sorted(of)], color=colour(0), marker="o")
            plot.axvline(record["recommended"]["constants"][name], color=colour(1), linestyle=":")
            plot.set(title=name, ylabel=what, ylim=(min(reached) - room, max(reached) + room))
            plot.grid(True)

    caption = (
        f"The best that any setting reaches at each value, of {record['recommended']['policy']}; the dotted line is "
        f"what is recommended. Where a line is flat, the constant hardly matters."
    )
    chart = Chart("constants", "The best at each value", caption, draw, (2.8 * columns, 2.2 * rows), (rows, columns))
    return [chart, *_map(results, varied, scale, what)]


def _map(
    results: Sequence[Mapping[str, Any]], varied: Mapping[str, Mapping[float, float]], scale: float, what: str
) -> list[Chart]:
    if not {"temperature", "threshold"} <= set(varied):
        return []
    across, up = sorted(varied["temperature"]), sorted(varied["threshold"])
    best = np.full((len(up), len(across)), np.nan)
    for row in results:
        at = up.index(float(row["constants"]["threshold"])), across.index(float(row["constants"]["temperature"]))
        best[at] = np.nanmax((best[at], scale * row["merit"]))

    def draw(axes: Sequence["Axes"]) -> None:
        [plot] = axes
        image = plot.imshow(best, origin="lower", cmap="cividis", aspect="auto")
        plot.set_xticks(range(len(across)), [f"{value:g}" for value in across])
        plot.set_yticks(range(len(up)), [f"{value:g}" for value in up])
        plot.set(xlabel="temperature", ylabel="threshold")
        plot.figure.colorbar(image, ax=plot, label=what)

    caption = "The best that any setting reaches at each temperature and threshold; brighter is better."
    return [Chart("map-of-settings", "Temperature and threshold", caption, draw, (6, 3.6))]
