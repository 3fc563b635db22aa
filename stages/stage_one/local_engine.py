"""The engine that scores in this process, beside any others that score into the same folder."""

from ...pipeline.images.resizing import FAST
from ...pipeline.images.view_loading import ViewDataset
from ...pipeline.scoring.parts import PartStore
from ...pipeline.scoring.scorer import Scorer, Threads
from ...pipeline.scoring.shards import ShardScoring
from .engines import Engine
from .plan import ScoringPlan


def engine(plan: ScoringPlan, store: PartStore, threads: Threads) -> Engine:
    """Return what scores shards of a plan into a store."""
    return shard_scoring(plan, store, threads).run


def shard_scoring(plan: ScoringPlan, store: PartStore, threads: Threads) -> ShardScoring:
    """Return the images of a plan, what scores them, and the store that their shards go into."""
    options, recipe, encoder = plan.options, plan.recipe, plan.encoder
    views = ViewDataset(
        plan.images.paths.tolist(),
        recipe.method["grid"],
        encoder.image_size,
        options.compat,
        options.resize,
        recipe.decoder,
        decoded_only=encoder.device.type == "cuda" and options.resize == FAST,
        max_pixels=options.max_pixels,
    )
    encoder.use_tower(plan.tower, threads.count)
    mean, std = recipe.pixel_statistics["mean"], recipe.pixel_statistics["std"]
    settings = plan.spec.damp.settings(options.compat)
    scorer = Scorer(encoder, views, plan.header, plan.text, mean, std, settings, threads)
    return ShardScoring(plan.images, scorer, store, options.hash_images, options.strict, plan.batch_size, plan.workers)
