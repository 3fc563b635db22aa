"""Schemes of views: laws of their boxes, caches that are scored by each, and what refuses to mix them."""

import re
import subprocess
import sys
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import torch
from conftest import call, stage_one, stage_two
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from plain_cosines import plain_cosines

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.images.read import read_pixels
from aevlp.pipeline.images.resizing import EXACT, FAST, resized_views
from aevlp.pipeline.images.schemes import SCHEMES, ViewScheme, scheme
from aevlp.pipeline.images.schemes.grid import tile_boxes
from aevlp.pipeline.images.views import view_bytes
from aevlp.pipeline.labels.damp import DampSettings, damp_codes
from aevlp.pipeline.policies import Known, Labels
from aevlp.pipeline.policies.labelling import label
from aevlp.pipeline.score_cache import ScoreCache, open_cache
from aevlp.pipeline.training.epoch_labels import EpochLabels
from aevlp.stages.cache_origin import dataset_of
from aevlp.stages.stage_two.labels_plan import policy_with

SIDES = st.integers(1, 900)
ASKED = {
    "grid[grid=3]": 10,
    "pyramid[levels=1]": 1,
    "pyramid[levels=3]": 21,
    "overlap[grid=2]": 10,
    "crops[count=5,seed=7]": 6,
}
CROPS = "crops[count=5,seed=7]"


def schemes() -> st.SearchStrategy[ViewScheme]:
    """Any scheme with any constants that it takes, few views."""
    return st.one_of(
        st.integers(1, 6).map(scheme),
        st.integers(1, 4).map(lambda levels: scheme(f"pyramid[levels={levels}]")),
        st.integers(1, 5).map(lambda grid: scheme(f"overlap[grid={grid}]")),
        st.tuples(st.integers(1, 12), st.integers(0, 10**9)).map(lambda c: scheme(f"crops[count={c[0]},seed={c[1]}]")),
    )


def inside(box: tuple[int, int, int, int], width: int, height: int) -> bool:
    left, upper, right, lower = box
    return 0 <= left < right <= width and 0 <= upper < lower <= height


@settings(max_examples=200, deadline=None)
@given(of=schemes(), width=SIDES, height=SIDES)
@example(of=scheme("overlap[grid=5]"), width=1, height=1)
@example(of=scheme("pyramid[levels=4]"), width=3, height=900)
def test_boxes_lie_inside_the_image_the_first_is_the_whole_of_it(of: ViewScheme, width: int, height: int) -> None:
    boxes = of.boxes(width, height)
    assert boxes[0] == (0, 0, width, height)
    assert len(boxes) == of.count == len(of.shares)
    assert all(inside(box, width, height) for box in boxes)
    assert boxes == scheme(str(of)).boxes(width, height)


@settings(max_examples=100, deadline=None)
@given(of=schemes(), width=st.integers(64, 900), height=st.integers(64, 900))
def test_shares_are_where_boxes_lie_to_within_some_pixels(of: ViewScheme, width: int, height: int) -> None:
    """Each tile of a grid is cut to whole pixels, and the next begins there: so many pixels apart at most."""
    apart = np.abs(np.array(of.shares) * [width, height, width, height] - of.boxes(width, height))
    assert apart.max() <= (1 if of.name == "crops" else 8)
    assert (np.array(of.shares) >= 0).all() and (np.array(of.shares) <= 1).all()


@settings(max_examples=60, deadline=None)
@given(width=SIDES, height=SIDES, grid=st.integers(1, 7), compat=st.sampled_from(["paper", "published"]))
def test_the_views_of_a_grid_are_its_tiles(width: int, height: int, grid: int, compat: str) -> None:
    assert scheme(grid, compat).boxes(width, height)[1:] == tile_boxes(width, height, grid, compat)


@settings(max_examples=60, deadline=None)
@given(width=SIDES, height=SIDES, levels=st.integers(1, 5))
def test_a_pyramid_is_grids_of_twice_as_many_tiles_a_side(width: int, height: int, levels: int) -> None:
    of = scheme(f"pyramid[levels={levels}]")
    assert of.count == sum(4**level for level in range(levels)) == (4**levels - 1) // 3
    boxes = of.boxes(width, height)
    for level in range(levels):
        first = (4**level - 1) // 3
        assert boxes[first : first + 4**level] == tile_boxes(width, height, 2**level)


