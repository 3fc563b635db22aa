"""A run and the cache that it was trained from -> what its classifier predicts of the training images."""

from pathlib import Path

import numpy as np

from ...pipeline.errors import AevlpError
from ...pipeline.runtime.device import find_device
from ...pipeline.score_cache import ScoreCache
from ...pipeline.training.loop import autocast
from ...pipeline.training.predictor import logits_of
from ...pipeline.training.run_folder import RunFolder
from ..console import say
from ..stage_two.classifiers import classifier_inputs
from .explained import training_rows


def training_logits(
    run: Path, cache: ScoreCache, root: Path, device: str | None, workers: int, max_pixels: int
) -> np.ndarray:
    """Return the logits of a run's best weights, (n, C) float32, for the cache's `training_rows`.

    root: the folder of the images, which a run of embeddings does not open. Raises AevlpError where the run was trained from
    another cache, or has no weights yet.
    """
    classifier, architecture, description = RunFolder(run).load_best()
    if description["cache_fingerprint"] != cache.fingerprint:
        raise AevlpError(
            f"--run {run} was trained from another cache than {cache.path}: its images, labels or settings differ; pass a run of "
            f"this one, or leave --run out"
        )
    say(f"predicting the training images of {cache.path} with the best weights of {run}")
    where = find_device(device)
    inputs = classifier_inputs(architecture, cache, root, where, workers, max_pixels=max_pixels)
    return logits_of(classifier.to(where), inputs, training_rows(cache), autocast(where, None))
