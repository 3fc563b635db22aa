"""Looking at a source: what people have is understood without an option, and what can be meant in two ways is asked for."""

import errno
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import source_shapes as shapes
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from refusals import refusal
from source_shapes import CLASSES

import aevlp
from aevlp.pipeline.datasets import ImageTable, content_split, load_images
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.manifest.load import load_manifest
from aevlp.pipeline.sources import Given, Understood, class_names, look, same_entry, write_entry
from aevlp.pipeline.sources.separators import separator_of


def loaded(found: Understood, folder: Path) -> ImageTable:
    """Return the images by the manifest that is written of an understood source."""
    path = folder / f"{found.name}.yaml"
    write_entry(found, path)
    return load_images(load_manifest(path)[found.name])


def labels_of(images: ImageTable) -> list[tuple[str, ...]]:
    """Return the names of each image's labels, by the number in its name, or its place in a file."""
    known = images.observed == 1 if images.truth is None else images.truth == 1
    order = sorted(range(len(images)), key=lambda row: _number(str(images.ids[row])))
    return [tuple(images.classes[c] for c in known[row].nonzero()[0]) for row in order]


def _number(name: str) -> int:
    return int(re.findall(r"\d+", name.rpartition("/")[2])[0])


@pytest.mark.parametrize("shape", shapes.LABELLED)
@pytest.mark.parametrize("seed", [3, 4])
def test_a_source_is_understood_and_gives_the_labels_that_were_put_in(shape: str, seed: int, tmp_path: Path) -> None:
    given = shapes.labels(seed=seed)
    found = look(shapes.LABELLED[shape](tmp_path / "pets", given))
    images = loaded(found, tmp_path / "cache")
    assert sorted(images.classes) == list(CLASSES)
    assert labels_of(images) == shapes.put_in(shape, given)
    assert {"train", "val", "test"} == set(images.split.tolist())
    assert found.entry["split_by"] == {"content": {"train": 0.7, "val": 0.1, "test": 0.2}}
    assert "40 images, 4 classes" in found.lines[1]
    assert "hash of each image's content" in found.lines[2]
    assert same_entry(look(_source(tmp_path / "pets")), tmp_path / "cache" / f"{found.name}.yaml")


def _source(folder: Path) -> Path:
    """Return the file that a shape is written as, or the folder where it is one."""
    return next((path for path in folder.iterdir() if path.stem == "mine"), folder)


@pytest.mark.parametrize("shape", [name for name in shapes.LABELLED if name not in ("ids",)])
def test_the_folder_of_a_source_is_understood_as_the_source_itself(shape: str, tmp_path: Path) -> None:
    given = shapes.labels()
    shapes.LABELLED[shape](tmp_path / "pets", given)
    assert labels_of(loaded(look(tmp_path / "pets"), tmp_path / "cache")) == shapes.put_in(shape, given)


ELSEWHERE = {
    "another system": "C:\\pics\\{}",
    "another machine": "/home/me/pics/{}",
    "an address": "https://host/b/{}?v=1",
    "above": "../../pics/{}",
}


def listed(pairs: list[tuple[str, str]]) -> str:
    return "image,labels\n" + "".join(f"{image},{label}\n" for image, label in pairs)


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_paths_of_another_machine_are_found_in_a_folder_as_bare_names_are(kind: str, tmp_path: Path) -> None:
    names = [f"{n:03d}.png" for n in range(12)]
    shapes.draw(tmp_path / "t" / "images", names)

    def found(form: str) -> tuple[Understood, ImageTable]:
        understood = look(write(tmp_path / "t" / "mine.csv", listed([(form.format(name), cat) for name, cat in cats])))
        return understood, loaded(understood, tmp_path)

    cats = [(name, ("cat", "dog")[n % 2]) for n, name in enumerate(names)]
    (bare, by_name), (far, by_end) = found("{}"), found(ELSEWHERE[kind])
    assert bare.entry == far.entry and far.entry["images"] == "images" and bare.lines == far.lines
    assert by_name.relative_paths() == by_end.relative_paths() and labels_of(by_name) == labels_of(by_end)
    assert "by the end of their path" in by_end.remarks[0].text


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_no_two_paths_of_another_machine_are_one_file(kind: str, tmp_path: Path) -> None:
    names = [f"{n:03d}.png" for n in range(12)]
    shapes.draw(tmp_path / "t" / "images", names)
    paths = [ELSEWHERE[kind].format(name) for name in names]
    paths[1] = paths[0].replace("pics", "more").replace("/b/", "/c/")
    source = write(tmp_path / "t" / "mine.csv", listed([(path, ("cat", "dog")[n % 2]) for n, path in enumerate(paths)]))
    if kind in ("another machine", "above"):
        said = refused(source)
        assert "line 2: " in said and "1 faults more" in said and "--key 'images: FOLDER'" in said
    else:
        assert "2 of 12 images are not there" in look(source).lines[-1]
    shapes.draw(tmp_path / "t" / "thumbs", names)  # which of the two folders is meant is not to be told
    assert "--key 'images: FOLDER'" in refused(source)


