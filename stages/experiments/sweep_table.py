"""The record of a sweep -> its table, in which settings that come to the same are one row, and its files."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...pipeline.errors import counted
from ...pipeline.files.atomic_write import replacing
from ...pipeline.policies.sweeping import Figures
from ..columns import Column, broken, fitting, show_columns, show_spared
from ..console import out

# views and policy, mark, the values of its constants, figures
Row = tuple[tuple[str, str], str, dict[str, tuple[Any, ...]], tuple[str, ...]]


HIDDEN = ("compat", "half", "policy", "scale", "bias", "thresholds")  # what a line of the manifest does not say
SHORT = {
    "f1": "F1",
    "negative_precision": "negatives' precision",
    "observed_recall": "observed recall",
    "positives": "positives an image",
}
# What is left out first where there is no room; the figures that choose, and those of the test split, stay.
SPARE = {"negative_precision": 2, "positives": 1, "precision": 3, "recall": 3, "share": 3}


def show_sweep(record: Mapping[str, Any], top: int) -> None:
    """Print the best settings by the validation part, the manifest's own, what is recommended, and what was written."""
    known = record["recommended"]["val"]["f1"] is not None
    one = "f1" if known else "observed_recall"
    measured = [
        ("val", name) for name in (("precision", "recall", one, "negative_precision") if known else (one, "share"))
    ]
    measured += [("val", "positives"), *((part, one) for part in record["images"] if part != "val")]
    _, without_room = fitting(_columns(record["results"], measured, one, top))
    spared = [column.header for column in without_room]
    measured = [place for place in measured if _header(*place) not in spared]  # so that they keep no two rows apart
    columns = _columns(record["results"], measured, one, top)
    show_columns(
        f"Pseudo-labels on the validation part (%), the best of {counted(record['settings'], 'setting')}", columns, ""
    )
    if spared:
        show_spared(spared, "--json and --output have all")
    _show_choice(record, known)


def _columns(
    results: Sequence[Mapping[str, Any]], measured: Sequence[tuple[str, str]], one: str, top: int
) -> list[Column]:
    """Return the table of the best settings and the manifest's own of each scheme of views, the scheme with the best one first.

    measured: the part and the name of each figure.
    """
    shown: list[Row] = []
    for views in dict.fromkeys(row["views"] for row in results):
        mine = [row for row in results if row["views"] == views]
        merged = _merged([(row, tuple(_figure(row[part], name) for part, name in measured)) for row in mine])
        shown += merged[:top] + [row for row in merged[top:] if row[1]]
    columns = [
        Column("views", [views for (views, _), _, _, _ in shown], right=False),
        Column("policy", [policy for (_, policy), _, _, _ in shown], right=False),
    ]
    for constant in dict.fromkeys(name for _, _, constants, _ in shown for name in constants if name not in HIDDEN):
        columns.append(Column(broken(constant), [_values(constants.get(constant)) for _, _, constants, _ in shown]))
    for n, (part, name) in enumerate(measured):
        spare = {"val": SPARE.get(name, 0), "train": 4}.get(part, 0)
        chooses = (part, name) == ("val", one)
        cells = [figures[n] + (mark or " ") * chooses for _, mark, _, figures in shown]
        columns.append(Column(_header(part, name), cells, spare, varies=not chooses))
    return columns


def _header(part: str, name: str) -> str:
    header = SHORT.get(name, name)
    return broken(header if part == "val" else f"{part} {header}")


def _figure(figures: Mapping[str, Any], name: str) -> str:
    if name == "positives":
        return f"{figures[name]:.2f}"
    return "-" if name == "negative_precision" and not figures["negatives"] else f"{100 * figures[name]:.1f}"


def _merged(rows: Sequence[tuple[Mapping[str, Any], tuple[str, ...]]]) -> list[Row]:
    """Return rows in their order, those of equal figures that differ in one constant as one, again and again.

    A row stands for every combination of its values. A manifest's own setting, marked *, stays alone.
    """
    merged: list[Row] = [
        (
            (row["views"], row["policy"]),
            "*" if row["own"] else "",
            {k: (v,) for k, v in row["constants"].items()},
            figures,
        )
        for row, figures in rows
    ]
    for name in dict.fromkeys(name for row in merged for name in row[2]):
        groups: dict[Any, Row] = {}
        for method, mark, constants, figures in merged:
            rest = tuple((key, value) for key, value in constants.items() if key != name)
            key = (method, mark, rest, figures)
            values = groups[key][2].get(name, ()) if key in groups else ()
            joined = {k: (*values, *v) if k == name else v for k, v in constants.items()}
            groups[key] = (method, mark, joined, figures)
        merged = list(groups.values())
    return merged


def _values(values: tuple[Any, ...] | None) -> str:
    return "-" if values is None else " ".join(map(str, sorted(values, key=lambda value: (str(type(value)), value))))


def _show_choice(record: Mapping[str, Any], known: bool) -> None:
    choice = record["recommended"]
    same = [row for row in record["results"] if (row["views"], row["policy"]) == (choice["views"], choice["policy"])]
    own = next(row for row in same if row["own"])
    held = ", with the constants that were given" if any("[" in row["policy"] for row in record["results"]) else ""
    out.print(
        f"* the manifest's own setting{held}; chosen by {record['criterion']}; figures of the test split choose nothing"
    )
    if len(record["caches"]) > 1:
        out.print(f"recommended views: {choice['views']}, {record['cache']}")
    if choice["own"] and not choice["changes"]:
        out.print("recommended: the manifest's own setting, there is nothing to change")
    else:
        what, scale, digits = ("F1", 100, 1) if known else ("estimate", 1, 3)
        out.print(
            f"recommended, {what} {scale * choice['merit']:.{digits}f} instead of {scale * own['merit']:.{digits}f}, a line "
            f"for the manifest:"
        )
    out.print(choice["line"])
    if (applied := record.get("applied")) is not None:
        changes = ", ".join(f"{key}: {value}" for key, value in applied["constants"].items())
        wrote = f"now has {changes}" if changes else "has them already, nothing was written"
        out.print(f"{applied['manifest']}: {applied['place']} {wrote}")


def setting_rows(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each setting with plain cells: views, policy, constants, own, merit, figures as <part>_<figure>."""
    constants = list(dict.fromkeys(key for row in record["results"] for key in row["constants"]))
    measured = list(Figures.__dataclass_fields__)
    return [
        {
            "views": row["views"],
            "policy": row["policy"],
            **{name: row["constants"].get(name) for name in constants},
            "own": row["own"],
            "merit": row["merit"],
            **{f"{part}_{what}": row[part][what] for part in record["images"] for what in measured},
        }
        for row in record["results"]
    ]


def write_settings(path: Path, record: Mapping[str, Any]) -> None:
    """Write every setting and its figures as .json or .csv."""
    with replacing(path) as temporary:
        if path.suffix == ".json":
            temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False), encoding="utf-8")
            return
        rows = setting_rows(record)
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [name for name in rows[0] if name != "own"], extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
