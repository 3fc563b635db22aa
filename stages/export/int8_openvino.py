"""An OpenVINO folder in single precision -> one with weights and activations of 8 bits, by NNCF."""

import io
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.runtime.unreported import import_nncf, import_openvino
from ..prediction.exported import About
from . import openvino_folder
from .openvino_folder import XML

openvino = import_openvino()


def write(exact: Path, path: Path, batches: Iterator[np.ndarray]) -> None:
    """Write what an OpenVINO folder computes in 8 bits. batches: of inputs to calibrate by."""
    nncf = import_nncf()
    model = openvino.Core().read_model(exact / XML)
    inputs = list(batches)
    attends = any(operation.get_type_name() == "Softmax" for operation in model.get_ops())
    with redirect_stdout(io.StringIO()):  # it draws bars there
        made = nncf.quantize(
            model,
            nncf.Dataset(inputs),
            subset_size=len(inputs),
            model_type=nncf.ModelType.TRANSFORMER if attends else None,
            ignored_scope=nncf.IgnoredScope(names=_before_the_classifier(model), validate=False),
        )
    path.mkdir()
    openvino.save_model(made, path / XML, compress_to_fp16=False)


def describe(path: Path, about: About) -> None:
    """Have an OpenVINO folder say of itself what `about` does."""
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # the file that the weights are in is written anew
    model = core.read_model(path / XML)
    openvino_folder.save(model, about, path)


def _before_the_classifier(model: Any) -> list[str]:
    """Return the names of the operations of the resize, which has to stay exact: what the first convolution reads."""
    first = next((op for op in model.get_ordered_ops() if op.get_type_name() == "Convolution"), None)
    found, open_ends = {}, [first.input_value(0).get_node()] if first else []
    while open_ends:
        operation = open_ends.pop()
        if operation.get_friendly_name() not in found:
            found[operation.get_friendly_name()] = operation
            open_ends += [operation.input_value(n).get_node() for n in range(operation.get_input_size())]
    return list(found)
