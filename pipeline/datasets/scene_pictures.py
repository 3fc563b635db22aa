"""A seed -> a picture of one to four coloured shapes, and where each of them is.

Every step is integer arithmetic on a legacy ``RandomState`` stream, whose numbers NumPy has promised never to change, so
a seed gives the same bytes on every machine. That is why shapes are filled here and not by an imaging library.
"""

import math
from dataclasses import dataclass

import numpy as np

SIZE = 128  # pixels, both sides
COLORS = {
    "red": (214, 40, 40),
    "orange": (240, 140, 30),
    "yellow": (242, 220, 60),
    "green": (50, 160, 70),
    "blue": (45, 85, 210),
    "purple": (130, 60, 180),
    "pink": (240, 130, 180),
    "white": (240, 240, 240),
    "black": (25, 25, 25),
}

SUBPIXELS = 4  # samples a pixel, along each axis
STEPS = 64  # fixed-point steps a pixel, for corners
UNIT = 1 << 12  # fixed-point one, for shapes of radius 1
TURN = 1 << 14  # fixed-point one, for sines
SINES = [round(math.sin(math.radians(degree)) * TURN) for degree in range(450)]
RADII = (14, 56)  # of the data set's shapes, in quarters of a pixel: some are too small for a whole-image view
LEAST_CONTRAST = 160  # summed over the channels, between a shape and the background at its centre

Contour = list[tuple[int, int]]


@dataclass(frozen=True)
class SceneObject:
    """One shape: the names of its class and colour, and its bounding box (left, upper, right, lower) in pixels."""

    name: str
    color: str
    box: tuple[int, int, int, int]


