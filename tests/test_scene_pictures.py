"""Generated scenes: the same bytes everywhere, and boxes and names that are true of the picture."""

import hashlib
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aevlp.pipeline.datasets import scene_pictures
from aevlp.pipeline.datasets.scene_drawing import COLORS, SIZE, STEPS, paint, placed
from aevlp.pipeline.datasets.scene_pictures import CLASSES, RADII, draw_scene
from aevlp.pipeline.datasets.scene_shapes import SHAPES, UNIT, Contour

PINNED = {
    (0, 0): "1e2662e7252efb847c11ce9865161fe445eeae6104c1b0796aa38900f2610035",
    (0, 1): "842b6bc9e7126576b252f29274d6e22de864c77cda77b513ee5a7215320664b8",
    (1200, 7): "aa4cfbeaf5c0fd3c3a5e4aa29e2c9455386c24663a1de8bc78b3dd10f323ddfe",
    (2**32 - 1, 2**32 - 1): "87b7af83d08615225d77f0f67c87e4a867194e4e3895a02362f24d763c097e92",
}
LARGE = (20, 92)  # other radii than the data set's
PINNED_LARGE = {
    (0, 0): "27cb3bf11447732999eaa3ec83303250032feaf512ea02990f413331b2066be4",
    (0, 1): "00d44cf185f0e0398f53f9302939046782db9c517b71869b7f4db6c609372865",
}
SAMPLE = [draw_scene(5, index) for index in range(150)]


@pytest.mark.parametrize("place", PINNED, ids=str)
def test_pixels_are_the_same_on_every_machine(place: tuple[int, int]) -> None:
    picture, _ = draw_scene(*place)
    assert hashlib.sha256(picture.tobytes()).hexdigest() == PINNED[place]


def test_a_series_is_the_same_on_every_machine() -> None:
    series = b"".join(picture.tobytes() for picture, _ in SAMPLE[:60])
    assert hashlib.sha256(series).hexdigest() == "a39f1a37d9e61daecbf993650520207d5e4c87f588b14cdb267442ee87b4f8c1"


@pytest.mark.parametrize("place", PINNED_LARGE, ids=str)
def test_pixels_of_larger_shapes_are_the_same_on_every_machine(place: tuple[int, int]) -> None:
    picture, _ = draw_scene(*place, LARGE)
    assert hashlib.sha256(picture.tobytes()).hexdigest() == PINNED_LARGE[place]


def test_objects_are_the_same_on_every_machine() -> None:
    _, objects = draw_scene(0, 0, LARGE)
    assert [(o.name, o.color, o.box) for o in objects] == [
        ("heart", "black", (31, 11, 72, 53)),
        ("crescent", "pink", (11, 71, 49, 113)),
    ]


def test_a_scene_depends_on_its_seed_and_index_alone() -> None:
    np.random.seed(0)
    before = np.random.get_state(legacy=False)
    first, objects = draw_scene(3, 4)
    draw_scene(3, 5)
    again, same = draw_scene(3, 4)
    np.testing.assert_array_equal(first, again)
    assert objects == same
    after = np.random.get_state(legacy=False)
    np.testing.assert_equal(after, before)


def test_scenes_differ_by_seed_and_by_index() -> None:
    pictures = {draw_scene(seed, index)[0].tobytes() for seed in range(3) for index in range(3)}
    assert len(pictures) == 9


def test_pictures_are_rgb_bytes() -> None:
    for picture, _ in SAMPLE:
        assert picture.shape == (SIZE, SIZE, 3)
        assert picture.dtype == np.uint8


def test_one_to_four_objects_of_distinct_known_classes() -> None:
    counts = {len(objects) for _, objects in SAMPLE}
    assert counts == {1, 2, 3, 4}
    for _, objects in SAMPLE:
        names = [o.name for o in objects]
        assert len(set(names)) == len(names)
        assert set(names) <= set(CLASSES)
    assert {o.name for _, objects in SAMPLE for o in objects} == set(CLASSES)
    assert {o.color for _, objects in SAMPLE for o in objects} == set(COLORS)


