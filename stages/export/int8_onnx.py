"""An .onnx file in single precision -> one with weights and activations of 8 bits, as pairs of quantising and its reverse."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from ..prediction.exported import About
from .program import INPUT

QUANTIZED = ["Conv", "Gemm", "MatMul"]  # most of the time goes there; what is between keeps its precision


def write(exact: Path, path: Path, batches: Iterator[np.ndarray]) -> None:
    """Write what an .onnx file computes in 8 bits. batches: of inputs to calibrate by.

    Weights have a scale for each channel and 7 bits: with 8 the sums of processors without VNNI overflow, and the loss that was
    measured here would not be that of another machine.
    """
    quantize_static(
        exact,
        path,
        _Batches(batches),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=QUANTIZED,
        nodes_to_exclude=_before_the_classifier(onnx.load(exact).graph),
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def describe(path: Path, about: About) -> None:
    """Have an .onnx file say of itself what `about` does."""
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, about.to_metadata())
    onnx.save(model, path)


class _Batches(CalibrationDataReader):
    def __init__(self, batches: Iterator[np.ndarray]) -> None:
        self._batches = batches

    def get_next(self) -> Any:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def _before_the_classifier(graph: onnx.GraphProto) -> list[str]:
    """Return the names of the nodes that the resize is made of, which has to stay exact: what the first convolution reads."""
    first = next((node for node in graph.node if node.op_type == "Conv"), None)
    maker = {output: node for node in graph.node for output in node.output}
    found, open_ends = [], [first.input[0]] if first else []
    while open_ends:
        node = maker.pop(open_ends.pop(), None)
        if node is not None:
            found.append(node.name)
            open_ends += node.input
    return found
