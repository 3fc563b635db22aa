"""What labels images: the classifier of a run, or an exported model file."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from ...pipeline.evaluation.decision import Decision
from ...pipeline.files.image_formats import MAX_PIXELS
from ...pipeline.images.read import Unreadable
from ...pipeline.runtime.ranks import Rank

ONNX = ".onnx"
ALONE = Rank(0, 1, 0)


@dataclass(frozen=True)
class Scored:
    """Some images, in order. rows: (n,) int64, the numbers of those that could be read. logits: (n, C) float32, theirs.

    unreadable: the numbers of the others -> what is wrong with each.
    """

    rows: np.ndarray
    logits: np.ndarray
    unreadable: dict[int, Unreadable] = field(default_factory=dict)


@dataclass(frozen=True)
class Running:
    """How images are read and a model computes. device: as asked for, None for the best there is. workers: that decode images.

    rank: this process, among those of torchrun; of several on GPUs each has its own.
    """

    device: str | None = None
    workers: int = 2
    max_pixels: int = MAX_PIXELS
    rank: Rank = ALONE


class Model(Protocol):
    """A classifier and all that is needed to label images with it.

    place: where it was found. sha256: of the file of its weights. classes: their names, in the order of its logits.
    upright: whether an image is turned by its EXIF orientation first.
    """

    place: Path
    sha256: str
    classes: list[str]
    decision: Decision

    @property
    def upright(self) -> bool: ...

    def scored(self, images: np.ndarray, rows: np.ndarray | None = None) -> Iterator[Scored]:
        """Yield the logits of images batch by batch, each exactly once, in order; images: (N,) str of paths for `read_pixels`.

        rows: (n,) int64, which of them and in which order; None for all. What reads them goes on from call to call as long as
        the same array is given.
        """
        ...

    def logits_of(self, pixels: list[np.ndarray]) -> np.ndarray:
        """Return the logits (n, C) float32 of images that are in memory, (H, W, 3) uint8 each, already upright."""
        ...

    def close(self) -> None:
        """End its workers; it can be used no more."""
        ...


def open_model(place: Path, running: Running) -> Model:
    """Return the model in a run's folder or an exported .onnx file; torch is loaded for a run alone.

    Raises AevlpError where there is none, and where it is damaged or not of aevlp.
    """
    if place.suffix == ONNX:
        from .onnx_model import OnnxModel

        return OnnxModel(place, running)
    from .run_model import RunModel

    return RunModel(place, running)
