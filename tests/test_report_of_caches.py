"""What a cache's report draws against slow loops and against `aevlp inspect`, and what it says of a sample."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from test_report import hostile_cache

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.score_cache import ScoreCache, open_cache, write_cache
from aevlp.pipeline.score_cache.schema import ROWS_A_BLOCK
from aevlp.stages.caches.inspect import inspect
from aevlp.stages.report import report as reporting
from aevlp.stages.report import statistics as counting
from aevlp.stages.report.cache_charts import (
    co_occurrence,
    found_by_labels,
    histogram,
    positives_an_image,
    whole_beside_tiles,
)
from aevlp.stages.report.cache_sections import cache_sections
from aevlp.stages.report.drawn_rows import drawn_rows
from aevlp.stages.report.report import report
from aevlp.stages.report.section import Chart, Text
from aevlp.stages.report.statistics import statistics
from fakes import random_cache


def written(path: Path, *, truth: bool = True, **kinds: Any) -> ScoreCache:
    header, content = random_cache(**kinds)
    content.split = ["train"] * len(content)
    write_cache(path, replace(header, has_truth=truth), [content if truth else replace(content, truth=None)])
    return open_cache(path)


def drawn(chart: Chart | Text) -> list[Axes]:
    assert isinstance(chart, Chart)
    axes = Figure().subplots(*chart.panels, squeeze=False).ravel().tolist()
    chart.draw(axes)
    return axes


def legend(plot: Axes) -> list[str]:
    found = plot.get_legend()
    return [] if found is None else [text.get_text() for text in found.get_texts()]


def test_the_map_of_both_curves_is_the_one_that_inspect_has(tmp_path: Path) -> None:
    cache = written(tmp_path / "x.h5", rows=60, classes=6, bad=4)
    [plot] = drawn(whole_beside_tiles(statistics(cache)))
    maps = inspect(cache.path).teachers["train"]
    assert legend(plot) == [f"{name}, mAP {100 * maps[name]:.1f} %" for name in ("whole image", "multi-focus")]


def test_without_the_truth_the_curves_are_of_observed_positives(tmp_path: Path) -> None:
    cache = written(tmp_path / "x.h5", truth=False, rows=30, classes=4, bad=2)
    of = statistics(cache)
    chart = whole_beside_tiles(of)
    assert isinstance(chart, Chart) and chart.name == "found" and "precision is not" in chart.caption
    [plot] = drawn(found_by_labels(of))
    ok = np.flatnonzero(cache.status == "ok")
    scores, known = cache.similarity(ok).mean(axis=1)[:, 0], cache.observed[ok] == 1
    slow = {
        (round((scores >= least).sum() / len(ok), 9), round(100 * known[scores >= least].sum() / known.sum(), 6))
        for least in np.unique(scores)
        if known[scores >= least].any()
    }
    line = plot.get_lines()[0]
    found = {(round(x, 9), round(y, 6)) for x, y in np.asarray(line.get_xydata()).tolist()}
    assert line.get_label() == "whole image" and found == slow


def test_nothing_is_compared_where_nothing_is_known(tmp_path: Path) -> None:
    header, content = random_cache(rows=9)
    nothing = replace(content, truth=None, observed=np.zeros_like(content.observed))
    write_cache(tmp_path / "x.h5", replace(header, has_truth=False), [nothing])
    said = whole_beside_tiles(statistics(open_cache(tmp_path / "x.h5")))
    assert isinstance(said, Text) and "cannot be compared" in said.paragraphs[0]


@pytest.mark.parametrize("truth", [True, False])
def test_a_histogram_counts_every_entry_once(tmp_path: Path, truth: bool) -> None:
    cache = written(tmp_path / "x.h5", truth=truth, rows=40, classes=5, bad=3)
    of = statistics(cache)
    [plot] = drawn(histogram(of))
    counted = {name.get_label(): name.get_data() for name in plot.patches}  # type: ignore[attr-defined]
    ok = cache.status == "ok"
    kinds: dict[str, np.ndarray] = {"observed positive": cache.observed[ok] == 1, "not known": cache.observed[ok] == 0}
    if cache.truth is not None:
        kinds = {"true": cache.truth[ok] == 1, "false": cache.truth[ok] == 0}
    assert set(counted) == set(kinds)
    for name, where in kinds.items():
        values, edges, _ = counted[name]
        scores = cache.score(ok)[where]
        slow = [sum(low <= s < high for s in scores) for low, high in pairwise(edges)]
        assert values.tolist() == slow and sum(slow) == where.sum()


def test_positives_an_image_are_those_of_a_slow_loop(tmp_path: Path) -> None:
    cache = written(tmp_path / "x.h5", rows=50, classes=5, bad=2)
    [plot] = drawn(positives_an_image(statistics(cache), 2.5))
    ok, observed, truth = np.flatnonzero(cache.status == "ok"), cache.observed, cache.truth
    codes = cache.code(np.arange(len(cache)))
    assert truth is not None
    used = [sum(observed[n, c] == 1 or (observed[n, c] == 0 and codes[n, c] == 1) for c in range(5)) for n in ok]
    lines = {str(line.get_label()).partition(",")[0]: line for line in plot.get_lines()}
    for name, counts in (("with pseudo-labels", used), ("true", [int((truth[n] == 1).sum()) for n in ok])):
        places, shares = np.asarray(lines[name].get_xydata()).T
        assert np.allclose(shares, [100 * np.mean([count == place for count in counts]) for place in places])
    assert lines["expected"].get_xdata()[0] == 2.5  # type: ignore[index]


def test_labels_and_truth_stand_together_on_one_scale(tmp_path: Path) -> None:
    cache = written(tmp_path / "x.h5", rows=50, classes=5)
    [chart] = co_occurrence(cache, statistics(cache))
    labels, truth = (plot.get_images()[0] for plot in drawn(chart)[:2])
    assert labels.get_clim() == truth.get_clim()
    highest = max(float(np.nanmax(of.get_array().filled(np.nan))) for of in (labels, truth))  # type: ignore[union-attr]
    assert np.isclose(labels.get_clim()[1], highest)


def test_a_large_cache_is_looked_at_in_blocks_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = written(tmp_path / "x.h5", rows=4 * ROWS_A_BLOCK - 5, classes=3, grid=1, flips=1, bad=0)
    monkeypatch.setattr(counting, "LOOKED", 2 * ROWS_A_BLOCK)
    of = statistics(cache, seed=1)
    assert not of.complete and len(of.of.rows) <= 2 * ROWS_A_BLOCK
    assert (of.of.score == cache.score(of.of.rows)).all() and (of.of.code == cache.code(of.of.rows)).all()
    assert (statistics(cache, seed=1).of.rows == of.of.rows).all()
    seeds = {tuple(statistics(cache, seed=seed).of.rows[[0, -1]]) for seed in range(6)}
    assert len(seeds) > 1
    [said] = cache_sections(cache)[1].blocks[0].paragraphs  # type: ignore[union-attr]
    assert f"{len(statistics(cache).of.rows):,} of 4,091 scored images were looked at" in said


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ({"grid": 3, "flips": 2}, "seen whole and in 9 tiles of a grid of 3 by 3, plain and mirrored;"),
        ({"grid": 2, "flips": 1}, "seen whole and in 4 tiles of a grid of 2 by 2;"),
    ],
)
def test_what_an_image_was_seen_in_is_said_in_words(tmp_path: Path, kinds: dict[str, Any], said: str) -> None:
    text = cache_sections(written(tmp_path / "x.h5", **kinds))[0].blocks[1]
    assert isinstance(text, Text) and said in text.paragraphs[0]


def test_a_mistake_is_said_before_anything_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def computed(*given: object) -> None:
        raise AssertionError("the sections were computed")

    monkeypatch.setattr(reporting, "cache_sections", computed)
    cache = hostile_cache(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(AevlpError, match="--latex writes the table of a comparison"):
        report(cache, latex=tmp_path / "table.tex")
    with pytest.raises(AevlpError, match="is not a folder"):
        report(cache, figures=tmp_path / "file")
    assert not list(tmp_path.glob("*.html"))


def test_what_else_to_name_is_said_where_it_can_be_told(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("policy\n")
    with pytest.raises(AevlpError, match=r"of a sweep write s\.json instead"):
        report(tmp_path / "s.csv")
    for name in ("b-seed0", "a-seed0"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "settings.json").write_text("{}")
    with pytest.raises(AevlpError, match=r"it holds runs, name one of them, as .*a-seed0$"):
        report(tmp_path)


def test_a_page_says_what_its_columns_are_and_a_wide_chart_can_be_focused(tmp_path: Path) -> None:
    html = report(hostile_cache(tmp_path)).read_text(encoding="utf-8")
    assert "<summary>What the columns are</summary>" in html and "<dd>positives that DAMP adds</dd>" in html
    assert html.count('<div class="plot" tabindex="0" role="region" aria-label="Do the views agree">') == 1


def test_a_failed_page_leaves_the_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = report(hostile_cache(tmp_path))
    before = page.read_bytes()

    def full(*given: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(AevlpError, match="No space left"):
        report(tmp_path / "it's a cache.h5")
    assert page.read_bytes() == before and len(list(tmp_path.iterdir())) == 2


def test_of_a_large_cache_a_block_with_scored_images_is_drawn(tmp_path: Path) -> None:
    header, content = random_cache(rows=4 * ROWS_A_BLOCK, classes=3, grid=1, bad=0)
    for row in range(3 * ROWS_A_BLOCK):
        content.status[row] = "missing"
    write_cache(tmp_path / "x.h5", header, [content])
    rows = drawn_rows(open_cache(tmp_path / "x.h5"), ROWS_A_BLOCK)
    assert rows.tolist() == list(range(3 * ROWS_A_BLOCK, 4 * ROWS_A_BLOCK))
