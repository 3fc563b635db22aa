"""What the trainer announces while it trains; whoever listens makes lines, a progress bar or a file of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Resumed:
    """An earlier start is continued: `step` steps of `epoch` are done. trained: every epoch is done, the test split is not."""

    epoch: int
    step: int
    trained: bool


@dataclass(frozen=True)
class EpochBegun:
    """An epoch, of how many; how many images it has, and on how many of them it was trained before a resume."""

    epoch: int
    epochs: int
    images: int
    done: int


@dataclass(frozen=True)
class Step:
    """A step was made on a batch of so many images."""

    images: int


@dataclass(frozen=True)
class Evaluating:
    """All images of a split are predicted."""

    split: Literal["train", "val", "test"]


@dataclass(frozen=True)
class Saved:
    """The state is on the disk: `step` steps of `epoch` are done."""

    epoch: int
    step: int


@dataclass(frozen=True)
class EpochEnded:
    """An epoch was trained and validated. loss: the mean an image. val_map: in [0, 1]. best: whether it is the best so far.

    seconds: it took, `waiting` of them for data. lr: of the backbone in the last step; the head's is `head_lr_factor` times that.
    logits: (n, C) of the validation images, in their order.
    """

    epoch: int
    loss: float
    val_map: float
    best: bool
    seconds: float
    waiting: float
    lr: float
    logits: np.ndarray


@dataclass(frozen=True)
class StoppedEarly:
    """No epoch follows this one: validation does not improve any more."""

    epoch: int


@dataclass(frozen=True)
class Finished:
    """The weights of the best epoch were evaluated on the test split; mAP in [0, 1], None where there is no test split."""

    best_epoch: int
    best_map: float
    test_map: float | None


Event = Resumed | EpochBegun | Step | Evaluating | Saved | EpochEnded | StoppedEarly | Finished
Announce = Callable[[Event], None]
