"""The formatted files: what other repositories write is read, what is written here they can read, and nothing is unpickled."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from laws import each
from refusals import refused

from aevlp.pipeline.datasets import ImageTable, load_images
from aevlp.pipeline.datasets.formatted import export
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.labels.observation import NONE, checked
from aevlp.pipeline.labels.single_positive import observe
from aevlp.pipeline.manifest.formats import DatasetSpec, FormattedSpec
from aevlp.pipeline.manifest.load import load_manifest
from goldens import load

MANIFEST = """
datasets:
  mine:
    title: Mine
    format: formatted
    classes: classes.txt
    folder: lists
    images: photos
"""
TRAIN = np.array([[0, 1, 0], [0, 0, 0], [1, 1, 0]])
TEST = np.array([[0, 0, 1]])


def mine(tmp_path: Path, **changes: Any) -> DatasetSpec:
    """Return an entry for three classes, the files in lists/ and the images in photos/."""
    entry = FormattedSpec(title="Mine", format="formatted", classes=tuple("abc"), folder="lists", images="photos")
    return entry.placed("mine", tmp_path / "mine.yaml").model_copy(update=changes)


def save(root: Path, **parts: Any) -> Path:
    """Write arrays such as train_images and return the folder."""
    folder = root / "lists"
    folder.mkdir(exist_ok=True)
    for part, array in parts.items():
        np.save(folder / f"formatted_{part}.npy", np.asarray(array), allow_pickle=False)
    return folder


def small(root: Path, **parts: Any) -> Path:
    """Write four images, with some arrays in place of the usual, and return the folder."""
    usual = {
        "train_images": ["b/1.jpg", "a.jpg", "é 2.png"],
        "train_labels": TRAIN.astype(float),
        "val_images": ["0.jpg"],
        "val_labels": TEST.astype(float),
    }
    return save(root, **{**usual, **parts})


def same(one: ImageTable, other: ImageTable) -> None:
    """Assert that two tables say the same of the same images."""
    assert one.ids.tolist() == other.ids.tolist()
    assert one.paths.tolist() == other.paths.tolist()
    assert one.split.tolist() == other.split.tolist()
    assert one.classes == other.classes
    assert one.truth is not None and other.truth is not None
    np.testing.assert_array_equal(one.truth, other.truth)
    np.testing.assert_array_equal(one.observed, other.observed)


def test_the_files_are_read_in_their_order_and_val_is_the_test_set(tmp_path: Path) -> None:
    small(tmp_path)
    images = load_images(mine(tmp_path), tmp_path)
    assert images.ids.tolist() == ["b/1.jpg", "a.jpg", "é 2.png", "0.jpg"]
    assert images.split.tolist() == ["train", "train", "train", "test"]
    assert images.relative_paths() == [f"photos/{name}" for name in images.ids]
    assert images.image_root == tmp_path / "photos"
    assert images.classes == ("a", "b", "c")
    assert images.truth is not None
    assert images.truth.tolist() == [*TRAIN.tolist(), *TEST.tolist()]
    assert images.truth.dtype == images.observed.dtype == np.int8
    np.testing.assert_array_equal(images.observed, images.truth)  # every label that is given
    assert images.simulate == NONE
    alone = load_images(mine(tmp_path), tmp_path, simulate="single-positive")
    np.testing.assert_array_equal(alone.observed[:3], observe(TRAIN))
    np.testing.assert_array_equal(alone.observed[3:], observe(TEST))


def test_the_test_files_may_be_left_out(tmp_path: Path) -> None:
    folder = small(tmp_path)
    for part in ("images", "labels"):
        (folder / f"formatted_val_{part}.npy").unlink()
    assert set(load_images(mine(tmp_path), tmp_path).split) == {"train"}


def test_observed_labels_are_those_of_the_file_unless_a_regime_is_asked_for(tmp_path: Path) -> None:
    train, test = [[0, -1, 0], [0, 0, 0], [1, 1, -1]], [[1, 0, 0]]
    small(tmp_path, train_labels_obs=np.array(train, dtype=float), val_labels_obs=np.array(test, dtype=float))
    images = load_images(mine(tmp_path), tmp_path)
    assert images.observed.tolist() == train + test
    assert images.simulate == NONE
    asked = load_images(mine(tmp_path), tmp_path, simulate=checked({"regime": "uniform"}))
    np.testing.assert_array_equal(asked.observed[:3], observe(TRAIN))


@pytest.mark.parametrize("case", [name for name in load("protocol") if name.startswith("observe_0")])
def test_published_labels_are_observed_as_published(tmp_path: Path, case: str) -> None:
    golden = load("protocol")[case]
    names = [f"{n}.jpg" for n in range(200)]
    save(tmp_path, train_images=names, train_labels=golden["labels"].astype(float))
    regime = {"positives": int(golden["num_pos"]), "negatives": int(golden["num_neg"]), "seed": int(golden["seed"])}
    spec = mine(tmp_path, classes=tuple(str(n) for n in range(20)))
    images = load_images(spec, tmp_path, simulate=checked({"regime": "counts", **regime}))
    np.testing.assert_array_equal(images.observed, golden["observed"])


@each(dtype=["bool", "uint8", "int8", "int64", ">i4", "float16", "float32", "float64", ">f8"], order=["C", "F"])
def test_labels_of_any_type_of_number_are_read(tmp_path: Path, dtype: str, order: Any) -> None:
    small(tmp_path, train_labels=np.asarray(TRAIN.astype(dtype), order=order))
    images = load_images(mine(tmp_path), tmp_path)
    assert images.truth is not None
    assert images.truth[:3].tolist() == TRAIN.tolist()


def test_an_image_that_is_listed_twice_keeps_all_its_rows(tmp_path: Path) -> None:
    names = ["a#2", "a", "a"]
    small(tmp_path, train_images=names, val_images=["a"])
    images = load_images(mine(tmp_path), tmp_path)
    assert [path.name for path in images.paths] == ["a#2", "a", "a", "a"]
    assert images.ids[:2].tolist() == ["a#2", "a"]
    assert len(set(images.ids)) == 4


def test_the_documented_entry(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(MANIFEST)
    (tmp_path / "classes.txt").write_bytes(b"\xef\xbb\xbfa\r\nb\r\n\r\nc\r\n")
    small(tmp_path)
    images = load_images(load_manifest(tmp_path / "mine.yaml")["mine"])
    same(images, load_images(mine(tmp_path), tmp_path))


# What is written


NAMES = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="/\\"), min_size=1, max_size=6).filter(
    lambda name: name not in (".", "..")
)


@st.composite
def files(draw: st.DrawFn) -> dict[str, np.ndarray]:
    """Draw the six arrays of both splits."""
    parts: dict[str, np.ndarray] = {}
    for word in ("train", "val"):
        names = draw(st.lists(st.builds("{}/{}".format, NAMES, NAMES), min_size=1, max_size=5))
        shape = (len(names), 3)
        parts[f"{word}_images"] = np.array(names)
        parts[f"{word}_labels"] = draw(arrays(np.int64, shape, elements=st.integers(0, 1)))
        parts[f"{word}_labels_obs"] = draw(arrays(np.int64, shape, elements=st.integers(-1, 1)))
    return parts


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files(), st.sampled_from(["float64", "int64", "float32"]))
def test_any_files_read_and_written_again_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, parts: dict[str, np.ndarray], dtype: str
) -> None:
    root = tmp_path_factory.mktemp("formatted")
    save(root, **parts)
    images = load_images(mine(root), root)
    written = export(images, root / "again", dtype)
    assert [path.name for path in written] == [f"formatted_{part}.npy" for part in parts]
    for path, (part, array) in zip(written, parts.items(), strict=True):
        found = np.load(path, allow_pickle=False)
        np.testing.assert_array_equal(found, array)
        assert found.dtype == (array.dtype if part.endswith("images") else dtype)
    same(load_images(mine(root, folder="again"), root), images)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    small(tmp_path)
    images = load_images(mine(tmp_path), tmp_path)
    there = tmp_path / "out" / "formatted_val_labels_obs.npy"
    there.parent.mkdir()
    there.write_bytes(b"precious")
    with pytest.raises(AevlpError, match="is there already: choose another folder, or remove it") as caught:
        export(images, tmp_path / "out")
    assert str(there) in str(caught.value)
    assert there.read_bytes() == b"precious"
    assert list(there.parent.iterdir()) == [there]


def test_a_split_without_images_has_no_files(tmp_path: Path) -> None:
    small(tmp_path)
    images = load_images(mine(tmp_path), tmp_path, "train")
    names = {path.name for path in export(images, tmp_path / "out")}
    assert names == {f"formatted_train_{part}.npy" for part in ("images", "labels", "labels_obs")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names


def test_observed_labels_alone_are_no_formatted_files(tmp_path: Path) -> None:
    (tmp_path / "pictures" / "cat").mkdir(parents=True)
    (tmp_path / "pictures" / "cat" / "1.png").touch()
    (tmp_path / "m.yaml").write_text("datasets: {folders: {title: F, format: image_folder}}")
    images = load_images(load_manifest(tmp_path / "m.yaml")["folders"], tmp_path / "pictures")
    with pytest.raises(AevlpError, match="hold full labels, and this data set has only observed ones"):
        export(images, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# What is never unpickled


class Trap:
    """Leaves a folder behind where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.trace),)


