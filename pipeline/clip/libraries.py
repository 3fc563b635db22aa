"""A named CLIP -> its encoder, by the library that has it. A new library is a file here and a line in `LIBRARIES`."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from .as_trained import AsTrained
from .own_logits import Logits
from .source import ClipSource

# What stands before the colon of a model's name -> module with `load(source, device, precision, seed) -> Encoder`, imported when
# it is needed. Any other name is one of open_clip's.
LIBRARIES: dict[str, str] = {}


class Encoder(Protocol):
    """A CLIP in evaluation mode on one device; `ClipEncoder`, open_clip's, says more of each."""

    name: str
    device: torch.device
    precision: str
    config: dict[str, Any]
    trained: AsTrained
    mean: Sequence[float]
    std: Sequence[float]
    activation: str
    logits: Logits
    weights_sha256: str
    image_size: int
    model: Any

    def encode_classes(self, sentences: Sequence[Sequence[str]]) -> np.ndarray: ...
    def encode_views(self, views: Tensor, mirrored: bool, mean: Sequence[float], std: Sequence[float]) -> Tensor: ...
    def use_tower(self, name: str, threads: int = 1) -> None: ...


def load_encoder(source: ClipSource, device: torch.device, precision: str = "fp32", seed: int = 0) -> Encoder:
    """Return the CLIP of a source on a device; AevlpError where it cannot be loaded."""
    library = source.model.partition(":")[0]
    module = LIBRARIES.get(library, "encoder")
    return import_module(f".{module}", __package__).load(source, device, precision, seed)
