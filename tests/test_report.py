"""aevlp report: what each kind of source becomes, what is refused, and that a page holds all that it shows."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from conftest import call, stage_two

import aevlp
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.score_cache import open_cache, write_cache
from aevlp.stages.report.report import report
from fakes import random_cache

HOSTILE = ["<script>alert(1)</script>", "quo\"te's & co", "\u202b\u05e2\u05d1\u202c", "\U0001f431 cat", "a$b_c^{d}"]
ELSEWHERE = re.compile(r"""(?:src|href|action|data)\s*=\s*["'](?!data:|#)""")


class Page(HTMLParser):
    """The ids of a page, the text of its headings, and the references to elsewhere."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.sections: list[str] = []
        self.asked: list[str] = []
        self.scripts = 0
        self.html = path.read_text(encoding="utf-8")
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if tag == "section" and found.get("id"):
            self.sections.append(str(found["id"]))
        self.scripts += tag == "script"
        for name in ("src", "href"):
            value = found.get(name)
            if value and not value.startswith(("#", "data:")):
                self.asked.append(value)


def hostile_cache(folder: Path, *, classes: int = 5, rows: int = 24, truth: bool = True, **kinds) -> Path:
    header, content = random_cache(rows=rows, classes=classes, **kinds)
    names = tuple((HOSTILE + [f"class_{n}" for n in range(classes)])[:classes])
    if not truth:
        content.truth = None
    path = folder / "it's a cache.h5"
    write_cache(path, replace(header, classes=names, has_truth=truth), [content])
    return path


def test_a_cache_becomes_a_page_beside_it_that_asks_for_nothing(tmp_path: Path) -> None:
    path = hostile_cache(tmp_path)
    page = report(path)
    assert page == tmp_path / "it's a cache.report.html"
    found = Page(page)
    assert found.sections == ["cache", "classes", "scores", "views", "explorer"]
    assert found.asked == [] and not ELSEWHERE.search(found.html)
    assert len(found.ids) == len(set(found.ids))
    assert "<script>alert(1)</script>" not in found.html.replace("\\u003c", "<").split('type="application/json"')[0]
    assert found.html.count("<script>alert") == 0
    before = page.read_bytes()
    assert report(path).read_bytes() == before  # equal caches, equal pages


@pytest.mark.parametrize("weights", ["random", "openai"])
def test_random_weights_are_warned_of(weights: str, tmp_path: Path) -> None:
    header, content = random_cache()
    header.provenance["clip"]["weights"] = weights
    write_cache(tmp_path / "x.h5", header, [content])
    assert ('<p class="warning">The CLIP has RANDOM' in Page(report(tmp_path / "x.h5")).html) is (weights == "random")


@pytest.mark.parametrize("kinds", [{"truth": False}, {"classes": 1}, {"grid": 1}, {"bad": 24}, {"flips": 1}])
def test_odd_caches_have_a_page_too(tmp_path: Path, kinds: dict) -> None:
    path = hostile_cache(tmp_path, **kinds)
    found = Page(report(path))
    assert found.sections[0] == "cache" and found.asked == []


@pytest.mark.slow
def test_two_thousand_classes(tmp_path: Path) -> None:
    page = report(hostile_cache(tmp_path, classes=2000, rows=12))
    assert "of the 40 most frequent of 2,000 classes" in page.read_text()
    assert page.stat().st_size < 15_000_000


@pytest.mark.slow
def test_a_run_a_comparison_and_a_sweep(cache_path: Path, tmp_path: Path) -> None:
    run = stage_two(cache_path, tmp_path / "run", backbone="linear", epochs=2)
    found = Page(report(run))
    assert found.sections[:4] == ["run", "training", "quality", "cache"] and found.asked == []
    warning = '<p class="warning">The CLIP has RANDOM weights, as was asked'
    assert found.html.count(warning) == 2 and found.html.index(warning) < found.html.index("A classifier with")
    assert len(found.ids) == len(set(found.ids))
    comparison = aevlp.compare(
        cache_path, losses=["an", "gpr"], seeds=2, backbone="linear", epochs=2, runs=tmp_path / "c"
    )
    page = aevlp.report(comparison)
    assert page == tmp_path / "c" / "report.html" == report(tmp_path / "c" / "results.json")
    assert Page(page).sections == ["comparison", "differences", "curves"]
    swept = aevlp.sweep(cache_path, output=tmp_path / "s.json")
    assert aevlp.report(swept) == tmp_path / "s.report.html"
    assert Page(tmp_path / "s.report.html").sections == ["recommended", "settings", "constants"]
    with pytest.raises(AevlpError, match="this sweep is in no file"):
        aevlp.report(aevlp.sweep(cache_path))


@pytest.mark.slow
def test_a_run_without_its_cache_or_test_split_says_so(cache_path: Path, tmp_path: Path) -> None:
    run = stage_two(cache_path, tmp_path / "run", backbone="linear", epochs=1)
    settings = json.loads((run / "settings.json").read_text())
    (run / "settings.json").write_text(json.dumps({**settings, "cache": str(tmp_path / "gone.h5")}))
    assert "which this run was trained from, is not there any more" in report(run).read_text()
    (run / "settings.json").write_text(json.dumps({**settings, "cache_fingerprint": "0"}))
    assert "is not the cache any more that this run was trained from" in report(run).read_text()
    (run / "settings.json").write_text(json.dumps(settings))
    (run / "test.safetensors").unlink()
    lines = (run / "metrics.jsonl").read_text().splitlines()
    (run / "metrics.jsonl").write_text(lines[0] + "\n")
    assert "no predictions of a test split: it is not finished" in report(run).read_text()


def test_figures_and_latex(cache_path: Path, tmp_path: Path) -> None:
    comparison = aevlp.compare(
        cache_path, losses=["an", "gpr"], seeds=1, backbone="linear", epochs=1, runs=tmp_path / "c"
    )
    report(comparison.folder, figures=tmp_path / "figures", latex=tmp_path / "table.tex")
    written = sorted(file.name for file in (tmp_path / "figures").iterdir())
    assert written == [
        f"{name}.{kind}" for name in ("cost", "differences", "map", "validation") for kind in ("pdf", "svg")
    ]
    assert (tmp_path / "figures" / "map.pdf").read_bytes().startswith(b"%PDF")
    table = (tmp_path / "table.tex").read_text()
    rows = [line for line in table.splitlines() if line.endswith("\\\\")]
    assert {line.count("&") for line in rows} == {5} and len(rows) == 1 + len(comparison.record["teachers"]) + 2
    assert f"{100 * comparison.rows[-1]['mean']:.2f}" in table
    with pytest.raises(AevlpError, match="--latex writes the table of a comparison"):
        report(cache_path, latex=tmp_path / "no.tex")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("gone.h5", None, "no cache"),
        ("nothing", None, "is no cache"),
        ("s.csv", "a,b", "is no cache"),
        ("s.json", "{}", "does not hold a sweep"),
        ("s.json", "{", "cannot read"),
        ("results.json", '{"methods": {}}', "does not hold the results of aevlp compare"),
    ],
)
def test_what_is_no_source_is_refused_in_a_line(
    tmp_path: Path, name: str, content: str | None, said: str, capsys: pytest.CaptureFixture
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    assert call("report", tmp_path / name) == 1
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not list(tmp_path.glob("*.html"))


def test_the_corrections_are_in_the_figures(cache_path: Path, tmp_path: Path) -> None:
    cache = open_cache(cache_path)
    row, column = next(zip(*np.nonzero(cache.observed == 0), strict=True))
    answers = tmp_path / "a.csv"
    answers.write_text(f"image,class,answer\n{cache.ids[row]},{cache.classes[column]},yes\n")
    assert "1 label answered in review: 1 present" in report(cache_path, corrections=answers).read_text()


def test_a_folder_of_images_that_is_none_is_refused_and_the_page_stays(tmp_path: Path) -> None:
    path = hostile_cache(tmp_path)
    page = report(path)
    before = page.read_bytes()
    with pytest.raises(AevlpError, match="no such folder"):
        report(path, data_root=tmp_path / "nowhere")
    assert page.read_bytes() == before


def test_labels_that_are_complete_are_said_to_be(tmp_path: Path) -> None:
    header, content = random_cache(rows=24)
    assert content.truth is not None
    content.observed = content.truth.copy()
    write_cache(tmp_path / "x.h5", header, [content])
    said = "taken for all that they show"
    assert said in report(tmp_path / "x.h5").read_text()
    assert said not in report(hostile_cache(tmp_path)).read_text()
