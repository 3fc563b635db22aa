"""Strongly changed views of images: pixels with random changes, or a cached tile."""

import numpy as np
import torch
from torch import Tensor

from ..score_cache import ScoreCache
from ..score_cache.schema import ROWS_A_BLOCK

CHANGES = 3  # of RandAugment, as in Ding et al. 2023


def changed_strongly(inputs: Tensor, scale: tuple[Tensor, Tensor], chance: np.ndarray) -> Tensor:
    """Return (B, 3, S, S) float32 pixels after three random changes each (RandAugment), a square of them emptied (cutout).

    inputs: as `inputs.normalized` makes them with `scale`. chance: (B,) in [0, 1), each image's seed; torch's own generator is
    left as it was. That the square is half as wide as the image, anywhere in it, and RandAugment's changes are torchvision's of
    the strength it has by default, is ours.
    """
    from torchvision.transforms.v2 import RandAugment

    augment = RandAugment(num_ops=CHANGES)
    offset, factor = (value.view(3, 1, 1) for value in scale)
    changed = torch.empty_like(inputs)
    state = torch.get_rng_state()
    try:
        for place, (image, seed) in enumerate(zip(inputs, chance.tolist(), strict=True)):
            torch.default_generator.manual_seed(int(seed * 2**53))
            pixels = (image / factor + offset).round().clamp(0, 255).to(torch.uint8)
            changed[place] = (augment(pixels).float() - offset) * factor
            side = image.shape[1]
            top, left = (int(torch.randint(side, ())) - side // 4 for _ in range(2))
            rows, columns = (slice(max(0, start), max(0, start + side // 2)) for start in (top, left))
            changed[place, :, rows, columns] = 0
    finally:
        torch.set_rng_state(state)
    return changed


def has_tiles(cache: ScoreCache) -> bool:
    """Return whether a cache holds the vectors of tiles; the one tile of a grid of 1 is the whole image again, and none."""
    return cache.header.stores == "embedding" and bool((cache.boxes != cache.boxes[0]).any())


def drawn_tiles(cache: ScoreCache, rows: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Return the unit vector of one tile of each image, plain or mirrored, (n, D) in the type that is stored.

    rows: (n,) in any order. chance: (n,) in [0, 1), which of the tiles. For a cache that `has_tiles`.
    """
    header = cache.header
    drawn = np.empty((len(rows), header.width), dtype=header.storage)
    tiles = header.flips * (header.views - 1)
    number = np.minimum((chance * tiles).astype(np.int64), tiles - 1)
    order = np.argsort(rows, kind="stable")
    for start in range(0, len(rows), ROWS_A_BLOCK):
        here = order[start : start + ROWS_A_BLOCK]
        vectors = cache.view_embedding(rows[here])[:, :, 1:].reshape(len(here), tiles, header.width)
        drawn[here] = vectors[np.arange(len(here)), number[here]]
    return drawn