def objects(trace: Path) -> np.ndarray:
    return np.array([[Trap(trace)] * 3] * 3, dtype=object)


def structured(trace: Path) -> np.ndarray:
    array = np.zeros(3, dtype=[("name", "U5"), ("more", object)])
    array["more"] = objects(trace)[0]
    return array


@pytest.mark.parametrize("make", [objects, structured])
@pytest.mark.parametrize("part", ["train_images", "train_labels", "val_labels", "train_labels_obs"])
def test_an_array_of_objects_is_refused_and_never_unpickled(tmp_path: Path, part: str, make: Any) -> None:
    trace = tmp_path / "trace"
    path = small(tmp_path) / f"formatted_{part}.npy"
    np.save(path, make(trace), allow_pickle=True)
    found = refused(mine(tmp_path), tmp_path)
    assert found == (
        f"{path} holds Python objects, which could run code and are never unpickled: write it anew as text or numbers"
    )
    assert not trace.exists()
    np.load(path, allow_pickle=True)  # the trap does spring
    assert trace.exists()


def test_a_pickle_under_the_name_of_an_array_is_never_unpickled(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    path = small(tmp_path) / "formatted_train_images.npy"
    path.write_bytes(pickle.dumps(Trap(trace)))
    assert refused(mine(tmp_path), tmp_path).startswith(f"{path} is not a whole .npy array: ")
    assert not trace.exists()


# What cannot be read


@pytest.mark.parametrize("part", ["train_images", "train_labels", "val_images", "val_labels"])
def test_a_missing_file_says_what_to_do(tmp_path: Path, part: str) -> None:
    path = small(tmp_path) / f"formatted_{part}.npy"
    path.unlink()
    assert refused(mine(tmp_path), tmp_path) == (f"mine: no {path}: pass the folder that it is below as --data-root")


@pytest.mark.parametrize("word", ["train", "val"])
def test_observed_labels_of_one_split_alone_are_refused(tmp_path: Path, word: str) -> None:
    """They would be passed over without a word."""
    small(tmp_path, **{f"{word}_labels_obs": (TRAIN if word == "train" else TEST)})
    found = refused(mine(tmp_path), tmp_path)
    assert (
        "formatted_{train,val}_labels_obs.npy are needed both, and one is there: write the other, or remove it" in found
    )


@pytest.mark.parametrize("part", ["train_images", "train_labels", "val_labels"])
def test_a_file_cut_short_anywhere_is_one_clear_line(tmp_path: Path, part: str) -> None:
    path = small(tmp_path) / f"formatted_{part}.npy"
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        found = refused(mine(tmp_path), tmp_path)
        assert found.startswith(f"{path} is not a whole .npy array: ")
        assert found.endswith("; fetch or write it again")


@pytest.mark.filterwarnings("ignore")  # Python's, of odd headers
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["train_images", "train_labels"]), st.data())
def test_a_damaged_file_is_never_anything_but_one_clear_line(tmp_path: Path, part: str, data: st.DataObject) -> None:
    path = small(tmp_path) / f"formatted_{part}.npy"
    damaged = bytearray(path.read_bytes())
    places = st.integers(0, len(damaged) - 1) | st.integers(0, 80)  # the header above all
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(places)] = data.draw(st.sampled_from(b"({[',:\"09aU\n\x00\xff") | st.integers(0, 255))
    path.write_bytes(damaged)
    try:
        load_images(mine(tmp_path), tmp_path)
    except AevlpError as error:
        assert len(str(error).splitlines()) == 1
        assert "formatted_train_" in str(error)


