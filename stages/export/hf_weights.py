"""A run's classifier -> the timm model that computes the same, by its name, its arguments and its weights."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from ...pipeline.errors import AevlpError
from ...pipeline.training.classifier import Architecture, Classifier
from ..prediction.run_model import OfPixels

CLIP = {"QuickGELU": "vit_base_patch16_clip_quickgelu_224", "GELU": "vit_base_patch16_clip_224"}


@dataclass(frozen=True)
class TimmModel:
    """A model of timm: `timm.create_model(name, num_classes=outputs, **arguments)` with these weights.

    classifier: the name of its last layer. features: the width of what that reads. head: the linear layer over the unit vectors
    of its outputs, which no class of timm has; None where its outputs are the logits.
    """

    name: str
    arguments: dict[str, Any]
    outputs: int
    features: int
    classifier: str
    weights: dict[str, Tensor]
    head: dict[str, Tensor] | None = None


def timm_model(classifier: nn.Module, architecture: Architecture) -> TimmModel:
    """Return the timm model of a classifier of pixels; AevlpError, naming formats that hold it, where there is none."""
    if architecture.head != "linear":
        raise _refused(f"the head {architecture.head}")
    if isinstance(classifier, OfPixels):
        return _over_unit_vectors(classifier.tower, classifier.classifier, architecture.size)
    assert isinstance(classifier, Classifier)
    if architecture.backbone == "clip":
        return _fine_tuned(classifier.backbone, classifier.head, architecture.size)
    return _of_timm(classifier, architecture)


def _over_unit_vectors(tower: nn.Module, classifier: Any, size: int) -> TimmModel:
    arguments, weights, projection = _vision_transformer(tower, size)
    width, outputs = projection.shape
    weights |= {"head.weight": projection.T, "head.bias": torch.zeros(outputs)}
    name = _clip_name(tower)
    return TimmModel(name, arguments, outputs, width, "head", weights, dict(classifier.head.state_dict()))


def _fine_tuned(tower: nn.Module, head: Any, size: int) -> TimmModel:
    """The tower's projection and the head are two linear layers in a row: one."""
    arguments, weights, projection = _vision_transformer(tower, size)
    folded = (head.weight.double() @ projection.double().T).float()
    weights |= {"head.weight": folded, "head.bias": head.bias}
    return TimmModel(_clip_name(tower), arguments, len(folded), len(projection), "head", weights)


def _clip_name(tower: Any) -> str:
    return CLIP[type(tower.transformer.resblocks[0].mlp.gelu).__name__]


def _vision_transformer(tower: Any, size: int) -> tuple[dict[str, Any], dict[str, Tensor], Tensor]:
    """Return the arguments and the weights, without a head, of a vision transformer of CLIP's, and its projection (D, E).

    Raises AevlpError for another tower.
    """
    import timm
    from open_clip.transformer import VisionTransformer
    from timm.models.vision_transformer import checkpoint_filter_fn

    kind: Any = type(tower)
    usual = kind is VisionTransformer and tower.pool_type == "tok" and tower.attn_pool is None
    if not usual or type(tower.transformer.resblocks[0].mlp.gelu).__name__ not in CLIP:
        raise _refused(f"an image tower of the class {type(tower).__name__}")
    block: Any = tower.transformer.resblocks[0]
    width = tower.class_embedding.shape[0]
    arguments = {
        "img_size": size,
        "patch_size": tower.conv1.kernel_size[0],
        "embed_dim": width,
        "depth": len(tower.transformer.resblocks),
        "num_heads": block.attn.num_heads,
        "mlp_ratio": block.mlp.c_fc.out_features / width,
    }
    # The last block is wrapped where only its first token is read (`pipeline.clip.image_tower.LastBlock`).
    state = {f"visual.{name.replace('.block.', '.')}": value for name, value in tower.state_dict().items()}
    with torch.device("meta"):
        shell: Any = timm.create_model(_clip_name(tower), num_classes=0, **arguments)
    projection = state.pop("visual.proj")
    return arguments, checkpoint_filter_fn(state, shell), projection


def _of_timm(classifier: Classifier, architecture: Architecture) -> TimmModel:
    """Return a backbone of timm with its own head in the place of the classifier's."""
    backbone: Any = classifier.backbone
    config, head = backbone.pretrained_cfg, cast(nn.Linear, classifier.head)
    if not isinstance(config["classifier"], str):
        raise _refused(f"{architecture.backbone} with its several heads")
    arguments = {"img_size": architecture.size} if config["fixed_input_size"] else {}
    own = {f"{config['classifier']}.{name}": value for name, value in head.state_dict().items()}
    weights = {**backbone.state_dict(), **own}
    name = architecture.backbone.partition(".")[0]
    return TimmModel(name, arguments, head.out_features, head.in_features, config["classifier"], weights)


def _refused(what: str) -> AevlpError:
    return AevlpError(f"--to hf: no class of timm or transformers holds {what}: pass --to onnx, torch or openvino")
