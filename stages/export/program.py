"""A run's network -> a torch.export program, of which the other formats are made too; as a file of its own, model.pt2."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import Dim, ExportedProgram

from .agreement import Computed
from .deployable import Deployable

INPUT, OUTPUTS = "pixel_values", ("logits", "probabilities")
SQUARE = {0: "batch"}
SIZES = {0: "batch", 1: "height", 2: "width"}
LARGEST = 1 << 15  # pixels a side of the images that a model resizes for itself


def program(subject: Deployable) -> ExportedProgram:
    """Return the program of a network, for any batch, and any size of images where it resizes them for itself."""
    fed = subject.about.input
    dims: dict[int, Any] = {0: Dim("batch", min=1)}
    if fed.preprocessing:
        example = torch.zeros(2, fed.size + 3, fed.size + 5, 3, dtype=torch.uint8)
        dims |= {place: Dim(SIZES[place], min=1, max=LARGEST) for place in (1, 2)}
    else:
        example = torch.zeros(2, 3, fed.size, fed.size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of how torch traces
        return torch.export.export(subject.net, (example,), dynamic_shapes={INPUT: dims})


def write(subject: Deployable, path: Path) -> None:
    """Write a run's network as a torch.export program, with what it says of itself as extra files."""
    content = io.BytesIO()  # torch wants a name that ends in .pt2, which an unfinished file has not
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of how it stores tensors that share memory
        torch.export.save(program(subject), content, extra_files=dict(subject.about.to_metadata()))
    path.write_bytes(content.getvalue())


def load(path: Path) -> Computed:
    """Return what computes the outputs of a program."""
    network = torch.export.load(io.BytesIO(path.read_bytes())).module()

    def computed(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            logits, probabilities = network(torch.from_numpy(inputs))
        return logits.numpy(), probabilities.numpy()

    return computed
