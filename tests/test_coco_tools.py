"""COCO-style files as labelling tools write them: categories, ids and fields of every habit, read as meant or refused."""

import json
from collections import Counter
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_files import label_lists
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import each
from refusals import refused

from aevlp.pipeline.datasets import DataError, load_images
from aevlp.pipeline.datasets.dataset_check import check_dataset
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.labels.observation import checked
from aevlp.pipeline.manifest.formats import CocoJsonSpec, CocoSpec

CAT, DOG, COW = {"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}, {"id": 3, "name": "cow"}
LARGEST = checked({"regime": "largest"})


def write(
    path: Path, categories: list[dict], pairs: list[tuple[Any, Any]] | None, images: int = 3, **more: Any
) -> Path:
    """Write a file of images 1, 2, … and of annotations, None for no list of them, each with the fields of `more`."""
    listed = [{"id": n, "file_name": f"{path.stem}-{n}.jpg"} for n in range(1, images + 1)]
    content: dict[str, Any] = {"images": listed, "categories": categories}
    if pairs is not None:
        content["annotations"] = [{"id": k, "image_id": i, "category_id": c, **more} for k, (i, c) in enumerate(pairs)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def spec(*splits: str, **more: Any) -> CocoJsonSpec:
    entry = CocoJsonSpec(
        title="P", format="coco_json", annotations={s: f"{s}.json" for s in splits or ("train", "test")}, **more
    )
    return entry.placed("photos", Path("mine.yaml"))


# Categories


@pytest.mark.parametrize("order", list(permutations([CAT, DOG, COW])))
def test_categories_in_another_order_are_matched_by_name(tmp_path: Path, order: tuple[dict, ...]) -> None:
    write(tmp_path / "train.json", [CAT, DOG, COW], [(1, 1), (2, 2), (3, 3)])
    write(tmp_path / "test.json", list(order), [(1, 1), (2, 2), (3, 3)])
    renumbered = [{**category, "id": n} for n, category in enumerate(order)]
    write(tmp_path / "val.json", renumbered, [(n + 1, n) for n in range(3)])
    images = load_images(spec("train", "val", "test"), tmp_path)
    assert images.classes == ("cat", "dog", "cow")
    expected = {f"{split}-{n}.jpg": [name] for split in ("train", "test") for n, name in enumerate(images.classes, 1)}
    expected |= {f"val-{n}.jpg": [category["name"]] for n, category in enumerate(order, 1)}
    assert label_lists(images) == expected
    assert images.remarks == ()


@pytest.mark.parametrize("missing", [0, 1, 2])
@pytest.mark.parametrize("of", ["train", "test"])
def test_a_category_that_one_file_lacks_is_said(tmp_path: Path, missing: int, of: str) -> None:
    every = [CAT, DOG, COW]
    some = every[:missing] + every[missing + 1 :]
    lacks = every[missing]["name"]
    for split in ("train", "test"):
        table = some if split == of else every
        write(tmp_path / f"{split}.json", table, [(n, category["id"]) for n, category in enumerate(table, 1)])
    images = load_images(spec(), tmp_path)
    table = [category["name"] for category in (some if of == "train" else every)]
    assert images.classes == tuple(dict.fromkeys([*table, lacks]))
    assert all(label_lists(images)[f"{of}-{n}.jpg"] == [category["name"]] for n, category in enumerate(some, 1))
    assert [(r.kind, r.text) for r in images.remarks] == [
        (
            "read differently",
            f"{tmp_path / f'{of}.json'} has no category {lacks!r}: its images are taken to show none of that name",
        )
    ]


@pytest.mark.parametrize("other", ["dogs", "Dog", "bird"])
def test_an_id_renamed_between_two_files_is_refused_unless_both_are_stated(tmp_path: Path, other: str) -> None:
    write(tmp_path / "train.json", [CAT, DOG], [(1, 1), (2, 2)])
    write(tmp_path / "test.json", [CAT, {"id": "2", "name": other}], [(1, 1), (2, "2")])
    found = refused(spec(), tmp_path)
    assert f"the category 2 is 'dog' in {tmp_path / 'train.json'} and {other!r} in {tmp_path / 'test.json'}" in found
    assert "list all classes as `classes` in the manifest if they are two" in found
    images = load_images(spec(classes=["cat", "dog", other]), tmp_path)
    assert label_lists(images)["test-2.jpg"] == [other] and label_lists(images)["train-2.jpg"] == ["dog"]


@each(stated=list(permutations(["cat", "dog", "cow", "emu"])))
def test_stated_classes_may_be_more_and_in_another_order(tmp_path: Path, stated: tuple[str, ...]) -> None:
    write(tmp_path / "train.json", [CAT, DOG, COW], [(1, 1), (2, 2), (3, 3)])
    (tmp_path / "names.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(stated).encode())
    for classes in (list(stated), "names.txt"):
        images = load_images(spec("train", classes=classes), tmp_path)
        assert images.classes == stated
        assert label_lists(images) == {"train-1.jpg": ["cat"], "train-2.jpg": ["dog"], "train-3.jpg": ["cow"]}


@pytest.mark.parametrize(
    ("stated", "used"), [(["cat", "cow"], "dog"), (["Cat", "dog", "cow"], "cat"), (["dog"], "cat")]
)
def test_a_used_category_that_is_not_stated_is_refused(tmp_path: Path, stated: list[str], used: str) -> None:
    write(tmp_path / "train.json", [CAT, DOG, COW], [(1, 1), (2, 2), (3, 3)])
    found = refused(spec("train", classes=stated), tmp_path)
    assert "annotations use a category that is not among `classes`: unknown class" in found and repr(used) in found


def test_an_unused_category_that_is_not_stated_is_left_out(tmp_path: Path) -> None:
    write(tmp_path / "train.json", [COW, CAT, DOG], [(1, 1), (2, 2)])
    images = load_images(spec("train", classes=["dog", "cat"]), tmp_path)
    assert label_lists(images) == {"train-1.jpg": ["cat"], "train-2.jpg": ["dog"], "train-3.jpg": []}
    assert [r.kind for r in images.remarks] == ["left out"] and "'cow'" in images.remarks[0].text


GROUPS = [
    ([{"id": 0, "name": "animals-xyz", "supercategory": "none"}], "animals-xyz"),  # as Roboflow has it
    ([{"id": 9, "name": "pets", "supercategory": "all"}, {"id": 8, "name": "all", "supercategory": None}], "pets"),
    ([{"id": "g", "name": "living", "supercategory": {"a": 1}}], "living"),
]


@pytest.mark.parametrize(("groups", "parent"), GROUPS)
def test_a_category_that_only_groups_others_is_no_class(tmp_path: Path, groups: list[dict], parent: str) -> None:
    members = [{**category, "supercategory": parent} for category in (CAT, DOG)]
    write(tmp_path / "train.json", [*groups, *members, COW], [(1, 1), (2, 2)])
    images = load_images(spec("train"), tmp_path)
    assert images.classes == ("cat", "dog", "cow")  # cow is not used either, and groups nothing
    assert len(images.remarks) == len(groups) and {r.kind for r in images.remarks} == {"left out"}
    assert f"the category {parent!r} is only what others ('cat', 'dog') are grouped under" in images.remarks[0].text
    found = check_dataset(spec("train"), tmp_path)
    assert found.of_kind("left out") == [r.text for r in images.remarks]
    assert found.of_kind("class never used") == ["cow: no image shows it"]
    kept = [group["name"] for group in groups] + ["cat", "dog", "cow"]
    assert load_images(spec("train", classes=kept), tmp_path).classes == tuple(kept)


@pytest.mark.parametrize("used_in", ["train", "test"])
def test_a_group_that_an_annotation_of_any_split_uses_is_a_class(tmp_path: Path, used_in: str) -> None:
    categories = [{"id": 0, "name": "pet", "supercategory": "none"}, {**CAT, "supercategory": "pet"}]
    for split in ("train", "test"):
        write(tmp_path / f"{split}.json", categories, [(1, 1), *([(2, 0)] if split == used_in else [])])
    images = load_images(spec(), tmp_path)
    assert images.classes == ("pet", "cat") and images.remarks == ()
    assert label_lists(images)[f"{used_in}-2.jpg"] == ["pet"]


@pytest.mark.parametrize("own", [{"supercategory": "cat"}, {}, {"supercategory": "none"}])
def test_a_group_named_as_its_only_class_is_that_class(tmp_path: Path, own: dict) -> None:
    """A Roboflow project "cat" with the class "cat": two categories of one name, and one is used."""
    write(tmp_path / "train.json", [{"id": 0, "name": "cat", "supercategory": "none"}, {**CAT, **own}], [(1, 1)])
    write(tmp_path / "test.json", [{**CAT, **own}], [(2, 1)])
    images = load_images(spec(), tmp_path)
    assert images.classes == ("cat",)
    assert [name for name, shown in label_lists(images).items() if shown] == ["train-1.jpg", "test-2.jpg"]


def test_two_categories_of_one_name_that_are_used_in_different_splits_are_refused(tmp_path: Path) -> None:
    heads = [{"id": 1, "name": "head", "supercategory": "horse"}, {"id": 5, "name": "head", "supercategory": "person"}]
    write(tmp_path / "train.json", heads, [(1, 1)])
    write(tmp_path / "test.json", heads, [(1, 5)])
    assert "categories named twice: 'head' (the ids 1 and 5), and annotations use both" in refused(spec(), tmp_path)


# Fields that do not matter, and ids of every kind


@pytest.mark.parametrize(
    "more",
    [
        {"score": float("nan")},
        {"score": float("inf"), "attributes": {"x": -float("inf")}},
        {"area": float("nan"), "bbox": [float("nan")] * 4},
        {"area": "10.0"},
        {"area": "", "bbox": ""},
        {"area": {"px": 3}, "bbox": {"x": 0, "y": 0, "w": 5, "h": 2}},
        {"bbox": {"xmin": 0, "ymin": 0, "xmax": 5, "ymax": 2}},
        {"bbox": "[0, 0, 5, 2]", "iscrowd": "yes"},
        {"segmentation": {"counts": "abc\ud83d", "size": [1, 2]}, "iscrowd": None},
        {"segmentation": [[]], "extra": [1e400, 10**400]},
        {"area": 10**400, "bbox": [10**400, 0, 1, 2]},
    ],
)
def test_fields_that_say_nothing_of_labels_may_hold_anything(tmp_path: Path, more: dict) -> None:
    write(tmp_path / "train.json", [CAT, DOG], [(1, 1), (1, 2), (2, 2)], **more)
    expected = {"train-1.jpg": ["cat", "dog"], "train-2.jpg": ["dog"], "train-3.jpg": []}
    assert label_lists(load_images(spec("train"), tmp_path)) == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("score", [0.5, float("nan")])
def test_any_unicode_encoding_is_read(tmp_path: Path, encoding: str, score: float) -> None:
    path = write(tmp_path / "train.json", [{"id": 1, "name": "caf\u00e9 NaN"}], [(1, 1)], score=score)
    text = json.dumps(json.loads(path.read_text()), ensure_ascii=False)
    path.write_bytes(text.encode(encoding))
    assert label_lists(load_images(spec("train"), tmp_path))["train-1.jpg"] == ["caf\u00e9 NaN"]


SIZES = [
    ({"area": 4, "bbox": [0, 0, 9, 9]}, 4),
    ({"area": "4.5"}, 4.5),
    ({"area": None, "bbox": [0, 0, 2, 3]}, 6),
    ({"area": float("nan"), "bbox": ["0", "0", "2", "3"]}, 6),
    ({"area": 0, "bbox": {"x": 0, "y": 0, "w": 2, "h": 3}}, 6),
    ({"bbox": {"x": 5, "y": 5, "width": 2, "height": "3"}}, 6),
    ({"bbox": {"xmin": 5, "ymin": 1, "xmax": 7, "ymax": 4}}, 6),
    ({"bbox": {"x1": 5, "y1": 1, "x2": 7, "y2": 4}}, 6),
]


@pytest.mark.parametrize(("given", "area"), SIZES)
def test_the_size_of_an_object_in_every_form(tmp_path: Path, given: dict, area: float) -> None:
    for other, larger in ((area - 0.25, 0), (area + 0.25, 1)):
        path = write(tmp_path / "train.json", [CAT, DOG], [(1, 1), (1, 2)])
        content = json.loads(path.read_text())
        content["annotations"][0].update(given)
        content["annotations"][1]["area"] = other
        path.write_text(json.dumps(content))
        images = load_images(spec("train"), tmp_path, simulate=LARGEST)
        assert images.observed[0].tolist() == [int(larger == 0), int(larger == 1)]


@pytest.mark.parametrize("given", [{"area": "big"}, {"bbox": "0 0 5 2"}, {"bbox": {"a": 1}}, {"bbox": [1, 2, 3]}])
def test_a_size_that_cannot_be_read_is_refused_where_sizes_matter(tmp_path: Path, given: dict) -> None:
    path = write(tmp_path / "train.json", [CAT], [(1, 1)], **given)
    assert len(load_images(spec("train"), tmp_path)) == 3
    found = refused(spec("train"), tmp_path, simulate=LARGEST)
    assert f"{path}: 1 annotation with an area or box that is no size in pixels" in found


FORMS = [
    (lambda n: float(n)),
    (lambda n: str(n)),
    (lambda n: f"{n}.0"),
    (lambda n: [n, float(n), str(n)][n % 3]),
]


@each(form=FORMS, where=["image_id", "category_id", "images", "categories"])
def test_ids_are_the_same_as_number_fraction_and_text(tmp_path: Path, form: Any, where: str) -> None:
    path = write(tmp_path / "train.json", [CAT, DOG], [(1, 1), (2, 2), (2, 1)])
    content = json.loads(path.read_text())
    for record in content["annotations" if where.endswith("_id") else where]:
        key = where if where.endswith("_id") else "id"
        record[key] = form(record[key])
    path.write_text(json.dumps(content))
    expected = {"train-1.jpg": ["cat"], "train-2.jpg": ["cat", "dog"], "train-3.jpg": []}
    assert label_lists(load_images(spec("train"), tmp_path)) == expected


@pytest.mark.parametrize("given", [1.5, float("nan"), float("inf"), 2.0**53])
def test_an_id_that_is_no_whole_number_is_a_fault(tmp_path: Path, given: float) -> None:
    path = write(tmp_path / "train.json", [CAT, DOG], [(1, 1), (given, 2)])
    content = json.loads(path.read_text())
    content["images"].append({"id": int(given) if given > 2 and np.isfinite(given) else given, "file_name": "x.jpg"})
    path.write_text(json.dumps(content))
    faults: list[DataError] = []
    images = load_images(spec("train"), tmp_path, report=faults.append)
    assert faults and {fault.kind for fault in faults} == {"bad row"}
    assert [shown for shown in label_lists(images).values() if shown] == [["cat"]]


@pytest.mark.parametrize(("one", "other"), [(1, "1"), (1, 1.0), ("1.0", 1)])
def test_an_id_in_two_forms_on_two_images_is_a_fault(tmp_path: Path, one: Any, other: Any) -> None:
    path = write(tmp_path / "train.json", [CAT], [(1, 1)], images=2)
    content = json.loads(path.read_text())
    content["images"][0]["id"], content["images"][1]["id"] = one, other
    path.write_text(json.dumps(content))
    assert f"image 2: its id {other!r} stands on an image before it too" in refused(spec("train"), tmp_path)


@pytest.mark.parametrize("given", [None, float("nan")])
def test_an_annotation_without_a_category_is_reported(tmp_path: Path, given: float | None) -> None:
    path = write(tmp_path / "train.json", [CAT, DOG], [(1, 1), (2, given), (3, 2)])
    found = refused(spec("train"), tmp_path)
    assert found.startswith(f"{path}, annotation 2 of 3: its `category_id` is null, so what it shows is not known: ")
    check = check_dataset(spec("train"), tmp_path)
    assert check.of_kind("bad row") == [found]
    assert check.of_kind("without a positive") == []  # it has an object, of a class that is not known


@pytest.mark.parametrize("given", [None, float("nan")])
def test_an_annotation_without_a_category_of_an_image_that_shows_every_class_changes_nothing(
    tmp_path: Path, given: float | None
) -> None:
    path = write(tmp_path / "train.json", [CAT, DOG], [(1, given), (1, 1), (1, 2), (2, 1)])
    images = load_images(spec("train"), tmp_path)
    assert label_lists(images) == {"train-1.jpg": ["cat", "dog"], "train-2.jpg": ["cat"], "train-3.jpg": []}
    assert [(remark.kind, remark.text) for remark in images.remarks] == [
        ("left out", f"1 annotation of {path} without a category, of images that show every class already")
    ]


# Files without annotations


@pytest.mark.parametrize("null", [True, False])
@pytest.mark.parametrize("categories", [[CAT, DOG], [], [{"id": 7, "name": "something"}]])
@pytest.mark.parametrize("split", ["test", "val"])
def test_an_unlabelled_split_is_left_out_and_said(tmp_path: Path, null: bool, categories: list, split: str) -> None:
    write(tmp_path / "train.json", [CAT, DOG], [(1, 1), (2, 2)])
    path = write(tmp_path / f"{split}.json", categories, None)
    if null:
        path.write_text(json.dumps({**json.loads(path.read_text()), "annotations": None}))
    images = load_images(spec("train", split), tmp_path)
    assert set(images.split) == {"train"} and images.classes == ("cat", "dog")
    (remark,) = images.remarks
    assert remark.kind == "left out"
    assert f"{path} has no list `annotations`: the labels of its 3 images are not known" in remark.text
    assert f"they are left out of the {split} split; aevlp predict labels them" in remark.text


def test_an_empty_list_of_annotations_says_that_nothing_is_there(tmp_path: Path) -> None:
    write(tmp_path / "train.json", [CAT, DOG], [(1, 1), (2, 2)])
    write(tmp_path / "test.json", [CAT, DOG], [])
    images = load_images(spec(), tmp_path)
    assert (images.split == "test").sum() == 3 and images.remarks == ()
    assert label_lists(images)["test-1.jpg"] == []


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        (("train",), "no list `annotations`, so no label of a training"),
        (("train", "test"), "no list `annotations`, so no label of a training"),
        (("test",), "no list of annotations in"),
    ],
)
def test_without_any_label_to_train_on_it_is_refused(tmp_path: Path, splits: tuple[str, ...], said: str) -> None:
    for split in splits:
        write(tmp_path / f"{split}.json", [CAT], None)
    assert said in refused(spec(*splits), tmp_path)


# Names of files


NAMES = {
    "backslashes": ("images/sub/a.jpg", "sub\\a.jpg", "images"),
    "another machine": ("images/a.jpg", "C:\\Users\\u\\images\\a.jpg", "images"),
    "from above": ("images/a.jpg", "../../export/images/a.jpg", "images"),
    "an address": ("images/a.jpg", "https://host.example/files/a.jpg?x=1", "images"),
    "an upload": ("images/name.jpg", "/data/upload/1/ab12cd34-name.jpg", "images"),
    "the folder again": ("images/a.jpg", "images/a.jpg", "images"),
    "beside the file": ("export/a.jpg", "a.jpg", None),
}


@pytest.mark.parametrize(
    ("kind", "format"),
    [(kind, f) for kind in NAMES for f in ("coco_json", "coco") if NAMES[kind][2] or f == "coco_json"],
)
def test_names_of_files_as_tools_export_them(tmp_path: Path, kind: str, format: str) -> None:
    file, name, folder = NAMES[kind]
    entry: CocoJsonSpec | CocoSpec
    if format == "coco":
        entry = CocoSpec(title="C", format="coco", splits={"train": "images"}).placed("c", Path("mine.yaml"))
        path = tmp_path / "annotations" / "instances_images.json"
    else:
        path = tmp_path / "export" / "train.json"
        entry = spec("train", images={} if folder is None else {"train": folder})
        entry = entry.model_copy(update={"annotations": {"train": "export/train.json"}})
    content = {"images": [{"id": 1, "file_name": name}], "categories": [CAT]}
    path.parent.mkdir()
    path.write_text(json.dumps({**content, "annotations": [{"image_id": 1, "category_id": 1}]}))
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).touch()
    images = load_images(entry, tmp_path)
    assert images.relative_paths() == [file]
    assert images.ids.tolist() == [file if format == "coco_json" else Path(file).stem]
    assert [remark.kind for remark in images.remarks] == ["read differently"]


