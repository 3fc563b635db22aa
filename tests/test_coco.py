"""The COCO readers: MS COCO by the published formatting and by slow loops over the JSON, any other file by its own order."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from refusals import refused

from aevlp.pipeline.datasets import DataError, ImageTable, load_images
from aevlp.pipeline.datasets.formatted import export
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.labels.observation import NONE, checked
from aevlp.pipeline.labels.single_positive import observe
from aevlp.pipeline.manifest.formats import CocoJsonSpec, DatasetSpec, FormattedSpec
from aevlp.pipeline.manifest.load import load_manifest
from goldens import load

GOLDEN = load("formats")["coco"]
PUBLISHED = {"train": "train", "test": "val"}
COCO = load_manifest()["coco"]
ANIMALS = [{"id": 7, "name": "zebra"}, {"id": 2, "name": "cat"}, {"id": 90, "name": "dog"}]


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def benchmark(root: Path, train: Any, val: Any) -> Path:
    """Write both annotation files where the official archive unpacks them and return the root."""
    for split, content in (("train", train), ("val", val)):
        write(root / "annotations" / f"instances_{split}2014.json", content)
    return root


def content(annotations: list[tuple[Any, Any]], categories: list[dict] = ANIMALS, **more: Any) -> dict[str, Any]:
    """Return an annotation file's content from pairs of image and category ids."""
    return {
        "categories": categories,
        "annotations": [{"image_id": i, "category_id": c} for i, c in annotations],
        **more,
    }


def own(tmp_path: Path, **changes: Any) -> DatasetSpec:
    """Return an entry of `format: coco_json` for train.json and test.json, the images of both in photos/."""
    files = {"train": "train.json", "test": "test.json"}
    folders = {"train": "photos", "test": "photos"}
    entry = CocoJsonSpec(title="Photos", format="coco_json", annotations=files, images=folders)
    return entry.placed("photos", tmp_path / "mine.yaml").model_copy(update=changes)


def checked_splits(images: ImageTable) -> dict[str, np.ndarray]:
    """Return the truth of each split, after the laws that hold for every data set."""
    assert images.truth is not None
    assert images.truth.dtype == images.observed.dtype == np.int8
    assert len(set(images.ids)) == len(images)
    assert images.split.tolist() == sorted(images.split, reverse=True)  # train before test
    parts = {split: images.truth[images.split == split] for split in ("train", "test")}
    for split, truth in parts.items():
        expected = truth if images.simulate == NONE else observe(truth)
        np.testing.assert_array_equal(images.observed[images.split == split], expected)
    return parts


@pytest.fixture
def published(tmp_path: Path) -> Path:
    return benchmark(tmp_path, str(GOLDEN["train_json"]), str(GOLDEN["val_json"]))


def test_the_published_formatting_is_reproduced(published: Path) -> None:
    images = load_images(COCO, published)
    for split, truth in checked_splits(images).items():
        rows = images.split == split
        np.testing.assert_array_equal(truth, GOLDEN[f"{PUBLISHED[split]}_labels"])
        names = [path.relative_to(images.image_root).as_posix() for path in images.paths[rows]]
        assert names == GOLDEN[f"{PUBLISHED[split]}_images"].tolist()
        assert images.ids[rows].tolist() == [Path(name).stem for name in names]
    assert images.image_root == published
    assert images.classes == tuple(c["name"] for c in json.loads(str(GOLDEN["train_json"]))["categories"])
    assert set(images.label_hashes()) == {"annotations/instances_train2014.json", "annotations/instances_val2014.json"}


def test_the_export_equals_the_published_files_and_reads_back(published: Path) -> None:
    images = load_images(COCO, published)
    folder = published / "formatted"
    export(images, folder)
    for split in ("train", "val"):
        for part in ("images", "labels", "labels_obs"):
            array = np.load(folder / f"formatted_{split}_{part}.npy", allow_pickle=False)
            truth = GOLDEN[f"{split}_labels"]
            expected = observe(truth).astype(truth.dtype) if part == "labels_obs" else GOLDEN[f"{split}_{part}"]
            assert array.dtype == expected.dtype
            np.testing.assert_array_equal(array, expected)
    entry = FormattedSpec(title="Again", format="formatted", classes=images.classes, folder="formatted")
    again = load_images(entry.placed("again", published / "mine.yaml"), published)
    assert again.paths.tolist() == images.paths.tolist()
    assert again.split.tolist() == images.split.tolist()
    np.testing.assert_array_equal(again.observed, images.observed)
    assert again.truth is not None and images.truth is not None
    np.testing.assert_array_equal(again.truth, images.truth)


