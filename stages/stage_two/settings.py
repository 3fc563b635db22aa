"""A plan <-> what a run records of it: what shapes its numbers, and the options that make it again."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from ...pipeline import losses, policies
from ...pipeline.errors import AevlpError
from ...pipeline.files.locations import location
from ...pipeline.runtime.provenance import versions
from ...pipeline.score_cache.containers import CONTAINERS
from ...pipeline.score_cache.sentences import sentences_of
from ...pipeline.training.run_folder import RunFolder
from ...pipeline.training.splits import evaluated_by
from .options import TrainOptions
from .plan import Plan, precision

OF_ONE_START = ("cache", "run", "resume", "progress")  # the cache stands beside them, where it was last
FILES = ("weights", "policy")  # a name, or a file


def settings_of(plan: Plan) -> dict[str, Any]:
    """Return what shapes a run's numbers, which a resumed run must have in common with its beginning."""
    options = plan.options
    own_policy = plan.policy and policies.foreign.source_sha256(plan.policy.name)
    return {
        "cache": str(plan.cache.path.absolute()),
        "cache_fingerprint": plan.cache.fingerprint,
        "dataset": plan.spec.name,
        "data_root": str(plan.root.absolute()),
        "loss": {"name": plan.loss_name, **plan.constants},
        "loss_sha256": losses.foreign.source_sha256(plan.loss_name),
        "policy": plan.policy and vars(plan.policy),
        **({"policy_sha256": own_policy} if own_policy else {}),
        **_sentences(plan),
        **({"corrections": plan.data.corrections.record} if plan.data.corrections is not None else {}),
        "recipe": plan.recipe,
        "seed": options.seed,
        "precision": str(precision(plan) or torch.float32).removeprefix("torch."),
        **({"compile": True} if options.compile else {}),
        **({"without": list(plan.data.gone)} if plan.data.gone else {}),
        "versions": versions(),
    }


def _sentences(plan: Plan) -> dict[str, str]:
    """Return the hash of the sentences' text features, which stand beside the cache, where the policy reads them."""
    if plan.policy is None or "sentences" not in plan.policy.create().reads:
        return {}
    return {"sentences_sha256": sentences_of(plan.cache).fingerprint}


def recorded(plan: Plan) -> dict[str, Any]:
    """Return the settings of a plan, what its figures are against and beside, and under `options` what makes it again.

    That is for `options_of`.
    """
    kept = {of.name: getattr(plan.options, of.name) for of in fields(TrainOptions) if of.name not in OF_ONE_START}
    for name in FILES:
        if kept[name] is not None and Path(kept[name]).is_file():
            kept[name] = Path(kept[name])
    told = {
        "options": {name: _as_json(value) for name, value in kept.items()},
        "evaluated_by": evaluated_by(plan.cache),
        **({"teacher": plan.teacher} if plan.teacher is not None else {}),
    }
    return {**settings_of(plan), **told}


def options_of(folder: RunFolder) -> TrainOptions:
    """Return the options that a run was started with, with its folder as `run`.

    Runs of before options were recorded are read from what was: AevlpError where a policy's file is not among that.
    """
    settings = folder.settings()
    given = settings["options"] if "options" in settings else _inferred(settings, folder)
    known = {of.name for of in fields(TrainOptions)}
    kept = {name: value for name, value in given.items() if name in known}
    if folder.corrections_file.is_file():  # the answers of then; what they were read from may hold more by now
        kept["corrections"] = folder.corrections_file
    return TrainOptions(location(settings["cache"]), **kept, run=folder.path)


def nothing_left(options: TrainOptions) -> Path | None:
    """Return the run that `options` resume where it is finished, asked for nothing else, and without its cache; else None."""
    run = _run_of(options)
    if not options.resume or run is None or not _names_run(options) or _changed(options):
        return None
    folder = RunFolder(run)
    return run if folder.finished() and not options_of(folder).cache.exists() else None


def resumed(options: TrainOptions) -> TrainOptions:
    """Return what the run that `options` name was asked for; a cache that is given, and what is not a default, holds instead.

    Options that name no run, but `resume`, are returned as they are. Raises AevlpError where the cache is gone.
    """
    run = _run_of(options)
    if run is None:
        return options
    stored = options_of(RunFolder(run))
    cache = stored.cache if _names_run(options) else options.cache
    if _names_run(options) and not cache.exists():
        raise AevlpError(
            f"no cache {cache}, which {run} was trained from: if it has moved, pass it, as in aevlp train --resume {run} --cache "
            f"CACHE"
        )
    return replace(stored, **_changed(options), cache=cache, resume=True, progress=options.progress)


def _names_run(options: TrainOptions) -> bool:
    """Return whether a run stands in the place of the cache."""
    return options.cache.suffix not in CONTAINERS


def _run_of(options: TrainOptions) -> Path | None:
    return options.cache if _names_run(options) and options.run is None else options.run


def _changed(options: TrainOptions) -> dict[str, Any]:
    return {
        of.name: getattr(options, of.name)
        for of in fields(TrainOptions)
        if of.name not in OF_ONE_START and getattr(options, of.name) != of.default
    }


def _inferred(settings: dict[str, Any], folder: RunFolder) -> dict[str, Any]:
    recipe, policy = settings["recipe"], settings.get("policy") or {}
    if policy.get("fitted_on"):
        raise AevlpError(
            f"{folder.path} does not say which file its policy {policy['name']} is from: give all options again, without --resume"
        )
    own = {name: recipe[name] for name in ("backbone", "head", "epochs", "batch_size", "lr") if name in recipe}
    return {
        **own,
        "loss": settings["loss"]["name"],
        "policy": policy.get("name"),
        "weights": None if recipe["backbone"] in ("linear", "clip") else recipe["weights"],
        "seed": settings["seed"],
        "amp": settings.get("precision") != "float32",
        "dataset": settings["dataset"],
        "data_root": settings["data_root"],
        "compile": settings.get("compile", False),
    }


def _as_json(value: Any) -> Any:
    """Return an option for settings.json; a path as one that leads there from any folder."""
    if isinstance(value, list):
        return [_as_json(part) for part in value]
    return str(value.absolute()) if isinstance(value, Path) else value
