"""A timm name -> the backbone that timm makes of it, at a size; what can be known of it before it is loaded."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from ..clip.encoder import IMAGENET_STATISTICS, quiet
from ..clip.image_size import resize_trunk
from ..errors import AevlpError, in_one_line, unknown_name
from ..files.absent_files import Absent, absent_from_hub
from . import timm_weights

PRETRAINED, RANDOM = "pretrained", "random"


class Backbone(NamedTuple):
    """A model that maps pixels (B, 3, S, S) to features, and the pixel statistics it was trained with, of values in [0, 1]."""

    model: Any
    mean: tuple[float, ...]
    std: tuple[float, ...]


def input_size(name: str, of_recipe: int) -> int:
    """Return the pixels a side that a timm backbone is fed with where none are asked for: the recipe's, or its own fixed ones."""
    import timm

    check_name(name)
    config = timm.models.get_pretrained_cfg(name)
    return config.input_size[1] if config is not None and config.fixed_input_size else of_recipe


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


def check_name(name: str) -> None:
    """Raise AevlpError where timm has no backbone of that name."""
    import timm

    if not timm.is_model(name):
        raise unknown_name("backbone", name, ["linear", "clip", *timm.list_models()])


def create(name: str, size: int, weights: str) -> Backbone:
    """Return a timm backbone in training mode that takes images of size x size pixels.

    weights: "pretrained" (timm's for that name), "random", or a weights file. Raises AevlpError for an unknown name, a file of
    another model, weights that cannot be fetched, and a size that the backbone does not take.
    """
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
    _fit(backbone, name, size)
    config = resolve_model_data_config(backbone)
    mean, std = (config["mean"], config["std"]) if config["mean"] else IMAGENET_STATISTICS
    return Backbone(backbone, tuple(mean), tuple(std))


def check_size(name: str, size: int) -> None:
    """Raise AevlpError where a timm backbone does not take images of size x size pixels; no weights are loaded for that."""
    import timm

    check_name(name)
    with torch.device("meta"), quiet():  # shapes alone, no memory
        backbone = timm.create_model(name, num_classes=0)
        _fit(backbone, name, size)
        width_of(backbone, name, size)


def width_of(backbone: Any, name: str, size: int) -> int:
    """Return D of the features (B, D) that a backbone gives of images of a size; timm's `num_features` is not it for all."""
    backbone.eval()  # one image has no batch statistics
    try:
        with torch.inference_mode():
            features = backbone(torch.zeros(1, 3, size, size))
    except Exception as error:  # each backbone has its own way to refuse a size
        raise _refused(backbone, name, size, in_one_line(error, 160) or type(error).__name__) from error
    finally:
        backbone.train()
    if features.ndim != 2:
        raise AevlpError(
            f"{name} gives features of shape {tuple(features.shape)} for one image, expected one vector: choose another backbone"
        )
    return features.shape[1]


def _fit(backbone: Any, name: str, size: int) -> None:
    """Have a backbone of a fixed input size take images of size x size pixels instead."""
    config = backbone.pretrained_cfg
    if not config.get("fixed_input_size") or size == config["input_size"][1]:
        return
    try:
        resize_trunk(backbone, size)
    except AevlpError as error:
        raise _refused(backbone, name, size, str(error)) from error


def _refused(backbone: Any, name: str, size: int, reason: str) -> AevlpError:
    made_for = backbone.pretrained_cfg["input_size"][1]
    return AevlpError(
        f"{name} cannot take images of {size} x {size} pixels ({reason}): pass another --image-size, or write another "
        f"`image_size` under `recipe` in the manifest, such as the {made_for} it was made for, or choose another backbone"
    )


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
