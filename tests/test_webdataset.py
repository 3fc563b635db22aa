"""WebDataset shards: what is read of each kind of label file, every mistake, and the whole pipeline over a shard."""

import io
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import stage_one, stage_two
from dataset_files import labels_of, tar_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from refusals import refused

from aevlp.pipeline.datasets import DataError, ImageTable, load_images
from aevlp.pipeline.datasets.dataset_check import check_dataset
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.images.read import read_image
from aevlp.pipeline.images.view_loading import ViewDataset, load_views
from aevlp.pipeline.manifest.formats import DatasetSpec, WebDatasetSpec
from aevlp.pipeline.manifest.load import load_manifest
from aevlp.pipeline.score_cache import open_cache
from aevlp.pipeline.training.run_folder import RunFolder

# As in the documentation of the public surface.
EXAMPLE = """
datasets:
  photos:
    title: My photographs
    format: webdataset
    shards: {train: "shards/train-{000..001}.tar", test: "shards/test-*.tar"}
    label_extension: json        # or txt, cls
    label_key: tags              # where the .json holds an object
    classes: [cat, dog, bird]    # left out: the labels found, sorted
"""


def spec(tmp_path: Path, **changes: Any) -> DatasetSpec:
    """Return an entry for the shards *.tar of the folder."""
    entry = WebDatasetSpec(**{"title": "Photos", "format": "webdataset", "shards": {"train": "*.tar"}, **changes})
    return entry.placed("photos", tmp_path / "mine.yaml")


def write_shard(path: Path, files: Mapping[str, bytes | str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tar_of(files))
    return path


def picture(number: int, kind: str = "PNG") -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (20, 30 + number % 3, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format=kind)
    return file.getvalue()


def refuse(tmp_path: Path, **changes: Any) -> str:
    return refused(spec(tmp_path, **changes), tmp_path)


def reported(tmp_path: Path, **changes: Any) -> tuple[ImageTable, list[DataError]]:
    """Return the images of a folder with a fault or more, and the faults."""
    faults: list[DataError] = []
    images = load_images(spec(tmp_path, **changes), tmp_path, report=faults.append)
    assert all(fault.kind and str(tmp_path) in str(fault) and "\n" not in str(fault) for fault in faults)
    return images, faults


def sidecar(extension: str, content: str | bytes, tmp_path: Path, **changes: Any) -> set[str]:
    """Return the labels of an image that has this label file; a second image shows every class a, b, c."""
    files = {"1.jpg": b"x", f"1.{extension}": content}
    write_shard(tmp_path / "a.tar", files)
    write_shard(
        tmp_path / "z.tar", {"2.jpg": b"x", f"2.{extension}": "c" if extension != "json" else '["a", "b", "c"]'}
    )
    return labels_of(load_images(spec(tmp_path, label_extension=extension, **changes), tmp_path))["a.tar/1.jpg"]


def test_the_documented_example(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(EXAMPLE)
    number = 0
    for shard, samples in {"train-000": 3, "train-001": 2, "test-a": 1, "test-b": 1}.items():
        files = {}
        for _ in range(samples):
            files[f"{number:04d}.png"] = picture(number)
            files[f"{number:04d}.json"] = json.dumps({"tags": [["cat", "dog"], ["bird"]][number % 2], "caption": "a"})
            number += 1
        write_shard(tmp_path / "shards" / f"{shard}.tar", files)
    images = load_images(load_manifest(tmp_path / "mine.yaml")["photos"])
    assert images.classes == ("cat", "dog", "bird")
    expected = [("train-000", 0), ("train-000", 1), ("train-000", 2), ("train-001", 3), ("train-001", 4)]
    expected += [("test-a", 5), ("test-b", 6)]
    assert images.ids.tolist() == [f"shards/{shard}.tar/{n:04d}.png" for shard, n in expected]
    assert images.split.tolist() == ["train"] * 5 + ["test"] * 2
    assert images.truth is not None
    assert images.truth.tolist() == [[1, 1, 0] if n % 2 == 0 else [0, 0, 1] for _, n in expected]
    assert images.paths.tolist() == [tmp_path / name for name in images.ids]
    assert images.relative_paths() == images.ids.tolist()
    assert images.label_hashes() == {}
    for path, (_, n) in zip(images.paths, expected, strict=True):
        with Image.open(io.BytesIO(picture(n))) as image:
            np.testing.assert_array_equal(np.asarray(read_image(path)), np.asarray(image))


NAMES = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="./;"), min_size=1, max_size=6)
SAMPLES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=2).map("/".join),
    st.lists(st.sampled_from(["cat", "dog", "fire truck", "Ünïcode", "猫"]), min_size=1, max_size=4),
    min_size=1,
    max_size=5,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SAMPLES, st.sampled_from(["json", "txt"]), st.booleans())
