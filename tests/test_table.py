"""A table of one's own images: what is read from each kind of file, and every mistake with the place where it stands."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dataset_files import labels_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from refusals import refused

from aevlp.pipeline.datasets import load_images
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.labels.single_positive import observe
from aevlp.pipeline.manifest.formats import DatasetSpec, TableSpec
from aevlp.pipeline.manifest.load import load_manifest

# As in the documentation of the public surface.
EXAMPLE = """
datasets:
  photos:
    title: My photographs
    format: table
    table: labels.csv
    image_column: image
    label_column: labels
    label_separator: ";"
    split_column: split          # optional: train | test
    classes: classes.txt         # or a list; left out: the labels found, sorted
"""
ROWS = [
    ("images/1.jpg", "test", ["dog", "cat"]),
    ("images/é 2.jpg", "train", ["cat"]),
    ("3.png", "train", []),
    ("a/b/4.jpg", "train", ["bird", "dog"]),
    ("0.jpg", "test", ["dog"]),
]


def spec(tmp_path: Path, **changes: Any) -> DatasetSpec:
    """Return an entry for labels.csv in the folder, with a split column and the labels found as classes."""
    entry = TableSpec(title="Photos", format="table", table="labels.csv", split_column="split")
    return entry.placed("photos", tmp_path / "mine.yaml").model_copy(update=changes)


def write_csv(path: Path, rows: list[tuple[str, str, list[str]]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "split", "labels"))
        writer.writerows((image, split, ";".join(labels)) for image, split, labels in rows)


def write_jsonl(path: Path, rows: list[tuple[str, str, list[str]]]) -> None:
    lines = (json.dumps({"image": image, "split": split, "labels": labels}) for image, split, labels in rows)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_parquet(path: Path, rows: list[tuple[str, str, list[str]]]) -> None:
    image, split, labels = ([row[n] for row in rows] for n in range(3))
    columns = {"labels": pa.array(labels, pa.list_(pa.string())), "image": image, "split": split}
    pq.write_table(pa.table(columns), path, row_group_size=2)


WRITERS: dict[str, Callable[[Path, list], None]] = {
    "labels.csv": write_csv,
    "labels.CSV": write_csv,
    "labels.jsonl": write_jsonl,
    "labels.ndjson": write_jsonl,
    "labels.parquet": write_parquet,
}


def refuse(tmp_path: Path, text: str | bytes, **changes: Any) -> str:
    """Return the one line that refuses a table of this content."""
    entry = spec(tmp_path, **changes)
    assert isinstance(entry, TableSpec)
    (tmp_path / entry.table).write_bytes(text if isinstance(text, bytes) else text.encode())
    return refused(entry, tmp_path)


@pytest.mark.parametrize("name", WRITERS)
def test_the_same_rows_in_every_kind_of_file(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, ROWS)
    images = load_images(spec(tmp_path, table=name), tmp_path)
    assert images.ids.tolist() == ["images/é 2.jpg", "3.png", "a/b/4.jpg", "images/1.jpg", "0.jpg"]
    assert images.split.tolist() == ["train"] * 3 + ["test"] * 2
    assert images.classes == ("bird", "cat", "dog")
    assert images.truth is not None
    assert images.truth.tolist() == [[0, 1, 0], [0, 0, 0], [1, 0, 1], [0, 1, 1], [0, 0, 1]]
    assert images.truth.dtype == images.observed.dtype == np.int8
    assert images.paths.tolist() == [tmp_path / image for image in images.ids]
    assert images.relative_paths() == images.ids.tolist()


def test_the_documented_example(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(EXAMPLE)
    (tmp_path / "classes.txt").write_text("zebra\ndog\n\ncat\nbird\n")
    write_csv(tmp_path / "labels.csv", ROWS)
    images = load_images(load_manifest(tmp_path / "mine.yaml")["photos"])  # the folder of the manifest
    assert images.classes == ("zebra", "dog", "cat", "bird")
    assert labels_of(images) == {image: set(labels) for image, _, labels in ROWS}


TEXT = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters=";"), min_size=1, max_size=5)
NAMES = st.sampled_from(
    ["cat", "dog", "fire truck", "Ünïcode", "猫", "person", "it's", "C 4"]
)  # others: test_label_forms.py
TABLES = st.lists(
    st.tuples(
        TEXT.filter(lambda name: ".." not in name and not name.startswith("/")),
        st.sampled_from(["train", "test"]),
        st.lists(NAMES, max_size=4),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda row: row[0],
).filter(lambda rows: any(labels for _, _, labels in rows))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TABLES, st.sampled_from(["labels.csv", "labels.jsonl", "labels.parquet"]))
def test_any_table_read_back_is_the_table_written(tmp_path: Path, rows: list, name: str) -> None:
    WRITERS[name](tmp_path / name, rows)
    images = load_images(spec(tmp_path, table=name), tmp_path)
    assert images.ids.tolist() == [row[0] for split in ("train", "test") for row in rows if row[1] == split]
    assert labels_of(images) == {image: set(labels) for image, _, labels in rows}
    assert images.classes == tuple(sorted({label for row in rows for label in row[2]}))


def test_each_split_is_observed_on_its_own(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    rows = [
        (f"{n}.jpg", ("train", "test")[n % 3 == 0], [c for c in "abcde" if random.random() < 0.6]) for n in range(40)
    ]
    write_csv(tmp_path / "labels.csv", rows)
    images = load_images(spec(tmp_path), tmp_path, simulate="single-positive")
    assert images.truth is not None
    for split in ("train", "test"):
        here = images.split == split
        np.testing.assert_array_equal(images.observed[here], observe(images.truth[here]))
        part = load_images(spec(tmp_path), tmp_path, split, "single-positive")
        np.testing.assert_array_equal(part.observed, images.observed[here])
        assert part.ids.tolist() == images.ids[here].tolist()


def test_labels_that_somebody_gave_are_observed_as_they_are(tmp_path: Path) -> None:
    write_csv(tmp_path / "labels.csv", ROWS)
    images = load_images(spec(tmp_path, labels="observed"), tmp_path)
    assert images.truth is None
    assert images.observed.tolist() == [[0, 1, 0], [0, 0, 0], [1, 0, 1], [0, 1, 1], [0, 0, 1]]
    part = load_images(spec(tmp_path, labels="observed"), tmp_path, "test")
    assert part.truth is None
    assert part.observed.tolist() == [[0, 1, 1], [0, 0, 1]]


def test_without_a_split_column_all_images_are_for_training(tmp_path: Path) -> None:
    write_csv(tmp_path / "labels.csv", ROWS)
    images = load_images(spec(tmp_path, split_column=None), tmp_path)
    assert images.ids.tolist() == [row[0] for row in ROWS]
    assert set(images.split) == {"train"}
    assert len(load_images(spec(tmp_path, split_column=None), tmp_path, "test")) == 0


def test_names_of_columns_and_the_separator_are_the_manifests(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("set,File,Tags,notes\ntrain,a.jpg,cat | dog,x\ntest,b.jpg,|cat||,y\n")
    changes = {"image_column": "File", "label_column": "Tags", "split_column": "set", "label_separator": "|"}
    assert labels_of(load_images(spec(tmp_path, **changes), tmp_path)) == {"a.jpg": {"cat", "dog"}, "b.jpg": {"cat"}}


def test_spaces_around_a_cell_and_a_repeated_label_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("image,split,labels\n a.jpg , train , cat; dog ;cat\n")
    assert labels_of(load_images(spec(tmp_path), tmp_path)) == {"a.jpg": {"cat", "dog"}}


def test_a_quoted_cell_may_hold_commas_and_lines(tmp_path: Path) -> None:
    text = 'image,split,labels\n"a, b.jpg",train,"cat;""big"" dog"\nb.jpg,train,"cat;\ndog"\n'
    (tmp_path / "labels.csv").write_text(text)
    images = load_images(spec(tmp_path, classes=("cat", "dog", '"big" dog')), tmp_path)
    assert labels_of(images) == {"a, b.jpg": {"cat", '"big" dog'}, "b.jpg": {"cat", "dog"}}


@pytest.mark.parametrize("name", ["labels.csv", "labels.jsonl"])
def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path, name: str) -> None:
    """Spreadsheets write one."""
    WRITERS[name](tmp_path / name, ROWS)
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + (tmp_path / name).read_bytes())
    (tmp_path / "classes.txt").write_bytes(b"\xef\xbb\xbfbird\r\ncat\r\ndog\r\n")
    images = load_images(spec(tmp_path, table=name, classes="classes.txt"), tmp_path)
    assert images.classes == ("bird", "cat", "dog")
    assert len(images) == len(ROWS)


def test_lines_of_json_may_give_labels_as_text_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"image": "a", "split": "train", "labels": "cat;dog"}\n\n{"image": "b", "split": "train", "labels": null}\n'
    )
    assert labels_of(load_images(spec(tmp_path, table="a.jsonl"), tmp_path)) == {"a": {"cat", "dog"}, "b": set()}


def test_classes_come_from_a_list_a_file_or_the_labels_found(tmp_path: Path) -> None:
    write_csv(tmp_path / "labels.csv", ROWS)
    (tmp_path / "names.txt").write_text("dog\nbird\ncat\nunused")
    found = [load_images(spec(tmp_path, classes=c), tmp_path) for c in (("cat", "dog", "bird"), "names.txt", None)]
    assert [images.classes for images in found] == [
        ("cat", "dog", "bird"),
        ("dog", "bird", "cat", "unused"),
        ("bird", "cat", "dog"),
    ]
    assert all(labels_of(images) == {image: set(labels) for image, _, labels in ROWS} for images in found)


def test_a_missing_folder_or_table_says_what_to_pass(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(AevlpError) as caught:
            load_images(spec(tmp_path), folder)
        expected = f"photos: no {folder / 'labels.csv'}: pass the folder that it is below as --data-root"
        assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the table has no rows, at least one image is needed"),
        ("image,split,labels\n", "the table has no rows, at least one image is needed"),
        ("file,split,labels\na,train,x\n", "unknown column 'image': known are "),
        ("image,split,tags\na,train,x\n", "line 2: unknown column 'labels': known are "),
        ("image,set,labels\na,train,x\n", "line 2: unknown column 'split': known are "),
        ("image split labels\na train x\n", "unknown column 'image': known are image split labels"),
        ("image,split,labels\na,train,x\nb,holdout,x\n", "line 3: the column split holds 'holdout', expected a split"),
        ("image,split,labels\na,,x\n", "line 2: the column split holds '', expected a split"),
        ("image,split,labels\na,train,x\n  ,train,x\n", "line 3: the column image is empty"),
        ("image,split,labels\n/a.jpg,train,x\n", "line 2: '/a.jpg' is not below the data set's folder"),
        ("image,split,labels\nb/../../a.jpg,train,x\n", "line 2: 'b/../../a.jpg' is not below the data set's folder"),
        ("image,split,labels\na,train,x,y\n", "line 2: expected 3 fields as in the header"),
        ("image,split,labels\na,train,x\nb,train\n", "line 3: expected 3 fields as in the header"),
        ("image,split,labels\na,train,x\nb,test,y\na,test,x\n", "line 4: the image 'a' stands in line 2 too"),
        ('image,split,labels\na,train,"x"y\n', "not a valid .csv file"),
        ('image,split,labels\na,train,"x\n', "not a valid .csv file"),
        ("image,split,labels\na,train,\nb,test,;\n", "no row has a label, and the manifest lists no classes"),
        ("image,split,labels\né,train,x\n".encode("latin-1"), "not UTF-8 text"),
        ("image,split,labels\né,train,x\n".encode("utf-16-le"), "not UTF-8 text"),
    ],
)
def test_a_mistake_in_a_csv_file_is_named_with_its_line(tmp_path: Path, text: str | bytes, expected: str) -> None:
    found = refuse(tmp_path, text)
    assert f"{tmp_path / 'labels.csv'}" in found
    assert expected in found


def test_an_image_named_in_two_ways_stands_twice(tmp_path: Path) -> None:
    """Otherwise one picture could be in both splits."""
    text = "image,split,labels\nimages/a.jpg,train,x\n./images//a.jpg,test,x\n"
    assert "line 3: the image './images//a.jpg' stands in line 2 too" in refuse(tmp_path, text)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"image": "b", "split": "train"}', "line 3: unknown column 'labels': known are "),
        ('["b", "train", []]', "line 3: expected a JSON object, found "),
        ('{"image": null, "split": "train", "labels": []}', "line 3: the column image is empty"),
        ('{"image": "b", "split": null, "labels": []}', "line 3: the column split holds 'None', expected a split"),
        ('{"image": "a", "split": "test", "labels": []}', "line 3: the image 'a' stands in line 1 too"),
        ('{"image": "b", "split": "train", "labels": ["x"]', "line 3: not valid JSON"),
        ("image,split,labels", "line 3: not valid JSON"),
    ],
)
def test_a_mistake_in_lines_of_json_is_named(tmp_path: Path, line: str, expected: str) -> None:
    text = '{"image": "a", "split": "train", "labels": ["x"]}\n\n' + line + "\n"
    found = refuse(tmp_path, text, table="labels.jsonl")
    assert f"{tmp_path / 'labels.jsonl'}" in found
    assert expected in found


def test_a_line_that_is_no_json_is_named_with_its_number(tmp_path: Path) -> None:
    good = '{"image": "a", "split": "train", "labels": ["x"]}\n'
    assert "line 3" in refuse(tmp_path, good + "\n{'image': 'b'}\n", table="labels.jsonl")


@pytest.mark.parametrize("image", [["a.jpg"], {"path": "a.jpg", "bytes": ""}])
def test_an_image_that_is_no_path_is_a_mistake(tmp_path: Path, image: Any) -> None:
    """Some libraries keep a picture itself, or a list of them, in such a column."""
    line = json.dumps({"image": image, "split": "train", "labels": ["x"]})
    assert "line 1" in refuse(tmp_path, line, table="labels.jsonl")


def test_a_mistake_in_a_parquet_file_is_named_with_its_row(tmp_path: Path) -> None:
    entry = spec(tmp_path, table="labels.parquet")
    write_parquet(tmp_path / "labels.parquet", [*ROWS, ("5.jpg", "holdout", [])])
    with pytest.raises(AevlpError, match=r"labels\.parquet, row 6: the column split holds 'holdout', expected a split"):
        load_images(entry, tmp_path)
    write_parquet(tmp_path / "labels.parquet", [*ROWS, ROWS[2]])
    with pytest.raises(AevlpError, match=r"labels\.parquet, row 6: the image '3\.png' stands in row 3 too"):
        load_images(entry, tmp_path)
    write_parquet(tmp_path / "labels.parquet", [])
    with pytest.raises(AevlpError, match="the table has no rows"):
        load_images(entry, tmp_path)


@pytest.mark.parametrize("content", [b"", b"image,split,labels\na,train,x\n", b"PAR1" + bytes(50) + b"PAR1"])
def test_what_is_no_parquet_file_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    assert str(tmp_path / "labels.parquet") in refuse(tmp_path, content, table="labels.parquet")


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    assert "a table is a .csv, .tsv, " in refuse(tmp_path, "a\tb\n", table="labels.xlsx")


def test_an_unknown_class_is_named_with_its_line_and_the_nearest(tmp_path: Path) -> None:
    text = "image,split,labels\na,test,cat\nb,train,cat;dgo\n"
    found = refuse(tmp_path, text, classes=("cat", "bird", "dog"))
    assert "line 3: unknown class 'dgo': known are dog, " in found


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file is empty, expected one class name a line"),
        (b"\n  \n", "the file is empty, expected one class name a line"),
        (b"cat\ndog\ncat\n", "classes named twice: cat"),
        (b"cat\n\xe9\n", "not UTF-8 text"),
        (None, "pass the folder that it is below as --data-root"),
    ],
)
def test_a_file_of_classes_that_cannot_serve_is_one_clear_line(
    tmp_path: Path, content: bytes | None, expected: str
) -> None:
    if content is not None:
        (tmp_path / "classes.txt").write_bytes(content)
    found = refuse(tmp_path, "image,split,labels\na,test,cat\n", classes="classes.txt")
    assert expected in found
    assert str(tmp_path / "classes.txt") in found


def test_a_picture_that_is_not_there_is_no_mistake_of_the_table(tmp_path: Path) -> None:
    """It becomes a row of the cache with the status "missing"; the fingerprint tells it from one that is there."""
    write_csv(tmp_path / "labels.csv", ROWS)
    images = load_images(spec(tmp_path), tmp_path)
    before = images.fingerprint()
    assert load_images(spec(tmp_path), tmp_path).fingerprint() == before
    (tmp_path / "3.png").write_bytes(b"x")
    assert load_images(spec(tmp_path), tmp_path).fingerprint() != before


def test_labels_count_in_the_fingerprint(tmp_path: Path) -> None:
    found = set()
    for rows in (ROWS, [*ROWS[:-1], ("0.jpg", "test", ["cat"])], ROWS[::-1]):
        write_csv(tmp_path / "labels.csv", rows)
        found.add(load_images(spec(tmp_path), tmp_path).fingerprint())
        found.add(load_images(spec(tmp_path, labels="observed"), tmp_path).fingerprint())
    assert len(found) == 6
