"""An exported .onnx file, as a model that labels images: onnxruntime and Pillow, without torch."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...pipeline.errors import AevlpError, in_one_line
from ...pipeline.files.stamps import content_sha256
from ...pipeline.runtime.ranks import Rank
from .exported import About
from .model import Running, Scored
from .reading import BATCH, as_input, read_batches

LOGITS = "logits"
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


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
        self._session = _session(place, running)
        about = About.from_metadata(self._session.get_modelmeta().custom_metadata_map, str(place))
        self.classes, self.decision, self.input = about.classes, about.decision, about.input
        self._check_outputs()
        self._name = self._session.get_inputs()[0].name
        self.sha256 = content_sha256(place)
        self._readers = ThreadPoolExecutor(max(1, running.workers), thread_name_prefix="read")

    @property
    def upright(self) -> bool:
        """Whether an image is turned by its EXIF orientation first."""
        return self.input.upright

    def scored(self, images: np.ndarray, rows: np.ndarray | None = None) -> Iterator[Scored]:
        """Yield what `Model.scored` says; while one batch is computed the next is read."""
        for read in read_batches(images, self.input, self._readers, self.running.max_pixels, rows):
            logits = np.empty((0, len(self.classes)), np.float32)
            if len(read.rows):
                logits = self._logits(read.inputs)
            yield Scored(read.rows, logits, read.unreadable)

    def logits_of(self, pixels: list[np.ndarray]) -> np.ndarray:
        """Return what `Model.logits_of` says."""
        fed = [as_input(Image.fromarray(one), self.input) for one in pixels]
        found = [self._logits(np.stack(fed[start:][:BATCH])) for start in range(0, len(fed), BATCH)]
        return np.concatenate(found) if found else np.empty((0, len(self.classes)), np.float32)

    def _logits(self, inputs: np.ndarray) -> np.ndarray:
        return self._session.run([LOGITS], {self._name: inputs})[0]

    def close(self) -> None:
        """End the threads that read images."""
        self._readers.shutdown(cancel_futures=True)

    def _check_outputs(self) -> None:
        outputs = {output.name: output.shape for output in self._session.get_outputs()}
        if LOGITS not in outputs or outputs[LOGITS][1:] != [len(self.classes)]:
            found = outputs.get(LOGITS, sorted(outputs))
            raise AevlpError(
                f"{self.place} names {len(self.classes)} classes, and its outputs are others ({found}): it was exported for "
                f"other classes or changed since, export the run anew"
            )


def _session(place: Path, running: Running) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise AevlpError(f"{place} needs onnxruntime: pip install 'aevlp[export]'") from error
    onnxruntime.set_default_logger_severity(3)  # errors; it warns of machines without a GPU
    providers = _providers(onnxruntime.get_available_providers(), running.device, running.rank)
    try:
        session = onnxruntime.InferenceSession(place, providers=providers)
    except Exception as error:  # its own classes derive from Exception alone
        raise AevlpError(f"{place} cannot be loaded by onnxruntime: {in_one_line(error, 160)}") from error
    if len(providers) > 1 and CUDA not in session.get_providers():  # it falls back to the CPU, with a warning at most
        raise AevlpError(
            f"onnxruntime has a GPU for {place} and cannot use it, its CUDA libraries or the driver may not fit: mend that, or "
            f"use --device cpu"
        )
    return session


def _providers(there: list[str], device: str | None, rank: Rank) -> list[Any]:
    """Return what is to compute, of what onnxruntime has; AevlpError for a device that is not there."""
    kind, _, number = (device or "").partition(":")
    if kind not in ("", "cpu", "cuda") or (number and not number.isdecimal()):
        raise AevlpError(f"--device: unknown device {device!r}: expected cpu, cuda or cuda:N")
    if kind == "cpu" or (kind == "" and CUDA not in there):
        return [CPU]
    if CUDA not in there:
        raise AevlpError(
            f"--device {device} is not there: this onnxruntime computes on the CPU alone; use --device cpu"
        )
    return [(CUDA, {"device_id": int(number or rank.local)}), CPU]
