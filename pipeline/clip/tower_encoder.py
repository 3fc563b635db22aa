"""Features of an image tower and a text tower -> what scoring asks of an encoder, whatever library has the model."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from . import towers
from .towers import Tower

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class TowerEncoder(ABC):
    """The half of an encoder that all libraries share; the other half loads the model and has `encode_text`.

    visual: pixels (n, 3, S, S) -> features (n, D). image_size: S.
    """

    device: torch.device
    precision: str
    image_size: int

    def __init__(self, visual: nn.Module) -> None:
        self._visual = visual
        self.tower: Tower = visual

    @abstractmethod
    def encode_text(self, sentences: Sequence[str]) -> np.ndarray:
        """Return the text tower's features (len(sentences), D) float32, not normalised.

        Raises AevlpError where a sentence is too long for the model.
        """

    def encode_classes(self, sentences: Sequence[Sequence[str]]) -> np.ndarray:
        """Return a text feature for each class, (C, D) float32, from its sentences.

        Of one sentence it is the tower's own output, not normalised; of several it has the direction of the mean of their unit
        vectors and their mean length. Raises AevlpError where a sentence is too long for the model.
        """
        every = self.encode_text([sentence for of_class in sentences for sentence in of_class])
        lengths = np.linalg.norm(every, axis=1, keepdims=True)
        parts = np.cumsum([len(of_class) for of_class in sentences])[:-1]
        features = []
        for part, length in zip(np.split(every, parts), np.split(lengths, parts), strict=True):
            direction = (part / length).mean(axis=0)
            features.append(part[0] if len(part) == 1 else direction / np.linalg.norm(direction) * length.mean())
        return np.stack(features).astype(np.float32)

    @torch.inference_mode()
    def encode_views(self, views: Tensor, mirrored: bool, mean: Sequence[float], std: Sequence[float]) -> Tensor:
        """Return unit vectors (n, D) float32 on the device, of views (n, 3, S, S) uint8, mirrored or as they are."""
        shape = (3, 1, 1)
        pixels = views.to(self.device, non_blocking=True).to(torch.float32, memory_format=torch.contiguous_format)
        # In place: on a CPU each temporary costs more than the arithmetic.
        pixels.sub_(255 * torch.tensor(mean, device=self.device).view(shape))
        pixels.div_(255 * torch.tensor(std, device=self.device).view(shape))
        if mirrored:
            pixels = pixels.flip(-1)
        dtype = PRECISIONS[self.precision]
        with torch.autocast(self.device.type, dtype) if dtype else nullcontext():
            features = self.tower(pixels)
        return functional.normalize(features.float(), dim=-1)

    def use_tower(self, name: str, threads: int = 1) -> None:
        """Run the image tower as `towers.create` says, called by so many threads at a time."""
        self.tower = towers.create(name, self._visual, self.image_size, threads)


def weights_hash(model: Any, files: Sequence[Path]) -> str:
    """Return the SHA-256 of weights files, or of a model's parameters where there is none."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 24):
                digest.update(block)
    if not files:
        for name, value in sorted(model.state_dict().items()):
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
