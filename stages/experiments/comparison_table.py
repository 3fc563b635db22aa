"""A comparison's record -> its tables: on the terminal, and as results.json, results.csv and results.md."""

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...pipeline.files.atomic_write import replacing
from ...pipeline.losses import TABLE, LossEntry
from ...pipeline.method_names import current, parsed
from ..columns import Column, fitting, percent, show_columns
from ..console import out
from ..results import html_table
from .results import each_cell, ends_cell, why_none

FULL = "With full labels: upper bounds, and policies fitted to some"
OVER = "over CLIP"
TIME = "time (s)"
HEADER = (
    "loss",
    "policy",
    "each seed",
    "mean",
    "95 % interval",
    "difference",
    "95 % interval",
    OVER,
    "95 % interval",
    TIME,
    "s/epoch",
)
OF_CLIP = (HEADER.index(OVER), HEADER.index(OVER) + 1)


def show_comparison(record: Mapping[str, Any], folder: Path) -> None:
    """Print the tables, in what room there is, and what they leave out."""
    tables = _tables(record)
    where = f"{folder / 'results.md'} has all"
    shown = [show_columns(title, _columns(rows, record), where) for title, rows in tables.items()]
    timed = any(column.header == TIME for columns in shown for column in columns)
    unsaid = [rows for rows in tables.values() if not _says_policies(rows, record)]
    if policies := _policies([row for rows in unsaid for row in rows if row in record["methods"]]):
        out.print(policies)
    out.print(_notes(record, timed))
    out.print(f"{folder} holds the runs, and these figures as results.json, results.csv and results.md")


def comparison_html(record: Mapping[str, Any]) -> str:
    """Return the tables for a notebook, with the columns that the terminal has."""
    return "".join(
        html_table(title, [column.header for column in shown], zip(*(column.cells for column in shown), strict=True))
        for title, rows in _tables(record).items()
        for shown, _ in [fitting(_columns(rows, record))]
    )


