"""An image table and a CLIP -> the rows of a cache, one batch of images after another."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from .datasets import ImageTable
from .encoder import ClipEncoder
from .pseudo_labels import DampSettings, codes_from_scores, damp_scores
from .score_cache.schema import CacheRows
from .view_loading import ViewBatch

FLIPS = 2  # plain and mirrored


@dataclass(frozen=True)
class Scorer:
    """Cosines of views with the class prompts.

    text: (C, D) unit vectors. mean, std: pixel statistics. views_a_pass: how many views go through the tower at once.
    storage: the floating-point type that cosines and embeddings are rounded to.
    """

    encoder: ClipEncoder
    text: np.ndarray
    mean: tuple[float, ...]
    std: tuple[float, ...]
    views_a_pass: int
    storage: str

    def cosines(self, views: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return cosines (n, F, V, C) and the whole images' embeddings (n, F, D) of views (n, V, 3, S, S) uint8."""
        n, v = views.shape[:2]
        flat = views.flatten(0, 1)
        text = torch.from_numpy(self.text).to(self.encoder.device)
        similarity, embedding = [], []
        for mirrored in (False, True):
            images = torch.cat(
                [
                    self.encoder.encode_views(part, mirrored, self.mean, self.std)
                    for part in flat.split(self.views_a_pass)
                ]
            )
            similarity.append((images @ text.T).reshape(n, v, -1).clamp(-1, 1).cpu().numpy())
            embedding.append(images.reshape(n, v, -1)[:, 0].cpu().numpy())
        return np.stack(similarity, axis=1).astype(self.storage), np.stack(embedding, axis=1).astype(self.storage)


def score_images(
    images: ImageTable,
    batches: Iterable[ViewBatch],
    scorer: Scorer,
    settings: DampSettings,
    views: int,
    progress: Callable[[ViewBatch], None],
) -> Iterator[CacheRows]:
    """Yield the cache's rows for all images, in order; `progress` is told of each batch when it is done.

    A row whose image cannot be read holds NaN and unknown codes. Score and code are made with `settings` from the mean of
    the stored cosines over the flips, as `ScoreCache.codes` makes them.
    """
    paths = images.relative_paths()
    classes, width = len(images.classes), scorer.text.shape[1]
    start = 0
    for batch in batches:
        here = slice(start, start + len(batch.status))
        n = len(batch.status)
        similarity = np.full((n, FLIPS, views, classes), np.nan, dtype=scorer.storage)
        embedding = np.full((n, FLIPS, width), np.nan, dtype=scorer.storage)
        score = np.full((n, classes), np.nan, dtype=np.float32)
        code = np.zeros((n, classes), dtype=np.int8)
        ok = np.array([status == "ok" for status in batch.status])
        if ok.any():
            similarity[ok], embedding[ok] = scorer.cosines(batch.views)
            mean = similarity[ok].astype(np.float32).mean(axis=1)
            score[ok], ranking = damp_scores(mean, images.observed[here][ok], settings)
            code[ok] = codes_from_scores(score[ok], ranking, settings)
        yield CacheRows(
            ids=images.ids[here].tolist(),
            paths=paths[here],
            split=images.split[here].tolist(),
            status=batch.status,
            reason=batch.reason,
            truth=None if images.truth is None else images.truth[here],
            observed=images.observed[here],
            similarity=similarity,
            embedding=embedding,
            score=score,
            code=code,
        )
        start = here.stop
        progress(batch)
