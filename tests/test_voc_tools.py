"""PASCAL VOC as labelling tools write it: labels from XML files, lists that are not whole, folders of every habit."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from refusals import refused

from aevlp.pipeline.datasets import DataError, ImageTable, load_images
from aevlp.pipeline.datasets.dataset_check import check_dataset
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.labels.observation import checked
from aevlp.pipeline.manifest.formats import VocSpec
from aevlp.pipeline.manifest.load import load_manifest

LARGEST = checked({"regime": "largest"})
MAIN = "ImageSets/Main"


def voc(*classes: str, folder: str = ".", **splits: str) -> VocSpec:
    entry = VocSpec(
        title="P", format="voc", folder=folder, classes=classes or None, splits=splits or {"train": "default"}
    )
    return entry.placed("photos", Path("mine.yaml"))


def xml(*names: str, file: str | None = None, more: str = "") -> str:
    """Return an annotation with an object of each name; "cat?" is difficult, "cat!" deleted."""
    things = "".join(
        f"<object><name>{name.rstrip('?!')}</name><difficult>{int('?' in name)}</difficult>"
        f"<deleted>{int('!' in name)}</deleted><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>"
        for name in names
    )
    return f"<annotation>{f'<filename>{file}</filename>' if file else ''}{things}{more}</annotation>"


def write(root: Path, files: Mapping[str, str | None]) -> Path:
    """Write text files, and an empty picture where the text is None; return the root."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text or "")
    return root


def labels(images: ImageTable) -> dict[str, list[str]]:
    assert images.truth is not None
    return {
        path: [c for c, shown in zip(images.classes, row, strict=True) if shown]
        for path, row in zip(images.relative_paths(), images.truth, strict=True)
    }


def said(images: ImageTable, kind: str) -> list[str]:
    return [remark.text for remark in images.remarks if remark.kind == kind]


# Layouts: of each the files, and where the pictures are