def draw_scene(seed: int, index: int, radii: tuple[int, int] = RADII) -> tuple[np.ndarray, list[SceneObject]]:
    """Return picture `index` of the endless series `seed`, and its objects.

    seed, index: integers in [0, 2**32). radii: smallest and largest radius of an object, in quarters of a pixel. The picture
    is (128, 128, 3) uint8 RGB; it holds 1 to 4 objects, each of another class, hardly overlapping, on a colour gradient with
    clutter lines and noise.
    """
    random = np.random.RandomState([seed, index])
    canvas = _gradient(random)
    for _ in range(random.randint(0, 5)):
        _paint(canvas, [_line(random)], random.randint(30, 226, 3))

    objects: list[SceneObject] = []
    places: list[tuple[int, int, int]] = []
    names = random.permutation(len(CLASSES))[: random.randint(1, 5)]
    for name in (CLASSES[n] for n in names):
        place = _free_place(random, places, radii)
        if place is None:  # too crowded: a picture of fewer objects
            break
        places.append(place)
        color, rgb = _contrasting_color(random, canvas[place[1] // 4, place[0] // 4])
        degrees = random.randint(360)
        box = _paint(canvas, [_placed(contour, place, degrees) for contour in SHAPES[name]], rgb)
        objects.append(SceneObject(name, color, box))

    noise = random.randint(0, 256, canvas.shape, dtype=np.uint8).astype(np.int32)
    noise += random.randint(0, 256, canvas.shape, dtype=np.uint8)
    canvas += (noise - 255) * random.randint(2, 13) // 128
    return canvas.clip(0, 255).astype(np.uint8), objects


def _gradient(random: np.random.RandomState) -> np.ndarray:
    corners = random.randint(40, 216, (2, 2, 3)).astype(np.int32)
    along = np.arange(SIZE)
    top, bottom = (
        (row[0] * (SIZE - 1 - along[:, None]) + row[1] * along[:, None]) // (SIZE - 1) for row in corners
    )  # (width, 3) each
    return (top * (SIZE - 1 - along[:, None, None]) + bottom * along[:, None, None]) // (SIZE - 1)


def _line(random: np.random.RandomState) -> Contour:
    x0, y0, x1, y1 = (int(v) for v in random.randint(0, SIZE * STEPS, 4))
    width = int(random.randint(STEPS, 3 * STEPS))
    dx, dy = (0, width) if abs(x1 - x0) > abs(y1 - y0) else (width, 0)
    return [(x0, y0), (x1, y1), (x1 + dx, y1 + dy), (x0 + dx, y0 + dy)]


def _free_place(
    random: np.random.RandomState, taken: list[tuple[int, int, int]], radii: tuple[int, int]
) -> tuple[int, int, int] | None:
    """Return x, y and radius in quarters of a pixel, hardly overlapping what is `taken`; None if 30 tries fail."""
    for _ in range(30):
        radius = int(random.randint(*radii))
        x, y = (int(v) for v in random.randint(radius, 4 * SIZE - radius, 2))
        if all(100 * ((x - a) ** 2 + (y - b) ** 2) > 81 * (radius + r) ** 2 for a, b, r in taken):
            return x, y, radius
    return None


def _contrasting_color(random: np.random.RandomState, background: np.ndarray) -> tuple[str, np.ndarray]:
    for color in random.permutation(len(COLORS)):
        name = list(COLORS)[color]
        rgb = np.array(COLORS[name]) + random.randint(-15, 16, 3)
        if np.abs(rgb - background).sum() >= LEAST_CONTRAST:
            return name, rgb.clip(0, 255)
    raise AssertionError("black and white cannot both be close to a background")


def _placed(contour: Contour, place: tuple[int, int, int], degrees: int) -> Contour:
    x, y, radius = place
    sine, cosine = SINES[degrees], SINES[degrees + 90]
    scale = UNIT * TURN * 4 // STEPS  # quarters of a pixel -> fixed-point steps
    return [
        (
            x * STEPS // 4 + radius * (cosine * u - sine * v) // scale,
            y * STEPS // 4 + radius * (sine * u + cosine * v) // scale,
        )
        for u, v in contour
    ]


def _paint(canvas: np.ndarray, contours: list[Contour], rgb: np.ndarray) -> tuple[int, int, int, int]:
    """Fill contours (even-odd rule) on the canvas in place, with soft edges; return their bounding box in pixels."""
    xs, ys = zip(*(corner for contour in contours for corner in contour), strict=True)
    left, right = max(min(xs) // STEPS, 0), min(max(xs) // STEPS + 1, SIZE)
    upper, lower = max(min(ys) // STEPS, 0), min(max(ys) // STEPS + 1, SIZE)
    height, width = max(lower - upper, 0), max(right - left, 0)

    # A sample is inside when an odd number of edges crosses its row at or before it.
    step = STEPS // SUBPIXELS
    rows = (upper * STEPS + step // 2) + step * np.arange(height * SUBPIXELS)
    crossed = np.zeros((height * SUBPIXELS, width * SUBPIXELS + 1), dtype=np.uint8)
    for contour in contours:
        for (x0, y0), (x1, y1) in zip(contour, contour[1:] + contour[:1], strict=True):
            if y0 == y1:
                continue
            hit = np.flatnonzero((rows >= min(y0, y1)) & (rows < max(y0, y1)))
            x = x0 + (rows[hit] - y0) * (x1 - x0) // (y1 - y0)
            column = -((left * STEPS + step // 2 - x) // step)
            np.bitwise_xor.at(crossed, (hit, column.clip(0, width * SUBPIXELS)), 1)
    inside = np.bitwise_xor.accumulate(crossed[:, :-1], axis=1)

    cover = inside.reshape(height, SUBPIXELS, width, SUBPIXELS).sum(axis=(1, 3), dtype=np.int32)[..., None]
    full = SUBPIXELS**2
    patch = canvas[upper:lower, left:right]
    patch[:] = (patch * (full - cover) + np.asarray(rgb, dtype=np.int32) * cover + full // 2) // full
    return left, upper, right, lower


def _arc(radius: float, start: float, stop: float, corners: int, center: float = 0.0) -> list[tuple[float, float]]:
    angles = [math.radians(start + (stop - start) * i / corners) for i in range(corners + 1)]
    return [(center + radius * math.cos(a), radius * math.sin(a)) for a in angles]


def _star() -> list[tuple[float, float]]:
    radii = [1.0, 0.42] * 5
    return [(r * math.sin(math.pi * i / 5), -r * math.cos(math.pi * i / 5)) for i, r in enumerate(radii)]


def _heart() -> list[tuple[float, float]]:
    angles = [math.tau * i / 40 for i in range(40)]
    return [
        (
            math.sin(a) ** 3 * 0.95,
            -(13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)) / 17,
        )
        for a in angles
    ]


_FIGURES: dict[str, list[list[tuple[float, float]]]] = {
    "arrow": [[(1, 0), (0.2, 0.75), (0.2, 0.3), (-1, 0.3), (-1, -0.3), (0.2, -0.3), (0.2, -0.75)]],
    "circle": [_arc(1, 0, 360, 48)],
    "crescent": [_arc(1, 50, 310, 40) + _arc(0.77, 276, 84, 30, center=0.562)],
    "cross": [
        [(a, b) for a, b in [(-0.32, -1), (0.32, -1), (0.32, -0.32), (1, -0.32), (1, 0.32), (0.32, 0.32)]]
        + [(0.32, 1), (-0.32, 1), (-0.32, 0.32), (-1, 0.32), (-1, -0.32), (-0.32, -0.32)]
    ],
    "diamond": [[(0, -1), (0.58, 0), (0, 1), (-0.58, 0)]],
    "heart": [_heart()],
    "hexagon": [_arc(1, 0, 300, 5)],
    "lightning": [[(0.25, -1), (-0.55, 0.15), (-0.08, 0.15), (-0.3, 1), (0.55, -0.25), (0.08, -0.25)]],
    "ring": [_arc(1, 0, 360, 48), _arc(0.58, 0, 360, 48)],
    "square": [[(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)]],
    "star": [_star()],
    "triangle": [[(0, -1), (0.87, 0.5), (-0.87, 0.5)]],
}
SHAPES: dict[str, list[Contour]] = {
    name: [[(round(u * UNIT), round(v * UNIT)) for u, v in contour] for contour in contours]
    for name, contours in _FIGURES.items()
}
CLASSES = tuple(SHAPES)  # alphabetical
