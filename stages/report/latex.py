"""A comparison -> its table in LaTeX, with the rules of the package booktabs."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...pipeline.errors import counted
from ..experiments.compare import Comparison
from ..experiments.results import why_none

ESCAPED = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def comparison_table(comparison: Comparison) -> str:
    """Return the table of every finished method, and of CLIP without training where that is known, as a LaTeX `table`."""
    record = comparison.record
    rows = [
        *([_name(row["title"]), "--", *_map(row), "--", "--"] for row in record["teachers"]),
        *([_name(row["loss"]), _labels(row), *_map(row), *_difference(row)] for row in record["methods"]),
    ]
    level = f"{100 * record['intervals']['level']:g}"
    caption = (
        f"Test mAP (\\%) on {_name(record['dataset'])}, mean of {counted(record['seeds'], 'seed')}, with {level}\\,\\% intervals "
        f"({_name(record['intervals']['method'])}) that allow for the choice of test images and of seeds; differences are "
        f"paired with {_name(record['baseline'])}, $^*$ where the interval does not hold 0"
        f"{_name(why_none([*record['teachers'], *record['methods']]))}."
    )
    header = ["Loss", "Labels", "mAP", f"{level}\\,\\% interval", "Difference", f"{level}\\,\\% interval"]
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{caption}}}",
        "\\begin{tabular}{llrrrr}",
        "\\toprule",
        _row(header),
        "\\midrule",
        *map(_row, rows),
        "\\bottomrule",
        "\\end{tabular}",
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + " \\\\"


def _name(text: str) -> str:
    return "".join(ESCAPED.get(character, character) for character in text)


def _labels(row: Mapping[str, Any]) -> str:
    return f"{_name(row['policy'] or '--')}{', full labels' * bool(row['oracle'])}"


def _map(row: Mapping[str, Any]) -> list[str]:
    return [f"{100 * row['mean']:.2f}", _ends(row.get("interval"))]


def _difference(row: Mapping[str, Any]) -> list[str]:
    if row["baseline"]:
        return ["baseline", "--"]
    star = "$^*$" if row["differs"] else ""
    return [f"${100 * row['difference']:+.2f}${star}", _ends(row["difference_interval"], "+")]


def _ends(interval: Sequence[float] | None, sign: str = "") -> str:
    if interval is None:
        return "--"
    low, high = (f"{100 * end:{sign}.2f}" for end in interval)
    return f"[${low}$, ${high}$]"