FLAT = {"a.xml": xml("cat"), "a.jpg": None, "b.xml": xml("dog", "cat"), "b.jpg": None}
LAYOUTS: dict[str, tuple[dict[str, str | None], dict[str, list[str]]]] = {
    "side by side": (FLAT, {"a.jpg": ["cat"], "b.jpg": ["cat", "dog"]}),
    "a folder down": (
        {f"export/{name}": text for name, text in FLAT.items()},
        {"export/a.jpg": ["cat"], "export/b.jpg": ["cat", "dog"]},
    ),
    "one list": (
        {
            f"{MAIN}/default.txt": "a\nb\n",
            "Annotations/a.xml": xml("cat"),
            "Annotations/b.xml": xml("dog"),
            "JPEGImages/a.png": None,
            "JPEGImages/b.jpg": None,
        },
        {"JPEGImages/a.png": ["cat"], "JPEGImages/b.jpg": ["dog"]},
    ),
    "a list with endings": (
        {
            f"{MAIN}/default.txt": "a.jpg\nx/b.JPG\n",
            "Annotations/a.xml": xml("cat"),
            "Annotations/x/b.xml": xml("dog"),
            "JPEGImages/a.jpg": None,
            "JPEGImages/x/b.JPG": None,
        },
        {"JPEGImages/a.jpg": ["cat"], "JPEGImages/x/b.JPG": ["dog"]},
    ),
    "lower case": (
        {
            "annotations/a.xml": xml("cat"),
            "images/a.png": None,
            "annotations/b.XML": xml("dog"),
            "images/b.jpeg": None,
        },
        {"images/a.png": ["cat"], "images/b.jpeg": ["dog"]},
    ),
    "names of its own": (
        {
            "ann/1.xml": xml("cat", file="C:\\u\\IMG 1.jpg"),
            "pics/IMG 1.jpg": None,
            "ann/2.xml": xml("dog", file="x/2.png"),
            "pics/2.png": None,
        },
        {"pics/IMG 1.jpg": ["cat"], "pics/2.png": ["dog"]},
    ),
    "a stale file name": (
        {"a.xml": xml("cat", file="old.jpg"), "a.jpg": None, "b.xml": xml("dog", file="old.jpg"), "b.jpg": None},
        {"a.jpg": ["cat"], "b.jpg": ["dog"]},
    ),
    "two endings, one named": (
        {"a.xml": xml("cat", file="a.png"), "a.jpg": None, "a.png": None},
        {"a.png": ["cat"]},
    ),
    "names with blanks and dots": (
        {
            f"{MAIN}/default.txt": '"my a"\nv1.5\n',
            "my a.xml": xml("cat"),
            "my a.jpg": None,
            "v1.5.xml": xml("dog"),
            "v1.5.jpg": None,
        },
        {"my a.jpg": ["cat"], "v1.5.jpg": ["dog"]},
    ),
    "system files": (
        {**FLAT, "__MACOSX/._a.xml": "x", "._b.xml": "x", ".idea/workspace.xml": "x"},
        {"a.jpg": ["cat"], "b.jpg": ["cat", "dog"]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("stated", [True, False])
def test_labels_are_read_from_xml_files_where_there_are_no_lists(tmp_path: Path, layout: str, stated: bool) -> None:
    files, expected = LAYOUTS[layout]
    images = load_images(voc(*(("cat", "dog") if stated else ())), write(tmp_path, files))
    assert labels(images) == expected
    assert set(images.split) == {"train"}
    assert images.classes == ("cat", "dog")[: 2 if stated or "dog" in str(expected) else 1]
    assert said(images, "read differently") == [
        f"the labels of {len(expected)} image{'s' * (len(expected) > 1)} of the train split are read "
        f"from XML files in {tmp_path}: there are no lists of classes"
    ]


SPLIT_FOLDERS = {
    "train/1.xml": xml("cat"), "train/1.jpg": None, "valid/1.xml": xml("dog"), "valid/1.jpg": None,
    "test/1.xml": xml("cat", "dog"), "test/1.jpg": None,
}  # fmt: skip


@pytest.mark.parametrize(
    "place",
    [
        lambda name: name,
        lambda name: f"{'Annotations' if name.endswith('xml') else 'JPEGImages'}/{name}",
        lambda name: name.replace("/", "/annotations/" if name.endswith("xml") else "/images/"),
    ],
)
def test_a_folder_for_each_split(tmp_path: Path, place: Any) -> None:
    write(tmp_path, {place(name): text for name, text in SPLIT_FOLDERS.items()})
    images = load_images(voc("cat", "dog", train="train", val="valid", test="test"), tmp_path)
    assert images.ids.tolist() == ["train/1", "valid/1", "test/1"]
    assert images.split.tolist() == ["train", "val", "test"]
    assert list(labels(images).items()) == [
        (place("train/1.jpg"), ["cat"]),
        (place("valid/1.jpg"), ["dog"]),
        (place("test/1.jpg"), ["cat", "dog"]),
    ]
    found = refused(voc("cat", "dog"), tmp_path)
    assert found.endswith("write splits: {train: train, val: valid, test: test}")


def test_the_picture_of_another_split_is_never_taken(tmp_path: Path) -> None:
    write(tmp_path, {**SPLIT_FOLDERS, "train/2.xml": xml("cat"), "valid/2.jpg": None})
    images = load_images(voc("cat", "dog", train="train", val="valid"), tmp_path)
    assert images.relative_paths() == ["train/1.jpg", "train/2.jpg", "valid/1.jpg"]  # train/2.jpg is missing


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"a.xml": xml("cat"), "a.jpg": None, "a.png": None}, "a.jpg and a.png may both be the picture of a"),
        (
            {"a.xml": xml("cat", file="b.jpg"), "a.jpg": None, "b.jpg": None},
            "a.jpg and b.jpg may both be the picture of a",
        ),
        (
            {"a.xml": xml("cat", file="c.jpg"), "b.xml": xml("cat", file="c.jpg"), "c.jpg": None},
            "c.jpg is the picture of a and of b",
        ),
        (
            {"ann/1.xml": xml("cat"), "p/1.jpg": None, "q/1.jpg": None},
            "p/1.jpg and q/1.jpg may both be the picture of",
        ),
        ({"Annotations/a.xml": xml("cat"), "xml/a.xml": xml("dog"), "a.jpg": None}, "are both of the image a"),
    ],
)
def test_what_could_be_of_two_images_is_a_fault(tmp_path: Path, files: dict, expected: str) -> None:
    assert expected in refused(voc("cat", "dog"), write(tmp_path, files))


