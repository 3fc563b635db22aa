"""The generated data set: drawn once into its folder, then read like any table."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aevlp.pipeline.datasets import load_images, scenes
from aevlp.pipeline.datasets.scene_pictures import CLASSES, draw_scene
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.labels.single_positive import observe
from aevlp.pipeline.manifest.load import DatasetSpec, load_manifest

TRAIN, TEST, SEED = 6, 4, 7


def small(**changes: object) -> DatasetSpec:
    """Return the packaged entry with few pictures."""
    return load_manifest()["scenes"].model_copy(update={"train": TRAIN, "test": TEST, "seed": SEED, **changes})


def contents(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def forbid_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = (CLASSES, lambda seed, index: pytest.fail("a scene was drawn again"))
    monkeypatch.setitem(scenes.SERIES, 1, drawn)


def test_every_picture_and_every_label_is_that_of_its_scene(tmp_path: Path) -> None:
    images = load_images(small(), tmp_path)
    assert images.split.tolist() == ["train"] * TRAIN + ["test"] * TEST
    assert images.classes == CLASSES
    assert images.truth is not None
    for index, (path, row) in enumerate(zip(images.paths, images.truth, strict=True)):
        pixels, objects = draw_scene(SEED, index)
        with Image.open(path) as picture:
            np.testing.assert_array_equal(np.asarray(picture), pixels)
        assert {name for name, cell in zip(CLASSES, row, strict=True) if cell} == {thing.name for thing in objects}


def test_each_split_is_observed_on_its_own(tmp_path: Path) -> None:
    images = load_images(small(), tmp_path)
    assert images.truth is not None
    np.testing.assert_array_equal(images.observed[:TRAIN], observe(images.truth[:TRAIN]))
    np.testing.assert_array_equal(images.observed[TRAIN:], observe(images.truth[TRAIN:]))


def test_the_same_bytes_wherever_they_are_drawn(tmp_path: Path) -> None:
    first = load_images(small(), tmp_path / "a")
    second = load_images(small(), tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert len(contents(tmp_path / "a")) == TRAIN + TEST + 1
    assert first.fingerprint() == second.fingerprint()


def test_they_are_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_images(small(), tmp_path)
    forbid_drawing(monkeypatch)
    again = load_images(small(), tmp_path)
    assert again.fingerprint() == first.fingerprint()
    assert load_images(small(), tmp_path, "test").ids.tolist() == first.ids[TRAIN:].tolist()


def test_the_list_is_written_last_and_an_interrupted_drawing_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(seed: int, index: int) -> tuple:
        if index == 8:
            raise KeyboardInterrupt
        return draw_scene(seed, index)

    with monkeypatch.context() as patch:
        patch.setitem(scenes.SERIES, 1, (CLASSES, interrupted))
        with pytest.raises(KeyboardInterrupt):
            load_images(small(), tmp_path)
    assert len(list(tmp_path.rglob("*.bmp"))) == 8
    assert not list(tmp_path.rglob("*.csv"))
    images = load_images(small(), tmp_path)
    load_images(small(), tmp_path / "whole")
    assert len(images) == TRAIN + TEST
    whole = contents(tmp_path / "whole")
    assert {name: found for name, found in contents(tmp_path).items() if not name.startswith("whole")} == whole


@pytest.mark.parametrize("change", [{"seed": 8}, {"train": 5}, {"test": 3}])
def test_another_setting_is_another_data_set_in_the_same_folder(tmp_path: Path, change: dict[str, int]) -> None:
    first = load_images(small(), tmp_path)
    other = load_images(small(**change), tmp_path)
    assert other.fingerprint() != first.fingerprint()
    assert load_images(small(), tmp_path).fingerprint() == first.fingerprint()
    assert {"train": 6, "test": 4} | {k: v for k, v in change.items() if k != "seed"} == {
        split: int((other.split == split).sum()) for split in ("train", "test")
    }


def test_there_may_be_no_test_pictures(tmp_path: Path) -> None:
    images = load_images(small(test=0), tmp_path)
    assert set(images.split) == {"train"}
    assert len(images) == TRAIN


def test_a_manifest_may_leave_the_classes_out(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("datasets: {shapes: {title: Shapes, format: scenes, train: 2, test: 1, root: pictures}}")
    images = load_images(load_manifest(path)["shapes"])
    assert images.classes == CLASSES
    assert images.root == tmp_path / "pictures"
    assert len(list((tmp_path / "pictures").rglob("*.bmp"))) == 3


def test_classes_that_leave_a_shape_out_are_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(AevlpError, match="unknown class"):
        load_images(small(classes=("circle", "star")), tmp_path)


def test_a_folder_that_cannot_be_written_to_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(AevlpError, match="data"):
        load_images(small(), tmp_path / "data")
