"""How long and how fast is trained, and on what."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch

from ..runtime.interruption import Interruption

CONSTANT, ONE_CYCLE = "constant", "one-cycle"  # schedules of the learning rate
WARM_UP = 0.3  # of all steps
LOWEST_BEFORE, LOWEST_AFTER = 1 / 25, 1 / 250_000  # of the highest learning rate
Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    batch_size: images a step, of all processes together. lr: of the backbone, the head's is `head_lr_factor` times that.
    linear_init: epochs at the beginning in which the head alone learns. seed: of order, flips and dropout. lr_schedule:
    "constant", or "one-cycle", where these are the highest rates.
    """

    epochs: int
    batch_size: int
    lr: float
    head_lr_factor: float = 1.0
    linear_init: int = 0
    seed: int = 0
    lr_schedule: str = CONSTANT

    def paced(
        self, batches: Iterable[Batch], optimizer: torch.optim.Optimizer, epoch: int, done: int, images: int
    ) -> Iterator[Batch]:
        """Yield batches, each once the learning rates are those of its step.

        epoch: from 1. done: steps of it before the first batch. images: of a whole epoch.
        """
        of_epoch = math.ceil(images / self.batch_size)
        for step, batch in enumerate(batches, (epoch - 1) * of_epoch + done):
            if self.lr_schedule == ONE_CYCLE:
                for group in optimizer.param_groups:
                    group["lr"] = group["initial_lr"] * one_cycle(step, self.epochs * of_epoch)
            yield batch


def one_cycle(step: int, steps: int) -> float:
    """Return the learning rate of a step, counted from 0, as a share of its highest, in (0, 1].

    It rises from 1/25 along half a cosine for 30 % of the steps, then falls to 1/250,000: Smith and Topin 2019, as PyTorch's
    `OneCycleLR` has it. That one keeps a count of its own; of the step alone, a resumed training needs nothing more saved.
    """
    top = WARM_UP * steps - 1
    rising = step <= top
    way = step / top if rising else (step - top) / (steps - 1 - top)
    begin, end = (LOWEST_BEFORE, 1.0) if rising else (1.0, LOWEST_AFTER)
    return end + (begin - end) * (1 + math.cos(math.pi * way)) / 2


@dataclass(frozen=True)
class Running:
    """On what. precision: for mixed precision, None for single. compile: whether torch compiles the classifier.

    save_minutes: how often the state is saved within an epoch; at its end it is in any case.
    """

    device: torch.device
    precision: torch.dtype | None = None
    compile: bool = False
    save_minutes: float = 10.0

    @contextmanager
    def interrupted_by(self, interruption: Interruption) -> Iterator[None]:
        """Raise KeyboardInterrupt for what goes wrong after a signal: Ctrl-C also ends the compiler, which torch calls."""
        try:
            yield
        except Exception as error:
            if not (self.compile and interruption.asked):
                raise
            raise KeyboardInterrupt from error
