"""A training run on disk: settings.json, metrics.jsonl, best.safetensors and state.safetensors in one folder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..pipeline.atomic_write import replacing
from ..pipeline.checkpoint import load_tensors, load_tree, save_tensors, save_tree
from ..pipeline.classifier import Architecture, Classifier, build
from ..pipeline.errors import AevlpError
from ..pipeline.provenance import difference


class RunFolder:
    """The files of one run; nothing of it is kept in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings_file = path / "settings.json"
        self.metrics_file = path / "metrics.jsonl"
        self.best_file = path / "best.safetensors"
        self.state_file = path / "state.safetensors"
        self.test_file = path / "test.safetensors"

    def start(self, settings: dict[str, Any]) -> None:
        """Make the folder; AevlpError where it holds something already."""
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise AevlpError(f"{self.path} is there already: choose another --run, or --resume to go on with it")
        with replacing(self.settings_file) as temporary:
            temporary.write_text(json.dumps(settings, indent=1, ensure_ascii=False), encoding="utf-8")

    def settings(self) -> dict[str, Any]:
        """Return the run's settings; AevlpError where this is no run."""
        try:
            settings = json.loads(self.settings_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise AevlpError(
                f"{self.path} is not a training run: cannot read {self.settings_file} ({error})"
            ) from error
        if not isinstance(settings, dict) or not {"cache", "data_root", "recipe"} <= set(settings):
            raise AevlpError(f"{self.settings_file} does not hold the settings of a training run")
        return settings

    def continue_with(self, settings: dict[str, Any]) -> dict[str, Any] | None:
        """Return the last state, None before the first epoch's end; AevlpError where the run has other settings."""
        self.insist_on(settings)
        if not self.state_file.exists():
            return None
        state = load_tree(self.state_file)
        if self.finished():
            raise AevlpError(
                f"{self.path} is finished: there is nothing to resume; its results are in {self.metrics_file}"
            )
        if not isinstance(state, dict) or not {"epoch", "classifier", "optimizer"} <= set(state):
            raise AevlpError(f"{self.state_file} holds no training state")
        measured = [line for line in self.metrics() if line["epoch"] <= state["epoch"]]
        if len(measured) != state["epoch"] or not self.best_file.exists():
            raise AevlpError(
                f"{self.path} has lost {self.best_file.name} or lines of {self.metrics_file.name}, which its state after epoch "
                f"{state['epoch']} goes with: start a new run"
            )
        self._rewrite(measured)
        return state

    def insist_on(self, settings: dict[str, Any]) -> None:
        """Raise AevlpError where the run was started with other settings."""
        changed = difference(settings, self.settings())
        if changed:
            raise AevlpError(
                f"{self.path} was started otherwise (this run has {changed}): resume with its settings, or start a new run"
            )

    def finished(self) -> bool:
        """Return whether the run has come to its end: its best weights are judged on the test split, if there is one."""
        return any("best_epoch" in line for line in self.metrics())

    def metrics(self) -> list[dict[str, Any]]:
        """Return what was measured, a dictionary an epoch and one for the test split at the end."""
        if not self.metrics_file.exists():
            return []
        lines = self.metrics_file.read_text(encoding="utf-8").splitlines()
        try:
            measured = [json.loads(line) for line in lines]
        except ValueError as error:
            raise AevlpError(f"{self.metrics_file} is damaged: {error}") from error
        for number, line in enumerate(measured, 1):
            if not isinstance(line, dict) or not ({"epoch", "val_map"} <= set(line) or "best_epoch" in line):
                raise AevlpError(f"{self.metrics_file}, line {number}: not what a training run writes")
        return measured

    def log(self, measured: dict[str, Any]) -> None:
        """Append a line to metrics.jsonl."""
        self._rewrite([*self.metrics(), measured])

    def save_state(self, state: dict[str, Any]) -> None:
        """Replace the state that --resume continues from."""
        save_tree(self.state_file, state)

    def save_test(self, rows: np.ndarray, logits: np.ndarray) -> None:
        """Keep what the best weights say of the test split: rows of the cache (n,) and logits (n, C)."""
        save_tensors(self.test_file, {"rows": torch.from_numpy(rows), "logits": torch.from_numpy(logits)}, {})

    def load_test(self) -> tuple[np.ndarray, np.ndarray]:
        """Return what `save_test` kept; AevlpError where nothing is."""
        if not self.test_file.exists():
            raise AevlpError(f"{self.path}: no {self.test_file.name} in it: its training is not finished")
        tensors, _ = load_tensors(self.test_file)
        if not {"rows", "logits"} <= set(tensors):
            raise AevlpError(f"{self.test_file} holds no logits of a test split")
        return tensors["rows"].numpy(), tensors["logits"].numpy()

    def save_best(self, classifier: Classifier, architecture: Architecture, classes: list[str], about: dict) -> None:
        """Replace the best weights; classes and preprocessing go into the same file."""
        description = {"architecture": architecture.to_json(), "classes": classes, **about}
        save_tensors(self.best_file, dict(classifier.state_dict()), description)

    def load_best(self) -> tuple[Classifier, Architecture, dict[str, Any]]:
        """Return the classifier with its best weights, its architecture, and the description stored with them."""
        if not self.best_file.exists():
            raise AevlpError(
                f"{self.path}: no {self.best_file.name} in it: not a training run, or its first epoch never ended"
            )
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

    def _rewrite(self, lines: list[dict[str, Any]]) -> None:
        with replacing(self.metrics_file) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