def test_the_published_observation_of_eighty_classes(tmp_path: Path) -> None:
    case = load("protocol")["observe_2_p1_n0_s1200"]
    cells = [(1000 + row, int(column)) for row, column in np.argwhere(case["labels"])]
    np.random.default_rng(0).shuffle(cells)
    categories = [{"id": n, "name": name} for n, name in enumerate(COCO.classes or ())]
    pairs = [(int(image), int(category)) for image, category in cells]
    images = load_images(COCO, benchmark(tmp_path, content(pairs, categories), content(pairs, categories)))
    assert images.classes == COCO.classes
    for split in ("train", "test"):
        np.testing.assert_array_equal(images.observed[images.split == split], case["observed"])


def test_parts_of_the_official_files_that_are_not_labels_do_not_matter(tmp_path: Path) -> None:
    """Outlines as polygons and as runs, crowds, captions; images without an annotation are left out, crowds are not."""
    annotations = [
        {
            "segmentation": [[1.5, 2, 3, 4]],
            "area": 9,
            "iscrowd": 0,
            "image_id": 9,
            "bbox": [1, 2, 3, 4],
            "category_id": 2,
            "id": 1,
        },
        {
            "segmentation": {"counts": [3, 1], "size": [2, 2]},
            "area": 9.5,
            "iscrowd": 1,
            "image_id": 58,
            "bbox": [0.0, 0, 2, 2],
            "category_id": 90,
            "id": 2,
        },
    ]
    train = {
        "info": {"year": 2014, "url": "http://a\u00e9"},
        "licenses": [{"id": 1}],
        "images": [{"id": n, "file_name": f"COCO_train2014_{n:012d}.jpg", "height": 2} for n in (9, 58, 100)],
        "annotations": annotations,
        "categories": [{"supercategory": "animal", **category} for category in ANIMALS],
    }
    images = load_images(COCO, benchmark(tmp_path, train, content([(9, 7)])))
    assert images.ids.tolist() == [
        "COCO_train2014_000000000058",
        "COCO_train2014_000000000009",
        "COCO_val2014_000000000009",
    ]
    assert images.truth is not None
    assert images.truth.tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]


def test_the_sets_are_those_of_the_manifest(tmp_path: Path) -> None:
    write(tmp_path / "annotations" / "instances_minival2014.json", content([(3, 2)]))
    images = load_images(COCO.model_copy(update={"splits": {"test": "minival2014"}}), tmp_path)
    assert images.relative_paths() == ["minival2014/COCO_minival2014_000000000003.jpg"]
    assert images.split.tolist() == ["test"]


SPELLED = st.integers(0, 10**13).flatmap(lambda n: st.sampled_from([n, str(n), f"{n:012d}"]))
CATEGORIES = st.lists(
    st.tuples(st.integers(-3, 200) | st.text(max_size=3), st.text(max_size=4)), min_size=1, max_size=6
).filter(lambda pairs: all(len({str(pair[n]) for pair in pairs}) == len(pairs) for n in (0, 1)))


@st.composite
def coco_files(draw: st.DrawFn) -> tuple[list[tuple[Any, str]], list[list[tuple[Any, int]]]]:
    """Draw categories and, for both splits, pairs of an image id and a category's place."""
    categories = draw(CATEGORIES)
    pool = st.sampled_from(draw(st.lists(SPELLED, min_size=1, max_size=6)))
    return categories, [
        draw(st.lists(st.tuples(pool, st.integers(0, len(categories) - 1)), min_size=1, max_size=12)) for _ in range(2)
    ]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(coco_files(), st.randoms(use_true_random=False))