# What an XML file says


@pytest.mark.parametrize(
    ("things", "shown"),
    [
        (["cat?"], None),
        (["cat?", "cat"], ["cat"]),
        (["cat?", "dog"], ["dog"]),
        (["cat!", "dog"], ["dog"]),
        (["dog", "dog"], ["dog"]),
        ([" cat\n"], ["cat"]),
        ([], None),
    ],
)
def test_difficult_and_deleted_objects_do_not_count(tmp_path: Path, things: list[str], shown: list[str] | None) -> None:
    write(tmp_path, {"a.xml": xml(*things), "a.jpg": None, "z.xml": xml("cat"), "z.jpg": None})
    images = load_images(voc("cat", "dog"), tmp_path)
    assert labels(images).get("a.jpg") == shown
    left_out = ["1 image of the train split without an object that is not difficult: a"] if shown is None else []
    assert said(images, "left out") == left_out


@pytest.mark.parametrize(
    ("difficult", "counts"), [("1", 0), ("True", 0), ("0", 1), ("False", 1), ("", 1), ("Unspecified", 1), (None, 1)]
)
def test_difficult_in_the_words_of_every_tool(tmp_path: Path, difficult: str | None, counts: int) -> None:
    flag = "" if difficult is None else f"<difficult>{difficult}</difficult>"
    thing = f"<object><name>dog</name>{flag}<polygon/></object>"
    write(tmp_path, {"a.xml": xml("cat", more=thing), "a.jpg": None})
    assert labels(load_images(voc("cat", "dog"), tmp_path)) == {"a.jpg": ["cat", "dog"][: 1 + counts]}


@pytest.mark.parametrize("name", ["Cat", "cow", "cats"])
def test_an_unknown_class_in_an_xml_file_is_a_fault(tmp_path: Path, name: str) -> None:
    write(tmp_path, {"a.xml": xml("cat", name), "a.jpg": None})
    found = refused(voc("cat", "dog"), tmp_path)
    assert found.startswith(f"{tmp_path / 'a.xml'}, object 2: unknown class {name!r}: known are cat")
    faults: list[DataError] = []
    images = load_images(voc("cat", "dog"), tmp_path, report=faults.append)
    assert [(fault.kind, str(fault)) for fault in faults] == [("unknown class", found)]
    assert labels(images) == {"a.jpg": ["cat"]}


BOMB = '<!DOCTYPE a [<!ENTITY l "lol"><!ENTITY m "&l;&l;&l;&l;">]>' + xml("cat", more="<x>&m;</x>")
OUTSIDE = '<!DOCTYPE a [<!ENTITY l SYSTEM "file:///etc/passwd">]>' + xml("cat", more="<x>&l;</x>")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (BOMB, "it declares the entity 'l'"),
        (OUTSIDE, "it declares the entity 'l'"),
        ('<?xml version="1.0" encoding="utf-16"?>' + BOMB, "it declares the entity 'l'"),
        ("", "no element found"),
        ("<annotation><object>", "no element found"),
        ("<annotations/>", "its outermost element is <annotations>, expected <annotation>"),
        (xml("", more=""), "an <object> has no <name>"),
        ("<annotation><object/></annotation>", "an <object> has no <name>"),
        (xml("cat", more="<object><name>dog</name><difficult>2</difficult></object>"), "<difficult> is '2', expected"),
        ('<?xml version="1.0" encoding="klingon"?>' + xml("cat"), "unknown encoding"),
    ],
)
def test_an_xml_file_that_cannot_be_read_is_a_fault(tmp_path: Path, content: str, expected: str) -> None:
    write(tmp_path, {"b.xml": xml("cat"), "b.jpg": None, "a.jpg": None})
    (tmp_path / "a.xml").write_bytes(content.encode("utf-16" if "utf-16" in content else "utf-8"))
    found = refused(voc("cat", "dog"), tmp_path)
    assert found.startswith(f"cannot read the boxes in {tmp_path / 'a.xml'}: ") and expected in found
    faults: list[DataError] = []
    assert labels(load_images(voc("cat", "dog"), tmp_path, report=faults.append)) == {"b.jpg": ["cat"]}
    assert [(fault.kind, str(fault)) for fault in faults] == [("bad row", found)]