def test_the_folder_of_relative_paths_that_lead_nowhere_is_named(tmp_path: Path) -> None:
    names = [f"{n:03d}.png" for n in range(12)]
    shapes.draw(tmp_path / "t" / "photos" / "all", names)
    source = write(
        tmp_path / "t" / "mine.csv", listed([(f"pics/{name}", ("cat", "dog")[n % 2]) for n, name in enumerate(names)])
    )
    said = refused(source)
    assert "12 of 12 images are not there" in said and "--key 'images: photos/all'" in said
    assert len(loaded(look(source, Given(keys={"images": "photos/all"})), tmp_path)) == 12


@pytest.mark.parametrize("classes", ["cat,dog", ["cat", "dog"], "file"])
def test_images_without_labels_need_the_names_of_classes_alone(classes: Any, tmp_path: Path) -> None:
    folder = shapes.pictures(tmp_path / "pets", shapes.labels())
    (tmp_path / "names.txt").write_text("cat\n\n dog\n")
    names = class_names(tmp_path / "names.txt" if classes == "file" else classes)
    images = loaded(look(folder, Given(names)), tmp_path / "cache")
    assert images.truth is None and not images.observed.any()
    assert images.classes == ("cat", "dog")
    assert len(images) == shapes.IMAGES and set(images.split.tolist()) == {"train"}


def test_an_image_stays_in_its_split_when_others_are_added(tmp_path: Path) -> None:
    few = shapes.labels(60)
    first = loaded(look(shapes.comma(tmp_path / "pets", few)), tmp_path / "cache")
    before = dict(zip(first.ids.tolist(), first.split.tolist(), strict=True))
    more = shapes.labels(200)
    shapes.comma(tmp_path / "pets", more)  # the first sixty are drawn alike
    after = load_images(load_manifest(tmp_path / "cache" / "mine.yaml")["mine"])
    now = dict(zip(after.ids.tolist(), after.split.tolist(), strict=True))
    assert len(now) == 200 and {name: now[name] for name in before} == before
    shares = [np.mean(after.split == split) for split in ("train", "val", "test")]
    assert np.allclose(shares, (0.7, 0.1, 0.2), atol=0.1)


def test_a_copy_of_an_image_is_in_the_split_of_the_image(tmp_path: Path) -> None:
    given = shapes.labels(60)
    source = shapes.comma(tmp_path / "pets", given)
    with source.open("a") as file:
        for image in given:
            (tmp_path / "pets" / f"copy-{image}").write_bytes((tmp_path / "pets" / image).read_bytes())
            file.write(f"copy-{image},7,cat\n")
    images = loaded(look(source), tmp_path / "cache")
    split = dict(zip(images.ids.tolist(), images.split.tolist(), strict=True))
    assert all(split[image] == split[f"copy-{image}"] for image in given)


# --- splits that somebody gave


def test_a_column_of_splits_is_found(tmp_path: Path) -> None:
    given = shapes.labels()
    source = shapes.comma(tmp_path / "pets", given)
    lines = source.read_text().splitlines()
    parts = ["Training", "valid", "test"]
    rows = [f"{line},{parts[n % 3]}" for n, line in enumerate(lines[1:])]
    source.write_text("\n".join([f"{lines[0]},part", *rows]))
    found = look(source)
    images = loaded(found, tmp_path / "cache")
    assert found.entry["split_column"] == "part" and "split_by" not in found.entry
    assert [np.sum(images.split == split) for split in ("train", "val", "test")] == [14, 13, 13]


def test_files_and_folders_may_say_the_split(tmp_path: Path) -> None:
    given = shapes.labels()
    whole = shapes.comma(tmp_path / "files", given)
    lines = whole.read_text().splitlines()
    whole.unlink()
    (tmp_path / "files" / "train.csv").write_text("\n".join(lines[:31]))
    (tmp_path / "files" / "test.csv").write_text("\n".join([lines[0], *lines[31:]]))
    folders = tmp_path / "folders"
    for n, (image, names) in enumerate(given.items()):
        shapes.draw(folders, [f"{'train' if n < 30 else 'valid'}/{min(names)}/{image}"], seed=n)
    for source, other in ((tmp_path / "files", "test"), (folders, "val")):
        images = loaded(look(source), tmp_path / "cache")
        assert np.sum(images.split == "train") == 30 and np.sum(images.split == other) == 10
    assert labels_of(loaded(look(tmp_path / "files"), tmp_path / "cache")) == shapes.put_in("comma", given)


def test_shares_of_the_split_can_be_said_and_none(tmp_path: Path) -> None:
    source = shapes.comma(tmp_path / "pets", shapes.labels(100))
    half = loaded(look(source, Given(keys={"split_by": {"content": {"train": 0.5, "test": 0.5}}})), tmp_path / "cache")
    assert 30 < np.sum(half.split == "test") < 70 and set(half.split.tolist()) == {"train", "test"}
    none = look(source, Given(keys={"split_by": None}))
    assert "split_by" not in none.entry
    assert set(loaded(none, tmp_path / "cache").split.tolist()) == {"train"}


