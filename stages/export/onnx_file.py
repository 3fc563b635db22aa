"""A run -> an .onnx file: weights inside, inputs and outputs with names, what it says of itself in its metadata."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from ...pipeline.runtime.provenance import versions
from .agreement import Computed
from .deployable import Deployable
from .program import INPUT, OUTPUTS, SIZES, SQUARE, program


def write(subject: Deployable, path: Path) -> None:
    """Write a run's network as ONNX, of the newest opset that torch's exporter makes."""
    made = torch.onnx.export(
        program(subject), dynamo=True, optimize=True, verbose=False, input_names=[INPUT], output_names=list(OUTPUTS)
    )
    assert made is not None
    model = made.model_proto
    _name_dimensions(model.graph, SIZES if subject.about.input.preprocessing else SQUARE)
    model.producer_name, model.producer_version = "aevlp", versions()["aevlp"]
    onnx.helper.set_model_props(model, subject.about.to_metadata())
    onnx.save(model, path)


def load(path: Path) -> Computed:
    """Return what computes the outputs of an .onnx file on the CPU."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def computed(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits, probabilities = (np.asarray(found) for found in session.run(list(OUTPUTS), {INPUT: inputs}))
        return logits, probabilities

    return computed


def _name_dimensions(graph: onnx.GraphProto, names: dict[int, str]) -> None:
    """Name the dimensions that may vary; names: by place, of the input. The outputs have the first alone."""
    for value, named in ((graph.input[0], names), *((output, {0: names[0]}) for output in graph.output)):
        for place, name in named.items():
            value.type.tensor_type.shape.dim[place].dim_param = name
    del graph.value_info[:]  # shapes of what is between, in the exporter's own symbols; whoever loads it infers them
