"""A run -> the sections of its report: how it was trained, how good it is, and its worst and best pictures."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...pipeline.errors import AevlpError, counted
from ...pipeline.evaluation.decision import undecided
from ...pipeline.files.locations import location
from ...pipeline.score_cache import ScoreCache
from ...pipeline.training.run_folder import RunFolder
from ...pipeline.training.splits import judged_by
from ..stage_two.loss_schedules import loss_schedules
from ..stage_two.run import AGAINST, Run
from .cache_sections import random_weights
from .run_charts import calibration, curves, schedules, spent, thresholds
from .run_classes import class_blocks
from .run_pictures import best_and_worst
from .section import Block, Facts, Section, Text


def run_sections(run: Run, cache: ScoreCache | None, root: Path | None) -> list[Section]:
    """Return the sections of a run, finished or not.

    cache: that it was trained from, None where that is gone. root: the folder of the images, None for the one they were in.
    """
    unmeant = [] if cache is None else random_weights(cache)
    return [
        Section("run", "The run", [*unmeant, Text(_said(run)), *_facts(run)]),
        Section("training", "Training", _training(run, cache)),
        Section("quality", "How good it is", _quality(run, cache, root)),
    ]


def _said(run: Run) -> list[str]:
    settings, recipe = run.settings, run.settings["recipe"]
    policy = settings.get("policy")
    labels = f"labels of {policy['name']}" if policy else "no pseudo-labels"
    said = [
        f"A classifier with the backbone {recipe['backbone']}, trained with the loss {settings['loss']['name']} and {labels} for "
        f"{counted(len(run.history), 'epoch')} on {settings['dataset']}."
    ]
    if run.best_map is not None:
        figures = f"Validation mAP {100 * run.best_map:.2f} % in epoch {run.best_epoch}, the best"
        if run.test_map is not None:
            figures += f"; test mAP {100 * run.test_map:.2f} %"
        if run.teacher_map is not None:
            figures += f"; CLIP without training, multi-focus, has {100 * run.teacher_map:.2f} % on the same images"
        said.append(f"{figures}.")
    if against := AGAINST[run.evaluated_by]:
        said.append(f"Figures are {against}.")
    if not run.finished:
        said.append("The run is not finished: the same command of aevlp train resumes it.")
    if corrections := settings.get("corrections"):
        said.append(
            f"Trained with {counted(corrections['answers'], 'answer')} of a review in the place of observed labels."
        )
    return said


def _facts(run: Run) -> list[Facts]:
    settings = run.settings
    loss = {name: value for name, value in settings["loss"].items() if name != "name"}
    policy = settings.get("policy") or {}
    return [
        Facts(
            "Settings",
            {**_texts({"loss": settings["loss"]["name"], **loss}), **_texts(settings["recipe"])},
            folded=True,
        ),
        Facts("Labels", _texts({"policy": policy.get("name", "none"), **policy.get("constants", {})}), folded=True),
        Facts(
            "Environment",
            _texts(
                {"seed": settings["seed"], "precision": settings.get("precision", "float32"), **settings["versions"]}
            ),
            folded=True,
        ),
    ]


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in values.items()
    }


def _training(run: Run, cache: ScoreCache | None) -> list[Block]:
    if not run.history:
        return [Text(["No epoch has ended yet."])]
    blocks: list[Block] = [curves(run)]
    constants = dict(run.settings["loss"])
    loss = constants.pop("name")
    try:
        classes = RunFolder(run.folder).load_best()[2]["classes"] if cache is None else cache.classes
        changing = loss_schedules(loss, len(classes), constants, run.settings["recipe"]["epochs"])
    except AevlpError:  # of a loss that needs more than constants, or whose file is gone
        changing = {}
    if changing:
        blocks.append(schedules(loss, changing))
    return [*blocks, spent(run)]


def _quality(run: Run, cache: ScoreCache | None, root: Path | None) -> list[Block]:
    folder = RunFolder(run.folder)
    if not folder.logits_files["test"].exists():
        reason = "its cache has no test split" if run.finished else "it is not finished"
        if run.test_map is not None:
            reason = f"{folder.logits_files['test'].name} was deleted"
        return [Text([f"This run has no predictions of a test split: {reason}."])]
    if cache is None:
        return [Text(["The labels of its test images were in its cache, which cannot be read: see below."])]
    rows, logits = folder.load_logits()
    positive = judged_by(cache)[rows] == 1
    usual = undecided(logits.shape[1])
    decision = folder.decision() if folder.best_file.exists() else usual
    plain, probabilities = usual.probabilities(logits), decision.probabilities(logits)
    blocks = class_blocks(run, cache, rows, logits, positive, decision)
    if not positive.any():
        return [*blocks, Text(["No test image has a positive, so that nothing more can be measured."])]
    where = root or location(cache.provenance["dataset"]["root"])
    return [
        *blocks,
        calibration(plain, probabilities, positive),
        thresholds(probabilities, positive, decision),
        *best_and_worst(cache, rows, probabilities, positive, where),
    ]
