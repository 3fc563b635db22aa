"""Image paths -> batches of views as bytes, decoded by worker processes; an image that cannot be read is a row with a reason."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .errors import ImageError
from .images import read_image
from .views import view_boxes, view_bytes


@dataclass(frozen=True)
class ViewBatch:
    """Some images. rows: their numbers. status, reason: a string each. views: (k, V, 3, S, S) uint8 of the k readable ones."""

    rows: list[int]
    status: list[str]
    reason: list[str]
    views: Tensor


Item = tuple[int, str, str, Tensor | None]


class ViewDataset(Dataset):
    """Item i: i, status, reason and the views (V, 3, S, S) uint8 of image i, None where it cannot be read."""

    def __init__(self, paths: Sequence[Path], grid: int, size: int, compat: str) -> None:
        self.paths, self.grid, self.size, self.compat = list(paths), grid, size, compat

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Item:
        try:
            image = read_image(self.paths[index], upright=self.compat == "paper")
        except ImageError as error:
            return index, error.status, str(error), None
        boxes = view_boxes(*image.size, self.grid, self.compat)
        views = np.stack([view_bytes(image, box, self.size) for box in boxes])
        return index, "ok", "", torch.from_numpy(views).permute(0, 3, 1, 2).contiguous()


def load_views(dataset: ViewDataset, batches: Iterable[list[int]], workers: int) -> Iterator[ViewBatch]:
    """Yield batches of images, in the order given; `batches` is asked for row numbers a little ahead of what is yielded.

    The workers are started before it is asked for the first time, so that they hold nothing that it opens.
    """
    loader = DataLoader(dataset, batch_sampler=batches, num_workers=workers, collate_fn=_collate)  # type: ignore[arg-type]
    return iter(loader)


def _collate(items: list[Item]) -> ViewBatch:
    views = [item[3] for item in items if item[3] is not None]
    return ViewBatch(
        [item[0] for item in items],
        [item[1] for item in items],
        [item[2] for item in items],
        torch.stack(views) if views else torch.empty(0, dtype=torch.uint8),
    )
