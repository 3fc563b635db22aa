"""What decodes images for both stages: worker processes, started and ended alike, whose batches a GPU can copy from."""

import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from ..errors import AevlpError, in_one_line


def loader(
    dataset: Dataset,
    batches: Iterable[list[Any]],
    collate: Callable[[list[Any]], Any],
    workers: int,
    pinned: bool,
    lasting: bool = False,
) -> DataLoader:
    """Return what gives `collate` of each batch, in order; `batches` is asked for a little ahead, and no batch is filled up.

    pinned: whether in memory that a GPU copies from. lasting: whether the workers live on from one pass to the next.
    The workers are started before the batches are asked for, so that they hold nothing that those open.
    """
    return DataLoader(
        dataset,
        batch_sampler=batches,  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pinned,
        persistent_workers=lasting and workers > 0,
        worker_init_fn=_leave_the_end_to_the_parent,
        generator=torch.Generator(),  # a pass must not draw from the global one: dropout would differ after a resume
    )


def handed_over(batch: Tensor) -> Tensor:
    """Return a batch in memory that a worker shares with its parent; AevlpError where that is full.

    It is shared here, where an error is seen: torch's own thread would lose the batch, and all would wait.
    """
    if get_worker_info() is None:
        return batch
    try:
        return batch.share_memory_()
    except RuntimeError as error:
        raise AevlpError(
            f"shared memory is full ({in_one_line(error, 120)}): give it more room (docker run --shm-size), "
            f"or run the same command again with fewer --workers"
        ) from error


def _leave_the_end_to_the_parent(_: int) -> None:
    """Have a worker decode on for what is in flight where a signal goes to all processes, as Ctrl-C does: the parent ends it.

    A thread that hands a batch over would print a traceback where the parent breaks off.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(30))  # where the parent does not end it
    sys.excepthook = lambda *_: None