def test_a_document_type_without_entities_is_read(tmp_path: Path) -> None:
    write(tmp_path, {"a.xml": '<!DOCTYPE annotation SYSTEM "a.dtd">' + xml("cat"), "a.jpg": None})
    assert labels(load_images(voc("cat"), tmp_path)) == {"a.jpg": ["cat"]}


def test_the_largest_object_of_xml_files(tmp_path: Path) -> None:
    big = "<object><name>dog</name><bndbox><xmin>0</xmin><ymin>0</ymin><xmax>50</xmax><ymax>50</ymax></bndbox></object>"
    write(tmp_path, {"train/a.xml": xml("cat", more=big), "train/a.jpg": None})
    images = load_images(voc("cat", "dog", train="train"), tmp_path, simulate=LARGEST)
    assert images.observed.tolist() == [[0, 1]]


# Lists that are not whole


def cvat(root: Path, listed: int, annotated: int, **lists: str) -> Path:
    """Write six images, cat and dog in turn, of which the lists of classes have the first, and some an XML file."""
    ids = [f"i{n}" for n in range(6)]
    files: dict[str, str | None] = {f"JPEGImages/{name}.jpg": None for name in ids}
    files |= {f"Annotations/{name}.xml": xml(["cat", "dog"][n % 2]) for n, name in enumerate(ids) if n >= 6 - annotated}
    files[f"{MAIN}/default.txt"] = "".join(f"{name}\n" for name in ids)
    for c, of in enumerate(("cat", "dog")):
        lines = [f"{name} {1 if n % 2 == c else -1:2d}\n" for n, name in enumerate(ids[:listed])]
        files[f"{MAIN}/{of}_default.txt"] = "".join(lines)
    files |= {f"{MAIN}/{name}.txt": text for name, text in lists.items()}
    return write(root, files)


SIX = {f"JPEGImages/i{n}.jpg": [["cat", "dog"][n % 2]] for n in range(6)}


@pytest.mark.parametrize("listed", [1, 3, 5])
def test_images_that_no_class_list_names_have_no_label(tmp_path: Path, listed: int) -> None:
    images = load_images(voc("cat", "dog"), cvat(tmp_path, listed, 0))
    assert labels(images) == dict(list(SIX.items())[:listed])
    lacked = ", ".join(f"i{n}" for n in range(listed, 6))
    assert said(images, "left out") == [
        f"{6 - listed} image{'s' * (listed < 5)} of the train split without a label, in "
        f"no class's list and without an XML file: {lacked}"
    ]


@pytest.mark.parametrize(("listed", "annotated"), [(4, 2), (4, 6), (0, 6), (5, 3)])
def test_xml_files_say_what_the_lists_leave_out(tmp_path: Path, listed: int, annotated: int) -> None:
    images = load_images(voc("cat", "dog"), cvat(tmp_path, listed, annotated))
    assert labels(images) == SIX
    text = f"the labels of {annotated} images of the train split are read from XML files in {tmp_path}: "
    assert said(images, "read differently") == [text + "the lists of classes are not whole"]


