"""Batches of views and a CLIP -> rows of a cache; the same rows, bit for bit, however many processes and threads share them."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..clip.libraries import Encoder
from ..clip.micro_batch import PassSize
from ..datasets import ImageTable
from ..errors import AevlpError
from ..images.view_loading import ViewBatch, ViewDataset
from ..labels.damp import DampSettings, codes_from_scores, damp_scores
from ..score_cache import CacheHeader, CacheRows
from ..score_cache.numbers import cosines

FLIPS = 2  # plain and mirrored
Vectors = list[tuple[Tensor, Tensor]]  # of each pass: unit vectors (n, D) and cosines (n, C)


@dataclass(frozen=True)
class Threads:
    """A `map` over threads that compute with one thread each inside torch. count: how many there are."""

    map: Callable
    count: int


@contextmanager
def one_thread_each() -> Iterator[Threads]:
    """Give threads that compute with one thread each inside torch.

    On a CPU the bits of a product depend on the number of threads that share it. Here they share the passes instead, which
    is as fast, so that one process with many threads and many processes with one thread give equal scores.
    """
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield Threads(pool.map, count)
    finally:
        torch.set_num_threads(count)


class Scorer:
    """Scores views against the class prompts."""

    def __init__(
        self,
        encoder: Encoder,
        views: ViewDataset,
        header: CacheHeader,
        text: np.ndarray,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        settings: DampSettings,
        threads: Threads,
    ) -> None:
        """views: what the batches are from. header: of the cache. text: (C, D) unit vectors. mean, std: pixel statistics.

        settings: of the stored score and code.
        """
        self.encoder, self.views, self.header, self.settings = encoder, views, header, settings
        self._text, self._mean, self._std = torch.from_numpy(text).to(encoder.device), mean, std
        self._on_gpu = encoder.device.type == "cuda"
        self._map = map if self._on_gpu else threads.map
        self._pass_size = PassSize(encoder.device, encoder.image_size)
        self._copies = torch.cuda.Stream(encoder.device) if self._on_gpu else None

    def begin(self, batch: ViewBatch) -> list[Vectors]:
        """Return what `rows` takes of a batch: of each flip the passes' results, on a GPU perhaps not computed yet."""
        if not len(batch.views):
            return []
        views = self._views_there(batch).flatten(0, 1)
        return [self._pass_size.over(views, partial(self._pass, mirrored=m), self._map) for m in (False, True)]

    def rows(self, images: ImageTable, batch: ViewBatch, stamps: list[str], begun: list[Vectors]) -> CacheRows:
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
            stored[ok], whole[ok] = self._kept_of(begun)
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

    def _views_there(self, batch: ViewBatch) -> Tensor:
        """Return a batch's views on the device; on a GPU they travel, and are resized, while the batch before is computed."""
        if self._copies is None:
            return self.views.views_on(batch, self.encoder.device)
        with torch.cuda.stream(self._copies):
            views = self.views.views_on(batch, self.encoder.device)
        computing = torch.cuda.current_stream(self.encoder.device)
        computing.wait_stream(self._copies)
        views.record_stream(computing)
        return views

    def _pass(self, views: Tensor, mirrored: bool) -> tuple[Tensor, Tensor]:
        vectors = self.encoder.encode_views(views, mirrored, self._mean, self._std)
        return vectors, (vectors @ self._text.T).clamp(-1, 1)

    def _kept_of(self, begun: list[Vectors]) -> tuple[np.ndarray, np.ndarray]:
        """Return what is kept of the views, (n, F, V, C or D), and the whole images' vectors (n, F, D)."""
        kept, whole = [], []
        for passes in begun:
            vectors, products = (torch.cat(parts).cpu().numpy() for parts in zip(*passes, strict=True))
            if not np.isfinite(vectors).all():
                raise AevlpError(
                    f"{self.encoder.name} gives vectors that are not finite in {self.encoder.precision}: "
                    f"pass --precision fp32 or, on a GPU, bf16; if that does not help, its weights are damaged"
                )
            of_views = vectors.reshape(-1, self.header.views, vectors.shape[1])
            whole.append(of_views[:, 0])
            kept.append(of_views if self.header.text is not None else products.reshape(*of_views.shape[:2], -1))
        return np.stack(kept, axis=1).astype(self.header.storage), np.stack(whole, axis=1).astype(self.header.storage)
