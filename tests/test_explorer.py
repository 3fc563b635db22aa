"""What the interactive part of a report is made of: a sample within a budget, the gallery's choice, thumbnails."""

import base64
import io
import re
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aevlp.pipeline.images.read import read_image
from aevlp.pipeline.labels.damp import damp_codes, damp_scores
from aevlp.pipeline.score_cache import ScoreCache, open_cache, write_cache
from aevlp.stages.report import explorer, thumbnails
from aevlp.stages.report.drawn_rows import drawn_rows
from aevlp.stages.report.explorer import explorer_section
from aevlp.stages.report.gallery import chosen, looked
from aevlp.stages.report.page import ASSETS, write_page
from aevlp.stages.report.section import Explorer, Section, Text
from aevlp.stages.report.thumbnails import SIDE, Thumbnails
from fakes import SETTINGS, blocks, random_cache


def made(folder: Path, change: Mapping[str, Any] | None = None, **given: Any) -> ScoreCache:
    """Write a random cache, with some of its columns or of its header changed, and open it."""
    header, content = random_cache(**given)
    for name, value in (change or {}).items():
        if hasattr(header, name):
            header = replace(header, **{name: value})
        else:
            content = replace(content, **{name: value})
    write_cache(folder / "fake.h5", header, blocks(content, 1024))
    return open_cache(folder / "fake.h5")


def draw_images(cache: ScoreCache, root: Path) -> None:
    """Draw a picture for each image that was scored, 100 by 60 pixels."""
    for n, path in enumerate(cache.paths[cache.status == "ok"].tolist()):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (100, 60), (n % 256, 90, 160)).save(root / path)


def data_of(section: Section) -> Mapping[str, Any]:
    [data] = [block.data for block in section.blocks if isinstance(block, Explorer)]
    return data


def explorer_page(section: Section, path: Path) -> str:
    """Return the page of a report that has this section alone."""
    return write_page(path, "Report", "of a test", [section]).read_text(encoding="utf-8")


def said(section: Section) -> str:
    return " ".join(text for block in section.blocks if isinstance(block, Text) for text in block.paragraphs)


def numbers(data: Mapping[str, Any], name: str, dtype: str, *shape: int) -> np.ndarray:
    return np.frombuffer(base64.b64decode(data[name]), dtype).reshape(len(data["ids"]), *shape)


@pytest.mark.parametrize("stores", ["cosine", "embedding"])
def test_a_small_cache_is_embedded_whole_with_the_means_over_flips(tmp_path: Path, stores: str) -> None:
    cache = made(tmp_path, rows=20, bad=3, stores=stores)
    section = explorer_section(cache, None)
    data = data_of(section)
    scored = np.flatnonzero(cache.status == "ok")
    assert data["ids"] == cache.ids[scored].tolist() and data["drawn"] == 17
    assert data["split"] == cache.split[scored].tolist() and data["splits"] == ["train", "test"]
    assert said(section) == "All 17 scored images of the cache can be relabelled here."
    assert np.array_equal(numbers(data, "cosines", "<f4", 5, 5), cache.similarity(scored).mean(axis=1))
    assert np.array_equal(numbers(data, "observed", "i1", 5), cache.observed[scored])
    assert cache.truth is not None and np.array_equal(numbers(data, "truth", "i1", 5), cache.truth[scored])
    assert data["method"]["temperature"] == SETTINGS.temperature and data["grid"] == "2"


def test_a_cache_without_truth_or_scored_images_has_a_section_too(tmp_path: Path) -> None:
    assert data_of(explorer_section(made(tmp_path, has_truth=False), None))["truth"] is None
    nothing = explorer_section(made(tmp_path, rows=4, bad=4), None)
    assert nothing.blocks == [Text(["None of the images that were looked at could be scored."])]


