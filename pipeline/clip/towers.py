"""The image tower of a CLIP -> what runs it: torch as it is, torch compiled, or OpenVINO; all give the same features."""

import threading
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from importlib.metadata import version
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from ..errors import AevlpError, unknown_name
from ..runtime.compiler import require_compiler
from ..runtime.interruption import Interruption
from ..runtime.unreported import import_openvino

TORCH, COMPILE, OPENVINO = "torch", "compile", "openvino"
TOWERS = (TORCH, COMPILE, OPENVINO)

Tower = Callable[[Tensor], Tensor]  # pixels (n, 3, S, S) float32 on the device -> features (n, D)


def fitting(device: torch.device, precision: str) -> str:
    """Return the tower to use where none is asked for: on a CPU OpenVINO, in single precision, where it is installed.

    Compiling did not pay on the CPUs where it was measured (docs/benchmarks.md), and is used where it is asked for.
    """
    return OPENVINO if device.type == "cpu" and precision == "fp32" and find_spec("openvino") else TORCH


def described(name: str) -> str:
    """Return what a cache's provenance says of a tower: its name, of another program's also the version."""
    return f"{name} {version(OPENVINO)}" if name == OPENVINO and find_spec(OPENVINO) else name


def check(name: str, device: torch.device, precision: str) -> None:
    """Raise AevlpError for an unknown tower, and where device, precision or this machine do not have it."""
    if name not in TOWERS:
        raise unknown_name("tower", name, TOWERS)
    if name == COMPILE and device.type == "cpu":
        require_compiler("--tower compile")
    if name == OPENVINO and (device.type != "cpu" or precision != "fp32"):
        raise AevlpError(f"--tower openvino runs on a CPU in fp32, found {device.type} in {precision}: leave it out")
    if name == OPENVINO and not find_spec(OPENVINO):
        raise AevlpError("--tower openvino needs OpenVINO: pip install 'aevlp[cpu]'")


def create(name: str, visual: nn.Module, size: int, threads: int) -> Tower:
    """Return what runs an image tower; `check` says whether it can.

    size: pixels a side. threads: how many threads call it at a time, for each of which it computes with one.
    """
    if name == COMPILE:
        return CompiledTower(visual)
    return OpenVinoTower(visual, size, threads) if name == OPENVINO else visual


class CompiledTower:
    """An image tower that torch compiles at its first call, for batches of that size; smaller ones are filled up."""

    def __init__(self, visual: nn.Module) -> None:
        self._model, self._batch = torch.compile(visual, dynamic=False), 0
        self._first = threading.Lock()

    def __call__(self, pixels: Tensor) -> Tensor:
        with self._first if not self._batch else nullcontext():
            n, batch = len(pixels), max(self._batch, len(pixels))
            if n < batch:
                pixels = torch.cat([pixels, pixels.new_zeros(batch - n, *pixels.shape[1:])])
            try:
                features = self._model(pixels)[:n]
            except torch.OutOfMemoryError:
                self._batch = 0  # smaller ones come, and must not be filled up to this size
                raise
            self._batch = batch
            return features


class OpenVinoTower:
    """An image tower in OpenVINO, single precision. Bits depend neither on the number of threads nor on the batch."""

    def __init__(self, visual: nn.Module, size: int, threads: int) -> None:
        with Interruption():  # which its converter takes for a fault of the model, or dies of
            openvino = import_openvino()
            example = torch.zeros(2, 3, size, size)
            with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
                warnings.simplefilter("ignore")  # of torch's own tracing, which OpenVINO uses
                model = openvino.convert_model(visual, example_input=example)
            settings = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": threads, "INFERENCE_NUM_THREADS": threads}
            self._model = openvino.Core().compile_model(model, "CPU", settings)
        self._of_thread = threading.local()

    def __call__(self, pixels: Tensor) -> Tensor:
        if not hasattr(self._of_thread, "request"):
            self._of_thread.request = self._model.create_infer_request()
        [features] = self._of_thread.request.infer([pixels.numpy()]).values()
        return torch.from_numpy(features.copy())
