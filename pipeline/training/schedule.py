"""How long and how fast is trained, and on what."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from ..runtime.interruption import Interruption


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    batch_size: images a step, of all processes together. lr: of the backbone, the head's is `head_lr_factor` times that.
    linear_init: epochs at the beginning in which the head alone learns. seed: of order, flips and dropout.
    """

    epochs: int
    batch_size: int
    lr: float
    head_lr_factor: float = 1.0
    linear_init: int = 0
    seed: int = 0


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