def test_two_thousand_classes_stay_within_the_budget_and_that_is_said(tmp_path: Path) -> None:
    cache = made(tmp_path, rows=130, classes=2000, bad=0, flips=1)
    draw_images(cache, tmp_path)
    section = explorer_section(cache, tmp_path)
    data = data_of(section)
    assert len(data["ids"]) <= explorer.COSINES // (5 * 2000) == 104
    assert len(base64.b64decode(data["cosines"])) <= 4 * explorer.COSINES
    assert data["drawn"] >= 52
    assert f"{data['drawn']} of 130 scored images, drawn at random, can be relabelled here" in said(section)
    assert f"the most frequent {len(data['gallery'])} class" in said(section) and "of 2,000" in said(section)
    in_gallery = {n for of in data["gallery"] for kind, places in of.items() if kind != "class" for n in places}
    assert in_gallery <= set(map(int, data["pictures"]))
    assert cache.truth is not None
    counts = cache.truth.sum(axis=0)
    classes = [of["class"] for of in data["gallery"]]
    assert min(counts[classes]) >= np.sort(counts)[-len(classes)]  # none outside is shown by more images
    assert len(explorer_page(section, tmp_path / "a.html")) < 8_000_000


def test_thumbnails_stop_where_they_have_their_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = made(tmp_path, rows=120, classes=3, bad=0)
    draw_images(cache, tmp_path)
    whole = data_of(explorer_section(cache, tmp_path))["pictures"]
    assert len(whole) == 120
    one = len(base64.b64decode(whole["0"]["jpeg"]))
    monkeypatch.setattr(explorer, "PICTURE_BYTES", 30 * one)
    some = data_of(explorer_section(cache, tmp_path))
    assert 25 <= len(some["pictures"]) <= 30 + explorer.CHUNK + 16
    assert len(some["ids"]) == 120  # images without a picture are relabelled all the same


def test_the_same_cache_makes_the_same_page(tmp_path: Path) -> None:
    cache = made(tmp_path, rows=40, classes=4)
    draw_images(cache, tmp_path)
    pages = [
        explorer_page(explorer_section(open_cache(tmp_path / "fake.h5"), tmp_path), tmp_path / "a.html")
        for _ in range(2)
    ]
    assert pages[0] == pages[1]
    assert explorer_section(cache, tmp_path, seed=1) == explorer_section(cache, tmp_path, seed=1)


