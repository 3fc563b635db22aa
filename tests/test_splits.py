"""Three splits, however they are spelled: read as they are given, and a validation split used as such."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_CLIP
from dataset_files import entry
from picture_files import draw

from aevlp.pipeline.datasets import load_images
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.labels.splits import SPLITS, split_of
from aevlp.pipeline.score_cache import open_cache
from aevlp.pipeline.training.splits import splits
from aevlp.stages.stage_one import pseudolabel

NAMES = [f"{n}.jpg" for n in range(9)]


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ("train", ["train", "Train", " TRAINING ", "trn"]),
        ("val", ["val", "valid", "Validation", "DEV ", "development"]),
        ("test", ["test", "Testing", "TEST"]),
        (None, ["", "holdout", "all", "trainval", "eval", "0", "test1"]),
    ],
)
def test_a_word_stands_for_one_split_or_none(split: str | None, words: list[str]) -> None:
    assert [split_of(word) for word in words] == [split] * len(words)


@pytest.mark.parametrize(
    "words",
    [
        ("train", "valid", "test"),
        ("Train", "Val", "Test"),
        (" training", "dev", "TEST "),
        ("TRAIN", "Validation", "test"),
    ],
)
def test_a_column_of_three_splits_is_read_in_their_order(tmp_path: Path, words: tuple[str, str, str]) -> None:
    rows = [f"{name},{'cat' if n % 2 else 'dog'},{words[n % 3]}" for n, name in enumerate(NAMES)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,labels,split", *rows]))
    images = load_images(entry(tmp_path, "format: table, table: labels.csv, split_column: split"), tmp_path)
    assert images.split.tolist() == [split for split in SPLITS for _ in range(3)]
    assert images.ids.tolist() == [f"{n}.jpg" for part in range(3) for n in range(part, 9, 3)]


def test_folders_and_files_of_three_splits_are_read(tmp_path: Path) -> None:
    draw(
        tmp_path,
        *(f"{split}/{name}/{split}{name}.png" for split in ("train", "valid", "test") for name in ("cat", "dog")),
    )
    folders = load_images(
        entry(tmp_path, "format: image_folder, splits: {train: train, validation: valid, test: test}"), tmp_path
    )
    assert folders.split.tolist() == ["train"] * 2 + ["val"] * 2 + ["test"] * 2
    for split in ("train", "valid", "test"):
        images = [{"id": n, "file_name": f"{name}/{split}{name}.png"} for n, name in enumerate(("cat", "dog"))]
        content = {
            "images": images,
            "annotations": [{"id": n, "image_id": n, "category_id": n} for n in range(2)],
            "categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}],
        }
        (tmp_path / f"{split}.json").write_text(json.dumps(content))
    lines = "format: coco_json, annotations: {train: train.json, dev: valid.json, test: test.json}"
    coco = load_images(entry(tmp_path, f"{lines}, images: {{train: train, valid: valid, test: test}}"), tmp_path)
    assert coco.split.tolist() == folders.split.tolist()
    assert coco.ids.tolist() == folders.ids.tolist()


def test_folders_named_for_three_splits_are_refused_with_the_entry_to_write(tmp_path: Path) -> None:
    draw(tmp_path, *(f"{split}/cat/{split}.png" for split in ("train", "valid", "test")))
    with pytest.raises(AevlpError, match=r"splits: \{test: test, train: train, val: valid\}"):
        load_images(entry(tmp_path, "format: image_folder"), tmp_path)


def test_a_file_in_two_of_three_splits_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar").touch()
    (tmp_path / "b.tar").touch()
    with pytest.raises(AevlpError, match=r"a\.tar is in the splits val and test"):
        load_images(entry(tmp_path, "format: webdataset, shards: {train: b.tar, val: a.tar, test: 'a.*'}"), tmp_path)


def test_a_validation_split_is_used_as_such_and_nothing_is_cut_from_training(tmp_path: Path) -> None:
    names = [f"{n}.png" for n in range(9)]
    draw(tmp_path, *names)
    (tmp_path / "tiny-clip.json").write_text(TINY_CLIP)
    rows = [
        f"{name},{'cat' if n % 2 else 'dog'},{('train', 'train', 'train', 'valid', 'test')[n % 5]}"
        for n, name in enumerate(names)
    ]
    (tmp_path / "labels.csv").write_text("\n".join(["image,labels,split", *rows]))
    entry(
        tmp_path,
        "format: table, table: labels.csv, split_column: split, damp: {grid: 1}, "
        "clip: {model: tiny-clip.json, weights: random}",
    )
    path = pseudolabel.pseudolabel(
        dataset="photos", manifest=tmp_path / "photos.yaml", cache=tmp_path / "photos.h5", workers=0
    ).path
    cache = open_cache(path)
    train, val, test = splits(cache, 0.2)
    assert cache.ids[train.rows].tolist() == [f"{n}.png" for n in (0, 1, 2, 5, 6, 7)]
    assert cache.ids[val.rows].tolist() == ["3.png", "8.png"]
    assert cache.ids[test.rows].tolist() == ["4.png"]
    assert cache.truth is not None
    np.testing.assert_array_equal(val.truth, cache.truth[val.rows])
