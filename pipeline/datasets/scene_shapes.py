"""A shape's name -> its outline, in fixed-point numbers around the origin, radius about 1."""

import math

UNIT = 1 << 12  # fixed-point one, for shapes of radius 1

Contour = list[tuple[int, int]]
Figure = list[list[tuple[float, float]]]


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


def _flower() -> list[tuple[float, float]]:
    angles = [math.tau * i / 60 for i in range(60)]
    return [((0.7 + 0.3 * math.cos(5 * a)) * math.cos(a), (0.7 + 0.3 * math.cos(5 * a)) * math.sin(a)) for a in angles]


def _drop() -> list[tuple[float, float]]:
    return [(0, -1), *((x, y + 0.38) for y, x in _arc(0.62, 110, -110, 30))]


def _tree() -> list[tuple[float, float]]:
    right = [(0, -1), (0.5, -0.35), (0.25, -0.35), (0.75, 0.4), (0.16, 0.4), (0.16, 1)]
    return [*right, *((-x, y) for x, y in reversed(right[1:]))]


_FIGURES: dict[str, Figure] = {
    "arrow": [[(1, 0), (0.2, 0.75), (0.2, 0.3), (-1, 0.3), (-1, -0.3), (0.2, -0.3), (0.2, -0.75)]],
    "circle": [_arc(1, 0, 360, 48)],
    "crescent": [_arc(1, 50, 310, 40) + _arc(0.77, 276, 84, 30, center=0.562)],
    "cross": [
        [(a, b) for a, b in [(-0.32, -1), (0.32, -1), (0.32, -0.32), (1, -0.32), (1, 0.32), (0.32, 0.32)]]
        + [(0.32, 1), (-0.32, 1), (-0.32, 0.32), (-1, 0.32), (-1, -0.32), (-0.32, -0.32)]
    ],
    "diamond": [[(0, -1), (0.58, 0), (0, 1), (-0.58, 0)]],
    "drop": [_drop()],
    "flower": [_flower()],
    "heart": [_heart()],
    "hexagon": [_arc(1, 0, 300, 5)],
    "house": [[(0, -1), (0.95, -0.15), (0.62, -0.15), (0.62, 0.8), (-0.62, 0.8), (-0.62, -0.15), (-0.95, -0.15)]],
    "lightning": [[(0.25, -1), (-0.55, 0.15), (-0.08, 0.15), (-0.3, 1), (0.55, -0.25), (0.08, -0.25)]],
    "ring": [_arc(1, 0, 360, 48), _arc(0.58, 0, 360, 48)],
    "square": [[(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)]],
    "star": [_star()],
    "tree": [_tree()],
    "triangle": [[(0, -1), (0.87, 0.5), (-0.87, 0.5)]],
}
SHAPES: dict[str, list[Contour]] = {
    name: [[(round(u * UNIT), round(v * UNIT)) for u, v in contour] for contour in contours]
    for name, contours in _FIGURES.items()
}
