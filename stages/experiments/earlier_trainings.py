"""The results of an earlier comparison in a folder -> its trainings that stay in the table, and why others do not."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...pipeline.errors import AevlpError
from ...pipeline.runtime.provenance import difference
from ...pipeline.training.run_folder import RunFolder
from ..console import say
from ..places import run_name
from ..stage_two.plan import Plan
from ..stage_two.settings import settings_of
from .methods import Method

# What trainings on equal terms may differ in: their method, their seed, and where things were.
OWN = (
    "loss",
    "loss_sha256",
    "policy",
    "policy_sha256",
    "teacher",
    "seed",
    "cache",
    "data_root",
    "options",
    "evaluated_by",
)


@dataclass(frozen=True)
class Trained:
    """The runs of a method, one a seed, and what is told of it."""

    runs: list[Path]
    paper: str
    year: int | None
    oracle: bool
    settings: dict[str, Any]

    @classmethod
    def planned(cls, plan: Plan, method: Method, folder: Path, seeds: int) -> "Trained":
        """Return the runs that a plan will have."""
        oracle = "truth" in plan.loss.reads or (plan.policy is not None and plan.policy.reads_truth)
        settings = {k: v for k, v in settings_of(plan).items() if k not in ("seed", "versions")}
        runs = [folder / run_name(method.name, seed) for seed in range(seeds)]
        return cls(runs, plan.loss.paper, plan.loss.year, oracle, settings)


def earlier_trainings(
    folder: Path, plans: Mapping[Method, Plan], seeds: int
) -> tuple[dict[Method, Trained], dict[str, str]]:
    """Return what an earlier comparison in the folder adds to the table: other methods, and more seeds of those trained now.

    And why what it held is not in the table any more, by name, which is said.
    """
    rows = [row for row in recorded_rows(folder, "methods") if {"paper", "year", "oracle", "settings"} <= set(row)]
    kept, dropped = earlier_runs(folder, rows, plans, seeds, lambda method: method.name)
    told = {Method(row["loss"], row["policy"]): row for row in rows}
    trained = {
        method: Trained(runs, *(told[method][name] for name in ("paper", "year", "oracle", "settings")))
        for method, runs in kept.items()
    }
    reasons = {method.title: f"of an earlier comparison: {reason}" for method, reason in dropped.items()}
    for name, reason in reasons.items():
        say(f"{name} is left out: {reason}")
    return trained, reasons


def recorded_rows(folder: Path, key: str) -> list[dict[str, Any]]:
    """Return the rows that the results in a folder hold under a key, in a list or by their names; none that cannot be read."""
    try:
        rows = json.loads((folder / "results.json").read_text(encoding="utf-8"))[key]
        if isinstance(rows, dict):
            rows = [{"loss": name, "policy": None, **row} for name, row in rows.items()]
        return [row for row in rows if {"loss", "policy"} <= set(row) and isinstance(row["each"], list)]
    except (OSError, ValueError, LookupError, TypeError):
        return []


def earlier_runs(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    plans: Mapping[Method, Plan],
    seeds: int,
    called: Callable[[Method], str],
) -> tuple[dict[Method, list[Path]], dict[Method, str]]:
    """Return the runs of earlier rows that stay in the table: other methods, and more seeds of those that are trained now.

    And why those of other methods do not. called: a method -> what its runs are called, up to their seed.
    """
    kept: dict[Method, list[Path]] = {}
    dropped: dict[Method, str] = {}
    planned = {called(method): method for method in plans}
    for row in rows:
        method = Method(row["loss"], row["policy"])
        now = planned.get(called(method))
        if now is not None and len(row["each"]) <= seeds:
            continue
        like = settings_of(plans[now] if now is not None else next(iter(plans.values())))
        try:
            kept[now or method] = runs_on_equal_terms(folder, called(method), len(row["each"]), like)
        except AevlpError as error:
            if now is None:
                dropped[method] = str(error)
    return kept, dropped


def runs_on_equal_terms(folder: Path, name: str, seeds: int, settings: Mapping[str, Any]) -> list[Path]:
    """Return the runs of a method's seeds 0 to seeds - 1.

    settings: of a training that they must be like in all but method and seed. Raises AevlpError that says why they are not: one
    is gone, not finished, or was trained differently.
    """
    runs = [folder / run_name(name, seed) for seed in range(seeds)]
    for run in map(RunFolder, runs):
        if not run.settings_file.exists() or not run.finished():
            raise AevlpError(f"{run.path} is gone or not finished")
        changed = difference(_terms(settings), _terms(run.settings()))
        if changed:
            raise AevlpError(f"{run.path} was trained differently (this comparison has {changed})")
        run.load_logits()
    return runs


def _terms(settings: Mapping[str, Any]) -> dict[str, Any]:
    terms = {key: value for key, value in settings.items() if key not in OWN}
    return {**terms, "recipe": {**terms.get("recipe", {}), "head": None}}  # which goes with the loss