def test_classes_are_alphabetical() -> None:
    assert len(CLASSES) == 12
    assert list(CLASSES) == sorted(CLASSES)


@pytest.mark.parametrize("radii", [RADII, LARGE, (60, 61)], ids=str)
def test_boxes_lie_inside_the_picture_and_fit_the_radii(radii: tuple[int, int]) -> None:
    for index in range(40):
        for o in draw_scene(6, index, radii)[1]:
            left, upper, right, lower = o.box
            assert 0 <= left < right <= SIZE
            assert 0 <= upper < lower <= SIZE
            # from the reach of a turned diamond to that of a turned square, and a pixel at either end
            assert 1.3 * radii[0] / 4 - 2 <= max(right - left, lower - upper) <= 2.3 * radii[1] / 4 + 2


def test_a_box_holds_its_colour() -> None:
    for picture, objects in SAMPLE:
        for o in objects:
            left, upper, right, lower = o.box
            inside = picture[upper:lower, left:right].astype(int)
            # up to 15 levels of shade and 24 of noise
            matches = (np.abs(inside - COLORS[o.color]).max(axis=-1) <= 40).mean()
            assert matches > 0.1, o


def test_painting_changes_what_is_in_the_box_up_to_its_sides_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    painted = []

    def watched(canvas: np.ndarray, contours: list[Contour], rgb: np.ndarray) -> tuple:
        before = canvas.copy()
        box = paint(canvas, contours, rgb)
        painted.append((box, (canvas != before).any(axis=-1)))
        return box

    monkeypatch.setattr(scene_pictures, "paint", watched)
    objects = [o for index in range(20) for o in draw_scene(9, index)[1]]
    of_objects = [(box, changed) for box, changed in painted if box in {o.box for o in objects}]
    assert len(of_objects) >= len(objects) > 20
    for (left, upper, right, lower), changed in of_objects:
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        assert left <= columns[0] <= left + 2
        assert upper <= rows[0] <= upper + 2
        assert right - 3 <= columns[-1] < right
        assert lower - 3 <= rows[-1] < lower


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(set(CLASSES))),
    radius=st.integers(14, 91),
    degrees=st.integers(0, 359),
    center=st.tuples(st.integers(4 * 30, 4 * 98), st.integers(4 * 30, 4 * 98)),
)
def test_a_filled_shape_has_the_area_of_its_outline(
    name: str, radius: int, degrees: int, center: tuple[int, int]
) -> None:
    canvas = np.zeros((SIZE, SIZE, 3), dtype=np.int32)
    place = (*center, radius)
    paint(canvas, [placed(c, place, degrees) for c in SHAPES[name]], np.full(3, 240))
    areas, outline = [], 0.0
    for contour in SHAPES[name]:
        closed = [(u * radius / UNIT / 4, v * radius / UNIT / 4) for u, v in [*contour, contour[0]]]
        areas.append(abs(sum(a * d - b * c for (a, b), (c, d) in pairwise(closed))) / 2)
        outline += sum(math.dist(start, stop) for start, stop in pairwise(closed))
    expected = 2 * max(areas) - sum(areas)  # a second outline is a hole
    # Samples are a quarter of a pixel apart, so an edge may be off by half of that.
    assert canvas.sum() / 3 / 240 == pytest.approx(expected, abs=outline / 8 + 0.5)


def test_half_a_pixel_is_covered_by_half() -> None:
    canvas = np.zeros((SIZE, SIZE, 3), dtype=np.int32)
    half = STEPS // 2
    box = paint(canvas, [[(half, 0), (3 * half, 0), (3 * half, STEPS), (half, STEPS)]], np.full(3, 160))
    assert box == (0, 0, 2, 2)
    assert canvas[:2, :3, 0].tolist() == [[80, 80, 0], [0, 0, 0]]
    assert canvas.sum() == 3 * 160
