"""A cache -> the rows that a report looks at: all of a small cache, blocks of rows drawn from a large one."""

import numpy as np

from ...pipeline.runtime.seeding import derive
from ...pipeline.score_cache import ScoreCache
from ...pipeline.score_cache.schema import ROWS_A_BLOCK


def drawn_rows(cache: ScoreCache, most: int, seed: int = 0) -> np.ndarray:
    """Return ascending row numbers (n,) int64 of scored images, all where the cache has no more than `most` rows.

    Of a larger cache whole blocks of rows are drawn by `seed`, at least one: they are read far faster than single rows. A block
    without a scored image is none of them.
    """
    blocks = np.unique(np.flatnonzero(cache.status == "ok") // ROWS_A_BLOCK)
    if len(cache) > most:
        random = np.random.default_rng(derive(seed, "blocks of a report"))
        blocks = np.sort(random.permutation(blocks)[: max(1, most // ROWS_A_BLOCK)])
    rows = (blocks[:, None] * ROWS_A_BLOCK + np.arange(ROWS_A_BLOCK)).ravel()
    rows = rows[rows < len(cache)]
    return rows[cache.status[rows] == "ok"]
