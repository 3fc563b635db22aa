"""What Hugging Face `datasets` writes to disk: every shape of images and labels, every mistake, the whole pipeline over it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import stage_one, stage_two
from dataset_files import labels_of
from PIL import Image
from refusals import refused

from aevlp.pipeline.datasets import DataError, ImageTable, load_images
from aevlp.pipeline.datasets.dataset_check import check_dataset
from aevlp.pipeline.files.stamps import file_size
from aevlp.pipeline.images.read import read_image
from aevlp.pipeline.images.view_loading import ViewDataset, load_views
from aevlp.pipeline.manifest.formats import DatasetSpec, HuggingFaceSpec
from aevlp.pipeline.manifest.load import load_manifest
from aevlp.pipeline.score_cache import open_cache
from aevlp.pipeline.training.run_folder import RunFolder

# As in the documentation of the public surface.
EXAMPLE = """
datasets:
  photos:
    title: My photographs
    format: huggingface
    files: {train: saved/train, test: "data/test-*.parquet"}
    image_column: image
    label_column: objects        # the classes are its ClassLabel names
"""
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
NAMES = ["cat", "dog", "bird"]


@pytest.fixture(autouse=True)
def offline(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is fetched, nothing is written but below the tests' own folders."""
    cache = tmp_path_factory.mktemp("hf")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(cache))
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", cache)
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def spec(tmp_path: Path, **changes: Any) -> DatasetSpec:
    """Return an entry for the Parquet files of the folder."""
    entry = HuggingFaceSpec(**{"title": "P", "format": "huggingface", "files": {"train": "*.parquet"}, **changes})
    return entry.placed("photos", tmp_path / "mine.yaml")