@settings(max_examples=60, deadline=None)
@given(width=SIDES, height=SIDES, grid=st.integers(1, 6))
def test_overlapping_tiles_have_half_a_tile_between_them_and_every_other_one_is_a_grids(
    width: int, height: int, grid: int
) -> None:
    side = 2 * grid - 1
    boxes = scheme(f"overlap[grid={grid}]").boxes(width, height)[1:]
    assert len(boxes) == side**2
    rows = [boxes[row * side : (row + 1) * side] for row in range(side)]
    assert [box for row in rows[::2] for box in row[::2]] == tile_boxes(width, height, grid)
    tile_width, tile_height = max(width // grid, 1), max(height // grid, 1)
    assert {(right - left, lower - upper) for left, upper, right, lower in boxes} == {(tile_width, tile_height)}
    if min(width, height) >= grid:
        for y, row in enumerate(rows):
            for x, (left, upper, _, _) in enumerate(row):
                assert (left, upper) == (int(x * tile_width / 2), int(y * tile_height / 2))


@settings(max_examples=100, deadline=None)
@given(width=SIDES, height=SIDES, count=st.integers(1, 40), seed=st.integers(0, 2**40))
def test_crops_have_ten_to_twenty_percent_of_the_area_and_the_images_proportions(
    width: int, height: int, count: int, seed: int
) -> None:
    of = scheme(f"crops[count={count},seed={seed}]")
    for left, upper, right, lower in of.shares[1:]:
        assert 0.1 - 1e-9 <= (right - left) * (lower - upper) <= 0.2 + 1e-9
        assert right - left == pytest.approx(lower - upper, abs=1e-9)
    for left, upper, right, lower in of.boxes(width, height)[1:]:  # cut to whole pixels, of which there is one at least
        assert np.sqrt(0.1) * width - 0.51 <= right - left <= max(1, np.sqrt(0.2) * width + 0.51)
        assert np.sqrt(0.1) * height - 0.51 <= lower - upper <= max(1, np.sqrt(0.2) * height + 0.51)


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 30), more=st.integers(1, 30), seed=st.integers(0, 99))
def test_more_crops_of_a_seed_begin_with_those_of_fewer_and_another_seed_has_others(
    count: int, more: int, seed: int
) -> None:
    few = scheme(f"crops[count={count},seed={seed}]").boxes(500, 375)
    assert scheme(f"crops[count={count + more},seed={seed}]").boxes(500, 375)[: count + 1] == few
    assert scheme(f"crops[count={count},seed={seed + 1}]").boxes(500, 375) != few


def test_crops_are_drawn_evenly_over_sizes_and_places() -> None:
    shares = np.array(scheme("crops[count=1024]").shares[1:])
    sides = shares[:, 2] - shares[:, 0]
    assert sides.mean() ** 2 == pytest.approx(0.15, abs=0.003)
    free = shares[:, :2] / (1 - sides[:, None])
    np.testing.assert_allclose(free.mean(axis=0), 0.5, atol=0.03)
    np.testing.assert_allclose(np.quantile(free, [0.25, 0.75]), [0.25, 0.75], atol=0.03)


def test_the_crops_of_a_seed_are_those_of_every_version() -> None:
    """They are part of what a cache means: another draw for the same name would belong to another scheme."""
    assert scheme("crops[count=2,seed=0]").boxes(500, 375)[1:] == [(216, 90, 431, 251), (165, 98, 342, 231)]


def test_the_table_of_the_docs_has_each_scheme_with_its_constants_and_defaults() -> None:
    text = (Path(__file__).parent.parent / "docs" / "method.md").read_text(encoding="utf-8")
    table = text.split("## Other views\n")[1].split("\n\n")[1].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]
    assert [name for name, *_ in cells] == [f"`{name}`" for name in SCHEMES]
    for name, _, constants in cells:
        defaults = scheme(name.strip("`")).constants
        assert {key: int(value) for key, value in re.findall(r"`(\w+)` (\d+)", constants)} == defaults


@pytest.fixture(scope="module")
def caches(blocks: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, ScoreCache]:
    """A cache of the blocks for each scheme, single precision."""
    folder = tmp_path_factory.mktemp("schemes")
    return {
        text: open_cache(stage_one(blocks, folder / f"{n}.h5", views=text, storage="float32"))
        for n, text in enumerate(ASKED)
    }


