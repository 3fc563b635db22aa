"""Rows of a cache -> logits of a classifier, in this process or in all that train, each its share of them."""

from contextlib import AbstractContextManager

import numpy as np
import torch

from ..runtime.interruption import Interruption
from .classifier import Classifier
from .distributed import Processes
from .inputs import Inputs
from .loop import autocast, predict_logits
from .schedule import Running


def logits_of(
    classifier: Classifier,
    inputs: Inputs,
    rows: np.ndarray,
    mixed: AbstractContextManager,
    interruption: Interruption | None = None,
) -> np.ndarray:
    """Return the logits of some rows of the cache, (n, C) float32, each row exactly once; (0, 0) of none.

    interruption: where it may stop, by KeyboardInterrupt, between two batches.
    """
    batches = inputs.batches(rows, inputs.evaluation_batch)
    return predict_logits(classifier, batches if interruption is None else interruption.before_each(batches), mixed)


def logits_by_all(
    classifier: Classifier,
    inputs: Inputs,
    rows: np.ndarray,
    classes: int,
    running: Running,
    processes: Processes,
    interruption: Interruption,
) -> np.ndarray:
    """Return the logits (n, C) of rows (n,) to every process; KeyboardInterrupt in all of them where a signal came to any."""
    processes.equal_buffers(classifier)
    own, logits = rows[processes.share(len(rows))], np.empty((0, classes), np.float32)
    try:
        if len(own):
            with running.interrupted_by(interruption):
                logits = logits_of(classifier, inputs, own, autocast(running.device, running.precision), interruption)
    except KeyboardInterrupt:  # the others have to hear of it before this one leaves
        if not interruption.asked:
            raise
    if any(processes.any(interruption.asked)):
        raise KeyboardInterrupt
    return processes.rows(torch.from_numpy(logits), len(rows)).numpy()