def test_any_annotations_equal_a_slow_loop(tmp_path: Path, drawn: tuple, random: Any) -> None:
    """Ids as numbers, as text and with leading zeros; category ids of other kinds and with gaps."""
    categories, splits = drawn
    listed = [{"id": number, "name": name} for number, name in categories]
    files = []
    for pairs in splits:
        annotations = [
            {
                "image_id": image,
                "iscrowd": random.randrange(2),
                "category_id": random.choice([categories[place][0], str(categories[place][0])]),
            }
            for image, place in pairs
        ]
        files.append({"annotations": annotations, "categories": listed})
    images = load_images(COCO, benchmark(tmp_path, *files))
    assert images.classes == tuple(name for _, name in categories)
    expected = []
    for word, pairs in zip(("train2014", "val2014"), splits, strict=True):
        numbers = sorted({str(int(image)) for image, _ in pairs})
        for number in numbers:
            row = [int(any((int(i), p) == (int(number), place) for i, p in pairs)) for place in range(len(categories))]
            expected.append((f"{word}/COCO_{word}_{'0' * (12 - len(number))}{number}.jpg", row))
    assert images.relative_paths() == [path for path, _ in expected]
    parts = checked_splits(images)
    assert np.concatenate([parts["train"], parts["test"]]).tolist() == [row for _, row in expected]


# What cannot be read


def test_a_file_cut_short_anywhere_is_one_clear_line(tmp_path: Path) -> None:
    text = json.dumps(content([(9, 7), (10, 2)], [{"id": 7, "name": "caf\u00e9"}, *ANIMALS[1:]]), ensure_ascii=False)
    whole = text.encode()
    path = benchmark(tmp_path, text, text) / "annotations" / "instances_train2014.json"
    assert len(load_images(COCO, tmp_path)) == 4
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        found = refused(COCO, tmp_path)
        expected = f"{path} ({size:,} bytes) is not a whole COCO annotation file: " if size else f"{path} is empty"
        assert found.startswith(expected), found
        assert size == 0 or found.endswith("; fetch or write it again")


def test_the_published_file_cut_short_is_one_clear_line(published: Path) -> None:
    path = published / "annotations" / "instances_val2014.json"
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        assert str(path) in refused(COCO, published)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", "Expected `object`, got `array`"),
        ("null", "Expected `object`, got `null`"),
        ('"instances"', "Expected `object`, got `str`"),
        ("{}", "it has no `images`, `annotations` and `categories`"),
        ('{"info": {}}', "it has no `images`, `annotations` and `categories`"),
        ('{"categories": {}, "annotations": []}', "Expected `array`, got `object` - at `$.categories`"),
        ('{"categories": ["cat"], "annotations": []}', "Expected `object`, got `str` - at `$.categories[0]`"),
        ('{"categories": [{"id": 1}], "annotations": []}', "missing required field `name` - at `$.categories[0]`"),
        ('{"categories": [], "annotations": [{"image_id": 1}]}', "`category_id` - at `$.annotations[0]`"),
        ('{"categories": [], "annotations": [{"image_id": [1], "category_id": 1}]}', "at `$.annotations[0].image_id`"),
        (
            '{"annotations": [{"image_id": 1, "category_id": [1, 2]}]}',
            "at `$.annotations[0].category_id`; write an annotation for each of its categories",
        ),
        ('{"categories": [], "annotations": [{"image_id": null, "category_id": 1}]}', "$.annotations[0].image_id"),
        ('{"categories": [], "annotations": []} []', "trailing characters"),
        ("{'categories': [], 'annotations': []}", "JSON is malformed"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + ', "categories": [], "annotations": []}', "recursion"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "JSON is malformed"),
        (b'{"categories": [{"id": 1, "name": "caf\xe9"}], "annotations": []}', "utf-8"),
        (json.dumps(content([(1, 2)])).encode("utf-16")[:-8], "JSON is malformed"),
        (bytes(500), "JSON is malformed"),
    ],
)
@pytest.mark.parametrize("format", ["coco", "coco_json"])
def test_a_file_of_another_form_is_one_clear_line(
    tmp_path: Path, text: str | bytes, expected: str, format: str
) -> None:
    benchmark(tmp_path, "", content([(1, 2)]))
    spec, path = COCO, tmp_path / "annotations" / "instances_train2014.json"
    if format == "coco_json":
        spec = own(tmp_path, annotations={"train": path.relative_to(tmp_path).as_posix()})
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    found = refused(spec, tmp_path)
    words = ("(", "is not of the form of a COCO annotation file: ", "is no COCO annotation file: ")
    assert found.startswith(tuple(f"{path} {word}" for word in words))
    assert expected.lower() in found.lower()


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    found = refused(COCO, tmp_path / "nowhere")
    assert f"coco: no {tmp_path / 'nowhere' / 'annotations' / 'instances_train2014.json'}: " in found
    assert "aevlp datasets coco --download" in found
    assert "pass the folder that it is below as --data-root" in found
    benchmark(tmp_path, content([(1, 2)]), "").joinpath("annotations", "instances_val2014.json").unlink()
    assert f"coco: no {tmp_path / 'annotations' / 'instances_val2014.json'}: " in refused(COCO, tmp_path)


