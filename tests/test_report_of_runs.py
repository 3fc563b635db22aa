"""What the report of a run shows against scikit-learn and slow loops, and what it says of odd runs."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, label_ranking_average_precision_score
from test_report_of_caches import drawn

from aevlp.pipeline.score_cache import ScoreCache, open_cache, write_cache
from aevlp.pipeline.training.run_folder import RunFolder
from aevlp.stages.report.run_sections import run_sections
from aevlp.stages.report.section import Chart, Pictures, Section, Table, Text
from aevlp.stages.stage_two.run import Run
from fakes import random_cache

GLOBAL = {
    "name": "global",
    "constants": {"temperature": 0.1, "eta": 1.0, "threshold": 0.2, "top_k": 3, "negative_ratio": 0.5},
}
EPOCHS = [
    {"epoch": 1, "loss": 0.5, "val_map": 0.25, "best": True, "seconds": 4.0, "waiting": 1.0},
    {"epoch": 2, "loss": 0.25, "val_map": 0.5, "best": True, "seconds": 3.0, "waiting": 0.5},
]
END = {"test_map": 0.5, "best_epoch": 2}


def cached(folder: Path, *, truth: bool = True, rows: int = 150, **kinds: Any) -> ScoreCache:
    header, content = random_cache(rows=rows, storage="float32", **kinds)
    content = content if truth else replace(content, truth=None)
    write_cache(folder / "x.h5", replace(header, has_truth=truth), [content])
    return open_cache(folder / "x.h5")


def run_on(cache: ScoreCache, metrics: Sequence[dict], logits: np.ndarray | None = None, **settings: Any) -> Run:
    """Return a run as a training leaves it, without its weights; logits: (n, C) of the test rows that could be read."""
    folder = RunFolder(cache.path.parent / "run")
    said = {
        "cache": str(cache.path),
        "cache_fingerprint": cache.fingerprint,
        "data_root": str(cache.path.parent),
        "dataset": "x",
        "loss": {"name": "gr", "beta": [0, 2, -2, -2]},
        "policy": None,
        "recipe": {"backbone": "linear", "epochs": 2, "val_fraction": 0.2},
        "seed": 0,
        "versions": {"aevlp": "0.1.0"},
        "evaluated_by": "observed" if cache.truth is None else "truth",
        "teacher": {"split": "test", "policy": GLOBAL, "maps": {"multi-focus": 0.4}},
    }
    folder.start({**said, **settings})
    folder.write_metrics(list(metrics))
    if logits is not None:
        folder.save_logits("test", test_rows(cache), logits)
    return Run(folder.path)


def test_rows(cache: ScoreCache) -> np.ndarray:
    return np.flatnonzero((cache.split == "test") & (cache.status == "ok"))


test_rows.__test__ = False  # type: ignore[attr-defined]


def finished(folder: Path, *, spread: float = 2.0, **kinds: Any) -> tuple[ScoreCache, Run, np.ndarray]:
    cache = cached(folder, **kinds)
    rows = test_rows(cache)
    known = cache.observed if cache.truth is None else cache.truth
    logits = spread * np.random.default_rng(5).normal(size=(len(rows), len(cache.classes))) + (known[rows] == 1)
    return cache, run_on(cache, [*EPOCHS, END], logits.astype(np.float32)), logits.astype(np.float32)


def blocks(sections: Sequence[Section], kind: type) -> list[Any]:
    return [block for section in sections for block in section.blocks if isinstance(block, kind)]


def charts(sections: Sequence[Section]) -> dict[str, Chart]:
    return {chart.name: chart for chart in blocks(sections, Chart)}


def words(sections: Sequence[Section]) -> str:
    return "\n".join(paragraph for text in blocks(sections, Text) for paragraph in text.paragraphs)


def test_each_class_and_its_teacher_are_scikit_learns_on_the_test_images(tmp_path: Path) -> None:
    cache, run, logits = finished(tmp_path)
    rows = test_rows(cache)
    assert cache.truth is not None
    truth = cache.truth[rows] == 1
    whole = cache.similarity(rows).mean(axis=1)[:, 0].astype(np.float64) / GLOBAL["constants"]["temperature"]
    clip = np.exp(whole) / np.exp(whole).sum(axis=1, keepdims=True)  # global reads the whole image alone
    [table] = blocks(run_sections(run, cache, None), Table)
    columns = {column.header: column.values for column in table.columns}
    expected = [100 * average_precision_score(truth[:, c], logits[:, c]) for c in range(5)]
    assert np.allclose(columns["AP"], expected) and columns["class"] == cache.classes
    teacher = [100 * average_precision_score(truth[:, c], clip[:, c]) for c in range(5)]
    assert np.allclose(columns["CLIP's AP"], teacher, atol=1e-3)
    assert np.allclose(columns["added"], np.subtract(expected, teacher), atol=1e-3)
    [plot] = drawn(charts(run_sections(run, cache, None))["classes"])
    shown = next(line for line in plot.lines if str(line.get_label()).startswith("this run"))
    assert np.allclose(np.asarray(shown.get_xdata()), sorted(expected))


def test_a_class_of_few_positives_has_a_reason_in_the_place_of_an_interval(tmp_path: Path) -> None:
    cache, run, _ = finished(tmp_path)
    assert cache.truth is not None
    counts = (cache.truth[test_rows(cache)] == 1).sum(axis=0)
    assert counts.min() <= 20 < counts.max()  # both kinds are there
    [table] = blocks(run_sections(run, cache, None), Table)
    [said] = [column.values for column in table.columns if column.header == "95 % interval"]
    assert [of == "too few positives" for of in said] == (counts <= 20).tolist()
    [plot] = drawn(charts(run_sections(run, cache, None))["classes"])
    bars = [line for line in plot.lines if len(np.asarray(line.get_xdata())) == 2]
    assert len(bars) == (counts > 20).sum()


def test_curves_and_times_are_those_that_were_measured(tmp_path: Path) -> None:
    cache = cached(tmp_path)
    found = charts(run_sections(run_on(cache, EPOCHS), cache, None))
    loss, val = drawn(found["curves"])
    assert np.asarray(loss.lines[0].get_ydata()).tolist() == [0.5, 0.25]
    assert np.asarray(val.lines[0].get_ydata()).tolist() == [25.0, 50.0]
    [plot] = drawn(found["time"])
    heights = [bar.get_height() for bar in plot.patches]  # type: ignore[attr-defined]
    assert heights == [3.0, 2.5, 1.0, 0.5]
    schedule = drawn(found["schedules"])
    assert [plot.get_title() for plot in schedule] == ["w", "mu", "sigma"]


def test_the_worst_and_best_pictures_are_those_of_a_slow_ranking(tmp_path: Path) -> None:
    cache, run, logits = finished(tmp_path)
    rows = test_rows(cache)
    assert cache.truth is not None
    truth = cache.truth[rows] == 1
    worst, best = blocks(run_sections(run, cache, None), Pictures)
    ranked = {
        cache.ids[row]: label_ranking_average_precision_score(truth[[n]], logits[[n]])
        for n, row in enumerate(rows)
        if 0 < truth[n].sum() < 5
    }
    order = sorted(ranked.values())
    assert np.allclose([ranked[picture.alt.partition(",")[0]] for picture in worst.pictures], order[:8])
    several = sorted(ranked[cache.ids[row]] for n, row in enumerate(rows) if 1 < truth[n].sum() < 5)
    assert np.allclose([ranked[picture.alt.partition(",")[0]] for picture in best.pictures], several[::-1][:8])
    assert all(picture.lines[-1] and not picture.jpeg for picture in worst.pictures)  # none of them is there


def test_logits_without_bounds_give_no_warning(tmp_path: Path) -> None:
    cache, run, _ = finished(tmp_path, spread=5000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "calibration" in charts(run_sections(run, cache, None))


def test_without_the_truth_it_is_of_observed_labels(tmp_path: Path) -> None:
    cache, run, _ = finished(tmp_path, truth=False)
    sections = run_sections(run, cache, None)
    assert "against observed labels: the full truth is not known" in words(sections)
    assert "CLIP's AP" not in [column.header for column in blocks(sections, Table)[0].columns]
    assert all(
        picture.lines[0].startswith("observed: ") for of in blocks(sections, Pictures) for picture in of.pictures
    )


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ([], "No epoch has ended yet."),
        (EPOCHS, "no predictions of a test split: it is not finished"),
        ([*EPOCHS, {"best_epoch": 2}], "no predictions of a test split: its cache has no test split"),
        ([*EPOCHS, END], "no predictions of a test split: test.safetensors was deleted"),
    ],
)
def test_a_run_without_predictions_says_why(tmp_path: Path, metrics: list, said: str) -> None:
    cache = cached(tmp_path)
    run = run_on(cache, metrics)
    assert said in words(run_sections(run, cache, None))


def test_a_test_split_without_a_positive_and_a_run_without_its_cache(tmp_path: Path) -> None:
    cache, run, _ = finished(tmp_path)
    assert cache.truth is not None
    cache.truth[:] = 0
    assert "No test image has a positive" in words(run_sections(run, cache, None))
    found = run_sections(run, None, None)
    assert "which cannot be read" in words(found) and list(charts(found)) == ["curves", "time"]


def test_a_run_of_before_its_teacher_was_kept_has_a_report(tmp_path: Path) -> None:
    cache, run, _ = finished(tmp_path)
    settings = json.loads((run.folder / "settings.json").read_text())
    for name in ("teacher", "evaluated_by"):
        del settings[name]
    (run.folder / "settings.json").write_text(json.dumps(settings))
    [table] = blocks(run_sections(Run(run.folder), cache, None), Table)
    assert "CLIP's AP" not in [column.header for column in table.columns]
