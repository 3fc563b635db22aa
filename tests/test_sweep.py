"""`aevlp sweep`: figures against the codes of each setting, what the recommendation looks at, and what a user does wrong."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import call, stage_one
from hypothesis import given, settings
from hypothesis import strategies as st

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.evaluation.metrics import pseudo_label_quality
from aevlp.pipeline.labels.codes import NEGATIVE, POSITIVE
from aevlp.pipeline.labels.damp import DampSettings
from aevlp.pipeline.manifest.load import load_manifest
from aevlp.pipeline.manifest.sections import Damp
from aevlp.pipeline.policies import create_policy
from aevlp.pipeline.policies.labelling import label
from aevlp.pipeline.policies.sweeping import best, default_grid, figures, settings_of, tabulate
from aevlp.pipeline.score_cache import ScoreCache, open_cache, reader, write_cache
from aevlp.pipeline.training.splits import splits
from aevlp.stages.experiments import sweep
from aevlp.stages.experiments.other_views import require_other_views
from fakes import blocks as in_blocks
from fakes import random_cache

OWN = {
    "temperature": 0.2,
    "eta": 0.3,
    "threshold": 0.2,
    "top_k": 2,
    "negative_ratio": 0.4,
    "compat": "paper",
    "half": False,
}
GRID = {"temperature": [0.1, 0.3], "eta": [0.0, 0.3], "threshold": [0.1, 0.3], "top_k": [1, 3]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random cache of 90 images, 3 of them not scored, and the same without truth."""
    path = tmp_path_factory.mktemp("sweep")
    for name, has_truth in (("fake", True), ("blind", False)):
        header, content = random_cache(rows=90, bad=3, has_truth=has_truth, storage="float32")
        write_cache(path / f"{name}.h5", header, in_blocks(content, 50))
    return path


@pytest.fixture
def cache(folder: Path) -> ScoreCache:
    return open_cache(folder / "fake.h5")


@pytest.fixture
def parts() -> list[np.ndarray]:
    """Interleaved training and validation rows, and test rows."""
    return [np.flatnonzero(np.arange(60) % 3 > 0), np.arange(0, 60, 3), np.arange(60, 90)]


@pytest.mark.parametrize("compat", ["paper", "published"])
def test_figures_are_those_of_the_codes_of_each_setting(
    compat: str, cache: ScoreCache, parts: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "BLOCK_BYTES", 4 * 2 * 5 * 5 * 7)  # seven rows at a time
    tried = settings_of("damp", {**OWN, "compat": compat}, {**GRID, "negative_ratio": [0.0, 0.6]})
    assert len(tried) == 33
    tried += [{**setting, "half": True} for setting in tried[:5]]
    tables = tabulate(cache, "damp", tried, parts)
    assert cache.truth is not None
    for setting, table in zip(tried, tables, strict=True):
        codes = cache.codes(DampSettings(**setting))
        for rows, part in zip(parts, table, strict=True):
            rows = rows[cache.status[rows] == "ok"]
            found = figures(part, 5, truth=True)
            expected = pseudo_label_quality(codes[rows], cache.observed[rows], cache.truth[rows])
            for name in ("precision", "recall", "f1", "negative_precision"):
                assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-12)
            assert found.merit == found.f1
            assert found.positives == pytest.approx((codes[rows] == POSITIVE).sum(axis=1).mean())
            assert found.negatives == pytest.approx((codes[rows] == NEGATIVE).sum(axis=1).mean())


@pytest.mark.parametrize(
    ("policy", "own", "grid"),
    [
        ("global", OWN, {"temperature": [0.1, 0.5], "top_k": [1, 4]}),
        ("vlpl", {"temperature": 0.2, "threshold": 0.3, "partial": 0.2}, {"threshold": [0.1, 0.4], "partial": [0, 1]}),
        ("top-k", {k: v for k, v in OWN.items() if k != "threshold"}, {"top_k": [1, 5], "eta": [0, 1]}),
    ],
)
def test_other_policies_are_swept_as_they_label(
    policy: str, own: dict, grid: dict, cache: ScoreCache, parts: list[np.ndarray]
) -> None:
    tried = settings_of(policy, own, grid)
    assert len(tried) == 5
    for setting, table in zip(tried, tabulate(cache, policy, tried, parts), strict=True):
        for rows, part in zip(parts, table, strict=True):
            rows = rows[cache.status[rows] == "ok"]
            codes, observed, truth = (
                label(cache, rows, create_policy(policy, **setting)).codes,
                cache.observed,
                cache.truth,
            )
            assert truth is not None
            slow = np.zeros((3, 2, 3), dtype=int)
            for n, row in enumerate(rows):
                for c in range(5):
                    slow[observed[row, c] + 1, truth[row, c], codes[n, c] + 1] += 1
            np.testing.assert_array_equal(part, slow)


