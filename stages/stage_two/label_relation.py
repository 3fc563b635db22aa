"""A cache and its scoring model -> how similar the names of the classes are, for a loss that wants to know."""

from pathlib import Path

import numpy as np
import torch

from ...pipeline.clip.text_graph import cosines
from ...pipeline.errors import AevlpError
from ...pipeline.losses import relates_labels
from ...pipeline.score_cache import ScoreCache
from ..cache_origin import scoring_encoder


def require_relation(loss: str, cache: ScoreCache, manifests: Path) -> None:
    """Raise AevlpError where a loss wants the relation of the classes, and neither cache nor scoring model is there to give it.

    manifests: the folder of the manifest, below which the model's files are looked for.
    """
    if not relates_labels(loss) or _text(cache) is not None:
        return
    from ...pipeline.clip.libraries import absent_weights
    from ...pipeline.clip.source import ClipSource

    if absent := absent_weights(ClipSource.recorded(cache.provenance, manifests)):
        raise AevlpError(
            f"loss {loss} takes the similarity of the class names from the scoring model, and {absent.what} are not on this "
            f"machine: put them there, or score with --store embedding --text-graph none, whose cache holds what it needs"
        )


def relation_of(loss: str, cache: ScoreCache, manifests: Path, device: torch.device) -> np.ndarray | None:
    """Return the cosines of the class prompts' text features, (C, C) float32; None where the loss does not want them.

    A cache that stores embeddings has the features with it, unless a text graph has changed them; else the text tower of the
    scoring model makes them. AevlpError where its weights are others by now.
    """
    if not relates_labels(loss):
        return None
    text = _text(cache)
    if text is None:
        encoder = scoring_encoder(cache.provenance, manifests, device)
        text = encoder.encode_classes([prompt.split(" | ") for prompt in cache.prompts])
    return cosines(text)


def _text(cache: ScoreCache) -> np.ndarray | None:
    return cache.header.text if cache.provenance["text_graph"] == "none" else None