def test_any_samples_read_back_are_the_samples_written(
    tmp_path_factory: pytest.TempPathFactory, samples: dict[str, list[str]], extension: str, labels_first: bool
) -> None:
    folder = tmp_path_factory.mktemp("any")
    files: dict[str, bytes | str] = {}
    for key, labels in samples.items():
        text = json.dumps(labels) if extension == "json" else "\n".join(labels)
        pair = {f"{key}.jpg": key.encode(), f"{key}.{extension}": text}
        files.update(reversed(pair.items()) if labels_first else pair)
    write_shard(folder / "a.tar", files)
    images = load_images(spec(folder, label_extension=extension), folder)
    assert images.ids.tolist() == [f"a.tar/{key}.jpg" for key in samples]
    assert labels_of(images) == {f"a.tar/{key}.jpg": set(labels) for key, labels in samples.items()}


@pytest.mark.parametrize(
    ("extension", "content", "expected"),
    [
        ("json", '["a", "c"]', {"a", "c"}),
        ("json", '[" a ", ""]', {"a"}),
        ("json", '"a; b"', {"a", "b"}),
        ("json", "[0, 2]", {"a", "c"}),
        ("json", '[0, "b"]', {"a", "b"}),
        ("json", "1", {"b"}),
        ("json", "null", set()),
        ("json", "[]", set()),
        ("json", '{"labels": ["b"], "width": 3}', {"b"}),
        ("json", '{"labels": 2}', {"c"}),
        ("json", b"\xef\xbb\xbf[0]", {"a"}),
        ("txt", "a;b", {"a", "b"}),
        ("txt", "a\r\nc\n\n", {"a", "c"}),
        ("txt", "", set()),
        ("cls", "b\n", {"b"}),
        ("cls", "1", {"b"}),
        ("tags.json", '["a"]', {"a"}),
    ],
)
def test_labels_in_every_form(tmp_path: Path, extension: str, content: str | bytes, expected: set[str]) -> None:
    if extension == "tags.json":
        write_shard(tmp_path / "z.tar", {"1.jpg": b"x", "1.tags.json": content, "1.json": '["c"]'})
        images = load_images(spec(tmp_path, label_extension=".tags.json", classes=("a", "b", "c")), tmp_path)
        assert labels_of(images) == {"z.tar/1.jpg": expected}
    else:
        assert sidecar(extension, content, tmp_path, classes=("a", "b", "c")) == expected


def test_a_class_whose_name_is_a_number_is_that_name(tmp_path: Path) -> None:
    assert sidecar("cls", "2", tmp_path, classes=("2", "1", "c")) == {"2"}


def test_names_of_the_key_and_the_separator_are_the_manifests(tmp_path: Path) -> None:
    assert sidecar("txt", "a|b;d", tmp_path, label_separator="|") == {"a", "b;d"}
    write_shard(tmp_path / "z.tar", {})
    assert sidecar("json", '{"tags": "a,b"}', tmp_path, label_separator=",", label_key="tags") == {"a", "b"}


def test_which_files_make_a_sample(tmp_path: Path) -> None:
    """As WebDataset cuts names: at the first dot of the file's name, folders belong to the key, endings are in any case."""
    files: dict[str, bytes | str] = {
        "a.b/1.JPG": b"x",
        "README": "no sample",
        "a.b/1.seg.png": b"mask",
        "a.b/._1.jpg": b"what a Mac adds",
        "2.webp": b"x",
        "2.pyd": b"never read",
        "a.b/1.Json": '["a"]',
        "2.json": '["b"]',
    }
    write_shard(tmp_path / "a.tar", files)
    images = load_images(spec(tmp_path), tmp_path)
    assert labels_of(images) == {"a.tar/a.b/1.JPG": {"a"}, "a.tar/2.webp": {"b"}}


