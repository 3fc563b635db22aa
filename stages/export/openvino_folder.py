"""A run -> a folder with model.xml and model.bin, as OpenVINO reads them."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.runtime.unreported import import_openvino
from ..prediction.exported import About
from . import onnx_file
from .agreement import Computed
from .deployable import Deployable
from .program import INPUT, OUTPUTS

openvino = import_openvino()
XML = "model.xml"
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}


def write(subject: Deployable, path: Path) -> None:
    """Write a run's network for OpenVINO, in single precision."""
    save(converted(subject), subject.about, path)


def converted(subject: Deployable) -> Any:
    """Return a run's network as an OpenVINO model."""
    with tempfile.TemporaryDirectory() as folder:
        between = Path(folder) / "model.onnx"
        onnx_file.write(subject, between)
        return openvino.Core().read_model(between)


def save(model: Any, about: About, path: Path) -> None:
    """Write an OpenVINO model as a folder, with what it says of itself in its rt_info."""
    for key, text in about.to_metadata().items():
        model.set_rt_info(text, key.split("."))
    path.mkdir(exist_ok=True)
    openvino.save_model(model, path / XML, compress_to_fp16=False)


def load(path: Path) -> Computed:
    """Return what computes the outputs of an OpenVINO folder on the CPU."""
    compiled = openvino.Core().compile_model(path / XML, "CPU", EXACT)

    def computed(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = compiled({INPUT: inputs})
        logits, probabilities = (np.array(found[name]) for name in OUTPUTS)
        return logits, probabilities

    return computed
