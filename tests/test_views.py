"""Crop boxes and the pixels of a view, against the published tiling and against torch's resizing."""

import re

import numpy as np
import pytest
import torch
import typer
from hypothesis import example, given, settings
from hypothesis import strategies as st
from laws import each
from PIL import Image
from torch.nn.functional import interpolate

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.images.schemes import scheme, scheme_of
from aevlp.pipeline.images.schemes.grid import tile_boxes
from aevlp.pipeline.images.views import view_boxes, view_bytes, view_pixels
from aevlp.pipeline.manifest.sections import Damp
from aevlp.stages.stage_one.options import PseudolabelOptions, view_scheme
from goldens import load

GOLDEN = load("tiling")
BOXES = [name for name in GOLDEN if name.startswith("w")]
PIXELS = [name for name in GOLDEN if name.startswith("pixels_")]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet, as published

SIDES = st.integers(1, 90)
GRIDS = st.integers(1, 7)


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@each(name=BOXES)
def test_tiles_equal_the_published_ones(name: str) -> None:
    case = GOLDEN[name]
    boxes = tile_boxes(int(case["width"]), int(case["height"]), int(case["grid_size"]), compat="published")
    np.testing.assert_array_equal(boxes, case["boxes"])


@settings(max_examples=100, deadline=None)
@given(width=SIDES, height=SIDES, grid=GRIDS)
@example(width=1, height=1, grid=5)
@example(width=3, height=80, grid=4)
def test_paper_tiles_have_area_and_lie_inside_the_image(width: int, height: int, grid: int) -> None:
    boxes = tile_boxes(width, height, grid)
    assert len(boxes) == grid**2
    for left, upper, right, lower in boxes:
        assert 0 <= left < right <= width
        assert 0 <= upper < lower <= height
        assert (right - left, lower - upper) == (max(width // grid, 1), max(height // grid, 1))


@settings(max_examples=100, deadline=None)
@given(width=SIDES, height=SIDES, grid=GRIDS)
def test_published_tiles_are_disjoint_and_drop_only_the_remainder(width: int, height: int, grid: int) -> None:
    times_covered = np.zeros((height, width), dtype=int)
    for left, upper, right, lower in tile_boxes(width, height, grid, compat="published"):
        times_covered[upper:lower, left:right] += 1
    expected = np.zeros((height, width), dtype=int)
    expected[: height - height % grid, : width - width % grid] = 1
    np.testing.assert_array_equal(times_covered, expected)


@settings(max_examples=50, deadline=None)
@given(grid=GRIDS, more=st.tuples(SIDES, SIDES))
def test_both_rules_agree_where_the_image_is_no_smaller_than_the_grid(grid: int, more: tuple[int, int]) -> None:
    width, height = grid + more[0] - 1, grid + more[1] - 1
    assert tile_boxes(width, height, grid) == tile_boxes(width, height, grid, compat="published")


def test_tiles_go_row_by_row_after_the_whole_image() -> None:
    assert view_boxes(5, 7, 2) == [(0, 0, 5, 7), (0, 0, 2, 3), (2, 0, 4, 3), (0, 3, 2, 6), (2, 3, 4, 6)]


@pytest.mark.parametrize(("width", "height", "grid"), [(0, 4, 2), (4, 0, 2), (4, 4, 0), (4, 4, -1)])
def test_sizes_below_one_are_a_mistake(width: int, height: int, grid: int) -> None:
    with pytest.raises(AevlpError, match="at least 1"):
        tile_boxes(width, height, grid)


def test_an_unknown_rule_is_a_mistake() -> None:
    with pytest.raises(AevlpError, match="paper, published"):
        tile_boxes(4, 4, 2, compat="strict")


@pytest.mark.parametrize("name", PIXELS)
def test_pixels_equal_the_published_ones(name: str) -> None:
    case = GOLDEN[name]
    image = case["image"]
    y, x = case["at_yx"].T
    boxes = view_boxes(image.shape[1], image.shape[0], int(case["grid_size"]), compat="published")
    assert len(boxes) == case["view_shape"][0] == len(case["views"])
    for box, expected in zip(boxes, case["views"], strict=True):
        pixels = view_pixels(image, box, 224, bool(case["flip"]), MEAN, STD)
        assert pixels.shape == tuple(case["view_shape"][1:])
        assert pixels.dtype == np.float32
        np.testing.assert_allclose(pixels[:, y, x], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", PIXELS)
def test_classifier_input_equals_the_published_one(name: str) -> None:
    case = GOLDEN[name]
    y, x = 2 * case["at_yx"].T
    image = Image.fromarray(case["image"])
    pixels = view_pixels(image, (0, 0, *image.size), 448, False, MEAN, STD)
    np.testing.assert_allclose(pixels[:, y, x], case["classifier_input_448"], rtol=1e-4, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(width=SIDES, height=SIDES, size=st.integers(1, 64), seed=st.integers(0, 99))
def test_resizing_equals_torch_antialiased_bilinear(width: int, height: int, size: int, seed: int) -> None:
    image = noise(width, height, seed)
    levels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    resized = interpolate(levels, (size, size), mode="bilinear", antialias=True)
    pixels = view_pixels(image, (0, 0, width, height), size, False, (0, 0, 0), (1, 1, 1))
    assert np.abs(pixels * 255 - resized[0].numpy()).max() <= 1.5  # Pillow rounds to whole levels twice


@settings(max_examples=25, deadline=None)
@given(corner=st.tuples(st.integers(0, 20), st.integers(0, 20)), size=st.integers(1, 20), mirrored=st.booleans())
def test_a_view_of_its_own_size_is_the_normalised_crop(corner: tuple[int, int], size: int, mirrored: bool) -> None:
    image = noise(40, 40)
    left, upper = corner
    crop = image[upper : upper + size, left : left + size].astype(np.float64)
    expected = (crop[:, ::-1] if mirrored else crop) / 255
    expected = (expected - MEAN) / STD
    pixels = view_pixels(image, (left, upper, left + size, upper + size), size, mirrored, MEAN, STD)
    np.testing.assert_allclose(pixels, expected.transpose(2, 0, 1), rtol=1e-5, atol=1e-6)


def test_a_mirrored_view_is_the_view_reversed() -> None:
    plain, mirrored = (view_pixels(noise(50, 30), (3, 2, 40, 28), 32, m, MEAN, STD) for m in (False, True))
    np.testing.assert_array_equal(mirrored, plain[:, :, ::-1])
    assert not np.array_equal(mirrored, plain)


def test_a_view_sees_only_its_box() -> None:
    box = (10, 5, 30, 25)
    image = noise(50, 30)
    other = noise(50, 30, seed=1)
    other[5:25, 10:30] = image[5:25, 10:30]
    np.testing.assert_array_equal(
        view_bytes(Image.fromarray(image), box, 64), view_bytes(Image.fromarray(other), box, 64)
    )


def test_an_array_and_a_picture_give_the_same_view() -> None:
    image = noise(20, 30)
    before = image.copy()
    from_array, from_picture = (
        view_pixels(i, (1, 2, 19, 20), 32, True, MEAN, STD) for i in (image, Image.fromarray(image))
    )
    np.testing.assert_array_equal(from_array, from_picture)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("box", [(0, 0, 0, 3), (2, 0, 2, 0), (0, 3, 3, 3)])
def test_a_box_without_area_is_black(box: tuple[int, int, int, int]) -> None:
    pixels = view_pixels(np.full((3, 3, 3), 200, dtype=np.uint8), box, 8, False, MEAN, STD)
    black = (-np.array(MEAN) / STD)[:, None, None]
    np.testing.assert_allclose(pixels, np.broadcast_to(black, (3, 8, 8)), rtol=1e-6)


@pytest.mark.parametrize("compat", ["paper", "published"])
def test_every_view_of_an_image_smaller_than_the_grid_is_usable(compat: str) -> None:
    image = np.full((1, 2, 3), 200, dtype=np.uint8)
    views = [view_bytes(Image.fromarray(image), box, 4) for box in view_boxes(2, 1, 4, compat)]
    assert len(views) == 17
    assert (views[0] == 200).all()
    assert all((view == (200 if compat == "paper" else 0)).all() for view in views[1:])


@pytest.mark.parametrize("grid", [0, -1, 33, "33", " -2 ", "grid[grid=0]"])
def test_a_grid_out_of_range_is_refused_wherever_it_is_said(grid: int | str) -> None:
    for refuses in (scheme, scheme_of, lambda grid: Damp(grid=grid), lambda grid: view_scheme(str(grid))):
        with pytest.raises((AevlpError, ValueError, typer.BadParameter), match="a grid of 1 to 32 tiles a side, found"):
            refuses(grid)


@pytest.mark.parametrize(
    ("said", "recorded"),
    [
        (1, 1),
        (32, 32),
        (" 4 ", 4),
        ("grid", 4),
        ("grid[grid=5]", 5),
        ("crops", "crops[count=16,seed=0]"),
        ("crops[seed=3]", "crops[count=16,seed=3]"),
        (" crops[seed=3.0, count=16]", "crops[count=16,seed=3]"),
        ("pyramid", "pyramid[levels=3]"),
        ("overlap[grid=2]", "overlap[grid=2]"),
    ],
)
def test_a_scheme_is_a_number_of_tiles_or_a_name_and_recorded_with_all_constants(
    said: int | str, recorded: int | str
) -> None:
    assert scheme(said).recorded == Damp(grid=said).grid == view_scheme(str(said)) == recorded
    assert scheme(recorded) == scheme(said) == scheme(str(scheme(said)))
    assert PseudolabelOptions("photos", views=said).asked_views == recorded


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("thirds", "unknown scheme of views 'thirds': known are"),
        ("--4", "unknown scheme of views '--4'"),
        ("crops[cuont=3]", "unknown constant of views crops 'cuont': known are count, seed"),
        ("crops[count=0]", "expected 1 to 1024 crops, found a count of 0"),
        ("crops[seed=-1]", "a seed of at least 0 for crops, found -1"),
        ("crops[count=2.5]", "count of views crops must be a whole number, found 2.5"),
        ("crops[count=many]", "count of views crops must be a whole number, found 'many'"),
        ("pyramid[levels=0]", "expected a pyramid of 1 to 6 levels, found 0"),
        ("pyramid[levels=7]", "expected a pyramid of 1 to 6 levels, found 7"),
        ("overlap[grid=17]", "a grid of 1 to 16 tiles a side, found 17"),
        ("overlap[grid=3", "the brackets do not close"),
    ],
)
def test_schemes_that_cannot_be_are_a_line(said: str, found: str) -> None:
    for refuses in (lambda: scheme(said), lambda: PseudolabelOptions("photos", views=said)):
        with pytest.raises(AevlpError, match=re.escape(found)) as caught:
            refuses()
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=re.escape(found)):
        Damp(grid=said)


def test_what_is_no_scheme_at_all_is_refused() -> None:
    for odd in (None, True, 2.5, [4]):
        with pytest.raises(AevlpError, match="grid of views grid must be a whole number"):
            scheme(odd)


def test_grid_and_views_together_are_refused() -> None:
    with pytest.raises(AevlpError, match=r"--grid 2 and --views crops\[count=3,seed=0\] both say"):
        PseudolabelOptions("photos", grid=2, views="crops[count=3]")
    assert PseudolabelOptions("photos").asked_views is None
    assert PseudolabelOptions("photos", grid=2).asked_views == 2
