"""The reader of a folder of images for each class: what counts as a class and as an image, and in which order."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from refusals import refused

from aevlp.pipeline.datasets import DataError, load_images
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.images.read import read_image
from aevlp.pipeline.labels.observation import checked
from aevlp.pipeline.manifest.formats import DatasetSpec, ImageFolderSpec
from aevlp.pipeline.manifest.load import load_manifest

MANIFEST = """
datasets:
  pets:
    title: Pets
    format: image_folder
    splits: {test: held_out, train: known}
"""


def pets(tmp_path: Path, **changes: Any) -> DatasetSpec:
    """Return an entry without splits."""
    entry = ImageFolderSpec(title="Pets", format="image_folder")
    return entry.placed("pets", tmp_path / "pets.yaml").model_copy(update=changes)


def touch(root: Path, *names: str) -> Path:
    """Make empty files and return the root."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_classes_and_images_are_sorted_and_all_are_for_training(tmp_path: Path) -> None:
    touch(tmp_path, "dog/10.jpg", "cat/b.png", "dog/9.jpg", "Zebra/a/x.webp", "cat/A.JPEG", "bird/é ü.bmp")
    images = load_images(pets(tmp_path), tmp_path)
    assert images.classes == ("Zebra", "bird", "cat", "dog")
    assert images.ids.tolist() == [
        "Zebra/a/x.webp",
        "bird/é ü.bmp",
        "cat/A.JPEG",
        "cat/b.png",
        "dog/10.jpg",
        "dog/9.jpg",
    ]
    assert images.paths.tolist() == [tmp_path / name for name in images.ids]
    assert set(images.split) == {"train"}
    assert images.image_root == tmp_path
    assert images.observed.tolist() == np.eye(4, dtype=int)[[0, 1, 2, 2, 3, 3]].tolist()


def test_labels_are_observed_unless_they_are_said_to_be_complete(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.jpg", "dog/2.jpg")
    images = load_images(pets(tmp_path), tmp_path)
    assert images.truth is None
    assert images.observed.tolist() == [[1, 0], [0, 1]]
    assert images.observed.dtype == np.int8
    complete = load_images(pets(tmp_path, labels="complete"), tmp_path)
    assert complete.truth is not None
    assert complete.truth.tolist() == [[1, 0], [0, 1]]
    assert complete.truth.dtype == np.int8
    assert complete.observed.tolist() == [[1, 0], [0, 1]]  # the one positive there is
    everything = load_images(
        pets(tmp_path, labels="complete"),
        tmp_path,
        simulate=checked({"regime": "counts", "positives": -1, "negatives": -1}),
    )
    assert everything.observed.tolist() == [[1, -1], [-1, 1]]
    with pytest.raises(AevlpError, match="there are no full labels for the regime single-positive to choose from"):
        load_images(pets(tmp_path), tmp_path, simulate=checked({"regime": "uniform"}))


def test_splits_are_folders(tmp_path: Path) -> None:
    touch(
        tmp_path / "data",
        "held_out/dog/1.jpg",
        "held_out/ape/2.jpg",
        "known/dog/1.jpg",
        "known/cat/4.jpg",
        "rest/ox/5.jpg",
    )
    (tmp_path / "pets.yaml").write_text(MANIFEST)
    images = load_images(load_manifest(tmp_path / "pets.yaml")["pets"], tmp_path / "data")
    assert images.classes == ("ape", "cat", "dog")
    assert images.ids.tolist() == ["known/cat/4.jpg", "known/dog/1.jpg", "held_out/ape/2.jpg", "held_out/dog/1.jpg"]
    assert images.split.tolist() == ["train", "train", "test", "test"]
    assert images.observed.argmax(axis=1).tolist() == [1, 2, 0, 2]
    part = load_images(load_manifest(tmp_path / "pets.yaml")["pets"], tmp_path / "data", "test")
    assert part.ids.tolist() == images.ids[2:].tolist()
    assert part.classes == images.classes


def test_files_that_are_no_images_are_passed_over(tmp_path: Path) -> None:
    """Notes, thumbnails' indices, what systems hide; a folder that is named as an image is none."""
    stray = [
        "readme.txt",
        "cover.jpg",
        "cat/labels.csv",
        "cat/Thumbs.db",
        "cat/notes.pdf",
        "cat/noending",
        "cat/a.jpg.part",
    ]
    hidden = ["cat/.DS_Store", "cat/._1.jpg", "cat/.cache/2.jpg", ".thumbs/3.jpg", ".4.jpg"]
    touch(tmp_path, *stray, *hidden, "cat/1.jpg", "cat/folder.jpg/5.png")
    images = load_images(pets(tmp_path), tmp_path)
    assert images.classes == ("cat",)
    assert images.ids.tolist() == ["cat/1.jpg", "cat/folder.jpg/5.png"]


@pytest.mark.parametrize("ending", ["jpg", "JPG", "jpeg", "png", "gif", "bmp", "tif", "tiff", "webp", "ppm", "pgm"])
def test_images_of_every_common_kind_are_found_and_can_be_read(tmp_path: Path, ending: str) -> None:
    (tmp_path / "cat").mkdir()
    Image.new("L", (4, 3)).save(tmp_path / "cat" / f"1.{ending}")
    images = load_images(pets(tmp_path), tmp_path)
    assert images.ids.tolist() == [f"cat/1.{ending}"]
    assert read_image(images.paths[0]).size == (4, 3)


WORDS = st.text("abcXYZ019 _-é", min_size=1, max_size=4).filter(lambda name: name == name.strip())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["cat", "Dog", "éléphant", "a b", "07"]),
            WORDS,
            st.sampled_from([".jpg", ".PNG", ".txt", ""]),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_any_folder_equals_a_slow_loop(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[str, str, str]]
) -> None:
    root = tmp_path_factory.mktemp("pets")
    touch(root, *(f"{folder}/{name}{ending}" for folder, name, ending in files))
    expected = sorted({(folder, name + ending) for folder, name, ending in files if ending in (".jpg", ".PNG")})
    classes = sorted({folder for folder, _, _ in files})
    if not expected:
        assert "no image is listed in" in refused(pets(root), root)
        return
    images = load_images(pets(root), root)
    assert images.classes == tuple(classes)
    assert images.ids.tolist() == [f"{folder}/{name}" for folder, name in expected]
    assert images.observed.tolist() == [[int(name == folder) for name in classes] for folder, _ in expected]