def _tables(record: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the rows of each table, by its title: CLIP without training, then methods, and apart those with full labels."""
    rows = [*map(_teacher_row, record["teachers"]), *record["methods"]]
    tables = {
        title: [row for row in rows if row["oracle"] is oracle]
        for title, oracle in ((_title(record), False), (FULL, True))
    }
    return {title: rows for title, rows in tables.items() if rows}


def _teacher_row(teacher: Mapping[str, Any]) -> dict[str, Any]:
    """Return a teacher as a row among methods: nothing was trained."""
    of_methods = {"oracle": False, "baseline": False, "each": [], "difference": None, "difference_interval": None}
    return {
        **of_methods,
        "differs": None,
        "seconds": None,
        "seconds_an_epoch": None,
        **teacher,
        "loss": teacher["title"],
    }


def _title(record: Mapping[str, Any]) -> str:
    return f"Test mAP on {record['dataset']} (%)"


def comparison_rows(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each method, then each teacher, with plain cells, as results.csv has them; None where there is nothing."""
    seeds = max(len(row["each"]) for row in record["methods"])
    plain = ("loss", "policy", "oracle", "baseline", "mean", "difference", "differs", "seconds", "seconds_an_epoch")
    over = ("teacher", "over_teacher", "differs_from_teacher") if record["teachers"] else ()
    intervals = ("interval", "difference_interval", *(["over_teacher_interval"] if over else []))
    rows = []
    for row in (*record["methods"], *({**_teacher_row(of), "teacher": None} for of in record["teachers"])):
        ends = {
            f"{name}_{end}": (row.get(name) or (None, None))[n]
            for name in intervals
            for n, end in enumerate(("low", "high"))
        }
        each = {f"seed_{n}": row["each"][n] if n < len(row["each"]) else None for n in range(seeds)}
        rows.append(
            {
                **{name: row.get(name) for name in (*plain, *over)},
                **ends,
                "interval_reason": row.get("interval_reason"),
                **each,
            }
        )
    return rows


def _columns(rows: Sequence[Mapping[str, Any]], record: Mapping[str, Any]) -> list[Column]:
    cells = zip(*map(_cells, rows), strict=True)
    loss, policy, each, mean, interval, difference, its_interval, over, over_interval, time, time_an_epoch = cells
    one_policy = len({row["policy"] for row in record["methods"]}) == 1
    one_seed = all(len(row["each"]) <= 1 for row in rows)
    same_epochs = len({tuple(row["epochs"]) for row in rows if "epochs" in row}) <= 1
    return [
        Column("loss", loss, varies=False, right=False),
        *([Column("policy", policy, varies=one_policy, right=False)] if _says_policies(rows, record) else []),
        *([] if one_seed else [Column("each seed", each, spare=3)]),
        Column("mean", mean, varies=False),
        *([Column("95 % interval", interval, spare=1)] if any(row["interval"] for row in rows) else []),
        Column("difference", difference),
        *([Column("95 % interval", its_interval, spare=1)] if any(row["difference_interval"] for row in rows) else []),
        *([Column(OVER, over, spare=1)] if any("over_teacher" in row for row in rows) else []),
        *([Column("95 % interval", over_interval, spare=3)] if any(map(_over_interval, rows)) else []),
        Column(TIME, time, spare=2),
        *([] if same_epochs else [Column("s/epoch", time_an_epoch, spare=4)]),
    ]


def _says_policies(rows: Sequence[Mapping[str, Any]], record: Mapping[str, Any]) -> bool:
    """Return whether a table has a column of policies, and no line says each loss's.

    That is where one of its losses stands in two rows of the whole comparison, or learns from another policy than its own.
    """
    often = Counter(row["loss"] for row in record["methods"])
    twice = len({row["loss"] for row in rows}) < len(rows)
    reading = [
        row for row in rows if row["policy"] and row["seconds"] is not None
    ]  # of a method: a teacher was not trained
    return twice or any(often[row["loss"]] > 1 or not _is_own(row) for row in reading)


def _is_own(row: Mapping[str, Any]) -> bool:
    """Return whether the policy of a method is its loss's own, with whatever constants."""
    of_loss = TABLE.get(parsed(row["loss"]).name, LossEntry)
    return current(parsed(row["policy"]).name) == of_loss.policy


def _policies(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return in a line which losses learn from the labels of which policy, where the table leaves that out."""
    of: dict[str, list[str]] = {}
    for row in rows:
        if row["policy"]:
            of.setdefault(row["policy"], []).append(row["loss"])
    if not of:
        return ""
    return "labels: " + "; ".join(f"{policy} for {', '.join(dict.fromkeys(names))}" for policy, names in of.items())


def _cells(row: Mapping[str, Any]) -> list[str]:
    """Return a method's row of the table, as text, in percent."""
    difference, between = ("baseline", "") if row["baseline"] else _lead(row, "difference", "differs")
    trained = row["seconds"] is not None
    return [
        row["loss"],
        row["policy"] or "-",
        each_cell(row),
        percent(row["mean"]),
        ends_cell(row, "interval"),
        difference,
        between,
        *_lead(row, "over_teacher", "differs_from_teacher"),
        f"{row['seconds']:,.1f}" if trained else "-",
        f"{row['seconds_an_epoch']:,.2f}" if trained else "-",
    ]


def _lead(row: Mapping[str, Any], name: str, differs: str) -> tuple[str, str]:
    """Return a difference, marked where it is one, and its interval, in percent; that of a row that has none."""
    if row.get(name) is None:
        return "-", ""
    return f"{100 * row[name]:+.2f}" + "*" * row[differs], ends_cell(row, f"{name}_interval", "{:+.2f} to {:+.2f}")


def _over_interval(row: Mapping[str, Any]) -> bool:
    return row.get("over_teacher_interval") is not None


def _notes(record: Mapping[str, Any], timed: bool = True) -> str:
    over = f", or in the column {OVER!r} from CLIP without training" if record["teachers"] else ""
    return (
        f"* differs from {record['baseline']}{over}: the paired interval of the difference, over the same images and seeds, does "
        f"not hold 0{'; mean time of a training' if timed else ''}{why_none([*record['methods'], *record['teachers']])}"
    )


def save(record: Mapping[str, Any], folder: Path) -> None:
    """Write the results for programs, for spreadsheets and for readers."""
    with replacing(folder / "results.json") as temporary:
        temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False), encoding="utf-8")
    with replacing(folder / "results.csv") as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        rows = comparison_rows(record)
        writer = csv.DictWriter(file, rows[0], lineterminator="\r\n")
        writer.writeheader()
        writer.writerows({**row, "policy": row["policy"] or "-"} for row in rows)
    with replacing(folder / "results.md") as temporary:
        temporary.write_text(_markdown(record), encoding="utf-8")


def left_out_lines(left_out: Mapping[str, str]) -> list[str]:
    """Return a line for each reason, with the methods that it keeps out of the table; left_out: method -> reason."""
    lines = []
    for reason in dict.fromkeys(left_out.values()):
        names = [name for name, of in left_out.items() if of == reason]
        lines.append(f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} left out: {reason}")
    return lines


def _markdown(record: Mapping[str, Any]) -> str:
    lines = [f"# {_title(record)}"]
    kept = [n for n in range(len(HEADER)) if record["teachers"] or n not in OF_CLIP]
    for title, rows in _tables(record).items():
        marks = ["---" if n < 2 else "---:" for n in range(len(HEADER))]
        every = (HEADER, marks, *map(_cells, rows))
        table = [f"| {' | '.join(cells[n] for n in kept)} |" for cells in every]
        lines += ["", *([f"## {title}", ""] if title == FULL else []), *table]
    lines += ["", _notes(record).replace("*", "\\*", 1)]
    lines += ["", *(f"- {line}" for line in left_out_lines(record["left_out"]))]
    return "\n".join(lines).rstrip() + "\n"