@pytest.mark.parametrize(("image", "other"), [(0, "dog"), (3, "cat"), (1, None)])
def test_a_list_and_an_xml_file_that_disagree_are_refused(tmp_path: Path, image: int, other: str | None) -> None:
    root = cvat(tmp_path, 4, 6)
    path = root / "Annotations" / f"i{image}.xml"
    path.write_text(xml(*([other] if other else [])))
    found = refused(voc("cat", "dog"), root)
    assert found.startswith(f"{path} and {root / MAIN}/") and f"disagree on whether i{image} shows " in found


def test_whole_lists_count_whatever_the_xml_files_say(tmp_path: Path) -> None:
    root = cvat(tmp_path, 6, 6)
    for path in (root / "Annotations").iterdir():
        path.write_text("<no xml")
    images = load_images(voc("cat", "dog"), root)
    assert labels(images) == SIX and images.remarks == ()


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("keep", "lacked"), [([0, 1, 2], "i3"), ([0, 3], "i1, i2"), ([], "i0, i1, i2, i3")])
def test_unequal_lists_name_the_images_that_one_lacks(
    tmp_path: Path, keep: list[int], lacked: str, whole: bool
) -> None:
    cut = "".join(f"i{n} -1\n" for n in keep)
    root = cvat(tmp_path, 4, 0, cat_default="".join(f"i{n} 1\n" for n in range(4)), dog_default=cut)
    if whole:
        write(root, {f"{MAIN}/default.txt": "i0\ni1\ni2\ni3\n"})
    else:
        (root / MAIN / "default.txt").unlink()
    found = refused(voc("cat", "dog"), root)
    assert found.startswith(
        f"{root / MAIN / 'dog_default.txt'} lacks images that other lists name: {lacked}: give each"
    )


def test_a_list_with_images_that_are_not_of_the_set_is_refused(tmp_path: Path) -> None:
    root = cvat(tmp_path, 6, 0, default="i0\ni1\ni2\ni3\n")
    found = refused(voc("cat", "dog"), root)
    assert found.endswith("cat_default.txt names images that the list of the whole set does not: i4, i5")


def test_ids_with_blanks_in_lists_of_classes(tmp_path: Path) -> None:
    for text in ('"my a"  1\n"my b" -1\n', "my a  1\nmy b -1\n"):
        files = {f"{MAIN}/default.txt": "my a\nmy b\n", f"{MAIN}/cat_default.txt": text, "JPEGImages/my a.jpg": None}
        assert labels(load_images(voc("cat"), write(tmp_path, files))) == {"JPEGImages/my a.jpg": ["cat"]}


def test_pictures_of_another_ending_beside_whole_lists_are_found_and_said(tmp_path: Path) -> None:
    root = cvat(tmp_path, 6, 0)
    for n in range(3):
        (root / "JPEGImages" / f"i{n}.jpg").rename(root / "JPEGImages" / f"i{n}.png")
    images = load_images(voc("cat", "dog"), root)
    assert [Path(name).suffix for name in images.relative_paths()] == [".png"] * 3 + [".jpg"] * 3
    assert said(images, "read differently") == [
        "3 pictures not at JPEGImages/<id>.jpg, found by name, first JPEGImages/i0.png"
    ]


def test_lists_without_classes_in_the_manifest_ask_for_them(tmp_path: Path) -> None:
    found = refused(voc(), cvat(tmp_path, 6, 6))
    assert found == f"photos: {tmp_path / MAIN} has lists of classes: name them in the manifest, as classes: [cat, dog]"


@pytest.mark.parametrize(
    ("files", "splits", "expected"),
    [
        ({f"{MAIN}/default.txt": "a\n"}, {"train": "default"}, "or an XML file for each image"),
        (
            {f"{MAIN}/default.txt": "a\n", **FLAT},
            {"train": "train"},
            "there are default.txt: write the one of the train split as splits: {train: default}",
        ),
        (FLAT, {"train": "train", "test": "val"}, "write splits: {train: all}"),
        (
            {"train/a.xml": xml("cat"), "valid/b.xml": xml("cat")},
            {"train": "train", "test": "val"},
            "{train: train, val: valid}",
        ),
        ({"a.xml": xml(), "a.jpg": None}, {"train": "default"}, "mark no image as showing any class"),
        ({}, {"train": "default"}, "pass the folder that it is below as --data-root"),
    ],
)
def test_what_is_not_known_is_asked_for(tmp_path: Path, files: dict, splits: dict, expected: str) -> None:
    assert expected in refused(voc("cat", "dog", **splits), write(tmp_path, files))


