"""The PASCAL VOC reader: small devkits written here, the published formatting of one, and the real lists of 2007."""

import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aevlp.pipeline.datasets import ImageTable, load_images
from aevlp.pipeline.datasets.formatted import export
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.labels.observation import checked
from aevlp.pipeline.labels.single_positive import observe
from aevlp.pipeline.manifest.formats import DatasetSpec, FormattedSpec
from aevlp.pipeline.manifest.load import load_manifest
from goldens import load

GOLDEN = load("formats")["voc"]
LISTS_2007 = Path(__file__).parent / "data" / "voc2007_lists.tar.xz"
# Images with at least one object of a class, in the order of the classes: the statistics on the challenge's own page.
IMAGES_2007 = {
    "train": [112, 116, 180, 81, 139, 97, 376, 163, 224, 69, 97, 203, 139, 120, 1025, 133, 48, 111, 127, 128],
    "test": [126, 127, 150, 100, 105, 89, 337, 174, 221, 72, 103, 218, 148, 125, 983, 112, 48, 118, 134, 128],
}


def voc(*classes: str, **changes: object) -> DatasetSpec:
    """Return the packaged entry with other classes."""
    return load_manifest()["voc"].model_copy(update={"classes": classes, **changes})


def write_lists(main: Path, lists: Mapping[str, str]) -> None:
    main.mkdir(parents=True, exist_ok=True)
    for name, text in lists.items():
        (main / f"{name}.txt").write_text(text)


def devkit(root: Path, year: str = "VOC2012", **lists: str) -> Path:
    """Write lists such as cat_train and return the folder to pass as the root."""
    write_lists(root / "VOCdevkit" / year / "ImageSets" / "Main", lists)
    return root


def slow_parse(main: Path, classes: tuple[str, ...], image_set: str) -> tuple[list[str], list[list[int]]]:
    """Return ids and label rows, one look-up an image and class (protocol, section 2)."""
    flags = {
        (line.split()[0], name): line.split()[-1]
        for name in classes
        for line in (main / f"{name}_{image_set}.txt").read_text().split("\n")
        if line.strip()
    }
    ids = sorted({image for (image, _), flag in flags.items() if flag == "1"})
    return ids, [[int(flags.get((image, name)) == "1") for name in classes] for image in ids]


@pytest.fixture
def small(tmp_path: Path) -> ImageTable:
    root = devkit(
        tmp_path,
        cat_train="2008_02 -1\n2008_01  1\n2007_09  0\n2009_05  1\n",
        dog_train="2008_02 -1\n2008_01  1\n2007_09  1\n2009_05 -1\n",
        cat_val="2007_11  0\n2007_10 -1\n",
        dog_val="2007_11  0\n2007_10  1\n",
    )
    return load_images(voc("cat", "dog"), root)


def test_training_images_come_first_and_each_set_is_sorted(small: ImageTable) -> None:
    assert small.ids.tolist() == ["2007_09", "2008_01", "2009_05", "2007_10"]
    assert small.split.tolist() == ["train", "train", "train", "test"]
    assert small.classes == ("cat", "dog")


def test_only_the_flag_1_counts_and_images_without_it_are_left_out(small: ImageTable) -> None:
    assert small.truth is not None
    assert small.truth.tolist() == [[0, 1], [1, 1], [1, 0], [0, 1]]
    assert small.truth.dtype == small.observed.dtype == np.int8
    assert not {"2008_02", "2007_11"} & set(small.ids)  # absent, and difficult alone


def test_images_lie_in_jpegimages(small: ImageTable, tmp_path: Path) -> None:
    assert small.paths[3] == tmp_path / "VOCdevkit" / "VOC2012" / "JPEGImages" / "2007_10.jpg"
    assert small.relative_paths()[0] == "VOCdevkit/VOC2012/JPEGImages/2007_09.jpg"


def test_each_set_is_observed_on_its_own(small: ImageTable) -> None:
    assert small.truth is not None
    np.testing.assert_array_equal(small.observed[:3], observe(small.truth[:3]))
    np.testing.assert_array_equal(small.observed[3:], observe(small.truth[3:]))


