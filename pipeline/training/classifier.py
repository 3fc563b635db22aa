"""A backbone's name -> the classifier: backbone and head."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..clip.encoder import IMAGENET_STATISTICS, image_tower, quiet
from ..clip.libraries import Encoder
from ..errors import AevlpError, in_one_line, unknown_name
from ..files.absent_files import Absent, absent_from_hub
from ..images.resizing import EXACT
from . import heads, timm_weights

PRETRAINED, RANDOM = "pretrained", "random"


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
        backbone = image_tower(architecture.clip_config, architecture.quick_gelu)
    else:
        backbone = _timm(architecture.backbone, architecture.size, RANDOM)[0]
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
    mean: Any,
    std: Any,
    upright: bool,
    head: str = "linear",
    resize: str = EXACT,
):
    """Return architecture and classifier whose backbone is the scoring model's trained image tower."""
    check_map(head, "clip")
    architecture = Architecture(
        "clip",
        width,
        encoder.image_size,
        tuple(mean),
        tuple(std),
        upright,
        clip_config=encoder.config,
        quick_gelu=encoder.activation == "quick_gelu",
        head=head,
        resize=resize,
    )
    classifier = Classifier(encoder.model.visual, width, num_classes, head)
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

    weights: "pretrained" (timm's for that name), "random", or a weights file. A backbone with a fixed input size keeps it.
    Raises AevlpError for an unknown name, a file of another model, weights that cannot be fetched, a size that the backbone does
    not take, and a head that does not fit.
    """
    backbone, size, mean, std = _timm(name, size, weights)
    width = _width(backbone, name, size)
    architecture = Architecture(name, width, size, mean, std, upright, head=head, resize=resize)
    classifier = Classifier(backbone, width, num_classes, head)
    if head == "boostlu":
        with torch.inference_mode():
            classifier.eval()(torch.zeros(1, 3, size, size))
    return architecture, classifier


def input_size(name: str, asked: int) -> int:
    """Return the pixels a side that a timm backbone is fed with: those asked for, unless it has a fixed input size."""
    import timm

    check_name(name)
    config = timm.models.get_pretrained_cfg(name)
    return config.input_size[1] if config is not None and config.fixed_input_size else asked


def absent_weights(name: str, weights: str) -> Absent | None:
    """Return the weights file that a backbone needs and that is not on this machine, None where nothing is missing."""
    import timm

    if name in ("linear", "clip") or weights != PRETRAINED:
        return None
    check_name(name)
    repository, files = timm_weights.of_hub(timm.models.get_pretrained_cfg(name))
    if not repository:
        raise AevlpError(f"timm has no trained weights for {name}: pass a file as --weights, or {RANDOM}")
    with torch.device("meta"):  # shapes alone, no memory
        model: Any = timm.create_model(name)
    parameters = sum(p.numel() for p in model.parameters())
    return absent_from_hub(f"weights of {name}", repository, files, parameters)


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


def check_name(name: str) -> None:
    """Raise AevlpError where timm has no backbone of that name."""
    import timm

    if not timm.is_model(name):
        raise unknown_name("backbone", name, ["linear", "clip", *timm.list_models()])


def _timm(name: str, size: int, weights: str) -> tuple[Any, int, tuple[float, ...], tuple[float, ...]]:
    import timm
    from timm.data.config import resolve_model_data_config

    check_name(name)
    told = timm_weights.told(name) if weights == PRETRAINED else {}
    try:
        with quiet():
            asked = {"pretrained": weights == PRETRAINED, "pretrained_cfg_overlay": told}
            backbone: Any = timm.create_model(name, num_classes=0, **asked)
    except Exception as error:  # whatever an unreachable address, or a foreign file, raises
        if weights != PRETRAINED:
            raise
        reason = in_one_line(error, 200)
        raise AevlpError(
            f"cannot load the trained weights of {name}: {reason}; pass a weights file as --weights FILE, or --weights {RANDOM} "
            f"to train from scratch"
        ) from error
    if weights not in (PRETRAINED, RANDOM):
        _fill(backbone, name, Path(weights))
    config = resolve_model_data_config(backbone)
    size = input_size(name, size)
    mean, std = (config["mean"], config["std"]) if config["mean"] else IMAGENET_STATISTICS
    return backbone, size, tuple(mean), tuple(std)


def _width(backbone: Any, name: str, size: int) -> int:
    """Return D of the features (B, D) that a backbone gives of images of a size; timm's `num_features` is not it for all."""
    backbone.eval()  # one image has no batch statistics
    try:
        with torch.inference_mode():
            features = backbone(torch.zeros(1, 3, size, size))
    except Exception as error:  # each backbone has its own way to refuse a size
        reason = in_one_line(error, 160) or type(error).__name__
        made_for = backbone.pretrained_cfg["input_size"][1]
        raise AevlpError(
            f"{name} cannot take images of {size} x {size} pixels ({reason}): write another `image_size` under `recipe` in the "
            f"manifest, such as the {made_for} it was made for, or choose another backbone"
        ) from error
    finally:
        backbone.train()
    if features.ndim != 2:
        raise AevlpError(
            f"{name} gives features of shape {tuple(features.shape)} for one image, expected one vector: choose another backbone"
        )
    return features.shape[1]


def _fill(backbone: nn.Module, name: str, path: Path) -> None:
    """Load a weights file; a classifier head in it is left out, anything else that does not fit is an error."""
    import timm

    if not path.is_file():
        raise AevlpError(f"no weights {str(path)!r} for {name}: expected {PRETRAINED}, {RANDOM} or a file")
    try:
        state = timm.models.load_state_dict(str(path), use_ema=False, weights_only=True)  # a pickle could run code
    except Exception as error:  # whatever a foreign file raises
        raise AevlpError(f"{path} cannot be read as weights: {in_one_line(error, 160)}") from error
    wanted = backbone.state_dict()
    missing = [key for key in wanted if key not in state and not key.endswith("num_batches_tracked")]
    other = [key for key in wanted if key in state and state[key].shape != wanted[key].shape]
    for wrong, fault in ((missing, "missing in it"), (other, "of another shape")):
        if wrong:
            raise AevlpError(
                f"{path} does not hold weights of {name}: {len(wrong)} of {len(wanted)} tensors are {fault}, first {wrong[0]}"
            )
    backbone.load_state_dict({key: state[key] for key in wanted if key in state}, strict=False)
