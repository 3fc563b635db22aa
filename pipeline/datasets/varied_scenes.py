"""A seed -> a picture of the second series of scenes: one to six shapes in many styles, and where each of them is.

Web pictures show one or two large filled shapes on plain ground; the small CLIP has learned from those. The data set's have
outlines, hatching, texture, distractors, bars across shapes, low contrast and some grey, and a long tail of classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .scene_drawing import (
    SINES,
    SIZE,
    STEPS,
    TURN,
    Box,
    Place,
    SceneObject,
    blend,
    contrasting_color,
    finished,
    free_place,
    gradient,
    line,
    paint,
    placed,
    samples_inside,
)
from .scene_shapes import SHAPES, UNIT, Contour

CLASSES = tuple(SHAPES)  # alphabetical
# From the most to the least frequent of the data set's objects.
BY_FREQUENCY = (
    "circle", "square", "triangle", "star", "tree", "house", "ring", "heart", "cross", "arrow", "flower", "diamond", "crescent",
    "drop", "hexagon", "lightning",
)  # fmt: skip
PARTNERS = {
    "house": "tree",
    "tree": "house",
    "heart": "flower",
    "flower": "heart",
    "star": "crescent",
    "crescent": "star",
}
OF = 256  # of which a chance is so many
APART = 72  # as for `free_place`: shapes may overlap a little more than those of the first series
GREY = np.array([77, 151, 28])  # of 256: how bright red, green and blue are


@dataclass(frozen=True, kw_only=True)
class Style:
    """How pictures are drawn. Chances are of 256; radii are in quarters of a pixel.

    counts: weights of 1, 2, … objects. radii: least, and what they stay below. lines, distractors: most of a picture. outlined,
    hatched, textured: chances of an object; the others are filled. barred: chance that a bar lies over an object. faint, grey:
    chances of a picture. tail: how many times as likely the first of `BY_FREQUENCY` is drawn as the last. together: chance
    that an object's partner is the next. noise: what its strength stays below. contrast: least, as for `contrasting_color`.
    """

    counts: tuple[int, ...]
    radii: tuple[int, int]
    lines: int = 3
    distractors: int = 0
    outlined: int = 0
    hatched: int = 0
    textured: int = 0
    barred: int = 0
    faint: int = 0
    grey: int = 0
    tail: int = 1
    together: int = 0
    noise: int = 7
    contrast: int = 160


WEB = Style(counts=(3, 2), radii=(56, 150))
PHOTO = Style(
    counts=(10, 18, 24, 22, 15, 11), radii=(40, 86), lines=5, distractors=2, outlined=30, hatched=18, textured=18, barred=12,
    faint=16, grey=20, tail=18, together=90, noise=9, contrast=120,
)  # fmt: skip


def draw_varied(seed: int, index: int, style: Style = PHOTO) -> tuple[np.ndarray, list[SceneObject]]:
    """Return picture `index` of the endless series `seed`, (128, 128, 3) uint8 RGB, and its objects, each of another class.

    seed, index: integers in [0, 2**32).
    """
    random = np.random.RandomState([seed, index])
    canvas = gradient(random)
    for _ in range(random.randint(0, style.lines + 1)):
        paint(canvas, [line(random)], random.randint(30, 226, 3))
    for _ in range(random.randint(0, style.distractors + 1)):
        x, y, radius = (int(v) for v in (*random.randint(0, 4 * SIZE, 2), random.randint(16, 64)))
        _paint_styled(random, canvas, [placed(_splash(random), (x, y, radius), 0)], style, random.randint(20, 236, 3))

    objects: list[SceneObject] = []
    places: list[Place] = []
    for name in _names(random, style):
        place = free_place(random, places, style.radii, APART)
        if place is None:  # too crowded: a picture of fewer objects
            break
        places.append(place)
        color, rgb = contrasting_color(random, canvas[place[1] // 4, place[0] // 4], style.contrast)
        degrees = random.randint(360)
        box = _paint_styled(random, canvas, [placed(contour, place, degrees) for contour in SHAPES[name]], style, rgb)
        if random.randint(OF) < style.barred:
            paint(canvas, [_bar(random, place)], random.randint(20, 236, 3))
        objects.append(SceneObject(name, color, box))

    if random.randint(OF) < style.grey:
        canvas[:] = (canvas @ GREY // 256)[..., None]
    if random.randint(OF) < style.faint:
        canvas = 128 + (canvas - 128) * random.randint(96, 160) // 256
    return finished(random, canvas, style.noise), objects


def _names(random: np.random.RandomState, style: Style) -> list[str]:
    """Return the classes of a picture's objects, each once."""
    count = 1 + _weighted(random, style.counts)
    last = len(BY_FREQUENCY) - 1
    weights = [round(1000 * style.tail ** ((last - n) / last)) for n in range(last + 1)]
    names: list[str] = []
    while len(names) < count:
        partner = PARTNERS.get(names[-1]) if names else None
        if partner and partner not in names and random.randint(OF) < style.together:
            names.append(partner)
            continue
        left = [0 if name in names else weight for name, weight in zip(BY_FREQUENCY, weights, strict=True)]
        names.append(BY_FREQUENCY[_weighted(random, left)])
    return names


