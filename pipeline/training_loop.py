"""One pass of training, one pass of prediction; neither knows of a loss, a data set or a backbone."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from .errors import AevlpError
from .losses.interface import Targets, TrainingLoss

Batches = Iterable[tuple[np.ndarray, Tensor]]


def autocast(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager:
    """Return the context of mixed precision; None computes in the weights' own precision."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def train_epoch(
    classifier: nn.Module,
    batches: Batches,
    targets: Callable[[np.ndarray], Targets],
    loss: TrainingLoss,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    mixed: AbstractContextManager,
    done: Callable[[int], None] = lambda images: None,
) -> float:
    """Train on every batch once and return the mean loss an image; `done` is told the size of each finished batch.

    targets: row numbers -> what is known of them. Raises AevlpError where the loss is not finite.
    """
    classifier.train()
    total = torch.zeros((), dtype=torch.float64)
    images = 0
    for rows, inputs in batches:
        try:
            with mixed:
                logits = classifier(inputs)
        except ValueError as error:
            if len(rows) == 1 and "more than 1 value per channel" in str(error):
                raise AevlpError(
                    "the last batch holds a single image, which this backbone's batch normalisation cannot train on: "
                    "choose another --batch-size"
                ) from error
            raise
        value = loss(logits, targets(rows))
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(value).backward()
        scaler.step(optimizer)
        scaler.update()
        total = total.to(value.device) + value.detach().double() * len(rows)
        images += len(rows)
        done(len(rows))
    mean = (total / max(images, 1)).item()
    if not np.isfinite(mean):
        raise AevlpError(
            f"the loss became {mean}: try a smaller --lr; the state before this epoch is kept for --resume"
        )
    return mean


@torch.inference_mode()
def predict_logits(classifier: nn.Module, batches: Batches, mixed: AbstractContextManager) -> np.ndarray:
    """Return the logits of all batches in order, (n, C) float32, with the classifier in evaluation mode."""
    classifier.eval()
    logits = []
    for _, inputs in batches:
        with mixed:
            logits.append(classifier(inputs).float().cpu().numpy())
    return np.concatenate(logits)
