"""Everything that training changes <-> a tree of numbers and tensors, from which it goes on as if it had never stopped."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import AevlpError
from ..losses.interface import Stateful, TrainingLoss
from ..policies.interface import Policy
from .classifier import Classifier
from .early_stopping import EarlyStopping
from .schedule import Running, Schedule


@dataclass
class Progress:
    """How far an epoch has come.

    epoch: from 1. steps, images: what is done of it. loss: () float64, the sum of the losses of these images, on any device.
    seconds: what it took until it was last interrupted. waiting: how many of them the steps waited for the next batch.
    """

    epoch: int = 1
    steps: int = 0
    images: int = 0
    loss: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    seconds: float = 0.0
    waiting: float = 0.0

    def mean_loss(self) -> float:
        """Return the mean loss an image; AevlpError where it is not finite."""
        mean = (self.loss / max(self.images, 1)).item()
        if not np.isfinite(mean):
            raise AevlpError(
                f"the loss became {mean} in epoch {self.epoch}: try a smaller --lr; no state with it is saved, the one before is "
                f"kept"
            )
        return mean


@dataclass
class TrainingState:
    """What is trained, and how far.

    policy: what makes the labels, None where the loss reads none. history: what was measured, a dictionary an epoch.
    ended: whether the last epoch is over. best: whether the weights are those of the best epoch so far, which is so from its end
    to the next step.
    """

    classifier: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    loss: TrainingLoss
    policy: Policy | None = None
    stopping: EarlyStopping = field(default_factory=EarlyStopping)
    progress: Progress = field(default_factory=Progress)
    history: list[dict[str, Any]] = field(default_factory=list)
    ended: bool = False
    best: bool = False

    @property
    def best_epoch(self) -> dict[str, Any]:
        """What was measured of the epoch whose weights are kept: the last new best, the first epoch where none was."""
        return next((line for line in reversed(self.history) if line["best"]), self.history[0])

    def tree(self) -> dict[str, Any]:
        """Return all of it, for `checkpoint.save_tree`; AevlpError where the loss is not finite: nothing follows from that."""
        self.progress.mean_loss()
        return {
            "progress": {**vars(self.progress), "loss": self.progress.loss.item()},
            "history": self.history,
            "stopping": vars(self.stopping),
            "ended": self.ended,
            "best": self.best and self.progress.steps == 0,
            "classifier": dict(self.classifier.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "loss": dict(self.loss.state_dict()) if isinstance(self.loss, Stateful) else None,
            "policy": dict(self.policy.state_dict()) if isinstance(self.policy, Stateful) else None,
        }

    def restore(self, tree: dict[str, Any]) -> None:
        """Become what `tree` was taken of, but for what loss and policy remember."""
        self.progress = Progress(
            **{**tree["progress"], "loss": torch.tensor(tree["progress"]["loss"], dtype=torch.float64)}
        )
        self.history, self.ended, self.best = tree["history"], tree["ended"], tree["best"]
        self.stopping = EarlyStopping(**tree["stopping"])
        self.classifier.load_state_dict(tree["classifier"])
        self.optimizer.load_state_dict(tree["optimizer"])
        # A file keeps no memory layout, and a fused optimiser takes it for granted that moments lie as the weights do.
        for parameter, values in self.optimizer.state.items():
            for name, value in values.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    values[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        self.scaler.load_state_dict(tree["scaler"])

    def restore_memories(self, tree: dict[str, Any]) -> None:
        """Give loss and policy what they remembered; within an epoch only after they were told which."""
        for name in ("loss", "policy"):
            remembering = getattr(self, name)
            if isinstance(remembering, Stateful):
                remembering.load_state_dict(tree[name])


def new_state(
    classifier: Classifier, loss: TrainingLoss, policy: Policy | None, schedule: Schedule, running: Running
) -> TrainingState:
    """Return the state before the first step; what a loss learns is learned as fast as the backbone, or as it asks."""
    learning: Any = loss
    groups = classifier.parameter_groups(schedule.lr, schedule.head_lr_factor)
    learned = list(learning.parameters()) if hasattr(learning, "parameters") else []
    if learned:
        groups.append({"params": learned, "lr": schedule.lr * getattr(loss, "lr_factor", 1)})
    groups = [{**group, "initial_lr": group["lr"]} for group in groups]  # what `Schedule.paced` takes shares of
    scaler = torch.amp.GradScaler(running.device.type, enabled=running.precision is torch.float16)
    return TrainingState(classifier, torch.optim.Adam(groups, fused=True), scaler, loss, policy)
