"""Rows of a cache -> logits of a classifier that is being trained, each process its share of them."""

from contextlib import AbstractContextManager

import numpy as np
import torch

from ..runtime.interruption import Interruption
from .classifier import Classifier
from .distributed import Processes
from .inputs import Inputs
from .loop import autocast, predict_logits
from .schedule import Running


def logits_of(classifier: Classifier, inputs: Inputs, rows: np.ndarray, mixed: AbstractContextManager) -> np.ndarray:
    """Return the logits of some rows of the cache, (n, C) float32, each row exactly once."""
    return predict_logits(classifier, inputs.batches(rows, inputs.evaluation_batch), mixed)


class Predictor:
    """What predicts the images of a split, while training is between two epochs."""

    def __init__(self, inputs: Inputs, running: Running, processes: Processes, interruption: Interruption) -> None:
        self.inputs, self.running, self.processes, self.interruption = inputs, running, processes, interruption

    def logits(self, classifier: Classifier, rows: np.ndarray, classes: int) -> np.ndarray:
        """Return the logits (n, C) of rows (n,); KeyboardInterrupt in all processes where a signal came to any."""
        self.processes.equal_buffers(classifier)
        own, logits = rows[self.processes.share(len(rows))], np.empty((0, classes), np.float32)
        try:
            if len(own):
                batches = self.interruption.before_each(self.inputs.batches(own, self.inputs.evaluation_batch))
                with self.running.interrupted_by(self.interruption):
                    mixed = autocast(self.running.device, self.running.precision)
                    logits = predict_logits(classifier, batches, mixed)
        except KeyboardInterrupt:  # the others have to hear of it before this one leaves
            if not self.interruption.asked:
                raise
        if any(self.processes.any(self.interruption.asked)):
            raise KeyboardInterrupt
        return self.processes.rows(torch.from_numpy(logits), len(rows)).numpy()
