"""What goes out to Label Studio, CVAT, FiftyOne and a CSV, is answered there, and comes back as the same answers."""

import csv
import json
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import call
from hypothesis import given, settings
from hypothesis import strategies as st
from test_label_table import CLASSES, with_images

from aevlp import review
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.review.answers import AnswerStore, answers_file
from aevlp.pipeline.score_cache import ScoreCache
from aevlp.stages.review.exchange import FORMATS, read_answers
from aevlp.stages.review.review import Exported

Said = dict[tuple[str, str], int]  # image and class -> 1, -1, or 0 for a pair that nobody answers


def asked_in(path: Path, name: str, cache: ScoreCache) -> list[tuple[str, str]]:
    """Return the pairs that stand in a file, read as its tool would."""
    id_of = dict(zip(cache.paths.tolist(), cache.ids.tolist(), strict=True))
    if name == "label-studio":
        tasks = json.loads(path.read_text())
        return [(task["data"]["aevlp_image"], label) for task in tasks for label in task["data"]["aevlp_asked"]]
    if name == "cvat":
        images = ElementTree.parse(path).getroot().iter("image")
        return [(id_of[str(image.get("name"))], str(tag.get("label"))) for image in images for tag in image.iter("tag")]
    if name == "fiftyone":
        samples = json.loads((path / "samples.json").read_text())["samples"]
        return [(s["aevlp_image"], one["label"]) for s in samples for one in s["questions"]["classifications"]]
    with path.open(newline="") as file:
        return [(row["image"], row["class"]) for row in csv.DictReader(file)]


def answered(path: Path, name: str, said: Said, cache: ScoreCache) -> Path:
    """Return what a tool gives back, where a person said this of the pairs; of an image all pairs are answered, or none."""
    id_of = dict(zip(cache.paths.tolist(), cache.ids.tolist(), strict=True))
    back = path.with_name(f"back{'' if name == 'fiftyone' else Path(FORMATS[name].ending).suffix}")
    if name == "label-studio":
        tasks = []
        for number, task in enumerate(json.loads(path.read_text())):
            image, asked = task["data"]["aevlp_image"], task["data"]["aevlp_asked"]
            chosen = [label for label in asked if said[image, label] == 1]
            value = {"value": {"choices": chosen}, "from_name": "classes", "to_name": "image", "type": "choices"}
            done = {"result": [value] if chosen else [], "was_cancelled": False, "completed_by": 1}
            known = any(said[image, label] for label in asked)
            tasks.append({"id": number, "data": task["data"], "annotations": [done] if known else []})
        back.write_text(json.dumps(tasks))
    elif name == "cvat":
        tree = ElementTree.parse(path)
        for image in tree.getroot().iter("image"):
            for tag in image.iter("tag"):
                code = said[id_of[str(image.get("name"))], str(tag.get("label"))]
                attribute = next(of for of in tag.iter("attribute") if of.get("name") == "answer")
                attribute.text = {1: "yes", -1: "no", 0: "asked"}[code]
        tree.write(back, encoding="utf-8")
    elif name == "fiftyone":
        back.mkdir()
        content = json.loads((path / "samples.json").read_text())
        for sample in content["samples"]:
            for one in sample["questions"]["classifications"]:
                code = said[sample["aevlp_image"], one["label"]]
                one["tags"] = [{1: "yes", -1: "no"}[code]] if code else []
        (back / "samples.json").write_text(json.dumps(content))
    else:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        with back.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            for row in rows:
                code = said[row["image"], row["class"]]
                writer.writerow({**row, "answer": {1: "yes", -1: "no", 0: ""}[code]})
    return back