def pictures(folder: Path, count: int) -> list[Path]:
    """Draw noise in files of several kinds."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for n in range(count):
        pixels = np.random.default_rng(n).integers(0, 256, (20, 30 + n % 3, 3), dtype=np.uint8)
        paths.append(folder / f"{n}.{('png', 'jpg', 'bmp')[n % 3]}")
        Image.fromarray(pixels).save(paths[-1])
    return paths


def dataset(paths: list[Path], labels: list, feature: Any, column: str = "labels") -> datasets.Dataset:
    """Return a data set of the library itself, with an Image column."""
    made = datasets.Dataset.from_dict({"n": range(len(paths)), "image": [*map(str, paths)], column: labels})
    return made.cast(datasets.Features({"n": datasets.Value("int64"), "image": datasets.Image(), column: feature}))


def write(path: Path, images: Any, labels: Any, metadata: dict[str, str] | None = None, **columns: Any) -> Path:
    """Write a Parquet file with pyarrow alone."""
    content = pa.table({"image": images, "labels": labels, **columns})
    pq.write_table(content.replace_schema_metadata(metadata), path, row_group_size=2)
    return path


def in_rows(*cells: bytes | None) -> pa.Array:
    return pa.array([{"bytes": cell, "path": None} for cell in cells], IMAGE)


def features(feature: Any) -> dict[str, str]:
    return {"huggingface": json.dumps({"info": {"features": {"labels": feature}}})}


def in_order(images: ImageTable) -> list[set[str]]:
    """Return the labels of each image."""
    return list(labels_of(images).values())


def refuse(tmp_path: Path, **changes: Any) -> str:
    return refused(spec(tmp_path, **changes), tmp_path)


def reported(tmp_path: Path, **changes: Any) -> tuple[ImageTable, list[DataError]]:
    faults: list[DataError] = []
    images = load_images(spec(tmp_path, **changes), tmp_path, report=faults.append)
    assert all(fault.kind and str(tmp_path) in str(fault) and "\n" not in str(fault) for fault in faults)
    return images, faults


def same_pixels(images: ImageTable, files: list[Path]) -> None:
    for path, file in zip(images.paths, files, strict=True):
        np.testing.assert_array_equal(np.asarray(read_image(path)), np.asarray(read_image(file)))
        assert file_size(path) == file_size(file)


def test_the_documented_example(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(EXAMPLE)
    files = pictures(tmp_path / "elsewhere", 7)
    labels = [[0], [1, 2], [], [0, 1, 2], [2], [1], [0, 2]]
    made = dataset(files, labels, datasets.Sequence(datasets.ClassLabel(names=NAMES)), "objects")
    parts = datasets.DatasetDict({"train": made.select(range(5)), "test": made.select(range(5, 7))})
    parts.save_to_disk(tmp_path / "saved", num_shards={"train": 2, "test": 1})
    (tmp_path / "data").mkdir()
    embedded = datasets.load_from_disk(str(tmp_path / "saved"))["test"]
    assert isinstance(embedded, datasets.Dataset)
    embedded.to_parquet(tmp_path / "data" / "test-00000-of-00001.parquet")
    images = load_images(load_manifest(tmp_path / "mine.yaml")["photos"])
    assert images.classes == tuple(NAMES)
    assert images.ids.tolist() == [
        "saved/train/data-00000-of-00002.arrow/image/0",
        "saved/train/data-00000-of-00002.arrow/image/1",
        "saved/train/data-00000-of-00002.arrow/image/2",
        "saved/train/data-00001-of-00002.arrow/image/0",
        "saved/train/data-00001-of-00002.arrow/image/1",
        "data/test-00000-of-00001.parquet/image/0",
        "data/test-00000-of-00001.parquet/image/1",
    ]
    assert images.split.tolist() == ["train"] * 5 + ["test"] * 2
    assert in_order(images) == [{NAMES[label] for label in row} for row in labels]
    assert images.relative_paths() == images.ids.tolist()
    assert images.label_hashes() == {}
    same_pixels(images, files)


@pytest.mark.parametrize("how", ["save_to_disk", "to_parquet", "shards of to_parquet", "cut in row groups"])
def test_what_the_library_writes_is_read_as_the_library_reads_it(tmp_path: Path, how: str) -> None:
    files = pictures(tmp_path / "elsewhere", 11)
    labels = [[n % 3, (n + 1) % 3][: n % 3] for n in range(11)]
    dataset(files, labels, datasets.Sequence(datasets.ClassLabel(names=NAMES))).save_to_disk(
        tmp_path / "saved", num_shards=3 if how == "save_to_disk" else 1
    )
    made = datasets.load_from_disk(str(tmp_path / "saved"))
    assert isinstance(made, datasets.Dataset)
    where = "saved"
    if how != "save_to_disk":
        where = "*.parquet"
        shards = 3 if how.startswith("shards") else 1
        for n in range(shards):
            part = made.shard(shards, n, contiguous=True)
            part.to_parquet(tmp_path / f"{n}.parquet", batch_size=2 if "groups" in how else None)
    images = load_images(spec(tmp_path, files={"train": where}), tmp_path)
    assert images.classes == tuple(NAMES)
    assert in_order(images) == [{NAMES[label] for label in row["labels"]} for row in made]  # type: ignore
    same_pixels(images, files)
    for path, row in zip(images.paths, made, strict=True):
        np.testing.assert_array_equal(np.asarray(read_image(path)), np.asarray(row["image"]))  # type: ignore


@pytest.mark.parametrize(
    ("feature", "labels", "expected"),
    [
        (datasets.Sequence(datasets.ClassLabel(names=NAMES)), [[2], [], [0, 1]], [{"bird"}, set(), {"cat", "dog"}]),
        (datasets.ClassLabel(names=NAMES), [2, 0, 0], [{"bird"}, {"cat"}, {"cat"}]),
        (datasets.Sequence(datasets.Value("string")), [["a b"], [], ["c", "a b"]], [{"a b"}, set(), {"a b", "c"}]),
        (datasets.Value("string"), ["x; y", "x", None], [{"x", "y"}, {"x"}, set()]),
        (datasets.LargeList(datasets.ClassLabel(names=NAMES)), [[0], [1], []], [{"cat"}, {"dog"}, set()]),
    ],
)
def test_labels_of_every_feature(tmp_path: Path, feature: Any, labels: list, expected: list[set[str]]) -> None:
    made = dataset(pictures(tmp_path / "elsewhere", 3), labels, feature)
    made.save_to_disk(tmp_path / "saved")
    images = load_images(spec(tmp_path, files={"train": "saved"}), tmp_path)
    assert in_order(images) == expected
    numbered = "ClassLabel" in repr(feature)
    assert images.classes == (tuple(NAMES) if numbered else tuple(sorted(set().union(*expected))))


CLASS_LABEL = {"num_classes": 3, "names": NAMES, "id": None, "_type": "ClassLabel"}


@pytest.mark.parametrize(
    "feature",
    [
        {"feature": CLASS_LABEL, "_type": "List"},
        {"feature": CLASS_LABEL, "length": -1, "id": None, "_type": "Sequence"},
        {"feature": CLASS_LABEL, "_type": "LargeList"},
        [CLASS_LABEL],
    ],
)
def test_class_names_as_every_version_of_the_library_writes_them(tmp_path: Path, feature: Any) -> None:
    write(tmp_path / "a.parquet", in_rows(b"x", b"y"), [[0, 2], [1]], features(feature))
    images = load_images(spec(tmp_path), tmp_path)
    assert images.classes == tuple(NAMES)
    assert in_order(images) == [{"cat", "bird"}, {"dog"}]


@pytest.mark.parametrize("metadata", [None, {"huggingface": "{}"}, features({"dtype": "int64", "_type": "Value"})])
def test_numbers_without_names_need_the_manifests_classes(tmp_path: Path, metadata: Any) -> None:
    write(tmp_path / "a.parquet", in_rows(b"x", b"y"), [[0, 2], [1]], metadata)
    images = load_images(spec(tmp_path, classes=("a", "b", "c")), tmp_path)
    assert in_order(images) == [{"a", "c"}, {"b"}]
    assert "row 0: the class number 0 has no name: list the names under `classes`, in order" in refuse(tmp_path)


@pytest.mark.parametrize(
    "stated", [["dog", "cat", "bird"], ["bird", "cat", "dog"], ["bird", "ant", "dog", "cat"], NAMES]
)
@pytest.mark.parametrize("observed", [False, True])
def test_the_manifests_classes_are_those_of_the_file_by_name(tmp_path: Path, stated: list, observed: bool) -> None:
    write(tmp_path / "a.parquet", in_rows(b"w", b"x", b"y", b"z"), [0, 1, 2, 0], features(CLASS_LABEL))
    images = load_images(spec(tmp_path, classes=stated, labels="observed" if observed else "complete"), tmp_path)
    assert images.classes == tuple(stated)
    codes = images.observed if observed else images.truth
    expected = [[int(name == of) for name in stated] for of in ("cat", "dog", "bird", "cat")]
    np.testing.assert_array_equal(codes, expected)


@pytest.mark.parametrize("stated", [["Katze", "Hund", "Vogel"], ["cat", "dog"], ["Cat", "dog", "bird"]])
def test_classes_of_other_names_than_the_files_are_refused(tmp_path: Path, stated: list) -> None:
    write(tmp_path / "a.parquet", in_rows(b"x"), [[0, 2]], features([CLASS_LABEL]))
    found = refuse(tmp_path, classes=stated)
    assert "leave `classes` out or use the same names (`natural_names`" in found
    assert all(repr(name) in found for name in set(stated) ^ set(NAMES))


@pytest.mark.parametrize("cells", [[[1, 1, 0], [0, 0, 1]], [[0, 0, 0]], [[1.0, 0.0, 1.0]]])
def test_vectors_of_a_class_label_need_its_order(tmp_path: Path, cells: list) -> None:
    write(tmp_path / "a.parquet", in_rows(*[b"x"] * len(cells)), cells, features([CLASS_LABEL]))
    found = refuse(tmp_path, classes=["dog", "cat", "bird"], label_form="vector")
    assert "vectors" in found and "leave `classes` out" in found
    assert load_images(spec(tmp_path, classes=NAMES, label_form="vector"), tmp_path).truth is not None


def test_numbers_of_a_file_without_names_beside_one_in_another_order_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", in_rows(b"x"), [0], features(CLASS_LABEL))
    write(tmp_path / "b.parquet", in_rows(b"y"), [1])
    found = refuse(tmp_path, classes=["dog", "cat", "bird"])
    assert "b.parquet has no ClassLabel names" in found and "a.parquet" in found
    assert in_order(load_images(spec(tmp_path, classes=NAMES), tmp_path)) == [{"cat"}, {"dog"}]


def test_files_whose_class_names_differ_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", in_rows(b"x"), [[0]], features([CLASS_LABEL]))
    write(tmp_path / "b.parquet", in_rows(b"x"), [[0]], features([{**CLASS_LABEL, "names": ["dog", "cat", "bird"]}]))
    found = refuse(tmp_path)
    assert "b.parquet has other ClassLabel names than" in found and "a.parquet" in found


@pytest.mark.parametrize("names", [[], ["a", "a"]])
def test_class_names_that_cannot_serve_are_refused(tmp_path: Path, names: list[str]) -> None:
    write(tmp_path / "a.parquet", in_rows(b"x"), [[0]], features({"names": names, "_type": "ClassLabel"}))
    assert "a.parquet: the ClassLabel names of labels are none, or one stands there twice" in refuse(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "[" * 100_000,
        '{"info": 1}',
        '{"info": {"features": [1]}}',
        '{"info": {"features": {"labels": []}}}',
        '{"info": {"features": {"labels": {"_type": "ClassLabel"}}}}',
    ],
)
def test_metadata_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    write(tmp_path / "a.parquet", in_rows(b"x"), [["a"]], {"huggingface": text})
    assert "a.parquet: its `huggingface` metadata is not what `datasets` writes" in refuse(tmp_path)


@pytest.mark.parametrize(
    "kind", ["bytes", "large bytes", "struct of bytes", "paths", "large paths", "paths in a struct"]
)
def test_images_of_every_column(tmp_path: Path, kind: str) -> None:
    files = pictures(tmp_path / "images", 5)
    content = [file.read_bytes() for file in files]
    names = [file.relative_to(tmp_path).as_posix() for file in files]
    column = {
        "bytes": pa.array(content),
        "large bytes": pa.array(content, pa.large_binary()),
        "struct of bytes": pa.array([{"bytes": cell} for cell in content]),
        "paths": pa.array(names),
        "large paths": pa.array(names, pa.large_string()),
        "paths in a struct": pa.array([{"bytes": None, "path": name} for name in names], IMAGE),
    }[kind]
    write(tmp_path / "a.parquet", column, [["a"]] * 5)
    images = load_images(spec(tmp_path), tmp_path)
    assert images.ids.tolist() == (names if "paths" in kind else [f"a.parquet/image/{n}" for n in range(5)])
    same_pixels(images, files)


def test_bytes_go_before_paths_and_rows_may_differ(tmp_path: Path) -> None:
    files = pictures(tmp_path / "images", 3)
    rows = [
        {"bytes": files[0].read_bytes(), "path": "/home/somebody/0.png"},
        {"bytes": None, "path": "./images//1.jpg"},
        {"bytes": files[2].read_bytes(), "path": None},
    ]
    write(tmp_path / "a.parquet", pa.array(rows, IMAGE), [["a"]] * 3)
    images = load_images(spec(tmp_path), tmp_path)
    assert images.ids.tolist() == ["a.parquet/image/0", "images/1.jpg", "a.parquet/image/2"]
    same_pixels(images, files)


def test_names_of_columns_and_the_separator_are_the_manifests(tmp_path: Path) -> None:
    content = pa.table({"a photo.x": in_rows(b"x", b"y"), "a photo": in_rows(b"u", b"v"), "tags": ["a|b", "c;d"]})
    pq.write_table(content, tmp_path / "a.parquet")
    for column in ("a photo", "a photo.x"):
        changes = {"image_column": column, "label_column": "tags", "label_separator": "|"}
        images = load_images(spec(tmp_path, **changes), tmp_path)
        assert images.ids.tolist() == [f"a.parquet/{column}/0", f"a.parquet/{column}/1"]
        assert in_order(images) == [{"a", "b"}, {"c;d"}]
        assert [file_size(path) for path in images.paths] == [1, 1]


def test_arrow_files_by_pattern(tmp_path: Path) -> None:
    content = pa.table({"image": in_rows(b"x", b"y"), "labels": [["a"], ["b"]]})
    with pa.OSFile(str(tmp_path / "b.arrow"), "wb") as sink, pa.ipc.new_file(sink, content.schema) as writer:
        writer.write_table(content)
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as sink, pa.ipc.new_stream(sink, content.schema) as writer:
        writer.write_table(content, max_chunksize=1)
    images = load_images(spec(tmp_path, files={"train": "{a,b}.arrow"}), tmp_path)
    assert images.ids.tolist() == [f"{name}.arrow/image/{row}" for name in "ab" for row in (0, 1)]
    assert in_order(images) == [{"a"}, {"b"}] * 2


@pytest.mark.parametrize(
    ("row", "kind", "expected"),
    [
        ({"bytes": None, "path": None}, "bad row", "row 1: no image is named"),
        (None, "bad row", "row 1: no image is named"),
        ({"bytes": None, "path": "/a.jpg"}, "outside the folder", "row 1: '/a.jpg' is not below the data set's folder"),
        ({"bytes": None, "path": "a/../../b.jpg"}, "outside the folder", "row 1: 'a/../../b.jpg' is not below"),
    ],
)
def test_a_row_without_an_image_is_reported_and_left_out(tmp_path: Path, row: Any, kind: str, expected: str) -> None:
    write(tmp_path / "a.parquet", pa.array([{"bytes": b"x", "path": None}, row], IMAGE), [["a"], ["a"]])
    assert f"a.parquet, {expected}" in refuse(tmp_path)
    images, faults = reported(tmp_path)
    assert [fault.kind for fault in faults] == [kind]
    assert images.ids.tolist() == ["a.parquet/image/0"]


def test_to_parquet_alone_writes_paths_of_this_machine_which_are_found_below_the_folder(tmp_path: Path) -> None:
    """save_to_disk and push_to_hub put the images in the file, to_parquet does not."""
    dataset(pictures(tmp_path / "images", 1), ["a"], datasets.Value("string")).to_parquet(tmp_path / "a.parquet")
    images = load_images(spec(tmp_path), tmp_path)
    assert images.ids.tolist() == images.relative_paths() == ["images/0.png"]
    (tmp_path / "images" / "0.png").rename(tmp_path / "moved.png")
    assert "images/0.png' is not below the data set's folder; paths are relative to it" in refuse(tmp_path)


@pytest.mark.parametrize("name", ["images/0.PNG", "images/0", "/home/u/images/0.png", "C:\\photos\\images\\0.png"])
def test_a_path_that_misses_by_a_hair_is_found_and_said(tmp_path: Path, name: str) -> None:
    pictures(tmp_path / "images", 1)
    write(tmp_path / "a.parquet", pa.array([name]), [["a"]])
    images = load_images(spec(tmp_path), tmp_path)
    assert images.relative_paths() == ["images/0.png"]
    assert f"such as images/0.png for {name}" in images.remarks[0].text


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (pa.array([["dgo", "cat"]]), "unknown class 'dgo': known are dog, "),
        (pa.array([[3, 0]]), "unknown class number 3: known are 0 to 2"),
        (pa.array([[-1, 0]]), "unknown class number -1: known are 0 to 2"),
    ],
)
def test_an_unknown_class_is_reported_and_the_image_kept(tmp_path: Path, labels: pa.Array, expected: str) -> None:
    write(tmp_path / "a.parquet", in_rows(b"x"), labels)
    images, faults = reported(tmp_path, classes=NAMES)
    assert [(fault.kind, fault.image) for fault in faults] == [("unknown class", "a.parquet/image/0")]
    assert expected in str(faults[0])
    assert in_order(images) == [{"cat"}]


@pytest.mark.parametrize(("cells", "times"), [([-1], "1 time"), ([0, -1, 2], "1 time"), ([2, -1, -1], "2 times")])
def test_a_class_label_of_minus_1_is_an_image_whose_labels_are_not_known(
    tmp_path: Path, cells: list, times: str
) -> None:
    """`datasets` writes -1 where a test set's labels are kept secret."""
    write(tmp_path / "a.parquet", in_rows(*[b"x"] * len(cells)), cells, features(CLASS_LABEL))
    found = refuse(tmp_path)
    assert f"-1 {times}, first" in found and f"row {cells.index(-1)}: " in found and "`labels: observed`" in found
    images = load_images(spec(tmp_path, labels="observed"), tmp_path)
    np.testing.assert_array_equal(images.observed, [[int(n == cell) for n in range(3)] for cell in cells])
    assert [remark.text.endswith("read as no label") for remark in images.remarks] == [True]