@pytest.mark.parametrize("type_of_text", ["<U7", ">U7"])
def test_what_is_no_character_is_named_with_its_row(tmp_path: Path, type_of_text: str) -> None:
    names = np.array(["b/1.jpg", "a.jpg", "c.jpg"], dtype=type_of_text)
    path = small(tmp_path, train_images=names) / "formatted_train_images.npy"
    assert load_images(mine(tmp_path), tmp_path).ids[:3].tolist() == names.tolist()
    codes = names.view(f"{type_of_text[0]}u4").copy()
    codes[9] = 0x110000  # the third character of the second path
    path.write_bytes(path.read_bytes()[: -codes.nbytes] + codes.tobytes())
    assert refused(mine(tmp_path), tmp_path).startswith(f"{path}, row 1: the path holds a code that is no character")


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 999999999999999)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 10000000000000000000000000)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-3, 3)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': 9}",
        "{'descr': 'ghost', 'fortran_order': False, 'shape': (3, 3)}",
        "{'descr': '<f8', 'shape': (3, 3)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 3)",
        "__import__('os')",
        "(" * 300,
    ],
)
def test_a_header_that_promises_what_is_not_there(tmp_path: Path, header: str) -> None:
    path = small(tmp_path) / "formatted_train_labels.npy"
    text = header.encode() + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + TRAIN.astype(float).tobytes())
    assert refused(mine(tmp_path), tmp_path).startswith(f"{path} is not a whole .npy array: ")