def test_an_unknown_category_is_named_with_its_annotation(tmp_path: Path) -> None:
    path = benchmark(tmp_path, content([(1, 2)]), content([(1, 7), (2, 3), (2, 4)])) / "annotations"
    assert refused(COCO, tmp_path) == (
        f"{path / 'instances_val2014.json'}, annotation 2 of 3: it names category 3, which is not among its categories"
    )


@pytest.mark.parametrize(
    ("categories", "expected"),
    [
        (
            [*ANIMALS, {"id": 3, "name": "cat"}],
            "categories named twice: 'cat' (the ids 2 and 3), and annotations use both",
        ),
        ([{"id": 2, "name": "a\nb"}, {"id": 3, "name": "a\nb"}], r"categories named twice: 'a\nb'"),
        ([*ANIMALS, {"id": 2, "name": "cow"}], "the categories 'cat' and 'cow' have one id, 2"),
        ([*ANIMALS, {"id": "2", "name": "cow"}], "the categories 'cat' and 'cow' have one id, '2'"),
        ([], "the list of categories is empty or missing, expected at least one"),
        ([*ANIMALS, {"id": 1.5, "name": "cow"}], "the category 'cow' has the id 1.5, expected a whole number"),
    ],
)
def test_categories_that_cannot_serve(tmp_path: Path, categories: list[dict], expected: str) -> None:
    file = content([(1, 2), (1, 3)], categories)
    assert f"instances_train2014.json: {expected}" in refused(COCO, benchmark(tmp_path, file, file))


def test_splits_may_number_their_categories_differently(tmp_path: Path) -> None:
    renumbered = [{**category, "id": f"x{category['id']}"} for category in ANIMALS]
    images = load_images(COCO, benchmark(tmp_path, content([(1, 2)]), content([(1, "x90")], renumbered)))
    assert images.truth is not None
    assert images.truth.tolist() == [[0, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize("image", ["a.jpg", "", "-5", "\u0663", "1 "])
def test_an_image_that_has_no_number_is_not_ms_coco(tmp_path: Path, image: str) -> None:
    root = benchmark(tmp_path, content([(1, 2), (image, 2)]), content([]))
    assert f"found the image id {image!r}; use format: coco_json" in refused(COCO, root)


def test_files_without_any_annotation_list_no_image(tmp_path: Path) -> None:
    root = benchmark(tmp_path, content([]), content([]))
    assert refused(COCO, root) == f"coco: no image is listed in {root}, at least one is needed"


# Any other file in that form


def photos(annotations: list[tuple[Any, Any]], *images: tuple[Any, str], **more: Any) -> dict[str, Any]:
    return content(annotations, images=[{"id": number, "file_name": name} for number, name in images], **more)


def test_all_images_of_a_file_are_kept_in_its_order(tmp_path: Path) -> None:
    write(
        tmp_path / "train.json",
        photos([("b", 90), (5, 7), ("b", 2)], ("b", "z.jpg"), (9, "sub/a b.png"), ("5", "c.jpg")),
    )
    write(tmp_path / "test.json", photos([], (5, "d.jpg")))
    images = load_images(own(tmp_path), tmp_path)
    assert images.ids.tolist() == ["photos/z.jpg", "photos/sub/a b.png", "photos/c.jpg", "photos/d.jpg"]
    assert images.relative_paths() == images.ids.tolist()
    assert images.paths[1] == tmp_path / "photos" / "sub" / "a b.png"
    assert images.classes == ("zebra", "cat", "dog")
    parts = checked_splits(images)
    assert parts["train"].tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 0]]
    assert parts["test"].tolist() == [[0, 0, 0]]


