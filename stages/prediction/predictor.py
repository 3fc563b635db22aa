"""A model that is held, and asked for the labels of images again and again."""

import os
from collections.abc import Iterator, Sequence
from numbers import Real
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image

from ...pipeline.errors import AevlpError
from ...pipeline.files.image_formats import MAX_PIXELS
from ...pipeline.images.upright import orientation_of, turned
from .model import Model, Running, Scored, open_model
from .predict import check_model
from .predictions import Predictions, labelled, names_array

Picture = str | Path | Image.Image | np.ndarray


class Predictor:
    """The model of a run or of an exported .onnx file, held in memory: call it with images to have their labels.

    classes: their names. It may be called from several threads, which take turns. It is its own context manager; after
    `close` it can be called no more.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        device: str | None = None,
        threshold: float | None = None,
        workers: int = 0,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        """model: the folder of a run, or a .onnx file. device: cpu, cuda or cuda:N; None for the GPU if there is one.

        threshold: one for every class in [0, 1], in the place of the model's own. workers: processes that decode files; 0 is
        the quickest for a few images at a time. max_pixels: width times height of the largest image that is opened.
        Raises AevlpError where there is no model, and where it or a value cannot be used.
        """
        if not isinstance(model, str | os.PathLike):
            raise AevlpError(f"expected the folder of a run or an .onnx file, found {model!r}")
        if threshold is not None and not (isinstance(threshold, Real) and 0 <= threshold <= 1):
            raise AevlpError(f"threshold: expected a number from 0 to 1, found {threshold!r}")
        place = Path(model)
        check_model(place, [])
        self._model: Model | None = open_model(place, Running(device, workers, max_pixels))
        self._threshold, self._turn = threshold, Lock()
        self.classes = list(self._model.classes)

    def __call__(self, images: Picture | Sequence[Picture]) -> Predictions:
        """Return the labels of one image or several, in order; one that cannot be read costs no other.

        images: paths, Pillow images, or arrays (H, W, 3) uint8 of RGB pixels, mixed as you like. An image that has no path is
        named by its place in the list. Raises AevlpError for anything else, and after `close`.
        """
        given = list(images) if isinstance(images, Sequence) and not isinstance(images, str) else [images]
        with self._turn:
            if self._model is None:
                raise AevlpError("this Predictor is closed: make a new one")
            names = [str(one) if isinstance(one, str | Path) else f"#{place}" for place, one in enumerate(given)]
            pixels = {
                place: _pixels(one, place, self._model.upright)
                for place, one in enumerate(given)
                if not isinstance(one, str | Path)
            }
            found = list[dict[str, Any]]()
            for some in labelled(self._model, names, _scored(self._model, names, pixels), self._threshold):
                found += some
            return Predictions(self.classes, found)

    def close(self) -> None:
        """Let the model go."""
        with self._turn:
            if self._model is not None:
                self._model.close()
            self._model = None

    def __enter__(self) -> "Predictor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _scored(model: Model, names: list[str], pixels: dict[int, np.ndarray]) -> Iterator[Scored]:
    files = [place for place in range(len(names)) if place not in pixels]
    for part in model.scored(names_array([names[place] for place in files])) if files else ():
        rows = np.array([files[row] for row in part.rows.tolist()], np.int64)
        yield Scored(rows, part.logits, {files[row]: fault for row, fault in part.unreadable.items()})
    if pixels:
        yield Scored(np.array(list(pixels), np.int64), model.logits_of(list(pixels.values())))


def _pixels(given: Any, place: int, upright: bool) -> np.ndarray:
    """Return RGB pixels (H, W, 3) uint8; AevlpError for what is no image of 8 bits."""
    if isinstance(given, Image.Image):
        if given.mode.startswith(("I", "F")):
            raise AevlpError(
                f"image {place} has the mode {given.mode}, expected 8 bits a channel: save it, and pass its path"
            )
        image = given.convert("RGB")
        return np.array(turned(image, orientation_of(given)) if upright else image)
    if not isinstance(given, np.ndarray):
        raise AevlpError(f"image {place}: expected a path, a Pillow image or an array, found {type(given).__name__}")
    if given.dtype != np.uint8 or given.ndim != 3 or given.shape[2] != 3 or 0 in given.shape:
        raise AevlpError(f"image {place}: expected an array (H, W, 3) uint8 of RGB, found {given.shape} {given.dtype}")
    return given
