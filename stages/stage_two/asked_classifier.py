"""The backbone, head and weights that a user asks for -> an error where they are not there or do not go together."""

from pathlib import Path

from ...pipeline.errors import AevlpError, given_by, unknown_name
from ...pipeline.losses import LossEntry
from ...pipeline.manifest.formats import DatasetSpec
from ...pipeline.runtime.compiler import require_compiler
from ...pipeline.training import classifier as classifiers
from ...pipeline.training import heads, timm_backbones, timm_weights
from ...pipeline.training.timm_backbones import PRETRAINED, RANDOM
from .options import TrainOptions

OF_CLIP = ("linear", "clip")  # backbones with the weights of the scoring model


def check_classifier(
    options: TrainOptions, loss: LossEntry, backbone: str | None = None, weights_flag: str = "--weights"
) -> None:
    """Raise AevlpError for a classifier that cannot be trained as it is asked for, before anything is loaded or scored.

    backbone: that of the manifest where the options name none; None where it is not known yet, and nothing is said of it.
    """
    backbone = options.backbone or backbone
    head = options.head or loss.head
    if head not in heads.NAMES:
        with given_by("--head"):
            raise unknown_name("head", head, heads.NAMES)
    if loss.head not in ("linear", head):
        raise AevlpError(f"loss {options.loss} needs --head {loss.head}, found {head}")
    if backbone in OF_CLIP:
        classifiers.check_map(head, backbone)
        if options.weights:
            raise AevlpError(
                f"{weights_flag} goes with a timm backbone: {backbone} has the weights of the scoring model"
            )
        if backbone == "linear" and options.image_size is not None:
            raise AevlpError(
                f"--image-size {options.image_size}: the linear backbone reads the cache's embeddings, and no image; leave "
                f"it out, or choose another --backbone"
            )
    elif backbone is not None:
        with given_by("--backbone"):
            timm_backbones.check_name(backbone)
        if options.image_size is not None:
            timm_backbones.check_size(backbone, options.image_size)
    if options.weights not in (None, PRETRAINED, RANDOM) and not Path(options.weights).is_file():
        raise AevlpError(f"{weights_flag}: no weights {options.weights!r}: expected {PRETRAINED}, {RANDOM} or a file")
    for name in ("epochs", "batch_size", "lr"):
        value = getattr(options, name)
        if value is not None and not 0 < value < float("inf"):
            raise AevlpError(f"--{name.replace('_', '-')} must be above 0 and finite, found {value}")
    if options.compile:
        require_compiler("--compile")


def fetch_weights(options: TrainOptions, spec: DatasetSpec, weights_flag: str = "--weights") -> None:
    """Fetch the backbone's trained weights where they are asked for and not on this machine; AevlpError where that fails."""
    backbone = options.backbone or spec.recipe.backbone
    if backbone not in OF_CLIP and options.weights in (None, PRETRAINED):
        timm_weights.told(backbone, weights_flag)
