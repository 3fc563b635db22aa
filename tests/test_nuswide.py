"""The NUS-WIDE reader: Cole et al.'s formatted files and the official lists, written here."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from refusals import refused

from aevlp.pipeline.datasets import ImageTable, load_images
from aevlp.pipeline.datasets.formatted import export
from aevlp.pipeline.labels.observation import NONE
from aevlp.pipeline.labels.single_positive import observe
from aevlp.pipeline.manifest.formats import DatasetSpec, FormattedSpec
from aevlp.pipeline.manifest.load import load_manifest

NUS = load_manifest()["nuswide"]
CONCEPTS = tuple(NUS.classes or ())
RANDOM = np.random.default_rng(81)
TRUTH = {split: (RANDOM.random((n, 81)) < 0.03).astype(int) for split, n in (("train", 60), ("test", 25))}
for truth in TRUTH.values():
    truth[3] = 0  # as one in five of the published images
IMAGES = {
    split: [f"{CONCEPTS[n % 81]}/{n:04d}_{n * 7919 % 1000}.jpg" for n in range(len(truth))]
    for split, truth in TRUTH.items()
}
IMAGES["test"] = [name.replace(".jpg", "0.jpg") for name in IMAGES["test"]]


def nuswide(*classes: str) -> DatasetSpec:
    """Return the packaged entry with other classes."""
    return NUS.model_copy(update={"classes": classes})


def formatted(root: Path, observed: bool = False) -> Path:
    """Write Cole et al.'s files and return the root."""
    root.mkdir(exist_ok=True)
    for split, word in (("train", "train"), ("test", "val")):
        np.save(root / f"formatted_{word}_images.npy", np.array(IMAGES[split]))
        np.save(root / f"formatted_{word}_labels.npy", TRUTH[split].astype(float))
        if observed:
            np.save(root / f"formatted_{word}_labels_obs.npy", np.where(TRUTH[split] == 1, 1.0, -1.0))
    return root


def official(
    root: Path,
    images: dict[str, list[str]] = IMAGES,
    truth: dict[str, np.ndarray] = TRUTH,
    classes: tuple[str, ...] = CONCEPTS,
    end: str = "\n",
) -> Path:
    """Write the official lists, paths with backslashes, and return the root."""
    labels = root / "Groundtruth" / "TrainTestLabels"
    labels.mkdir(parents=True, exist_ok=True)
    (root / "ImageList").mkdir(exist_ok=True)
    for split, word in (("train", "Train"), ("test", "Test")):
        text = "".join(name.replace("/", "\\") + end for name in images[split])
        (root / "ImageList" / f"{word}Imagelist.txt").write_bytes(text.encode())
        for column, name in enumerate(classes):
            text = "".join(f"{flag}{end}" for flag in np.reshape(truth[split], (-1, len(classes)))[:, column])
            (labels / f"Labels_{name}_{word}.txt").write_bytes(text.encode())
    return root


def small(root: Path) -> DatasetSpec:
    """Write official lists of three training images, one test image and two concepts."""
    images = {"train": ["a/1.jpg", "b/2.jpg", "a/3.jpg"], "test": ["b/4.jpg"]}
    truth = {"train": np.array([[0, 1], [0, 0], [1, 1]]), "test": np.array([[1, 0]])}
    official(root, images, truth, ("sky", "cat"))
    return nuswide("sky", "cat")


def check(images: ImageTable, image_root: Path) -> None:
    """Compare a table with what was written."""
    assert images.truth is not None
    assert images.truth.dtype == images.observed.dtype == np.int8
    assert images.classes == CONCEPTS
    assert images.ids.tolist() == [*IMAGES["train"], *IMAGES["test"]]
    assert images.split.tolist() == ["train"] * 60 + ["test"] * 25
    assert images.paths.tolist() == [image_root / name for name in images.ids]
    assert images.image_root == image_root
    for split, truth in TRUTH.items():
        rows = images.split == split
        np.testing.assert_array_equal(images.truth[rows], truth)
        np.testing.assert_array_equal(images.observed[rows], observe(truth))
        assert not images.observed[rows][3].any()  # kept, with nothing observed