@pytest.mark.parametrize("text", ASKED)
def test_each_scheme_scores_what_its_boxes_show(text: str, caches: dict[str, ScoreCache], blocks: Path) -> None:
    cache, of = caches[text], scheme(text)
    assert cache.header.views == ASKED[text] == of.count
    assert cache.provenance["method"]["grid"] == of.recorded
    np.testing.assert_array_equal(cache.boxes, of.shares)
    for row in (0, 7):
        plain = plain_cosines(blocks, str(cache.paths[row]), cache.prompts, text)
        np.testing.assert_allclose(cache.similarity([row])[0], plain, atol=2e-3)


@pytest.mark.parametrize("text", ASKED)
def test_policies_label_with_any_number_of_views(text: str, caches: dict[str, ScoreCache]) -> None:
    cache, rows = caches[text], np.arange(12)
    spec = dataset_of(cache, None, None)
    given: dict[str, dict] = {
        "threshold": {"thresholds": [0.3] * 3},
        "view-weights": {"weights": [0.0] * cache.header.views},
        "cap": {"expected_positives": 1.5},
    }
    for name in (*given, "damp", "global", "vlpl", "top-k", "label-propagation"):
        labels = label(cache, rows, policy_with(name, spec, "paper", given.get(name, {})).create(), epoch=1)
        assert labels.codes.shape == (12, 3), name
    whole = cache.codes_of_views(spec.damp.settings("paper"), slice(1))
    if cache.header.views == 1:
        np.testing.assert_array_equal(cache.codes(spec.damp.settings("paper")), whole)


