"""Columns of a table that nobody named and that change what a row says: refused with the key that settles it, which does."""

import json
from pathlib import Path
from typing import Any

import pytest
from dataset_files import write_entry
from refusals import refusal

from aevlp.pipeline.datasets import ImageTable, load_images
from aevlp.pipeline.datasets.dataset_check import check_dataset
from aevlp.pipeline.manifest.formats import DatasetSpec
from aevlp.pipeline.manifest.load import load_manifest


def entry(folder: Path, lines: str, **keys: Any) -> DatasetSpec:
    """Write a table, its rows between blanks, and return its entry."""
    (folder / "t.csv").write_text("\n".join(lines.split("|")) + "\n", encoding="utf-8")
    return load_manifest(write_entry(folder, **{"format": "table", "table": "t.csv", **keys}))["p"]


def read(folder: Path, lines: str, **keys: Any) -> ImageTable:
    return load_images(entry(folder, lines, **keys))


def refused(folder: Path, lines: str, **keys: Any) -> str:
    return refusal(read, folder, lines, **keys)


# How sure a row's label is

A_LABEL = "image,labels,{}|0.jpg,cat,{}|0.jpg,dog,{}|1.jpg,dog,{}|1.jpg,cat,{}"


@pytest.mark.parametrize("name", ["value", "is_present", "Score", "quux", "human checked"])
@pytest.mark.parametrize(
    "values", [("1", "0", "1", "0"), ("1.0", "0.0", "1.0", ""), ("true", "false", "true", "false")]
)
def test_a_column_of_0_and_1_beside_a_label_a_row_needs_the_key(tmp_path: Path, name: str, values: tuple) -> None:
    lines = A_LABEL.format(name, *values)
    found = refused(tmp_path, lines, rows="label")
    assert f"`confidence_column: {name}`, or `confidence_column: null`" in found
    over = read(tmp_path, lines, rows="label", confidence_column=None)
    assert over.truth is not None and over.truth.tolist() == [[1, 1], [1, 1]]
    if "" not in values:
        named = read(tmp_path, lines, rows="label", confidence_column=name)
        assert named.truth is not None and named.truth.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("values", [("0.9", "0.1", "1", "0"), (".5", "0.25", "0.5", "0.1"), ("1", "-1", "1", "-1")])
def test_fractions_and_minus_one_beside_a_label_a_row_need_the_key_too(tmp_path: Path, values: tuple) -> None:
    assert "`confidence_column: w`" in refused(tmp_path, A_LABEL.format("w", *values), rows="label")


@pytest.mark.parametrize("name", ["is_present", "Probability", "relevant", "VERIFIED", "label_value"])
def test_a_name_that_speaks_of_presence_needs_the_key_with_an_image_a_row(tmp_path: Path, name: str) -> None:
    lines = f"image,labels,{name}|0.jpg,cat,1|1.jpg,dog,0"
    assert f"`confidence_column: {name}`, or `confidence_column: null`" in refused(tmp_path, lines)
    over = read(tmp_path, lines, confidence_column=None)
    assert over.truth is not None and over.truth.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("values", [("640", "320", "64", "1"), ("a", "b", "0", "1"), ("", "", "", "")])
def test_a_column_that_says_something_else_is_passed_over(tmp_path: Path, values: tuple) -> None:
    assert len(read(tmp_path, A_LABEL.format("other", *values), rows="label")) == 2
    confident = A_LABEL.format("Confidence,crowd", "1,0", "0,0", "1,1", "0,0")
    found = read(tmp_path, confident)
    assert found.truth is not None and found.truth.tolist() == [[1, 0], [0, 1]]


