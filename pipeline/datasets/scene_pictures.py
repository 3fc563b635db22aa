"""A seed -> a picture of the first series of scenes: one to four coloured shapes, and where each of them is."""

import numpy as np

from .scene_drawing import (
    Place,
    SceneObject,
    contrasting_color,
    finished,
    free_place,
    gradient,
    line,
    paint,
    placed,
)
from .scene_shapes import SHAPES

CLASSES = (
    "arrow", "circle", "crescent", "cross", "diamond", "heart", "hexagon", "lightning", "ring", "square", "star", "triangle",
)  # fmt: skip
RADII = (14, 56)  # of the data set's shapes, in quarters of a pixel: some are too small for a whole-image view
LEAST_CONTRAST = 160  # summed over the channels, between a shape and the background at its centre


def draw_scene(seed: int, index: int, radii: tuple[int, int] = RADII) -> tuple[np.ndarray, list[SceneObject]]:
    """Return picture `index` of the endless series `seed`, and its objects.

    seed, index: integers in [0, 2**32). radii: smallest and largest radius of an object, in quarters of a pixel. The picture
    is (128, 128, 3) uint8 RGB; it holds 1 to 4 objects, each of another class, hardly overlapping, on a colour gradient with
    clutter lines and noise.
    """
    random = np.random.RandomState([seed, index])
    canvas = gradient(random)
    for _ in range(random.randint(0, 5)):
        paint(canvas, [line(random)], random.randint(30, 226, 3))

    objects: list[SceneObject] = []
    places: list[Place] = []
    names = random.permutation(len(CLASSES))[: random.randint(1, 5)]
    for name in (CLASSES[n] for n in names):
        place = free_place(random, places, radii)
        if place is None:  # too crowded: a picture of fewer objects
            break
        places.append(place)
        color, rgb = contrasting_color(random, canvas[place[1] // 4, place[0] // 4], LEAST_CONTRAST)
        degrees = random.randint(360)
        box = paint(canvas, [placed(contour, place, degrees) for contour in SHAPES[name]], rgb)
        objects.append(SceneObject(name, color, box))
    return finished(random, canvas, 13), objects