def test_an_image_of_two_lists_that_is_read_from_xml_is_refused(tmp_path: Path) -> None:
    """It would be trained on and tested on; by the published lists of classes it stays in the first."""
    write(tmp_path, {f"{MAIN}/one.txt": "a\nb\n", f"{MAIN}/two.txt": "b\n", **FLAT})
    faults: list[DataError] = []
    images = load_images(voc("cat", "dog", train="one", test="two"), tmp_path, report=faults.append)
    assert [fault.kind for fault in faults] == ["in two splits"]
    assert images.split.tolist() == ["train", "train"]


def test_check_lists_what_was_read_and_left_out(tmp_path: Path) -> None:
    write(tmp_path, {"a.xml": xml("cat"), "b.xml": xml("dog"), "c.xml": xml(), "d.xml": xml("cat", "dog")})
    for n, name in enumerate("abcd"):
        noise = np.random.default_rng(n).integers(0, 255, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{name}.jpg")
    found = check_dataset(voc("cat", "dog"), tmp_path)
    assert [finding.kind for finding in found.findings] == ["read differently", "left out"]
    assert found.images == 3


# Where the devkit is


def packaged(root: Path, *folders: str, sets: tuple[str, ...] = ("train", "val")) -> VocSpec:
    entry = load_manifest()["voc"]
    assert isinstance(entry, VocSpec) and isinstance(entry.classes, tuple)
    for folder in folders:
        for image_set in sets:
            lists = {f"{name}_{image_set}": f"{image_set} {1 if name == 'cat' else -1}\n" for name in entry.classes}
            write(root / folder, {f"{MAIN}/{name}.txt": text for name, text in lists.items()})
            write(root / folder, {f"JPEGImages/{image_set}.jpg": None})
    return entry


@pytest.mark.parametrize(
    ("made", "passed"),
    [
        ("VOC2012_train_val", "VOC2012_train_val"),
        ("VOC2012_train_val", "."),
        ("VOC2012", "VOC2012"),
        ("VOCdevkit/VOC2012", "VOCdevkit"),
        ("VOCdevkit/VOC2012", "VOCdevkit/VOC2012"),
        ("archive/voc", "."),
        ("VOCdevkit/VOC2007", "."),
    ],
)
def test_the_only_devkit_is_found_and_said(tmp_path: Path, made: str, passed: str) -> None:
    entry = packaged(tmp_path, made)
    images = load_images(entry, tmp_path / passed)
    assert images.paths.tolist() == [tmp_path / made / "JPEGImages" / f"{name}.jpg" for name in ("train", "val")]
    (text,) = said(images, "read differently")
    assert text.startswith(f"{MAIN} is taken from {tmp_path / made}, as {tmp_path / passed / 'VOCdevkit' / 'VOC2012'}")


def test_a_devkit_without_the_sets_is_not_meant(tmp_path: Path) -> None:
    entry = packaged(tmp_path, "VOC2012_train_val")
    packaged(tmp_path, "VOC2012_test", sets=("test",))
    assert "VOC2012_train_val" in str(load_images(entry, tmp_path).paths[0])


@pytest.mark.parametrize("folders", [("a", "b"), ("VOCdevkit/VOC2007", "VOCdevkit/VOC2011"), ("a", "c/d")])
def test_of_several_devkits_none_is_taken(tmp_path: Path, folders: tuple[str, str]) -> None:
    entry = packaged(tmp_path, *folders)
    found = refused(entry, tmp_path)
    assert f"voc: 2 folders below {tmp_path} hold {MAIN} ({', '.join(folders)}): write the one that is meant" in found
    assert f"folder: {folders[0]}, or pass it as --data-root" in found
    assert len(load_images(entry, tmp_path / folders[0])) == 2


def test_a_folder_that_the_manifest_names_is_not_left(tmp_path: Path) -> None:
    packaged(tmp_path, "other")
    write(tmp_path / "mine", FLAT)
    images = load_images(voc("cat", "dog", folder="mine"), tmp_path)
    assert labels(images) == {"mine/a.jpg": ["cat"], "mine/b.jpg": ["cat", "dog"]}


def test_the_benchmark_is_not_read_from_any_xml_files_that_lie_about(tmp_path: Path) -> None:
    found = refused(packaged(tmp_path), write(tmp_path, FLAT))
    assert "VOCtrainval_11-May-2012.tar" in found


# The law: never another matrix


@st.composite
def matrices(draw: st.DrawFn) -> dict[str, dict[str, set[str]]]:
    names = st.sets(st.sampled_from(["cat", "dog", "cow"]))
    return {split: {f"{split}{n}": draw(names) for n in range(draw(st.integers(1, 4)))} for split in ("train", "test")}


CLASSES = ("cat", "dog", "cow")


def write_in_any_habit(root: Path, matrix: dict[str, dict[str, set[str]]], data: st.DataObject) -> set[str]:
    """Write labels as lists of classes and XML files, whole or not, in any folders; return the names whose labels they say.

    Lists may lack some lines or not be there, XML files are there for some images, with difficult objects that count for nothing.
    """
    annotations, pictures = data.draw(st.sampled_from([("Annotations/", "JPEGImages/"), ("", ""), ("xml/", "images/")]))
    certain: set[str] = set()
    for split, rows in matrix.items():
        habit = data.draw(st.sampled_from(["xml", "lists", "some listed", "anything"]))
        whole = habit in ("xml", "some listed") or data.draw(st.booleans())
        listed = set(rows) if habit == "lists" else {name for name in rows if data.draw(st.booleans())}
        with_xml = {name for name in rows if data.draw(st.booleans())}
        if habit == "anything":
            listed_of = {of: {name for name in rows if data.draw(st.booleans())} for of in CLASSES}
        else:
            listed_of = dict.fromkeys(CLASSES if habit != "xml" else (), listed)
        if whole:
            write(root, {f"{MAIN}/{split}.txt": "".join(f"{name}\n" for name in rows)})
        for of, names in listed_of.items():
            lines = [f"{name} {1 if of in rows[name] else data.draw(st.sampled_from([-1, 0]))}\n" for name in names]
            write(root, {f"{MAIN}/{of}_{split}.txt": "".join(lines)})
        for name, shown in rows.items():
            write(root, {f"{pictures}{name}.{data.draw(st.sampled_from(['jpg', 'png']))}": None})
            if name in with_xml:
                others = [f"{of}?" for of in CLASSES if data.draw(st.booleans())]
                write(root, {f"{annotations}{name}.xml": xml(*shown, *others)})
            if whole and (name in with_xml or all(name in names for names in listed_of.values() or [()])):
                certain.add(name)
    return certain


@pytest.mark.slow
def test_labels_written_in_any_habit_are_read_back_or_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=100, deadline=None, derandomize=True, database=None)
    @given(matrices(), st.data())
    def holds(matrix: dict, data: st.DataObject) -> None:
        root = tmp_path_factory.mktemp("law")
        certain = write_in_any_habit(root, matrix, data)
        try:
            images = load_images(voc(*CLASSES, train="train", test="test"), root)
        except AevlpError as error:
            assert "\n" not in str(error)
            seen["refused"] += 1
            return
        seen["read"] += 1
        found = {Path(name).stem: set(shown) for name, shown in labels(images).items()}
        every = matrix["train"] | matrix["test"]
        assert all(every[name] == shown for name, shown in found.items())
        assert {name for name in certain if every[name]} <= set(found)

    holds()
    assert seen["read"] >= 25, seen
