"""Where the images of tables are: in a folder of their own, beside a table for each split, or nearly where the table says."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import call
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from picture_files import draw

from aevlp.pipeline.clip.encoder import ClipEncoder
from aevlp.pipeline.datasets import DataError, ImageTable, load_images
from aevlp.pipeline.datasets.dataset_check import check_dataset
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.manifest.formats import DatasetSpec
from aevlp.pipeline.manifest.load import load_manifest


def entry(root: Path, *lines: str, format: str = "table") -> DatasetSpec:
    """Return the entry of a manifest in a folder, of these lines."""
    text = "".join(f"    {line}\n" for line in (f"format: {format}", *lines))
    root.mkdir(parents=True, exist_ok=True)
    (root / "mine.yaml").write_text(f"datasets:\n  photos:\n    title: P\n{text}", encoding="utf-8")
    return load_manifest(root / "mine.yaml")["photos"]


def write(root: Path, table: str, names: list[str], header: str = "image,labels") -> None:
    (root / table).parent.mkdir(parents=True, exist_ok=True)
    rows = "".join(f"{name},{('cat', 'dog')[n % 2]}\n" for n, name in enumerate(names))
    (root / table).write_text(f"{header}\n{rows}", encoding="utf-8")


def places(images: ImageTable) -> dict[str, str]:
    return dict(zip(images.ids.tolist(), images.relative_paths(), strict=True))


def said(images: ImageTable) -> list[str]:
    return [remark.text for remark in images.remarks]


FILES = [f"train-jpg/train_{n}.jpg" for n in range(5)]


@pytest.mark.parametrize("folder", ["train-jpg", "train-jpg/", "./train-jpg", "train-jpg/."])
def test_images_are_in_a_folder_of_their_own(tmp_path: Path, folder: str) -> None:
    draw(tmp_path, *FILES)
    write(tmp_path, "t.csv", [f"train_{n}.jpg" for n in range(5)])
    images = load_images(entry(tmp_path, "table: t.csv", f"images: {folder}"))
    assert places(images) == {file: file for file in FILES}
    assert said(images) == []


def test_ids_without_an_ending_are_found_and_said(tmp_path: Path) -> None:
    draw(tmp_path, *FILES)
    write(tmp_path, "t.csv", [f"train_{n}" for n in range(5)])
    images = load_images(entry(tmp_path, "table: t.csv", "images: train-jpg"))
    assert places(images) == {file.removesuffix(".jpg"): file for file in FILES}
    assert said(images) == [
        "5 images were found with the ending that their name leaves out, such as train_0.jpg for train_0"
    ]


@pytest.mark.parametrize("kind", [pa.int64(), pa.int32(), pa.string()])
def test_ids_may_be_numbers(tmp_path: Path, kind: pa.DataType) -> None:
    draw(tmp_path, "17.png", "4.png")
    table = pa.table({"image": pa.array([17, 4]).cast(kind), "labels": ["cat", "dog"]})
    pq.write_table(table, tmp_path / "t.parquet")
    assert places(load_images(entry(tmp_path, "table: t.parquet"))) == {"17": "17.png", "4": "4.png"}
    (tmp_path / "t.jsonl").write_text('{"image": 17, "labels": "cat"}\n')
    assert places(load_images(entry(tmp_path, "table: t.jsonl"))) == {"17": "17.png"}


@pytest.mark.parametrize("image", ["true", "1.5", "[1]"])
def test_what_is_no_id_is_a_mistake(tmp_path: Path, image: str) -> None:
    (tmp_path / "t.jsonl").write_text(f'{{"image": {image}, "labels": "cat"}}\n')
    with pytest.raises(AevlpError, match="line 1: the column image holds "):
        load_images(entry(tmp_path, "table: t.jsonl"))


def test_a_table_and_a_folder_for_each_split(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("valid", 1), ("test", 2)):
        draw(tmp_path, *(f"pictures/{split}/{n}.png" for n in range(count)))
        write(tmp_path, f"{split}.csv", [f"{n}.png" for n in range(count)])
    lines = ["table: {test: test.csv, train: train.csv, valid: valid.csv}"]
    lines += ["images: {train: pictures/train, dev: pictures/valid, test: pictures/test}"]
    images = load_images(entry(tmp_path, *lines))
    ids = ["pictures/train/0.png", "pictures/train/1.png", "pictures/train/2.png", "pictures/valid/0.png"]
    ids += ["pictures/test/0.png", "pictures/test/1.png"]
    assert places(images) == {name: name for name in ids}
    assert images.split.tolist() == ["train"] * 3 + ["val"] + ["test"] * 2
    assert images.label_hashes().keys() == {"train.csv", "valid.csv", "test.csv"}


def test_a_folder_for_each_split_of_one_table(tmp_path: Path) -> None:
    draw(tmp_path, "a/0.png", "b/0.png")
    (tmp_path / "t.csv").write_text("image,labels,split\n0.png,cat,train\n0.png,dog,test\n")
    images = load_images(entry(tmp_path, "table: t.csv", "split_column: split", "images: {train: a, test: b}"))
    assert places(images) == {"a/0.png": "a/0.png", "b/0.png": "b/0.png"}


@pytest.mark.parametrize(
    "table", ["{train: train/t.csv, test: test/t.csv}", "{Training: train/t.csv, tst: ./test/t.csv}"]
)
def test_images_beside_their_tables_are_found_and_said(tmp_path: Path, table: str) -> None:
    """As export tools have it: the same names in the folder of each split."""
    for split in ("train", "test"):
        draw(tmp_path, *(f"{split}/{n}.jpg" for n in range(3)))
        write(tmp_path, f"{split}/t.csv", [f"{n}.jpg" for n in range(3)])
    images = load_images(entry(tmp_path, f"table: {table}"))
    assert places(images) == {name: name for name in [f"{s}/{n}.jpg" for s in ("train", "test") for n in range(3)]}
    assert images.split.tolist() == ["train"] * 3 + ["test"] * 3
    assert [text.rpartition("t.csv: ")[2] for text in said(images)] == [
        "its images are in its own folder, as if the manifest said `images: train`",
        "its images are in its own folder, as if the manifest said `images: test`",
    ]


@pytest.mark.parametrize(
    "names", [["0.jpg", "1.jpg"], ["0.JPG", "1.JPG"], ["0", "1"], ["/home/u/x/0.jpg", "/home/u/x/1.jpg"]]
)
def test_one_table_in_a_folder_below(tmp_path: Path, names: list[str]) -> None:
    draw(tmp_path, "train/0.jpg", "train/1.jpg")
    write(tmp_path, "train/_classes.csv", names)
    images = load_images(entry(tmp_path, "table: train/_classes.csv"))
    assert images.relative_paths() == ["train/0.jpg", "train/1.jpg"]
    assert "`images: train`" in said(images)[0]


def test_names_from_the_data_sets_folder_are_so_wherever_the_table_is(tmp_path: Path) -> None:
    draw(tmp_path, "images/0.jpg", "images/1.jpg", "labels/images/9.jpg")
    write(tmp_path, "labels/t.csv", ["images/0.jpg", "images/1.jpg"])
    images = load_images(entry(tmp_path, "table: labels/t.csv"))
    assert places(images) == {"images/0.jpg": "images/0.jpg", "images/1.jpg": "images/1.jpg"}
    assert said(images) == []


def test_a_stated_folder_is_the_only_one(tmp_path: Path) -> None:
    draw(tmp_path, "train/0.jpg")
    write(tmp_path, "train/t.csv", ["0.jpg"])
    images = load_images(entry(tmp_path, "table: train/t.csv", "images: other"))
    assert places(images) == {"other/0.jpg": "other/0.jpg"}
    assert places(load_images(entry(tmp_path, "table: train/t.csv", "images: ."))) == {"0.jpg": "0.jpg"}


def test_an_id_does_not_change_when_pictures_go_or_come(tmp_path: Path) -> None:
    """Otherwise a cache would hold images that the data set does not list."""
    draw(tmp_path, *FILES)
    write(tmp_path, "t.csv", [f"train_{n}" for n in range(5)])
    spec = entry(tmp_path, "table: t.csv", "images: train-jpg")
    before = load_images(spec).ids.tolist()
    (tmp_path / FILES[0]).unlink()
    draw(tmp_path, "train-jpg/train_1.png")
    after = load_images(spec)
    assert after.ids.tolist() == before
    assert after.relative_paths() == ["train-jpg/train_0", "train-jpg/train_1", *FILES[2:]]


def test_the_id_of_a_path_from_elsewhere_is_the_one_below_the_folder(tmp_path: Path) -> None:
    draw(tmp_path, "a/0.jpg", "b/1.jpg", "2.jpg")
    write(tmp_path, "t.csv", ["/home/somebody/a/0.jpg", "C:\\Users\\b\\1.jpg", "https://host/x/2.jpg?key=secret"])
    images = load_images(entry(tmp_path, "table: t.csv"))
    assert places(images) == {"a/0.jpg": "a/0.jpg", "b/1.jpg": "b/1.jpg", "2.jpg": "2.jpg"}


@pytest.mark.parametrize("name", ["/etc/passwd", "../x.jpg", "a/../../x.jpg"])
def test_an_image_outside_the_folder_is_reported_and_the_rest_read(tmp_path: Path, name: str) -> None:
    draw(tmp_path, "root/0.jpg", "x.jpg")
    write(tmp_path / "root", "t.csv", ["0.jpg", name])
    faults: list[DataError] = []
    images = load_images(entry(tmp_path / "root", "table: t.csv"), report=faults.append)
    assert places(images) == {"0.jpg": "0.jpg"}
    assert [fault.kind for fault in faults] == ["outside the folder"]
    assert f"line 3: {name!r} is not below the data set's folder" in str(faults[0])


def test_two_names_of_one_file_stand_for_no_two_images(tmp_path: Path) -> None:
    draw(tmp_path, "a.jpg", "b.jpg")
    write(tmp_path, "t.csv", ["a.jpg", "a.JPG", "b.jpg", "./b.jpg"])
    faults: list[DataError] = []
    images = load_images(entry(tmp_path, "table: t.csv"), report=faults.append)
    assert places(images) == {"a.jpg": "a.jpg", "a.JPG": "a.JPG", "b.jpg": "b.jpg"}  # of which a.JPG is not there
    assert [fault.kind for fault in faults] == ["listed twice"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["table: {train: a.csv, test: b.csv}", "split_column: split"], "`table` names a file for each split"),
        (["table: {train: a.csv, holdout: b.csv}"], "photos.table: a split is train, val or test, found 'holdout'"),
        (["table: {val: a.csv, valid: b.csv}"], "photos.table: the split val stands twice, the second time as 'valid'"),
        (["table: {train: a.csv, test: ./a.csv}"], "photos.table: one file stands for two splits"),
        (["table: {}"], "photos.table: expected a name, or one for each split as {train: …, test: …}, found {}"),
        (["table: [a.csv, b.csv]"], "photos.table: expected a name, or one for each split"),
        (["table: {train: [a.csv]}"], "photos.table: expected a name, or one for each split"),
        (["table: t.csv", "images: 3"], "photos.images: expected a name, or one for each split"),
        (["table: t.csv", "images: ../photos"], "photos.images: '../photos' is not below the data set's folder"),
        (["table: t.csv", "images: /photos"], "photos.images: '/photos' is not below the data set's folder"),
        (["table: t.csv", "images: {train: a, test: b/../..}"], "photos.images: 'b/../..' is not below"),
    ],
)
def test_keys_of_another_form_are_one_clear_line(tmp_path: Path, lines: list[str], expected: str) -> None:
    with pytest.raises(AevlpError, match="1 mistake") as caught:
        entry(tmp_path, *lines)
    assert expected in str(caught.value)


NEEDED = {
    "table": ["table: t.csv"],
    "coco_json": ["annotations: {train: a.json}"],
    "coco": [],
    "nuswide": ["classes: [cat]"],
    "image_folder": [],
    "webdataset": ["shards: {train: a.tar}"],
    "huggingface": ["files: {train: a}"],
    "scenes": [],
}


@pytest.mark.parametrize("format", NEEDED)
def test_a_key_that_a_format_does_not_read_is_refused_with_the_one_that_it_reads(tmp_path: Path, format: str) -> None:
    entry(tmp_path, *NEEDED[format], format=format)
    with pytest.raises(AevlpError, match="1 mistake") as caught:
        entry(tmp_path, *NEEDED[format], "folder: photos", format=format)
    assert f"photos: `format: {format}` does not read `folder`: " in str(caught.value)
    assert "`root`" in str(caught.value)


@pytest.mark.parametrize("format", ["voc", "cub", "formatted"])
def test_formats_of_archives_read_the_folder(tmp_path: Path, format: str) -> None:
    assert entry(tmp_path, "folder: photos", "classes: [cat]", format=format).model_dump()["folder"] == "photos"


def missing(spec: DatasetSpec, root: Path) -> list[str]:
    """Return what `aevlp check` says of missing images, without the folder."""
    return [line.replace(f"{root}/", "") for line in check_dataset(spec, root).of_kind("missing image")]


@pytest.mark.parametrize(
    "names",
    [[f"train_{n}" for n in range(5)], [f"train_{n}.jpg" for n in range(5)], [f"TRAIN_{n}.JPG" for n in range(5)]],
)
def test_a_folder_that_all_images_are_in_is_named(tmp_path: Path, names: list[str]) -> None:
    draw(tmp_path, *FILES)
    write(tmp_path, "t.csv", names)
    spec = entry(tmp_path, "table: t.csv")
    assert missing(spec, tmp_path) == [f"{name}: no such file; did you mean `images: train-jpg`?" for name in names]
    spec = entry(tmp_path, "table: t.csv", "images: train")
    assert missing(spec, tmp_path)[0] == f"train/{names[0]}: no such file; did you mean `images: train-jpg`?"


def test_folders_for_each_split_are_named(tmp_path: Path) -> None:
    for split in ("train", "test"):
        draw(tmp_path, *(f"x/{split}/{split}{n}.png" for n in range(3)))
        write(tmp_path, f"{split}.csv", [f"{split}{n}.png" for n in range(3)])
    found = missing(entry(tmp_path, "table: {train: train.csv, test: test.csv}"), tmp_path)
    assert set(found) == {
        f"{split}{n}.png: no such file; did you mean `images: {{train: x/train, test: x/test}}`?"
        for split in ("train", "test")
        for n in range(3)
    }


def test_names_with_folders_are_looked_for_as_a_whole(tmp_path: Path) -> None:
    draw(tmp_path, "photos/cats/1.png", "photos/dogs/1.png", "photos/dogs/2.png")
    write(tmp_path, "t.csv", ["cats/1.png", "dogs/1.png", "dogs/2.png"])
    assert missing(entry(tmp_path, "table: t.csv"), tmp_path)[0].endswith("; did you mean `images: photos`?")


def test_coco_images_in_another_folder_are_named_by_split(tmp_path: Path) -> None:
    draw(tmp_path, "photos/1.png", "photos/2.png")
    images = [{"id": n, "file_name": f"{n}.png"} for n in (1, 2)]
    annotations = [{"id": n, "image_id": n, "category_id": 1} for n in (1, 2)]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]}
    (tmp_path / "a.json").write_text(json.dumps(content))
    found = missing(entry(tmp_path, "annotations: {train: a.json}", format="coco_json"), tmp_path)
    assert found[0].endswith("; did you mean `images: {train: photos}`?")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("sunset_beach.jpg", "sunset_beech.jpg"),
        ("IMG_0012.jpg", "IMG_0012.png"),
        ("x/moved.jpg", "y/moved.jpg"),
        ("a1.jpg", "a01.jpg"),
    ],
)
def test_the_nearest_file_that_no_row_has_is_named(tmp_path: Path, name: str, file: str) -> None:
    draw(tmp_path, "other.jpg", "others.jpg", "more.jpg", file)
    write(tmp_path, "t.csv", ["other.jpg", "others.jpg", "more.jpg", name])
    assert missing(entry(tmp_path, "table: t.csv"), tmp_path) == [f"{name}: no such file; the nearest is {file}"]


def test_no_file_is_named_that_another_row_has(tmp_path: Path) -> None:
    draw(tmp_path, "photo_1.jpg", "photo_2.jpg", "zebra.jpg")
    write(tmp_path, "t.csv", ["photo_1.jpg", "photo_2.jpg", "photo_3.jpg"])
    assert missing(entry(tmp_path, "table: t.csv"), tmp_path) == ["photo_3.jpg: no such file"]


@pytest.mark.parametrize(
    ("files", "names", "expected"),
    [
        (
            FILES,
            ["train_0", "train_1"],
            "none of the 2 images that are listed is in ROOT: train_0, train_1; did you mean `images: train-jpg`?",
        ),
        (
            ["a.jpg"],
            ["b.png"],
            "none of the 1 images that are listed is in ROOT: b.png; is it the data set's own folder?",
        ),
        (
            ["sunrise.jpg"],
            ["sunset.jpg"],
            "none of the 1 images that are listed is in ROOT: sunset.jpg (the nearest is sunrise.jpg)",
        ),
    ],
)
def test_stage_one_says_it_before_any_work(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    files: list[str],
    names: list[str],
    expected: str,
) -> None:
    monkeypatch.setattr(ClipEncoder, "__init__", lambda *_, **__: pytest.fail("a model was built"))
    draw(tmp_path, *files)
    write(tmp_path, "t.csv", names)
    entry(tmp_path, "table: t.csv")
    options = ("--manifest", tmp_path / "mine.yaml", "--clip", "ViT-B-32", "--weights", "random")
    assert call("pseudolabel", "--dataset", "photos", *options, "--cache", tmp_path / "c.h5") == 1
    assert expected.replace("ROOT", str(tmp_path)) in " ".join(capsys.readouterr().err.split())


NAMES = st.text("abcé 1_", min_size=1, max_size=5).filter(lambda name: name.strip() == name)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["train", "val", "test"]), st.lists(NAMES, min_size=1, max_size=3, unique=True), min_size=1
    ),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_wherever_tables_and_images_are_each_row_gets_its_own_picture(
    tmp_path_factory: pytest.TempPathFactory, names: dict[str, list[str]], beside: bool, stated: bool, ending: bool
) -> None:
    """A table for each split, the images beside it or in a folder each; the same names may stand in all of them."""
    root = tmp_path_factory.mktemp("root")
    if not beside:
        stated = True
    for split, part in names.items():
        for name in part:
            place = root / (split if beside else f"images/{split}") / f"{name}.jpg"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        write(root, f"{split}/t.csv" if beside else f"{split}.csv", [name + ".jpg" * ending for name in part])
    lines = [
        f"table: {{{', '.join(f'{s}: {s}/t.csv' if beside else f'{s}: {s}.csv' for s in names)}}}",
        "classes: [cat, dog]",
    ]
    if stated:
        lines.append(f"images: {{{', '.join(f'{s}: {s}' if beside else f'{s}: images/{s}' for s in names)}}}")
    images = load_images(entry(root, *lines))
    expected = [
        f"{split if beside else f'images/{split}'}/{name}.jpg"
        for split in ("train", "val", "test")
        for name in names.get(split, [])
    ]
    assert images.relative_paths() == expected
    assert images.truth is not None
    assert images.truth.argmax(axis=1).tolist() == [
        n % 2 for part in ("train", "val", "test") for n, _ in enumerate(names.get(part, []))
    ]


def one_hot(root: Path, split: str, header: str, count: int) -> None:
    draw(root, *(f"{split}/{n}.jpg" for n in range(count)))
    cells = ", ".join(["1", "0", "1"][: header.count(",")])
    (root / split / "_classes.csv").write_text(f"{header}\n" + "".join(f"{n}.jpg, {cells}\n" for n in range(count)))


def test_an_export_with_class_columns_for_each_split_is_read(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("valid", 1), ("test", 2)):
        one_hot(tmp_path, split, "filename, cat, dog", count)
    lines = ["table: {train: train/_classes.csv, valid: valid/_classes.csv, test: test/_classes.csv}"]
    images = load_images(entry(tmp_path, *lines, "image_column: filename"))
    assert images.relative_paths() == [
        "train/0.jpg",
        "train/1.jpg",
        "train/2.jpg",
        "valid/0.jpg",
        "test/0.jpg",
        "test/1.jpg",
    ]
    assert images.classes == ("cat", "dog")
    assert images.truth is not None
    assert images.truth.tolist() == [[1, 0]] * 6


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ("filename, cat, dog, bird", "the column bird is not in"),
        ("filename, cat", "there is no column for the class 'dog', its columns are filename, cat: add the column"),
        ("filename, cat, god", "the column god is not in"),
    ],
)
def test_class_columns_that_one_split_alone_has_are_refused(tmp_path: Path, second: str, expected: str) -> None:
    """Otherwise its labels would be lost in silence."""
    one_hot(tmp_path, "train", "filename, cat, dog", 2)
    one_hot(tmp_path, "test", second, 2)
    lines = ["table: {train: train/_classes.csv, test: test/_classes.csv}", "image_column: filename"]
    with pytest.raises(AevlpError) as caught:
        load_images(entry(tmp_path, *lines))
    assert f"{Path('test') / '_classes.csv'}, line 2: {expected}" in str(caught.value)