def test_the_image_of_several_is_the_manifests(tmp_path: Path) -> None:
    files = {"1.jpg": b"x", "1.png": b"mask", "1.json": '["a"]'}
    write_shard(tmp_path / "a.tar", files)
    assert "2 images (jpg, png); expected one of" in refuse(tmp_path)
    assert load_images(spec(tmp_path, image_extension=".JPG"), tmp_path).ids.tolist() == ["a.tar/1.jpg"]
    assert load_images(spec(tmp_path, image_extension="png"), tmp_path).ids.tolist() == ["a.tar/1.png"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("t-{0..2}.tar", ["t-0", "t-1", "t-2"]),
        ("t-{10..9}.tar", ["t-10", "t-9"]),
        ("t-{08..10}.tar", ["t-08", "t-09", "t-10"]),
        ("{t,u}-{0,2}.tar", ["t-0", "t-2", "u-0", "u-2"]),
        ("[u]-?.tar", ["u-0", "u-2"]),
        ("**/u-2.tar", ["u-2"]),
        ("./t-1.tar", ["t-1"]),
    ],
)
def test_patterns(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    for name in ("t-0", "t-1", "t-2", "t-08", "t-09", "t-9", "t-10", "u-0", "u-2"):
        write_shard(tmp_path / f"{name}.tar", {"1.jpg": b"x", "1.json": '["a"]'})
    images = load_images(spec(tmp_path, shards={"train": pattern}), tmp_path)
    assert images.ids.tolist() == [f"{name}.tar/1.jpg" for name in expected]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("none-*.tar", "no {root}/none-*.tar"),
        ("a-{0..9999999999}.tar", "no {root}/a-1.tar"),
        ("a-{0,2}.tar", "no {root}/a-2.tar"),
        ("../*.tar", "no pattern for files below"),
        ("/a.tar", "no pattern for files below"),
        ("", "no pattern for files below"),
        ("x**.tar", ""),
    ],
)
def test_a_pattern_that_names_no_shard_is_named(tmp_path: Path, pattern: str, expected: str) -> None:
    write_shard(tmp_path / "a-0.tar", {"1.jpg": b"x", "1.json": '["a"]'})
    found = refuse(tmp_path, shards={"train": pattern})
    assert expected.replace("{root}", str(tmp_path)) in found
    assert pattern.split("{")[0] in found


def test_a_shard_in_both_splits_is_refused(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", {"1.jpg": b"x", "1.json": '["a"]'})
    assert "a.tar is in the splits train and test" in refuse(tmp_path, shards={"train": "*.tar", "test": "a.*"})


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.zip"])
def test_a_compressed_shard_says_what_to_do(tmp_path: Path, name: str) -> None:
    write_shard(tmp_path / name, {"1.jpg": b"x", "1.json": '["a"]'})
    assert f"{name}: a shard is an uncompressed .tar" in refuse(tmp_path, shards={"train": "a.*"})


@pytest.mark.parametrize("name", ["../2.jpg", "/2.jpg"])
def test_a_shard_that_cannot_be_trusted_is_not_read_at_all(tmp_path: Path, name: str) -> None:
    write_shard(tmp_path / "a.tar", {"1.jpg": b"x", "1.json": '["a"]', name: b"x"})
    found = refuse(tmp_path)
    assert "a.tar" in found and repr(name) in found
    with pytest.raises(AevlpError, match=rf"a\.tar.*{re.escape(repr(name))}"):
        reported(tmp_path)


def test_a_shard_that_is_cut_short_is_named(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "a.tar", {"1.json": '["a"]', "1.jpg": bytes(5000)})
    shard.write_bytes(shard.read_bytes()[:3000])
    assert f"{shard} is not a whole" in refuse(tmp_path)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"1.json": '["a"]'}, "sample '1': no image among json"),
        ({"1.seg.png": "x", "1.json": '["a"]'}, "sample '1': no image among seg.png, json"),
        ({"1.jpg": "x", "1.png": "x", "1.json": '["a"]'}, "sample '1': 2 images (jpg, png)"),
        ({"1.jpg": "x"}, "sample '1': no labels: no .json among jpg"),
        ({"1.jpg": "x", "1.txt": "a"}, "sample '1': no labels: no .json among jpg, txt"),
        ({"1.jpg": "x", "1.json": "["}, "sample '1': its .json cannot be read: "),
        ({"1.jpg": "x", "1.json": ""}, "sample '1': its .json cannot be read: "),
        ({"1.jpg": "x", "1.json": "[" * 100_000}, "sample '1': its .json cannot be read: "),
        ({"1.jpg": "x", "1.json": b"\xff\xfe"}, "sample '1': its .json cannot be read: "),
        ({"1.jpg": "x", "1.json": "9" * 5000}, "sample '1': its .json cannot be read: "),
        ({"1.jpg": "x", "1.json": '{"tags": []}'}, "sample '1': unknown key 'labels': known are tags"),
        ({"1.jpg": "x", "1.json": '{"tags": []}'}, "name the key that holds the labels as `label_key`"),
        (
            {"1.jpg": "x", "1.json": '{"cat": 1, "dog": 0}'},
            "as `label_key`; or, where the keys are classes, write the list",
        ),
        ({"1.jpg": "x", "1.json": '{"cat": true, "dog": false}'}, "as `label_key`; or, where the keys are classes"),
        ({"1.jpg": "x", "1.json": "[true]"}, "expected class names or numbers, found 'True'"),
        ({"1.jpg": "x", "1.json": "[0.5]"}, "expected class names or numbers, found '0.5'"),
        ({"1.jpg": "x", "1.json": "[[0]]"}, "expected class names or numbers, found '[0]'"),
        ({"1.jpg": "x", "1.json": '["\\ud800"]'}, "expected class names or numbers, found '\\ud800'"),
        ({"1.jpg": "x", "1.json": '"\\ud800"'}, "expected class names or numbers, found '\\ud800'"),
        ({"\udcff1.jpg": "x", "\udcff1.json": '["a"]'}, "holds a character that no file name can have"),
    ],
)
def test_a_faulty_sample_is_reported_and_left_out(tmp_path: Path, files: dict, expected: str) -> None:
    write_shard(tmp_path / "a.tar", {**files, "good.jpg": b"x", "good.json": '["a"]'})
    assert expected in refuse(tmp_path)
    images, faults = reported(tmp_path)
    assert [fault.kind for fault in faults] == ["bad row"]
    assert expected in str(faults[0])
    assert labels_of(images) == {"a.tar/good.jpg": {"a"}}


