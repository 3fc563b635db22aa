"""Outlines, places and colours -> pixels, in integer arithmetic, so that a picture has the same bytes on every machine.

That is why shapes are filled here and not by an imaging library. Random numbers come from a legacy ``RandomState`` stream, whose
numbers NumPy has promised never to change.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .scene_shapes import UNIT, Contour

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
TURN = 1 << 14  # fixed-point one, for sines
SINES = [round(math.sin(math.radians(degree)) * TURN) for degree in range(450)]

Box = tuple[int, int, int, int]
Place = tuple[int, int, int]


@dataclass(frozen=True)
class SceneObject:
    """One shape: the names of its class and colour, and its bounding box (left, upper, right, lower) in pixels."""

    name: str
    color: str
    box: Box


def gradient(random: np.random.RandomState) -> np.ndarray:
    """Return a canvas (SIZE, SIZE, 3) int32 whose colour changes from corner to corner."""
    corners = random.randint(40, 216, (2, 2, 3)).astype(np.int32)
    along = np.arange(SIZE)
    top, bottom = (
        (row[0] * (SIZE - 1 - along[:, None]) + row[1] * along[:, None]) // (SIZE - 1) for row in corners
    )  # (width, 3) each
    return (top * (SIZE - 1 - along[:, None, None]) + bottom * along[:, None, None]) // (SIZE - 1)


def line(random: np.random.RandomState) -> Contour:
    """Return a thin line across the picture."""
    x0, y0, x1, y1 = (int(v) for v in random.randint(0, SIZE * STEPS, 4))
    width = int(random.randint(STEPS, 3 * STEPS))
    dx, dy = (0, width) if abs(x1 - x0) > abs(y1 - y0) else (width, 0)
    return [(x0, y0), (x1, y1), (x1 + dx, y1 + dy), (x0 + dx, y0 + dy)]


def free_place(
    random: np.random.RandomState, taken: Sequence[Place], radii: tuple[int, int], apart: int = 81
) -> Place | None:
    """Return x, y and radius in quarters of a pixel, hardly overlapping what is `taken`; None if 30 tries fail.

    radii: least, and what it stays below. apart: the least squared distance in hundredths of the squared sum of two radii.
    """
    for _ in range(30):
        radius = int(random.randint(*radii))
        x, y = (int(v) for v in random.randint(radius, 4 * SIZE - radius, 2))
        if all(100 * ((x - a) ** 2 + (y - b) ** 2) > apart * (radius + r) ** 2 for a, b, r in taken):
            return x, y, radius
    return None


def contrasting_color(random: np.random.RandomState, background: np.ndarray, least: int) -> tuple[str, np.ndarray]:
    """Return a colour's name and a shade of it (3,); it differs from the background by `least`, summed over the channels."""
    for color in random.permutation(len(COLORS)):
        name = list(COLORS)[color]
        rgb = np.array(COLORS[name]) + random.randint(-15, 16, 3)
        if np.abs(rgb - background).sum() >= least:
            return name, rgb.clip(0, 255)
    raise AssertionError("black and white cannot both be close to a background")


def placed(contour: Contour, place: Place, degrees: int) -> Contour:
    """Return an outline of radius 1 turned and put at a place, in steps."""
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


def samples_inside(contours: Sequence[Contour]) -> tuple[np.ndarray, Box]:
    """Return which samples are inside contours (even-odd rule), and their box in pixels.

    The samples are bool, SUBPIXELS a pixel along each axis of the box.
    """
    xs, ys = zip(*(corner for contour in contours for corner in contour), strict=True)
    left, right = max(min(xs) // STEPS, 0), min(max(xs) // STEPS + 1, SIZE)
    upper, lower = max(min(ys) // STEPS, 0), min(max(ys) // STEPS + 1, SIZE)
    height, width = SUBPIXELS * max(lower - upper, 0), SUBPIXELS * max(right - left, 0)

    # A sample is inside when an odd number of edges crosses its row at or before it.
    step = STEPS // SUBPIXELS
    begin = upper * STEPS + step // 2  # of the first row of samples
    crossed = np.zeros((height, width + 1), dtype=bool)
    for contour in contours:
        for (x0, y0), (x1, y1) in zip(contour, contour[1:] + contour[:1], strict=True):
            first, last = (min(max(-((begin - y) // step), 0), height) for y in sorted((y0, y1)))
            hit = np.arange(first, last)
            if len(hit):
                x = x0 + (begin + step * hit - y0) * (x1 - x0) // (y1 - y0)
                column = -((left * STEPS + step // 2 - x) // step)
                crossed[hit, column.clip(0, width)] ^= True
    return np.logical_xor.accumulate(crossed[:, :-1], axis=1), (left, upper, right, lower)


def blend(canvas: np.ndarray, inside: np.ndarray, box: Box, rgb: np.ndarray) -> None:
    """Colour the samples of a box on the canvas in place; a pixel is covered as far as its samples are."""
    left, upper, right, lower = box
    height, width = max(lower - upper, 0), max(right - left, 0)
    cover = inside.reshape(height, SUBPIXELS, width, SUBPIXELS).sum(axis=(1, 3), dtype=np.int32)[..., None]
    full = SUBPIXELS**2
    patch = canvas[upper:lower, left:right]
    patch[:] = (patch * (full - cover) + np.asarray(rgb, dtype=np.int32) * cover + full // 2) // full


def paint(canvas: np.ndarray, contours: Sequence[Contour], rgb: np.ndarray) -> Box:
    """Fill contours on the canvas in place, with soft edges; return their bounding box in pixels."""
    inside, box = samples_inside(contours)
    blend(canvas, inside, box, rgb)
    return box


def finished(random: np.random.RandomState, canvas: np.ndarray, noise: int) -> np.ndarray:
    """Return the picture (SIZE, SIZE, 3) uint8 of a canvas, with noise of a random strength from 2 to below `noise`."""
    grain = random.randint(0, 256, canvas.shape, dtype=np.uint8).astype(np.int32)
    grain += random.randint(0, 256, canvas.shape, dtype=np.uint8)
    canvas += (grain - 255) * random.randint(2, noise) // 128
    return canvas.clip(0, 255).astype(np.uint8)
