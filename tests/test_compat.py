"""`--compat paper|published` switches everything together: each row of the first table in docs/method.md."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import draw_blocks, stage_one
from PIL import Image

from aevlp.pipeline.clip.encoder import IMAGENET_STATISTICS
from aevlp.pipeline.clip.prompts import attribute_name
from aevlp.pipeline.images.read import read_image
from aevlp.pipeline.images.schemes.grid import tile_boxes
from aevlp.pipeline.labels.damp import DampSettings, damp_scores
from aevlp.pipeline.labels.single_positive import split_train_val
from aevlp.pipeline.score_cache import ScoreCache, open_cache
from aevlp.stages.caches.inspect import cached_settings
from aevlp.stages.caches.verify import find_faults
from aevlp.stages.experiments import reproduce
from aevlp.stages.stage_two import plan as training_plan
from aevlp.stages.stage_two.options import TrainOptions
from aevlp.stages.stage_two.plan import make_plan

METHOD = Path(__file__).resolve().parent.parent / "docs" / "method.md"
NAMES = "    natural_names: {red: crimson red}\n    synonyms: {blue: [azure]}\n"


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> tuple[ScoreCache, ScoreCache]:
    """The same blocks by both rules: one picture is smaller than the grid, one is stored turned."""
    folder = tmp_path_factory.mktemp("compat")
    draw_blocks(folder / "data")
    manifest = folder / "data" / "blocks.yaml"
    manifest.write_text(manifest.read_text() + NAMES)
    Image.new("RGB", (1, 1), "white").save(folder / "data" / "images" / "00.png")
    turned = Image.open(folder / "data" / "images" / "01.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(folder / "data" / "images" / "01.png", exif=exif)
    paper, published = (
        open_cache(stage_one(folder / "data", folder / f"{compat}.h5", compat=compat))
        for compat in ("paper", "published")
    )
    return paper, published


def test_lowest_ranking_classes(caches: tuple[ScoreCache, ScoreCache]) -> None:
    paper, published = caches
    assert (paper.code(slice(None)) == -1).any(axis=1).all()
    assert not (published.code(slice(None)) == -1).any()


def test_pixel_statistics(caches: tuple[ScoreCache, ScoreCache]) -> None:
    paper, published = (cache.provenance["pixel_statistics"] for cache in caches)
    assert (tuple(published["mean"]), tuple(published["std"])) == IMAGENET_STATISTICS
    assert paper != published


def test_half_precision_of_scores(caches: tuple[ScoreCache, ScoreCache]) -> None:
    paper, published = caches
    for cache, half in ((paper, False), (published, True)):
        assert cache.provenance["method"]["half"] == cached_settings(cache).half == half
        score = cache.score(slice(None))
        assert (score == score.astype(np.float16)).all() == half
        settings = DampSettings(0.1, 0.1, 0.2, 2, 0.34, cache.provenance["method"]["compat"], half)
        cosines = cache.similarity(slice(None)).mean(axis=1)
        np.testing.assert_array_equal(score, damp_scores(cosines, cache.observed, settings)[0])
        np.testing.assert_array_equal(cache.code(slice(None)), cache.codes(settings))
        assert find_faults(cache) == []


@pytest.mark.parametrize("policy", ["damp", "global", "top-k"])
def test_training_has_the_half_precision_of_its_cache(caches: tuple[ScoreCache, ScoreCache], policy: str) -> None:
    for cache, half in zip(caches, (False, True), strict=True):
        made = make_plan(TrainOptions(cache.path, policy=policy, workers=0)).policy
        assert made is not None and made.constants["half"] == half


@pytest.mark.parametrize(("compat", "mixed"), [("paper", True), ("published", False)])
def test_arithmetic_of_stage_two(
    compat: str, mixed: bool, blocks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_plan, "mixed_precision", lambda device: torch.bfloat16)  # as on a GPU
    given = {"cache": tmp_path / "c.h5", "runs": tmp_path, "manifest": blocks / "blocks.yaml"}
    reproduce.reproduce("blocks", losses=["gpr"], seeds=1, compat=compat, workers=0, **given)
    settings = json.loads((tmp_path / "gpr-seed0" / "settings.json").read_text())
    assert ("bfloat16" in settings["precision"]) == mixed
    assert json.loads((tmp_path / "results.json").read_text())["amp"] == mixed


def test_an_image_smaller_than_the_grid(caches: tuple[ScoreCache, ScoreCache]) -> None:
    assert {b[2] - b[0] for b in tile_boxes(3, 3, 4, "paper")} == {1}
    assert {b[2] - b[0] for b in tile_boxes(3, 3, 4, "published")} == {0}
    for cache, same in zip(caches, (True, False), strict=True):
        views = cache.similarity([0])[0, 0]
        # A white picture: a tile of one pixel is as white as the whole, a tile without area is black.
        assert np.allclose(views[0], views[1], atol=1e-3) == same


def test_exif_orientation(caches: tuple[ScoreCache, ScoreCache]) -> None:
    path = Path(caches[0].provenance["dataset"]["root"]) / str(caches[0].paths[1])
    assert read_image(path, upright=True).size == read_image(path, upright=False).size[::-1]


def test_names_in_prompts(caches: tuple[ScoreCache, ScoreCache]) -> None:
    paper, published = (cache.prompts for cache in caches)
    assert paper == ["a photo of a crimson red.", "a photo of a green.", "a photo of a blue. | a photo of a azure."]
    assert published == ["a photo of a red.", "a photo of a green.", "a photo of a blue."]


def test_cub_names() -> None:
    assert attribute_name("has_shape::owl-like", "paper") == "owl-like shape"
    assert attribute_name("has_shape::owl-like", "published") == "owl-like shape::owl-like"


def test_two_training_images() -> None:
    train, val = split_train_val(2, compat="published")
    assert len(train) == len(val) == 2


def test_every_difference_is_a_row_of_the_documentation() -> None:
    section = METHOD.read_text(encoding="utf-8").split("## Paper and published program")[1].split("The same in both")[0]
    rows = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("| ")][1:]
    tested = {name.removeprefix("test_").replace("_", " ") for name in globals() if name.startswith("test_")}
    said = {row.lower().replace("'", "").replace("-", " ") for row in rows}
    assert said == {
        "lowest ranking classes",
        "pixel statistics",
        "half precision of scores",
        "arithmetic of stage two",
        "an image smaller than the grid",
        "exif orientation",
        "names in prompts",
        "cubs names",
        "two training images or fewer",
    }
    assert len(tested) == len(said) + 2  # this one, and what training takes from the cache
