"""The CUB-200-2011 reader: the official text lists written here, against the published formatting and slow loops."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from refusals import refused

from aevlp.pipeline.datasets import load_images
from aevlp.pipeline.datasets.formatted import export
from aevlp.pipeline.labels.single_positive import observe
from aevlp.pipeline.manifest.formats import DatasetSpec, FormattedSpec
from aevlp.pipeline.manifest.load import load_manifest
from goldens import load

GOLDEN = load("formats")["cub"]
PUBLISHED = {"train": "train", "test": "val"}
CUB = load_manifest()["cub"]
NAMES = tuple(CUB.classes or ())


def cub(*classes: str) -> DatasetSpec:
    """Return the packaged entry with other classes."""
    return CUB.model_copy(update={"classes": classes})


def label_lines(present: Sequence[Sequence[int]]) -> list[str]:
    """Return the lines of image_attribute_labels.txt: image, attribute, flag, certainty, seconds.

    Every seventh carries fields that should not be there, as a few of the official file do.
    """
    lines = []
    for image, row in enumerate(present, 1):
        for attribute, flag in enumerate(row, 1):
            extra = " 0 1" if (image * len(row) + attribute) % 7 == 0 else ""
            lines.append(f"{image} {attribute} {flag} {1 + attribute % 4}{extra} {attribute * 0.271:.3f}")
    return lines


def official(
    root: Path, images: str, split: str, present: Sequence[Sequence[int]], folder: str = "CUB_200_2011"
) -> Path:
    """Write the lists as the official archive unpacks them and return the root."""
    (root / folder / "attributes").mkdir(parents=True, exist_ok=True)
    (root / folder / "images.txt").write_text(images)
    (root / folder / "train_test_split.txt").write_text(split)
    text = "\n".join(label_lines(present)) + "\n"
    (root / folder / "attributes" / "image_attribute_labels.txt").write_text(text)
    return root


def small(root: Path, **texts: str | bytes) -> tuple[DatasetSpec, Path]:
    """Write three images and two attributes, then some files anew; return spec and folder."""
    images = "1 001.Bird/a.jpg\n2 001.Bird/b.jpg\n3 002.Bird/c.jpg\n"
    official(root, images, "1 1\n2 0\n3 1\n", [[0, 1], [1, 0], [1, 1]])
    folder = root / "CUB_200_2011"
    places = {
        "images": folder / "images.txt",
        "split": folder / "train_test_split.txt",
        "labels": folder / "attributes" / "image_attribute_labels.txt",
        "attributes": root / "attributes.txt",
    }
    for name, text in texts.items():
        places[name].write_bytes(text if isinstance(text, bytes) else text.encode())
    return cub("has_wing::red", "has_wing::blue"), folder


@pytest.fixture
def published(tmp_path: Path) -> Path:
    return official(tmp_path, str(GOLDEN["images_txt"]), str(GOLDEN["split_txt"]), GOLDEN["present"].tolist())


@pytest.mark.parametrize("place", [None, "attributes.txt", "CUB_200_2011/attributes/attributes.txt"])
def test_the_published_formatting_is_reproduced(published: Path, place: str | None) -> None:
    renamed = tuple(f"{name} renamed" for name in NAMES)
    if place:
        (published / place).write_text("".join(f"{n} {name}\n" for n, name in enumerate(renamed, 1)))
    images = load_images(CUB, published)
    assert images.truth is not None
    assert images.truth.dtype == images.observed.dtype == np.int8
    assert images.split.tolist() == ["train"] * 4 + ["test"] * 5
    for split, word in PUBLISHED.items():
        rows = images.split == split
        np.testing.assert_array_equal(images.truth[rows], GOLDEN[f"{word}_labels"])
        np.testing.assert_array_equal(images.observed[rows], observe(GOLDEN[f"{word}_labels"]))
        assert images.ids[rows].tolist() == GOLDEN[f"{word}_images"].tolist()
        names = [path.relative_to(images.image_root).as_posix() for path in images.paths[rows]]
        assert names == GOLDEN[f"{word}_images"].tolist()
    assert len(set(images.ids)) == len(images)
    assert images.image_root == published / "CUB_200_2011" / "images"
    assert images.classes == (renamed if place else NAMES)
    lists = ["images.txt", "train_test_split.txt", "attributes/image_attribute_labels.txt"]
    assert list(images.label_hashes()) == [f"CUB_200_2011/{name}" for name in lists] + [place] * bool(place)


def test_the_export_equals_the_published_files_and_reads_back(published: Path) -> None:
    images = load_images(CUB, published)
    folder = published / "formatted"
    export(images, folder, "int64")
    for split in ("train", "val"):
        for part in ("images", "labels", "labels_obs"):
            array = np.load(folder / f"formatted_{split}_{part}.npy", allow_pickle=False)
            truth = GOLDEN[f"{split}_labels"]
            expected = observe(truth).astype(truth.dtype) if part == "labels_obs" else GOLDEN[f"{split}_{part}"]
            assert array.dtype == expected.dtype
            np.testing.assert_array_equal(array, expected)
    entry = FormattedSpec(
        title="Again", format="formatted", classes=NAMES, folder="formatted", images="CUB_200_2011/images"
    )
    again = load_images(entry.placed("again", published / "mine.yaml"), published)
    assert again.ids.tolist() == images.ids.tolist()
    assert again.paths.tolist() == images.paths.tolist()
    assert again.split.tolist() == images.split.tolist()
    np.testing.assert_array_equal(again.observed, images.observed)
    assert again.truth is not None and images.truth is not None
    np.testing.assert_array_equal(again.truth, images.truth)


def test_the_published_observation_of_the_attributes(tmp_path: Path) -> None:
    case = load("protocol")["observe_1_p1_n0_s1200"]
    numbers = range(1, len(case["labels"]) + 1)
    images = "".join(f"{n} a/{n}.jpg\n" for n in numbers)
    for flag in "10":  # all for training, then all for testing
        split = "".join(f"{n} {flag}\n" for n in numbers)
        table = load_images(CUB, official(tmp_path, images, split, case["labels"].tolist()))
        assert set(table.split) == {"train" if flag == "1" else "test"}
        np.testing.assert_array_equal(table.observed, case["observed"])


def test_the_folder_of_the_archive_may_be_the_root(tmp_path: Path) -> None:
    spec, folder = small(tmp_path)
    images = load_images(spec, folder)
    assert images.paths.tolist() == load_images(spec, tmp_path).paths.tolist()
    assert images.relative_paths() == [f"images/{name}" for name in images.ids]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_lists_equal_a_slow_loop(tmp_path: Path, data: st.DataObject) -> None:
    """Numbers in any order, CRLF and byte order marks; which image a label is of is said by the order alone."""
    numbers = data.draw(st.lists(st.integers(0, 99), min_size=1, max_size=6, unique=True))
    flags = {n: data.draw(st.sampled_from("01")) for n in numbers}
    classes = data.draw(st.integers(1, 4))
    present = [[data.draw(st.integers(0, 1)) for _ in range(classes)] for _ in numbers]
    images = "".join(f"{n} {n % 3}.Bird/{n} {n}.jpg\n" for n in numbers)
    split = "".join(f"{n} {flags[n]}\n" for n in data.draw(st.permutations(numbers)))
    official(tmp_path, images, split, present)
    for path in tmp_path.rglob("*.txt"):
        mark, end = data.draw(st.sampled_from([b"", b"\xef\xbb\xbf"])), data.draw(st.sampled_from([b"\n", b"\r\n"]))
        path.write_bytes(mark + path.read_bytes().replace(b"\n", end))
    table = load_images(cub(*"abcd"[:classes]), tmp_path)
    expected = [(n, row) for flag in "10" for n, row in zip(numbers, present, strict=True) if flags[n] == flag]
    assert table.ids.tolist() == [f"{n % 3}.Bird/{n} {n}.jpg" for n, _ in expected]
    assert table.split.tolist() == [{"1": "train", "0": "test"}[flags[n]] for n, _ in expected]
    assert table.truth is not None
    assert table.truth.tolist() == [row for _, row in expected]


def test_the_ids_in_the_label_file_do_not_count(tmp_path: Path) -> None:
    """As published: labels are read one after another."""
    spec, folder = small(tmp_path)
    path = folder / "attributes" / "image_attribute_labels.txt"
    before = load_images(spec, tmp_path)
    path.write_text("".join(f"9 9 {line.split()[2]}\n\n" for line in path.read_text().splitlines()))
    after = load_images(spec, tmp_path)
    assert before.truth is not None and after.truth is not None
    assert after.truth.tolist() == before.truth.tolist() == [[0, 1], [1, 1], [1, 0]]


def test_an_image_that_is_listed_twice_keeps_both_rows(tmp_path: Path) -> None:
    spec, _ = small(tmp_path, images="1 x/a.jpg\n2 x/a.jpg\n3 x/a.jpg#2\n")
    images = load_images(spec, tmp_path)
    assert len(set(images.ids)) == 3
    assert [path.name for path in images.paths] == ["a.jpg", "a.jpg#2", "a.jpg"]


# What cannot be read


@pytest.mark.parametrize("name", ["images.txt", "train_test_split.txt", "attributes/image_attribute_labels.txt"])
def test_a_missing_file_says_what_to_do(tmp_path: Path, name: str) -> None:
    spec, folder = small(tmp_path)
    (folder / name).unlink()
    found = refused(spec, tmp_path)
    assert found.startswith(f"cub: no {folder / name}: aevlp datasets cub --download")
    assert found.endswith("pass the folder that it is below as --data-root")


def test_a_missing_folder_says_where_it_looked(tmp_path: Path) -> None:
    found = refused(CUB, tmp_path / "nowhere")
    assert f"cub: no {tmp_path / 'nowhere' / 'CUB_200_2011' / 'images.txt'}: " in found


LABELS = "\n".join(label_lines([[0, 1], [1, 0], [1, 1]]))


@pytest.mark.parametrize("end", ["", "\n", "\r\n \n"])
@pytest.mark.parametrize("count", [0, 1, 5, 7])
def test_a_label_file_of_another_length_is_one_clear_line(tmp_path: Path, count: int, end: str) -> None:
    lines = [*LABELS.split("\n"), "4 1 0 1 0.5"][:count]
    spec, folder = small(tmp_path, labels="\n".join(lines) + end)
    path = folder / "attributes" / "image_attribute_labels.txt"
    expected = f"{path} holds {count} labels, expected 6: 2 for each of the 3 images of images.txt"
    assert refused(spec, tmp_path) == expected


@pytest.mark.parametrize(
    "line", ["2 1", "2 1 2 3 4", "2 1 yes 3 4", "2 1 -1 3 4", "2 1 1.0 3 4", "2", "2 1 \u0661 3 4"]
)
def test_an_odd_label_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    lines = LABELS.split("\n")
    lines[2] = line
    spec, folder = small(tmp_path, labels="\n".join(lines))
    path = folder / "attributes" / "image_attribute_labels.txt"
    assert refused(spec, tmp_path) == f"{path}, line 3: expected image, attribute and 0 or 1, found {line!r}"


@pytest.mark.parametrize("name", ["images", "split", "labels", "attributes"])
@pytest.mark.parametrize(
    "rubbish", [b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", bytes(range(128, 256)), "1 a\n".encode("utf-16")]
)
def test_binary_rubbish_is_one_clear_line(tmp_path: Path, name: str, rubbish: bytes) -> None:
    files = {
        "images": "images.txt",
        "split": "train_test_split.txt",
        "labels": "image_attribute_labels.txt",
        "attributes": "attributes.txt",
    }
    spec, _ = small(tmp_path, **{name: rubbish})
    assert files[name] in refused(spec, tmp_path)


def test_an_empty_list_of_images_is_one_clear_line(tmp_path: Path) -> None:
    spec, _ = small(tmp_path, images="", split="", labels="")
    assert refused(spec, tmp_path) == f"cub: no image is listed in {tmp_path}, at least one is needed"


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("1 1\n3 1\n", "for the image 2 of images.txt, found 'no line for it'"),
        ("", "for the image 1 of images.txt, found 'no line for it'"),
        ("1 1\n2 2\n3 1\n", "for the image 2 of images.txt, found '2'"),
        ("1 1\n2 0 1\n3 1\n", "for the image 2 of images.txt, found '0 1'"),
        ("1 train\n2 test\n3 train\n", "for the image 1 of images.txt, found 'train'"),
    ],
)
def test_a_split_that_is_missing_or_odd_is_named_with_its_image(tmp_path: Path, split: str, expected: str) -> None:
    spec, folder = small(tmp_path, split=split)
    path = folder / "train_test_split.txt"
    assert refused(spec, tmp_path) == f"{path}: expected 1 (train) or 0 (test) {expected}"


@pytest.mark.parametrize("name", ["images", "split"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 1\n2\n3 1\n", "line 2: expected a number and a word, found '2'"),
        ("1 1\n2 0\n\n2 1\n3 1\n", "line 4: the number 2 stands on a line before it, for '0'"),
    ],
)
def test_an_odd_line_is_named(tmp_path: Path, name: str, text: str, expected: str) -> None:
    spec, folder = small(tmp_path, **{name: text})
    file = folder / {"images": "images.txt", "split": "train_test_split.txt"}[name]
    assert refused(spec, tmp_path) == f"{file}, {expected}"


@pytest.mark.parametrize("image", ["../a.jpg", "/a.jpg", "001.Bird/../../../a.jpg", "a\0.jpg"])
def test_an_image_outside_of_the_folder_is_refused(tmp_path: Path, image: str) -> None:
    spec, folder = small(tmp_path, images=f"1 a.jpg\n2 b.jpg\n3 {image}\n")
    found = refused(spec, tmp_path)
    assert found.startswith(f"{folder / 'images.txt'}, image 3: ")
    assert repr(image) in found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 has_wing::red\n", "names 1 attributes, expected the 2 of the manifest"),
        ("1 a\n2 b\n3 c\n", "names 3 attributes, expected the 2 of the manifest"),
        ("", "names 0 attributes, expected the 2 of the manifest"),
        ("1 a\n2 a\n", "attributes named twice: a"),
        ("1 a\n2\n", "line 2: expected a number and a word, found '2'"),
    ],
)
def test_a_file_of_attributes_that_cannot_serve(tmp_path: Path, text: str, expected: str) -> None:
    spec, _ = small(tmp_path, attributes=text)
    found = refused(spec, tmp_path)
    assert found.startswith(str(tmp_path / "attributes.txt"))
    assert found.endswith(expected)