@pytest.mark.parametrize(
    "shares",
    [
        {"test": 0.2, "train": 0.5, "val": 0.3},
        {"training": 0.5, "val": 0.2, "test": 0.3},
        {"Dev": 0.4, "trn": 0.6},
    ],
)
def test_the_split_that_is_said_is_the_one_of_the_manifest(shares: dict[str, float], tmp_path: Path) -> None:
    found = look(shapes.comma(tmp_path / "pets", shapes.labels()), Given(keys={"split_by": {"content": shares}}))
    images = loaded(found, tmp_path / "cache")
    counts = [(name, int(np.sum(images.split == name))) for name in ("train", "val", "test")]
    said = ", ".join(f"{count} {name}" for name, count in counts if count)
    assert found.lines[2] == f"{said}: by the hash of each image's content"
    assert sum(count > 0 for _, count in counts) == len(shares)


def test_an_image_that_cannot_be_read_now_is_put_by_its_content_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write(tmp_path / f"{n}.png", bytes([n]) * 9) for n in range(40)]
    names, shares = [path.name for path in paths], {"train": 0.5, "test": 0.5}
    with monkeypatch.context() as patch:
        patch.setattr(content_split, "content_sha256", _denied)
        by_name = content_split.split_by_content(paths, names, shares)
    now = content_split.split_by_content(paths, names, shares)
    halves = [int.from_bytes(hashlib.sha256(path.read_bytes()).digest()[:8], "big") < 1 << 63 for path in paths]
    assert now.tolist() == ["train" if first else "test" for first in halves]
    assert now.tolist() != by_name.tolist()


def _denied(path: Path) -> str:
    raise PermissionError(errno.EACCES, "Permission denied", str(path))


# --- separators


@pytest.mark.parametrize(
    ("cells", "classes", "expected"),
    [
        (["cat;dog", "dog", "cat;bird"], None, ";"),
        (["cat,dog", "dog", "cat,bird"], None, ","),
        (["cat", "dog"], None, None),
        (["salt, coarse;cat", "cat;dog", "dog"], None, ";"),
        (["dining table;cat", "cat;bed", "bed"], None, ";"),
        (["dining table", "pool table", "bed"], None, "ask"),
        (["dining table", "arm chair", "bed"], None, "ask"),
        (["dining table", "arm chair", "bed"] * 3, None, None),
        (["red car", "blue car", "red bus", "blue bus"], None, "ask"),
        (["cat dog", "dog", "cat"], None, " "),
        (["cat dog", "dog cat", "bird cat dog"], None, " "),
        (["great white shark, shark", "crane, bird", "maillot, tank suit"], None, "ask"),
        (["cat;dog", "bird,fish", "cat", "fish", "dog", "bird"], None, "ask"),
        (["cat;dog", "cat,dog", "cat", "dog"], ("cat", "dog"), "ask"),
        (["dining table,cat", "cat"], ("dining table", "cat"), ","),
        (["dining table", "cat"], ("dining table", "cat"), None),
        (["indoor/day", "indoor/night", "outdoor/day", "outdoor/night"], None, "ask"),
        (["chair, wood", "table, wood", "chair, steel", "table, steel"], None, "ask"),
        (["cat/dog", "dog", "cat"], None, "/"),
        (["cat/dog", "bed"], None, "ask"),
        (["cat/dog", "bed"], ("cat/dog", "bed"), None),
        (["0 2", "1"], ("a", "b", "c"), " "),
        (["cat", "dog", "dog-bed", "bed"], None, "ask"),
        (["cat", "dog", "dog_bed", "bed"], None, "ask"),
        (["cat", "dog", "Dog-Bed", "bed", "cat-dog-bed"], None, "ask"),
        (["cat", "dog", "dog - bed", "bed"], None, "ask"),
        (["t-shirt", "golden_retriever", "cat"], None, None),
        (["t-shirt", "shirt", "dog-bed", "dog", "dog_t-bed"], None, None),
        (["cat", "dog", "dog-bed", "bed"], ("cat", "dog", "bed", "dog-bed"), None),
        (["cat", "dog", "dog-bed", "bed"], ("cat", "dog", "bed"), "-"),
        (["cat", "dog-bed", "t-shirt"], ("cat", "dog", "bed", "t-shirt"), None),
        (["dog and bed", "cat and dog"], None, "ask"),
        (["dog and bed", "bed and dog", "dog", "bed"], None, "ask"),
        (["dog and bed", "cat"], ("cat", "dog", "bed"), " and "),
        (["salt and pepper", "cat"] * 5, None, None),
        (["y n", "n y x", "x y n", "x", "n", "y"], None, " "),
        (['["cat", "dog"]', '["cat"]'], None, None),
        ([["cat", "dog"], ["cat"]], None, None),
    ],
)
def test_a_separator_is_certain_or_asked_for(
    cells: list[Any], classes: tuple[str, ...] | None, expected: str | None
) -> None:
    if expected == "ask":
        with pytest.raises(AevlpError, match="--label-separator"):
            separator_of(cells, classes, "here")
    else:
        assert separator_of(cells, classes, "here") == expected


