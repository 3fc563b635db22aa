"""One pass of training, one pass of prediction; neither knows of a loss, a data set or a backbone."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import AevlpError
from ..losses.interface import Targets, TrainingLoss
from .classifier import Outputs
from .distributed import Processes
from .other_views import Views, seen
from .state import Progress
from .sync_batch_norm import SharedStatistics

Batches = Iterable[tuple[np.ndarray, Tensor]]
TrainingBatches = Iterable[tuple[np.ndarray, Tensor | Views]]


def autocast(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager:
    """Return the context of mixed precision; None computes in the weights' own precision."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def train_epoch(
    classifier: nn.Module,
    batches: TrainingBatches,
    targets: Callable[[np.ndarray, Outputs], Targets],
    loss: TrainingLoss,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    mixed: AbstractContextManager,
    progress: Progress,
    processes: Processes,
    after_step: Callable[[int], None] = lambda images: None,
) -> None:
    """Train on every batch once and note each in `progress`; `after_step` is told how many images the step had.

    batches: (row numbers of the whole batch, inputs of this process's share, or of one image in the place of an empty one);
    inputs may have other views of the same images with them.
    targets: row numbers, and this process's outputs -> what is known of the whole batch.
    What `after_step` raises ends the epoch there.
    """
    classifier.train()
    empty_share_is_no_image = any(
        isinstance(module, nn.SyncBatchNorm | SharedStatistics) for module in classifier.modules()
    )
    for rows, inputs in _timed(batches, progress):
        share = processes.share(len(rows))
        if share.start == share.stop and empty_share_is_no_image:
            inputs = inputs[:0]  # the image in its place would count in the statistics, and these do without
        try:
            with mixed:
                outputs = seen(classifier, inputs)
        except ValueError as error:
            if len(inputs) == 1 and "more than 1 value per channel" in str(error):
                raise AevlpError(
                    "the last batch holds a single image, which this backbone's batch normalisation cannot train on: "
                    "choose another --batch-size"
                ) from error
            raise
        logits, known = processes.whole_batch(outputs.logits, len(rows)), targets(rows, outputs)
        logits.retain_grad()
        try:
            value = loss(logits, known)
        except SystemExit as error:  # a loss of the user's own, whose 0 would look like success
            raise AevlpError(f"the loss ended the program: SystemExit({error.code!r})") from error
        _check_value(value)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(value).backward()
        if logits.grad is None:
            raise AevlpError(
                "a loss must return a scalar tensor with a gradient by the logits, found one whose gradient goes elsewhere"
            )
        scaler.step(optimizer)
        scaler.update()
        progress.loss = progress.loss.to(value.device) + value.detach().double() * len(rows)
        progress.images += len(rows)
        progress.steps += 1
        after_step(len(rows))


def _timed(batches: TrainingBatches, progress: Progress) -> Iterator[tuple[np.ndarray, Tensor | Views]]:
    """Yield batches; add to `progress` how long each was waited for."""
    waiting = iter(batches)
    while True:
        started = time.perf_counter()
        batch = next(waiting, None)
        progress.waiting += time.perf_counter() - started
        if batch is None:
            return
        yield batch


def _check_value(value: object) -> None:
    """Raise AevlpError where a loss of the user's own gave what cannot be learned from."""
    if not isinstance(value, Tensor) or value.ndim or not value.requires_grad:
        found = f"a {type(value).__name__}"
        if isinstance(value, Tensor):
            found = f"shape {tuple(value.shape)}" if value.ndim else "one without a gradient"
        raise AevlpError(f"a loss must return a scalar tensor with a gradient by the logits, found {found}")


@torch.inference_mode()
def predict_logits(classifier: nn.Module, batches: Batches, mixed: AbstractContextManager) -> np.ndarray:
    """Return the logits of all batches in order, (n, C) float32, with the classifier in evaluation mode; (0, 0) of none.

    Where memory does not suffice for a batch it takes half as many images at a time, from there on.
    """
    classifier.eval()
    logits, most = [], None
    for _, inputs in batches:
        start = 0
        while start < len(inputs):
            piece = inputs[start : start + (most or len(inputs))]
            try:
                with mixed:
                    logits.append(classifier(piece).float().cpu().numpy())
                start += len(piece)
            except torch.OutOfMemoryError:
                if len(piece) == 1:
                    raise
                most = len(piece) // 2
                torch.cuda.empty_cache()
    return np.concatenate(logits) if logits else np.empty((0, 0), np.float32)