def test_without_truth_the_estimate_is_of_observed_labels_alone(folder: Path, parts: list[np.ndarray]) -> None:
    cache = open_cache(folder / "blind.h5")
    tried = settings_of("damp", OWN, GRID)
    for setting, table in zip(tried, tabulate(cache, "damp", tried, parts), strict=True):
        codes = cache.codes(DampSettings(**setting))
        rows = parts[1][cache.status[parts[1]] == "ok"]
        found = figures(table[1], 5, truth=False)
        assert found.f1 is found.precision is found.recall is found.negative_precision is None
        recall = (codes[rows][cache.observed[rows] == 1] == 1).mean()
        share = (codes[rows] == 1).mean()
        assert found.observed_recall == pytest.approx(recall) and found.share == pytest.approx(share)
        assert found.merit == pytest.approx(recall**2 / share)
    assert figures(np.zeros((3, 2, 3), dtype=int), 5, truth=False).merit == 0


def test_the_estimate_is_precision_times_recall_over_the_share_of_true_positives() -> None:
    """Where observed positives are found as often as all are: r²/share = precision * recall / P(positive)."""
    table = np.zeros((3, 2, 3), dtype=int)
    table[1] = [[0, 70, 10], [0, 8, 12]]  # 20 hidden positives, 12 found; 10 false ones
    table[2, 1] = [0, 4, 6]  # 10 observed ones, 6 found
    precision, recall, positive = 18 / 28, 18 / 30, 30 / 110
    assert figures(table, 5, truth=False).merit == pytest.approx(precision * recall / positive)


def test_the_recommendation_is_the_best_on_validation_and_ignores_the_test_truth(cache: ScoreCache) -> None:
    spec = load_manifest()["scenes"]
    found = sweep.swept(cache, spec, ["damp"], GRID)
    assert cache.truth is not None
    assert sum(found["images"].values()) == 87
    _, val, _ = splits(cache, spec.recipe.val_fraction)
    f1 = [
        pseudo_label_quality(
            cache.codes(DampSettings(**row["constants"]))[val.rows], cache.observed[val.rows], cache.truth[val.rows]
        ).f1
        for row in found["results"]
    ]
    assert f1 == sorted(f1, reverse=True) and len(set(f1)) > 3
    assert found["recommended"]["merit"] == pytest.approx(f1[0])
    assert found["results"][0]["constants"] == found["recommended"]["constants"]

    altered = cache.truth.copy()
    altered[cache.split == "test"] = 1 - altered[cache.split == "test"]
    cache.truth = altered
    again = sweep.swept(cache, spec, ["damp"], GRID)
    assert again["recommended"]["constants"] == found["recommended"]["constants"]
    for one, other in zip(found["results"], again["results"], strict=True):
        assert {**one, "test": None} == {**other, "test": None}
    assert [row["test"] for row in again["results"]] != [row["test"] for row in found["results"]]


def test_a_constant_that_makes_no_difference_stays_as_it_is() -> None:
    tried = [{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 2}]
    assert best(tried, [0.5, 0.5, 0.5], {"a": 1, "b": 2}) == 1
    assert best(tried, [0.5, 0.5, 0.6], {"a": 1, "b": 1}) == 2
    assert best(tried, [0.5, 0.5, 0.5], {"a": 3, "b": 3}) == 0


