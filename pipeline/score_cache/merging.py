"""Several caches of other images, made in the same way -> one of all of them."""

from collections.abc import Iterator, Sequence

import numpy as np

from ..errors import AevlpError
from ..labels.splits import SPLITS
from .labelled_images import LabelledImages
from .reader import ScoreCache
from .schema import CacheHeader, CacheRows


def merged(caches: Sequence[ScoreCache]) -> tuple[CacheHeader, Iterator[CacheRows]]:
    """Return header and rows of a cache of all their images: the training rows of each in turn, then the test rows.

    caches: of equal settings, which the first one's header speaks for. Raises AevlpError where an image stands in two.
    """
    parts = [LabelledImages.of(cache) for cache in caches]
    where: dict[str, ScoreCache] = {}
    for cache, part in zip(caches, parts, strict=True):
        for name in part.ids:
            if name in where:
                raise AevlpError(
                    f"the image {name!r} stands in {where[name].path} and in {cache.path}: each may stand once"
                )
            where[name] = cache
    del where
    order = [(n, np.flatnonzero(part.split == split)) for split in SPLITS for n, part in enumerate(parts)]
    images = LabelledImages.joined([parts[n].take(rows) for n, rows in order])
    if len(images.ids) != sum(map(len, caches)):
        raise AevlpError("a split is neither train nor test: aevlp cache verify says of which cache")
    shares = [cache.provenance["dataset"].get("split_by") for cache in caches]
    dataset = dict(caches[0].provenance["dataset"])
    if any(of != shares[0] for of in shares):
        dataset.pop("split_by", None)
    return images.header(caches[0].header, dataset=dataset), (
        block for n, rows in order for block in caches[n].rows(rows)
    )
