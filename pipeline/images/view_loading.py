"""Image paths -> batches of views as bytes, decoded by worker processes; an image that cannot be read is a row with a reason.

For a GPU the workers only decode: the decoded bytes travel there once, and are cut and resized there.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..errors import AevlpError, ImageError
from ..files.image_formats import MAX_PIXELS
from .decoders import PILLOW
from .read import read_pixels
from .resizing import EXACT, resized_views
from .schemes import scheme_of
from .worker_loading import handed_over, loader


@dataclass(frozen=True)
class ViewBatch:
    """Some images, k of them readable. rows: their numbers. status, reason: a string each.

    views: (k, V, 3, S, S) uint8; where shapes are given, the bytes of the decoded images one after another, (sum of 3 H W) uint8.
    shapes: (H, W) of each readable image, None where `views` are ready.
    """

    rows: list[int]
    status: list[str]
    reason: list[str]
    views: Tensor
    shapes: list[tuple[int, int]] | None = None

    def pin_memory(self) -> "ViewBatch":
        """Return the batch in memory that a GPU copies from; torch's loader calls it."""
        return replace(self, views=self.views.pin_memory())


Item = tuple[int, str, str, Tensor | None] | AevlpError


class ViewDataset(Dataset):
    """Item i: i, status, reason and the views (V, 3, S, S) uint8 of image i, None where it cannot be read.

    grid, compat, resize: as for `resized_views`. decoder, max_pixels: as for `read_pixels`. decoded_only: give the decoded
    image (H, W, 3) in the place of its views, which `views_on` makes.
    An error that is not the image's own is given, not raised: a worker would raise another one, with a traceback as its text.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        grid: int | str,
        size: int,
        compat: str,
        resize: str = EXACT,
        decoder: str = PILLOW,
        decoded_only: bool = False,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.paths, self.grid, self.size, self.compat = list(paths), grid, size, compat
        self.resize, self.decoder, self.decoded_only, self.max_pixels = resize, decoder, decoded_only, max_pixels

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Item:
        try:
            pixels = torch.from_numpy(
                read_pixels(self.paths[index], self.compat == "paper", self.decoder, self.max_pixels)
            )
        except ImageError as error:
            return index, error.status, str(error), None
        except AevlpError as error:
            return error
        return index, "ok", "", pixels if self.decoded_only else self._views(pixels)

    def collate(self, given: list[Item]) -> ViewBatch | AevlpError:
        """Return items as a batch, or the first error among them."""
        items = []
        for item in given:
            if isinstance(item, AevlpError):
                return item
            items.append(item)
        readable = [item[3] for item in items if item[3] is not None]
        if self.decoded_only:
            views = (
                torch.cat([pixels.flatten() for pixels in readable]) if readable else torch.empty(0, dtype=torch.uint8)
            )
            shapes = [(pixels.shape[0], pixels.shape[1]) for pixels in readable]
        else:
            views, shapes = torch.empty(len(readable), *self._shape, dtype=torch.uint8), None
            for of_image, each in zip(views, readable, strict=True):
                of_image.copy_(each)
        try:
            views = handed_over(views)
        except AevlpError as error:
            return error
        return ViewBatch(
            [item[0] for item in items], [item[1] for item in items], [item[2] for item in items], views, shapes
        )

    def views_on(self, batch: ViewBatch, device: torch.device) -> Tensor:
        """Return the views (k, V, 3, S, S) uint8 of a batch's readable images on a device, made there if they are not yet."""
        there = batch.views.to(device, non_blocking=True)
        if batch.shapes is None:
            return there
        views = there.new_empty(len(batch.shapes), *self._shape)
        parts = there.split([3 * height * width for height, width in batch.shapes])
        for of_image, part, shape in zip(views, parts, batch.shapes, strict=True):
            of_image.copy_(self._views(part.view(*shape, 3)))
        return views

    @property
    def _shape(self) -> tuple[int, int, int, int]:
        return scheme_of(self.grid, self.compat).count, 3, self.size, self.size

    def _views(self, pixels: Tensor) -> Tensor:
        return resized_views(pixels, self.grid, self.size, self.compat, self.resize)


def load_views(
    dataset: ViewDataset, batches: Iterable[list[int]], workers: int, pinned: bool = False
) -> Iterator[ViewBatch]:
    """Yield batches of images, in the order given; `batches` is asked for row numbers a little ahead of what is yielded.

    pinned: as for `loader`, which starts the workers.
    Raises AevlpError where something else than an image itself keeps it from being read.
    """
    for batch in loader(dataset, batches, dataset.collate, workers, pinned):
        if isinstance(batch, AevlpError):
            raise batch
        yield batch
