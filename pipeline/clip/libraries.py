"""A named CLIP -> its encoder, by the library that has it. A new library is a file here and a line in `LIBRARIES`."""

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import AevlpError
from ..files.absent_files import Absent
from ..quiet import first_line
from .as_trained import AsTrained
from .own_logits import Logits
from .source import ClipSource

# What stands before the colon of a model's name -> module with `load(source, device, precision, seed) -> Encoder`, imported when
# it is needed. Any other name is one of open_clip's. For training and `aevlp check` it also has what `encoder`, open_clip's, has:
# `image_tower`, `config_of` and `absent_weights`; its configurations name it under "library".
LIBRARIES: dict[str, str] = {"transformers": "transformers_encoder"}


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
    return _module(source.model).load(source, device, precision, seed)


def absent_weights(source: ClipSource) -> Absent | None:
    """Return the file that a scoring model needs and that is not on this machine, None where nothing is missing.

    Raises AevlpError for a model, tag or file that does not exist at all, and for one that stage one would refuse.
    """
    return _module(source.model).absent_weights(source)


def config_of(model: str) -> dict[str, Any]:
    """Return the configuration of a named model, as its encoder has it; AevlpError where it cannot be found."""
    return _module(model).config_of(model)


def image_tower(config: dict[str, Any], quick_gelu: bool, size: int | None = None) -> nn.Module:
    """Return the untrained image tower of a model configuration; called with pixels it gives (B, D).

    size: pixels a side of the images that it takes, None for the configuration's. Raises AevlpError as `image_size.resize` does.
    """
    return _module(f"{config.get('library')}:").image_tower(config, quick_gelu, size)


def check_image_size(config: dict[str, Any], size: int) -> None:
    """Raise AevlpError where the image tower of a model configuration does not take images of size x size pixels."""
    try:
        with torch.device("meta"), torch.no_grad():  # shapes alone, no memory
            image_tower(config, False, size).eval()(torch.zeros(1, 3, size, size))
    except Exception as error:  # each tower has its own way to refuse a size
        reason = str(error) if isinstance(error, AevlpError) else first_line(error)
        raise AevlpError(f"the CLIP's image tower cannot take images of {size} x {size} pixels: {reason}") from error


def _module(model: str) -> ModuleType:
    return import_module(f".{LIBRARIES.get(model.partition(':')[0], 'encoder')}", __package__)