class ByArea:
    """Labels by the mean of the views' probabilities, each weighted by its area."""

    reads = ("boxes",)

    def scores(self, similarity: np.ndarray, observed: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weights = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        final = (np.einsum("v,nvc->nc", weights / weights.sum(), similarity) + 1).astype(np.float32) / 2
        return final, final

    def __call__(self, known: Known) -> Labels:
        return Labels((known.final == known.final.max(axis=1, keepdims=True)).astype(np.int8), known.final)


@pytest.mark.parametrize("text", ASKED)
def test_a_policy_may_ask_where_the_views_lie(text: str, caches: dict[str, ScoreCache]) -> None:
    cache, rows = caches[text], np.arange(12)
    ahead = EpochLabels(cache, rows, ByArea(), epochs=2, seed=3)  # type: ignore[arg-type]
    ahead.make_ahead(2)
    found = ahead.of(2)
    expected = np.zeros((12, 3))
    for numbers, cosines in cache.views(rows, 2, 3):
        areas = [1.0, *((right - left) * (lower - upper) for left, upper, right, lower in scheme(text).shares[1:])]
        expected[numbers] = np.average((cosines + 1) / 2, axis=1, weights=areas)
    np.testing.assert_allclose(found.scores, expected, atol=1e-6)


@pytest.mark.parametrize("text", [CROPS, "pyramid[levels=1]"])
def test_a_cache_of_any_scheme_trains_inspects_and_verifies(
    text: str, caches: dict[str, ScoreCache], blocks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = caches[text].path
    stage_two(path, tmp_path / "run", backbone="linear", epochs=1)
    capsys.readouterr()
    assert call("inspect", path) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{ASKED[text]} view{'s' * (ASKED[text] > 1)}, {text}, 2 flips" in shown
    assert "manifest now" in shown and "needs the images scored again" in shown
    assert call("verify", path) == 0


def test_a_scheme_goes_through_parquet_and_back(caches: dict[str, ScoreCache], tmp_path: Path) -> None:
    cache = caches[CROPS]
    assert call("convert", cache.path, tmp_path / "c.parquet") == 0
    assert call("convert", tmp_path / "c.parquet", tmp_path / "c.h5") == 0
    for place in ("c.parquet", "c.h5"):
        again = open_cache(tmp_path / place)
        assert again.header == cache.header
        np.testing.assert_array_equal(again.boxes, cache.boxes)
        np.testing.assert_array_equal(again.similarity(slice(None)), cache.similarity(slice(None)))
        assert call("cache", "diff", cache.path, again.path) == 0


def test_stage_one_again_takes_the_cache_of_its_scheme_and_refuses_others(
    caches: dict[str, ScoreCache], blocks: Path
) -> None:
    path = caches[CROPS].path
    before = path.read_bytes()
    stage_one(blocks, path, views="crops[seed=7,count=5]", storage="float32")
    for other in ("crops[count=5,seed=8]", "crops[count=6,seed=7]", "grid[grid=2]", "pyramid"):
        with pytest.raises(
            AevlpError, match=r"made differently \(this run has method.grid: .*, not crops\[count=5,seed=7\]"
        ):
            stage_one(blocks, path, views=other, storage="float32")
    assert path.read_bytes() == before


def test_append_and_retry_score_by_the_caches_own_scheme(blocks: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    copytree(blocks, folder)
    table, picture = folder / "labels.csv", folder / "images" / "03.png"
    whole, kept = table.read_text(), picture.read_bytes()
    table.write_text("".join(line for line in whole.splitlines(True) if "/05.png" not in line))
    picture.write_bytes(b"no picture")
    path = stage_one(folder, tmp_path / "c.h5", views=CROPS, storage="float32")
    table.write_text(whole)
    picture.write_bytes(kept)
    assert call("cache", "append", path, "--workers", 0, "--manifest", folder / "blocks.yaml") == 0
    found = open_cache(path)
    assert found.provenance["method"]["grid"] == CROPS and len(found) == 16 and (found.status == "ok").all()
    anew = open_cache(stage_one(folder, tmp_path / "d.h5", views=CROPS, storage="float32"))
    np.testing.assert_allclose(found.similarity(slice(None)), anew.similarity(slice(None)), atol=1e-5)


def test_caches_of_other_schemes_are_not_merged_and_diff_names_them(
    caches: dict[str, ScoreCache], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two of them have ten views each: the number alone would not tell."""
    one, other = caches["grid[grid=3]"].path, caches["overlap[grid=2]"].path
    assert call("cache", "merge", tmp_path / "m.h5", one, other) == 1
    assert "(method.grid: overlap[grid=2], not 3)" in capsys.readouterr().err
    assert call("cache", "diff", one, other) == 1
    assert f"method.grid: 3 in {one}, overlap[grid=2] in {other}" in capsys.readouterr().out


def test_the_views_of_a_source_stand_in_its_entry(blocks: Path, folder: Path) -> None:
    arguments = ("--classes", "red,green,blue", "--clip", "scenes", "--limit", 2, "--workers", 0)
    assert call("pseudolabel", blocks / "images", *arguments, "--views", "crops[count=2]") == 0
    (entry,) = Path("cache").glob("*.yaml")
    assert "crops[count=2,seed=0]" in entry.read_text()
    (path,) = Path("cache").glob("*.h5")
    assert open_cache(path).header.views == 3


@pytest.mark.parametrize("name", SCHEMES)
def test_fast_and_exact_resizing_show_the_same_views(name: str, blocks: Path) -> None:
    pixels = read_pixels(blocks / "images" / "00.png")
    image = Image.fromarray(pixels)
    fast, exact = (resized_views(torch.from_numpy(pixels), name, 32, resize=way) for way in (FAST, EXACT))
    plain = [view_bytes(image, box, 32).transpose(2, 0, 1) for box in scheme(name).boxes(*image.size)]
    np.testing.assert_array_equal(exact.numpy(), plain)
    assert np.abs(fast.numpy().astype(int) - exact.numpy()).max() <= 2


PROGRAM = """
import os, sys
from aevlp.stages.commands import app as cli
for rank in range(2):
    if os.fork() == 0:
        os.environ.update(RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank))
        cli.main(sys.argv[1:])
sys.exit(sum(os.wait()[1] != 0 for _ in range(2)))
"""


@pytest.mark.process
@pytest.mark.slow
def test_two_processes_make_the_cache_of_one(blocks: Path, tmp_path: Path) -> None:
    path = tmp_path / "c.h5"
    alone = stage_one(blocks, tmp_path / "alone.h5", views=CROPS, shard_size=2, storage="float32")
    command = ["pseudolabel", "blocks", "--manifest", blocks / "blocks.yaml", "--cache", path, "--views", CROPS]
    more = ["--shard-size", 2, "--tower", "torch", "--storage", "float32", "--workers", 0]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *map(str, [*command, *more])], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert path.read_bytes() == alone.read_bytes()


def test_settings_of_damp_take_the_views_of_any_scheme_alike(caches: dict[str, ScoreCache]) -> None:
    """Which order the views after the first stand in changes no label."""
    cache, damp = caches[CROPS], DampSettings(0.1, 0.1, 0.2, 2, 0.34)
    cosines = cache.similarity(slice(None)).mean(axis=1)
    turned = cosines[:, [0, *range(5, 0, -1)]]
    np.testing.assert_array_equal(damp_codes(turned, cache.observed, damp), damp_codes(cosines, cache.observed, damp))