@pytest.mark.parametrize(
    ("cells", "shown", "signs"),
    [
        (["cat", "dog", "dog-bed", "bed"], "dog-bed", ["-"]),
        (["cat", "dog", "dog_bed", "bed"], "dog_bed", ["_"]),
        (["dog and bed", "cat"], "dog and bed", [" and "]),
        (["dog and bed", "bed and dog", "dog", "bed"], "dog and bed", [" and "]),
        (["Hund und Bett", "Katze"], "Hund und Bett", [" und "]),
        (["dog & bed", "cat"], "dog & bed", [" & "]),
        (["dog - bed", "cat"], "dog - bed", [" - "]),
        (["dog and bed", "cat dog", "dog", "bed", "cat"], "cat dog", [" and ", " "]),
        (["dog and bed", "cat dog", "fish"], "cat dog", [" and ", " "]),
    ],
)
def test_what_joins_labels_is_named_as_the_separator(cells: list[str], shown: str, signs: list[str]) -> None:
    with pytest.raises(AevlpError) as caught:
        separator_of(cells, None, "here")
    said = str(caught.value)
    assert repr(shown) in said and "--classes" in said
    assert re.findall("--label-separator '(.+?)'", said) == signs


ANSWERED: list[str | None] = []  # what a separator was found to be, where one was


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.sets(st.sampled_from(["cat", "dog", "red fox", "tea, green", "a/b"]), min_size=1), min_size=1, max_size=12
    ),
    st.sampled_from([";", ",", "|"]),
)
def cut_as_it_was_put_together(rows: list[set[str]], sign: str) -> None:
    assume(not any(sign in name for row in rows for name in row))
    cells = [sign.join(sorted(row)) for row in rows]
    try:
        found = separator_of(cells, None, "here")
    except AevlpError:
        return
    read = [[part.strip() for part in cell.split(found)] if found else [cell] for cell in cells]
    assert read == [sorted(row) for row in rows]
    ANSWERED.append(found)


def test_no_text_is_cut_otherwise_than_it_was_put_together() -> None:
    """Whatever the names hold: what is answered gives back the labels, and all else is asked for."""
    ANSWERED.clear()
    cut_as_it_was_put_together()
    assert len(ANSWERED) > 20 and any(ANSWERED)


# --- what is refused


def refused(source: Path | str, given: Given | None = None) -> str:
    """Return the line that a source is refused in."""
    with pytest.raises(AevlpError) as caught:
        look(source, given)
    text = str(caught.value)
    assert "\n" not in text
    return text


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def with_table(folder: Path, text: str, images: int = 30) -> Path:
    shapes.draw(folder, [f"{n:03d}.png" for n in range(images)])
    return write(folder / "mine.csv", text)


def rows(cells: list[str], header: str = "image,labels") -> str:
    return "\n".join([header, *(f"{n:03d}.png,{cell}" for n, cell in enumerate(cells))])


NO_SOURCE: dict[str, Callable[[Path], Path]] = {
    "not there": lambda tmp: tmp / "nowhere",
    "not there, a table": lambda tmp: tmp / "nowhere.csv",
    "not there, below a file": lambda tmp: write(tmp / "a.csv", "") / "b",
    "empty folder": lambda tmp: (tmp / "empty").mkdir() or tmp / "empty",
    "empty table": lambda tmp: write(tmp / "a.csv", ""),
    "table of a header": lambda tmp: write(tmp / "a.csv", "image,labels\n"),
    "no image": lambda tmp: write(tmp / "texts" / "a.txt", "hello").parent,
    "no image but below": lambda tmp: write(tmp / "texts" / "b" / "a.md", "hello").parent.parent,
    "hidden images": lambda tmp: write(tmp / "texts" / ".a.png", "hello").parent,
    "video": lambda tmp: write(tmp / "a.mp4", b"\0\0\0\x18ftypisom" + bytes(40)),
    "video by its bytes": lambda tmp: write(tmp / "a.csv", b"\0\0\0\x18ftypmp42" + bytes(40)),
    "videos": lambda tmp: write(tmp / "clips" / "a.mov", b"film").parent,
    "zip": lambda tmp: write(tmp / "a.zip", b"PK\3\4" + bytes(40)),
    "zip by its bytes": lambda tmp: write(tmp / "photos", b"PK\3\4" + bytes(40)),
    "tar.gz": lambda tmp: write(tmp / "a.tar.gz", b"\x1f\x8b" + bytes(40)),
    "PDF": lambda tmp: write(tmp / "a.pdf", b"%PDF-1.7"),
    "PDF by its bytes": lambda tmp: write(tmp / "a.csv", b"%PDF-1.7"),
    "PDFs": lambda tmp: write(tmp / "papers" / "a.pdf", b"%PDF-1.7").parent,
    "picture": lambda tmp: shapes.draw(tmp, ["a.png"]) or tmp / "a.png",
    "two images": lambda tmp: shapes.draw(tmp / "p", ["a/a.png", "b/b.png"]) or tmp / "p",
    "other JSON": lambda tmp: write(tmp / "a.json", json.dumps({"a": 1})),
    "JSON array": lambda tmp: write(tmp / "a.json", json.dumps([{"image": "a.png"}])),
    "spreadsheet": lambda tmp: write(tmp / "a.xlsx", b"PK\3\4"),
}


