"""A run's classifier as one module that needs nothing beside it: input as asked for -> logits and calibrated probabilities."""

import torch
from torch import Tensor, nn

from ...pipeline.evaluation.decision import Calibration
from ..prediction.exported import ModelInput
from .stretching import stretched

LEVELS = 255


class Calibrated(nn.Module):
    """A `Calibration` of logits (B, C) -> probabilities (B, C) float32."""

    temperature: Tensor
    back: Tensor

    def __init__(self, calibration: Calibration) -> None:
        super().__init__()
        self.register_buffer("temperature", torch.from_numpy(calibration.temperature).float(), persistent=False)
        self.straight = [number for number in range(len(calibration.temperature)) if number not in calibration.knots]
        self.bent = sorted(calibration.knots)
        order = [*self.straight, *self.bent]
        back = torch.tensor(sorted(range(len(order)), key=order.__getitem__))
        self.register_buffer("back", back, persistent=False)
        for number, (at, values) in calibration.knots.items():
            self.register_buffer(f"at_{number}", torch.from_numpy(at).float(), persistent=False)
            self.register_buffer(f"values_{number}", torch.from_numpy(values).float(), persistent=False)

    def forward(self, logits: Tensor) -> Tensor:
        """Return the probabilities of logits."""
        found = torch.sigmoid(logits / self.temperature)
        if not self.bent:
            return found
        bent = [self._between(logits[:, number : number + 1], number) for number in self.bent]
        return torch.cat([found[:, self.straight], *bent], dim=1)[:, self.back]

    def _between(self, logits: Tensor, number: int) -> Tensor:
        """Return what lies on the lines between a class's knots, as a sum of ramps, each from nothing to a line's whole rise."""
        at, values = self.get_buffer(f"at_{number}"), self.get_buffer(f"values_{number}")
        if len(at) == 1:
            return values[:1].expand_as(logits)
        runs = at[1:] - at[:-1]
        done = ((logits - at[:-1]) / runs).clamp(0, 1)
        return values[:1] + (done * (values[1:] - values[:-1])).sum(dim=1, keepdim=True)


class Deployed(nn.Module):
    """What is exported: input (B, …), as `ModelInput` says -> logits (B, C) and probabilities (B, C), both float32."""

    mean: Tensor
    std: Tensor

    def __init__(self, classifier: nn.Module, fed: ModelInput, calibration: Calibration) -> None:
        super().__init__()
        self.classifier, self.calibrated = classifier, Calibrated(calibration)
        self.size, self.preprocessing = fed.size, fed.preprocessing
        for name, values in (("mean", fed.mean), ("std", fed.std)):
            levels = torch.tensor([LEVELS * value for value in values]).view(1, 3, 1, 1)
            self.register_buffer(name, levels, persistent=False)

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and probabilities.

        pixel_values: (B, 3, S, S) float32 normalised, or (B, H, W, 3) uint8 with preprocessing.
        """
        if self.preprocessing:
            levels = stretched(pixel_values.permute(0, 3, 1, 2).float(), self.size)
            pixel_values = (levels - self.mean) / self.std
        logits = self.classifier(pixel_values)
        return logits, self.calibrated(logits)