@pytest.mark.parametrize("folder", ["Flickr", "."])
def test_the_official_lists(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    images = load_images(NUS, official(tmp_path))
    check(images, tmp_path / folder)
    assert len(images.label_hashes()) == 2 * 82
    assert "Groundtruth/TrainTestLabels/Labels_zebra_Test.txt" in images.label_hashes()


@pytest.mark.parametrize("folder", ["Flickr", "."])
def test_the_formatted_files(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    images = load_images(NUS, formatted(tmp_path))
    check(images, tmp_path / folder)
    names = {f"formatted_{word}_{part}.npy" for word in ("train", "val") for part in ("images", "labels")}
    assert set(images.label_hashes()) == names


def test_the_formatted_files_go_before_the_official_lists(tmp_path: Path) -> None:
    official(
        formatted(tmp_path),
        {"train": ["other.jpg"], "test": []},
        {"train": np.eye(1, 81, dtype=int), "test": np.empty((0, 81))},
    )
    check(load_images(NUS, tmp_path), tmp_path)


def test_observed_labels_beside_the_formatted_files_are_taken(tmp_path: Path) -> None:
    images = load_images(NUS, formatted(tmp_path, observed=True))
    np.testing.assert_array_equal(images.observed, np.where(np.concatenate(list(TRUTH.values())) == 1, 1, -1))
    assert images.simulate == NONE


@pytest.mark.parametrize("write", [official, formatted])
def test_the_export_of_either_variant_reads_back(tmp_path: Path, write) -> None:
    (tmp_path / "Flickr").mkdir()
    images = load_images(NUS, write(tmp_path))
    export(images, tmp_path / "out")
    for split, word in (("train", "train"), ("test", "val")):
        arrays = {
            p: np.load(tmp_path / "out" / f"formatted_{word}_{p}.npy") for p in ("images", "labels", "labels_obs")
        }
        np.testing.assert_array_equal(arrays["images"], IMAGES[split])
        assert arrays["images"].dtype.kind == "U"
        np.testing.assert_array_equal(arrays["labels"], TRUTH[split])
        np.testing.assert_array_equal(arrays["labels_obs"], observe(TRUTH[split]))
        assert arrays["labels"].dtype == arrays["labels_obs"].dtype == np.float64
    entry = FormattedSpec(title="Again", format="formatted", classes=CONCEPTS, folder="out", images="Flickr")
    check(load_images(entry.placed("again", tmp_path / "mine.yaml"), tmp_path), tmp_path / "Flickr")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_official_lists_equal_a_slow_loop(tmp_path: Path, data: st.DataObject) -> None:
    """Line ends of either kind, blank lines, byte order marks; an image that is listed again keeps its row."""
    name = st.sampled_from(["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/1.jpg#2", "c d/\u00e9.jpg"])
    images = {split: data.draw(st.lists(name, max_size=6)) for split in ("train", "test")}
    if not any(images.values()):
        images["test"] = ["a/1.jpg"]
    classes = ("sky", "cat", "ox")
    truth = {
        split: [[data.draw(st.integers(0, 1)) for _ in classes] for _ in listed] for split, listed in images.items()
    }
    arrays = {split: np.array(rows, dtype=int).reshape(-1, 3) for split, rows in truth.items()}
    official(tmp_path, images, arrays, classes, end=data.draw(st.sampled_from(["\n", "\r\n", " \n\n"])))
    for path in tmp_path.rglob("*.txt"):
        path.write_bytes(data.draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + path.read_bytes())
    table = load_images(nuswide(*classes), tmp_path)
    listed = images["train"] + images["test"]
    assert table.relative_paths() == listed
    assert table.truth is not None
    assert table.truth.tolist() == truth["train"] + truth["test"]
    assert len(set(table.ids)) == len(listed)
    assert all(table.ids[listed.index(name)] == name for name in listed if "#" not in name)


def test_the_concepts_of_the_official_list_may_stand_in_any_order(tmp_path: Path) -> None:
    (official(tmp_path) / "ConceptsList").mkdir()
    concepts = tmp_path / "ConceptsList" / "Concepts81.txt"
    concepts.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(reversed(CONCEPTS)).encode() + b" \r\n\r\n")
    images = load_images(NUS, tmp_path)
    check(images, tmp_path)
    assert "ConceptsList/Concepts81.txt" in images.label_hashes()


# What cannot be read


@pytest.mark.parametrize(
    ("concepts", "expected"),
    [
        (b"sky\n", "names 1 concepts, which are not the 2 of the manifest, first 'cat'"),
        (b"sky\ncat\nox\n", "names 3 concepts, which are not the 2 of the manifest, first 'ox'"),
        (b"sky\ncat\ncat\n", "names 3 concepts, which are not the 2 of the manifest, first 'cat'"),
        (b"sky\ndog\n", "names 2 concepts, which are not the 2 of the manifest, first 'cat'"),
        (b"", "names 0 concepts, which are not the 2 of the manifest, first 'cat'"),
        (b"\xff\xd8\xff\xe0", "not UTF-8 text (byte 0xff at 0)"),
    ],
)
def test_other_concepts_than_the_manifests_are_refused(tmp_path: Path, concepts: bytes, expected: str) -> None:
    spec = small(tmp_path)
    (tmp_path / "ConceptsList").mkdir()
    path = tmp_path / "ConceptsList" / "Concepts81.txt"
    path.write_bytes(concepts)
    found = refused(spec, tmp_path)
    assert str(path) in found
    assert expected in found


def test_an_empty_folder_says_what_is_looked_for_and_what_to_do(tmp_path: Path) -> None:
    found = refused(NUS, tmp_path)
    assert found.startswith(
        f"nuswide: no {tmp_path / 'formatted_train_images.npy'} and no ImageList/TrainImagelist.txt: "
    )
    assert "aevlp datasets nuswide --download" in found
    assert "pass the folder that it is below as --data-root" in found


@pytest.mark.parametrize("name", ["ImageList/TestImagelist.txt", "Groundtruth/TrainTestLabels/Labels_cat_Train.txt"])
def test_a_missing_list_says_what_to_do(tmp_path: Path, name: str) -> None:
    spec = small(tmp_path)
    (tmp_path / name).unlink()
    found = refused(spec, tmp_path)
    assert found.startswith(f"nuswide: no {tmp_path / name}: ")
    assert "--data-root" in found


@pytest.mark.parametrize("part", ["train_labels", "val_images", "val_labels"])
def test_a_missing_formatted_file_says_what_to_do(tmp_path: Path, part: str) -> None:
    path = formatted(tmp_path) / f"formatted_{part}.npy"
    path.unlink()
    found = refused(NUS, tmp_path)
    assert found.startswith(f"nuswide: no {path}: ")
    assert "--data-root" in found


@pytest.mark.parametrize(("flags", "count"), [("0\n1\n", 2), ("", 0), ("0\n1\n1\n0\n", 4), ("0\n\n1", 2)])
def test_labels_and_images_must_be_as_many(tmp_path: Path, flags: str, count: int) -> None:
    spec = small(tmp_path)
    path = tmp_path / "Groundtruth" / "TrainTestLabels" / "Labels_cat_Train.txt"
    path.write_text(flags)
    assert refused(spec, tmp_path) == (
        f"{path} holds {count} labels and TrainImagelist.txt lists 3 images: they must be as many"
    )


@pytest.mark.parametrize("flag", ["2", "-1", "yes", "1 0", "1.0", "\u0661"])
def test_an_odd_label_is_named(tmp_path: Path, flag: str) -> None:
    spec = small(tmp_path)
    path = tmp_path / "Groundtruth" / "TrainTestLabels" / "Labels_sky_Train.txt"
    path.write_text(f"0\n{flag}\n1\n")
    assert refused(spec, tmp_path) == f"{path}, label 2: expected 0 or 1, found {flag!r}"


@pytest.mark.parametrize("name", ["ImageList/TrainImagelist.txt", "Groundtruth/TrainTestLabels/Labels_cat_Test.txt"])
@pytest.mark.parametrize("rubbish", [b"\xff\xd8\xff\xe0\x00\x10JFIF", bytes(50), "1\n".encode("utf-16")])
def test_binary_rubbish_is_one_clear_line(tmp_path: Path, name: str, rubbish: bytes) -> None:
    spec = small(tmp_path)
    (tmp_path / name).write_bytes(rubbish)
    assert str(tmp_path / name) in refused(spec, tmp_path)


@pytest.mark.parametrize("image", ["..\\1.jpg", "a\\..\\..\\1.jpg", "../1.jpg", "\\1.jpg", "/1.jpg"])
def test_an_image_outside_of_the_folder_is_refused(tmp_path: Path, image: str) -> None:
    spec = small(tmp_path)
    path = tmp_path / "ImageList" / "TrainImagelist.txt"
    path.write_text(f"a\\1.jpg\n\n{image}\nb\\2.jpg\n")
    found = refused(spec, tmp_path)
    written = image.replace("\\", "/")
    assert found.startswith(f"{path}, line 3: {written!r} is not below the data set's folder")


def test_lists_without_an_image(tmp_path: Path) -> None:
    empty = {"train": np.empty((0, 2)), "test": np.empty((0, 2))}
    official(tmp_path, {"train": [], "test": []}, empty, ("sky", "cat"))
    assert (
        refused(nuswide("sky", "cat"), tmp_path) == f"nuswide: no image is listed in {tmp_path}, at least one is needed"
    )