@pytest.mark.parametrize("content", ["", " \n", "a\nb"])
def test_a_faulty_class_file_is_reported(tmp_path: Path, content: str) -> None:
    write_shard(tmp_path / "a.tar", {"1.jpg": b"x", "1.cls": content, "2.jpg": b"x", "2.cls": "a"})
    images, faults = reported(tmp_path, label_extension="cls")
    assert [fault.kind for fault in faults] == ["bad row"]
    assert labels_of(images) == {"a.tar/2.jpg": {"a"}}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ('["cat", "dgo"]', "unknown class 'dgo': known are dog, "),
        ('["cat", 2]', "unknown class number 2: known are 0 to 1"),
        ('["cat", -1]', "unknown class number -1: known are 0 to 1"),
    ],
)
def test_an_unknown_class_is_reported_and_the_image_kept(tmp_path: Path, labels: str, expected: str) -> None:
    write_shard(tmp_path / "a.tar", {"1.jpg": b"x", "1.json": labels})
    images, faults = reported(tmp_path, classes=("cat", "dog"))
    assert [(fault.kind, fault.image) for fault in faults] == [("unknown class", "a.tar/1.jpg")]
    assert f"a.tar, sample '1': {expected}" in str(faults[0])
    assert labels_of(images) == {"a.tar/1.jpg": {"cat"}}


@pytest.mark.parametrize(("extension", "content"), [("json", "[3]"), ("json", "3"), ("cls", "3")])
def test_a_class_number_needs_names(tmp_path: Path, extension: str, content: str) -> None:
    write_shard(tmp_path / "a.tar", {"1.jpg": b"x", f"1.{extension}": content})
    found = refuse(tmp_path, label_extension=extension)
    assert "the class number 3 has no name: list the names under `classes`, in order" in found


