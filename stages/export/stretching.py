"""The evaluation resize as two matrix products, which every format can hold: a whole image stretched to a square.

Antialiased bilinear as Pillow does it: first along the lines, then along the columns, each rounded to whole grey levels. Weights
are whole multiples of 2**-16, and a grey level has 8 bits: each sum is exact in float32, in whatever order it is taken, so that
every runtime gives the same pixels. They are a grey level from Pillow's here and there. An image of the right size is kept.
"""

import torch
from torch import Tensor

UNITS = 1 << 16


def stretched(pixels: Tensor, size: int) -> Tensor:
    """Return images (B, 3, H, W) float32 of whole numbers in [0, 255] as (B, 3, size, size), whole numbers too."""
    height, width = pixels.shape[2:]
    lines = _rounded(pixels @ _weights(width, size).T)
    return _rounded(_weights(height, size) @ lines)


def _weights(before: int, after: int) -> Tensor:
    """Return how much of each of `before` pixels is in each of `after`, (after, before) float32, lines of sum one.

    before: an int, or a symbol while a graph is traced. The triangle is as wide as what an output covers, no narrower than a
    pixel; its heights are computed in whole numbers, so that nothing depends on how a runtime rounds.
    """
    middles = (2 * torch.arange(after)[:, None] + 1) * before
    places = (2 * torch.arange(before)[None] + 1) * after
    heights = (-(places - middles).abs() + 2 * torch.sym_max(before, after)).clamp(min=0)
    weights = heights.float() / heights.sum(dim=1, keepdim=True).float()
    return _rounded(weights * UNITS) / UNITS


def _rounded(values: Tensor) -> Tensor:
    return torch.floor(values + 0.5)