def _weighted(random: np.random.RandomState, weights: Sequence[int]) -> int:
    """Return a place in weights, as likely as its weight."""
    return int(np.searchsorted(np.cumsum(weights), random.randint(sum(weights)), side="right"))


def _splash(random: np.random.RandomState) -> Contour:
    """Return an outline of no class: 7 to 11 corners at random distances."""
    corners = random.randint(7, 12)
    distances = random.randint(UNIT * 2 // 5, UNIT, corners).tolist()
    turns = [360 * n // corners for n in range(corners)]
    return [(d * SINES[t + 90] // TURN, d * SINES[t] // TURN) for d, t in zip(distances, turns, strict=True)]


def _bar(random: np.random.RandomState, place: Place) -> Contour:
    """Return an upright or level bar across a shape, which hides a fifth of its width at most."""
    x, y, radius = (v * STEPS // 4 for v in place)
    half, off = radius * int(random.randint(8, 20)) // 100, int(random.randint(-radius // 2, radius // 2 + 1))
    upright, reach = bool(random.randint(2)), 2 * radius
    corners = [(off - half, -reach), (off + half, -reach), (off + half, reach), (off - half, reach)]
    return [(x + a, y + b) if upright else (x + b, y + a) for a, b in corners]


def _paint_styled(
    random: np.random.RandomState, canvas: np.ndarray, contours: Sequence[Contour], style: Style, rgb: np.ndarray
) -> Box:
    """Draw a shape filled, outlined, hatched or with a texture; return its bounding box in pixels."""
    inside, box = samples_inside(contours)
    kind = random.randint(OF)
    rows, columns = np.arange(inside.shape[0])[:, None], np.arange(inside.shape[1])
    if kind < style.outlined:
        inside &= ~_eroded(inside, int(random.randint(7, 13)))
    elif kind < style.outlined + style.hatched:
        stripe, slant = int(random.randint(5, 9)), 1 - 2 * int(random.randint(2))
        inside &= ((columns + slant * rows) // stripe % 2 == 0) | ~_eroded(inside, 5)
    blend(canvas, inside, box, rgb)
    if style.outlined + style.hatched <= kind < style.outlined + style.hatched + style.textured:
        tile = int(random.randint(8, 17))
        blend(canvas, inside & ((rows // tile + columns // tile) % 2 == 0), box, random.randint(20, 236, 3))
    return box


def _eroded(inside: np.ndarray, by: int) -> np.ndarray:
    """Return the samples that are so many samples away from the edge, in each of eight directions."""
    padded, slant, kept = np.pad(inside, by), by * 7 // 10, inside.copy()
    height, width = inside.shape
    for down, right in (
        (by, 0),
        (-by, 0),
        (0, by),
        (0, -by),
        (slant, slant),
        (-slant, slant),
        (slant, -slant),
        (-slant, -slant),
    ):
        kept &= padded[by + down : by + down + height, by + right : by + right + width]
    return kept