# The split of an image


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("split", ("train", "test", "train")),
        ("Set", ("test", "test", "test")),
        ("fold", ("0", "1", "2")),
        ("part of it", ("training", "", "Validation")),
        ("phase", ("train", "train", "val")),
    ],
)
def test_a_column_of_splits_needs_the_key(tmp_path: Path, name: str, words: tuple) -> None:
    for head, cells, keys in (
        ("labels", ("cat", "dog", "cat"), {}),
        ("cat,dog", ("1,0", "0,1", "1,1"), {}),
        ("cat,dog", ("1,0", "0,1", "1,1"), {"label_columns": ["cat", "dog"]}),
    ):
        rows = (f"{n}.jpg,{word},{cell}" for n, (word, cell) in enumerate(zip(words, cells, strict=True)))
        lines = "|".join((f"image,{name},{head}", *rows))
        found = refused(tmp_path, lines, **keys)
        assert f"`split_column: {name}`" in found and "`split_column: null`" in found
        if head == "labels" or keys:
            assert set(read(tmp_path, lines, split_column=None, **keys).split) == {"train"}
        if name in ("split", "phase"):
            assert len(set(read(tmp_path, lines, split_column=name, **keys).split)) == 2


@pytest.mark.parametrize(
    "lines",
    [
        "image,labels,split|0.jpg,cat,train|1.jpg,dog,train",
        "image,labels,vehicle|0.jpg,cat,train|1.jpg,dog,bus",
        "image,labels,vehicle|0.jpg,cat,train|1.jpg,dog,",
        "image,labels|0.jpg,train|1.jpg,test",
    ],
)
def test_a_column_that_says_no_two_splits_is_passed_over(tmp_path: Path, lines: str) -> None:
    assert read(tmp_path, lines).split.tolist() == ["train", "train"]


@pytest.mark.parametrize(("said", "fine"), [("test", True), ("Testing", True), ("train", False), ("val", False)])
def test_a_column_beside_a_file_a_split_has_to_agree(tmp_path: Path, said: str, fine: bool) -> None:
    (tmp_path / "o.csv").write_text(f"image,labels,split\n5.jpg,cat,{said}\n", encoding="utf-8")
    lines, table = "image,labels,split|0.jpg,cat,train|1.jpg,dog,train", {"train": "t.csv", "test": "o.csv"}
    if fine:
        assert read(tmp_path, lines, table=table).split.tolist() == ["train", "train", "test"]
    else:
        found = refused(tmp_path, lines, table=table)
        assert f"o.csv, line 2: the column split says {said!r} in the file of test" in found
        assert "`split_column: null`" in found
    assert len(read(tmp_path, lines, table=table, split_column=None)) == 3


@pytest.mark.parametrize(
    ("more", "key"),
    [({"split": "test"}, "split_column: split"), ({"part": "val"}, ""), ({"score": 0}, "confidence_column: score")],
)
def test_a_key_that_later_objects_alone_have_is_seen_too(tmp_path: Path, more: dict[str, Any], key: str) -> None:
    rows = [{"image": "0.jpg", "labels": ["cat"]}, {"image": "1.jpg", "labels": ["dog"], **more}]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    if key:
        assert f"`{key}`" in refused(tmp_path, "image,labels", table="t.jsonl")
    else:  # one word is no list of splits
        assert len(read(tmp_path, "image,labels", table="t.jsonl")) == 2


# Columns of classes


@pytest.mark.parametrize("name", ["none", "No Finding", "Unlabeled", "unlabelled"])
def test_a_class_column_named_as_nothing_needs_the_key(tmp_path: Path, name: str) -> None:
    lines = f"image,cat,dog,{name}|0.jpg,1,0,0|1.jpg,0,1,0|2.jpg,0,0,1"
    found = refused(tmp_path, lines)
    assert repr(name) in found and "`label_columns: [cat, dog]`" in found
    assert read(tmp_path, lines, label_columns=["cat", "dog"]).classes == ("cat", "dog")
    assert read(tmp_path, lines, label_columns=["cat", "dog", name]).classes == ("cat", "dog", name)
    assert read(tmp_path, lines, classes=["cat", "dog", name]).classes == ("cat", "dog", name)


@pytest.mark.parametrize("name", ["label", "tags", "class", "Category"])
def test_the_one_column_that_may_hold_the_labels_is_named(tmp_path: Path, name: str) -> None:
    lines = f"image,{name},who|0.jpg,cat,ann|1.jpg,dog,bob"
    assert f"`label_column: {name}`" in refused(tmp_path, lines)
    assert f"`label_column: {name}`" in refused(tmp_path, lines, label_column="animals")
    assert read(tmp_path, lines, label_column=name).classes == ("cat", "dog")