@pytest.mark.parametrize("other", ["sub\\a.jpg", "./sub/a.jpg"])
def test_two_names_of_one_file_are_never_both_read(tmp_path: Path, other: str) -> None:
    path = write(tmp_path / "train.json", [CAT], [(1, 1), (2, 1)], images=2)
    content = json.loads(path.read_text())
    content["images"][0]["file_name"], content["images"][1]["file_name"] = "sub/a.jpg", other
    path.write_text(json.dumps(content))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.jpg").touch()
    faults: list[DataError] = []
    images = load_images(spec("train"), tmp_path, report=faults.append)
    assert images.relative_paths().count("sub/a.jpg") == 1
    assert faults or images.relative_paths()[1] == other  # which is not there


# MS COCO of other years


def sets(root: Path, *names: str, images: Any = lambda n: [{"id": n, "file_name": f"{n:012d}.jpg"}]) -> CocoSpec:
    for n, name in enumerate(names, 139):
        write(root / "annotations" / f"instances_{name}.json", [CAT, DOG], [(n, 1 + n % 2), (n, 2)])
        path = root / "annotations" / f"instances_{name}.json"
        content = {**json.loads(path.read_text()), "images": images(n)}
        path.write_text(json.dumps(content))
    splits = dict(zip(("train", "test"), names, strict=False))
    return CocoSpec(title="C", format="coco", splits=splits).placed("c", Path("mine.yaml"))


