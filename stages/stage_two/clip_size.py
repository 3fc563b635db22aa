"""The size of images that the scoring model's image tower is trained at: the one asked for, or its own."""

from typing import Any

from ...pipeline.clip.libraries import check_image_size
from ...pipeline.errors import given_by
from ...pipeline.manifest.formats import DatasetSpec
from .options import TrainingOptions


def asked_size(spec: DatasetSpec, options: TrainingOptions) -> int | None:
    """Return the size asked for, None where none is; the manifest's is of its own backbone, and counts where that is clip."""
    recipe = spec.recipe
    said = recipe.backbone == "clip" and "image_size" in recipe.model_fields_set
    return options.image_size or (recipe.image_size if said else None)


def check_tower_size(spec: DatasetSpec, options: TrainingOptions, config: dict[str, Any]) -> None:
    """Raise AevlpError where the image tower of a model configuration does not take images of the size asked for."""
    size = asked_size(spec, options)
    if size is not None:
        with given_by("--image-size" if options.image_size else "image_size under recipe of the manifest"):
            check_image_size(config, size)
