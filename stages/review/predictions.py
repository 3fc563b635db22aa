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


def training_logits(
    run: Path, cache: ScoreCache, root: Path, device: str | None, workers: int, max_pixels: int
) -> np.ndarray:
    """Return the logits of a run's best weights, (N, C) float32; of rows that are not readable training images NaN.

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
    rows = np.flatnonzero((cache.split == "train") & (cache.status == "ok"))
    logits = np.full((len(cache), len(cache.classes)), np.nan, dtype=np.float32)
    logits[rows] = logits_of(classifier.to(where), inputs, rows, autocast(where, None))
    return logits