@pytest.mark.parametrize(
    "images",
    [
        lambda n: [{"id": n, "file_name": f"{n:012d}.jpg"}, {"id": 7, "file_name": "000000000007.jpg"}],
        lambda n: None,
        lambda n: [{"id": f"{n:04d}", "file_name": f"{n:012d}.jpg"}],
    ],
)
def test_images_since_2017_are_named_by_their_number_alone(tmp_path: Path, images: Any) -> None:
    table = load_images(sets(tmp_path, "train2017", "val2017", images=images), tmp_path)
    assert table.relative_paths() == ["train2017/000000000139.jpg", "val2017/000000000140.jpg"]
    assert label_lists(table) == {"000000000139": ["dog"], "000000000140": ["cat", "dog"]}


@pytest.mark.parametrize("name", ["train2017", "minitrain", "2020"])
def test_the_file_says_what_the_images_of_a_set_are_called(tmp_path: Path, name: str) -> None:
    entry = sets(tmp_path, name, images=lambda n: [{"id": n, "file_name": f"photo.{n}.png"}])
    table = load_images(entry, tmp_path)
    assert table.relative_paths() == [f"{name}/photo.139.png"] and table.ids.tolist() == ["photo.139"]


def test_the_images_of_2014_are_named_by_the_rule_whatever_the_file_says(tmp_path: Path) -> None:
    entry = sets(tmp_path, "train2014", images=lambda n: [{"id": n, "file_name": "other.jpg"}])
    assert load_images(entry, tmp_path).relative_paths() == ["train2014/COCO_train2014_000000000139.jpg"]


