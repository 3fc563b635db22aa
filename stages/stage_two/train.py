"""Stage two: a cache -> a run folder with a trained classifier and what was measured on the way."""

from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...pipeline.errors import AevlpError
from ...pipeline.evaluation.metrics import classes_without_positives
from ...pipeline.losses import create_loss
from ...pipeline.runtime.interruption import Interruption
from ...pipeline.runtime.seeding import derive, seed_everything
from ...pipeline.training.classifier import Architecture, Classifier
from ...pipeline.training.distributed import Processes, joined
from ...pipeline.training.events import Announce
from ...pipeline.training.inputs import Inputs
from ...pipeline.training.loop import predict_logits
from ...pipeline.training.run_folder import RunFolder
from ...pipeline.training.schedule import Running, Schedule
from ...pipeline.training.trainer import Trainer
from ..console import out, print_result, say, silent
from ..interrupted import keeping
from .classifiers import classifier_inputs, new_classifier
from .narrator import Narrator
from .options import TrainOptions as Options
from .plan import Plan, make_plan, precision, splits, training_data
from .settings import settings_of
from .tower import keep_tower

__all__ = [
    "Options",
    "Plan",
    "classifier_inputs",
    "judged",
    "make_plan",
    "run",
    "run_or_reuse",
    "splits",
    "train_plan",
    "training_data",
]


def run(options: Options) -> Path:
    """Train one classifier from a cache, print the result, and return its run folder.

    SIGINT and SIGTERM end the step in flight, save the state and raise KeyboardInterrupt. Under torchrun every process calls
    this; the first one writes and speaks.
    """
    with joined() as processes, silent(not processes.first):
        with processes.together():
            plan = make_plan(options)
            path = options.run or _default_folder(plan)
        return _train(plan, path, options.resume, processes)


def train_plan(plan: Plan, path: Path) -> Path:
    """Train what a plan says into the folder `path` and return it; a run that is there is resumed, a finished one left as it is.

    Raises AevlpError where it has other settings. The plan's own `run` and `resume` do not count.
    """
    folder = RunFolder(path)
    begun = folder.settings_file.exists()  # not where it was killed before its first file
    if begun:
        folder.insist_on(settings_of(plan))
        if folder.finished():
            say(f"{path} is finished already")
            return path
    with joined() as processes, silent(not processes.first):
        return _train(plan, path, begun, processes)


def run_or_reuse(options: Options) -> Path:
    """Train into options.run unless that run is finished; go on with one that is not. AevlpError where its settings differ."""
    assert options.run is not None
    return train_plan(make_plan(options), options.run)


def _train(plan: Plan, path: Path, resume: bool, processes: Processes) -> Path:
    with ExitStack() as held:
        folder = RunFolder(Path(processes.said_by_first(str(path))))
        tree = None
        with processes.together():
            if processes.first:
                held.enter_context(folder.alone())
            if resume and processes.first:
                tree = folder.continue_with(settings_of(plan))
        say(
            f"{folder.path}: {_what(plan)} on {_where(plan, processes)}, "
            f"{len(plan.train.rows):,} images to train on, {len(plan.val.rows):,} to validate, {len(plan.test.rows):,} to test"
        )
        with processes.together():
            if resume and not processes.first:
                tree = folder.latest_state()
            architecture, classifier = new_classifier(plan)
        with Interruption("the step in flight is finished and the state saved") as interruption, Narrator() as narrator:
            with processes.together():
                trainer = _trainer(plan, architecture, classifier, folder, processes, interruption, narrator)
                if processes.first and not resume:
                    folder.start(settings_of(plan))
            held.enter_context(keeping("the state is saved; the same command goes on with --resume"))
            if plan.options.compile:
                say("compiling for the first step and the first evaluation, which can take minutes each")
            try:
                trainer.run(tree)
            except Exception:
                if processes.first and not resume:
                    folder.remove_if_nothing_is_saved()
                raise
            with processes.together():
                if processes.first:
                    _conclude(plan, folder, keep_tower(plan, folder))
    return folder.path


