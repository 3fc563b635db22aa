"""An exported .onnx file, as a model that labels images: onnxruntime and Pillow, without torch."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...pipeline.errors import AevlpError, ImageError, in_one_line
from ...pipeline.files.locations import location
from ...pipeline.files.stamps import content_sha256
from ...pipeline.images.decoders import PILLOW
from ...pipeline.images.read import Unreadable, read_pixels
from ...pipeline.images.views import view_bytes, view_pixels
from .exported import About
from .model import Running, Scored

BATCH = 32
LOGITS = "logits"


class OnnxModel:
    """A `Model`: what `aevlp export --to onnx` wrote."""

    def __init__(self, place: Path, running: Running) -> None:
        """place: a .onnx file.

        Raises AevlpError where there is none, where onnxruntime is missing or cannot load it, where it is not of aevlp or
        damaged, where its outputs are not those of the classes it names, and for a device that is not there.
        """
        if not place.is_file():
            raise AevlpError(f"no file {place}: expected a model that aevlp export RUN --to onnx wrote")
        self.place, self.running = place, running
        self._session = _session(place, running.device)
        about = About.from_metadata(self._session.get_modelmeta().custom_metadata_map, str(place))
        self.classes, self.decision, self.input = about.classes, about.decision, about.input
        self.provenance = about.provenance
        self._check_outputs()
        self._name = self._session.get_inputs()[0].name
        self.sha256 = content_sha256(place)
        self._readers = ThreadPoolExecutor(max(1, running.workers), thread_name_prefix="read")

    def scored(self, images: np.ndarray) -> Iterator[Scored]:
        """Yield what `Model.scored` says; while one batch is computed the next is read."""
        rows = iter(range(len(images)))
        starting = iter(
            lambda: [(row, self._readers.submit(self._read, images[row])) for row in islice(rows, BATCH)], []
        )
        waiting = next(starting, None)
        while waiting:
            following = next(starting, None)
            read = [(row, future.result()) for row, future in waiting]
            faults = {row: pixels for row, pixels in read if isinstance(pixels, Unreadable)}
            good = [(row, pixels) for row, pixels in read if not isinstance(pixels, Unreadable)]
            yield Scored(np.array([row for row, _ in good], np.int64), self.logits([p for _, p in good]), faults)
            waiting = following

    def logits(self, pixels: list[np.ndarray]) -> np.ndarray:
        """Return the logits (n, C) float32 of inputs as `_read` gives them."""
        if not pixels:
            return np.empty((0, len(self.classes)), np.float32)
        return self._session.run([LOGITS], {self._name: np.stack(pixels)})[0]

    def close(self) -> None:
        """End the threads that read images."""
        self._readers.shutdown(cancel_futures=True)

    def _read(self, image: str) -> np.ndarray | Unreadable:
        """Return an image as the model takes it, (3, S, S) float32 or (S, S, 3) uint8, or what is wrong with it."""
        fed = self.input
        try:
            found = Image.fromarray(read_pixels(location(image), fed.upright, PILLOW, self.running.max_pixels))
        except ImageError as error:
            return Unreadable(error.status, str(error))
        whole = (0, 0, *found.size)
        if fed.preprocessing:
            return view_bytes(found, whole, fed.size)
        return view_pixels(found, whole, fed.size, False, fed.mean, fed.std)

    def _check_outputs(self) -> None:
        outputs = {output.name: output.shape for output in self._session.get_outputs()}
        if LOGITS not in outputs or outputs[LOGITS][1:] != [len(self.classes)]:
            found = outputs.get(LOGITS, sorted(outputs))
            raise AevlpError(
                f"{self.place} names {len(self.classes)} classes, and its outputs are others ({found}): it was exported for "
                f"other classes or changed since, export the run anew"
            )


def _session(place: Path, device: str | None) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise AevlpError(f"{place} needs onnxruntime: pip install 'aevlp[export]'") from error
    onnxruntime.set_default_logger_severity(3)  # errors; it warns of machines without a GPU
    try:
        return onnxruntime.InferenceSession(place, providers=_providers(onnxruntime.get_available_providers(), device))
    except AevlpError:
        raise
    except Exception as error:  # its own classes derive from Exception alone
        raise AevlpError(f"{place} cannot be loaded by onnxruntime: {in_one_line(error, 160)}") from error


def _providers(there: list[str], device: str | None) -> list[Any]:
    """Return what is to compute, of what onnxruntime has; AevlpError for a device that is not there."""
    cpu, cuda = "CPUExecutionProvider", "CUDAExecutionProvider"
    kind, _, number = (device or "").partition(":")
    if kind not in ("", "cpu", "cuda") or (number and not number.isdecimal()):
        raise AevlpError(f"--device: unknown device {device!r}: expected cpu, cuda or cuda:N")
    if kind == "cpu" or (kind == "" and cuda not in there):
        return [cpu]
    if cuda not in there:
        raise AevlpError(
            f"--device {device} is not there: this onnxruntime computes on the CPU alone; use --device cpu"
        )
    return [(cuda, {"device_id": int(number or 0)}), cpu]