def test_an_image_of_two_sets_or_of_no_list_is_refused(tmp_path: Path) -> None:
    entry = sets(tmp_path, "train2017", images=lambda n: [{"id": 5, "file_name": "000000000005.jpg"}])
    assert "annotations name image 139, which is not among its images" in refused(entry, tmp_path)
    entry = sets(tmp_path, "train2017", "val2017")
    path = tmp_path / "annotations" / "instances_val2017.json"
    path.write_text((tmp_path / "annotations" / "instances_train2017.json").read_text())
    assert f"{path}, image 139: '000000000139.jpg' stands in " in refused(entry, tmp_path)


@pytest.mark.parametrize("place", ["coco/annotations", "a/b", "annotations_trainval2017/annotations", ""])
def test_annotation_files_in_another_place_are_pointed_to(tmp_path: Path, place: str) -> None:
    root = tmp_path / "annotations" if place == "coco/annotations" else tmp_path
    root.mkdir(exist_ok=True)
    entry = sets(tmp_path / "made", "train2017")
    there = root / place / "instances_train2017.json"
    there.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "made" / "annotations" / "instances_train2017.json").rename(there)
    found = refused(entry, root)
    assert f"c: no {root / 'annotations' / 'instances_train2017.json'}: {there} is there: " in found
    way = (
        f"pass {there.parent.parent} as --data-root"
        if place.endswith("annotations")
        else "put it into a folder annotations/ beside train2017/"
    )
    assert found.endswith(way)