def test_without_a_folder_images_lie_below_the_root(tmp_path: Path) -> None:
    write(tmp_path / "train.json", photos([(1, 2)], (1, "a.jpg")))
    images = load_images(own(tmp_path, annotations={"train": "train.json"}, images={}), tmp_path)
    assert images.ids.tolist() == ["a.jpg"]
    assert len(load_images(own(tmp_path, annotations={"train": "train.json"}, images={}), tmp_path, "test")) == 0


NAMES = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="./"), min_size=1, max_size=6)


@st.composite
def any_file(draw: st.DrawFn) -> tuple[list[tuple[Any, str]], list[dict[str, Any]]]:
    """Draw images and annotations with areas or boxes."""
    ids = st.integers(-5, 10**20) | st.text(max_size=4)
    images = draw(
        st.lists(st.tuples(ids, NAMES), min_size=1, max_size=6, unique_by=(lambda i: str(i[0]), lambda i: i[1]))
    )
    annotation = st.fixed_dictionaries(
        {"image_id": st.sampled_from([i for i, _ in images]), "category_id": st.sampled_from([2, "7", 90])},
        optional={
            "area": st.integers(1, 50) | st.none(),
            "bbox": st.lists(st.integers(1, 9), min_size=4, max_size=4),
            "iscrowd": st.integers(0, 1),
        },
    )
    return images, draw(st.lists(annotation, max_size=10))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(any_file())
def test_any_file_equals_a_slow_loop(tmp_path: Path, drawn: tuple) -> None:
    images, annotations = drawn
    listed = [{"id": number, "file_name": f"{name}.jpg"} for number, name in images]
    write(tmp_path / "train.json", {"images": listed, "annotations": annotations, "categories": ANIMALS})
    spec = own(tmp_path, annotations={"train": "train.json"}, images={})
    table = load_images(spec, tmp_path)
    areas = np.zeros((len(images), 3))
    present = np.zeros((len(images), 3), dtype=int)
    for annotation in annotations:
        row = [str(number) for number, _ in images].index(str(annotation["image_id"]))
        column = ["7", "2", "90"].index(str(annotation["category_id"]))
        box = annotation.get("bbox", [0, 0, 0, 0])
        present[row, column] = 1
        areas[row, column] = max(areas[row, column], annotation.get("area") or box[2] * box[3])
    assert table.ids.tolist() == [f"{name}.jpg" for _, name in images]
    assert table.truth is not None
    np.testing.assert_array_equal(table.truth, present)
    if any(p.any() and not (a * p).any() for a, p in zip(areas, present, strict=True)):
        with pytest.raises(AevlpError, match="the regime largest finds no box or area"):
            load_images(spec, tmp_path, simulate=checked({"regime": "largest"}))
        return
    largest = np.zeros_like(present)
    for row, (area, here) in enumerate(zip(areas, present, strict=True)):
        if here.any():
            largest[row, max(np.flatnonzero(here), key=lambda column: (area[column], -column))] = 1
    found = load_images(spec, tmp_path, simulate=checked({"regime": "largest"}))
    np.testing.assert_array_equal(found.observed, largest)