def test_classes_of_the_manifest_give_the_order_and_may_be_without_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.jpg", "dog/2.jpg")
    (tmp_path / "names.txt").write_bytes(b"\xef\xbb\xbfdog\r\nox\r\ncat\r\n")
    for classes in (("dog", "ox", "cat"), "names.txt"):
        images = load_images(pets(tmp_path, classes=classes), tmp_path)
        assert images.classes == ("dog", "ox", "cat")
        assert images.ids.tolist() == ["cat/1.jpg", "dog/2.jpg"]
        assert images.observed.tolist() == [[0, 0, 1], [1, 0, 0]]


def test_a_folder_that_is_no_class_is_named_and_can_be_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.jpg", "dgo/2.jpg", "ox/3.jpg")
    spec = pets(tmp_path, classes=("cat", "dog", "ox"))
    found = refused(spec, tmp_path)
    assert found == f"{tmp_path / 'dgo'}: unknown class 'dgo': known are dog, ox, cat"
    faults: list[DataError] = []
    images = load_images(spec, tmp_path, report=faults.append)
    assert [(str(fault), fault.kind) for fault in faults] == [(found, "unknown class")]
    assert images.ids.tolist() == ["cat/1.jpg", "ox/3.jpg"]
    assert images.observed.argmax(axis=1).tolist() == [0, 2]


@pytest.mark.parametrize("name", [b"cat/caf\xe9.jpg", b"cat/caf\xe9/2.jpg", b"caf\xe9/2.jpg"])
def test_a_name_that_is_no_text_is_named_and_can_be_passed_over(tmp_path: Path, name: bytes) -> None:
    """A cache keeps names as text."""
    touch(tmp_path, "cat/1.jpg")
    try:
        touch(tmp_path, os.fsdecode(name))
    except OSError:
        pytest.skip("this file system has no such names")
    found = refused(pets(tmp_path), tmp_path)
    assert r"caf\udce9" in found
    assert found.endswith("is not UTF-8 text: rename it")
    faults: list[DataError] = []
    images = load_images(pets(tmp_path), tmp_path, report=faults.append)
    assert {fault.kind for fault in faults} == {"bad row"}
    assert images.ids.tolist() == ["cat/1.jpg"]
    assert images.classes == ("cat",)
    assert len(images.fingerprint()) == 64


def test_a_missing_folder_says_what_to_pass(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert refused(pets(tmp_path), nowhere) == (
        f"pets: no folder {nowhere}: pass the folder that holds a folder for each class as --data-root"
    )
    touch(tmp_path, "known/cat/1.jpg")
    spec = pets(tmp_path, splits={"train": "known", "test": "held_out"})
    assert refused(spec, tmp_path) == (
        f"pets: no folder {tmp_path / 'held_out'}: pass the folder that holds it as --data-root"
    )


def test_a_folder_without_folders_says_what_is_needed(tmp_path: Path) -> None:
    touch(tmp_path, "1.jpg", ".hidden/2.jpg")
    assert refused(pets(tmp_path), tmp_path) == (
        f"pets: {tmp_path} holds no folders: each class needs one, named for it"
    )


def test_folders_without_images(tmp_path: Path) -> None:
    touch(tmp_path, "cat/notes.txt", "dog/labels.csv")
    assert refused(pets(tmp_path), tmp_path) == f"pets: no image is listed in {tmp_path}, at least one is needed"


def test_folders_that_are_splits_are_not_taken_for_classes(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("RGB", (4, 4)).save(tmp_path / split / name / "a.png")
    manifest = tmp_path / "m.yaml"
    manifest.write_text("datasets: {pets: {title: x, format: image_folder}}")
    with pytest.raises(
        AevlpError, match=r"named as splits, not as classes \(train, val\).*splits: \{train: train, val: val\}"
    ):
        load_images(load_manifest(manifest)["pets"], tmp_path)
