"""What a report shows against scikit-learn and slow loops, and charts as SVG."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import f1_score, precision_recall_curve

from aevlp.pipeline.evaluation.metrics import reliability
from aevlp.pipeline.score_cache import open_cache, write_cache
from aevlp.stages.experiments.compare import Comparison
from aevlp.stages.report.charts import FAINT, INK, SERIES, colour, save, svg
from aevlp.stages.report.latex import comparison_table
from aevlp.stages.report.run_charts import THRESHOLDS, f1_curves
from aevlp.stages.report.section import Chart
from aevlp.stages.report.statistics import DRAWS, curve, label_quality, statistics, together
from aevlp.stages.stage_two.loss_schedules import loss_schedules
from fakes import random_cache

SCORES = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.9, 1.0]), st.booleans()), min_size=2, max_size=30)


@settings(max_examples=60, deadline=None)
@given(SCORES.filter(lambda entries: any(positive for _, positive in entries)))
def test_a_curve_is_scikit_learns(entries: list) -> None:
    scores, positive = np.array([s for s, _ in entries]), np.array([p for _, p in entries])
    recall, precision = curve(scores, positive)
    theirs = precision_recall_curve(positive, scores)
    assert np.allclose(recall[::-1], theirs[1][:-1]) and np.allclose(precision[::-1], theirs[0][:-1])


def test_a_long_curve_is_thinned_between_its_ends() -> None:
    random = np.random.default_rng(0)
    scores, positive = random.random(20_000), random.random(20_000) < 0.1
    recall, precision = curve(scores, positive)
    assert len(recall) <= 200 and recall[-1] == 1 and np.isclose(precision[-1], positive.mean())


@settings(max_examples=40, deadline=None)
@given(SCORES)
def test_reliability_is_scikit_learns(entries: list) -> None:
    scores, positive = np.array([s for s, _ in entries]), np.array([p for _, p in entries])
    found = reliability(scores, positive)
    share, mean, count, error = found.share, found.mean, found.count, found.error
    # theirs counts an edge to the bin below it: move inside
    theirs = calibration_curve(positive, np.where(scores == 1, 1, scores + 1e-9), n_bins=10)
    assert np.allclose(share[count > 0], theirs[0]) and np.allclose(mean[count > 0], theirs[1], atol=1e-6)
    slow = sum(abs(share[b] - mean[b]) * count[b] for b in range(10) if count[b]) / len(scores)
    assert np.isclose(error, slow) and count.sum() == len(scores)


def test_f1_curves_are_scikit_learns() -> None:
    random = np.random.default_rng(1)
    scores, positive = random.random((40, 3)), random.random((40, 3)) < 0.4
    micro, macro = f1_curves(scores, positive)
    for place in (0, 20, 48):
        labelled = scores >= THRESHOLDS[place]
        assert np.isclose(micro[place], f1_score(positive, labelled, average="micro"))
        assert np.isclose(macro[place], f1_score(positive, labelled, average="macro"))


def test_label_quality_and_co_occurrence_are_those_of_slow_loops() -> None:
    random = np.random.default_rng(2)
    codes = random.integers(-1, 2, (30, 4)).astype(np.int8)
    observed = random.integers(-1, 2, (30, 4)).astype(np.int8)
    truth = random.integers(0, 2, (30, 4)).astype(np.int8)
    precision, recall, f1 = label_quality(codes, observed, truth)
    for c in range(4):
        claimed = [n for n in range(30) if codes[n, c] == 1 and observed[n, c] != 1]
        present = [n for n in range(30) if truth[n, c] == 1 and observed[n, c] != 1]
        hits = len(set(claimed) & set(present))
        assert np.isclose(precision[c], hits / len(claimed)) and np.isclose(recall[c], hits / len(present))
        assert np.isclose(f1[c], 2 * hits / (len(claimed) + len(present)))
    both = together(codes)
    for a in range(4):
        with_a = [n for n in range(30) if codes[n, a] == 1]
        assert np.allclose(both[a], [np.mean([codes[n, b] == 1 for n in with_a]) for b in range(4)])


def test_statistics_of_views_are_those_of_the_cache(tmp_path: Path) -> None:
    header, content = random_cache(rows=40, classes=6, grid=2, bad=3)
    write_cache(tmp_path / "x.h5", header, [content])
    cache = open_cache(tmp_path / "x.h5")
    found = statistics(cache)
    ok = np.flatnonzero(cache.status == "ok")
    assert found.complete and (found.of.rows == ok).all() and found.images == 37
    mean = cache.similarity(ok).mean(axis=1)
    agree = [np.mean([mean[n, v].argmax() == mean[n, 0].argmax() for n in range(len(ok))]) for v in range(1, 5)]
    assert np.allclose(found.agreement, agree)
    still = cache.codes(found.settings)[ok]
    changed = [cache.codes(found.settings, epoch)[ok] != still for epoch in range(1, DRAWS + 1)]
    assert found.changes is not None and np.allclose(found.changes, np.mean(changed, axis=(0, 1)))
    assert ((found.whole + found.tiles) == (still == 1).sum(axis=0)).all()


def drawing(names: Sequence[str], title: str = "a title") -> Chart:
    def draw(axes) -> None:
        axes[0].plot([0, 1], [0, 1], color=colour(0), label=names[0])
        axes[0].set_yticks(range(len(names)), names)
        axes[0].legend()

    return Chart("chart", title, "what one sees", draw)


NAMES = ["<script>alert(1)</script>", "a$b_c^{d}$", 'quo"te & co', "\u202b\u05e2\u05d1\u202c", "\U0001f431 cat"]


def test_a_chart_is_well_formed_equal_each_time_and_literal(recwarn: pytest.WarningsRecorder) -> None:
    drawn = svg(drawing(NAMES, 'a "title" <b>'))
    root = ElementTree.fromstring(drawn)
    assert root.tag == "{http://www.w3.org/2000/svg}svg" and root.get("role") == "img" and "width" not in root.attrib
    assert root.get("aria-label") == 'a "title" <b>. what one sees'
    texts = {"".join(element.itertext()).strip() for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {name for name in NAMES if "\u202b" not in name} <= texts
    assert "<script" not in drawn and drawn == svg(drawing(NAMES, 'a "title" <b>'))
    assert "#101112" not in drawn and "currentColor" in drawn and "var(--series-" in drawn
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_what_a_chart_refers_to_is_in_it_under_its_own_name() -> None:
    ids = []
    for name in ("one", "two"):
        root = ElementTree.fromstring(svg(Chart(name, "t", "c", drawing(["a"]).draw)))
        own = [element.get("id") for element in root.iter() if element.get("id")]
        used = [
            v.split("#")[1].split(")")[0]
            for e in root.iter()
            for v in e.attrib.values()
            if "url(#" in v or v[:1] == "#"
        ]
        assert used and set(used) == set(own) and len(own) == len(set(own))
        ids += own
    assert len(ids) == len(set(ids))  # on one page


def texts_of(chart: Chart) -> list[str]:
    root = ElementTree.fromstring(svg(chart))
    return ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]


def test_a_name_that_reads_as_a_colour_is_drawn_as_it_is() -> None:
    names = [SERIES[0], INK, FAINT]
    assert set(names) <= set(texts_of(drawing(names, SERIES[1])))
    label = ElementTree.fromstring(svg(drawing(names, SERIES[1]))).get("aria-label")
    assert label == f"{SERIES[1]}. what one sees"


def test_the_users_own_style_of_matplotlib_changes_no_chart() -> None:
    plain = svg(drawing(["a"]))
    theirs: dict[Any, Any] = {"text.usetex": True, "font.size": 30, "axes.grid": True, "axes.labelsize": 30}
    with matplotlib.rc_context(theirs):
        assert svg(drawing(["a"])) == plain
        assert matplotlib.rcParams["text.usetex"] and matplotlib.rcParams["font.size"] == 30  # theirs again


@pytest.mark.parametrize(("values", "tick"), [([1, 6], "4"), ([12, 28], "20"), ([1, 2_000_000], "1,000,000")])
def test_ticks_of_a_logarithmic_axis_are_plain_numbers(values: list[int], tick: str) -> None:
    def draw(axes) -> None:
        axes[0].bar([0, 1], values)
        axes[0].set(yscale="log")

    found = texts_of(Chart("c", "t", "c", draw))
    assert tick in found and not [text for text in found if "$" in text]


def test_saved_charts_are_files_for_a_paper(tmp_path: Path) -> None:
    vector, document = save(drawing(["a"]), tmp_path)
    assert ElementTree.parse(vector).getroot().tag.endswith("svg") and "currentColor" not in vector.read_text()
    assert document.read_bytes().startswith(b"%PDF")
    before = vector.read_bytes(), document.read_bytes()
    assert tuple(path.read_bytes() for path in save(drawing(["a"]), tmp_path)) == before


def test_schedules_are_those_of_the_loss() -> None:
    from aevlp import gpr_schedule

    beta, alpha = (0, 10, -2, -8), (0.5, 2, 0.8, 0.5)
    expected = [gpr_schedule(epoch, 6, 0, beta, alpha) for epoch in range(1, 7)]
    for loss, constants in (("gpr", {"expected_positives": 2.0}), ("gr", {})):
        found = loss_schedules(loss, 4, {"beta": beta, "alpha": alpha, **constants}, 6)
        assert {name: tuple(values) for name, values in found.items()} == dict(
            zip(("w", "b", "mu", "sigma"), zip(*expected, strict=True), strict=True)
        )
    assert np.allclose(loss_schedules("ll-r", 4, {}, 3)["clean_rate"], [1, 0.998, 0.996])
    assert loss_schedules("an", 4, {}, 6) == {}


def test_latex_escapes_names() -> None:
    plain = {"loss": "my_loss:A&B", "policy": "50%", "mean": 0.5, "baseline": True, "differs": False, "oracle": False}
    row = {**plain, "interval": None, "interval_reason": "too few positives, 2 classes below 5"}
    record = {
        "teachers": [{"title": "CLIP, x#1", "mean": 0.25, "interval": [0.2, 0.3]}],
        "methods": [
            row,
            {**row, "baseline": False, "difference": -0.1, "difference_interval": [-0.2, -0.05], "differs": True},
            {**row, "policy": None, "baseline": False, "difference": 0.0, "difference_interval": None, "oracle": True},
        ],
        "intervals": {"level": 0.95, "method": "jack_knife"},
        "seeds": 2,
        "dataset": "a_b",
        "baseline": "my_loss:A&B",
    }
    table = comparison_table(Comparison(record, Path()))
    assert r"my\_loss:A\&B & 50\% & 50.00 & -- & baseline & -- \\" in table
    assert r"my\_loss:A\&B & 50\% & 50.00 & -- & $-10.00$$^*$ & [$-20.00$, $-5.00$] \\" in table
    assert r"CLIP, x\#1 & -- & 25.00 & [$20.00$, $30.00$] & -- & -- \\" in table
    assert r"my\_loss:A\&B & --, full labels & 50.00 & -- & $+0.00$ & -- \\" in table
    [caption] = [line for line in table.splitlines() if line.startswith("\\caption")]
    assert r"on a\_b, mean of 2 seeds, with 95\,\% intervals (jack\_knife)" in caption
    assert "does not hold 0; no interval: too few positives, 2 classes below 5." in caption