def test_the_largest_object_of_ms_coco(tmp_path: Path) -> None:
    train = content([(5, 7), (5, 2), (5, 7), (10, 90), (10, 2)])
    for annotation, area in zip(train["annotations"], [10, 15, 20, 3, 2.5], strict=True):
        annotation["area"] = area
    root = benchmark(tmp_path, train, content([]))
    images = load_images(COCO, root, simulate=checked({"regime": "largest"}))
    assert images.ids.tolist() == ["COCO_train2014_000000000010", "COCO_train2014_000000000005"]
    assert images.observed.tolist() == [[0, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize(
    ("file", "expected", "kind"),
    [
        (
            photos([(1, 2)], (1, "a.jpg"), (2, "../b.jpg")),
            "image 2: '../b.jpg' is not below the data set's folder",
            "outside the folder",
        ),
        (
            photos([(1, 2)], (1, "a.jpg"), (2, "/b.jpg")),
            "image 2: '/b.jpg' is not below the data set's folder",
            "outside the folder",
        ),
        (photos([(1, 2)], (1, "a.jpg"), (2, " ")), "image 2: no image is named, its path is needed", "bad row"),
        (
            content([(1, 2)], images=[{"id": 1, "file_name": "a.jpg"}, {"id": 2}]),
            "image 2: no image is named",
            "bad row",
        ),
        (
            photos([(1, 2)], (1, "a.jpg"), (2, "b\0")),
            "image 2: the image 'b\\x00' holds a character that no",
            "bad row",
        ),
        (photos([(1, 2)], (1, "a.jpg"), (2, "./a.jpg")), "image 2: './a.jpg' stands in ", "listed twice"),
        (
            photos([(1, 2)], (1, "a.jpg"), ("1", "b.jpg")),
            "image 2: its id '1' stands on an image before",
            "listed twice",
        ),
        (photos([(1, 2), (8, 2)], (1, "a.jpg")), "annotation 2 of 2: it names image 8, which is not among", "bad row"),
        (photos([(1, 2), (1, 8)], (1, "a.jpg")), "annotation 2 of 2: it names category 8, which is", "unknown class"),
    ],
)
def test_a_faulty_row_is_named_and_can_be_passed_over(tmp_path: Path, file: dict, expected: str, kind: str) -> None:
    path = write(tmp_path / "train.json", file)
    spec = own(tmp_path, annotations={"train": "train.json"})
    found = refused(spec, tmp_path)
    assert found.startswith(f"{path}, {expected}")
    faults: list[DataError] = []
    images = load_images(spec, tmp_path, report=faults.append)
    assert [(str(fault), fault.kind) for fault in faults] == [(found, kind)]
    assert images.ids.tolist() == ["photos/a.jpg"]
    assert images.truth is not None
    assert images.truth.tolist() == [[0, 1, 0]]


def test_annotations_of_an_image_that_is_left_out_go_with_it(tmp_path: Path) -> None:
    file = photos([(2, 7), (1, 2), (2, 90)], (1, "a.jpg"), (2, "../b.jpg"))
    write(tmp_path / "train.json", file)
    faults: list[DataError] = []
    images = load_images(own(tmp_path, annotations={"train": "train.json"}), tmp_path, report=faults.append)
    assert len(faults) == 1
    assert images.truth is not None
    assert images.truth.tolist() == [[0, 1, 0]]


def test_an_image_of_both_files_is_refused(tmp_path: Path) -> None:
    """It would be trained on and tested on."""
    write(tmp_path / "train.json", photos([(1, 2)], (1, "a.jpg")))
    write(tmp_path / "test.json", photos([(4, 2), (5, 7)], (4, "b.jpg"), (5, "a.jpg")))
    found = refused(own(tmp_path), tmp_path)
    assert f"{tmp_path / 'test.json'}, image 2: 'a.jpg' stands in {tmp_path / 'train.json'} too" in found
    faults: list[DataError] = []
    images = load_images(own(tmp_path), tmp_path, report=faults.append)
    assert [fault.kind for fault in faults] == ["in two splits"]
    assert images.ids.tolist() == ["photos/a.jpg", "photos/b.jpg"]
    apart = own(tmp_path, images={"train": "one", "test": "two"})
    assert load_images(apart, tmp_path).ids.tolist() == ["one/a.jpg", "two/b.jpg", "two/a.jpg"]


def test_annotations_without_a_list_of_images_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "train.json", content([(1, 2)]))
    found = refused(own(tmp_path, annotations={"train": "train.json"}), tmp_path)
    assert found == f"{path}: the list of images is empty or missing, and annotations name some"


def test_a_missing_file_of_ones_own_says_what_to_pass(tmp_path: Path) -> None:
    assert refused(own(tmp_path), tmp_path) == (
        f"photos: no {tmp_path / 'train.json'}: pass the folder that it is below as --data-root"
    )


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    text = content([(1, 2), (3, 2)])
    benchmark(tmp_path, text, text)
    plain = load_images(COCO, tmp_path)
    path = tmp_path / "annotations" / "instances_train2014.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_images(COCO, tmp_path).ids.tolist() == plain.ids.tolist()
