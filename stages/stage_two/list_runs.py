"""A folder -> the training runs below it, a row each."""

import inspect
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...pipeline import losses, policies
from ...pipeline.errors import AevlpError
from ...pipeline.manifest.sections import Damp
from ..columns import Column, percent, show_columns
from ..console import out, say
from ..declaration import takes
from ..results import Table
from .options import RunsOptions
from .run import AGAINST, Run

MARKS = {"truth": "", "observed": "+", "pseudo-labels": "*"}  # of figures, by what they are against
OF_THE_RECIPE = ("linear_init", "compat", "half")  # constants that nobody gives


@dataclass(frozen=True, repr=False)
class RunList(Table):
    """Training runs, a row each: name, cache, loss, policy, constants, epochs, best_map, test_map, evaluated_by, finished.

    constants: those that differ from their defaults. epochs: done. evaluated_by: as in `Run.evaluated_by`.
    mAP in [0, 1], None where there is none yet.
    """

    runs: Sequence[dict[str, Any]]

    @property
    def rows(self) -> Sequence[dict[str, Any]]:
        return self.runs

    def summary(self) -> dict[str, Any]:
        """Return how many runs there are, and how many are finished."""
        return {"runs": len(self.runs), "finished": sum(run["finished"] for run in self.runs)}

    def to_json(self) -> dict[str, Any]:
        """Return the rows under "runs"."""
        return {"runs": list(self.runs)}


@takes(RunsOptions)
def runs(options: RunsOptions) -> RunList:
    """Return the training runs in a folder and in the folders below it; one that cannot be read is said and left out.

    Raises AevlpError where there is none.
    """
    if not options.folder.is_dir():
        raise AevlpError(f"no folder {options.folder}: expected one that holds training runs")
    rows = []
    for file in sorted(options.folder.rglob("settings.json")):
        try:
            rows.append(_row(Run(file.parent), options.folder))
        except (AevlpError, LookupError, TypeError) as error:
            say(f"{file.parent} is left out: {error}")
    if not rows:
        raise AevlpError(f"{options.folder} holds no training run: aevlp train CACHE makes one")
    return RunList(rows)


def show(found: RunList) -> None:
    """Print the table."""
    runs = found.runs
    if not runs:
        out.print("no runs")
        return
    columns = [
        Column("run", [run["name"] for run in runs], varies=False, right=False),
        Column("cache", [Path(run["cache"]).name for run in runs], 2, right=False),
        Column("loss", [run["loss"] + (f" ({run['policy']})" if run["policy"] else "") for run in runs], right=False),
        Column("constants", _differing(runs), right=False),
        Column("epochs", [str(run["epochs"]) for run in runs], varies=False),
        *(Column(f"{part}\nmAP", [_figure(run, part) for run in runs], varies=False) for part in ("best", "test")),
        Column("state", ["finished" if run["finished"] else "unfinished" for run in runs], right=False),
    ]
    show_columns("Training runs, mAP in %", columns, "--json has all")
    for kind in dict.fromkeys(run["evaluated_by"] for run in runs if run["best_map"] is not None):
        if kind != "truth":
            out.print(f"{MARKS[kind]} {AGAINST[kind]}")


def _figure(run: Mapping[str, Any], part: str) -> str:
    value = run[f"{part}_map"]
    return percent(value) + (MARKS[run["evaluated_by"]] if value is not None else "")


def _differing(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return of each run, a line each, the constants in which runs of its cache, loss and policy differ."""
    alike: defaultdict[tuple[Any, ...], list[Mapping[str, Any]]] = defaultdict(list)
    for run in runs:
        alike[run["cache"], run["loss"], run["policy"]].append(run["constants"])
    cells = []
    for run in runs:
        others = alike[run["cache"], run["loss"], run["policy"]]
        told = [
            f"{name}={_value(value)}"
            for name, value in run["constants"].items()
            if any(name not in other or other[name] != value for other in others)
        ]
        cells.append("\n".join(told) or "-")
    return cells


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{len(value)} values]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _row(run: Run, below: Path) -> dict[str, Any]:
    settings, name = run.settings, str(run.folder.relative_to(below))
    loss, policy = dict(settings["loss"]), settings.get("policy") or {}
    constants = _changed(loss.pop("name"), loss, losses.constants)
    usual = losses.TABLE.get(settings["loss"]["name"])
    if policy:
        own = _changed(policy["name"], policy["constants"], _defaults)
        constants |= {f"{policy['name']}.{constant}": value for constant, value in own.items()}
    return {
        "name": run.folder.name if name == "." else name,
        "cache": settings["cache"],
        "loss": settings["loss"]["name"],
        "policy": policy["name"] if policy and (usual is None or policy["name"] != usual.policy) else None,
        "constants": constants,
        "epochs": len(run.history),
        "best_map": run.best_map,
        "test_map": run.test_map,
        "evaluated_by": run.evaluated_by,
        "finished": run.finished,
    }


def _defaults(policy: str) -> dict[str, Any]:
    """Return the constants of a policy, those of the manifest's `damp:` where it has no default of its own."""
    own = policies.constants(policy)
    return {**own, **{name: value for name, value in Damp().model_dump().items() if name in own}}


def _changed(name: str, given: Mapping[str, Any], defaults_of: Any) -> dict[str, Any]:
    """Return the constants that are not their defaults; all where these are not known, as of a class of one's own elsewhere."""
    try:
        defaults = defaults_of(name)
    except AevlpError:
        defaults = {}
    return {
        constant: value
        for constant, value in given.items()
        if constant not in OF_THE_RECIPE and value != defaults.get(constant, inspect.Parameter.empty)
    }
