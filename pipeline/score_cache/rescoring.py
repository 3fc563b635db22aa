"""A cache that stores view embeddings, and the vectors of other prompts -> the cache of these prompts' classes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import AevlpError
from ..labels.damp import DampSettings
from ..labels.relabelling import class_places
from .labelled_images import LabelledImages
from .reader import ScoreCache
from .schema import CacheHeader, CacheRows
from .scores import of_classes
from .selecting import require_two


def rescored(
    cache: ScoreCache,
    classes: Sequence[str],
    prompts: Sequence[str],
    text: np.ndarray,
    settings: DampSettings,
    **provenance: Any,
) -> tuple[CacheHeader, Iterator[CacheRows]]:
    """Return header and rows of a cache of the same images and of other classes.

    text: the prompts' unit vectors (C, D). provenance: entries that are others now. A class that the old cache has keeps its
    observed labels, nothing is observed of a new one; the truth is known where all classes are among the old ones.
    Raises AevlpError where the cache stores cosines, and for less than two classes.
    """
    if cache.header.stores != "embedding":
        raise AevlpError(f"{cache.path} holds cosines, no embeddings: make one that does with --store embedding")
    require_two(classes)
    images = LabelledImages.of(cache).relabelled(classes)
    header = images.header(
        replace(cache.header, prompts=tuple(prompts), text=text), **provenance, vocabulary="rescored"
    )
    places = class_places(cache.classes, classes)
    return header, (of_classes(rows, places, header, settings) for rows in cache.rows())