def test_a_split_alone_is_its_part_of_the_whole(tmp_path: Path, small: ImageTable) -> None:
    for split, rows in (("train", slice(3)), ("test", slice(3, None))):
        part = load_images(voc("cat", "dog"), tmp_path, split)
        assert part.ids.tolist() == small.ids[rows].tolist()
        assert set(part.split) == {split}
        assert part.truth is not None and small.truth is not None
        np.testing.assert_array_equal(part.truth, small.truth[rows])
        np.testing.assert_array_equal(part.observed, small.observed[rows])
    with pytest.raises(AevlpError, match="split must be train, val or test, found 'holdout'"):
        load_images(voc("cat", "dog"), tmp_path, "holdout")


def test_an_image_in_both_lists_belongs_to_the_training_set(tmp_path: Path) -> None:
    root = devkit(tmp_path, cat_train="b 1\na 1\nc -1\n", cat_val="d 1\nb 1\nc 1\n")
    images = load_images(voc("cat"), root)
    assert images.ids.tolist() == ["a", "b", "c", "d"]
    assert images.split.tolist() == ["train", "train", "test", "test"]


def test_ids_are_sorted_as_text(tmp_path: Path) -> None:
    root = devkit(tmp_path, cat_train="9 1\n58 1\n100 1\nB 1\na 1\n", cat_val="")
    assert load_images(voc("cat"), root).ids.tolist() == ["100", "58", "9", "B", "a"]


def test_the_first_field_is_the_id_and_the_last_the_flag(tmp_path: Path) -> None:
    root = devkit(tmp_path, cat_train="a   1\r\n\r\nb 7 x 1\r\nc 1 -1\r\n   \n", cat_val="")
    assert load_images(voc("cat"), root).ids.tolist() == ["a", "b"]


def test_the_published_formatting_is_reproduced(tmp_path: Path) -> None:
    lists = json.loads(str(GOLDEN["files_json"]))
    write_lists(
        tmp_path / "VOCdevkit" / "VOC2012" / "ImageSets" / "Main",
        {"{1}_{0}".format(*key.split("|")): text for key, text in lists.items()},
    )
    images = load_images(load_manifest()["voc"], tmp_path)
    for split, published in (("train", "train"), ("test", "val")):
        rows = images.split == split
        assert images.truth is not None
        np.testing.assert_array_equal(images.truth[rows], GOLDEN[f"{published}_labels"])
        assert [path.name for path in images.paths[rows]] == GOLDEN[f"{published}_images"].tolist()


def formatted(images: ImageTable, folder: Path) -> dict[str, np.ndarray]:
    """Return the arrays that the export of a table writes, such as train_labels, read by NumPy alone."""
    paths = export(images, folder)
    return {path.stem.removeprefix("formatted_"): np.load(path, allow_pickle=False) for path in paths}


def read_back(images: ImageTable, folder: Path) -> ImageTable:
    """Return the table that `format: formatted` makes of an export below the data set's folder."""
    entry = FormattedSpec(
        title="Again",
        format="formatted",
        classes=images.classes,
        folder=folder.relative_to(images.root).as_posix(),
        images=images.image_root.relative_to(images.root).as_posix(),
    )
    return load_images(entry.placed("again", images.root / "mine.yaml"), images.root)


def test_the_export_equals_the_published_files_and_reads_back(tmp_path: Path) -> None:
    lists = json.loads(str(GOLDEN["files_json"]))
    write_lists(
        tmp_path / "VOCdevkit" / "VOC2012" / "ImageSets" / "Main",
        {"{1}_{0}".format(*key.split("|")): text for key, text in lists.items()},
    )
    images = load_images(load_manifest()["voc"], tmp_path)
    arrays = formatted(images, tmp_path / "out")
    assert len(arrays) == 6
    for split in ("train", "val"):
        for part in ("images", "labels"):
            golden = GOLDEN[f"{split}_{part}"]
            assert arrays[f"{split}_{part}"].dtype == golden.dtype
            np.testing.assert_array_equal(arrays[f"{split}_{part}"], golden)
        observed = observe(GOLDEN[f"{split}_labels"])
        assert arrays[f"{split}_labels_obs"].dtype == np.float64
        np.testing.assert_array_equal(arrays[f"{split}_labels_obs"], observed)
    again = read_back(images, tmp_path / "out")
    assert again.paths.tolist() == images.paths.tolist()
    assert again.split.tolist() == images.split.tolist()
    np.testing.assert_array_equal(again.observed, images.observed)
    np.testing.assert_array_equal(np.asarray(again.truth), np.asarray(images.truth))