@pytest.mark.parametrize("cells", [("yes", "no"), ("x", ""), ("ja", "nein")])
def test_words_in_class_columns_need_two_keys(tmp_path: Path, cells: tuple) -> None:
    one, other = cells
    lines = f"image,cat,dog|0.jpg,{one},{other}|1.jpg,{other},{one}"
    found = refused(tmp_path, lines)
    assert "`label_column`" in found and "`label_columns`" in found and "`label_values`" in found


@pytest.mark.parametrize("key", ["image_column", "label_column", "split_column", "confidence_column"])
def test_an_unknown_column_is_said_with_the_key_that_names_it(tmp_path: Path, key: str) -> None:
    found = refused(tmp_path, "image,labels|0.jpg,cat|1.jpg,dog", **{key: "absent"})
    assert "unknown column 'absent'" in found and f"`{key}" in found


def test_columns_that_are_not_there_are_said_with_their_keys(tmp_path: Path) -> None:
    assert "`label_columns`" in refused(tmp_path, "image,cat|0.jpg,1", label_columns=["dog"])
    assert "`image_column`" in refused(tmp_path, "file,labels|0,cat")


# One label in a row


@pytest.mark.parametrize("ids", [("/m/01g317", "/m/0k4j"), ("/m/0k4j", "/m/0k4j/x"), ("a:b", "a:c")])
@pytest.mark.parametrize("keys", [{"rows": "label"}, {}])
def test_ids_with_a_separator_in_them_are_names_where_a_row_holds_one(tmp_path: Path, ids: tuple, keys: dict) -> None:
    one, other = ids
    lines = f"image,labels,Confidence|0.jpg,{one},1|0.jpg,{other},0|1.jpg,{other},1|1.jpg,{one},0"
    images = read(tmp_path, lines, **keys)
    assert images.classes == ids and images.truth is not None and images.truth.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("both", ["cat/dog", "cat:dog", "cat+dog"])
def test_a_row_with_two_labels_is_no_third_class(tmp_path: Path, both: str) -> None:
    found = refused(tmp_path, f"image,labels|0.jpg,cat|0.jpg,dog|1.jpg,{both}", rows="label")
    assert "expected one label in a row" in found and "label_separator" not in found


# What is said


@pytest.mark.parametrize("count", [1, 2, 3])
def test_rows_that_are_all_bad_are_no_empty_table(tmp_path: Path, count: int) -> None:
    lines = "|".join(["image,labels,split", *(f"{n}.jpg,cat,nowhere" for n in range(count))])
    found = check_dataset(entry(tmp_path, lines, split_column="split"), tmp_path).findings
    assert [finding.kind for finding in found] == ["unknown split"] * count + ["cannot be read"]
    assert f"no row of {count} can be read" in found[-1].text
    assert "the table has no rows" in refused(tmp_path, "image,labels")


@pytest.mark.parametrize("confidence", ["0", "0.0", "false"])
def test_an_image_with_absent_labels_alone_is_not_without_any(tmp_path: Path, confidence: str) -> None:
    lines = f"image,labels,Confidence|0.jpg,cat,1|1.jpg,cat,{confidence}|2.jpg,,1|3.jpg,dog,1"
    said = check_dataset(entry(tmp_path, lines), tmp_path).of_kind("without a positive")
    assert said == ["1.jpg: every label it has is absent", "2.jpg: it has no label"]


@pytest.mark.parametrize(
    ("name", "indent"), [("t.json", None), ("t.json", 1), ("t.jsonl", None), ("t.jsonl", 1), ("t.ndjson", 2)]
)
def test_an_array_of_objects_is_to_be_written_as_lines(tmp_path: Path, name: str, indent: int | None) -> None:
    rows = [{"image": "0.jpg", "labels": ["cat"]}, {"image": "1.jpg", "labels": ["dog"]}]
    (tmp_path / name).write_text(json.dumps(rows, indent=indent), encoding="utf-8")
    assert "one object a line: write it as .jsonl" in refused(tmp_path, "image,labels", table=name)
