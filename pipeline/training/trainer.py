"""The engine of stage two: a classifier, its inputs, a loss and a policy -> trained epochs in a run folder.

It announces what happens (`events`) and prints nothing. Under torchrun every method is called by all processes at the same time.
"""

import gc
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch

from ..errors import AevlpError
from ..evaluation.metrics import mean_average_precision
from ..labels.added import AddedLabels, added_labels
from ..losses.interface import Scheduled, TrainingLoss, Watching
from ..policies import Labels, Policy
from ..runtime.interruption import Interruption
from ..runtime.seeding import derive, seed_everything
from ..score_cache import ScoreCache
from .classifier import Architecture, Classifier
from .distributed import Processes
from .epoch_batches import epoch_batches, epoch_targets
from .epoch_labels import EpochLabels
from .events import Announce, EpochBegun, EpochEnded, Evaluating, Event, Finished, Resumed, Saved, Step, StoppedEarly
from .inputs import Inputs
from .loop import TrainingBatches, autocast, train_epoch
from .predictor import logits_by_all
from .random_state import generator_states, restore_generators
from .run_folder import RunFolder, SavedState
from .schedule import Running, Schedule
from .splits import Split, evaluated_by
from .state import Progress, new_state


class Trainer:
    """One classifier while it is trained."""

    def __init__(
        self,
        architecture: Architecture,
        classifier: Classifier,
        inputs: Inputs,
        loss: TrainingLoss,
        reads: Sequence[str],
        policy: Policy | None,
        cache: ScoreCache,
        splits: tuple[Split, Split, Split],
        schedule: Schedule,
        running: Running,
        folder: RunFolder,
        about: dict[str, Any],
        processes: Processes,
        interruption: Interruption,
        announce: Announce = lambda event: None,
        decide: Callable[[], None] = lambda: None,
    ) -> None:
        """reads: what the loss reads of the targets. policy: what makes the labels, None where the loss reads none.

        splits: for training, validation and test, the last may be empty. about: what is kept beside the best weights.
        announce: told of every event. decide: called once the best weights' logits are kept. Both in the first process alone.
        """
        self.architecture, self.classifier, self.inputs, self.reads = architecture, classifier, inputs, reads
        self.cache, (self.train, self.val, self.test) = cache, splits
        self.schedule, self.running, self.device = schedule, running, running.device
        self.folder, self.about = folder, about
        self.processes, self.interruption, self._listener, self._decide = processes, interruption, announce, decide
        self._mixed = autocast(self.device, running.precision)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        processes.share_statistics(classifier.to(self.device), self.device)
        self.state = new_state(classifier, loss, policy, schedule, running)
        self.labels: EpochLabels | None = None
        self.added: AddedLabels | None = None  # by the pseudo-labels of the last epoch, once that is over
        if policy is not None:
            self.labels = EpochLabels(cache, self.train.rows, policy, schedule.epochs, schedule.seed)
        if running.compile:
            classifier.compile()
        # The classifier as it is trained, made when it is known what learns.
        self.learning: torch.nn.Module | None = None
        self.last_save = time.monotonic()

    def run(self, saved: SavedState | None = None) -> None:
        """Train every epoch that is left and evaluate the best weights on the test split.

        saved: the state that is resumed, of `RunFolder.latest_state`, None to start. SIGINT and SIGTERM, while `interruption` is
        entered, end the step in flight, save the state and raise KeyboardInterrupt.
        """
        try:
            if saved is not None:
                self._resume(saved)
            while not self.state.ended:
                self._epoch_or_save()
            self._finish()
        finally:
            self._close()

    def _announce(self, event: Event) -> None:
        if self.processes.first:
            self._listener(event)

    def _close(self) -> None:
        """End what is done ahead of an epoch that will not be trained, and what ties the processes to each other."""
        if self.labels is not None:
            self.labels.close()
        if not self.processes.alone:  # or their threads outlive Python's own end, which can abort a finished process
            self.learning = None
            gc.collect()

    def _resume(self, saved: SavedState) -> None:
        """Restore a state that `_save` wrote, and the best weights where they are those of that state."""
        state, tree = self.state, saved.tree
        try:
            state.restore(tree)
        except (RuntimeError, LookupError, TypeError, ValueError) as error:
            raise AevlpError(
                f"{saved.file} is the state of another run: delete it, and the one before it is resumed from"
            ) from error
        progress = state.progress
        if progress.steps:
            self._begin_epoch()
        state.restore_memories(tree)
        own, kept = self.processes.rank.number, tree["generators"]
        if progress.steps and own < len(kept):  # another process begins with the epoch's seed
            restore_generators(kept[own], self.device)
        with self.processes.together():
            if self.processes.first and state.best:
                self._save_best()
            elif self.processes.first and state.history:
                self.folder.check_best()
        self._announce(Resumed(progress.epoch, progress.steps, state.ended))

    def _epoch_or_save(self) -> None:
        """Train the rest of an epoch, validate it, and save what came of it, or came before a signal."""
        try:
            self._epoch()
        except KeyboardInterrupt:
            self._save()
            raise

    def _epoch(self) -> None:
        state, progress, schedule = self.state, self.state.progress, self.schedule
        started = time.monotonic() - progress.seconds
        if not progress.steps:
            self._begin_epoch()
        self._let_learn(backbone=progress.epoch > schedule.linear_init)
        self._announce(EpochBegun(progress.epoch, schedule.epochs, len(self.train.rows), progress.images))

        def after_step(images: int) -> None:
            self._announce(Step(images))
            progress.seconds = time.monotonic() - started
            self._save_if_asked()

        labels = self._train_epoch(progress, after_step)
        with self.processes.together():
            loss = progress.mean_loss()
        logits = self._logits(self.classifier, self.val, "val")
        self._show_predictions()
        val_map = mean_average_precision(logits, self.val.truth)
        better = state.stopping.improves(100 * val_map)
        state.ended = state.stopping.stops(100 * val_map) or progress.epoch == schedule.epochs
        state.best = better or progress.epoch == 1
        if state.ended and labels is not None:
            self.added = added_labels([(labels.codes, self.cache.observed[self.train.rows])])
        measured: dict[str, Any] = {
            "epoch": progress.epoch,
            "loss": loss,
            "val_map": val_map,
            "best": better,
            "seconds": round(time.monotonic() - started, 2),
            "waiting": round(progress.waiting, 2),
        }
        state.history.append(measured)
        state.progress = Progress(progress.epoch + 1)
        self._save()
        # After the state: whatever is killed from here on, a resumed run writes both again from what the state says.
        with self.processes.together():
            if self.processes.first:
                if state.best:
                    self._save_best()
                self.folder.write_metrics(state.history)
        self._announce(EpochEnded(**measured, lr=state.optimizer.param_groups[0]["lr"], logits=logits))
        if state.ended and progress.epoch < schedule.epochs:
            self._announce(StoppedEarly(progress.epoch))

    def _train_epoch(self, progress: Progress, after_step: Callable[[int], None]) -> Labels | None:
        """Train the rest of an epoch and return its pseudo-labels, None where the loss reads none."""
        rows, cache, state = self.train.rows, self.cache, self.state
        random = np.random.default_rng(derive(self.schedule.seed, "order", progress.epoch))
        order = random.permutation(rows)
        mirrored, chance = random.random(len(order)) < 0.5, random.random(len(order))
        labels = None if self.labels is None else self.labels.of(progress.epoch)
        targets = epoch_targets(cache, rows, self.reads, labels, self.device, self.processes)
        left = self.schedule.batch_size, progress.steps, self.processes, self.reads
        batches = self._labelled_ahead(epoch_batches(self.inputs, order, mirrored, chance, *left), progress.epoch + 1)
        assert self.learning is not None
        batches = self.schedule.paced(batches, state.optimizer, progress.epoch, progress.steps, len(rows))
        with self.running.interrupted_by(self.interruption):
            train_epoch(
                self.learning, batches, targets, state.loss, state.optimizer,
                state.scaler, self._mixed, progress, self.processes, after_step,
            )  # fmt: skip
        return labels

    def _labelled_ahead(self, batches: TrainingBatches, epoch: int) -> TrainingBatches:
        """Yield batches, and begin with the labels of the next epoch once the first is there: the workers are started then."""
        for batch in batches:
            if self.labels is not None:
                self.labels.make_ahead(epoch)
            yield batch

    def _save(self) -> None:
        """Save the state that a resumed run begins with."""
        generators = self.processes.each(generator_states(self.device))
        progress = self.state.progress
        with self.processes.together():
            tree = self.state.tree()
            if self.processes.first:
                self.folder.save_state({**tree, "generators": generators}, progress.epoch, progress.steps)
        self.last_save = time.monotonic()
        self._announce(Saved(progress.epoch, progress.steps))

    def _finish(self) -> None:
        """Evaluate the best weights on the validation and the test split, once."""
        folder, best, by, test_map = self.folder, self.state.best_epoch, evaluated_by(self.cache), None
        with self.processes.together():
            classifier, _, about = folder.load_best()
            if about["epoch"] != best["epoch"]:
                raise AevlpError(
                    f"{folder.best_file} holds the weights of epoch {about['epoch']}, and the best epoch is {best['epoch']}: a "
                    f"damaged state led back before both; start a new run"
                )
        measured = {"best_epoch": best["epoch"], **({} if by == "truth" else {"evaluated_by": by})}
        logits = {"val": self._logits(classifier.to(self.device), self.val, "val")}
        if len(self.test.rows):
            logits["test"] = self._logits(classifier, self.test, "test")
            test_map = mean_average_precision(logits["test"], self.test.truth)
            measured = {"test_map": test_map, **measured}
        with self.processes.together():
            if self.processes.first:
                folder.save_logits("val", self.val.rows, logits["val"])
                if "test" in logits:
                    folder.save_logits("test", self.test.rows, logits["test"])
                self._decide()  # before the line that says that the run is finished
                folder.write_metrics([*self.state.history, measured])
        self._announce(Finished(best["epoch"], best["val_map"], test_map))

    def _begin_epoch(self) -> None:
        """Seed and tell the loss: each epoch has a seed of its own, so that a resumed run draws what another one would."""
        epoch, own = self.state.progress.epoch, self.processes.rank.number
        seed_everything(derive(self.schedule.seed, "epoch", epoch, *(("process", own) if own else ())))
        for told in self._memories():
            if isinstance(told, Scheduled):
                told.set_epoch(epoch, self.schedule.epochs)

    def _show_predictions(self) -> None:
        """Show loss and policy what is predicted of all training images, where they want to see it; nothing comes after it."""
        loss, policy = (x if isinstance(x, Watching) and x.wants_predictions else None for x in self._memories())
        if loss is None and policy is None:
            return
        logits = self._logits(self.classifier, self.train, "train")
        if loss is not None:
            loss.after_epoch(torch.from_numpy(logits).to(self.device))
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
            if not self.processes.alone:
                gc.collect()  # the old one's hooks go with it
            self.classifier.freeze_backbone(not backbone)
            self.learning = self.processes.learning(self.classifier, self.device)

    def _logits(self, classifier: Classifier, split: Split, name: Literal["train", "val", "test"]) -> np.ndarray:
        self._announce(Evaluating(name))
        processes, classes = self.processes, len(self.cache.classes)
        return logits_by_all(classifier, self.inputs, split.rows, classes, self.running, processes, self.interruption)

    def _save_if_asked(self) -> None:
        """Save where it is time to; raise KeyboardInterrupt where a signal came to any process, after which it is saved too."""
        minutes = (time.monotonic() - self.last_save) / 60
        due = self.processes.first and minutes >= self.running.save_minutes
        interrupted, due = self.processes.any(self.interruption.asked, due)
        if interrupted:
            raise KeyboardInterrupt
        if due:
            self._save()

    def _save_best(self) -> None:
        about = {**self.about, "epoch": self.state.best_epoch["epoch"]}
        self.folder.save_best(self.classifier, self.architecture, self.cache.classes, about)