@pytest.mark.parametrize("kind", NO_SOURCE)
def test_what_is_no_source_is_refused_by_what_it_is(kind: str, tmp_path: Path) -> None:
    source = NO_SOURCE[kind](tmp_path)
    before = sorted(tmp_path.rglob("*"))
    text = refused(source)
    assert "expected" in text and ("SOURCE" in text or "no such file" in text)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["a" * 300, "a" * 300 + ".csv", "a" * 300 + ".yaml", "b/" + "a" * 300])
def test_a_name_that_no_file_can_have_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for ask in (look, aevlp.run):
        with pytest.raises(AevlpError, match="cannot be read: File name too long") as caught:
            ask(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, opened = shapes.comma(tmp_path / "pets", shapes.labels()), Path.open
    monkeypatch.setattr(
        Path, "open", lambda path, *how, **more: _denied(path) if path == source else opened(path, *how, **more)
    )
    assert refused(source).startswith(f"{source}: cannot be read: Permission denied")


WRONG_KINDS: list[tuple[str, Any]] = [
    ("format", 3), ("image_column", 3), ("label_column", ["a"]), ("label_columns", 3), ("label_columns", [1]), ("columns", 3),
    ("columns", "image"), ("delimiter", 3), ("delimiter", "ab"), ("encoding", 5), ("encoding", "nope"), ("encoding", "base64"),
    ("label_extension", 3), ("label_key", ["a"]), ("label_separator", ["a"]), ("label_separator", ""), ("split_column", 3),
    ("split_by", 3), ("split_by", {}), ("split_by", {"content": {}}), ("split_by", {"content": {"train": "half"}}),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), WRONG_KINDS)
def test_a_key_of_a_wrong_kind_is_refused_by_name(key: str, value: Any, tmp_path: Path) -> None:
    given = shapes.labels()
    for shape in ("comma", "tars", "coco", "hugging_face"):
        text = refused(shapes.LABELLED[shape](tmp_path / shape, given), Given(keys={key: value}))
        assert text.startswith(key) and f"--key '{key}: …'" in text


def test_the_word_for_a_delimiter_is_read_as_in_a_manifest(tmp_path: Path) -> None:
    source = with_table(tmp_path / "t", rows(["cat", "dog", "fish"] * 10).replace(",", "\t"))
    found = look(source, Given(keys={"delimiter": "tab"}))
    assert found.entry["delimiter"] == "\t" and len(loaded(found, tmp_path / "cache")) == 30


@pytest.mark.parametrize("cut", [0, 20, -1])
def test_damaged_annotations_are_not_passed_over(cut: int, tmp_path: Path) -> None:
    source = shapes.coco(tmp_path / "pets", shapes.labels())
    source.write_bytes(source.read_bytes()[:cut])
    text = refused(tmp_path / "pets", Given(CLASSES))
    assert str(source) in text and "--key 'format: images'" in text
    assert look(tmp_path / "pets", Given(CLASSES, {"format": "images"})).entry["format"] == "images"


@pytest.mark.parametrize("odd", [{"image_id": 0}, {"image_id": 0, "category_id": [1]}, 3])
def test_annotations_of_another_form_are_not_passed_over(odd: Any, tmp_path: Path) -> None:
    source = shapes.coco(tmp_path / "pets", shapes.labels())
    content = json.loads(source.read_text())
    content["annotations"].append(odd)
    source.write_text(json.dumps(content))
    assert "not of the form of a COCO annotation file" in refused(tmp_path / "pets", Given(CLASSES))


@pytest.mark.parametrize("other", ["{}", "[1, 2]", '{"images": "photos"}', '{"exposure": 0.01}', '"a"'])
def test_json_of_another_kind_is_passed_over(other: str, tmp_path: Path) -> None:
    folder = shapes.pictures(tmp_path / "pets", shapes.labels())
    write(folder / "camera.json", other)
    assert look(folder, Given(CLASSES)).entry["format"] == "images"


@pytest.mark.parametrize("count", [1, 2])
def test_two_images_are_too_few(count: int, tmp_path: Path) -> None:
    shapes.draw(tmp_path / "p", [f"{n}.png" for n in range(count)])
    assert "expected 3 or more" in refused(tmp_path / "p", Given(("cat", "dog")))