@settings(max_examples=16, deadline=None)
@given(
    name=st.sampled_from(list(FORMATS)),
    classes=st.lists(st.sampled_from(CLASSES), min_size=2, max_size=5, unique=True),
    seed=st.integers(0, 50),
)
def test_what_goes_out_comes_back_equal(
    tmp_path_factory: pytest.TempPathFactory, name: str, classes: list[str], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("exchange")
    cache = with_images(folder, classes, seed=seed)
    out = review(cache, export=name, count=9)
    assert isinstance(out, Exported) and out.file.exists()
    asked = asked_in(out.file, name, cache)
    assert len(asked) == len(set(asked)) == out.pairs <= 9
    rows = {image: row for row, image in enumerate(cache.ids.tolist())}
    assert all(cache.observed[rows[image], classes.index(label)] == 0 for image, label in asked)
    assert all(cache.split[rows[image]] == "train" for image, _ in asked)
    random = np.random.default_rng(seed)
    some = {image: int(random.integers(3)) for image, _ in asked}  # nobody gets to a third of the images
    said: Said = {pair: int(random.choice([-1, 1])) if some[pair[0]] else 0 for pair in asked}
    known = {pair: code for pair, code in said.items() if code}
    back = answered(out.file, name, said, cache)
    if not known:
        with pytest.raises(AevlpError, match="holds no answer"):
            review(cache, answers=back)
        return
    found = review(cache, answers=back)
    with AnswerStore(answers_file(folder / "x.h5")) as store:
        assert {(of.image, of.label): of.code for of in store.current()} == known
        assert found.to_json()["given"] == len(known)
    assert review(cache, answers=back).to_json()["given"] == 0  # known already
    asks = (cache.split == "train") & (cache.status == "ok")
    open_pairs = {(str(cache.ids[row]), classes[c]) for row, c in np.argwhere((cache.observed == 0) & asks[:, None])}
    if not open_pairs - set(known):
        with pytest.raises(AevlpError, match="no pair of a training image"):
            review(cache, export=name, to=folder / f"again{FORMATS[name].ending}", count=99)
        return
    again = review(cache, export=name, to=folder / f"again{FORMATS[name].ending}", count=99)
    assert isinstance(again, Exported)
    assert not set(asked_in(again.file, name, cache)) & set(known)


def test_a_class_that_was_not_asked_is_an_answer_only_where_it_was_chosen(tmp_path: Path) -> None:
    cache = with_images(tmp_path, ["a", "b", "c", "d"])
    image = str(cache.ids[0])
    data = {"image": "x", "aevlp_image": image, "aevlp_asked": ["a", "b"], "aevlp_size": None}
    chosen = [{"type": "choices", "value": {"choices": ["a", "d"]}}]
    tasks = [
        {"id": 1, "data": data, "annotations": [{"result": chosen}]},
        {"id": 2, "data": {**data, "aevlp_image": str(cache.ids[1])}, "annotations": [{"was_cancelled": True}]},
        {"id": 3, "data": {**data, "aevlp_image": str(cache.ids[2])}, "annotations": []},
    ]
    full, small = tmp_path / "full.json", tmp_path / "min.json"
    full.write_text(json.dumps(tasks))
    one = {**data, "id": 1, "annotator": 1, "annotation_id": 1, "lead_time": None}  # as JSON_MIN has it
    none = {
        **data,
        "aevlp_image": str(cache.ids[2]),
        "id": 3,
        "annotator": None,
        "annotation_id": None,
    }  # nobody annotated it
    small.write_text(json.dumps([{**one, "classes": {"choices": ["a", "d"]}}, none]))
    for file in (full, small):
        answers, name = read_answers(file, cache)
        assert name == "label-studio"
        assert {(of.image, of.label): of.code for of in answers} == {(image, "a"): 1, (image, "b"): -1, (image, "d"): 1}


def test_label_studios_interface_has_each_class_and_predictions_fit_it(tmp_path: Path) -> None:
    cache = with_images(tmp_path, CLASSES[:5])
    out = review(cache, export="label-studio", count=20)
    assert isinstance(out, Exported)
    view = ElementTree.parse(out.file.with_suffix(".xml")).getroot()
    choices = next(view.iter("Choices"))
    assert [choice.get("value") for choice in choices] == CLASSES[:5] and choices.get("choice") == "multiple"
    image = next(view.iter("Image"))
    for task in json.loads(out.file.read_text()):
        assert task["data"][str(image.get("value")).removeprefix("$")].startswith("/data/local-files/?d=photos/images/")
        [prediction] = task["predictions"]
        [result] = prediction["result"]
        assert (result["from_name"], result["to_name"]) == (choices.get("name"), image.get("name"))
        assert set(result["value"]["choices"]) <= set(CLASSES[:5]) and 0 <= prediction["score"] <= 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("gone.json", None, "no file"),
        ("a.json", "", "is empty"),
        ("a.json", '[{"id": 7, "da', "cannot read .* as JSON"),
        ("a.json", "[" * 99_999, "cannot read .* as JSON"),
        ("a.json", "[]", "holds no answer"),
        ("a.json", "{}", "found an empty object"),
        ("a.json", '{"images": [], "annotations": [], "categories": []}', "looks like annotations of COCO"),
        ("a.json", '{"samples": [{"filepath": "x.jpg"}]}', "sample 1: it was not written by"),
        ("a.json", '{"samples": 7}', "whose samples.json has a list of samples"),
        ("a.json", '[{"id": 7, "data": {"image": "x"}, "annotations": []}]', "task 7: it was not written by"),
        ("a.xml", "<annotation/>", "looks like an annotation of PASCAL VOC"),
        ("a.xml", "<annotations><track/></annotations>", "looks like CVAT for video"),
        ("a.xml", "<annotations><image", "cannot read"),
        ("a.xml", "", "cannot read"),
        ("a.zip", "PK", "cannot read"),
        ("a.xml", '<!DOCTYPE a [<!ENTITY b "b">]><annotations>&b;</annotations>', "declares the entity"),
        (
            "a.xml",
            '<annotations><image name="elsewhere.jpg"><tag label="a" source="manual"/></image></annotations>',
            "has no image",
        ),
        ("a.txt", "yes", "expected Label Studio's"),
        ("a.csv", "image,class,answer\nelsewhere.jpg,a,yes\n", "1 image that"),
        ("a.csv", "image,class,answer\nimage_0000.jpg,zebra,yes\n", "classes that .* has not: zebra"),
        ("a.csv", "image,class,answer\nimage_0000.jpg,a,\n", "holds no answer"),
    ],
)
def test_what_is_no_file_of_answers_changes_nothing(tmp_path: Path, name: str, content: str | None, said: str) -> None:
    cache = with_images(tmp_path, ["a", "b", "c"])
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(AevlpError, match=said):
        review(cache, answers=tmp_path / name)
    assert not answers_file(tmp_path / "x.h5").exists()


