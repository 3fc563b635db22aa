"""Options and the manifest -> the CLIP that scores; what a cache records of it, and what is said of how it is fed."""

from typing import TYPE_CHECKING, Any

from ...pipeline.clip.as_trained import ASSUMED, all_tags
from ...pipeline.clip.encoder import IMAGENET_STATISTICS
from ...pipeline.clip.libraries import Encoder
from ...pipeline.clip.source import ClipSource, named_model
from ...pipeline.errors import AevlpError, given_by
from ...pipeline.manifest.clip_names import RANDOM, may_bring_weights
from ...pipeline.manifest.pixel_statistics import checked, written
from ...pipeline.manifest.sections import Clip
from ..console import say

if TYPE_CHECKING:
    from .options import PseudolabelOptions

PUBLISHED = "--compat published"
MODES = {"squash": "stretched", "shortest": "shortest side, then cropped", "longest": "longest side, then padded"}


def asked_for(options: "PseudolabelOptions", manifest: Clip) -> ClipSource:
    """Return the CLIP that is asked for; of the manifest's nothing holds for another model or other weights.

    Raises AevlpError where weights, or half of the pixel statistics, are left out.
    """
    model = options.clip or manifest.model
    other_model = model != manifest.model
    if options.clip is not None and not may_bring_weights(model) and ":" not in model:
        with given_by("--clip"):
            named_model(model)  # a misspelt name is said first
    if other_model and options.weights is None and not may_bring_weights(model):
        raise AevlpError(f"--clip {model} needs --weights: a tag of open_clip, a file, or {RANDOM}")
    weights = options.weights if other_model else options.weights or manifest.weights
    said = manifest if not other_model and weights == manifest.weights else Clip()
    activation = options.activation or said.activation
    mean, std, said_by = said.mean, said.std, "clip of the manifest"
    if options.mean is not None or options.std is not None:
        said_by = options.statistics_from or "--mean/--std"
        mean, std = checked(options.mean, options.std, ("--mean", "--std"))
    if options.compat == "published":
        if options.mean is not None and (mean, std) != IMAGENET_STATISTICS:
            raise AevlpError(
                f"--mean and --std are ImageNet's under {PUBLISHED}, as in the published program: leave them out"
            )
        (mean, std), said_by = IMAGENET_STATISTICS, PUBLISHED
    return ClipSource(model, weights, mean, std, activation, said_by)


def say_how_it_is_fed(source: ClipSource, encoder: Encoder) -> None:
    """Say which pixel statistics nothing says, so that they are assumed; and those that a file's model has in all its tags."""
    trained = encoder.trained
    statistics = f"mean {written(trained.mean)}, std {written(trained.std)}"
    if source.mean is None and trained.said_by == ASSUMED:
        say(
            f"Nothing says with which pixel statistics {encoder.name} was trained: assumed are OpenAI's, {statistics}; "
            f"--mean and --std say others."
        )
    if source.mean is None and trained.said_by == all_tags(encoder.name):
        say(
            f"{source.weights} is fed as {trained.said_by} say, {statistics}, with {trained.activation}; "
            f"--mean, --std and --activation say differently."
        )


def own_resize(encoder: Encoder) -> str:
    """Return how images were resized where the model was trained, if that is said and is not how views are; else ""."""
    own = (encoder.trained.interpolation, encoder.trained.resize_mode)
    if None in own or own == ("bilinear", "squash"):
        return ""
    return f", stretched, bilinear (its own preprocessing: {own[0]}, {MODES.get(str(own[1]), own[1])})"


def recorded(source: ClipSource, encoder: Encoder) -> dict[str, Any]:
    """Return what a cache's provenance says of the CLIP, from which `ClipSource.recorded` finds it again."""
    trained = encoder.trained
    return {
        "model": source.model,
        "weights": source.weights,
        "config": encoder.config,
        "mean": list(trained.mean),
        "std": list(trained.std),
        "activation": trained.activation,
        "interpolation": trained.interpolation,
        "resize_mode": trained.resize_mode,
    }


def recorded_statistics(encoder: Encoder) -> dict[str, Any]:
    """Return what a cache's provenance says of how its pixels were fed."""
    return {"mean": list(encoder.mean), "std": list(encoder.std), "source": encoder.trained.said_by}