def lists_of_2007(root: Path) -> Path:
    """Unpack the real lists below `root` and return the folder that holds ImageSets."""
    folder = root / "VOCdevkit" / "VOC2007"
    with tarfile.open(LISTS_2007) as lists:
        lists.extractall(folder, filter="data")
    return folder


def test_the_export_of_the_real_lists_equals_a_slow_parse(tmp_path: Path) -> None:
    main = lists_of_2007(tmp_path) / "ImageSets" / "Main"
    spec = load_manifest()["voc"]
    images = load_images(spec, tmp_path)
    arrays = formatted(images, tmp_path / "out")
    for split, size in (("train", 2501), ("val", 2510)):
        ids, labels = slow_parse(main, tuple(spec.classes or ()), split)
        assert len(ids) == size
        assert arrays[f"{split}_images"].tolist() == [f"{name}.jpg" for name in ids]
        np.testing.assert_array_equal(arrays[f"{split}_labels"], labels)
        np.testing.assert_array_equal(arrays[f"{split}_labels_obs"], observe(np.array(labels)))
        assert arrays[f"{split}_labels"].dtype == arrays[f"{split}_labels_obs"].dtype == np.float64
    again = read_back(images, tmp_path / "out")
    assert again.paths.tolist() == images.paths.tolist()
    np.testing.assert_array_equal(again.observed, images.observed)


def test_the_real_lists_of_2007(tmp_path: Path) -> None:
    folder = lists_of_2007(tmp_path)
    spec = load_manifest()["voc"]
    classes = tuple(spec.classes or ())
    images = load_images(spec, tmp_path)  # the manifest names 2012: the one year that is there is taken
    assert images.truth is not None
    for split, image_set, size in (("train", "train", 2501), ("test", "val", 2510)):
        rows = images.split == split
        ids, labels = slow_parse(folder / "ImageSets" / "Main", classes, image_set)
        assert images.ids[rows].tolist() == ids
        np.testing.assert_array_equal(images.truth[rows], labels)
        assert images.truth[rows].sum(axis=0).tolist() == IMAGES_2007[split]
        assert rows.sum() == size
    assert (images.observed == 1).sum(axis=1).tolist() == [1] * len(images)
    assert (images.truth[images.observed == 1] == 1).all()
    assert images.paths[0].parent == folder / "JPEGImages"


FLAGS = st.dictionaries(st.sampled_from("abcdefgh"), st.lists(st.sampled_from([-1, 0, 1]), min_size=3, max_size=3))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FLAGS, FLAGS)
def test_any_lists_equal_a_slow_parse(tmp_path: Path, train: dict[str, list[int]], test: dict[str, list[int]]) -> None:
    classes = ("bird", "cat", "dog")
    lists = {
        f"{name}_{image_set}": "".join(f"{image} {flags[n]:2d}\n" for image, flags in content.items())
        for image_set, content in (("train", train), ("val", test))
        for n, name in enumerate(classes)
    }
    root = devkit(tmp_path, **lists)
    main = root / "VOCdevkit" / "VOC2012" / "ImageSets" / "Main"
    ids, labels = slow_parse(main, classes, "train")
    test_ids, test_labels = slow_parse(main, classes, "val")
    fresh = [n for n, image in enumerate(test_ids) if image not in ids]
    ids, labels = ids + [test_ids[n] for n in fresh], labels + [test_labels[n] for n in fresh]
    if not ids:
        with pytest.raises(AevlpError, match="mark no image as showing any class"):
            load_images(voc(*classes), root)
        return
    images = load_images(voc(*classes), root)
    assert images.ids.tolist() == ids
    assert images.truth is not None
    np.testing.assert_array_equal(images.truth, labels)


def test_the_sets_are_those_of_the_manifest(tmp_path: Path) -> None:
    root = devkit(tmp_path, cat_trainval="a 1\nb 1\n", cat_test="c 1\n")
    images = load_images(voc("cat", splits={"train": "trainval", "test": "test"}), root)
    assert images.split.tolist() == ["train", "train", "test"]
    images = load_images(voc("cat", splits={"test": "test"}), root)
    assert images.ids.tolist() == ["c"]
    assert images.split.tolist() == ["test"]


def test_the_year_of_the_manifest_goes_before_another(tmp_path: Path) -> None:
    for year in ("VOC2007", "VOC2012"):
        devkit(tmp_path, year, cat_train=f"{year} 1\n", cat_val="")
    assert load_images(voc("cat"), tmp_path).ids.tolist() == ["VOC2012"]