TABLES: dict[str, tuple[str, str]] = {
    "no images": ("name,labels\nAnna,cat\nBert,dog", "no column looks like images.*--image-column"),
    "no images but numbers": ("n,labels\n1,cat\n2,dog", "no column looks like images.*--image-column"),
    "no images, one column": ("labels\ncat\ndog", "no column looks like images"),
    "two of images": (
        "front,back,labels\n000.png,001.png,cat\n002.png,003.png,dog",
        "front and back all look like images.*--image-column front",
    ),
    "an image and a mask": (
        "image,mask,labels\n000.png,m/000.png,cat\n001.png,m/001.png,dog",
        "image and mask all look like images.*--image-column image",
    ),
    "an image and a thumbnail": (
        "labels,small,large\ncat,000.jpg,000.png\ndog,001.jpg,001.png",
        "small and large all look like images.*--image-column",
    ),
    "numbers": (rows([str(n % 3) for n in range(30)]), "numbers .* without names.*--classes"),
    "lists of numbers": (rows([f"{n % 3};{3 + n % 2}" for n in range(30)]), "numbers .* without names.*--classes"),
    "JSON lists of numbers": (
        rows([f'"[{n % 3}, {3 + n % 2}]"' for n in range(30)]),
        "numbers .* without names.*--classes",
    ),
    "vectors": (rows(["1 0 1", "0 1 1"] * 15), "without names.*--classes"),
    "case": (rows(["cat", "Cat", "dog"] * 10), "may be one: 'Cat' and 'cat': .*'Cat' first in line 3, 'cat' in line 2"),
    "case among several": (rows(["cat;dog", "Dog;fish", "fish"] * 10), "may be one: 'Dog' and 'dog'"),
    "blanks": (rows(["tea pot", "teapot", "dog"] * 10), "may be one"),
    "one class": (rows(["cat"] * 30), "\\.csv: one class, 'cat', expected two or more.*--classes"),
    "two images": (rows(["cat", "dog"]), "\\.csv: 2 images, expected 3 or more"),
    "one class and none": (rows(["cat", ""] * 15), "one class, 'cat', expected two or more.*--classes"),
    "one class of a list": (rows(['"[""cat""]"'] * 30), "one class, 'cat', expected two or more.*--classes"),
    "one-hot but for a row": (
        rows(["1,0", "0,1"] * 14 + ["1,two", "0,1"], "image,cat,dog"),
        r"line 30: the column dog holds 'two', expected present \(1\), .* in 29 of 30 rows.*label_columns: \[cat\]",
    ),
    "one-hot but for a fraction": (
        rows(["1,0,1", "0,1,0"] * 14 + ["1,0.5,1", "0,1,1"], "image,cat,dog,fish"),
        "fractions.*--key 'label_threshold: 0.5'",
    ),
    "one-hot but for a number": (
        rows(["1,0,1", "0,1,0"] * 14 + ["1,7,1", "0,1,1"], "image,cat,dog,fish"),
        r"label_columns: \[cat, fish\]",
    ),
    "mixed separators": (rows(["cat;dog", '"cat,fish"', "dog", "fish"] * 7), "semicolons and commas.*--label-separator"),
    "mixed in one row": (rows(["cat;dog", "dog", "fish;cat"] * 9 + ["cat|fish"]), "semicolons and bars.*--label-separator"),
    "mixed blanks": (rows(["cat/dog", "cat|dog", "dog", "cat"] * 7), "bars and slashes.*--label-separator"),
    "two of labels": (rows(["cat,bird", "dog,fish"] * 15, "image,label,category"), "label and category.*--label-column label"),
    "labels by no name": (rows(["cat", "dog"] * 15, "image,animals"), "no column is named as labels.*--label-column animals"),
    "two of splits": (
        rows(["cat,train,test", "dog,test,train"] * 15, "image,labels,a,b"),
        "a and b both say a split.*--split-column a",
    ),
    "a column of labels said to be of splits": (
        rows(["cat", "dog"] * 15),
        "the column labels, named as --split-column, holds no split but 'cat', 'dog', expected train, .*--split-column none",
    ),
    "splits alone": (rows(["train", "test"] * 15, "image,split"), r"no column but the images' and the splits' \(image, split\)"),
    "folds": (rows(["cat,1", "dog,2"] * 15, "image,labels,fold"), "fold .*--split-column fold"),
    "a row a label": ("image,label\n000.png,cat\n000.png,dog\n001.png,cat\n002.png,dog", "--key 'rows: label'"),
    "images that are not there": ("image,labels\nx.png,cat\ny.png,dog\nz.png,cat", "3 of 3 images are not there.*x.png"),
    "no header": ("000.png,cat\n001.png,dog\n002.png,cat", "expected a header.*--key 'columns: \\[image, labels\\]'"),
    "no header, the image last": (
        "cat,000.png\ndog,001.png\ncat,002.png",
        r"expected a header.*--key 'columns: \[labels, image\]'",
    ),
    "no header of three": (
        "7,000.png,cat\n8,001.png,dog\n9,002.png,cat",
        r"expected a header.*--key 'columns: \[column1, image, column3\]'",
    ),
    "numbers beside names": (
        rows(["0,cat", "1,dog"] * 15, "image,class_id,class_name"),
        "numbers .0, 1., and the column class_name has a name for each.*--label-column class_name",
    ),
    "Latin-1": (rows(["caf\xe9", "dog"] * 15), "not UTF-8.*--key 'encoding: latin-1'"),
}  # fmt: skip


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_that_leaves_doubt_is_asked_about(kind: str, tmp_path: Path) -> None:
    text, expected = TABLES[kind]
    source = with_table(tmp_path / "t", text)
    if kind == "Latin-1":
        source.write_bytes(text.encode("latin-1"))
    before = sorted(tmp_path.rglob("*"))
    given = Given(keys={"split_column": "labels"}) if "said to be of splits" in kind else None
    assert re.search(expected, refused(source, given)), refused(source, given)
    assert sorted(tmp_path.rglob("*")) == before