@settings(max_examples=30, deadline=None)
@given(
    temperature=st.floats(1e-3, 10),
    eta=st.floats(0, 2),
    threshold=st.floats(0, 1),
    top_k=st.integers(1, 30),
    negative_ratio=st.floats(0, 1),
    classes=st.integers(1, 40),
)
def test_every_setting_of_the_default_grid_is_valid(classes: int, **own: float) -> None:
    grid = default_grid({**own, "compat": "paper"}, classes)
    assert list(grid) == list(own)
    for name, values in grid.items():
        assert own[name] in values and values == sorted(set(values))
    assert 1 <= max(1, *(len(values) for values in grid.values())) <= 6
    tried = settings_of("damp", {**own, "compat": "paper"}, grid)
    assert tried[0] == {**own, "compat": "paper"}
    assert len({json.dumps(setting) for setting in tried}) == len(tried) == np.prod([len(v) for v in grid.values()])


def test_the_default_grid_of_the_manifests_settings_is_about_five_hundred() -> None:
    for name in ("scenes", "voc", "coco"):
        spec = load_manifest()[name]
        assert 300 <= np.prod([len(v) for v in default_grid(vars(spec.damp.settings("paper")), 20).values()]) <= 1000


def test_the_command_prints_a_line_for_the_manifest_and_writes_every_setting(
    cache_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    sweep.show(sweep.sweep(cache_path, output=tmp_path / "sweep.csv", top=3))
    printed = capsys.readouterr().out.splitlines()
    line = next(line for line in printed if line.startswith("damp: "))
    assert any("of the test split choose nothing" in text for text in printed)
    recommended = Damp(**yaml.safe_load(line)["damp"])
    assert recommended.grid == 2
    with (tmp_path / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["val_f1"]) == max(float(row["val_f1"]) for row in rows)
    assert {"train_precision", "val_recall", "test_f1", "temperature"} <= set(rows[0])

    assert call("sweep", cache_path, "--output", tmp_path / "sweep.json", "--top", 3, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert len(record["results"]) == 3
    constants = {k: v for k, v in record["recommended"]["constants"].items() if k not in ("compat", "half")}
    assert Damp(grid=2, **constants) == recommended
    assert len(json.loads((tmp_path / "sweep.json").read_text())["results"]) == len(rows) == record["settings"]


@pytest.mark.parametrize(("said", "line"), [("", None), (", half: true", True), (", half: false", False)])
def test_the_line_for_the_manifest_keeps_a_half_that_was_said(
    said: str, line: bool | None, cache_path: Path, blocks: Path, tmp_path: Path
) -> None:
    text = (blocks / "blocks.yaml").read_text()
    manifest = tmp_path / "said.yaml"
    manifest.write_text(text.replace("negative_ratio: 0.34", f"negative_ratio: 0.34{said}"))
    spec = load_manifest(manifest)["blocks"]
    assert spec.damp.half == line
    record = sweep.swept(open_cache(cache_path), spec, ["damp"], {"temperature": [0.05, 0.2]})
    assert Damp(**yaml.safe_load(record["recommended"]["line"])["damp"]).half == line


def test_several_policies_share_a_grid(cache_path: Path) -> None:
    grid = ("temperature=0.05,0.2", "eta=0,0.5", "partial=0")
    record = sweep.sweep(cache_path, policies=["damp", "vlpl"], grid=list(grid), top=50).to_json()
    tried = {name: [row for row in record["results"] if row["policy"] == name] for name in ("damp", "vlpl")}
    assert {row["constants"]["temperature"] for row in tried["vlpl"] if not row["own"]} == {0.05, 0.2}
    assert (len(tried["damp"]), len(tried["vlpl"])) == (5, 3)  # the manifest's own besides
    merits = [row["merit"] for row in record["results"]]
    assert merits == sorted(merits, reverse=True) and record["recommended"]["merit"] == merits[0]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"grid": ("temperature",)}, "as in temperature=0.05,0.09, found 'temperature'"),
        ({"grid": ("=3",)}, "found '=3'"),
        ({"grid": ("temperature=",)}, "must be numbers with commas, found ''"),
        ({"grid": ("temperature=0.1,warm",)}, "must be numbers with commas"),
        ({"grid": ("temperature=inf",)}, "must be finite"),
        ({"grid": ("temperature=1", "temperature=2")}, "names temperature twice"),
        ({"grid": ("temprature=1",)}, "no constant of damp is called that, they have eta, "),
        ({"grid": ("compat=1",)}, "no constant of damp is called that"),
        ({"grid": ("half=1",)}, "no constant of damp is called that"),
        ({"grid": ("top_k=1.5",)}, "expected whole numbers, found 1.5"),
        ({"grid": ("top_k=2.0,-1",)}, "top_k must be at least 1, found -1"),
        ({"grid": ("temperature=0",)}, "temperature must be above 0"),
        ({"grid": ("threshold=0.1,1.1",)}, r"threshold must be in \[0, 1\], found 1.1"),
        ({"grid": ("top_k=4",), "policies": ["top-k"]}, "at most the number of classes, 3, found 4"),
        (
            {"policies": ["damp", "cap"]},
            "policy cap cannot be swept: expected one that labels each image by itself, damp",
        ),
        ({"policies": ["dampp"]}, "policy dampp cannot be swept"),
        ({"output": Path("sweep.parquet")}, "must end in .csv or .json"),
    ],
)
def test_mistakes(given: dict, found: str, cache_path: Path) -> None:
    with pytest.raises(AevlpError, match=found) as caught:
        sweep.sweep(cache_path, **given)
    assert "\n" not in str(caught.value)


