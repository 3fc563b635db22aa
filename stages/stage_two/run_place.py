"""A plan -> the run folder that it is trained into."""

from contextlib import suppress
from pathlib import Path

from ...pipeline.errors import AevlpError
from ...pipeline.method_names import FILE, file_name
from ...pipeline.training.run_folder import RunFolder
from ..places import RUNS, run_name
from .plan import Plan
from .settings import settings_of


def run_place(plan: Plan) -> Path:
    """Return the folder that is asked for, or runs/<data set>-<loss>-<backbone>-seed<n>, numbered where that is taken.

    Of these, a run of equal settings is taken again: one that is not finished before one that is. AevlpError where `resume` is
    asked for and there is none.
    """
    if plan.options.run is not None:
        return plan.options.run
    number, latest, equal = 1, None, {}
    settings = settings_of(plan)
    while (path := RUNS / (_name(plan) if number == 1 else f"{_name(plan)}-{number}")).exists():
        with suppress(AevlpError):  # of other settings, damaged, or no run
            equal[RunFolder(path).found(settings)] = path
        number, latest = number + 1, path
    if found := equal.get("unfinished") or equal.get("finished"):
        return found
    if not plan.options.resume:
        return path
    if latest is None:
        raise AevlpError(
            f"there is no run {path} to resume: name one that aevlp runs lists, as in --resume RUN, or leave --resume out"
        )
    return latest


def _name(plan: Plan) -> str:
    options = plan.options
    backbone = plan.recipe["backbone"].replace("/", "-")
    policy = options.policy or ""
    policy = policy and f"-{Path(policy).stem if policy.endswith(FILE) else file_name(policy)}"
    method = f"{plan.spec.name}-{file_name(options.loss.replace(':', '.'))}{policy}-{backbone}"
    return run_name(method, options.seed)
