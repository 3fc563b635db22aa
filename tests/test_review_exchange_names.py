"""Names of every kind go out to a tool and come back; content of every kind is refused in a line, or read."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_review_exchange import answered, asked_in

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.files.locations import RemotePath
from aevlp.pipeline.review.queue import Pair
from aevlp.pipeline.score_cache import ScoreCache, open_cache, write_cache
from aevlp.stages.review import cvat, fifty_one, label_studio
from aevlp.stages.review.exchange import FORMATS, read_answers, sheets_of, write_sheets
from fakes import random_cache

HOSTILE = [
    "a,b;c",
    "quo\"te's",
    "two\nlines",
    "carriage\rreturn\ttab",
    "<script>&amp;]]>",
    "\u202bעב\u202c",
    "\U0001f431",
    " leads and trails ",
    "100%25#?d=x&y",
    "{file} $image",
    "7",
    "-1",
]


def cache_of(folder: Path, names: Sequence[str], classes: Sequence[str]) -> ScoreCache:
    """Return a cache of images with these ids, whose files have the same names, below `folder / "root"`."""
    header, content = random_cache(rows=len(names), classes=len(classes), bad=0)
    content.ids, content.paths = list(names), [f"im ages/{name}.jpg" for name in names]
    (folder / "root" / "im ages").mkdir(parents=True)
    for path in content.paths:
        (folder / "root" / path).write_bytes(path.encode())
    write_cache(folder / "x.h5", replace(header, classes=tuple(classes)), [content])
    return open_cache(folder / "x.h5")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> ScoreCache:
    return cache_of(tmp_path_factory.mktemp("hostile"), HOSTILE, HOSTILE[::-1])


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(list(FORMATS)), data=st.data())
def test_any_answers_about_any_names_come_back_equal(
    tmp_path_factory: pytest.TempPathFactory, cache: ScoreCache, name: str, data: st.DataObject
) -> None:
    number = st.integers(0, len(HOSTILE) - 1)
    places = data.draw(st.lists(st.tuples(number, number), min_size=1, max_size=12, unique=True))
    chance = st.floats(0, 1)
    pairs = [Pair(row, column, 0.5, data.draw(chance), 0.5) for row, column in places]
    path = tmp_path_factory.mktemp("out") / f"x{FORMATS[name].ending}"
    write_sheets(sheets_of(cache, pairs), cache, cache.path.parent / "root", name, path)
    asked = asked_in(path, name, cache)
    assert sorted(asked) == sorted((HOSTILE[row], cache.classes[column]) for row, column in places)
    known = {image for image, _ in asked if data.draw(st.booleans())}
    said = {pair: data.draw(st.sampled_from((-1, 1))) if pair[0] in known else 0 for pair in asked}
    back = answered(path, name, said, cache)
    expected = {pair: code for pair, code in said.items() if code}
    if not expected:
        with pytest.raises(AevlpError, match="holds no answer"):
            read_answers(back, cache)
        return
    answers, found = read_answers(back, cache)
    assert {(of.image, of.label): of.code for of in answers} == expected
    assert found == name and {of.source for of in answers} <= {name, "review"}


@pytest.mark.parametrize("name", ["label-studio", "cvat"])
def test_a_name_that_xml_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    cache = cache_of(tmp_path, ["a", "b", "c"], ["good", "be\x07ll"])
    sheets = sheets_of(cache, [Pair(0, 0, 0.5, 0.5, 0.5)])
    before = set(tmp_path.rglob("*"))
    with pytest.raises(AevlpError, match=r"'be\\x07ll': XML cannot hold"):
        write_sheets(sheets, cache, tmp_path / "root", name, tmp_path / f"x{FORMATS[name].ending}")
    assert set(tmp_path.rglob("*")) == before


KEYS = st.sampled_from(
    [
        *(
            "data",
            "annotations",
            "result",
            "type",
            "value",
            "choices",
            "was_cancelled",
            "classes",
            "annotation_id",
            "id",
        ),
        *("aevlp_image", "aevlp_asked", "aevlp_size", "samples", "questions", "classifications", "label", "tags"),
    ]
)
LEAVES = st.sampled_from([None, True, 0, -3, 1.5, "", "a", "choices", "yes", "no", [], {}])
CONTENT = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5))
CARRIED = st.fixed_dictionaries({"aevlp_image": CONTENT, "aevlp_asked": CONTENT}, optional={"aevlp_size": CONTENT})
TASK = st.fixed_dictionaries({"data": CARRIED, "annotations": CONTENT | st.lists(CONTENT, max_size=2)})
SAMPLE = st.fixed_dictionaries({"aevlp_image": CONTENT, "questions": CONTENT})


@settings(max_examples=150, deadline=None)
@given(content=CONTENT | st.lists(TASK | CARRIED, max_size=3) | st.builds(lambda of: {"samples": of}, st.lists(SAMPLE)))
def test_any_content_is_read_or_refused_in_a_line(content: Any) -> None:
    for read in (label_studio.read, fifty_one.read):
        try:
            found = read(content, Path("a.json"))
        except AevlpError as error:
            assert "\n" not in str(error) and str(error).startswith("a.json")
        else:
            assert all(isinstance(of.image, str) and isinstance(of.size, int | None) for of in found)
            assert all(isinstance(label, str) and code in (1, -1) for of in found for label, code in of.answers.items())


@settings(max_examples=100, deadline=None)
@given(cut=st.floats(0, 1), at=st.floats(0, 1), byte=st.integers(0, 255))
def test_annotations_of_cvat_that_are_cut_or_spoilt_are_read_or_refused_in_a_line(
    tmp_path_factory: pytest.TempPathFactory, cache: ScoreCache, cut: float, at: float, byte: int
) -> None:
    path = tmp_path_factory.getbasetemp() / f"spoilt-{os.getpid()}.xml"
    tags = "".join(f'<tag label="{n}"><attribute name="answer">yes</attribute></tag>' for n in range(3))
    text = bytearray(f'<annotations><image id="0" name="a.jpg">{tags}</image></annotations>'.encode())
    text[int(at * (len(text) - 1))] = byte
    path.write_bytes(text[: round(cut * len(text))] if cut < 0.5 else text)
    try:
        found = cvat.read(path)
    except AevlpError as error:
        assert "\n" not in str(error)
    else:
        assert all(code in (1, -1) for of in found for code in of.answers.values())


def test_images_in_a_store_are_no_files_that_a_tool_opens(tmp_path: Path) -> None:
    cache = cache_of(tmp_path, ["a", "b", "c"], ["x", "y"])
    sheets = sheets_of(cache, [Pair(0, 0, 0.5, 0.5, 0.5)])
    with pytest.raises(AevlpError, match="cvat needs the images on a disk: name a copy of them with --data-root"):
        write_sheets(sheets, cache, RemotePath("s3:", "bucket/photos"), "cvat", tmp_path / "x.xml")
    write_sheets(sheets, cache, RemotePath("s3:", "bucket/photos"), "csv", tmp_path / "x.csv")
    assert asked_in(tmp_path / "x.csv", "csv", cache) == [("a", "x")]


def test_an_image_of_cvat_is_known_by_its_name_alone(tmp_path: Path) -> None:
    """CVAT would take an image whose name it does not find for the frame with its number."""
    cache = cache_of(tmp_path, ["a", "b", "c", "d"], ["x", "y"])
    sheets = sheets_of(cache, [Pair(row, 0, 0.5, 0.5, 0.5) for row in range(4)])
    write_sheets(sheets, cache, tmp_path / "root", "cvat", tmp_path / "x.cvat.xml")
    numbers = [
        int(str(image.get("id"))) for image in ElementTree.parse(tmp_path / "x.cvat.xml").getroot().iter("image")
    ]
    assert len(set(numbers)) == 4 and min(numbers) > 10**8


def test_label_studio_opens_the_images_below_the_parent_of_their_folder(tmp_path: Path) -> None:
    cache = cache_of(tmp_path, HOSTILE, ["x", "y"])
    sheets = sheets_of(cache, [Pair(row, 0, 0.5, 0.5, 0.5) for row in range(len(HOSTILE))])
    write_sheets(sheets, cache, tmp_path / "elsewhere" / ".." / "root", "label-studio", tmp_path / "x.json")
    for task in json.loads((tmp_path / "x.json").read_text()):
        start, _, place = task["data"]["image"].partition("?d=")
        assert start == "/data/local-files/"
        assert (tmp_path / _unquoted(place)).read_bytes() == f"im ages/{task['data']['aevlp_image']}.jpg".encode()


def _unquoted(text: str) -> str:
    """Return a text without percent signs: each two hexadecimal digits after one are a byte."""
    first, *rest = text.split("%")
    return (first.encode() + b"".join(bytes.fromhex(part[:2]) + part[2:].encode() for part in rest)).decode()