def test_shards_without_a_sample_or_a_label_say_so(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", {})
    assert "the shards hold no sample" in refuse(tmp_path)
    write_shard(tmp_path / "b.tar", {"1.jpg": b"x", "1.json": "[]"})
    assert "photos, the .json files: no row has a label, and the manifest lists no classes" in refuse(tmp_path)
    assert len(load_images(spec(tmp_path, classes=("a",)), tmp_path)) == 1


def test_a_manifest_cannot_ask_for_a_pickle(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(EXAMPLE.replace("label_extension: json", "label_extension: pyd"))
    with pytest.raises(AevlpError, match=r"label_extension: labels are in a \.txt, \.cls or \.json, found 'pyd'"):
        load_manifest(tmp_path / "mine.yaml")


def test_labels_that_somebody_gave_are_observed_as_they_are(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", {"1.jpg": b"x", "1.json": '["b"]', "2.jpg": b"x", "2.json": '["a"]'})
    images = load_images(spec(tmp_path, labels="observed"), tmp_path)
    assert images.truth is None
    assert images.observed.tolist() == [[0, 1], [1, 0]]


def test_the_fingerprint_changes_with_an_images_size(tmp_path: Path) -> None:
    found = []
    for time, content in enumerate((b"x", b"xx", b"y")):
        shard = write_shard(tmp_path / "a.tar", {"1.jpg": content, "1.json": '["b"]'})
        os.utime(shard, (time, time))  # three shards may be written in one tick of the clock
        found.append(load_images(spec(tmp_path), tmp_path).fingerprint())
    assert found[0] == found[2] != found[1]


@pytest.mark.process
@pytest.mark.parametrize("workers", [0, 2])
def test_worker_processes_read_what_is_in_the_shard(tmp_path: Path, workers: int) -> None:
    files: dict[str, bytes | str] = {}
    for n in range(9):
        files |= {f"{n}.png": picture(n), f"{n}.cls": "a"}
        (tmp_path / f"{n}.png").write_bytes(picture(n))
    write_shard(tmp_path / "a.tar", files)
    images = load_images(spec(tmp_path, label_extension="cls"), tmp_path)
    images.fingerprint()  # so that the workers inherit what this process has read
    views = []
    for paths in ([*images.paths], [tmp_path / f"{n}.png" for n in range(9)]):
        batches = list(load_views(ViewDataset(paths, 2, 16, "paper"), [[0, 1], [2, 3], [4, 5], [6, 7], [8]], workers))
        assert [status for batch in batches for status in batch.status] == ["ok"] * 9
        views.append(torch.cat([batch.views for batch in batches]))
    assert torch.equal(*views)


@pytest.fixture(scope="module")
def shards(blocks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The coloured blocks of conftest in two shards, the same pictures and labels in the same order."""
    folder = tmp_path_factory.mktemp("shards")
    files: dict[str, dict[str, bytes | str]] = {"train": {}, "test": {}}
    for line in (blocks / "labels.csv").read_text().splitlines()[1:]:
        image, split, labels = line.split(",")
        key = Path(image).stem
        files[split] |= {f"{key}.png": (blocks / image).read_bytes(), f"{key}.txt": labels}
    for split, content in files.items():
        write_shard(folder / f"{split}-000.tar", content)
    manifest = (blocks / "blocks.yaml").read_text()
    entry = 'format: webdataset\n    shards: {train: "train-*.tar", test: "test-*.tar"}\n    label_extension: txt'
    manifest = manifest.replace("format: table\n    table: labels.csv\n    split_column: split", entry)
    assert "webdataset" in manifest
    (folder / "blocks.yaml").write_text(manifest)
    (folder / "tiny-clip.json").write_bytes((blocks / "tiny-clip.json").read_bytes())
    return folder


@pytest.mark.process
def test_stage_one_and_two_over_a_shard_give_what_they_give_over_files(
    shards: Path, cache_path: Path, run_path: Path, tmp_path: Path
) -> None:
    mine = open_cache(stage_one(shards, tmp_path / "c.h5", storage="float32", workers=2))
    plain = open_cache(cache_path)
    assert mine.paths.tolist()[0] == "train-000.tar/00.png"
    assert set(mine.status) == {"ok"}
    np.testing.assert_array_equal(mine.similarity(slice(None)), plain.similarity(slice(None)))
    np.testing.assert_array_equal(mine.observed, plain.observed)
    np.testing.assert_array_equal(mine.truth, plain.truth)
    run = RunFolder(stage_two(tmp_path / "c.h5", tmp_path / "run", workers=2)).metrics()
    keys = ("loss", "val_map", "test_map")
    assert [[line.get(key) for key in keys] for line in run] == [
        [line.get(key) for key in keys] for line in RunFolder(run_path).metrics()
    ]


def test_check_finds_nothing_wrong_with_a_shard_and_names_what_is(shards: Path, tmp_path: Path) -> None:
    entry = load_manifest(shards / "blocks.yaml")["blocks"]
    checked = check_dataset(entry, shards)
    assert [finding for finding in checked.findings if finding.serious] == []
    assert checked.images == 16
    files = {f"{n}.png": picture(n) for n in range(4)} | {f"{n}.json": b'["a"]' for n in range(5)}
    write_shard(tmp_path / "a.tar", files | {"3.png": b"", "5.png": picture(1), "5.json": b'["b", 7]'})
    checked = check_dataset(spec(tmp_path, classes=("a", "b")), tmp_path)
    found = {kind: len(checked.of_kind(kind)) for kind in ("bad row", "unknown class", "unreadable image", "duplicate")}
    assert found == {"bad row": 1, "unknown class": 1, "unreadable image": 1, "duplicate": 1}
