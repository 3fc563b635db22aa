"""Class names that nobody listed, of folders, categories and XML files: strange ones stop both stages, and listing settles it."""

import json
from pathlib import Path

import pytest
from dataset_files import entry
from picture_files import draw

from aevlp.pipeline.datasets import DataError, load_images
from aevlp.pipeline.errors import AevlpError

STRANGE = [
    (["dog", "dogs"], "classes that may be one: 'dog' and 'dogs'"),
    (["traffic light", "traffic_light"], "classes that may be one: 'traffic light' and 'traffic_light'"),
    (["cat", "none"], "classes that may stand for no label: 'none'"),
    (["cat", "No Finding"], "classes that may stand for no label: 'No Finding'"),
    (["cat", "n_a", "NaN"], "classes that may stand for no label: 'NaN'"),
]


def folders(root: Path, names: list[str]) -> str:
    for n, name in enumerate(names):
        draw(root, f"{name}/{n}.png")
    return "format: image_folder"


def coco(root: Path, names: list[str]) -> str:
    content = {
        "images": [{"id": n, "file_name": f"{n}.png"} for n in range(len(names))],
        "annotations": [{"id": n, "image_id": n, "category_id": n} for n in range(len(names))],
        "categories": [{"id": n, "name": name} for n, name in enumerate(names)],
    }
    for n in range(len(names)):
        draw(root, f"{n}.png")
    (root / "a.json").write_text(json.dumps(content))
    return "format: coco_json, annotations: {train: a.json}"


def voc(root: Path, names: list[str]) -> str:
    for n, name in enumerate(names):
        draw(root, f"{n}.png")
        (root / f"{n}.xml").write_text(
            f"<annotation><filename>{n}.png</filename><object><name>{name}</name></object></annotation>"
        )
    return "format: voc, splits: {train: default}"


@pytest.mark.parametrize("form", [folders, coco, voc])
@pytest.mark.parametrize(("names", "said"), STRANGE)
def test_strange_names_stop_and_listing_them_settles_it(tmp_path: Path, form, names: list[str], said: str) -> None:
    lines = form(tmp_path, names)
    with pytest.raises(DataError) as caught:
        load_images(entry(tmp_path, lines), tmp_path)
    assert caught.value.kind == "doubtful class"
    assert said in str(caught.value) and "list them under `classes`" in str(caught.value)
    listed = entry(tmp_path, f"{lines}, classes: {json.dumps(names)}")
    images = load_images(listed, tmp_path)
    assert images.classes == tuple(names)
    assert (images.observed == 1).sum(axis=0).tolist() == [1] * len(names)


@pytest.mark.parametrize("form", [folders, coco, voc])
@pytest.mark.parametrize("names", [["cat", "dog"], ["bus", "minibus", "bus stop"], ["normal", "glass", "grass"]])
def test_plain_names_are_taken_as_they_are(tmp_path: Path, form, names: list[str]) -> None:
    images = load_images(entry(tmp_path, form(tmp_path, names)), tmp_path)
    assert sorted(images.classes) == sorted(names)


def test_the_same_class_in_two_spellings_of_two_files_stops(tmp_path: Path) -> None:
    coco(tmp_path, ["dog", "cat"])
    (tmp_path / "a.json").rename(tmp_path / "b.json")
    content = json.loads((tmp_path / "b.json").read_text())
    content["categories"][1]["name"] = "Cat"
    content["images"] = [{"id": n, "file_name": f"new{n}.png"} for n in range(2)]
    (tmp_path / "a.json").write_text(json.dumps(content))
    for n in range(2):
        draw(tmp_path, f"new{n}.png")
    with pytest.raises(AevlpError, match=r"is 'Cat' in .*a\.json and 'cat' in .*b\.json, and neither file has"):
        load_images(entry(tmp_path, "format: coco_json, annotations: {train: a.json, test: b.json}"), tmp_path)


@pytest.mark.parametrize("form", [folders, coco, voc])
def test_names_that_differ_only_in_case_are_to_be_written_alike(tmp_path: Path, form) -> None:
    """No prompt tells them apart, so that listing them is not what is advised; who lists them in a manifest may."""
    lines = form(tmp_path, ["cat", "Cat"])
    with pytest.raises(DataError, match=r"classes that may be one: 'Cat' and 'cat': write each class in one way$"):
        load_images(entry(tmp_path, lines), tmp_path)
    assert load_images(entry(tmp_path, f'{lines}, classes: ["cat", "Cat"]'), tmp_path).classes == ("cat", "Cat")
