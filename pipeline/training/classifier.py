"""A backbone's name -> the classifier: backbone and head."""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..clip.image_size import resize as resize_tower
from ..clip.image_tower import without_tokens
from ..clip.libraries import Encoder, image_tower
from ..errors import AevlpError
from ..images.resizing import EXACT
from . import heads, timm_backbones
from .timm_backbones import RANDOM


@dataclass(frozen=True)
class Architecture:
    """All that is needed to build a classifier again and to feed it.

    backbone: "linear" (the scoring model's embeddings), "clip" (its image tower) or a timm name. width: D of the features.
    size, mean, std, upright: how an image becomes its input. clip_config, quick_gelu: open_clip's model, for "clip".
    head: one of `heads.NAMES`. resize: as for `resizing.resized_image`; runs from before there was a choice have none: "exact".
    """

    backbone: str
    width: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    upright: bool
    clip_config: dict[str, Any] | None = None
    quick_gelu: bool = False
    head: str = "linear"
    resize: str = EXACT

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Architecture":
        return cls(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})


class Outputs(NamedTuple):
    """A batch's logits (B, C), features (B, D) of the backbone, what a latent head has, and the same of other views, if read."""

    logits: Tensor
    features: Tensor
    latent: tuple[Tensor, Tensor] | None = None
    mirrored: "Outputs | None" = None
    strong: "Outputs | None" = None


class Classifier(nn.Module):
    """Inputs -> features (B, D) -> logits (B, C); weights of convolutions lie in memory as they are fastest, channels last."""

    def __init__(self, backbone: nn.Module, width: int, num_classes: int, head: str = "linear") -> None:
        super().__init__()
        self.backbone, self.head = backbone, heads.create(head, width, num_classes)
        if _convolves_maps(backbone):
            self.to(memory_format=torch.channels_last)

    def forward(self, inputs: Tensor, all_outputs: bool = False) -> Any:
        """Return logits (B, C), or all `Outputs`."""
        outputs = self.outputs(inputs)
        return outputs if all_outputs else outputs.logits

    def outputs(self, inputs: Tensor) -> Outputs:
        """Return everything that a loss may read of a batch."""
        if isinstance(self.head, heads.BoostedHead):
            maps = heads.feature_map(self.backbone, inputs)
            return Outputs(self.head(maps), maps.mean(dim=(2, 3)))
        features = self.backbone(inputs)
        if isinstance(self.head, heads.LatentHead):
            latent = self.head.latent(features)
            return Outputs(self.head.read(*latent), features, latent)
        return Outputs(self.head(features), features)

    def parameter_groups(self, lr: float, head_lr_factor: float) -> list[dict[str, Any]]:
        """Return the optimiser's groups: the backbone at `lr`, the head `head_lr_factor` times faster."""
        groups = [
            {"params": list(self.backbone.parameters()), "lr": lr},
            {"params": list(self.head.parameters()), "lr": lr * head_lr_factor},
        ]
        return [group for group in groups if group["params"]]

    def freeze_backbone(self, frozen: bool) -> None:
        """Let the backbone learn, or not."""
        self.backbone.requires_grad_(not frozen)


class UnitVariance(nn.Module):
    """Unit vectors of width D, scaled so that their entries have a variance near 1, which a learning rate expects."""

    def forward(self, embedding: Tensor) -> Tensor:
        return embedding * embedding.shape[1] ** 0.5


def build(architecture: Architecture, num_classes: int) -> Classifier:
    """Return the classifier with weights from torch's global generator: to be trained, or filled from a run."""
    if architecture.backbone == "linear":
        backbone: nn.Module = UnitVariance()
    elif architecture.backbone == "clip":
        assert architecture.clip_config is not None
        backbone = image_tower(architecture.clip_config, architecture.quick_gelu, architecture.size)
    else:
        backbone = timm_backbones.create(architecture.backbone, architecture.size, RANDOM).model
    return Classifier(backbone, architecture.width, num_classes, architecture.head)


def create_linear(
    encoder_width: int,
    num_classes: int,
    size: int,
    mean: Any,
    std: Any,
    upright: bool,
    head: str = "linear",
    resize: str = EXACT,
):
    """Return architecture and classifier for cached embeddings of width D; the rest is for embedding new images."""
    check_map(head, "linear")
    architecture = Architecture(
        "linear", encoder_width, size, tuple(mean), tuple(std), upright, head=head, resize=resize
    )
    return architecture, build(architecture, num_classes)


def create_clip(
    encoder: Encoder,
    width: int,
    num_classes: int,
    size: int,
    mean: Any,
    std: Any,
    upright: bool,
    head: str = "linear",
    resize: str = EXACT,
):
    """Return architecture and classifier whose backbone is the scoring model's trained image tower, at a size of images.

    Raises AevlpError for a size that the tower does not take.
    """
    check_map(head, "clip")
    visual = resize_tower(without_tokens(encoder.model.visual), size)
    architecture = Architecture(
        "clip",
        width,
        size,
        tuple(mean),
        tuple(std),
        upright,
        clip_config=encoder.config,
        quick_gelu=encoder.activation == "quick_gelu",
        head=head,
        resize=resize,
    )
    classifier = Classifier(visual, width, num_classes, head)
    classifier.freeze_backbone(False)
    return architecture, classifier


def create_timm(
    name: str,
    weights: str,
    num_classes: int,
    size: int,
    upright: bool,
    head: str = "linear",
    resize: str = EXACT,
):
    """Return architecture and classifier for a timm backbone.

    weights, and what is raised: as for `timm_backbones.create`; AevlpError also for a head that does not fit.
    """
    backbone, mean, std = timm_backbones.create(name, size, weights)
    width = timm_backbones.width_of(backbone, name, size)
    architecture = Architecture(name, width, size, mean, std, upright, head=head, resize=resize)
    classifier = Classifier(backbone, width, num_classes, head)
    if head == "boostlu":
        with torch.inference_mode():
            classifier.eval()(torch.zeros(1, 3, size, size))
    return architecture, classifier


def _convolves_maps(backbone: nn.Module) -> bool:
    """Return whether a backbone's convolutions overlap: those of a transformer's first layer only cut an image in patches."""
    convolutions = [module for module in backbone.modules() if isinstance(module, nn.Conv2d)]
    return any(c.kernel_size[0] > c.stride[0] for c in convolutions)


def check_map(head: str, backbone: str) -> None:
    """Raise AevlpError where a head reads a feature map, of a backbone that is one of CLIP's."""
    if head == "boostlu":
        raise AevlpError(
            f"--head boostlu needs a backbone with a feature map before pooling, such as resnet50, and {backbone} has none"
        )
