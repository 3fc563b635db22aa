"""A training run on disk: settings.json, metrics.jsonl, best.safetensors and the two latest states in one folder.

The folder needs nothing else to label new images: a classifier of embeddings keeps the tower that makes them, tower.safetensors.
"""

import json
import os
import re
import shutil
import warnings
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ..clip.libraries import image_tower
from ..errors import AevlpError, Notice, in_one_line
from ..evaluation.decision import Decision
from ..files.atomic_write import replacing
from ..files.locks import locked
from ..method_names import current
from ..runtime.provenance import difference
from . import kept_logits
from .checkpoint import load_description, load_tensors, load_tree, save_tensors, save_tree
from .classifier import Architecture, Classifier, build
from .decided import DECISION, decision_of
from .not_a_run import no_run, require_run
from .setting_flags import with_flag

STATES_KEPT = 2
LOCK_SECONDS = 10.0
# Where things are, not what they are: the fingerprint says that. What the settings were made from, and what the cache says.
NOT_COMPARED = ("cache", "data_root", "options", "evaluated_by", "teacher")
_STATE = re.compile(r"state-\d+-\d+\.safetensors")


@dataclass(frozen=True)
class SavedState:
    """A state, and the file that it was read from."""

    file: Path
    tree: dict[str, Any]


class RunFolder:
    """The files of one run; nothing of it is kept in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings_file = path / "settings.json"
        self.metrics_file = path / "metrics.jsonl"
        self.best_file = path / "best.safetensors"
        self.logits_files = {split: path / f"{split}.safetensors" for split in ("val", "test")}  # of the best weights
        self.corrections_file = path / "corrections.csv"  # the answers that its observed labels were corrected by
        self.tower_file = path / "tower.safetensors"
        self.log_file = path / "log.txt"

    def alone(self) -> AbstractContextManager[None]:
        """Hold the run for the context; AevlpError where another process trains into it.

        One that was just killed may have workers for some seconds.
        """
        busy = f"another process is training into {self.path}: wait for its end, or end it"
        return locked(self.path, LOCK_SECONDS, busy)

    def start(self, settings: dict[str, Any]) -> None:
        """Make the folder; AevlpError where it holds something already, other than what a killed process began to write."""
        self._remove_unfinished()
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise AevlpError(f"{self.path} is there already and is no training run: choose another folder for runs")
        self.write_settings(settings)

    def remove_if_nothing_is_saved(self) -> None:
        """Remove what `start` made where no state was saved: a failed first epoch leaves nothing that blocks the next try."""
        if not self.state_files():
            self._remove_unfinished()
            for file in (self.settings_file, self.log_file, self.corrections_file):
                file.unlink(missing_ok=True)
            with suppress(OSError):  # something of the user's own is in it
                self.path.rmdir()

    def require_run(self) -> None:
        """Raise AevlpError where this cannot be a run: nothing is there, or a file, or a cache."""
        require_run(self.path, self.settings_file)

    def settings(self) -> dict[str, Any]:
        """Return the run's settings; AevlpError where this is no run."""
        self.require_run()
        try:
            settings = json.loads(self.settings_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            absent = not self.settings_file.exists()
            reason = f"no {self.settings_file.name} in it" if absent else f"cannot read {self.settings_file} ({error})"
            raise no_run(self.path, reason) from error
        if not isinstance(settings, dict) or not {"cache", "data_root", "recipe"} <= set(settings):
            raise AevlpError(f"{self.settings_file} does not hold the settings of a training run")
        if isinstance(policy := settings.get("policy"), dict):
            policy["name"] = current(policy["name"])
        return settings

    def write_settings(self, settings: dict[str, Any]) -> None:
        """Replace settings.json."""
        with replacing(self.settings_file) as temporary:
            temporary.write_text(json.dumps(settings, indent=1, ensure_ascii=False), encoding="utf-8")

    def found(
        self, settings: dict[str, Any], another: str | None = "--run DIR"
    ) -> Literal["nothing", "unfinished", "finished"]:
        """Return what is there of a run with these settings; AevlpError where it has other ones, as `require` raises it."""
        if not self.settings_file.exists():  # not started, or killed before its first file
            return "nothing"
        self.require(settings, another)
        return "finished" if self.finished() else "unfinished"

    def resume(self, settings: dict[str, Any]) -> SavedState | None:
        """Return the latest state, None before the first, and make the metrics those of that state.

        settings: kept in the place of equal ones, as the cache may have moved. AevlpError where no state can be read.
        """
        if settings != self.settings():
            self.write_settings(settings)
        self._remove_unfinished()
        state = self.latest_state()
        if state is not None:
            self.write_metrics(state.tree["history"])
        return state

    def latest_state(self) -> SavedState | None:
        """Return the latest state that can be read, None before the first; name each that cannot in a Notice.

        Raises AevlpError where none can be read, or all are gone.
        """
        faults: list[str] = []
        for file in reversed(self.state_files()):
            try:
                state = load_tree(file)
                if not isinstance(state, dict) or not {"progress", "history", "generators"} <= set(state):
                    raise AevlpError(f"{file} holds no training state")
            except AevlpError as error:
                faults.append(str(error))
                continue
            for fault in faults:
                warnings.warn(f"{fault}; resuming from {file.name}, the one before it", Notice, stacklevel=2)
            return SavedState(file, state)
        if faults:
            raise AevlpError(
                f"{self.path} has no state that can be read ({'; '.join(faults)}): start a new run with another --run, or bring "
                f"one of these files back from a copy"
            )
        if self.metrics():
            raise AevlpError(
                f"{self.path} has lost its states, state-EPOCH-STEP.safetensors, and cannot be resumed: start a new run"
            )
        return None

    def state_files(self) -> list[Path]:
        """Return the files of states, the latest last."""
        files = [file for file in self.path.glob("state-*.safetensors") if _STATE.fullmatch(file.name)]
        return sorted(files, key=lambda file: [int(number) for number in re.findall(r"\d+", file.name)])

    def check_best(self) -> None:
        """Raise AevlpError where the best weights, of an epoch before the state's, are gone or damaged."""
        if not self.best_file.exists():
            raise AevlpError(f"{self.path} has lost {self.best_file.name}, which its state goes with: start a new run")
        load_tensors(self.best_file)

    def require(self, settings: dict[str, Any], another: str | None = "--run DIR") -> None:
        """Raise AevlpError where the run was started with other settings.

        another: the option that chooses another folder; None where the command has neither it nor those of the settings.
        """
        mine, theirs = ({**of, **dict.fromkeys(NOT_COMPARED)} for of in (settings, self.settings()))
        if changed := difference(mine, theirs):
            changed = with_flag(changed) if another else changed
            raise AevlpError(
                f"{self.path} was started differently (this run has {changed}): give its settings, "
                f"choose another folder{f' as {another}' * bool(another)}, or delete the folder to train it anew"
            )

    def finished(self) -> bool:
        """Return whether the run has come to its end: its best weights are evaluated on the test split, if there is one."""
        return any("best_epoch" in line for line in self.metrics())

    def metrics(self) -> list[dict[str, Any]]:
        """Return what was measured, a dictionary an epoch and one for the test split at the end."""
        if not self.metrics_file.exists():
            return []
        try:
            measured = [json.loads(line) for line in self.metrics_file.read_text(encoding="utf-8").splitlines()]
        except ValueError as error:
            raise AevlpError(
                f"{self.metrics_file} is damaged ({error}): delete it, and the same command writes it anew"
            ) from error
        for number, line in enumerate(measured, 1):
            if not isinstance(line, dict) or not ({"epoch", "val_map"} <= set(line) or "best_epoch" in line):
                raise AevlpError(f"{self.metrics_file}, line {number}: not what a training run writes")
        return measured

    def write_metrics(self, lines: list[dict[str, Any]]) -> None:
        """Replace metrics.jsonl."""
        with replacing(self.metrics_file) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    def save_state(self, state: dict[str, Any], epoch: int, step: int) -> None:
        """Save a state in which `step` steps of `epoch` are done, and keep it and the one before it alone.

        A file of a later position is one that could not be read: it is removed too.
        """
        saved = self.path / f"state-{epoch:03d}-{step:06d}.safetensors"
        save_tree(saved, state)
        files = self.state_files()
        last = files.index(saved) + 1
        for file in (*files[last:], *files[: max(0, last - STATES_KEPT)]):
            file.unlink()

    def save_logits(self, split: Literal["val", "test"], rows: np.ndarray, logits: np.ndarray) -> None:
        """Keep what the best weights say of a split: rows of the cache (n,) and logits (n, C)."""
        kept_logits.save(self.logits_files[split], rows, logits)

    def load_logits(self, split: Literal["val", "test"] = "test") -> tuple[np.ndarray, np.ndarray]:
        """Return what `save_logits` kept of a split; AevlpError where nothing is."""
        return kept_logits.load(self.logits_files[split])

    def save_best(self, classifier: Classifier, architecture: Architecture, classes: list[str], about: dict) -> None:
        """Replace the best weights; classes and preprocessing go into the same file."""
        description = {"architecture": architecture.to_json(), "classes": classes, **about}
        save_tensors(self.best_file, dict(classifier.state_dict()), description)

    def load_best(self) -> tuple[Classifier, Architecture, dict[str, Any]]:
        """Return the classifier with its best weights, its architecture, and the description stored with them."""
        self.require_run()
        if not self.best_file.exists():
            raise no_run(self.path, f"or its first epoch never ended: no {self.best_file.name} in it")
        tensors, description = load_tensors(self.best_file)
        if not {"architecture", "classes", "cache_fingerprint"} <= set(description):
            raise AevlpError(f"{self.best_file} holds no classifier: it is another file of aevlp")
        architecture = Architecture.from_json(description["architecture"])
        classifier = build(architecture, len(description["classes"]))
        try:
            classifier.load_state_dict(tensors)
        except RuntimeError as error:
            raise AevlpError(f"{self.best_file}: its weights do not fit the architecture it names: {error}") from error
        return classifier.eval(), architecture, description

    def decision(self) -> Decision:
        """Return how the best weights label; at a threshold of 0.5 where that was not chosen; AevlpError where it is damaged."""
        return decision_of(load_description(self.best_file), self.best_file)

    def save_decision(self, decision: Decision) -> None:
        """Store beside the best weights how they label; equal decisions leave the file as it is."""
        tensors, description = load_tensors(self.best_file)
        if description.get(DECISION) != (chosen := decision.to_json()):
            save_tensors(self.best_file, tensors, {**description, DECISION: chosen})

    def save_tower(self, visual: torch.nn.Module, clip_config: dict, quick_gelu: bool, weights_sha256: str) -> None:
        """Keep the scoring model's image tower, which makes the embeddings that a linear classifier reads.

        weights_sha256: of the scoring model's weights, by which other runs know the file.
        """
        about = {"clip_config": clip_config, "quick_gelu": quick_gelu, "weights_sha256": weights_sha256}
        save_tensors(self.tower_file, dict(visual.state_dict()), about)

    def share_tower(self, weights_sha256: str) -> bool:
        """Take the tower of a run beside this one, where one has it; return whether this run has it now.

        It is linked where the disk can do that: a tower lies there once, however many runs there are.
        """
        if self.tower_file.exists():
            return True
        for file in sorted(self.path.parent.glob(f"*/{self.tower_file.name}")):
            with suppress(AevlpError):
                if load_description(file).get("weights_sha256") != weights_sha256:
                    continue
                with replacing(self.tower_file) as temporary:
                    try:
                        os.link(file, temporary)
                    except OSError:
                        shutil.copyfile(file, temporary)
                return True
        return False

    def load_tower(self) -> torch.nn.Module | None:
        """Return the tower that was kept, in evaluation mode, None where none was; AevlpError where the file is damaged."""
        if not self.tower_file.exists():
            return None
        tensors, about = load_tensors(self.tower_file)
        try:
            visual = image_tower(about["clip_config"], about["quick_gelu"])
            visual.load_state_dict(tensors)
        except (LookupError, RuntimeError) as error:
            raise AevlpError(f"{self.tower_file} holds no image tower: {in_one_line(error, 160)}") from error
        return visual.eval().requires_grad_(False)

    def _remove_unfinished(self) -> None:
        """Remove what a killed process had begun to write."""
        for file in self.path.glob(".*.tmp"):
            file.unlink(missing_ok=True)
