"""Image files -> the inputs of an exported model, batch by batch, read by threads and without torch."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import islice

import numpy as np
from PIL import Image

from ...pipeline.errors import ImageError
from ...pipeline.files.image_formats import MAX_PIXELS
from ...pipeline.files.locations import location
from ...pipeline.images.decoders import fastest
from ...pipeline.images.read import Unreadable, read_pixels
from ...pipeline.images.views import view_bytes, view_pixels
from .exported import ModelInput

BATCH = 32


@dataclass(frozen=True)
class Read:
    """A batch of images. rows: (n,) int64, the numbers of those that could be read. inputs: (n, …), as a model takes them.

    unreadable: the numbers of the others -> what is wrong with each.
    """

    rows: np.ndarray
    inputs: np.ndarray
    unreadable: dict[int, Unreadable]


def read_batches(
    images: Sequence[str] | np.ndarray,
    fed: ModelInput,
    readers: Executor,
    max_pixels: int = MAX_PIXELS,
    rows: np.ndarray | None = None,
) -> Iterator[Read]:
    """Yield images, each once, in order; while one batch is used the next is read.

    images: paths or addresses, as for `read_pixels`. rows: (n,) int64, which of them; None for all. What cannot be told of an
    image, because the machine or a store does not answer, is raised as AevlpError.
    """
    wanted = iter(range(len(images)) if rows is None else rows.tolist())

    def started() -> list:
        return [(row, readers.submit(_read, str(images[row]), fed, max_pixels)) for row in islice(wanted, BATCH)]

    waiting = started()
    while waiting:
        following = started()
        done = [(row, future.result()) for row, future in waiting]
        good = [(row, pixels) for row, pixels in done if not isinstance(pixels, Unreadable)]
        yield Read(
            np.array([row for row, _ in good], np.int64),
            np.stack([pixels for _, pixels in good]) if good else _none(fed),
            {row: pixels for row, pixels in done if isinstance(pixels, Unreadable)},
        )
        waiting = following


def _none(fed: ModelInput) -> np.ndarray:
    size = fed.size
    return np.empty((0, size, size, 3), np.uint8) if fed.preprocessing else np.empty((0, 3, size, size), np.float32)


def _read(image: str, fed: ModelInput, max_pixels: int) -> np.ndarray | Unreadable:
    """Return an image as a model takes it, (3, S, S) float32 or (S, S, 3) uint8, or what is wrong with it."""
    try:
        found = Image.fromarray(read_pixels(location(image), fed.upright, fastest(), max_pixels))
    except ImageError as error:
        return Unreadable(error.status, str(error))
    return as_input(found, fed)


def as_input(found: Image.Image, fed: ModelInput) -> np.ndarray:
    """Return an RGB image as a model takes it, (3, S, S) float32 or (S, S, 3) uint8."""
    whole = (0, 0, *found.size)
    if fed.preprocessing:
        return view_bytes(found, whole, fed.size)
    return view_pixels(found, whole, fed.size, False, fed.mean, fed.std)
