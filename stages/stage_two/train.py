"""Stage two: a cache -> a run folder with a trained classifier and what was measured on the way."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...pipeline.clip.encoder import ClipSource, absent_weights
from ...pipeline.errors import AevlpError
from ...pipeline.evaluation.metrics import classes_without_positives, mean_average_precision
from ...pipeline.losses import Targets, create_loss
from ...pipeline.losses.interface import Scheduled, Watching
from ...pipeline.runtime.interruption import Interruption
from ...pipeline.runtime.seeding import derive, seed_everything
from ...pipeline.training.classifier import Architecture, Classifier, Outputs
from ...pipeline.training.distributed import Processes, joined
from ...pipeline.training.epoch_labels import EpochLabels
from ...pipeline.training.inputs import Inputs, sent
from ...pipeline.training.loop import Batches, autocast, predict_logits, train_epoch
from ...pipeline.training.random_state import generator_states, restore_generators
from ...pipeline.training.state import Progress, TrainingState
from ..cache_origin import scoring_encoder
from ..console import Rate, out, print_result, progress_bar, say, silent
from ..interrupted import keeping
from .plan import (
    Options,
    Plan,
    classifier_inputs,
    make_plan,
    new_classifier,
    precision,
    settings_of,
    splits,
    training_data,
)
from .run_folder import RunFolder

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
    options = plan.options
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
        with Interruption("the step in flight is finished and the state saved") as interruption:
            training = _Training(plan, folder, processes, interruption, architecture, classifier)
            with processes.together():
                if processes.first and not resume:
                    folder.start(settings_of(plan))
            held.enter_context(keeping("the state is saved; the same command goes on with --resume"))
            if options.compile:
                say("compiling for the first step and the first judgement, which can take minutes each")
            try:
                if tree is not None:
                    training.go_on_from(tree)
                while not training.state.ended:
                    training.epoch()
                training.finish()
            except Exception:
                if processes.first and not resume:
                    folder.remove_if_nothing_is_saved()
                raise
            finally:
                training.close()
    return folder.path


def judged(classifier: Classifier, inputs: Inputs, rows: np.ndarray, mixed: AbstractContextManager) -> np.ndarray:
    """Return the logits of some rows of the cache, (n, C) float32, each row exactly once."""
    return predict_logits(classifier, inputs.batches(rows, inputs.evaluation_batch), mixed)


class _Training:
    """One classifier while it is trained: every method is called by all processes at the same time."""

    def __init__(
        self,
        plan: Plan,
        folder: RunFolder,
        processes: Processes,
        interruption: Interruption,
        architecture: Architecture,
        classifier: Classifier,
    ) -> None:
        self.plan, self.folder, self.processes, self.interruption = plan, folder, processes, interruption
        self.architecture = architecture
        with processes.together():
            options = plan.options
            self.inputs = classifier_inputs(
                architecture,
                plan.cache,
                plan.root,
                plan.device,
                options.workers,
                options.image_cache,
                options.max_pixels,
            )
        self.mixed = autocast(plan.device, precision(plan))
        if plan.device.type == "cuda":
            torch.cuda.set_device(plan.device)
        processes.share_statistics(classifier.to(plan.device), plan.device)
        loss = _loss(plan)
        self.state = TrainingState(
            classifier,
            torch.optim.Adam(
                classifier.parameter_groups(plan.recipe["lr"], plan.recipe["head_lr_factor"])
                + _own_parameters(loss, plan.recipe["lr"]),
                fused=True,
            ),
            torch.amp.GradScaler(plan.device.type, enabled=precision(plan) is torch.float16),
            loss,
            plan.policy and plan.policy.create(),
        )
        self.labels: EpochLabels | None = None
        if self.state.policy is not None:
            self.labels = EpochLabels(
                plan.cache, plan.train.rows, self.state.policy, plan.recipe["epochs"], plan.options.seed
            )
        self.classifier = classifier
        if plan.options.compile:
            classifier.compile()
        self.learning: torch.nn.Module | None = (
            None  # the classifier as it is trained, made when it is known what learns
        )
        self.last_save = time.monotonic()

    def close(self) -> None:
        """End what is done ahead of an epoch that will not be trained, and what ties the processes to each other."""
        if self.labels is not None:
            self.labels.close()
        if not self.processes.alone:  # or their threads outlive Python's own end, which can abort a finished process
            self.learning = None
            gc.collect()

    def go_on_from(self, tree: dict[str, Any]) -> None:
        """Restore a state that `save` wrote, and the best weights where they are those of that state."""
        state = self.state
        try:
            state.restore(tree)
        except (RuntimeError, LookupError, TypeError, ValueError) as error:
            raise AevlpError(
                f"{self.folder.state_files()[-1]} is the state of another run: delete it, and --resume takes the one before it"
            ) from error
        progress = state.progress
        if progress.steps:
            self._begin_epoch()
        state.restore_memories(tree)
        own = self.processes.rank.number
        if progress.steps and own < len(tree["generators"]):  # another process goes on from the epoch's seed
            restore_generators(tree["generators"][own], self.plan.device)
        with self.processes.together():
            if self.processes.first and state.best:
                self._save_best()
            elif self.processes.first and state.history:
                self.folder.check_best()
        where = (
            f"in epoch {progress.epoch} after step {progress.steps}"
            if progress.steps
            else f"with epoch {progress.epoch}"
        )
        say("every epoch is done, only the judgement on the test split is not" if state.ended else f"going on {where}")

    def epoch(self) -> None:
        """Train the rest of an epoch, judge it on the validation split, and save what came of it, or came before a signal."""
        try:
            self._epoch()
        except KeyboardInterrupt:
            self.save()
            raise

    def _epoch(self) -> None:
        plan, state, progress = self.plan, self.state, self.state.progress
        recipe, started = plan.recipe, time.monotonic() - progress.seconds
        if not progress.steps:
            self._begin_epoch()
        self._let_learn(backbone=progress.epoch > recipe["linear_init"])
        random = np.random.default_rng(derive(plan.options.seed, "order", progress.epoch))
        rows = random.permutation(plan.train.rows)
        mirrored = random.random(len(rows)) < 0.5
        targets = self._targets()
        assert self.learning is not None
        with progress_bar(Rate("images")) as bar:
            task = bar.add_task(
                f"epoch {progress.epoch}/{recipe['epochs']}", total=len(rows), completed=progress.images
            )

            def after_step(images: int) -> None:
                bar.advance(task, images)
                progress.seconds = time.monotonic() - started
                self._save_if_asked()

            with self._compiling():
                train_epoch(
                    self.learning,
                    self._batches(rows, mirrored),
                    targets,
                    state.loss,
                    state.optimizer,
                    state.scaler,
                    self.mixed,
                    progress,
                    self.processes,
                    after_step,
                )
        with self.processes.together():
            loss = progress.mean_loss()
        logits = self._judge(self.classifier, plan.val.rows)
        self._show_predictions()
        val_map = mean_average_precision(logits, plan.val.truth)
        better = state.stopping.improves(100 * val_map)
        state.ended = state.stopping.stops(100 * val_map) or progress.epoch == recipe["epochs"]
        state.best = better or progress.epoch == 1
        measured = {
            "epoch": progress.epoch,
            "loss": loss,
            "val_map": val_map,
            "best": better,
            "seconds": round(time.monotonic() - started, 2),
            "waiting": round(progress.waiting, 2),
        }
        state.history.append(measured)
        state.progress = Progress(progress.epoch + 1)
        self.save()
        # After the state: whatever is killed from here on, a resumed run writes both again from what the state says.
        with self.processes.together():
            if self.processes.first:
                if state.best:
                    self._save_best()
                self.folder.write_metrics(state.history)
        mark = ", the best so far" if better else ""
        say(f"epoch {progress.epoch}: loss {loss:.4f}, validation mAP {100 * val_map:.2f}{mark}")
        if state.ended and progress.epoch < recipe["epochs"]:
            say("stopped early: validation no longer improves")

    def save(self) -> None:
        """Save the state that a resumed run goes on from."""
        generators = self.processes.each(generator_states(self.plan.device))
        with self.processes.together():
            tree = self.state.tree()
            if self.processes.first:
                progress = self.state.progress
                self.folder.save_state({**tree, "generators": generators}, progress.epoch, progress.steps)
        self.last_save = time.monotonic()

    def finish(self) -> None:
        """Judge the best weights on the test split, once, and say where everything is."""
        plan, folder = self.plan, self.folder
        best = best_epoch(self.state.history)
        result = f"best validation mAP {100 * best['val_map']:.2f} in epoch {best['epoch']}"
        measured = {"best_epoch": best["epoch"]}
        with self.processes.together():
            classifier, _, about = folder.load_best()
            if about["epoch"] != best["epoch"]:
                raise AevlpError(
                    f"{folder.best_file} holds the weights of epoch {about['epoch']}, and the best epoch is {best['epoch']}: a "
                    f"damaged state led back before both; start a new run"
                )
        logits = None
        if len(plan.test.rows):
            logits = self._judge(classifier.to(plan.device), plan.test.rows)
            test_map = mean_average_precision(logits, plan.test.truth)
            measured = {"test_map": test_map, **measured}
            result += f", test mAP {100 * test_map:.2f}"
        with self.processes.together():
            if self.processes.first:
                if logits is not None:
                    folder.save_test(plan.test.rows, logits)
                folder.write_metrics([*self.state.history, measured])
        against = "" if plan.cache.truth is not None else " (against observed labels: the full truth is not known)"
        print_result(folder.path, f": {result}{against}")
        for name, split in (("validation", plan.val), ("test", plan.test)):
            empty = classes_without_positives(split.truth) if len(split.rows) else []
            if len(empty):
                names = ", ".join(plan.cache.classes[c] for c in empty[:5]) + (", …" if len(empty) > 5 else "")
                say(f"{len(empty)} classes have no positive in the {name} split and count 0 in its mAP: {names}")
        with self.processes.together():
            if self.processes.first and self._is_self_contained():
                say(f"{folder.path} holds all that aevlp predict needs: it can be copied to another machine")
        evaluate = f"aevlp evaluate {folder.path} · " if len(plan.test.rows) else ""
        out.print(f"next: {evaluate}aevlp predict {folder.path} IMAGE…")

    def _is_self_contained(self) -> bool:
        """Return whether the run can label new images by itself; one on embeddings keeps the tower, if the model is here."""
        if self.architecture.backbone != "linear":
            return True
        made = self.plan.cache.provenance
        if self.folder.share_tower(made["weights_sha256"]):
            return True
        manifests = self.plan.spec.manifest_path.parent
        try:
            if absent := absent_weights(ClipSource.recorded(made, manifests)):
                raise AevlpError(f"{absent.what} are not on this machine")
            encoder = scoring_encoder(made, manifests, torch.device("cpu"))
        except AevlpError as error:
            say(
                f"{self.folder.path} is without the image tower of the scoring model, which aevlp predict will need: {error}"
            )
            return False
        quick_gelu = made["activation"] == "quick_gelu"
        self.folder.save_tower(encoder.model.visual, made["clip"]["config"], quick_gelu, made["weights_sha256"])
        return True

    def _begin_epoch(self) -> None:
        """Seed and tell the loss: each epoch has a seed of its own, so that a resumed run draws what another one would."""
        epoch, own = self.state.progress.epoch, self.processes.rank.number
        seed_everything(derive(self.plan.options.seed, "epoch", epoch, *(("process", own) if own else ())))
        for told in self._memories():
            if isinstance(told, Scheduled):
                told.set_epoch(epoch, self.plan.recipe["epochs"])

    def _show_predictions(self) -> None:
        """Show loss and policy what is predicted of all training images, where they want to see it; nothing comes after it."""
        loss, policy = (x if isinstance(x, Watching) and x.wants_predictions else None for x in self._memories())
        if loss is None and policy is None:
            return
        logits = self._judge(self.classifier, self.plan.train.rows)
        if loss is not None:
            loss.after_epoch(torch.from_numpy(logits).to(self.plan.device))
        if policy is not None:
            policy.after_epoch(logits)

    def _memories(self) -> tuple[Any, Any]:
        """Return loss and policy, which may remember what they see."""
        return self.state.loss, self.state.policy

    def _let_learn(self, *, backbone: bool) -> None:
        """Let the backbone learn, or the head alone; what synchronises gradients must be made anew when that changes."""
        learns = any(p.requires_grad for p in self.classifier.backbone.parameters())
        if self.learning is None or learns != backbone:
            self.learning = None
            gc.collect()  # the old one's hooks go with it
            self.classifier.freeze_backbone(not backbone)
            self.learning = self.processes.learning(self.classifier, self.plan.device)

    def _targets(self) -> Callable[[np.ndarray, Outputs], Targets]:
        """Return row numbers of a batch, and outputs -> targets on the device, with the labels of this epoch.

        All that is known goes to the device here: a step that waited for it would leave a GPU idle.
        """
        plan, cache, reads = self.plan, self.plan.cache, self.plan.loss.reads
        rows = plan.train.rows
        known: dict[str, np.ndarray] = {"observed": cache.observed[rows]}
        if "truth" in reads:
            known["truth"] = np.asarray(cache.truth)[rows]
        if self.labels is not None:
            labels = self.labels.of(self.state.progress.epoch)
            known |= {"pseudo": labels.codes, "scores": labels.scores}
        there = {
            name: torch.from_numpy(values).to(plan.device)
            for name, values in known.items()
            if name in (*reads, "observed")
        }

        def targets(batch: np.ndarray, outputs: Outputs) -> Targets:
            here, n = sent(np.searchsorted(rows, batch), plan.device), len(batch)
            of: dict[str, Any] = {**{name: values[here] for name, values in there.items()}, "rows": here}
            if "features" in reads:
                of["features"] = self.processes.whole_batch(outputs.features, n)
            if "latent" in reads and outputs.latent is not None:
                of["latent"] = tuple(self.processes.whole_batch(part, n) for part in outputs.latent)
            return Targets(**of)

        return targets

    def _batches(self, rows: np.ndarray, mirrored: np.ndarray) -> Batches:
        """Yield what is left of the epoch: each whole batch's rows, and the inputs of this process's share of it.

        An empty share has the batch's first image in its place, because not every backbone takes an empty batch.
        """
        size, numbers = self.plan.recipe["batch_size"], np.arange(len(rows))
        batches = [numbers[start : start + size] for start in range(0, len(rows), size)][self.state.progress.steps :]
        shares = [batch[self.processes.share(len(batch))] for batch in batches]
        shown = [share if len(share) else batch[:1] for share, batch in zip(shares, batches, strict=True)]
        if batches:
            own = np.concatenate(shown)
            inputs = self.inputs.batches(rows[own], [len(share) for share in shown], mirrored[own])
            for batch, (_, pixels) in zip(batches, inputs, strict=True):
                if self.labels is not None:  # here, where the workers are started
                    self.labels.make_ahead(self.state.progress.epoch + 1)
                yield rows[batch], pixels

    def _judge(self, classifier: Classifier, rows: np.ndarray) -> np.ndarray:
        """Return the logits of rows of the cache (n, C); KeyboardInterrupt in all processes where a signal came to any."""
        self.processes.equal_buffers(classifier)
        own, logits = rows[self.processes.share(len(rows))], np.empty((0, len(self.plan.cache.classes)), np.float32)
        try:
            if len(own):
                batches = self.interruption.before_each(self.inputs.batches(own, self.inputs.evaluation_batch))
                with self._compiling():
                    logits = predict_logits(classifier, batches, self.mixed)
        except KeyboardInterrupt:  # the others have to hear of it before this one leaves
            if not self.interruption.asked:
                raise
        if any(self.processes.any(self.interruption.asked)):
            raise KeyboardInterrupt
        return self.processes.rows(torch.from_numpy(logits), len(rows)).numpy()

    def _save_if_asked(self) -> None:
        """Save where it is time to; raise KeyboardInterrupt, after which `epoch` saves, where a signal came to any process."""
        minutes = (time.monotonic() - self.last_save) / 60
        due = self.processes.first and minutes >= self.plan.options.save_minutes
        interrupted, due = self.processes.any(self.interruption.asked, due)
        if interrupted:
            raise KeyboardInterrupt
        if due:
            self.save()

    @contextmanager
    def _compiling(self) -> Iterator[None]:
        """Raise KeyboardInterrupt for what goes wrong after a signal: Ctrl-C also ends the compiler, which torch calls."""
        try:
            yield
        except Exception as error:
            if not (self.plan.options.compile and self.interruption.asked):
                raise
            raise KeyboardInterrupt from error

    def _save_best(self) -> None:
        provenance = self.plan.cache.provenance
        about = {
            "cache_fingerprint": self.plan.cache.fingerprint,
            "clip": provenance["clip"],
            "weights_sha256": provenance["weights_sha256"],
            "seed": provenance["seed"],
            "manifest": provenance["dataset"]["manifest"],
            "loss": self.plan.options.loss,
            "epoch": best_epoch(self.state.history)["epoch"],
        }
        self.folder.save_best(self.classifier, self.architecture, self.plan.cache.classes, about)


def best_epoch(history: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what was measured of the epoch whose weights are kept: the last new best, the first epoch where none was."""
    return next((line for line in reversed(history) if line["best"]), history[0])


def _loss(plan: Plan) -> Any:
    """Return the loss on the device, whatever it learns or remembers drawn from the seed."""
    seed_everything(derive(plan.options.seed, "loss"))
    observed = torch.from_numpy(plan.cache.observed[plan.train.rows]).to(plan.device)
    loss = create_loss(plan.options.loss, len(plan.cache.classes), observed, **plan.constants)
    return loss.to(plan.device) if isinstance(loss, torch.nn.Module) else loss


def _own_parameters(loss: Any, lr: float) -> list[dict[str, Any]]:
    """Return the optimiser's groups for what a loss learns."""
    learned = list(loss.parameters()) if hasattr(loss, "parameters") else []
    return [{"params": learned, "lr": lr * getattr(loss, "lr_factor", 1)}] if learned else []


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