CLASS_LISTS: dict[str, tuple[Any, str]] = {
    "case": ("cat,Cat,dog", "'cat' and 'Cat' differ only in case"),
    "case in a list": (["dog", "DOG"], "'dog' and 'DOG' differ only in case"),
    "case of other letters": ("\u00c4pfel,\u00e4pfel", "differ only in case"),
    "one": ("cat", "one class, 'cat'; expected two or more"),
    "one of a list": (["cat"], "one class, 'cat'"),
    "none": ([], "no class; expected two or more"),
    "one and a comma": ("cat,", "a class has no name"),
    "twice": ("cat,dog,cat", "named twice: cat"),
    "no file": ("names.txt", "there is no file names.txt"),
    "one line": (Path("one_line.txt"), "one line with commas: put each name on a line"),
    "numbered": (Path("yolo.txt"), "its lines are numbered, as in '0: cat'"),
    "numbered from 1": (Path("darknet.txt"), "its lines are numbered, as in '1 cat'"),
    "a comment": (Path("comment.txt"), "line 1: '# my classes' looks like a comment"),
    "a dash": (Path("dash.txt"), "begin with a dash"),
    "quotes": (Path("quotes.txt"), "line 2: '\"dog\",' has the quotes"),
    "a table of labels": (Path("labels.csv"), "line 2: 'images/1.jpg,dog;bed' is a row of a table"),
    "a table in a text": (Path("labels.txt"), "line 1: '1.jpg, dog' is a row of a table"),
    "tabs": (Path("tabs.txt"), "line 1: .* is a row of a table"),
    "a header": (Path("column.csv"), "its first line, 'Class', looks like the header"),
    "a picture": (Path("picture.jpg"), r"not UTF-8 text \(byte 0xff at 0\)"),
    "an object": (Path("object.json"), "expected a list of class names, found an object"),
    "a list of numbers": (Path("numbers.json"), "name 1 of the list is '1'"),
    "half a list": (Path("half.json"), "it begins as JSON and is none"),
    "brackets": ('["cat", "dog"]', r"""'\["cat"' has the quotes or brackets.*write --classes cat,dog$"""),
    "a word of YAML": (Path("words.yaml"), "name 2 of the list is 'False'"),
    "empty file": (Path("empty.txt"), "no class"),
    "file of one": (Path("one.txt"), "one class, 'cat'"),
}


CLASS_FILES = {
    "one_line.txt": "cat,dog\n", "empty.txt": "\n", "one.txt": "cat\n", "yolo.txt": "0: cat\n1: dog\n",
    "darknet.txt": "1 cat\n2 dog\n", "comment.txt": "# my classes\ncat\n\ndog\n", "dash.txt": "- cat\n- dog\n",
    "quotes.txt": 'cat\n"dog",\n', "object.json": '{"0": "cat", "1": "dog"}', "numbers.json": "[1, 2]",
    "half.json": '["cat", ', "words.yaml": "- cat\n- no\n", "labels.csv": "image\nimages/1.jpg,dog;bed\n",
    "labels.txt": "1.jpg, dog\n2.jpg, cat\n", "tabs.txt": "n1\tcat\nn2\tdog\n", "column.csv": "Class\ncat\ndog\n",
}  # fmt: skip


@pytest.mark.parametrize("kind", CLASS_LISTS)
def test_a_list_of_classes_that_is_none_is_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in CLASS_FILES.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "picture.jpg").write_bytes(b"\xff\xd8\xff")
    names, expected = CLASS_LISTS[kind]
    with pytest.raises(AevlpError, match=expected) as caught:
        class_names(names)
    assert (names.name if isinstance(names, Path) else "--classes") in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_list_of_json_or_yaml_is_one_of_classes(tmp_path: Path) -> None:
    written = {
        "a.json": '["cat", "a dog, brown"]',
        "a.txt": ' ["cat",\n"a dog, brown"]',
        "a.yaml": "- cat\n- a dog, brown\n",
    }
    for name, content in written.items():
        (tmp_path / name).write_text(content)
        assert class_names(tmp_path / name) == ("cat", "a dog, brown")
    (tmp_path / "birds.txt").write_text("jay, blue\nwren\nclass\n")
    assert class_names(tmp_path / "birds.txt") == ("jay, blue", "wren", "class")
    (tmp_path / "notes.txt").write_text("20 euro\n10 euro\n5 euro\n")
    assert class_names(tmp_path / "notes.txt") == ("20 euro", "10 euro", "5 euro")