def test_two_annotators_that_disagree_are_named(tmp_path: Path) -> None:
    cache = with_images(tmp_path, ["a", "b"])
    data = {"aevlp_image": str(cache.ids[0]), "aevlp_asked": ["a"], "aevlp_size": None}
    yes = {"result": [{"type": "choices", "value": {"choices": ["a"]}}]}
    (tmp_path / "a.json").write_text(json.dumps([{"id": 5, "data": data, "annotations": [yes, {"result": []}]}]))
    with pytest.raises(AevlpError, match=r"task 5: image_0000\.jpg and a have another answer before"):
        review(cache, answers=tmp_path / "a.json")


def test_what_label_studio_cannot_say_is_no_answer(tmp_path: Path) -> None:
    """Without a choice anywhere JSON_MIN is the same for another control, and other regions say nothing of classes."""
    cache = with_images(tmp_path, ["a", "b"])
    data = {"aevlp_image": str(cache.ids[0]), "aevlp_asked": ["a"], "aevlp_size": None}
    (tmp_path / "min.json").write_text(json.dumps([{**data, "id": 1, "annotation_id": 1, "renamed": "a"}]))
    with pytest.raises(AevlpError, match="JSON_MIN does not say whether none was made: export as JSON"):
        review(cache, answers=tmp_path / "min.json")
    box = {"type": "rectanglelabels", "value": {"rectanglelabels": ["a"], "x": 1}}
    (tmp_path / "a.json").write_text(json.dumps([{"id": 4, "data": data, "annotations": [{"result": [box]}]}]))
    with pytest.raises(AevlpError, match="task 4: expected an annotation of choices, found rectanglelabels"):
        review(cache, answers=tmp_path / "a.json")


