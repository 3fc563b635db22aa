"""Stage two: a cache -> a run folder with a trained classifier and what was measured on the way."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ...pipeline.errors import counted
from ...pipeline.evaluation.metrics import classes_without_positives
from ...pipeline.labels.added import AddedLabels
from ...pipeline.losses import create_loss
from ...pipeline.runtime.interruption import Interruption
from ...pipeline.runtime.ranks import this_rank
from ...pipeline.runtime.seeding import derive, seed_everything
from ...pipeline.training.classifier import Architecture, Classifier
from ...pipeline.training.distributed import Processes, joined
from ...pipeline.training.events import Announce
from ...pipeline.training.run_folder import RunFolder
from ...pipeline.training.schedule import Running, Schedule
from ...pipeline.training.splits import evaluated_by
from ...pipeline.training.trainer import Trainer
from ..console import logged_to, out, print_result, say, silent
from ..declaration import takes
from ..interrupted import keeping
from .beside_teacher import against_teacher, with_teacher
from .classifiers import classifier_inputs, new_classifier
from .decided import is_decided, store_decision
from .kept_corrections import keep_corrections
from .label_relation import relation_of
from .narrator import Narrator
from .options import TrainOptions
from .plan import Plan, make_plan, precision
from .run import AGAINST, Run
from .run_logs import heard_by, require_logs, run_logs
from .run_place import run_place
from .said_constants import constants_said
from .settings import nothing_left, recorded, resumed, settings_of
from .tower import keep_tower
from .used_labels import labels_used, pseudo_labels_used


@takes(TrainOptions)
def train(options: TrainOptions) -> Run:
    """Train one classifier from a cache and return its run; one that was begun is resumed, a finished one returned.

    SIGINT and SIGTERM end the step in flight, save the state and raise KeyboardInterrupt. Under torchrun every process calls
    this; the first one writes and speaks. Raises AevlpError where the run in `run` has other settings.
    """
    require_logs(options.log or ())
    with joined() as processes, silent(not processes.first):
        with processes.together():
            if (done := nothing_left(options)) is not None:
                say(f"{done} is finished already; its cache is not there any more")
                return Run(done)
            plan = make_plan(resumed(options) if options.resume else options)
            path = run_place(plan)
        return Run(_train(plan, path, processes))


def train_plan(plan: Plan, path: Path) -> Path:
    """Train what a plan says into the folder `path` and return it; a run that is there is resumed, a finished one left as it is.

    Raises AevlpError where it has other settings. The plan's own `run` and `resume` do not count.
    """
    with joined() as processes, silent(not processes.first):
        return _train(plan, path, processes, None)


def show(run: Run) -> None:
    """Print how good a run became, and what to do next."""
    if not this_rank().first:
        return
    figures = f"best validation mAP {100 * (run.best_map or 0):.2f} in epoch {run.best_epoch}"
    if run.test_map is not None:
        figures += f", test mAP {100 * run.test_map:.2f}"
    against = AGAINST[run.evaluated_by]
    print_result(run.folder, f": {figures}{f' ({against})' * bool(against)}")
    evaluate = "" if run.test_map is None else f"aevlp evaluate {run.folder} · "
    out.print(f"next: {evaluate}aevlp predict {run.folder} IMAGE…")


def _train(plan: Plan, path: Path, processes: Processes, another: str | None = "--run DIR") -> Path:
    """another: as for `RunFolder.require`."""
    with ExitStack() as held:
        folder = RunFolder(Path(processes.said_by_first(str(path))))
        found, settings = "nothing", settings_of(plan)
        with processes.together():
            if processes.first:
                found = folder.found(settings, another)
                if found != "finished":
                    held.enter_context(folder.alone())
                    # It may have been trained by the process that this one waited for.
                    found = folder.found(settings, another)
        found = processes.said_by_first(found)
        if found == "finished":
            say(f"{folder.path} is finished already")
            with processes.together():
                if processes.first and not is_decided(plan, folder):
                    with folder.alone():
                        store_decision(plan, folder)
            return folder.path
        saved = None
        with processes.together():
            if processes.first:
                plan = with_teacher(plan)
            if found == "unfinished":
                saved = folder.resume(recorded(plan)) if processes.first else folder.latest_state()
        with processes.together():
            architecture, classifier = new_classifier(plan)
        with (
            Interruption("the step in flight is finished and the state saved") as interruption,
            Narrator(evaluated_by(plan.cache)) as narrator,
            run_logs(plan, folder.path, processes.first) as logs,
        ):
            with processes.together():
                trainer = _trainer(
                    plan, architecture, classifier, folder, processes, interruption, heard_by(narrator, logs)
                )
                if processes.first and found == "nothing":
                    folder.start(recorded(plan))
                if processes.first:
                    keep_corrections(plan.data.corrections, folder)
            if processes.first:
                held.enter_context(logged_to(folder.log_file))
            held.enter_context(keeping("the state is saved; the same command resumes"))
            drawn = "" if (plan.cache.split == "val").any() else " (drawn from the training images)"
            say(
                f"{folder.path}: {_what(plan)} on {_where(plan, processes)}, "
                f"{counted(len(plan.train.rows), 'image')} to train on, "
                f"{len(plan.val.rows):,} to validate{drawn}, {len(plan.test.rows):,} to test"
            )
            for line in constants_said(plan):
                say(line)
            say(f"Training images: {labels_used(plan.cache, plan.train.rows)}")
            if plan.options.compile:
                say("compiling for the first step and the first evaluation, which can take minutes each")
            try:
                trainer.run(saved)
            except Exception:
                if processes.first and found == "nothing":
                    folder.remove_if_nothing_is_saved()
                raise
            with processes.together():
                if processes.first:
                    _conclude(plan, folder, trainer.added)
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
    names = ("epochs", "batch_size", "lr", "head_lr_factor", "linear_init", "lr_schedule")
    return Trainer(
        architecture,
        classifier,
        inputs,
        _loss(plan),
        plan.loss.reads,
        plan.policy and plan.policy.create(),
        plan.cache,
        (plan.train, plan.val, plan.test),
        Schedule(**{name: recipe[name] for name in names if name in recipe}, seed=options.seed),
        Running(plan.device, precision(plan), options.compile, options.save_minutes),
        folder,
        about,
        processes,
        interruption,
        announce,
        partial(store_decision, plan, folder),
    )


def _conclude(plan: Plan, folder: RunFolder, added: AddedLabels | None) -> None:
    """Say what there is to know of a finished run, and give it what labelling new images needs.

    added: by the pseudo-labels of the last epoch.
    """
    if text := pseudo_labels_used(plan.options.loss, plan.policy, added):
        say(text)
    for name, split in (("validation", plan.val), ("test", plan.test)):
        empty = classes_without_positives(split.truth) if len(split.rows) else []
        if len(empty):
            names = ", ".join(plan.cache.classes[c] for c in empty[:5]) + (", …" if len(empty) > 5 else "")
            say(
                f"{counted(len(empty), 'class has', 'classes have')} no positive in the {name} split and 0 in its mAP: {names}"
            )
    if text := against_teacher(plan, Run(folder.path)):
        say(text)
    lacks = keep_tower(plan, folder)
    if lacks is None:
        say(f"{folder.path} holds all that aevlp predict needs: it can be copied to another machine")
    else:
        say(f"{folder.path} is without the image tower of the scoring model, which aevlp predict will need: {lacks}")


def _loss(plan: Plan) -> Any:
    """Return the loss on the device, whatever it learns or remembers drawn from the seed."""
    relation = relation_of(plan.loss_name, plan.cache, plan.spec.manifest_path.parent, plan.device)
    seed_everything(derive(plan.options.seed, "loss"))
    observed = torch.from_numpy(plan.cache.observed[plan.train.rows]).to(plan.device)
    loss = create_loss(plan.loss_name, len(plan.cache.classes), observed, relation, **plan.constants)
    return loss.to(plan.device) if isinstance(loss, torch.nn.Module) else loss


def _what(plan: Plan) -> str:
    """Return loss, policy and head where they are not the usual ones, and the backbone, for people."""
    policy, head = plan.policy, plan.recipe["head"]
    labels = f" and labels of {policy.name}" if policy is not None and policy.name != "damp" else ""
    return f"{plan.options.loss}{labels} with {plan.recipe['backbone']}{f' and a {head} head' * (head != 'linear')}"


def _where(plan: Plan, processes: Processes) -> str:
    return str(plan.device) if processes.alone else f"{processes.rank.of} processes, {plan.device.type}"
