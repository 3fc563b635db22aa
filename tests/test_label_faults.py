"""Labels that cannot be read for certain: each kind is one line that names the key which settles it, and the key does."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import call
from dataset_files import write_entry
from refusals import refusal

from aevlp.pipeline.datasets import ImageTable, load_images
from aevlp.pipeline.datasets.dataset_check import check_dataset
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.manifest.load import load_manifest

THREE = ["cat", "dog", "car"]


def entry(folder: Path, cells: list[Any], columns: dict[str, list] | None = None, **keys: Any) -> Path:
    """Write a table of cells, as CSV where all are text, else as JSON lines, and its manifest; return the manifest."""
    rows = [{"image": f"{n}.jpg", "labels": cell} for n, cell in enumerate(cells)]
    if columns is not None:
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if all(isinstance(cell, str) for row in rows for cell in row.values()):
        name = "t.csv"
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        name = "t.jsonl"
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return write_entry(folder, format="table", table=name, **keys)


def read(folder: Path, cells: list[Any], **keys: Any) -> ImageTable:
    return load_images(load_manifest(entry(folder, cells, **keys))["p"])


def refused(folder: Path, cells: list[Any], **keys: Any) -> str:
    return refusal(read, folder, cells, **keys)


def truth(folder: Path, cells: list[Any], **keys: Any) -> list[list[int]]:
    images = read(folder, cells, **keys)
    assert images.truth is not None
    return images.truth.tolist()


def observed(folder: Path, cells: list[Any], **keys: Any) -> list[list[int]]:
    images = read(folder, cells, **keys)
    assert images.truth is None
    return images.observed.tolist()


# Vectors or class numbers


@pytest.mark.parametrize(
    "cells",
    [
        [[1, 1, 0], [0, 0, 1]],
        [[True, True, False], [False, False, True]],
        [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        ["[1, 1, 0]", "[0, 0, 1]"],
        ["1 1 0", "0 0 1"],
        ["1;1;0", "0;0;1"],
        ["[1. 1. 0.]", "[0. 0. 1.]"],
        [["1", "1", "0"], ["0", "0", "1"]],
    ],
)
def test_lists_that_can_only_be_vectors_are_read_as_such(tmp_path: Path, cells: list) -> None:
    assert truth(tmp_path, cells, classes=THREE) == [[1, 1, 0], [0, 0, 1]]
    assert "look like 0/1 vectors of length 3" in refused(tmp_path, cells)
    assert "list the 3 names under `classes`" in refused(tmp_path, cells)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([[0, 2], [1]], [[1, 0, 1], [0, 1, 0]]),
        ([[0.0, 2.0], [1.0]], [[1, 0, 1], [0, 1, 0]]),
        (["0;2", "1"], [[1, 0, 1], [0, 1, 0]]),
        ([["0", "2"], ["1"]], [[1, 0, 1], [0, 1, 0]]),
        ([[2, 0], []], [[1, 0, 1], [0, 0, 0]]),
        (["[2]", "[]", "[0, 1]"], [[0, 0, 1], [0, 0, 0], [1, 1, 0]]),
        ([[0, 2, 1], [2, 0, 1]], [[1, 1, 1], [1, 1, 1]]),
        ([[1], [0]], [[0, 1, 0], [1, 0, 0]]),
        ([[0, "dog"], ["car"]], [[1, 1, 0], [0, 0, 1]]),
        ([1.0, float("nan")], [[0, 1, 0], [0, 0, 0]]),
    ],
)
def test_lists_that_can_only_be_numbers_count_the_classes_from_0(
    tmp_path: Path, cells: list, expected: list[list[int]]
) -> None:
    assert truth(tmp_path, cells, classes=THREE) == expected


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        ([[0, 1], [1, 0]], ["cat", "dog"]),
        (["0;1", "1;0"], ["cat", "dog"]),
        ([[0], [0]], ["cat"]),
        ([[0, -1, -1], [1, 0, -1]], THREE),  # padded numbers?
        ([[1, 1, 0], [1]], THREE),
        ([[2, 0, 0], [0, 1, 1]], THREE),  # how many of each?
        ([[2, 2, 2, 0], []], THREE),
        ([[0, 0], [2], [1]], THREE),
        (["[1,0]", "[0,1]", "[]", "[1,0]"], ["cat", "dog"]),
        (["[1,0]", "[0,1]", "[1]", "[1,0]"], ["cat", "dog"]),
        ([[1, 0], [0, 1], [], [1, 0]], ["cat", "dog"]),
        ([[1, 0], [0, 1], [1], [1, 0]], ["cat", "dog"]),
        ([[1, 0], [0], [1], [0]], ["cat", "dog"]),
        (["1;0", "0;1", "1", ""], ["cat", "dog"]),
        (["[1,0,1]", "[0,1,0]", "[2]", "[0,0,1]"], THREE),
        ([[1, 0, 1], [0, 1, 0], [2], [0, 0, 1]], THREE),
        ([[1, 0, 1], [0, 2], [1]], THREE),
        ([[1, 0, -1], [0], [2]], THREE),
        (["1;1;", ";1;1"], THREE),
        ([[0, 0, 1]], ["0", "1", "2"]),
    ],
)
def test_lists_that_may_be_both_need_the_key(tmp_path: Path, cells: list, classes: list[str]) -> None:
    found = refused(tmp_path, cells, classes=classes)
    assert "`label_form: vector` or `label_form: numbers`" in found
    assert found.startswith(f"{tmp_path / ('t.csv' if isinstance(cells[0], str) else 't.jsonl')}, the column labels: ")


@pytest.mark.parametrize("cells", [[[1, 1, 0], [], [0, 0, 1]], ["[1,1,0]", "[]", "[0,0,1]"], ["1 1 0", "", "0 0 1"]])
def test_an_empty_list_among_vectors_is_an_empty_cell_of_which_nothing_is_known(tmp_path: Path, cells: list) -> None:
    assert observed(tmp_path, cells, classes=THREE) == [[1, 1, -1], [0, 0, 0], [-1, -1, 1]]
    assert "3 are not known" in read(tmp_path, cells, classes=THREE).remarks[0].text


@pytest.mark.parametrize("train", [["[1,0,1]", "[0,1,0]"], ["1 0 1", "0 0 1"], ["1;1;0", "0;0;0"]])
@pytest.mark.parametrize("test", [["[0, 2]", "[1]"], ["[2]", "[]"], ["0", "2"]])
def test_vectors_in_one_file_and_numbers_in_another_need_the_key(tmp_path: Path, train: list, test: list) -> None:
    for split, cells in (("train", train), ("test", test)):
        entry(tmp_path, cells)
        (tmp_path / "t.csv").rename(tmp_path / f"{split}.csv")
        text = (tmp_path / f"{split}.csv").read_text()
        (tmp_path / f"{split}.csv").write_text(text.replace(".jpg", f"-{split}.jpg"))
    tables = {"train": "train.csv", "test": "test.csv"}
    content = {"title": "P", "format": "table", "table": tables, "classes": THREE}
    (tmp_path / "m.yaml").write_text(yaml.safe_dump({"datasets": {"p": content}}))
    with pytest.raises(AevlpError, match="`label_form: vector` or `label_form: numbers`"):
        load_images(load_manifest(tmp_path / "m.yaml")["p"])


@pytest.mark.parametrize("cells", [[[2, 2], ["cat"]], [[1, 0, 1], ["cat"]], ["2;2", "cat"]])
def test_names_beside_repeated_numbers_are_refused(tmp_path: Path, cells: list) -> None:
    assert "write them in one form" in refused(tmp_path, cells, classes=THREE)


@pytest.mark.parametrize("cell", ["tensor([1, 0, 1])", "{cat,dog}", "array(['cat'], dtype=object)"])
def test_a_text_that_is_a_piece_of_code_is_one_line_of_that(tmp_path: Path, cell: str) -> None:
    faults: list = []
    load_images(load_manifest(entry(tmp_path, [cell, "car", "cat,dog"]))["p"], report=faults.append)
    assert [fault.kind for fault in faults] == ["doubtful class"]
    assert "look like pieces of a list or an object" in str(faults[0]) and cell[:3] in str(faults[0])


def test_the_key_settles_what_may_be_both(tmp_path: Path) -> None:
    cells = [[0, 1], [1, 0]]
    assert truth(tmp_path, cells, classes=["cat", "dog"], label_form="vector") == [[0, 1], [1, 0]]
    assert truth(tmp_path, cells, classes=["cat", "dog"], label_form="numbers") == [[1, 1], [1, 1]]
    with pytest.raises(AevlpError, match="list them under `classes`"):
        read(tmp_path, cells, label_form="vector")


@pytest.mark.parametrize("keys", [{"label_threshold": 0.5}, {"label_values": {1: "present", 0: "absent"}}])
@pytest.mark.parametrize("form", ["names", "numbers"])
def test_keys_of_vectors_beside_another_form_are_refused(tmp_path: Path, keys: dict, form: str) -> None:
    found = refused(tmp_path, [[0, 1], [1, 0]], classes=["cat", "dog"], label_form=form, **keys)
    assert f"`label_form: {form}`" in found and next(iter(keys)) in found


@pytest.mark.parametrize("cells", [[[1, 0], [1, 1]], [[True, False], [True, True]], [[0, 0, 0, 1], [1, 1, 0, 0]]])
def test_vectors_of_another_length_than_the_classes_are_refused(tmp_path: Path, cells: list) -> None:
    found = refused(tmp_path, cells, classes=THREE)
    assert "classes" in found and f"length {len(cells[0])}" in found


@pytest.mark.parametrize("cells", [[[0.9, 0.2, 0.5]], ["0.9 0.2 0.5"], [[0.9, 0, 1], [1, 0.25, 0.5]]])
def test_probabilities_need_a_threshold(tmp_path: Path, cells: list) -> None:
    assert "`label_threshold: 0.5`" in refused(tmp_path, cells, classes=THREE)
    assert truth(tmp_path, cells, classes=THREE, label_threshold=0.5)[0] == [1, 0, 1]


def test_numbers_of_a_class_label_are_numbers_unless_they_look_like_vectors(tmp_path: Path) -> None:
    feature = {"feature": {"names": ["cat", "dog"], "_type": "ClassLabel"}, "_type": "List"}
    metadata = {"huggingface": json.dumps({"info": {"features": {"labels": feature}}})}
    content = {"title": "P", "format": "huggingface", "files": {"train": "a.parquet"}}
    (tmp_path / "m.yaml").write_text(yaml.safe_dump({"datasets": {"p": content}}))

    def load(cells: list) -> ImageTable:
        table = pa.table({"image": ["0.jpg", "1.jpg"], "labels": cells}).replace_schema_metadata(metadata)
        pq.write_table(table, tmp_path / "a.parquet")
        return load_images(load_manifest(tmp_path / "m.yaml")["p"])

    assert np.asarray(load([[0, 1], [1, 0]]).truth).tolist() == [[1, 1], [1, 1]]
    assert np.asarray(load([[1], []]).truth).tolist() == [[0, 1], [0, 0]]
    for cells in ([[1, 1], [0, 1]], [[1, 1], []], [[0, 0], [1]]):
        with pytest.raises(AevlpError, match="`label_form: vector` or `label_form: numbers`"):
            load(cells)


# Values that say present, absent or not known


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([[1, 0, -1], [0, 0, 1]], [[1, -1, 0], [-1, -1, 1]]),
        ([[1, 0, None], [0, 0, 1]], [[1, -1, 0], [-1, -1, 1]]),
        ([["1", "0", "u"], ["0", "0", "1"]], [[1, -1, 0], [-1, -1, 1]]),
        ([[True, False, None], None], [[1, -1, 0], [0, 0, 0]]),
    ],
)
def test_what_is_not_known_makes_the_labels_observed_and_is_said(tmp_path: Path, cells: list, expected: list) -> None:
    assert observed(tmp_path, cells, classes=THREE) == expected
    (remark,) = read(tmp_path, cells, classes=THREE).remarks
    assert "not known" in remark.text and "`label_values`" in remark.text
    assert "`labels: complete`" in refused(tmp_path, cells, classes=THREE, labels="complete")


@pytest.mark.parametrize(
    ("cells", "read_back", "expected"),
    [
        ([[1, -1, -1], [-1, 1, -1]], truth, [[1, 0, 0], [0, 1, 0]]),
        ([[1, -1, None], [1, 1, 1]], observed, [[1, -1, 0], [1, 1, 1]]),
        ([[0, 0, -1], [0, 0, 0]], observed, [[0, 0, -1], [0, 0, 0]]),
    ],
)
def test_1_and_minus_1_alone_may_mean_two_things(
    tmp_path: Path, cells: list, read_back: Callable[..., list], expected: list
) -> None:
    assert '`label_values: {"1": present, "-1": absent' in refused(tmp_path, cells, classes=THREE)
    values = {1: "present", -1: "absent", 0: "unknown"}
    assert read_back(tmp_path, cells, classes=THREE, label_values=values) == expected


def test_label_values_settle_every_coding(tmp_path: Path) -> None:
    cells = [["Y", "N", "maybe"], ["n", "N", "y"]]
    assert "label_values.y" in refused(tmp_path, cells, classes=THREE, label_values={"Y": "yes"})
    values = {"y": "present", "n": "absent", "maybe": "unknown"}
    assert observed(tmp_path, cells, classes=THREE, label_values=values) == [[1, -1, 0], [-1, -1, 1]]
    assert truth(tmp_path, [[2, 1, 1]], classes=THREE, label_values={2: "present", 1: "absent"}) == [[1, 0, 0]]
    assert truth(tmp_path, [["yes", "no", "no"]], classes=THREE, label_values={True: "present", False: "absent"}) == [
        [1, 0, 0]
    ]
    found = refused(tmp_path, [["Y", "X", "N"]], classes=THREE, label_values=values)
    assert "line 1: the class dog holds 'X'" in found and "`label_values`" in found


def test_with_observed_labels_a_0_is_not_a_verified_absence_unless_it_is_said(tmp_path: Path) -> None:
    cells = [[1, 0, 0], [0, 0, 1]]
    assert observed(tmp_path, cells, classes=THREE, labels="observed") == [[1, 0, 0], [0, 0, 1]]
    (remark,) = read(tmp_path, cells, classes=THREE, labels="observed").remarks
    assert '`label_values: {"1": present, "0": absent}`' in remark.text
    values = {1: "present", 0: "absent"}
    assert observed(tmp_path, cells, classes=THREE, labels="observed", label_values=values) == [
        [1, -1, -1],
        [-1, -1, 1],
    ]
    assert "`label_values" in refused(tmp_path, [[1, 0, -1], [1, 1, 0]], classes=THREE, labels="observed")


# What is no name of a class


@pytest.mark.parametrize(
    "cell",
    [
        ["cat", None],
        ["dog", ["car"]],
        True,
        {"name": "cat", "kind": "animal"},
        [{"label": "cat", "confidence": 0.2}],
        [{"label": "cat", "name": "dog"}],
        {"cat": 1, "dog": 0},
        {},
        '{"choices": ["cat"], "choices": ["dog"]}',
        '["cat", {"x": 1}]',
        0.5,
    ],
)
def test_what_is_no_label_is_named_with_its_row(tmp_path: Path, cell: Any) -> None:
    found = refused(tmp_path, [["cat"], cell, ["dog"]], classes=["cat", "dog", "car"])
    assert "line 2: expected class names or numbers, found " in found


@pytest.mark.parametrize(
    "cells",
    [
        ["['cat' 'dog']", "['car']"],
        ['["cat", "dog"]', "car"],
        ["{'dog', 'cat'}", "('car',)"],
        ['{"choices": ["cat", "dog"]}', "car"],
        ["[b'cat', b'dog']", "[b'car']"],
        ['[{"label": "cat"}, {"label": "dog", "bbox": [0, 0, 1, 1]}]', '[{"label": "car"}]'],
        [[{"name": "cat", "score": 1}, {"name": "dog"}], [{"name": "car", "id": 3}]],
        [{"labels": ["cat", "dog"]}, "car"],
    ],
)
def test_lists_and_objects_in_every_form_are_parsed(tmp_path: Path, cells: list) -> None:
    images = read(tmp_path, cells)
    assert images.classes == ("car", "cat", "dog")
    assert np.asarray(images.truth).tolist() == [[0, 1, 1], [1, 0, 0]]


@pytest.mark.parametrize(
    "cells",
    [
        ["[cat", "dog]"],
        ["['cat', 'dog'", "x"],
        ["{cat,dog}", "{cat}"],
        ["array(['cat'], dtype=object)", "x"],
        ["'cat'", "dog"],
        ["cat: 1", "dog: 0"],
        ["b'cat'", "dog"],
        ["\x01\x02\x01", "dog"],
    ],
)
def test_pieces_of_lists_are_no_names(tmp_path: Path, cells: list[str]) -> None:
    found = refused(tmp_path, cells)
    assert "`classes`" in found
    assert truth(tmp_path, cells, classes=cells) == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("cells", "separator"),
    [
        (["cat,dog", "cat", "dog"], "','"),
        (["cat, dog"], "','"),
        (["cat|dog", "dog|car"], "'|'"),
        (["cat/dog", "cat", "dog"], "'/'"),
        (["haze primary", "clear primary", "haze water", "clear"], "' '"),
        (["cat\tdog", "dog"], r'"\t"'),
        ([["cat,dog"], ["cat"]], "','"),
    ],
)
def test_the_wrong_separator_names_the_right_one(tmp_path: Path, cells: list, separator: str) -> None:
    found = refused(tmp_path, cells)
    assert f"did you mean `label_separator: {separator}`?" in found
    assert len(read(tmp_path, cells, classes=sorted({c if isinstance(c, str) else c[0] for c in cells}))) == len(cells)


@pytest.mark.parametrize(
    "cells",
    [
        ["traffic light", "fire hydrant", "light", "fire truck"],
        ["hot dog", "dog", "dining table"],
        ["it's", "rock 'n' roll"],
        [["black, white"], ["red"]],
        ["animal (wild)", "C. elegans", "normal"],
    ],
)
def test_names_that_are_names_are_let_be(tmp_path: Path, cells: list) -> None:
    assert len(read(tmp_path, cells)) == len(cells)


@pytest.mark.parametrize(
    ("cells", "pair"),
    [
        (["cat", "Cat"], "'Cat' and 'cat'"),
        (["cat", "cats", "dog"], "'cat' and 'cats'"),
        (["fire truck", "fire_truck"], "'fire truck' and 'fire_truck'"),
        (["café", "cafe\u0301"], "'cafe\u0301' and 'café'"),
        (["box", "boxes"], "'box' and 'boxes'"),
    ],
)
def test_names_that_are_nearly_one_are_refused_if_nobody_listed_them(
    tmp_path: Path, cells: list[str], pair: str
) -> None:
    found = refused(tmp_path, cells)
    assert f"may be one: {pair}" in found and "write each class in one way" in found
    assert ("`classes`" in found) == (cells[0].casefold() != cells[1].casefold())  # which no prompt can tell apart
    assert truth(tmp_path, cells, classes=cells) == np.eye(len(cells), dtype=int).tolist()


@pytest.mark.parametrize("cells", [["cat", "CAT"], ["fire truck", "fire_truck"], ["cat", "cats"]])
def test_a_label_that_misses_a_listed_class_by_a_hair_is_unknown(tmp_path: Path, cells: list[str]) -> None:
    found = refused(tmp_path, cells, classes=[cells[0], "bird"])
    assert f"line 3: unknown class {cells[1]!r}" in found
    assert (f"did you mean {cells[0]!r}?" in found) == (cells[1] != "cats")


@pytest.mark.parametrize("number", [10, 14, 25])
def test_a_class_of_its_own_for_each_image_is_refused(tmp_path: Path, number: int) -> None:
    cells = [f"a picture {chr(97 + n)} of things" for n in range(number)]
    assert f"each of the {number} labelled images has a class of its own" in refused(tmp_path, cells)
    assert len(read(tmp_path, cells[:9])) == 9


@pytest.mark.parametrize("word", ["nan", "None", "null", "N/A", "-", "none", "No Finding", " no finding ", "?"])
def test_a_word_that_may_stand_for_no_label_has_to_be_said(tmp_path: Path, word: str) -> None:
    cells = [word, "cat;dog", "dog"]
    found = refused(tmp_path, cells)
    assert "`no_label: [" in found and word.strip() in found and "`classes`" in found and "line 2" in found
    key = yaml.safe_load(found.split("say `no_label: ")[1].split("`")[0])
    assert truth(tmp_path, cells, no_label=key) == [[0, 0], [1, 1], [0, 1]]
    assert truth(tmp_path, cells, classes=["cat", "dog", word.strip()]) == [[0, 0, 1], [1, 1, 0], [0, 1, 0]]


def test_a_word_for_no_label_stands_alone(tmp_path: Path) -> None:
    assert "stands beside others" in refused(tmp_path, ["none;cat", "cat"], no_label=["none"])
    with pytest.raises(AevlpError, match="'None' is one of the classes, and stands under `no_label`"):
        read(tmp_path, ["none", "cat"], no_label=["none"], classes=["None", "cat"])


# Class numbers


@pytest.mark.parametrize("cells", [["0", "2"], [0, 2], [[0], [2]], ["0;2", "1"], [0.0, float("nan")], ["1.0", "2.0"]])
def test_class_numbers_need_names(tmp_path: Path, cells: list) -> None:
    assert "has no name: list the names under `classes`" in refused(tmp_path, cells)


def test_classes_that_are_numbers(tmp_path: Path) -> None:
    assert truth(tmp_path, ["1", "3"], classes=["1", "2", "3"]) == [[1, 0, 0], [0, 0, 1]]
    assert truth(tmp_path, [[1], [0]], classes=["0", "1", "2"]) == [[0, 1, 0], [1, 0, 0]]
    assert "`label_form: names` or `label_form: numbers`" in refused(tmp_path, [[1], [2]], classes=["1", "2", "3"])
    assert "`label_form: numbers`" in refused(tmp_path, ["0", "2"], classes=["1", "2", "3"])
    numbers = truth(tmp_path, ["0", "2"], classes=["1", "2", "3"], label_form="numbers")
    assert numbers == [[1, 0, 0], [0, 0, 1]]
    assert truth(tmp_path, ["3", "5;3"], label_form="names", classes=["3", "5"]) == [[1, 0], [1, 1]]


# A column for each class


def columns(**more: list) -> dict[str, list]:
    return {"image": ["0.jpg", "1.jpg", "2.jpg"], "cat": ["1", "0", "0"], "dog": ["1", "1", "0"], **more}


def test_columns_of_classes_are_found_or_named(tmp_path: Path) -> None:
    assert truth(tmp_path, [], columns=columns()) == [[1, 1], [0, 1], [0, 0]]
    assert truth(tmp_path, [], columns=columns(), label_columns=["dog", "cat"]) == [[1, 1], [1, 0], [0, 0]]
    assert truth(tmp_path, [], columns=columns(age=["3", "4", "5"]), label_columns=["dog"]) == [[1], [1], [0]]
    assert truth(tmp_path, [], columns=columns(age=["3", "4", "5"]), classes=["dog", "cat"]) == [[1, 1], [1, 0], [0, 0]]
    spaced = {"image": ["0.jpg", "1.jpg"], " cat": [" 1", " 0"], " dog ": [" 0", " 1"]}
    images = read(tmp_path, [], columns=spaced)
    assert images.classes == ("cat", "dog") and np.asarray(images.truth).tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    "more",
    [
        {"width": ["640", "320", "64"]},
        {"is_valid": ["0", "0", "1"]},
        {"patient": ["a", "b", "c"]},
        {"id": ["0", "1", "1"]},
        {"label": ["1", "0", "1"]},
        {"notes": ["", "", ""]},
    ],
)
def test_other_columns_beside_those_of_classes_need_the_key(tmp_path: Path, more: dict[str, list]) -> None:
    found = refused(tmp_path, [], columns=columns(**more))
    assert "`label_columns: [cat, dog]`" in found and next(iter(more)) in found
    assert len(read(tmp_path, [], columns=columns(**more), label_columns=["cat", "dog"], split_column=None)) == 3


@pytest.mark.parametrize("keys", [{"label_column": "cat"}, {"label_column": " cat"}, {"label_column": "dog"}])
def test_one_column_of_a_class_is_no_list_of_labels(tmp_path: Path, keys: dict) -> None:
    for cells in (columns(), columns(dog=["true", "false", "true"], cat=["true", "false", "true"])):
        assert "`label_columns: [cat, dog]`" in refused(tmp_path, [], columns=cells, **keys)
        assert "`label_columns: [cat, dog]`" in refused(tmp_path, [], columns=cells, classes=["cat", "dog"], **keys)


@pytest.mark.parametrize(
    ("value", "code"),
    [("-1", 0), ("", 0), ("NaN", 0), ("u", 0), ("U", 0), ("?", 0), ("0", -1), ("1.0", 1), ("True", 1)],
)
def test_a_value_of_a_class_column(tmp_path: Path, value: str, code: int) -> None:
    table = columns(cat=["1", "0", value])
    images = read(tmp_path, [], columns=table)
    assert (images.truth is None) == (code == 0)
    found = images.observed if images.truth is None else np.where(images.truth == 1, 1, -1)
    assert found[:, 0].tolist() == [1, -1, code]


@pytest.mark.parametrize("value", ["2", "x", "95%"])
def test_another_value_of_a_class_column_is_named_with_its_row(tmp_path: Path, value: str) -> None:
    table = columns(cat=["1", "0", value])
    found = refused(tmp_path, [], columns=table, label_columns=["cat", "dog"])
    assert f"line 4: the column cat holds {value!r}" in found and "`label_values: {" in found


def test_names_of_columns_that_are_not_there(tmp_path: Path) -> None:
    found = refused(tmp_path, [], columns=columns(), image_column="file")
    assert "`image_column`" in found
    assert "unknown column 'bird'" in refused(tmp_path, [], columns=columns(), label_columns=["cat", "bird"])
    assert "exclude each other" in refused(tmp_path, [], columns=columns(), label_columns=["cat"], label_column="dog")


# A row a label


def confident(values: list[str], images: str = "0012") -> dict[str, list]:
    return {"image": [f"{c}.jpg" for c in images], "labels": ["cat", "dog", "cat", "dog"], "Confidence": values}


def test_a_verified_absence_is_no_positive(tmp_path: Path) -> None:
    images = read(tmp_path, [], columns=confident(["1", "0", "0", "1"]))
    assert images.ids.tolist() == ["0.jpg", "1.jpg", "2.jpg"]
    assert images.truth is None and images.observed.tolist() == [[1, -1], [-1, 0], [0, 1]]
    (remark,) = images.remarks
    assert "2 labels are verified absent" in remark.text
    assert truth(tmp_path, [], columns=confident(["1", "0", "0", "1"], "0011")) == [[1, 0], [0, 1]]


@pytest.mark.parametrize("values", [["0.7", "0", "1", "1"], ["0.5", "0.5", "0.5", "0.5"], ["1", "0.99", "0", "1"]])
def test_fractions_of_confidence_need_a_threshold(tmp_path: Path, values: list[str]) -> None:
    found = refused(tmp_path, [], columns=confident(values))
    assert "`label_threshold: 0.5`" in found and "`confidence_column: null`" in found
    images = read(tmp_path, [], columns=confident(values), label_threshold=0.6, labels="observed")
    first = [1 if float(value) >= 0.6 else 0 for value in values]
    assert np.maximum(images.observed, 0).tolist() == [first[:2], [first[2], 0], [0, first[3]]]


@pytest.mark.parametrize("values", [["high", "low", "high", "low"], ["90", "80", "100", "7"], ["", "1", "1", "1"]])
def test_a_confidence_that_says_something_else(tmp_path: Path, values: list[str]) -> None:
    assert "`confidence_column: null`" in refused(tmp_path, [], columns=confident(values))
    images = read(tmp_path, [], columns=confident(values), confidence_column=None, rows="label")
    assert np.asarray(images.truth).tolist() == [[1, 1], [1, 0], [0, 1]]


@pytest.mark.parametrize("sure", ["1", "true", "1.0"])
def test_a_confidence_of_1_in_each_row_does_not_say_what_is_absent(tmp_path: Path, sure: str) -> None:
    table = confident([sure] * 4)
    assert "`labels: complete` or `labels: observed`" in refused(tmp_path, [], columns=table)
    assert truth(tmp_path, [], columns=table, labels="complete") == [[1, 1], [1, 0], [0, 1]]
    assert observed(tmp_path, [], columns=table, labels="observed") == [[1, 1], [1, 0], [0, 1]]


@pytest.mark.parametrize("again", ["0.jpg", "./0.jpg", ".//0.jpg"])
def test_rows_of_one_image(tmp_path: Path, again: str) -> None:
    table = {"image": ["0.jpg", "1.jpg", again], "labels": ["cat", "", "dog"]}
    assert "`rows: label`" in refused(tmp_path, [], columns=table)
    assert truth(tmp_path, [], columns=table, rows="label") == [[1, 1], [0, 0]]
    split = {**table, "split": ["train", "train", "test"]}
    assert "in test, and in train" in refused(tmp_path, [], columns=split, rows="label", split_column="split")
    assert "expected one label" in refused(tmp_path, ["cat;dog", "cat"], rows="label")


@pytest.mark.parametrize("values", [["1", "0"], ["0", "1"], ["true", "false"]])
def test_rows_that_contradict_each_other(tmp_path: Path, values: list[str]) -> None:
    table = {"image": ["0.jpg", "0.jpg"], "labels": ["cat", "cat"], "confidence": values}
    assert "another row says it is" in refused(tmp_path, [], columns=table)


# What the commands say


def test_a_flood_is_three_lines_and_a_count(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    manifest = entry(tmp_path, ["cat,dog"] * 20 + ["cat"], classes=["cat", "dog"])
    assert call("check", manifest) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("unknown class:")]
    assert len(lines) == 4 and "and 18 more" in lines[-1]
    assert sum("did you mean `label_separator: ','`?" in line for line in lines) == 1
    assert call("check", manifest, "--json") == 1
    faults = json.loads(capsys.readouterr().out)["p"]["faults"]
    assert sum(fault["kind"] == "unknown class" for fault in faults) == 21
    assert call("pseudolabel", "--dataset", "p", "--manifest", manifest, "--cache", tmp_path / "c.h5") == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert "did you mean `label_separator: ','`?" in line


@pytest.mark.parametrize("cells", [["cat,dog", "cat"], ["cat", "Cat"], ["none", "cat"], ["[cat", "dog"]])
def test_a_doubtful_class_is_serious_for_check(tmp_path: Path, cells: list[str]) -> None:
    checked = check_dataset(load_manifest(entry(tmp_path, cells))["p"], tmp_path)
    assert next(finding.kind for finding in checked.findings if finding.serious) == "doubtful class"


def test_empty_cells_are_said(tmp_path: Path) -> None:
    (remark,) = read(tmp_path, ["cat", None, float("nan")]).remarks
    assert "null or NaN 2 times, first" in remark.text


# Labels joined by what stands in names too


@pytest.mark.parametrize(
    ("cells", "keys", "expected"),
    [
        (["cat", "dog", "cat-dog"], {}, "'cat-dog': did you mean `label_separator: '-'`?"),
        (["cat;car", "dog", "cat_dog"], {}, "'cat_dog', first in line 4: other labels have ';' between them"),
        (["cat;car", "dog", "cat and dog"], {}, "'cat and dog', first in line 4: other labels have ';' between them"),
        (["cat and dog", "dog and car"], {"label_separator": " "}, "did you mean `label_separator: ' and '`?"),
    ],
)
def test_labels_joined_by_what_names_hold_too_are_no_class_in_silence(
    tmp_path: Path, cells: list[str], keys: dict[str, str], expected: str
) -> None:
    said = refused(tmp_path, cells, **keys)
    assert expected in said and "list them under `classes`" in said
    names = sorted({part for cell in cells for part in cell.split(keys.get("label_separator", ";"))})
    assert read(tmp_path, cells, classes=names, **keys).classes == tuple(names)


def test_names_of_which_not_all_parts_are_classes_are_taken_as_they_are(tmp_path: Path) -> None:
    assert read(tmp_path, ["t-shirt;shirt", "golden_retriever", "salt and pepper;salt"]).classes == (
        "golden_retriever",
        "salt",
        "salt and pepper",
        "shirt",
        "t-shirt",
    )
    assert read(tmp_path, [["dog", "house"], ["dog-house"]]).classes == ("dog", "dog-house", "house")
