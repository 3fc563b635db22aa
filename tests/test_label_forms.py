"""Labels in every form that people write: what is read is what was written, or it is refused; never another matrix."""

import csv
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from dataset_files import tar_of
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from laws import each

from aevlp.pipeline.datasets import ImageTable, load_images
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.manifest.load import load_manifest

PRESENT, ABSENT, UNKNOWN = 1, 0, -1


@dataclass
class Case:
    """A matrix of labels to be written. listed: whether the manifest lists the classes. told: whether it says the form."""

    folder: Path
    names: list[str]
    matrix: np.ndarray
    listed: bool
    told: bool
    draw: Callable[[st.SearchStrategy], Any]
    entry: dict[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> list[list[str]]:
        """The names of each image's labels."""
        return [[n for n, cell in zip(self.names, row, strict=True) if cell == PRESENT] for row in self.matrix]

    @property
    def numbers(self) -> list[list[int]]:
        """The class numbers of each image."""
        return [np.flatnonzero(row == PRESENT).tolist() for row in self.matrix]

    def tell(self, **keys: Any) -> None:
        if self.told:
            self.entry |= keys

    def need_list(self) -> None:
        """List the classes, without which this form does not say them."""
        self.entry["classes"] = self.names

    def names_alone(self) -> None:
        """Skip names that as a text alone are a list, or are cut."""
        assume(self.listed or not any(";" in name or name[0] in "[({" for name in self.names))

    def one_label(self) -> None:
        assume(all(len(row) <= 1 for row in self.shown))

    def values(self, *words: Any) -> list[list[Any]]:
        """The matrix in words for present, absent and unknown."""
        known: dict[int, Any] = dict(zip((PRESENT, ABSENT, UNKNOWN), words, strict=False))
        return [[known[int(cell)] for cell in row] for row in self.matrix]


def as_csv(case: Case, cells: list[str]) -> None:
    with (case.folder / "t.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(("image", "labels"))
        writer.writerows((f"{n}.jpg", cell) for n, cell in enumerate(cells))
    case.entry |= {"format": "table", "table": "t.csv"}


def as_jsonl(case: Case, cells: list[Any]) -> None:
    lines = (json.dumps({"image": f"{n}.jpg", "labels": cell}) + "\n" for n, cell in enumerate(cells))
    (case.folder / "t.jsonl").write_text("".join(lines))
    case.entry |= {"format": "table", "table": "t.jsonl"}


def as_parquet(case: Case, labels: pa.Array) -> None:
    images = [f"{n}.jpg" for n in range(len(labels))]
    pq.write_table(pa.table({"image": images, "labels": labels}), case.folder / "t.parquet")
    case.entry |= {"format": "table", "table": "t.parquet"}


def as_shard(case: Case, ending: str, contents: list[str]) -> None:
    files: dict[str, bytes | str] = {}
    for n, content in enumerate(contents):
        files |= {f"{n:03d}.jpg": b"x", f"{n:03d}.{ending}": content}
    (case.folder / "a.tar").write_bytes(tar_of(files))
    case.entry |= {"format": "webdataset", "shards": {"train": "a.tar"}, "label_extension": ending}


def as_huggingface(case: Case, labels: pa.Array, feature: Any = None) -> None:
    images = [f"{n}.jpg" for n in range(len(labels))]
    metadata = feature and {"huggingface": json.dumps({"info": {"features": {"labels": feature}}})}
    table = pa.table({"image": images, "labels": labels}).replace_schema_metadata(metadata)
    pq.write_table(table, case.folder / "a.parquet")
    case.entry |= {"format": "huggingface", "files": {"train": "a.parquet"}}


FORMS: dict[str, tuple[Callable[[Case], None], bool]] = {}  # writer, and whether it can say that a label is not known


def form(name: str, unknown: bool = False) -> Callable:
    def add(write: Callable[[Case], None]) -> Callable[[Case], None]:
        FORMS[name] = (write, unknown)
        return write

    return add


def separated(separator: str) -> Callable[[Case], None]:
    def write(case: Case) -> None:
        case.names_alone()
        assume(case.listed or not any(separator in name for name in case.names))
        as_csv(case, [separator.join(names) for names in case.shown])
        case.tell(label_separator=separator, label_form="names")

    return write


for character in ";,|":
    form(f"csv, names with {character}")(separated(character))


@form("csv, Python lists")
def _(case: Case) -> None:
    as_csv(case, [str(names) for names in case.shown])
    case.tell(label_form="names")


@form("csv, Python tuples")
def _(case: Case) -> None:
    as_csv(case, [str(tuple(names)) for names in case.shown])
    case.tell(label_form="names")


@form("csv, NumPy arrays")
def _(case: Case) -> None:
    as_csv(case, [f"[{' '.join(map(repr, names))}]" for names in case.shown])
    case.tell(label_form="names")


@form("csv, JSON lists")
def _(case: Case) -> None:
    as_csv(case, [json.dumps(names, ensure_ascii=case.told) for names in case.shown])
    case.tell(label_form="names")


@form("csv, Label Studio")
def _(case: Case) -> None:
    case.names_alone()
    as_csv(case, [n[0] if len(n) == 1 else json.dumps({"choices": n}) if n else "" for n in case.shown])
    case.tell(label_form="names")


@form("jsonl, names")
def _(case: Case) -> None:
    as_jsonl(case, case.shown)
    case.tell(label_form="names")


@form("jsonl, text or null")
def _(case: Case) -> None:
    case.names_alone()
    as_jsonl(case, [";".join(names) or None for names in case.shown])
    case.tell(label_form="names")


@form("jsonl, objects")
def _(case: Case) -> None:
    as_jsonl(case, [[{"label": name, "confidence": 1.0} for name in names] for names in case.shown])
    case.tell(label_form="names")


@form("jsonl, numbers")
def _(case: Case) -> None:
    case.need_list()
    as_jsonl(case, case.numbers)
    case.tell(label_form="numbers")


@form("csv, numbers")
def _(case: Case) -> None:
    case.need_list()
    separator = case.draw(st.sampled_from([";", " ", ","]))
    as_csv(case, [separator.join(map(str, numbers)) for numbers in case.numbers])
    case.tell(label_form="numbers", label_separator=separator)


@form("csv, one number")
def _(case: Case) -> None:
    case.one_label()
    case.need_list()
    as_csv(case, ["".join(map(str, numbers)) for numbers in case.numbers])
    case.tell(label_form="numbers")


@form("parquet, one number as float")
def _(case: Case) -> None:
    case.one_label()
    case.need_list()
    as_parquet(case, pa.array([float(n[0]) if n else float("nan") for n in case.numbers]))
    case.tell(label_form="numbers")


@form("parquet, names")
def _(case: Case) -> None:
    as_parquet(case, pa.array(case.shown, pa.list_(pa.string())))
    case.tell(label_form="names")


@form("parquet, bytes")
def _(case: Case) -> None:
    case.names_alone()
    as_parquet(case, pa.array([";".join(names).encode() for names in case.shown]))
    case.tell(label_form="names")


@form("parquet, dictionary")
def _(case: Case) -> None:
    case.one_label()
    case.names_alone()
    as_parquet(case, pa.array([n[0] if n else None for n in case.shown], pa.string()).dictionary_encode())
    case.tell(label_form="names")


VALUES: dict[str, tuple] = {
    "1, 0": (1, 0, -1),
    "1.0, 0.0": (1.0, 0.0, -1.0),
    "true, false": (True, False, None),
    "null": (1, 0, None),
    "NaN": (1.0, 0.0, float("nan")),
}


def vectors(words: tuple) -> Callable[[Case], None]:
    def write(case: Case) -> None:
        as_jsonl(case, case.values(*words))
        case.tell(label_form="vector")
        if -1 in words:
            case.tell(label_values={1: "present", 0: "absent", -1: "unknown"})

    return write


for words in VALUES:
    form(f"jsonl, vectors of {words}", unknown=True)(vectors(VALUES[words]))


@form("csv, vectors as text", unknown=True)
def _(case: Case) -> None:
    first, between, last = case.draw(
        st.sampled_from(["[, ]", "[ ]", "( ,)", ",", " ", ";", "|", "; "]).map(
            lambda text: (text[:1], text[1:-1], text[-1:]) if text[0] in "[(" else ("", text, "")
        )
    )
    rows = case.values(1, 0, -1)
    alone = "," * (first == "(" and len(case.names) == 1)  # as Python writes one value in brackets
    as_csv(case, [first + between.join(map(str, row)) + alone + last for row in rows])
    case.tell(label_form="vector", label_values={"1": "present", "0": "absent", "-1": "unknown"})


@form("parquet, vectors", unknown=True)
def _(case: Case) -> None:
    kind = case.draw(st.sampled_from([pa.int8(), pa.float32(), pa.bool_()]))
    values = case.values(True, False, None) if kind == pa.bool_() else case.values(1, 0, -1)
    as_parquet(case, pa.array(values, pa.list_(kind)))
    case.tell(label_form="vector")
    if kind != pa.bool_():
        case.tell(label_values={1: "present", 0: "absent", -1: "unknown"})


COLUMN_VALUES = [
    ("1", "0", "-1"),
    ("1", "0", ""),
    ("1", "0", "nan"),
    ("1", "0", "u"),
    ("True", "False", ""),
    ("true", "false", "U"),
    ("1.0", "0.0", "NaN"),
    (" 1", " 0", " -1"),
]


@form("csv, class columns", unknown=True)
def _(case: Case) -> None:
    written = case.draw(st.sampled_from(COLUMN_VALUES))
    blank = case.draw(st.sampled_from(["", " "]))
    assume(not {"image", "labels"} & set(case.names))
    with (case.folder / "t.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", *(blank + name for name in case.names)])
        writer.writerows([f"{n}.jpg", *row] for n, row in enumerate(case.values(*written)))
    case.entry |= {"format": "table", "table": "t.csv"}
    case.tell(label_columns=case.names)
    if "-1" in written[2]:
        case.tell(label_values={1: "present", 0: "absent", -1: "unknown"})


@form("parquet, class columns", unknown=True)
def _(case: Case) -> None:
    assume(not {"image", "labels"} & set(case.names))
    values = np.array(case.values(1.0, 0.0, np.nan)).T
    columns = {name: pa.array(column.tolist()) for name, column in zip(case.names, values, strict=True)}
    pq.write_table(
        pa.table({"image": [f"{n}.jpg" for n in range(len(case.matrix))], **columns}), case.folder / "t.parquet"
    )
    case.entry |= {"format": "table", "table": "t.parquet"}
    case.tell(label_columns=case.names)


@form("csv, a row a label with its confidence", unknown=True)
def _(case: Case) -> None:
    assume((case.matrix != UNKNOWN).any(axis=1).all())
    case.names_alone()
    rows = [(n, c) for n, row in enumerate(case.matrix) for c in np.flatnonzero(row != UNKNOWN)]
    rows = case.draw(st.permutations(rows))
    rows.sort(key=lambda row: row[0])  # images in their order, labels in any
    with (case.folder / "t.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("ImageID", "LabelName", "Confidence"))
        writer.writerows((f"{n}.jpg", case.names[c], int(case.matrix[n, c])) for n, c in rows)
    case.entry |= {"format": "table", "table": "t.csv", "image_column": "ImageID", "label_column": "LabelName"}
    case.tell(confidence_column="Confidence", rows="label")
    if (case.matrix == UNKNOWN).any():
        case.tell(labels="observed")


@form("csv, a row a label")
def _(case: Case) -> None:
    case.names_alone()
    rows = [(n, name) for n, names in enumerate(case.shown) for name in (names or [""])]
    with (case.folder / "t.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "labels"))
        writer.writerows((f"{n}.jpg", name) for n, name in rows)
    case.entry |= {"format": "table", "table": "t.csv"}
    case.tell(rows="label", label_form="names")


@form("webdataset, names in json")
def _(case: Case) -> None:
    wrap = case.draw(st.booleans())
    as_shard(case, "json", [json.dumps({"labels": names} if wrap else names) for names in case.shown])
    case.tell(label_form="names")


@form("webdataset, vectors in json", unknown=True)
def _(case: Case) -> None:
    as_shard(case, "json", [json.dumps(row) for row in case.values(1, 0, None)])
    case.tell(label_form="vector")


@form("webdataset, numbers in json")
def _(case: Case) -> None:
    case.need_list()
    as_shard(case, "json", [json.dumps({"labels": numbers}) for numbers in case.numbers])
    case.tell(label_form="numbers")


@form("webdataset, names in txt")
def _(case: Case) -> None:
    case.names_alone()
    as_shard(case, "txt", [case.draw(st.sampled_from(["\n", ";", "\r\n"])).join(names) for names in case.shown])
    case.tell(label_form="names")


@form("webdataset, cls")
def _(case: Case) -> None:
    case.names_alone()
    assume(all(len(row) == 1 for row in case.shown))
    numbers = case.draw(st.booleans())
    if numbers:
        case.need_list()
    as_shard(case, "cls", [str(row[0]) for row in (case.numbers if numbers else case.shown)])
    case.tell(label_form="numbers" if numbers else "names")


@form("huggingface, names")
def _(case: Case) -> None:
    as_huggingface(case, pa.array(case.shown, pa.list_(pa.string())))
    case.tell(label_form="names")


@form("huggingface, ClassLabel lists")
def _(case: Case) -> None:
    case.entry.pop("classes", None)
    feature = {"feature": {"names": case.names, "_type": "ClassLabel"}, "_type": "List"}
    as_huggingface(case, pa.array(case.numbers, pa.list_(pa.int64())), feature)
    case.tell(label_form="numbers")


@form("huggingface, ClassLabel")
def _(case: Case) -> None:
    case.one_label()
    feature = {"names": case.names, "_type": "ClassLabel"}
    as_huggingface(case, pa.array([n[0] if n else None for n in case.numbers], pa.int64()), feature)
    case.tell(label_form="numbers")


@form("huggingface, vectors", unknown=True)
def _(case: Case) -> None:
    as_huggingface(case, pa.array(case.values(1.0, 0.0, float("nan")), pa.list_(pa.float32())))
    case.tell(label_form="vector")


PLAIN = ["cat", "dog", "car", "fire truck", "bird", "tree", "Ünïcode", "猫", "person", "boat"]
WILD = [
    *(
        "cat, dog",
        "cat;dog",
        "a|b",
        "Cat",
        "cats",
        "big cat",
        "fire_truck",
        "cat/dog",
        "none",
        "No Finding",
        "N/A",
        "nan",
        "-",
    ),
    *(
        "7",
        "0",
        "1",
        "2",
        "-1",
        "1.0",
        "0 1",
        "1;0;1",
        "true",
        "u",
        "[x]",
        '["cat"]',
        "('cat',)",
        "{dog}",
        '"q"',
        "it's",
        "x:1",
    ),
    *(
        "null",
        "normal",
        "label",
        "split",
        "Confidence",
        "id",
        "?",
        "café",
        "cafe\u0301",
        "b'cat'",
        "dog=1",
        "a\\n",
        "\\d",
        "#",
    ),
]
ANY = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=6).map(str.strip).filter(bool)
NAMES = st.one_of(
    st.lists(st.sampled_from(PLAIN), min_size=1, max_size=4, unique=True),
    st.lists(st.one_of(st.sampled_from(PLAIN + WILD), ANY), min_size=1, max_size=4, unique=True),
)


@st.composite
def matrices(draw: st.DrawFn, width: int, unknown: bool) -> np.ndarray:
    few = draw(st.booleans())  # at most one label an image, as some forms need it
    rows = draw(st.integers(1, 6))
    cells = [PRESENT, ABSENT, UNKNOWN] if unknown and draw(st.booleans()) else [PRESENT, ABSENT]
    matrix = np.array(draw(st.lists(st.sampled_from(cells), min_size=rows * width, max_size=rows * width)))
    matrix = matrix.reshape(rows, width)
    if few:
        place = [draw(st.integers(0, width - 1)) for _ in range(rows)]
        matrix = np.where(np.arange(width) == np.array(place)[:, None], PRESENT, np.minimum(matrix, ABSENT))
    return matrix


def read(case: Case) -> ImageTable | AevlpError:
    entry = {"title": "P", **case.entry}
    (case.folder / "m.yaml").write_text(
        yaml.safe_dump({"datasets": {"p": entry}}, allow_unicode=True), encoding="utf-8"
    )
    try:
        return load_images(load_manifest(case.folder / "m.yaml")["p"])
    except AevlpError as error:
        assert "\n" not in str(error)
        return error


def require_the_matrix(case: Case, images: ImageTable) -> None:
    """Fail unless what was read is the matrix; a class that nothing shows may be missing where none are listed."""
    assert len(images) == len(case.matrix)
    assert set(images.classes) <= set(case.names)
    found = images.truth if images.truth is not None else images.observed
    for column, name in enumerate(case.names):
        expected = case.matrix[:, column]
        if images.truth is None:
            expected = np.choose(expected + 1, [0, -1, 1])
        if name in images.classes:
            np.testing.assert_array_equal(found[:, images.classes.index(name)], expected, err_msg=f"{name}, {case}")
        else:
            assert not (case.matrix[:, column] == PRESENT).any(), f"{name} was lost: {case}"
    shown = case.matrix[:, [case.names.index(name) for name in images.classes]]
    assert (images.truth is not None) == ("labels" not in case.entry and (shown != UNKNOWN).all()), case


def try_form(name: str, folder: Path, examples: int) -> Counter:
    """Write and read the form for many matrices; return how many were read, by whether the manifest told all."""
    write, unknown = FORMS[name]
    seen: Counter = Counter()

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        names = data.draw(NAMES)
        matrix = data.draw(matrices(len(names), unknown))
        case = Case(folder, names, matrix, data.draw(st.booleans()), data.draw(st.booleans()), data.draw)
        for path in folder.iterdir():
            path.unlink()
        if case.listed:
            case.entry["classes"] = names
        write(case)
        images = read(case)
        plain = set(names) <= set(PLAIN)
        seen[
            f"{'told' if case.told else 'not told'}, {'plain' if plain else 'wild'}, {'listed' if case.listed else 'found'}"
        ] += 1
        if isinstance(images, ImageTable):
            require_the_matrix(case, images)
            seen["read"] += 1
            seen["told and read"] += case.told and case.listed and plain
        else:
            seen["refused"] += 1
        seen["told"] += case.told and case.listed and plain

    holds()
    return seen


@each(name=FORMS)
def test_what_is_read_is_what_was_written_or_it_is_refused(tmp_path: Path, name: str) -> None:
    seen = try_form(name, tmp_path, 15)
    assert seen["read"] >= 2, seen


@pytest.mark.slow
@each(name=FORMS)
def test_the_same_of_many_more_matrices(tmp_path: Path, name: str) -> None:
    seen = try_form(name, tmp_path, 200)
    assert seen["read"] >= 20, seen
    assert seen["told and read"] == seen["told"] >= 3, seen  # where all is said, plain names are always read


def try_odd_rows(folder: Path, examples: int) -> Counter:
    """Write vectors, some of them as an empty list or as class numbers instead; fail where another matrix is read.

    Return how many were read and refused.
    """
    seen: Counter = Counter()

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        width = data.draw(st.integers(2, 4))
        rows = data.draw(st.integers(2, 6))
        bits = st.lists(st.integers(0, 1), min_size=width, max_size=width)
        matrix = np.array([data.draw(bits) for _ in range(rows)])
        hows = data.draw(st.lists(st.sampled_from(["vector", "empty", "numbers"]), min_size=rows, max_size=rows))
        assume("vector" in hows)
        cells = [
            {"vector": row.tolist(), "empty": [], "numbers": np.flatnonzero(row).tolist()}[how]
            for row, how in zip(matrix, hows, strict=True)
        ]
        assume(all(how != "numbers" or cell != [0, 1] or width > 2 for cell, how in zip(cells, hows, strict=True)))
        case = Case(folder, PLAIN[:width], matrix, True, False, data.draw, {"classes": PLAIN[:width]})
        for path in folder.iterdir():
            path.unlink()
        if data.draw(st.booleans()):
            as_jsonl(case, cells)
        else:
            as_csv(case, [json.dumps(cell) for cell in cells])
        images = read(case)
        seen["read" if isinstance(images, ImageTable) else "refused"] += 1
        if isinstance(images, ImageTable):
            assert all(cell == [] or how == "vector" for cell, how in zip(cells, hows, strict=True)), cells
            codes = images.observed if images.truth is None else 2 * images.truth.astype(int) - 1
            expected = [2 * row - 1 if cell else 0 * row for cell, row in zip(cells, matrix, strict=True)]
            np.testing.assert_array_equal(codes, expected, err_msg=str(cells))

    holds()
    return seen


def test_vectors_with_odd_rows_are_never_read_as_numbers(tmp_path: Path) -> None:
    seen = try_odd_rows(tmp_path, 60)
    assert 4 * seen["read"] >= seen.total() and seen["refused"], seen


@pytest.mark.slow
def test_the_same_of_many_more_odd_rows(tmp_path: Path) -> None:
    seen = try_odd_rows(tmp_path, 2000)
    assert 4 * seen["read"] >= seen.total() and seen["refused"], seen