def test_of_a_large_cache_whole_blocks_of_rows_are_drawn(tmp_path: Path) -> None:
    cache = made(tmp_path, rows=5000, classes=2, grid=1, flips=1, width=2, bad=5)
    rows = drawn_rows(cache, 2100)
    assert np.array_equal(rows, drawn_rows(cache, 2100)) and not np.array_equal(rows, drawn_rows(cache, 2100, seed=1))
    drawn = np.unique(rows // 1024)
    assert len(drawn) == 2
    expected = [n for n in range(5000) if n // 1024 in drawn and cache.status[n] == "ok"]
    assert rows.tolist() == expected
    assert len(drawn_rows(cache, 5000)) == 4995
    assert len(np.unique(drawn_rows(cache, 10) // 1024)) == 1  # never none


@pytest.mark.parametrize("has_truth", [True, False])
def test_the_gallery_is_what_its_kinds_say_by_a_slow_loop(tmp_path: Path, has_truth: bool) -> None:
    random = np.random.default_rng(3)
    observed = random.choice([-1, 0, 0, 0, 1], size=(60, 5)).astype(np.int8)
    cache = made(tmp_path, {"observed": observed}, rows=60, bad=0, has_truth=has_truth)
    rows = np.arange(60)
    of = looked(cache, rows, SETTINGS)
    cosines = cache.similarity(rows).mean(axis=1)
    score, _ = damp_scores(cosines, observed, SETTINGS)
    code = damp_codes(cosines, observed, SETTINGS)
    whole_score, _ = damp_scores(cosines[:, :1], observed, SETTINGS)
    whole_code = damp_codes(cosines[:, :1], observed, SETTINGS)
    for c in range(5):
        shows = [cache.truth is None or cache.truth[n, c] == 1 for n in rows]
        surest = sorted((n for n in rows if code[n, c] == 1), key=lambda n: -score[n, c])
        missed = [n for n in rows if code[n, c] != 1 and observed[n, c] == 0 and shows[n]]
        low = sorted((n for n in rows if observed[n, c] == 1), key=lambda n: score[n, c])
        high = sorted((n for n in rows if observed[n, c] == -1), key=lambda n: -score[n, c])
        differ = [n for n in rows if (code[n, c] == 1) != (whole_code[n, c] == 1)]
        found = chosen(of, c, 4)
        assert found["surest"] == surest[:4]
        assert found["missed"] == sorted(missed, key=lambda n: -score[n, c])[:4]
        assert found["contradicted"] == [low[0], high[0], low[1], high[1]]
        assert found["different"] == sorted(differ, key=lambda n: -abs(score[n, c] - whole_score[n, c]))[:4]


@pytest.mark.parametrize(
    ("root", "reason"),
    [(None, "the folder of the images is not there"), ("elsewhere", "the file is not there any more")],
)
def test_images_that_were_moved_have_a_reason_in_words(tmp_path: Path, root: str | None, reason: str) -> None:
    cache = made(tmp_path)
    data = data_of(explorer_section(cache, None if root is None else tmp_path / root))
    assert {(of["jpeg"], of["reason"]) for of in data["pictures"].values()} == {("", reason)}


def test_an_unreadable_image_says_why_without_the_folder(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    [thumbnail] = Thumbnails(tmp_path, upright=True).of(["a.jpg"])
    assert thumbnail.jpeg == b"" and thumbnail.reason.startswith("a.jpg: ")
    assert str(tmp_path) not in thumbnail.reason


def test_images_in_a_tar_are_shown(tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.new("RGB", (30, 20), "teal").save(content, "PNG")
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        member = tarfile.TarInfo("0001.png")
        member.size = len(content.getvalue())
        content.seek(0)
        tar.addfile(member, content)
    [thumbnail] = Thumbnails(tmp_path, upright=True).of(["shard.tar/0001.png"])
    assert Image.open(io.BytesIO(thumbnail.jpeg)).size == thumbnail.size == (30, 20)


@pytest.mark.parametrize(("upright", "size"), [(True, (SIDE // 2, SIDE)), (False, (SIDE, SIDE // 2))])
def test_a_thumbnail_lies_as_the_cache_reads_the_image_and_keeps_none_of_its_metadata(
    tmp_path: Path, upright: bool, size: tuple[int, int]
) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "where it was taken"  # a quarter turn, a description
    Image.new("RGB", (1600, 800), "olive").save(tmp_path / "a.jpg", exif=exif, comment=b"private")
    [thumbnail] = Thumbnails(tmp_path, upright).of(["a.jpg"])
    assert thumbnail.size == size
    assert b"taken" not in thumbnail.jpeg and b"private" not in thumbnail.jpeg


def test_a_thumbnail_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    read: list[Path] = []

    def reading(path: Path, *given: Any, **named: Any) -> Image.Image:
        read.append(path)
        return read_image(path, *given, **named)

    monkeypatch.setattr(thumbnails, "read_image", reading)
    made_of = Thumbnails(tmp_path, upright=True)
    first, second, third = [*made_of.of(["a.png", "a.png"]), *made_of.of(["a.png"])]
    assert first is second is third and len(read) == 1 and made_of.bytes == len(first.jpeg)


def test_a_large_jpeg_is_decoded_no_larger_than_needed(tmp_path: Path) -> None:
    Image.linear_gradient("L").convert("RGB").resize((1600, 1200)).save(tmp_path / "a.jpg")
    Image.new("RGB", (1600, 1200)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.jpg").size == (1600, 1200)
    small = read_image(tmp_path / "a.jpg", at_least=300)
    assert small.size == (400, 300)
    plain = read_image(tmp_path / "a.jpg").resize((400, 300), Image.Resampling.BOX)
    assert np.abs(np.asarray(small, float) - np.asarray(plain, float)).max() < 8
    assert read_image(tmp_path / "a.jpg", at_least=1201).size == (1600, 1200)
    assert read_image(tmp_path / "a.png", at_least=300).size == (1600, 1200)


def test_names_that_look_like_markup_stay_names(tmp_path: Path) -> None:
    hostile = "</script><script>alert(1)</script>"
    cache = made(tmp_path, {"classes": (hostile, "\"'&", "\u05d7\u05ea\u05d5\u05dc", "🐈\u2028", "c")}, rows=9)
    page = explorer_page(explorer_section(cache, None), tmp_path / "a.html")
    assert "<script>alert" not in page
    assert "\u2028" not in page
    assert page.count("</script>") == 7  # of the data, and of the programs


def test_the_style_of_the_explorer_uses_colours_that_the_page_has() -> None:
    styles = {name: (ASSETS / name).read_text(encoding="utf-8") for name in ("page.css", "explorer.css")}
    declared = set(re.findall(r"(--[\w-]+):", "".join(styles.values()))) | {"--heat"}  # set on each tile
    used = set(re.findall(r"var\((--[\w-]+)\)", styles["explorer.css"]))
    assert used and used <= declared
