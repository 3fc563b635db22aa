"""A cache -> a cache of some of its classes and images."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ..errors import AevlpError, unknown_name
from ..labels.damp import DampSettings
from ..labels.relabelling import class_places
from .labelled_images import LabelledImages
from .reader import ScoreCache
from .schema import CacheHeader, CacheRows
from .scores import of_classes


def selected(
    cache: ScoreCache, rows: np.ndarray, classes: Sequence[str], settings: DampSettings
) -> tuple[CacheHeader, Iterator[CacheRows]]:
    """Return header and rows of a cache of the rows with these ascending numbers and of these classes, in this order.

    Where the classes are others than the cache's, scores and codes are made anew, with `settings`: they compare classes.
    Raises AevlpError for a class that the cache has not, and for less than two of them.
    """
    for name in classes:
        if name not in cache.classes:
            raise unknown_name(f"class of {cache.path}", name, cache.classes)
    require_two(classes)
    images = LabelledImages.of(cache).take(rows)
    if list(classes) == cache.classes:
        return images.header(cache.header), cache.rows(rows)
    places = class_places(cache.classes, classes)
    made = "rescored" if cache.provenance.get("vocabulary") == "rescored" else "selected"
    header = images.relabelled(classes).header(
        replace(
            cache.header,
            prompts=tuple(cache.prompts[place] for place in places),
            text=None if cache.header.text is None else cache.header.text[places],
        ),
        vocabulary=made,
    )
    return header, (of_classes(part, places, header, settings) for part in cache.rows(rows))


def require_two(classes: Sequence[str]) -> None:
    """Raise AevlpError for less than two classes."""
    if len(classes) < 2:
        raise AevlpError(f"at least two classes are needed, found {len(classes)}: a score is a share among the classes")