def test_a_missing_folder_says_where_it_looked_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(AevlpError) as caught:
        load_images(load_manifest()["voc"], tmp_path / "nowhere")
    text = str(caught.value)
    assert f"voc: no {tmp_path / 'nowhere' / 'VOCdevkit' / 'VOC2012' / 'ImageSets' / 'Main'}" in text
    assert "VOCtrainval_11-May-2012.tar" in text
    assert text.endswith("or pass the folder that it is below as --data-root")


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    root = devkit(tmp_path, cat_train="a 1\n", dog_train="a 1\n", cat_val="b 1\n")
    with pytest.raises(AevlpError, match=r"no list .*dog_val\.txt: the image set val needs one for each of 2 classes"):
        load_images(voc("cat", "dog"), root)


@pytest.mark.parametrize("line", ["2008_01", "2008_01 2", "2008_01 yes", "2008_01 +1", "2008_01 1.0"])
def test_a_malformed_line_is_named_with_file_and_number(tmp_path: Path, line: str) -> None:
    root = devkit(tmp_path, cat_train=f"a 1\n\n{line}\nb 1\n", cat_val="")
    with pytest.raises(
        AevlpError, match=r"cat_train\.txt, line 3: expected an image id and 1, 0 or -1, found"
    ) as caught:
        load_images(voc("cat"), root)
    assert repr(line) in str(caught.value)


def test_a_list_that_is_no_text_is_named(tmp_path: Path) -> None:
    root = devkit(tmp_path, cat_train="", cat_val="")
    (tmp_path / "VOCdevkit" / "VOC2012" / "ImageSets" / "Main" / "cat_train.txt").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(AevlpError, match=r"cat_train\.txt"):
        load_images(voc("cat"), root)


def test_equal_data_have_equal_fingerprints(tmp_path: Path) -> None:
    root = devkit(tmp_path, cat_train="a 1\nb 1\n", cat_val="c 1\n")
    found = {load_images(voc("cat"), root).fingerprint()}
    assert found == {load_images(voc("cat"), root).fingerprint()}
    found.add(load_images(voc("cat", splits={"train": "train"}), root).fingerprint())  # an image fewer
    (root / "VOCdevkit" / "VOC2012" / "JPEGImages").mkdir()
    (root / "VOCdevkit" / "VOC2012" / "JPEGImages" / "a.jpg").write_bytes(b"x")  # a file that was not there
    found.add(load_images(voc("cat"), root).fingerprint())
    devkit(tmp_path, dog_train="a 1\nb -1\n", dog_val="c -1\n")
    found.add(load_images(voc("cat", "dog"), root).fingerprint())  # another class
    devkit(tmp_path, dog_train="a -1\nb 1\n")
    found.add(load_images(voc("cat", "dog"), root).fingerprint())  # another label
    assert len(found) == 5


# The size of objects, from Annotations/


LARGEST = checked({"regime": "largest"})


def annotate(root: Path, **images: list[tuple[str, tuple[float, float, float, float]]]) -> Path:
    """Write an annotation an image from its objects' classes and boxes (left, upper, right, lower); return the folder."""
    folder = root / "VOCdevkit" / "VOC2012" / "Annotations"
    folder.mkdir(parents=True, exist_ok=True)
    for image, objects in images.items():
        parts = [
            f"<object><name>{name}</name><difficult>0</difficult>"
            f"<part><name>cat</name><bndbox><xmin>0</xmin><ymin>0</ymin><xmax>999</xmax><ymax>999</ymax></bndbox></part>"
            f"<bndbox><ymax>{lower}</ymax><xmin>{left}</xmin><xmax>{right}</xmax><ymin>{upper}</ymin></bndbox></object>"
            for name, (left, upper, right, lower) in objects
        ]
        text = (
            f"<annotation><filename>{image}.jpg</filename><size><width>500</width></size>{''.join(parts)}</annotation>"
        )
        (folder / f"{image}.xml").write_text(text)
    return folder


