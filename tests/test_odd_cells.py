"""Values that files may hold and labels cannot be, and keys that would say nothing: each is one line, and no traceback."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dataset_files import write_entry
from refusals import refusal

from aevlp.pipeline.datasets import ImageTable, load_images
from aevlp.pipeline.manifest.load import load_manifest

HALF = "\\ud800"  # as JSON writes half a character
CLASS_COLUMNS = '{"image": "a.jpg", "cat": 1, "dog": 0}\n{"image": "b.jpg", "cat": 0, "dog": 1}\n'


def read(folder: Path, table: str | pa.Table, **keys: Any) -> ImageTable:
    name = "t.jsonl" if isinstance(table, str) else "t.parquet"
    if isinstance(table, str):
        (folder / name).write_text(table)
    else:
        pq.write_table(table, folder / name)
    return load_images(load_manifest(write_entry(folder, format="table", table=name, **keys))["p"])


def refused(folder: Path, table: str | pa.Table, **keys: Any) -> str:
    return refusal(read, folder, table, **keys)


@pytest.mark.parametrize("form", ["names", "numbers", "vector"])
@pytest.mark.parametrize("number", [2**63, 2**64, -(2**70), 10**300, 1e300])
def test_a_number_too_long_for_a_class(tmp_path: Path, number: float, form: str) -> None:
    line = json.dumps({"image": "a.jpg", "labels": [number, 0, 1]}) + "\n"
    assert "t.jsonl, line 1: " in refused(tmp_path, line, label_form=form, classes=["cat", "dog", "car"])


def test_a_number_of_more_digits_than_python_writes(tmp_path: Path) -> None:
    line = json.dumps({"image": "a.jpg", "labels": f"[0x{'f' * 5000}]"}) + "\n"
    assert "found more digits than Python writes" in refused(tmp_path, line)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f'{{"image": "a.jpg", "labels": ["{HALF}"]}}', "expected class names or numbers"),
        (f'{{"image": "a.jpg", "labels": "{HALF}"}}', "expected class names or numbers"),
        (f'{{"image": "a.jpg", "labels": {{"label": "cat", "{HALF}": 1}}}}', "may say more"),
        (f'{{"image": "a.jpg", "labels": "cat", "{HALF}": 1}}', "holds half a character"),
        (f'{{"image": "{HALF}.jpg", "labels": "cat"}}', "that no file name can have"),
    ],
)
def test_half_a_character(tmp_path: Path, line: str, expected: str) -> None:
    said = refused(tmp_path, line + "\n")
    assert "line 1: " in said and expected in said


@pytest.mark.parametrize(
    "labels",
    [
        '{"label": "cat", "label": "dog"}',
        json.dumps('{"label": "cat", "label": "dog"}'),
        json.dumps("{'label': 'cat', 'label': 'dog'}"),
    ],
)
def test_a_key_that_stands_twice_in_an_object(tmp_path: Path, labels: str) -> None:
    said = refused(tmp_path, f'{{"image": "a.jpg", "labels": {labels}}}\n')
    assert "line 1: " in said and "stands twice" in said


@pytest.mark.parametrize("kind", [pa.timestamp("s"), pa.timestamp("ms"), pa.date32()])
@pytest.mark.parametrize("column", ["labels", "when"])
def test_a_date_that_python_has_not(tmp_path: Path, kind: pa.DataType, column: str) -> None:
    whole = pa.int32() if kind == pa.date32() else pa.int64()
    far = pa.array([2**30 if kind == pa.date32() else 2**50, 0], whole).cast(kind)
    table = {"image": pa.array(["a.jpg", "b.jpg"]), "labels": pa.array(["cat", "dog"]), column: far}
    assert f"t.parquet: a cell of the column {column} cannot be read" in refused(tmp_path, pa.table(table))


def test_decimal_numbers_are_numbers(tmp_path: Path) -> None:
    numbers = pa.array([2, 0]).cast(pa.decimal128(21, 2))
    table = pa.table({"image": ["a.jpg", "b.jpg"], "labels": numbers})
    truth = read(tmp_path, table, label_form="numbers", classes=["cat", "dog", "car"]).truth
    np.testing.assert_array_equal(truth, [[0, 0, 1], [1, 0, 0]])


@pytest.mark.parametrize(
    ("key", "value"),
    [("rows", "label"), ("label_form", "names"), ("confidence_column", "sure"), ("no_label", ["none"])],
)
def test_keys_of_a_column_of_labels_beside_columns_of_classes(tmp_path: Path, key: str, value: Any) -> None:
    assert read(tmp_path, CLASS_COLUMNS).classes == ("cat", "dog")
    said = f"`{key}: label`" if key == "rows" else f"`{key}`"
    assert f"leave {said} out" in refused(tmp_path, CLASS_COLUMNS, **{key: value})
    stated = refused(tmp_path, CLASS_COLUMNS, label_columns=["cat", "dog"], **{key: value})
    assert f"`label_columns` and {said} exclude each other" in stated


@pytest.mark.parametrize("key", [{"label_values": {1: "present", 0: "absent"}}, {"label_threshold": 0.5}])
def test_values_of_a_confidence_that_no_column_holds(tmp_path: Path, key: dict) -> None:
    line = '{"image": "a.jpg", "labels": "cat"}\n'
    assert "name it as `confidence_column`" in refused(tmp_path, line, rows="label", **key)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"label_columns": ["cat", " cat"]}, "`label_columns` names cat twice"),
        ({"label_columns": ["cat", "image"]}, "`image_column` and `label_columns` are both image"),
        ({"split_column": "image"}, "`image_column` and `split_column` are both image"),
        ({"label_columns": [1, "cat"]}, "expected a list of names"),
        ({"no_label": [False]}, "expected a list of names"),
    ],
)
def test_a_column_is_for_one_thing_and_names_are_text(tmp_path: Path, keys: dict, expected: str) -> None:
    assert expected in refused(tmp_path, CLASS_COLUMNS, **keys)


def test_blanks_around_the_names_of_columns_do_not_matter(tmp_path: Path) -> None:
    assert read(tmp_path, CLASS_COLUMNS, label_columns=[" dog ", "cat"], image_column=" image").classes == (
        "dog",
        "cat",
    )