@pytest.mark.parametrize("place", ["train", "annotations", "export/annotations"])
def test_a_file_of_ones_own_in_another_place_is_pointed_to(tmp_path: Path, place: str) -> None:
    write(tmp_path / place / "train.json", [CAT], [(1, 1)])
    assert refused(spec("train"), tmp_path).endswith(
        f"train.json is there: write annotations: {{train: {place}/train.json}}"
    )


# The law: never another matrix


@st.composite
def written(draw: st.DrawFn) -> tuple[dict[str, dict], dict[str, dict[str, set[str]]]]:
    """Draw the labels of some images in two splits, and the files that say them, in every habit at once."""
    names = draw(st.lists(st.sampled_from(["cat", "dog", "cow", "emu", "fox"]), min_size=1, max_size=5, unique=True))
    form = st.sampled_from([int, float, str, lambda n: f"{n}.0"])
    junk = st.sampled_from([float("nan"), None, "x", [], {"a": [1]}, 3, -float("inf")])
    files: dict[str, dict] = {}
    expected: dict[str, dict[str, set[str]]] = {}
    for split in ("train", "test"):
        numbers = draw(st.lists(st.integers(0, 99), min_size=len(names), max_size=len(names), unique=True))
        shown = draw(st.lists(st.sets(st.sampled_from(names)), min_size=1, max_size=4))
        used = set().union(*shown)
        table = [
            {"id": draw(form)(number), "name": name, "supercategory": draw(junk | st.just("animal"))}
            for name, number in draw(st.permutations(list(zip(names, numbers, strict=True))))
            if name in used or draw(st.booleans())
        ]
        if draw(st.booleans()):
            table.append({"id": 100, "name": "animal", "supercategory": "none"})
        number_of = dict(zip(names, numbers, strict=True))
        annotations = [
            {
                "image_id": draw(form)(n),
                "category_id": draw(form)(number_of[name]),
                **{field: draw(junk) for field in draw(st.sets(st.sampled_from(["area", "bbox", "score", "iscrowd"])))},
            }
            for n, row in enumerate(shown)
            for name in row
        ]
        files[split] = {
            "images": [{"id": draw(form)(n), "file_name": f"{split}{n}.jpg"} for n in range(len(shown))],
            "annotations": draw(st.permutations(annotations)),
            "categories": table,
            "info": draw(junk),
        }
        expected[split] = {f"{split}{n}.jpg": row for n, row in enumerate(shown)}
    return files, expected


@pytest.mark.slow
def test_labels_written_in_any_habit_are_read_back_or_refused(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=120, deadline=None, derandomize=True, database=None)
    @given(written())
    def holds(drawn: tuple) -> None:
        files, expected = drawn
        for split, content in files.items():
            (tmp_path / f"{split}.json").write_text(json.dumps(content))
        try:
            images = load_images(spec(), tmp_path)
        except AevlpError as error:
            assert "\n" not in str(error)
            empty = any(not content["categories"] for content in files.values())
            assert empty or "and neither file has the other's" in str(error)
            seen["refused"] += 1
            return
        seen["read"] += 1
        found = label_lists(images)
        assert {name: set(row) for name, row in found.items()} == expected["train"] | expected["test"]
        used = set().union(*expected["train"].values(), *expected["test"].values())
        assert used <= set(images.classes)

    holds()
    assert seen["read"] >= 50, seen