def test_the_largest_object_is_observed(tmp_path: Path) -> None:
    """The largest single box counts, not a class's sum; parts of objects and classes of no list do not; ties to the first."""
    root = devkit(
        tmp_path,
        bird_train="a 1\nb -1\nc 0\nd 1\n",
        cat_train="a 1\nb 1\nc 1\nd -1\n",
        dog_train="a 1\nb 1\nc 1\nd 1\n",
        bird_val="e -1\n",
        cat_val="e -1\n",
        dog_val="e 1\n",
    )
    annotate(
        root,
        a=[("cat", (0, 0, 6, 10)), ("cat", (0, 0, 7, 10)), ("bird", (3, 4, 13, 14)), ("cat", (9, 9, 10, 80))],
        b=[("dog", (0, 0, 10, 10)), ("cat", (40, 20, 20.5, 80)), ("cat", (10, 0, 20, 10)), ("sofa", (0, 0, 99, 99))],
        c=[("bird", (0, 0, 90, 90)), ("dog", (1, 1, 5, 5.5)), ("cat", (1, 1, 5, 5))],
        d=[("dog", (10, 10, 20.5, 30)), ("bird", (0, 0, 10, 20))],
        e=[("dog", (0, 0, 1, 1))],
    )
    images = load_images(voc("bird", "cat", "dog"), root, simulate=LARGEST)
    assert images.ids.tolist() == list("abcde")
    assert images.observed.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]]


BOXES = st.lists(
    st.tuples(
        st.sampled_from(["bird", "cat", "dog", "ox"]), st.tuples(*[st.integers(0, 30)] * 2, *[st.integers(1, 9)] * 2)
    ),
    max_size=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(BOXES, min_size=1, max_size=4))
def test_the_largest_of_any_boxes_equals_a_slow_loop(tmp_path: Path, pictures: list) -> None:
    classes = ("bird", "cat", "dog")
    shown = {f"i{n}": boxes for n, boxes in enumerate(pictures) if any(name in classes for name, _ in boxes)}
    lists = {
        f"{name}_train": "".join(
            f"{i} {1 if any(c == name for c, _ in boxes) else -1:2d}\n" for i, boxes in shown.items()
        )
        for name in classes
    }
    root = devkit(tmp_path, **lists, **{f"{name}_val": "v 1\n" for name in classes})
    objects = {i: [(c, (x, y, x + w, y + h)) for c, (x, y, w, h) in boxes] for i, boxes in shown.items()}
    annotate(root, v=[("dog", (0, 0, 1, 1))], **objects)
    expected = []
    for boxes in shown.values():
        known = [(w * h, -classes.index(c)) for c, (_, _, w, h) in boxes if c in classes]
        expected.append([int(n == -max(known)[1]) for n in range(3)])
    images = load_images(voc(*classes), root, simulate=LARGEST)
    assert images.ids.tolist() == [*shown, "v"]
    assert images.observed.tolist() == [*expected, [0, 0, 1]]


def test_annotations_are_not_read_unless_sizes_are_asked_for(tmp_path: Path) -> None:
    root = devkit(tmp_path, cat_train="a 1\n", cat_val="")
    assert load_images(voc("cat"), root).observed.tolist() == [[1]]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "No such file"),
        (b"", "no element found"),
        (b"<annotation><object>", "no element found"),
        (b"\xff\xd8\xff\xe0", "not well-formed"),
        (b"<annotation><object><name>cat</name><bndbox><xmin>left</xmin></bndbox></object></annotation>", "'left'"),
    ],
)
def test_an_annotation_that_cannot_be_read_is_one_clear_line(
    tmp_path: Path, content: bytes | None, expected: str
) -> None:
    root = devkit(tmp_path, cat_train="a 1\n", cat_val="")
    path = annotate(root) / "a.xml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AevlpError) as caught:
        load_images(voc("cat"), root, simulate=LARGEST)
    text = str(caught.value)
    assert f"cannot read the boxes in {path}: " in text
    assert expected in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize("objects", ["", "<object><name>dog</name></object>", "<object><name>cat</name></object>"])
def test_an_image_without_a_box_of_its_classes_is_named(tmp_path: Path, objects: str) -> None:
    root = devkit(tmp_path, cat_train="a 1\nb 1\n", cat_val="")
    folder = annotate(root, a=[("cat", (0, 0, 5, 5))])
    (folder / "b.xml").write_text(f"<annotation>{objects}</annotation>")
    with pytest.raises(
        AevlpError, match="finds no box or area of any object in 1 images that show something, first row 1"
    ):
        load_images(voc("cat"), root, simulate=LARGEST)