def test_a_long_line_of_classes_is_not_shown_cut(tmp_path: Path) -> None:
    (tmp_path / "line.txt").write_text(",".join(f"class number {n}" for n in range(8)))
    with pytest.raises(AevlpError) as caught:
        class_names(tmp_path / "line.txt")
    assert "class number" not in str(caught.value)


@pytest.mark.parametrize("shape", ["comma", "one_hot", "coco"])
def test_a_class_that_no_image_has_is_refused(shape: str, tmp_path: Path) -> None:
    source = shapes.LABELLED[shape](tmp_path / "pets", shapes.labels())
    text = refused(source, Given((*CLASSES, "unicorn")))
    assert "unicorn" in text and "leave it out" in text


def test_a_class_of_the_table_that_is_not_listed_is_refused(tmp_path: Path) -> None:
    source = shapes.comma(tmp_path / "pets", shapes.labels())
    assert "unknown class" in refused(source, Given(CLASSES[:3]))


@pytest.mark.parametrize(
    ("names", "classes", "expected"),
    [
        (["a.png", "cat/b.png", "dog/c.png"], None, "pictures lie beside the folders cat, dog"),
        (["a.png", "cat/b.png", "dog/c.png"], ("cat", "dog"), "named as one of --classes"),
        (["fox/a.png", "cat/b.png", "dog/c.png"], ("cat", "dog"), "'fox' is none: leave --classes out"),
        (["2021/a.png", "2022/b.png", "2023/c.png"], None, "not named as classes are"),
        (["cat/a.png", "cat/b.png", "cat/c.png"], None, "one folder, 'cat'"),
        (["train/cat/a.png", "train/b.png", "test/cat/c.png"], None, "in folders below them"),
    ],
)
def test_folders_that_may_be_classes_or_not_are_asked_about(
    names: list[str], classes: tuple[str, ...] | None, expected: str, tmp_path: Path
) -> None:
    shapes.draw(tmp_path / "p", names)
    text = refused(tmp_path / "p", Given(classes))
    assert re.search(expected, text), text
    assert "--key 'format: " in text or "--classes" in text


@pytest.mark.parametrize("ending", [".txt", ".xml"])
def test_files_named_as_the_images_are_not_passed_over(ending: str, tmp_path: Path) -> None:
    shapes.draw(tmp_path / "p", [f"{n}.png" for n in range(6)])
    for n in range(6):
        write(tmp_path / "p" / "labels" / f"{n}{ending}", "0 0.5 0.5 0.1 0.1")
    assert "may hold their labels" in refused(tmp_path / "p", Given(("cat", "dog")))
    found = look(tmp_path / "p", Given(("cat", "dog"), {"format": "images"}))
    assert found.entry["format"] == "images"


@pytest.mark.parametrize("images", [3, 5, 8])
def test_a_part_of_the_split_that_would_be_empty_is_said(images: int, tmp_path: Path) -> None:
    source = with_table(tmp_path / "t", rows(["cat", "dog", "cat;dog"][:3] * 1 + ["cat"] * (images - 3)), images)
    shares = {"content": {"train": 0.998, "val": 0.001, "test": 0.001}}
    text = refused(source, Given(keys={"split_by": shares}))
    assert "would fall to val and test" in text and "--split-by none" in text
    assert look(source, Given(keys={"split_by": None})).entry["format"] == "table"


def test_a_manifest_that_was_edited_is_not_written_over(tmp_path: Path) -> None:
    source = shapes.comma(tmp_path / "pets", shapes.labels())
    found, path = look(source), tmp_path / "cache" / "mine.yaml"
    write_entry(found, path)
    assert same_entry(found, path) and f"understood of {source}. " in path.read_text()
    edited = path.read_text().replace("title: mine", "title: My pets")
    path.write_text(edited)
    with pytest.raises(AevlpError, match=r"otherwise \(title: My pets, now title: mine\): pass it as SOURCE"):
        same_entry(found, path)
    assert path.read_text() == edited


def test_what_a_manifest_says_otherwise_is_said_as_it_stands_there(tmp_path: Path) -> None:
    source = shapes.one_hot(tmp_path / "pets", shapes.labels())
    path = tmp_path / "cache" / "mine.yaml"
    write_entry(look(source, Given(keys={"label_columns": ["cat", "dog"], "simulate": None})), path)
    values = {"0": "absent", "1": "present"}
    again = look(source, Given(keys={"label_columns": ["cat", "fish"], "label_values": values, "prompt": "a {}"}))
    said = refusal(same_entry, again, path)
    assert "(label_columns: [cat, dog], now label_columns: [cat, fish]; no label_values, now label_values: {'0'" in said
    assert "; and 2 keys more): " in said
    said = refusal(same_entry, look(source, Given(keys={"label_columns": ["cat", "dog"]})), path)
    assert "(simulate: null, now not said): " in said