def test_what_cvat_gives_back_is_a_zip(tmp_path: Path) -> None:
    cache = with_images(tmp_path, ["a", "b", "c"])
    image = f'<image id="0" name="{cache.paths[0]}"><tag label="b" source="manual"/></image>'
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("annotations.xml", f"<annotations>{image}</annotations>")
    answers, name = read_answers(tmp_path / "a.zip", cache)
    assert name == "cvat" and [(of.image, of.label, of.code) for of in answers] == [(cache.ids[0], "b", 1)]
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("train.txt", "")
    with pytest.raises(AevlpError, match=r"there is no annotations\.xml in it"):
        read_answers(tmp_path / "b.zip", cache)


def test_a_task_of_cvat_can_be_made_of_what_stands_beside_the_annotations(tmp_path: Path) -> None:
    cache = with_images(tmp_path, CLASSES[:4])
    out = review(cache, export="cvat", count=5)
    assert isinstance(out, Exported)
    labels = json.loads(out.file.with_suffix(".labels.json").read_text())
    assert [label["name"] for label in labels] == CLASSES[:4] and {label["type"] for label in labels} == {"tag"}
    values = {a["name"]: a["values"] for label in labels for a in label["attributes"]}
    images = list(ElementTree.parse(out.file).getroot().iter("image"))
    with zipfile.ZipFile(out.file.with_suffix(".images.zip")) as archive:
        assert sorted(archive.namelist()) == sorted(str(image.get("name")) for image in images)
        for name in archive.namelist():
            assert archive.read(name) == (tmp_path / "photos" / name).read_bytes()
    for image in images:
        for tag in image.iter("tag"):
            said = {str(of.get("name")): of.text for of in tag.iter("attribute")}
            assert said.keys() == values.keys() and said["answer"] in values["answer"]


def test_images_that_a_tool_cannot_open_and_options_that_contradict(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    cache = with_images(tmp_path, ["a", "b", "c"])
    for path in (tmp_path / "photos" / "images").iterdir():
        path.unlink()
    with pytest.raises(AevlpError, match="is no file that cvat could open"):
        review(cache, export="cvat")
    assert call("review", cache.path, "--export", "csv") == 0
    assert "fill in the column answer" in capsys.readouterr().out
    assert call("review", cache.path, "--export", "csv") == 1  # it is there
    assert "is there already" in capsys.readouterr().err
    assert call("review", cache.path, "--export", "csv", "--import", "x.csv") == 1
    for option, value in (("--to", "x.csv"), ("--count", 5)):
        assert call("review", cache.path, option, value) == 1
        assert f"{option} is of what --export writes: say --export too" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "to", "there", "said"),
    [
        ("label-studio", "a.xml", "", r"expected a name that ends in \.json"),
        ("cvat", "a", "", r"expected a name that ends in \.xml"),
        ("csv", "a.tsv", "", r"expected a name that ends in \.csv"),
        ("fiftyone", "a.json", "", "expected a name for a folder"),
        ("label-studio", "a.json", "a.xml", r"a\.xml is there already"),
        ("cvat", "a.xml", "a.images.zip", r"a\.images\.zip is there already"),
    ],
)
def test_a_place_that_would_not_be_read_again_or_is_taken_is_refused(
    tmp_path: Path, name: str, to: str, there: str, said: str
) -> None:
    cache = with_images(tmp_path, ["a", "b", "c"])
    if there:
        (tmp_path / there).write_text("mine")
    with pytest.raises(AevlpError, match=said):
        review(cache, export=name, to=tmp_path / to)
    assert not (tmp_path / to).exists()
    assert not there or (tmp_path / there).read_text() == "mine"