@pytest.mark.parametrize(
    "labels", [pa.array([0.5]), pa.array([[True]]), pa.array([{"a": 1}]), pa.array([b"\xff"]), pa.array([[["a"]]])]
)
def test_labels_of_another_type_are_reported(tmp_path: Path, labels: pa.Array) -> None:
    write(tmp_path / "a.parquet", in_rows(b"x"), labels)
    assert "row 0: expected class names or numbers, found " in refuse(tmp_path)


@pytest.mark.parametrize(
    ("train", "test", "kind", "where"),
    [
        (["a.jpg", "b.jpg", "./a.jpg"], ["c.jpg"], "listed twice", "train.parquet, row 2"),
        (["a.jpg", "b.jpg"], ["c.jpg", "a.jpg"], "in two splits", "test.parquet, row 1"),
    ],
)
def test_a_path_that_stands_twice_is_reported(
    tmp_path: Path, train: list[str], test: list[str], kind: str, where: str
) -> None:
    write(tmp_path / "train.parquet", train, ["a"] * len(train))
    write(tmp_path / "test.parquet", test, ["a"] * len(test))
    images, faults = reported(tmp_path, files={"train": "train.parquet", "test": "test.parquet"})
    assert [fault.kind for fault in faults] == [kind]
    place = "row 0" if kind == "listed twice" else f"{tmp_path / 'train.parquet'}, row 0"
    assert f"{where}: the image 'a.jpg' stands in {place} too" in str(faults[0])
    assert images.ids.tolist() == ["a.jpg", "b.jpg", "c.jpg"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"image_column": "img"}, "a.parquet: unknown column 'img': known are image, labels"),
        ({"label_column": "label"}, "a.parquet: unknown column 'label': known are labels, image"),
        ({"image_column": "labels", "label_column": "image"}, "a.parquet: the column labels is list<"),
        ({"files": {"train": "b*.parquet"}}, "no {root}/b*.parquet: pass the folder"),
        ({"files": {"train": "none"}}, "no {root}/none: pass the folder"),
        ({"files": {"train": "../*.parquet"}}, "is no pattern for files below"),
        ({"files": {"train": ".."}}, "is no pattern for files below"),
        ({"files": {"train": "/"}}, "is no pattern for files below"),
        ({"files": {"train": "*.parquet", "test": "a.*"}}, "a.parquet is in the splits train and test"),
        ({"files": {"train": "a.csv"}}, "a.csv: `files` names .parquet and .arrow files"),
        ({"files": {"train": "."}}, "no {root}/state.json: `files` names a folder of save_to_disk"),
    ],
)
def test_a_mistake_in_the_manifest_is_named(tmp_path: Path, changes: dict, expected: str) -> None:
    write(tmp_path / "a.parquet", in_rows(b"x"), [["a"]])
    (tmp_path / "a.csv" if "a.csv" in str(changes) else tmp_path / "other").touch()
    assert expected.replace("{root}", str(tmp_path)) in refuse(tmp_path, **changes)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The folder of a data set that the library saved."""
    made = dataset(pictures(tmp_path / "elsewhere", 4), ["a", "b", "a", "b"], datasets.Value("string"))
    made.save_to_disk(tmp_path / "saved", num_shards=2)
    return tmp_path / "saved"


def test_the_files_of_a_folder_are_those_of_its_list_in_its_order(tmp_path: Path, saved: Path) -> None:
    state = json.loads((saved / "state.json").read_text())
    state["_data_files"] = state["_data_files"][::-1]
    (saved / "state.json").write_text(json.dumps(state))
    (saved / "cache-1234.arrow").write_bytes(b"what the library left")
    images = load_images(spec(tmp_path, files={"train": "saved"}), tmp_path)
    assert [Path(name).parts[1] for name in images.ids] == ["data-00001-of-00002.arrow"] * 2 + [
        "data-00000-of-00002.arrow"
    ] * 2


@pytest.mark.parametrize(
    ("state", "expected", "where"),
    [
        ("{", "state.json is not what save_to_disk writes", "{}"),
        ("[]", "state.json is not what save_to_disk writes", "{}"),
        ("{}", "state.json is not what save_to_disk writes", "{}"),
        ('{"_data_files": [{"filename": 3}]}', "state.json is not what save_to_disk writes", "{}"),
        ('{"_data_files": [{"filename": "../a.arrow"}]}', "'../a.arrow' is not below", "{}"),
        ('{"_data_files": [{"filename": "/a.arrow"}]}', "'/a.arrow' is not below", "{}"),
        ('{"_data_files": [{"filename": "gone.arrow"}]}', "gone.arrow, which", "{}"),
        (
            '{"_data_files": [], "_indices_data_files": [{"filename": "i.arrow"}]}',
            "with a list of the rows to take",
            "{}",
        ),
        ('{"_data_files": []}', "hold no row with an image", "photos: "),
    ],
)
def test_a_folder_whose_list_cannot_serve_is_refused(
    tmp_path: Path, saved: Path, state: str, expected: str, where: str
) -> None:
    (saved / "state.json").write_text(state)
    found = refuse(tmp_path, files={"train": "saved"})
    assert expected in found and where.format(saved) in found


def test_a_folder_of_splits_says_to_name_one(tmp_path: Path) -> None:
    made = dataset(pictures(tmp_path / "elsewhere", 1), ["a"], datasets.Value("string"))
    datasets.DatasetDict({"train": made}).save_to_disk(tmp_path / "saved")
    assert "holds several splits: name the folder of one, such as saved/train" in refuse(
        tmp_path, files={"train": "saved"}
    )


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_a_damaged_file_is_one_clear_line(tmp_path: Path, name: str) -> None:
    content = pa.table({"image": in_rows(b"x" * 999), "labels": [["a"]]})
    if name == "a.parquet":
        pq.write_table(content, tmp_path / name)
    else:
        with pa.OSFile(str(tmp_path / name), "wb") as sink, pa.ipc.new_stream(sink, content.schema) as writer:
            writer.write_table(content)
    whole = (tmp_path / name).read_bytes()
    for cut in (0, 7, len(whole) // 2, len(whole) - 1):
        (tmp_path / name).write_bytes(whole[:cut])
        assert str(tmp_path / name) in refuse(tmp_path, files={"train": name})


def test_labels_that_are_no_text_are_one_clear_line(tmp_path: Path) -> None:
    text = pa.Array.from_buffers(pa.string(), 1, [None, *pa.array([b"\xff\xfe"]).buffers()[1:]])
    write(tmp_path / "a.parquet", in_rows(b"x"), text)
    assert str(tmp_path / "a.parquet") in refuse(tmp_path)


def test_files_without_a_row_or_a_label_say_so(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", in_rows(), pa.array([], pa.list_(pa.string())))
    assert "the files hold no row with an image" in refuse(tmp_path)
    write(tmp_path / "b.parquet", in_rows(b"x"), pa.array([[]], pa.list_(pa.string())))
    assert "photos, the column labels: no row has a label, and the manifest lists no classes" in refuse(tmp_path)


def test_labels_that_somebody_gave_are_observed_as_they_are(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", in_rows(b"x", b"y"), [["b"], ["a"]])
    images = load_images(spec(tmp_path, labels="observed"), tmp_path)
    assert images.truth is None
    assert images.observed.tolist() == [[0, 1], [1, 0]]


def test_the_fingerprint_changes_with_an_images_size(tmp_path: Path) -> None:
    found = []
    for time, content in enumerate((b"x", b"xx", b"y")):
        os.utime(write(tmp_path / "a.parquet", in_rows(content), [["a"]]), (time, time))
        found.append(load_images(spec(tmp_path), tmp_path).fingerprint())
    assert found[0] == found[2] != found[1]


@pytest.mark.process
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("where", ["saved", "*.parquet"])
def test_worker_processes_read_what_is_in_the_file(tmp_path: Path, where: str, workers: int) -> None:
    files = pictures(tmp_path / "elsewhere", 9)
    made = dataset(files, ["a"] * 9, datasets.Value("string"))
    made.save_to_disk(tmp_path / "saved", num_shards=2)
    write(tmp_path / "a.parquet", in_rows(*(file.read_bytes() for file in files)), [["a"]] * 9)
    images = load_images(spec(tmp_path, files={"train": where}), tmp_path)
    images.fingerprint()  # so that the workers inherit what this process has read
    read_image(images.paths[4])
    views = []
    for paths in ([*images.paths], files):
        batches = list(load_views(ViewDataset(paths, 2, 16, "paper"), [[0, 1], [2, 3], [4, 5], [6, 7], [8]], workers))
        assert [status for batch in batches for status in batch.status] == ["ok"] * 9
        views.append(torch.cat([batch.views for batch in batches]))
    assert torch.equal(*views)


@pytest.mark.slow
@pytest.mark.process
def test_stage_one_and_two_and_check_over_saved_files(
    blocks: Path, cache_path: Path, run_path: Path, tmp_path: Path
) -> None:
    """A split saved as Arrow, the other as Parquet: what both stages give is what they give over the pictures' files."""
    lines = [line.split(",") for line in (blocks / "labels.csv").read_text().splitlines()[1:]]
    for split in ("train", "test"):
        rows = [(blocks / image, labels) for image, part, labels in lines if part == split]
        made = dataset([path for path, _ in rows], [labels for _, labels in rows], datasets.Value("string"))
        made.save_to_disk(tmp_path / split)
    read_back = datasets.load_from_disk(str(tmp_path / "test"))
    assert isinstance(read_back, datasets.Dataset)
    read_back.to_parquet(tmp_path / "test.parquet")
    manifest = (blocks / "blocks.yaml").read_text()
    entry = "format: huggingface\n    files: {train: train, test: test.parquet}"
    manifest = manifest.replace("format: table\n    table: labels.csv\n    split_column: split", entry)
    assert "huggingface" in manifest
    (tmp_path / "blocks.yaml").write_text(manifest)
    (tmp_path / "tiny-clip.json").write_bytes((blocks / "tiny-clip.json").read_bytes())
    mine = open_cache(stage_one(tmp_path, tmp_path / "c.h5", storage="float32", workers=2))
    plain = open_cache(cache_path)
    assert mine.paths.tolist()[0] == "train/data-00000-of-00001.arrow/image/0"
    assert set(mine.status) == {"ok"}
    np.testing.assert_array_equal(mine.similarity(slice(None)), plain.similarity(slice(None)))
    np.testing.assert_array_equal(mine.observed, plain.observed)
    run = RunFolder(stage_two(tmp_path / "c.h5", tmp_path / "run", workers=2)).metrics()
    keys = ("loss", "val_map", "test_map")
    assert [[line.get(key) for key in keys] for line in run] == [
        [line.get(key) for key in keys] for line in RunFolder(run_path).metrics()
    ]
    checked = check_dataset(load_manifest(tmp_path / "blocks.yaml")["blocks"], tmp_path)
    assert [finding for finding in checked.findings if finding.serious] == []
    assert checked.images == 16
