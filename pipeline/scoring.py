"""Batches of views and a CLIP -> rows of a cache; the same rows, bit for bit, however many processes and threads share them."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from .datasets import ImageTable
from .encoder import ClipEncoder
from .pseudo_labels import DampSettings, codes_from_scores, damp_scores
from .score_cache import CacheHeader, CacheRows
from .score_cache.reader import cosines
from .view_loading import ViewBatch

FLIPS = 2  # plain and mirrored
VIEWS_A_PASS = {"cpu": 32, "cuda": 1024}


@contextmanager
def one_thread_each() -> Iterator[Callable]:
    """Give a `map` over threads that compute with one thread each inside torch.

    On a CPU the bits of a product depend on the number of threads that share it. Here they share the passes instead, which
    is as fast, so that one process with many threads and many processes with one thread give equal scores.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool.map
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class Scorer:
    """Scores views against the class prompts.

    header: of the cache. text: (C, D) unit vectors. mean, std: pixel statistics. settings: of the stored score and code.
    map: as `one_thread_each` gives it; the builtin on a GPU.
    """

    encoder: ClipEncoder
    header: CacheHeader
    text: np.ndarray
    mean: tuple[float, ...]
    std: tuple[float, ...]
    settings: DampSettings
    map: Callable = map

    def rows(self, images: ImageTable, batch: ViewBatch, stamps: list[str]) -> CacheRows:
        """Return the cache's rows of a batch of images; a row whose image cannot be read holds NaN and unknown codes.

        Score and code are made from the mean of the stored cosines over the flips, as `ScoreCache.codes` makes them.
        """
        header, n = self.header, len(batch.rows)
        observed = images.observed[batch.rows]
        ok = np.array([status == "ok" for status in batch.status])
        stored = np.full((n, header.flips, header.views, self._kept), np.nan, dtype=header.storage)
        whole = np.full((n, header.flips, header.width), np.nan, dtype=header.storage)
        score = np.full((n, len(header.classes)), np.nan, dtype=np.float32)
        code = np.zeros((n, len(header.classes)), dtype=np.int8)
        if ok.any():
            stored[ok], whole[ok] = self._scored(batch.views)
            similarity = stored[ok].astype(np.float32) if header.text is None else cosines(stored[ok], header.text)
            score[ok], ranking = damp_scores(similarity.mean(axis=1), observed[ok], self.settings)
            code[ok] = codes_from_scores(score[ok], ranking, self.settings)
        embeddings = header.text is not None
        part = images.take(np.array(batch.rows))
        return CacheRows(
            ids=part.ids.tolist(),
            paths=part.relative_paths(),
            split=part.split.tolist(),
            status=batch.status,
            reason=batch.reason,
            stamps=stamps,
            truth=part.truth,
            observed=observed,
            similarity=None if embeddings else stored,
            embedding=None if embeddings else whole,
            view_embedding=stored if embeddings else None,
            score=score,
            code=code,
        )

    @property
    def _kept(self) -> int:
        return len(self.header.classes) if self.header.text is None else self.header.width

    def _scored(self, views: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return what is kept of views (n, V, 3, S, S) uint8, (n, F, V, C or D), and the whole images' vectors (n, F, D)."""
        n, v = views.shape[:2]
        passes = views.flatten(0, 1).split(VIEWS_A_PASS[self.encoder.device.type])
        kept, whole = [], []
        for mirrored in (False, True):
            scored = list(self.map(lambda part, mirrored=mirrored: self._pass(part, mirrored), passes))
            vectors, products = (np.concatenate(parts) for parts in zip(*scored, strict=True))
            kept.append((products if self.header.text is None else vectors).reshape(n, v, -1))
            whole.append(vectors.reshape(n, v, -1)[:, 0])
        return np.stack(kept, axis=1).astype(self.header.storage), np.stack(whole, axis=1).astype(self.header.storage)

    def _pass(self, views: torch.Tensor, mirrored: bool) -> tuple[np.ndarray, np.ndarray]:
        vectors = self.encoder.encode_views(views, mirrored, self.mean, self.std)
        products = (vectors @ torch.from_numpy(self.text).to(vectors.device).T).clamp(-1, 1)
        return vectors.cpu().numpy(), products.cpu().numpy()
