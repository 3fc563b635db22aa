"""A plan -> the classifier that training begins with; a classifier and a cache -> where its inputs come from."""

from functools import partial
from pathlib import Path

import numpy as np
import torch

from ...pipeline.files.image_formats import MAX_PIXELS
from ...pipeline.images.image_cache import ImageCache
from ...pipeline.images.resizing import resize_of
from ...pipeline.runtime.seeding import derive, seed_everything
from ...pipeline.score_cache import ScoreCache
from ...pipeline.score_cache.schema import ROWS_A_BLOCK
from ...pipeline.training import classifier as classifiers
from ...pipeline.training.classifier import Architecture, Classifier
from ...pipeline.training.inputs import EmbeddingInputs, Inputs, PixelInputs
from ...pipeline.training.strong_views import drawn_tiles, has_tiles
from ..cache_origin import scoring_encoder
from ..console import say
from .plan import Plan


def new_classifier(plan: Plan) -> tuple[Architecture, Classifier]:
    """Return the classifier that training begins with; equal seeds, equal weights."""
    seed_everything(derive(plan.options.seed, "weights"))
    cache, recipe = plan.cache, plan.recipe
    made = cache.provenance
    upright, resize = made["method"]["compat"] == "paper", resize_of(made["resize"])
    statistics = made["pixel_statistics"]
    if recipe["backbone"] == "linear":
        return classifiers.create_linear(
            cache.header.width,
            len(cache.classes),
            made["image_size"],
            statistics["mean"],
            statistics["std"],
            upright,
            recipe["head"],
            resize,
        )
    if recipe["backbone"] == "clip":
        encoder = scoring_encoder(made, plan.spec.manifest_path.parent, plan.device)
        if recipe["image_size"] != made["image_size"]:
            say(
                f"{encoder.name} scored at {made['image_size']} pixels a side and is trained at {recipe['image_size']}: its "
                f"position embeddings are interpolated."
            )
        seed_everything(derive(plan.options.seed, "weights"))
        return classifiers.create_clip(
            encoder,
            cache.header.width,
            len(cache.classes),
            recipe["image_size"],
            statistics["mean"],
            statistics["std"],
            upright,
            recipe["head"],
            resize,
        )
    if recipe["weights"] == classifiers.RANDOM:
        say(f"{recipe['backbone']} starts from RANDOM weights, as asked.")
    return classifiers.create_timm(
        recipe["backbone"], recipe["weights"], len(cache.classes), recipe["image_size"], upright, recipe["head"], resize
    )


def classifier_inputs(
    architecture: Architecture,
    cache: ScoreCache,
    root: Path,
    device: torch.device,
    workers: int,
    image_cache: Path | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Inputs:
    """Return where a classifier's inputs come from: the cache's embeddings, or the images below `root`.

    image_cache: the folder where resized images are kept, None to read the files each time. max_pixels: of the largest image that
    is opened.
    """
    if architecture.backbone == "linear":
        tiles = partial(drawn_tiles, cache) if has_tiles(cache) else None
        return EmbeddingInputs(_embedding(cache), device, tiles)
    size, upright, resize = architecture.size, architecture.upright, architecture.resize
    cached = ImageCache(image_cache, cache.paths, size, upright, resize) if image_cache else None
    mean, std = architecture.mean, architecture.std
    return PixelInputs(root, cache.paths, size, upright, mean, std, device, workers, resize, cached, max_pixels)


def _embedding(cache: ScoreCache) -> np.ndarray:
    """Return the whole images' unit vectors (N, F, D) in the precision that they are stored in."""
    header = cache.header
    vectors = np.empty((len(cache), header.flips, header.width), dtype=header.storage)
    for start in range(0, len(vectors), ROWS_A_BLOCK):
        vectors[start : start + ROWS_A_BLOCK] = cache.embedding(slice(start, start + ROWS_A_BLOCK))
    return vectors
