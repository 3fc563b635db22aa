"""The results of an earlier comparison in a folder -> its trainings that stay in the table, and why others do not."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...pipeline.errors import AevlpError
from ...pipeline.runtime.provenance import difference
from ...pipeline.training.run_folder import RunFolder
from ..console import say
from ..stage_two.plan import Plan
from ..stage_two.settings import settings_of
from .methods import Method

# What trainings on equal terms may differ in: their method, their seed, and where things were.
OWN = ("loss", "loss_sha256", "policy", "policy_sha256", "seed", "cache", "data_root", "options")


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
        runs = [folder / f"{method.name}-seed{seed}" for seed in range(seeds)]
        return cls(runs, plan.loss.paper, plan.loss.year, oracle, settings)


def earlier_trainings(
    folder: Path, plans: Mapping[Method, Plan], seeds: int
) -> tuple[dict[Method, Trained], dict[str, str]]:
    """Return what earlier results in the folder add to the table: other methods, and more seeds of those that are trained now.

    And why what they held is not in it any more, by name, which is said.
    """
    kept: dict[Method, Trained] = {}
    dropped: dict[str, str] = {}
    for row in _recorded_rows(folder):
        method = Method(row["loss"], row["policy"])
        plan = plans.get(method)
        if plan is not None and len(row["each"]) <= seeds:
            continue
        like = settings_of(plan or next(iter(plans.values())))
        try:
            runs = runs_on_equal_terms(folder, method.name, len(row["each"]), like)
        except AevlpError as error:
            if plan is None:
                dropped[method.title] = f"of an earlier comparison: {error}"
            continue
        kept[method] = Trained(runs, row["paper"], row["year"], row["oracle"], row["settings"])
    for name, reason in dropped.items():
        say(f"{name} is left out: {reason}")
    return kept, dropped


def _recorded_rows(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of the results that a folder holds, none where they cannot be read."""
    try:
        rows = json.loads((folder / "results.json").read_text(encoding="utf-8"))["methods"]
        return [row for row in rows if {"loss", "policy", "paper", "year", "oracle", "settings", "each"} <= set(row)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def runs_on_equal_terms(folder: Path, name: str, seeds: int, settings: Mapping[str, Any]) -> list[Path]:
    """Return the runs of a method's seeds 0 to seeds - 1.

    settings: of a training that they must be like in all but method and seed. Raises AevlpError that says why they are not: one
    is gone, not finished, or was trained differently.
    """
    runs = [folder / f"{name}-seed{seed}" for seed in range(seeds)]
    for run in map(RunFolder, runs):
        if not run.settings_file.exists() or not run.finished():
            raise AevlpError(f"{run.path} is gone or not finished")
        changed = difference(_terms(settings), _terms(run.settings()))
        if changed:
            raise AevlpError(f"{run.path} was trained differently (this comparison has {changed})")
        run.load_test()
    return runs


def _terms(settings: Mapping[str, Any]) -> dict[str, Any]:
    terms = {key: value for key, value in settings.items() if key not in OWN}
    return {**terms, "recipe": {**terms.get("recipe", {}), "head": None}}  # which goes with the loss
