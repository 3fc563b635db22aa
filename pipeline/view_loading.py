"""Image paths -> batches of views as bytes, decoded by worker processes; an image that cannot be read is a row with a reason."""

import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from .errors import AevlpError, ImageError
from .images import read_image
from .views import view_boxes, view_bytes


@dataclass(frozen=True)
class ViewBatch:
    """Some images. rows: their numbers. status, reason: a string each. views: (k, V, 3, S, S) uint8 of the k readable ones."""

    rows: list[int]
    status: list[str]
    reason: list[str]
    views: Tensor


Item = tuple[int, str, str, Tensor | None] | AevlpError


class ViewDataset(Dataset):
    """Item i: i, status, reason and the views (V, 3, S, S) uint8 of image i, None where it cannot be read.

    An error that is not the image's own is given, not raised: a worker would raise another one, with a traceback as its text.
    """

    def __init__(self, paths: Sequence[Path], grid: int, size: int, compat: str) -> None:
        self.paths, self.grid, self.size, self.compat = list(paths), grid, size, compat

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Item:
        try:
            image = read_image(self.paths[index], upright=self.compat == "paper")
        except ImageError as error:
            return index, error.status, str(error), None
        except AevlpError as error:
            return error
        boxes = view_boxes(*image.size, self.grid, self.compat)
        views = np.stack([view_bytes(image, box, self.size) for box in boxes])
        return index, "ok", "", torch.from_numpy(views).permute(0, 3, 1, 2).contiguous()


def load_views(dataset: ViewDataset, batches: Iterable[list[int]], workers: int) -> Iterator[ViewBatch]:
    """Yield batches of images, in the order given; `batches` is asked for row numbers a little ahead of what is yielded.

    The workers are started before it is asked for the first time, so that they hold nothing that it opens.
    Raises AevlpError where something else than an image itself keeps it from being read.
    """
    loader = DataLoader(
        dataset,
        batch_sampler=batches,  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=_collate,
        worker_init_fn=_leave_the_end_to_the_parent,
    )
    for batch in loader:
        if isinstance(batch, AevlpError):
            raise batch
        yield batch


def _leave_the_end_to_the_parent(_: int) -> None:
    """Have a worker ignore what a terminal or a job's end sends to all processes: the parent ends it, in order.

    A thread that hands a batch over would print a traceback where the parent breaks off.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(30))  # where the parent does not end it
    sys.excepthook = lambda *_: None


def _collate(given: list[Item]) -> ViewBatch | AevlpError:
    items = []
    for item in given:
        if isinstance(item, AevlpError):
            return item
        items.append(item)
    readable = [item[3] for item in items if item[3] is not None]
    views = torch.stack(readable) if readable else torch.empty(0, dtype=torch.uint8)
    if get_worker_info() is not None:
        try:
            views.share_memory_()  # here, where an error is seen: torch's own thread would lose the batch, and all would wait
        except RuntimeError as error:
            return AevlpError(
                f"shared memory is full ({' '.join(str(error).split())[:120]}): give it more room (docker run --shm-size), or "
                f"run the same command again with fewer --workers"
            )
    return ViewBatch([item[0] for item in items], [item[1] for item in items], [item[2] for item in items], views)
