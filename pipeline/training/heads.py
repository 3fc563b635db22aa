"""A head's name -> what turns a backbone's features into logits."""

from typing import Any

import torch
from torch import Tensor, nn

from ..errors import AevlpError, unknown_name

BOOST = 5.0  # Kim et al. 2023
LATENT_WIDTH = 256  # Liu et al. 2023
SAMPLES = 10  # Liu et al. 2023


class BoostedHead(nn.Linear):
    """BoostLU (Kim et al., CVPR 2023): class-activation scores at each place, the positive ones times 5, then their mean.

    In the paper a class's activation map is the head's weights times the feature map; it is boosted before pooling, in training
    and afterwards. That the head's bias belongs to the map is our reading.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return logits (B, C) of feature maps (B, D, height, width)."""
        scores = super().forward(input.permute(0, 2, 3, 1))
        return torch.where(scores > 0, BOOST * scores, scores).mean(dim=(1, 2))


class LatentHead(nn.Module):
    """A Gaussian latent for each image and class, from which a linear read-out makes the logit (Liu et al., ICML 2023).

    Certain: a latent N(m, s²) an image and class, s = exp(clip(h / 2, -6, 6)); of the mean of 10 samples a linear read-out makes
    the logit. Ours: m and h come from layers after a learned vector of the class is added to the projected features; each class
    has a read-out of its own; in evaluation mode m itself is read. What the published head has there is not settled.
    """

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, LATENT_WIDTH)
        self.classes = nn.Parameter(torch.randn(num_classes, LATENT_WIDTH) / LATENT_WIDTH**0.5)
        self.mean, self.log_variance = nn.Linear(LATENT_WIDTH, LATENT_WIDTH), nn.Linear(LATENT_WIDTH, LATENT_WIDTH)
        self.weight = nn.Parameter(torch.randn(num_classes, LATENT_WIDTH) / LATENT_WIDTH**0.5)
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def latent(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and deviation of the latents, (B, C, L) each, of features (B, D)."""
        hidden = torch.relu(self.project(features)[:, None] + self.classes)
        return self.mean(hidden), (self.log_variance(hidden) / 2).clamp(-6, 6).exp()

    def read(self, mean: Tensor, deviation: Tensor) -> Tensor:
        """Return logits (B, C) of latents; in training of 10 samples of each."""
        if self.training:  # the mean of 10 standard normal numbers is one with a tenth of the variance
            mean = mean + deviation * torch.randn_like(mean) / SAMPLES**0.5
        return (mean * self.weight).sum(dim=-1) + self.bias

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (B, C) of features (B, D)."""
        return self.read(*self.latent(features))


KINDS: dict[str, Any] = {"linear": nn.Linear, "boostlu": BoostedHead, "latent": LatentHead}
NAMES = tuple(KINDS)


def create(name: str, width: int, num_classes: int) -> nn.Module:
    """Return a new head for features of width D, its weights drawn from torch's global generator; AevlpError if unknown."""
    if name not in NAMES:
        raise unknown_name("head", name, NAMES)
    return KINDS[name](width, num_classes)


def feature_map(backbone: Any, inputs: Tensor) -> Tensor:
    """Return a timm backbone's features before pooling, (B, D, height, width); AevlpError where it has no such map."""
    maps = backbone.forward_features(inputs)
    if maps.ndim == 4 and maps.shape[1] != backbone.num_features and maps.shape[3] == backbone.num_features:
        maps = maps.permute(0, 3, 1, 2)
    if maps.ndim != 4 or maps.shape[1] != backbone.num_features:
        raise AevlpError(
            f"--head boostlu needs a backbone with a feature map before pooling, such as resnet50: this one gives "
            f"{tuple(maps.shape)}"
        )
    return maps
