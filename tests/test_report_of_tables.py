"""What the reports of a comparison and a sweep draw, against what their records say, and what they say of odd ones."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_report_of_caches import drawn
from test_report_of_runs import blocks, charts, words

from aevlp.pipeline.training.run_folder import RunFolder
from aevlp.stages.experiments.compare import Comparison
from aevlp.stages.experiments.sweep import Sweep
from aevlp.stages.report.comparison_sections import comparison_sections
from aevlp.stages.report.section import Table
from aevlp.stages.report.sweep_sections import sweep_sections


def method(loss: str, policy: str | None, mean: float, lead: float | None, runs: Sequence[str] = ()) -> dict[str, Any]:
    ends = None if lead is None else [lead - 0.02, lead + 0.02]
    return {
        "loss": loss,
        "policy": policy,
        "paper": "X et al.",
        "year": 2024,
        "oracle": False,
        "baseline": lead is None,
        "each": [mean - 0.01, mean + 0.01],
        "mean": mean,
        "interval": [mean - 0.03, mean + 0.03],
        "difference": lead or 0.0,
        "difference_interval": ends,
        "differs": ends is not None and not ends[0] <= 0 <= ends[1],
        "seconds": 100 * mean,
        "runs": list(runs),
    }


def comparison(folder: Path, methods: Sequence[dict[str, Any]], left_out: dict[str, str] | None = None) -> Comparison:
    record = {
        "cache": "cache/x.h5",
        "cache_fingerprint": "0" * 64,
        "dataset": "x",
        "images": {"train": 8, "val": 4, "test": 4},
        "seeds": 2,
        "baseline": "an",
        "intervals": {"level": 0.95, "method": "jackknife"},
        "teachers": [{"title": "CLIP, multi-focus", "mean": 0.6, "interval": [0.5, 0.7]}],
        "methods": list(methods),
        "left_out": left_out or {},
        "versions": {"aevlp": "0.1.0"},
    }
    return Comparison(json.loads(json.dumps(record)), folder)


def trained(folder: Path, name: str, maps: Sequence[float]) -> str:
    RunFolder(folder / name).path.mkdir()
    lines = [{"epoch": n, "loss": 0.1, "val_map": of, "best": True} for n, of in enumerate(maps, 1)]
    RunFolder(folder / name).write_metrics(lines)
    return f"/where/it/was/{name}"


def test_differences_are_those_of_the_record_and_filled_where_they_differ(tmp_path: Path) -> None:
    methods = [method("gpr", "damp", 0.55, 0.05), method("vlpl", "vlpl", 0.51, 0.01), method("an", None, 0.5, None)]
    found = comparison_sections(comparison(tmp_path, methods))
    [plot] = drawn(charts(found)["differences"])
    assert [label.get_text() for label in plot.get_yticklabels()] == ["vlpl", "gpr"]
    points = [line for line in plot.lines if line.get_marker() == "o"]
    assert np.allclose([float(np.asarray(line.get_xdata())[0]) for line in points], [1, 5])
    assert [line.get_markerfacecolor() == "none" for line in points] == [True, False]
    bars = [np.asarray(line.get_xdata()) for line in plot.lines if line.get_marker() != "o"][1:]  # after that of 0
    assert np.allclose(bars, [[-1, 3], [3, 7]])
    [cost] = drawn(charts(found)["cost"])
    assert [text.get_text() for text in cost.texts] == ["gpr", "vlpl", "an"]
    assert np.allclose([np.asarray(line.get_xydata())[0] for line in cost.lines], [[55, 55], [51, 51], [50, 50]])


def test_curves_are_read_where_the_comparison_is_now_and_runs_that_are_gone_are_said(tmp_path: Path) -> None:
    an = [trained(tmp_path, "an-seed0", [0.1, 0.2, 0.3]), trained(tmp_path, "an-seed1", [0.3, 0.4])]
    methods = [method("gpr", "damp", 0.55, 0.05, ["/where/it/was/gpr-seed0"]), method("an", None, 0.5, None, an)]
    found = comparison_sections(comparison(tmp_path, methods))
    assert "1 run of the comparison is not there any more: it has no curve." in words(found)
    [plot] = drawn(charts(found)["validation"])
    curves = [np.asarray(line.get_ydata()).tolist() for line in plot.lines]
    assert plot.get_title() == "an" and np.allclose(curves[0], [10, 20, 30]) and np.allclose(curves[1], [30, 40])
    assert np.allclose(curves[2], [20, 30])  # the mean, as far as both go


def test_panels_of_a_comparison_have_the_same_axes(tmp_path: Path) -> None:
    runs = [trained(tmp_path, "gpr-seed0", [0.5]), trained(tmp_path, "an-seed0", [0.1, 0.2, 0.3])]
    methods = [method("gpr", "damp", 0.55, 0.05, runs[:1]), method("an", None, 0.5, None, runs[1:])]
    panels = drawn(charts(comparison_sections(comparison(tmp_path, methods)))["validation"])
    assert len({(plot.get_xlim(), plot.get_ylim()) for plot in panels}) == 1


def test_the_table_has_every_method_and_what_was_left_out_is_said(tmp_path: Path) -> None:
    methods = [method("gpr", "damp", 0.55, 0.05), method("gpr", "vlpl", 0.52, 0.02), method("an", None, 0.5, None)]
    found = comparison_sections(comparison(tmp_path, methods, {"scpnet": "no relation"}))
    [table] = blocks(found, Table)
    columns = {column.header: column.values for column in table.columns}
    assert columns["method"] == ["CLIP, multi-focus", "gpr + damp", "gpr + vlpl", "an"]
    assert np.allclose(columns["mAP"], [60, 55, 52, 50]) and columns["of the difference"][-1] == "baseline"
    assert "scpnet: no relation" in words(found)


def test_a_baseline_alone_has_no_differences(tmp_path: Path) -> None:
    found = charts(comparison_sections(comparison(tmp_path, [method("an", None, 0.5, None)])))
    assert list(found) == ["map", "cost"]


def setting(policy: str, merit: float, own: bool = False, **constants: float) -> dict[str, Any]:
    val = {
        "precision": merit + 0.1,
        "recall": merit - 0.1,
        "f1": merit,
        "negative_precision": 0.9,
        "observed_recall": 0.5,
        "share": 0.2,
        "positives": 2.0,
        "negatives": 3.0,
    }
    return {"views": "grid", "policy": policy, "constants": constants, "own": own, "merit": merit, "val": val}


def swept(results: Sequence[dict[str, Any]], changes: dict[str, float]) -> Sweep:
    return Sweep(
        {
            "cache": "cache/x.h5",
            "caches": [{"cache": "cache/x.h5", "views": "grid"}],
            "images": {"train": 8, "val": 100},
            "criterion": "F1 on the validation part",
            "recommended": {**results[0], "line": "damp: {threshold: 0.1}", "changes": changes},
            "settings": len(results),
            "results": list(results),
            "versions": {"aevlp": "0.1.0"},
        }
    )


BOTH = [
    setting("damp", 0.60, threshold=0.1, temperature=0.1),
    setting("vlpl", 0.58, own=True, threshold=0.3, temperature=0.2),
    setting("damp", 0.50, own=True, threshold=0.2, temperature=0.1),
    setting("damp", 0.40, threshold=0.2, temperature=0.2),
]


def test_a_recommendation_is_beside_the_manifests_own_setting_of_its_policy() -> None:
    said = words(sweep_sections(swept(BOTH, {"threshold": 0.1})))
    assert "damp with grid, F1 60.0, instead of 50.0 with the manifest's own setting of that policy." in said
    own = [{**BOTH[0], "own": True}]
    assert "the manifest's own setting, damp with grid, F1 60.0: there is nothing to change." in words(
        sweep_sections(swept(own, {}))
    )


def test_each_constant_has_its_best_on_one_scale_and_the_map_the_best_of_both() -> None:
    found = charts(sweep_sections(swept(BOTH, {"threshold": 0.1})))
    threshold, temperature = drawn(found["constants"])
    assert np.allclose(np.asarray(threshold.lines[0].get_xydata()), [[0.1, 60], [0.2, 50]])  # of damp alone
    assert np.allclose(np.asarray(temperature.lines[0].get_xydata()), [[0.1, 60], [0.2, 40]])
    assert threshold.get_ylim() == temperature.get_ylim()  # so that a flat line is one that hardly matters
    [plot] = drawn(found["map-of-settings"])
    [image] = plot.images
    shown = np.ma.filled(np.ma.asarray(image.get_array(), dtype=float), np.nan)
    assert np.allclose(shown, [[60, np.nan], [50, 40]], equal_nan=True)


def test_what_settings_trade_is_their_precision_against_their_recall() -> None:
    [plot] = drawn(charts(sweep_sections(swept(BOTH, {"threshold": 0.1})))["trade"])
    every, own, recommended = (np.asarray(line.get_xydata()) for line in plot.lines)
    assert np.allclose(every, [[50, 70], [48, 68], [40, 60], [30, 50]])
    assert np.allclose(own, [[48, 68], [40, 60]]) and np.allclose(recommended, [[50, 70]])


@pytest.mark.parametrize("shown", [3, 50])
def test_the_table_has_the_best_settings_and_the_manifests_own(shown: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aevlp.stages.report.sweep_sections.SHOWN", shown)
    many = [setting("damp", 0.9 - n / 100, own=n == 20, threshold=n / 100) for n in range(30)]
    [table] = blocks(sweep_sections(swept(many, {"threshold": 0.0})), Table)
    thresholds = next(column.values for column in table.columns if column.header == "threshold")
    assert np.allclose(thresholds, [0, 0.01, 0.02, 0.2] if shown == 3 else np.arange(30) / 100)
