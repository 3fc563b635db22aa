"""Random crops, each of 10 to 20 % of the image's area and of its proportions, drawn from a seed: the same for all images.

One draw in shares of width and height holds for all images. So an image's views do not depend on its name, its file or what is
scored beside it, and a policy that knows where they lie knows it of all.
"""

from math import sqrt
from random import Random

from ...errors import AevlpError
from . import Box

LEAST_AREA, MOST_AREA = 0.1, 0.2  # shares of the image's
MOST_CROPS = 1024


def boxes(width: int, height: int, compat: str, *, count: int = 16, seed: int = 0) -> list[Box]:
    """Return the crops in the order drawn; count: 1 to 1024. seed: at least 0. The first crops of more are those of fewer."""
    if not 1 <= count <= MOST_CROPS:
        raise AevlpError(f"expected 1 to {MOST_CROPS} crops, found a count of {count}")
    if seed < 0:
        raise AevlpError(f"expected a seed of at least 0 for crops, found {seed}")
    random = Random(seed).random  # whose numbers Python promises to keep, unlike those of its other methods
    found = []
    for _ in range(count):
        side = sqrt(LEAST_AREA + (MOST_AREA - LEAST_AREA) * random())
        crop_width, crop_height = max(1, round(side * width)), max(1, round(side * height))
        left, upper = (round(random() * (whole - part)) for whole, part in ((width, crop_width), (height, crop_height)))
        found.append((left, upper, left + crop_width, upper + crop_height))
    return found