def _trainer(
    plan: Plan,
    architecture: Architecture,
    classifier: Classifier,
    folder: RunFolder,
    processes: Processes,
    interruption: Interruption,
    announce: Announce,
) -> Trainer:
    options, recipe, made = plan.options, plan.recipe, plan.cache.provenance
    inputs = classifier_inputs(
        architecture, plan.cache, plan.root, plan.device, options.workers, options.image_cache, options.max_pixels
    )
    about = {
        "cache_fingerprint": plan.cache.fingerprint,
        **{name: made[name] for name in ("clip", "weights_sha256", "seed")},
        "manifest": made["dataset"]["manifest"],
        "loss": options.loss,
    }
    names = ("epochs", "batch_size", "lr", "head_lr_factor", "linear_init")
    return Trainer(
        architecture,
        classifier,
        inputs,
        _loss(plan),
        plan.loss.reads,
        plan.policy and plan.policy.create(),
        plan.cache,
        (plan.train, plan.val, plan.test),
        Schedule(**{name: recipe[name] for name in names}, seed=options.seed),
        Running(plan.device, precision(plan), options.compile, options.save_minutes),
        folder,
        about,
        processes,
        interruption,
        announce,
    )


def _conclude(plan: Plan, folder: RunFolder, lacks: str | None) -> None:
    """Print the result of a finished run and what to do next. lacks: what `keep_tower` could not give it."""
    *epochs, measured = folder.metrics()
    best = next(line for line in epochs if line["epoch"] == measured["best_epoch"])
    result = f"best validation mAP {100 * best['val_map']:.2f} in epoch {best['epoch']}"
    if "test_map" in measured:
        result += f", test mAP {100 * measured['test_map']:.2f}"
    against = "" if plan.cache.truth is not None else " (against observed labels: the full truth is not known)"
    print_result(folder.path, f": {result}{against}")
    for name, split in (("validation", plan.val), ("test", plan.test)):
        empty = classes_without_positives(split.truth) if len(split.rows) else []
        if len(empty):
            names = ", ".join(plan.cache.classes[c] for c in empty[:5]) + (", …" if len(empty) > 5 else "")
            say(f"{len(empty)} classes have no positive in the {name} split and count 0 in its mAP: {names}")
    if lacks is None:
        say(f"{folder.path} holds all that aevlp predict needs: it can be copied to another machine")
    else:
        say(f"{folder.path} is without the image tower of the scoring model, which aevlp predict will need: {lacks}")
    evaluate = f"aevlp evaluate {folder.path} · " if len(plan.test.rows) else ""
    out.print(f"next: {evaluate}aevlp predict {folder.path} IMAGE…")


def judged(classifier: Classifier, inputs: Inputs, rows: np.ndarray, mixed: AbstractContextManager) -> np.ndarray:
    """Return the logits of some rows of the cache, (n, C) float32, each row exactly once."""
    return predict_logits(classifier, inputs.batches(rows, inputs.evaluation_batch), mixed)


def _loss(plan: Plan) -> Any:
    """Return the loss on the device, whatever it learns or remembers drawn from the seed."""
    seed_everything(derive(plan.options.seed, "loss"))
    observed = torch.from_numpy(plan.cache.observed[plan.train.rows]).to(plan.device)
    loss = create_loss(plan.options.loss, len(plan.cache.classes), observed, **plan.constants)
    return loss.to(plan.device) if isinstance(loss, torch.nn.Module) else loss


def _default_folder(plan: Plan) -> Path:
    """Return runs/<data set>-<loss>-<backbone>-seed<n>, numbered where that is taken; to resume, the latest of them."""
    backbone = plan.recipe["backbone"].replace("/", "-")
    policy = "" if plan.options.policy is None else f"-{Path(plan.options.policy).stem}"
    name = f"{plan.spec.name}-{plan.options.loss.replace(':', '.')}{policy}-{backbone}-seed{plan.options.seed}"
    number, taken = 1, None
    while (path := Path("runs") / (name if number == 1 else f"{name}-{number}")).exists():
        number, taken = number + 1, path
    if plan.options.resume and taken is None:
        raise AevlpError(f"there is no run {path} to resume: name it with --run, or leave --resume out")
    return taken if plan.options.resume and taken else path


def _what(plan: Plan) -> str:
    """Return loss, policy and head where they are not the usual ones, and the backbone, for people."""
    policy, head = plan.policy, plan.recipe["head"]
    labels = f" and labels of {policy.name}" if policy is not None and policy.name != "damp" else ""
    return f"{plan.options.loss}{labels} with {plan.recipe['backbone']}{f' and a {head} head' * (head != 'linear')}"


def _where(plan: Plan, processes: Processes) -> str:
    return str(plan.device) if processes.alone else f"{processes.rank.of} processes, {plan.device.type}"