@pytest.mark.parametrize(
    "content", [b"", b"a.jpg\nb.jpg\n", bytes(300), b"\xff\xd8\xff\xe0\x00\x10JFIF", b"PK\x03\x04" + bytes(60)]
)
def test_binary_rubbish_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    path = small(tmp_path) / "formatted_val_images.npy"
    path.write_bytes(content)
    assert refused(mine(tmp_path), tmp_path).startswith(f"{path} is not a whole .npy array: ")


def test_an_archive_of_arrays_is_not_an_array(tmp_path: Path) -> None:
    path = small(tmp_path) / "formatted_train_labels.npy"
    with path.open("wb") as file:
        np.savez(file, labels=TRAIN)
    assert refused(mine(tmp_path), tmp_path).startswith(f"{path} is not a whole .npy array: ")


def test_a_folder_is_not_an_array(tmp_path: Path) -> None:
    path = small(tmp_path) / "formatted_train_labels.npy"
    path.unlink()
    path.mkdir()
    assert refused(mine(tmp_path), tmp_path) == f"cannot read {path}: Is a directory"


@pytest.mark.parametrize(
    ("part", "array", "expected"),
    [
        ("train_images", np.arange(3), ": expected a list of paths as text, found int64 of shape (3,)"),
        ("train_images", np.array([b"a", b"b", b"c"]), ": expected a list of paths as text, found |S1 of shape (3,)"),
        ("train_images", np.array([["a", "b", "c"]]), ": expected a list of paths as text, found <U1 of shape (1, 3)"),
        ("train_images", np.array("a"), ": expected a list of paths as text, found <U1 of shape ()"),
        ("train_labels", TRAIN.astype(str), ": expected a matrix of numbers, found <U21 of shape (3, 3)"),
        ("train_labels", TRAIN * 1j, ": expected a matrix of numbers, found complex128 of shape (3, 3)"),
        ("train_labels", TRAIN[0], ": expected a matrix of numbers, found int64 of shape (3,)"),
        ("train_labels", TRAIN[None], ": expected a matrix of numbers, found int64 of shape (1, 3, 3)"),
        ("train_labels", TRAIN.astype("M8[s]"), ": expected a matrix of numbers, found datetime64[s] of shape (3, 3)"),
        (
            "train_labels",
            TRAIN[:2],
            " has 2 rows and formatted_train_images.npy lists 3 images: they must be as many",
        ),
        (
            "val_labels",
            TRAIN,
            " has 3 rows and formatted_val_images.npy lists 1 images: they must be as many",
        ),
        (
            "train_labels_obs",
            TRAIN[:0],
            " has 0 rows and formatted_train_images.npy lists 3 images: they must be as many",
        ),
        ("train_labels", TRAIN[:, :2], " has 2 columns, and there are 3 class names"),
        ("train_labels", -TRAIN, ", row 0, column 1: expected one of (0, 1), found -1"),
        ("train_labels", 2.0 * TRAIN, ", row 0, column 1: expected one of (0, 1), found 2.0"),
        ("train_labels", np.where(TRAIN, 1, 0.5), ", row 0, column 0: expected one of (0, 1), found 0.5"),
        (
            "train_labels",
            np.where([[0], [1], [0]], np.nan, TRAIN),
            ", row 1, column 0: expected one of (0, 1), found nan",
        ),
        (
            "train_labels",
            np.where([[0], [0], [1]], np.inf, TRAIN),
            ", row 2, column 0: expected one of (0, 1), found inf",
        ),
        ("train_labels_obs", 2 * TRAIN, ", row 0, column 1: expected one of (-1, 0, 1), found 2"),
    ],
)
def test_an_array_of_another_type_shape_or_content_is_named(
    tmp_path: Path, part: str, array: np.ndarray, expected: str
) -> None:
    path = small(tmp_path, **{part: array}) / f"formatted_{part}.npy"
    assert refused(mine(tmp_path), tmp_path) == f"{path}{expected}"


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("../a.jpg", "'../a.jpg' is not below the data set's folder; paths are relative to it"),
        ("b/../../a.jpg", "'b/../../a.jpg' is not below the data set's folder; paths are relative to it"),
        ("/a.jpg", "'/a.jpg' is not below the data set's folder; paths are relative to it"),
        ("", "no image is named, its path is needed"),
        ("  ", "no image is named, its path is needed"),
        ("a\0.jpg", "the image 'a\\x00.jpg' holds a character that no file name can have"),
        ("a\n\ud800.jpg", "the image 'a\\n\\ud800.jpg' holds a character that no file name can have"),
    ],
)
def test_an_image_outside_of_the_folder_is_named_with_its_row(tmp_path: Path, image: str, expected: str) -> None:
    path = small(tmp_path, train_images=["a.jpg", image, "c.jpg"]) / "formatted_train_images.npy"
    assert refused(mine(tmp_path), tmp_path) == f"{path}, row 1: {expected}"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a\nb\n", "formatted_train_labels.npy has 3 columns, and there are 2 class names"),
        (b"a\nb\nc\nd\n", "formatted_train_labels.npy has 3 columns, and there are 4 class names"),
        (b"a\nb\na\n", "classes.txt: classes named twice: a"),
        (b"\r\n\r\n", "classes.txt: the file is empty, expected one class name a line"),
        (b"\xff\xd8\xff\xe0", "classes.txt: not UTF-8 text (byte 0xff at 0)"),
        (None, "classes.txt: pass the folder that it is below as --data-root"),
    ],
)
def test_a_file_of_classes_that_cannot_serve(tmp_path: Path, content: bytes | None, expected: str) -> None:
    small(tmp_path)
    if content is not None:
        (tmp_path / "classes.txt").write_bytes(content)
    assert expected in refused(mine(tmp_path, classes="classes.txt"), tmp_path)


def test_classes_must_be_named(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(MANIFEST.replace("classes.txt", "null"))
    small(tmp_path)
    assert refused(load_manifest(tmp_path / "mine.yaml")["mine"], tmp_path) == (
        "mine: formatted files name no classes, the manifest must list them under `classes`"
    )


def test_files_without_an_image(tmp_path: Path) -> None:
    save(tmp_path, train_images=np.array([], dtype="U1"), train_labels=np.zeros((0, 3)))
    assert refused(mine(tmp_path), tmp_path) == f"mine: no image is listed in {tmp_path}, at least one is needed"