def test_the_recommendation_is_written_into_a_manifest_of_ones_own(
    cache_path: Path, blocks: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    manifest = tmp_path / "mine.yaml"
    text = "# mine\n" + (blocks / "blocks.yaml").read_text().replace("threshold: 0.2", "threshold: 1  ")
    manifest.write_text(text)
    command = ("sweep", cache_path, "--manifest", manifest, "--grid", "threshold=0.1,0.3", "--apply")
    monkeypatch.setattr(sweep, "best", lambda *_: 1)  # the first setting of the grid, whatever its labels are worth
    assert call(*command, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    spec = load_manifest(manifest)["blocks"]
    changes = record["recommended"]["changes"]
    assert record["applied"]["constants"] == changes and changes == {"threshold": spec.damp.threshold} != {
        "threshold": 1
    }
    changed = manifest.read_text()
    assert changed == text.replace("threshold: 1 ", f"threshold: {changes['threshold']} ") != text
    monkeypatch.setattr(sweep, "best", lambda *_: 0)
    assert call(*command) == 0
    printed = capsys.readouterr().out
    assert "has them already, nothing was written" in printed and manifest.read_text() == changed
    assert all(len(line) <= 80 for line in printed.splitlines() if line.startswith(("│", "┃")))


def test_the_packaged_manifest_is_not_written(cache_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_from = Path(open_cache(cache_path).provenance["dataset"]["manifest"])
    monkeypatch.setattr(sweep, "PACKAGED", load_manifest(made_from)["blocks"].manifest_path)
    with pytest.raises(AevlpError, match="copy its entry `blocks:` below `datasets:` of a file of your own"):
        sweep.sweep(cache_path, apply=True)


def test_constants_that_are_given_are_held(cache_path: Path) -> None:
    found = sweep.sweep(cache_path, policies=["damp[top_k=1]"], set=["damp.eta=0.5"])
    assert {(row["top_k"], row["eta"]) for row in found.rows} == {(1, 0.5)} and len(found) > 5
    with pytest.raises(AevlpError, match=r"--grid eta: damp\[eta=0.5\] holds that constant"):
        sweep.sweep(cache_path, policies=["damp[eta=0.5]"], grid=["eta=0,1"])
    with pytest.raises(AevlpError, match=r"--set vlpl.eta: nothing is trained with vlpl"):
        sweep.sweep(cache_path, set=["vlpl.eta=1"])


@pytest.fixture(scope="module")
def by_crops(blocks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The blocks' cache by another scheme of views."""
    return stage_one(blocks, tmp_path_factory.mktemp("crops") / "c.h5", views="crops[count=3]", storage="float32")


def test_schemes_of_views_are_compared_setting_by_setting(
    cache_path: Path, by_crops: Path, capsys: pytest.CaptureFixture
) -> None:
    grid = ["temperature=0.05,0.2"]
    alone = {path: sweep.sweep(path, grid=grid).record for path in (cache_path, by_crops)}
    found = sweep.sweep(cache_path, others=[by_crops], grid=grid)
    record = found.record
    assert record["settings"] == len(found.rows) == sum(of["settings"] for of in alone.values())
    for path, views in ((cache_path, "grid[grid=2]"), (by_crops, "crops[count=3,seed=0]")):
        mine = [row for row in record["results"] if row["views"] == views]
        assert mine == alone[path]["results"]
    assert [row["merit"] for row in found.rows] == sorted((row["merit"] for row in found.rows), reverse=True)
    best = max(alone.values(), key=lambda of: of["recommended"]["merit"])
    assert found.recommended == best["recommended"] and record["cache"] == best["cache"]
    assert {cache["cache"] for cache in record["caches"]} == {str(cache_path), str(by_crops)}

    capsys.readouterr()
    assert call("sweep", cache_path, by_crops, "--grid", *grid, "--top", 1) == 0
    printed = capsys.readouterr().out
    assert "│ grid[grid=2] " in printed and "│ crops[count=3,seed=0] " in printed
    assert f"recommended views: {found.recommended['views']}, {record['cache']}" in printed
    line = next(text for text in printed.splitlines() if text.startswith("damp: "))
    assert Damp(**yaml.safe_load(line)["damp"]).grid in (2, "crops[count=3,seed=0]")


def test_the_line_for_the_manifest_says_any_scheme(by_crops: Path) -> None:
    line = sweep.sweep(by_crops, grid=["top_k=1"]).recommended["line"]
    assert Damp(**yaml.safe_load(line)["damp"]).grid == "crops[count=3,seed=0]"


def test_caches_that_differ_in_more_than_views_are_not_compared(
    cache_path: Path, by_crops: Path, blocks: Path, tmp_path: Path
) -> None:
    others = {
        r"images: 15, not 16": {"limit": 15},
        r"weights: \w+, not \w+": {"seed": 1},
        r"simulate.regime: frequency, not single-positive": {"simulate": "frequency"},
        r"pixel_statistics.mean: ": {"compat": "published"},
    }
    for n, (said, options) in enumerate(others.items()):
        other = stage_one(blocks, tmp_path / f"{n}.h5", **{"views": "pyramid[levels=2]", **options})
        with pytest.raises(
            AevlpError, match=rf"{n}.h5 cannot be compared with .*blocks.h5 \(({said}).*differ in their"
        ) as e:
            sweep.sweep(cache_path, others=[by_crops, other])
        assert "\n" not in str(e.value)
    same = stage_one(blocks, tmp_path / "same.h5")
    with pytest.raises(AevlpError, match=r"blocks.h5 and .*same.h5 have the same views, grid\[grid=2\]: leave one out"):
        sweep.sweep(cache_path, others=same)
    with pytest.raises(AevlpError, match="--apply writes the constants of one cache"):
        sweep.sweep(cache_path, others=[by_crops], apply=True)


def test_caches_with_other_rows_are_not_compared(tmp_path: Path) -> None:
    header, content = random_cache(rows=30, bad=0)
    changed = {
        "other images, first in row 3, other.jpg": {"ids": [*content.ids[:3], "other.jpg", *content.ids[4:]]},
        "other splits, first in row 0, ": {"split": ["val", *content.split[1:]]},
        "other observed labels, first in row 2": {"observed": _turned(content.observed, 2)},
        "other true labels, first in row 4": {"truth": _turned(content.truth, 4)},
    }
    caches = []
    for n, columns in enumerate([{}, *changed.values()]):
        method = {**header.provenance["method"], "grid": 2 if n == 0 else "overlap[grid=2]"}
        made = replace(header, provenance={**header.provenance, "method": method})
        write_cache(tmp_path / f"{n}.h5", made, [replace(content, **columns)])
        caches.append(open_cache(tmp_path / f"{n}.h5"))
    for cache, said in zip(caches[1:], changed, strict=True):
        with pytest.raises(AevlpError, match=said):
            require_other_views([caches[0], cache])


def _turned(labels: np.ndarray | None, row: int) -> np.ndarray:
    """Return labels with one of a row changed."""
    assert labels is not None
    turned = labels.copy()
    turned[row, 0] = 1 - turned[row, 0]
    return turned
