"""CLIP without training: its scores against a slow loop, its mAP against scikit-learn, and where commands show it."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import call, draw_blocks, stage_one, stage_two
from sklearn.metrics import average_precision_score

import aevlp
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.evaluation.intervals import Interval, difference_interval, judge, map_interval, repeated
from aevlp.pipeline.evaluation.teachers import has_scores, teacher_map, teacher_scores
from aevlp.pipeline.policies import Policy, create_policy
from aevlp.pipeline.score_cache import ScoreCache, open_cache, reader, write_cache
from aevlp.pipeline.training.run_folder import RunFolder
from aevlp.stages.stage_two import beside_teacher, teachers
from aevlp.stages.stage_two.beside_teacher import against_teacher
from aevlp.stages.stage_two.options import TrainOptions
from aevlp.stages.stage_two.plan import make_plan
from aevlp.stages.stage_two.run import open_run
from fakes import SETTINGS, random_cache

LINEAR: dict[str, Any] = {"backbone": "linear", "epochs": 1, "device": "cpu"}


def damp(**constants: Any) -> Policy:
    return create_policy("damp", **{**vars(SETTINGS), **constants})


def slowly(cosines: np.ndarray, temperature: float) -> dict[str, np.ndarray]:
    """Return both scores (n, C) of cosines (n, F, V, C), number by number; as nothing is observed, the best tile counts."""
    n, flips, views, classes = cosines.shape
    whole, fused = np.zeros((n, classes)), np.zeros((n, classes))
    for image in range(n):
        mean = [
            [sum(float(cosines[image, f, v, c]) for f in range(flips)) / flips for c in range(classes)]
            for v in range(views)
        ]
        powers = [[np.exp(value / temperature) for value in view] for view in mean]
        likely = [[power / sum(view) for power in view] for view in powers]
        for c in range(classes):
            whole[image, c] = mean[0][c]
            fused[image, c] = (likely[0][c] + max(likely[v][c] for v in range(1, views))) / 2
    return {"whole image": whole, "multi-focus": fused}


def fake(path: Path, **given: Any) -> ScoreCache:
    header, content = random_cache(**given)
    write_cache(path, header, [content])
    return open_cache(path)


@pytest.mark.parametrize("name", ["fake.h5", "fake.parquet"])
@pytest.mark.parametrize("stores", ["cosine", "embedding"])
def test_scores_are_those_of_a_slow_loop(
    tmp_path: Path, name: str, stores: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = fake(tmp_path / name, rows=150, stores=stores, bad=3)
    monkeypatch.setattr(reader, "BLOCK_BYTES", 4000)
    rows = np.flatnonzero(cache.status == "ok")[3::2]
    [found] = teacher_scores(cache, rows, [damp()])
    expected = slowly(cache.similarity(rows), SETTINGS.temperature)
    assert list(found) == list(expected)
    for teacher, scores in found.items():
        assert scores.shape == (len(rows), 5) and scores.dtype == np.float32
        np.testing.assert_allclose(scores, expected[teacher], rtol=2e-5, atol=1e-6)


def test_a_sigmoid_scored_model_has_a_row_of_its_own(tmp_path: Path) -> None:
    header, content = random_cache(rows=60)
    logits = {"scale": 20.0, "bias": -10.0}
    given = {**header.provenance, "logits": logits}
    write_cache(tmp_path / "s.h5", replace(header, provenance=given), [content])
    cache = open_cache(tmp_path / "s.h5")
    rows = np.flatnonzero(cache.status == "ok")
    [found] = teacher_scores(cache, rows, [damp()])
    assert list(found) == ["whole image", "multi-focus", "sigmoid"]
    highest = cache.similarity(rows).astype(np.float64).mean(axis=1).max(axis=1)
    np.testing.assert_allclose(found["sigmoid"], 20 * highest - 10, rtol=1e-5, atol=1e-5)
    write_cache(
        tmp_path / "t.h5", replace(header, provenance={**given, "logits": {"scale": 100.0, "bias": None}}), [content]
    )
    [softmax] = teacher_scores(open_cache(tmp_path / "t.h5"), rows, [damp()])
    assert list(softmax) == ["whole image", "multi-focus"]


def test_observed_labels_have_no_part_in_the_scores(tmp_path: Path) -> None:
    header, content = random_cache(rows=30, bad=0)
    found = []
    for number, observed in enumerate((content.observed, 1 - content.observed)):
        path = tmp_path / f"{number}.h5"
        write_cache(path, header, [replace(content, observed=observed)])
        [scores] = teacher_scores(open_cache(path), np.arange(30), [damp()])
        found.append(scores)
    for name, scores in found[0].items():
        np.testing.assert_array_equal(scores, found[1][name])


def test_several_policies_read_the_cosines_once_and_a_block_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = fake(tmp_path / "fake.h5", rows=400, bad=0)
    whole = cache._numbers_a_row * 4 * len(cache)
    monkeypatch.setattr(reader, "BLOCK_BYTES", whole // 5)
    read: list[int] = []
    original = cache._store.array

    def array(name: str, rows: np.ndarray) -> np.ndarray:
        values = original(name, rows)
        read.extend([len(rows)] if name == "similarity" else [])
        return values

    monkeypatch.setattr(cache._store, "array", array)
    policies = [damp(), damp(temperature=0.5), create_policy("vlpl"), damp(top_k=1)]
    first, other, vlpl, alike = teacher_scores(cache, np.arange(400), policies)
    assert sum(read) == 400 and max(read) < 200
    assert first["whole image"] is other["whole image"] is vlpl["whole image"]
    np.testing.assert_array_equal(first["multi-focus"], alike["multi-focus"])
    assert np.abs(first["multi-focus"] - other["multi-focus"]).max() > 0.01
    np.testing.assert_allclose(vlpl["multi-focus"].sum(axis=1), 1, atol=1e-5)  # of the whole image alone


def test_the_map_is_that_of_scikit_learn(tmp_path: Path) -> None:
    cache = fake(tmp_path / "fake.h5", rows=200, bad=0)
    assert cache.truth is not None
    rows = np.flatnonzero(cache.split == "test")
    [found] = teacher_scores(cache, rows, [damp()])
    for scores in found.values():
        expected = average_precision_score(cache.truth[rows], scores)
        assert teacher_map(scores, cache.truth[rows]) == pytest.approx(float(expected))


@pytest.mark.parametrize("rows", [[3, 2], [2, 2]])
def test_rows_ascend(tmp_path: Path, rows: list[int]) -> None:
    with pytest.raises(AevlpError, match="the rows to score must ascend, each named once"):
        teacher_scores(fake(tmp_path / "fake.h5", bad=0), np.array(rows), [damp()])


def test_an_image_that_could_not_be_read_has_no_score(tmp_path: Path) -> None:
    cache = fake(tmp_path / "fake.h5", bad=1)
    with pytest.raises(AevlpError, match="of images that could be read"):
        teacher_scores(cache, np.arange(len(cache)), [damp()])


def test_a_policy_that_reads_no_cosines_has_no_scores(tmp_path: Path) -> None:
    cache, rows = fake(tmp_path / "fake.h5", bad=0), np.arange(7)
    assert [has_scores(cache, rows, create_policy(name)) for name in ("apl", "mime", "oracle", "vlpl")] == [
        False,
        False,
        False,
        True,
    ]
    assert has_scores(cache, rows, damp())


def test_a_method_without_seeds_is_judged_as_trainings_that_came_out_alike() -> None:
    random = np.random.default_rng(3)
    truth = (random.random((60, 4)) < 0.5).astype(np.int8)
    alone, others = truth + random.normal(size=truth.shape), [truth + random.normal(size=truth.shape) for _ in "abc"]
    one, three = repeated(judge([alone], truth), 3), judge([alone] * 3, truth)
    for name, values in vars(three).items():
        np.testing.assert_allclose(getattr(one, name), values)
    assert difference_interval(judge(others, truth), one) == difference_interval(judge(others, truth), three)


# --- what a training says and keeps


def test_a_run_keeps_how_good_clip_is_without_training(cache_path: Path, tmp_path: Path) -> None:
    run = aevlp.train(cache_path, run=tmp_path / "run", workers=0, progress=False, **LINEAR)
    plan = make_plan(TrainOptions(cache_path, **LINEAR))
    assert plan.policy is not None
    [scores] = teacher_scores(plan.cache, plan.test.rows, [plan.policy.create()])
    kept = run.settings["teacher"]
    assert kept["split"] == "test" and kept["policy"]["name"] == "damp"
    assert kept["maps"] == {name: teacher_map(values, plan.test.truth) for name, values in scores.items()}
    assert run.teacher_map == run.to_json()["teacher_map"] == kept["maps"]["multi-focus"]
    assert "CLIP alone" in repr(run)
    said = (run.folder / "log.txt").read_text()
    assert (
        "The CLIP has RANDOM weights, these figures mean nothing. CLIP without training, multi-focus, has test mAP"
        in said
    )


@pytest.mark.parametrize(("teacher", "words"), [(0.0, "points better"), (1.0, "does not beat it")])
def test_training_says_whether_it_beats_clip_and_what_helps_where_not(
    run_path: Path, cache_path: Path, teacher: float, words: str
) -> None:
    run = open_run(run_path)
    maps = {"whole image": 0.25, "multi-focus": teacher}
    told = {"split": "test", "policy": {"name": "damp", "constants": {}}, "maps": maps}
    said = against_teacher(replace(make_plan(TrainOptions(cache_path)), teacher=told), run)
    assert run.test_map is not None and 0 < run.test_map < 1
    points = abs(100 * (run.test_map - teacher))
    assert f"has test mAP {100 * teacher:.2f} (whole image 25.00): this classifier" in said
    assert words in said and f"{points:.2f} points" in said
    for tip in ("--epochs", "a larger image size", f"aevlp sweep {cache_path}"):
        assert (tip in said) is (teacher == 1)


def test_training_says_where_positives_are_too_few_to_be_sure(run_path: Path, cache_path: Path) -> None:
    told = {"split": "test", "policy": {"name": "damp", "constants": {}}, "maps": {"multi-focus": 0.0}}
    plan = replace(make_plan(TrainOptions(cache_path)), teacher=told)
    enough = np.ones((5, 3), dtype=np.int8)
    less = enough.copy()
    less[4, 0] = 0
    for of, words in ((less, "1 of 3 classes have fewer than 5 positives there, too few"), (enough, "")):
        data = replace(plan.data, test=replace(plan.test, truth=of))
        said = against_teacher(replace(plan, data=data), open_run(run_path))
        assert said.startswith(words) and ("too few" in said) is bool(words)


@pytest.mark.parametrize(
    ("options", "said", "unsaid"),
    [
        ({"backbone": "linear"}, "a --backbone that sees the images", "larger image size"),
        ({"backbone": "linear", "loss": "an"}, "a loss that learns from pseudo-labels, such as gpr", "aevlp sweep"),
        ({"backbone": "linear", "loss": "bce"}, "more --epochs", "such as gpr"),
        ({"backbone": "resnet18", "weights": "random"}, "a pretrained backbone", "sees the images"),
        ({"backbone": "resnet18", "weights": "random"}, "--backbone clip, which begins with", "--backbone linear"),
        ({"backbone": "clip"}, "a larger image size", "--backbone"),
    ],
)
def test_what_helps_is_what_was_not_tried(
    run_path: Path, cache_path: Path, options: dict[str, Any], said: str, unsaid: str
) -> None:
    told = {"split": "test", "policy": {"name": "vlpl", "constants": {}}, "maps": {"multi-focus": 1.0}}
    text = against_teacher(replace(make_plan(TrainOptions(cache_path, **options)), teacher=told), open_run(run_path))
    assert said in text and unsaid not in text and "scored by vlpl" in text


def test_without_a_test_split_validation_is_compared(tmp_path: Path) -> None:
    draw_blocks(tmp_path / "data")
    table = tmp_path / "data" / "labels.csv"
    table.write_text(table.read_text().replace(",test,", ",train,"))
    cache = stage_one(tmp_path / "data", tmp_path / "blocks.h5")
    run = open_run(stage_two(cache, tmp_path / "run", **LINEAR))
    plan = make_plan(TrainOptions(cache, **LINEAR))
    assert plan.policy is not None
    [scores] = teacher_scores(plan.cache, plan.val.rows, [plan.policy.create()])
    assert run.settings["teacher"]["split"] == "val"
    assert run.teacher_map == teacher_map(scores["multi-focus"], plan.val.truth)
    assert "has validation mAP" in (run.folder / "log.txt").read_text()
    with pytest.raises(AevlpError, match=r"no readable image of the split test .*: pass --split train or --split val$"):
        run.evaluate("test")


@pytest.fixture
def without_truth(tmp_path: Path) -> Path:
    """A cache of blocks whose full labels nobody knows."""
    draw_blocks(tmp_path / "data")
    manifest = tmp_path / "data" / "blocks.yaml"
    manifest.write_text(manifest.read_text().replace("    simulate: single-positive\n", "    labels: observed\n", 1))
    return stage_one(tmp_path / "data", tmp_path / "blocks.h5")


def test_where_truth_is_unknown_nothing_is_said(
    without_truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_cache(without_truth).truth is None
    run = open_run(stage_two(without_truth, tmp_path / "run", **LINEAR))
    assert run.teacher_map is None and "teacher" not in run.settings
    capsys.readouterr()
    assert call("evaluate", run.folder, "--workers", 0, "--json") == 0
    assert json.loads(capsys.readouterr().out)["teachers"] == []
    assert call("evaluate", run.folder, "--workers", 0) == call("inspect", without_truth) == 0
    options = ("--losses", "an,gpr", "--seeds", 1, "--backbone", "linear", "--epochs", 1, "--workers", 0)
    assert call("compare", without_truth, *options) == 0
    printed = capsys.readouterr()
    assert "CLIP, " not in printed.out and "over CLIP" not in printed.out and "CLIP without" not in printed.err
    markdown = (tmp_path / "runs" / "compare-blocks-linear" / "results.md").read_text()
    assert "CLIP" not in markdown and markdown.count("95 % interval") == 2


def test_a_policy_without_scores_is_compared_with_damp(cache_path: Path, tmp_path: Path) -> None:
    given = {**LINEAR, "workers": 0, "loss": "an-pl", "policy": "oracle"}
    run = aevlp.train(cache_path, run=tmp_path / "run", progress=False, **given)
    assert run.settings["policy"]["name"] == "oracle" and run.settings["teacher"]["policy"]["name"] == "damp"


NAN_POLICY = """
import numpy as np
from aevlp import Labels


class Lost:
    reads = ()

    def scores(self, similarity, observed):
        scores = similarity[:, 0].copy()
        scores[:, 0] = np.nan
        return scores, scores

    def __call__(self, known):
        return Labels(np.ones(known.observed.shape, np.int8), np.ones(known.observed.shape, np.float32))
"""


def test_scores_that_are_no_numbers_end_no_training(
    cache_path: Path, folder: Path, capsys: pytest.CaptureFixture
) -> None:
    (folder / "lost_policies.py").write_text(NAN_POLICY)
    run = open_run(stage_two(cache_path, folder / "run", **LINEAR, policy="lost_policies:Lost"))
    assert run.finished and run.teacher_map is None
    assert "is not compared with CLIP without training: scores must be finite" in capsys.readouterr().err


# --- the tables


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ScoreCache]:
    """A comparison of losses with three different teachers, and the cache; tests leave both as they are."""
    here = tmp_path_factory.mktemp("compared")
    draw_blocks(here / "data", test_images=24)
    path = stage_one(here / "data", here / "blocks.h5")
    options = ("--seeds", 2, "--backbone", "linear", "--epochs", 1, "--workers", 0, "--runs", here / "runs")
    assert call("compare", path, "--losses", "an,gpr,vlpl,bce", *options) == 0
    return here / "runs", open_cache(path)


def test_teachers_have_rows_and_methods_a_paired_difference(compared: tuple[Path, ScoreCache]) -> None:
    folder, cache = compared
    record = json.loads((folder / "results.json").read_text())
    assert [(row["title"], row["policy"]) for row in record["teachers"]] == [
        ("CLIP, whole image", None),
        ("CLIP, multi-focus", "damp"),
        ("CLIP, vlpl", "vlpl"),
    ]
    assert cache.truth is not None
    rows = np.flatnonzero(cache.split == "test")
    truth = cache.truth[rows]
    settings = {name: RunFolder(folder / f"{name}-seed0").settings() for name in ("gpr-damp", "vlpl-vlpl")}
    made = {
        s["policy"]["name"]: create_policy(s["policy"]["name"], **s["policy"]["constants"]) for s in settings.values()
    }
    scores = dict(zip(made, teacher_scores(cache, rows, list(made.values())), strict=True))
    judged = {
        "CLIP, whole image": judge([scores["damp"]["whole image"]], truth),
        "CLIP, multi-focus": judge([scores["damp"]["multi-focus"]], truth),
        "CLIP, vlpl": judge([scores["vlpl"]["multi-focus"]], truth),
    }
    for row in record["teachers"]:
        expected, interval = judged[row["title"]], map_interval(judged[row["title"]])
        assert row["mean"] == pytest.approx(expected.maps[0])
        assert isinstance(interval, Interval) and row["interval"] == pytest.approx([interval.low, interval.high])
    for row in record["methods"]:
        assert row["teacher"] == ("CLIP, vlpl" if row["loss"] == "vlpl" else "CLIP, multi-focus")
        mine = judge([RunFolder(Path(run)).load_logits()[1] for run in row["runs"]], truth)
        teacher = judged[row["teacher"]]
        interval = difference_interval(mine, repeated(teacher, 2))
        assert isinstance(interval, Interval)
        assert row["over_teacher"] == pytest.approx(row["mean"] - teacher.maps[0])
        assert row["over_teacher_interval"] == pytest.approx([interval.low, interval.high])
        assert row["differs_from_teacher"] is (interval.low > 0 or interval.high < 0)
        for run in map(Path, row["runs"]):
            assert open_run(run).teacher_map == pytest.approx(teacher.maps[0])
            assert "CLIP without training" in (run / "log.txt").read_text()


def test_every_form_of_a_comparison_has_them(
    compared: tuple[Path, ScoreCache], capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, cache = compared
    record = json.loads((folder / "results.json").read_text())
    with (folder / "results.csv").open() as file:
        written = {(row["loss"], row["policy"]): row for row in csv.DictReader(file)}
    markdown = (folder / "results.md").read_text().splitlines()
    fair = markdown[: markdown.index("## With full labels: upper bounds, and policies fitted to some")]
    found = aevlp.compare(
        cache.path, losses=["an"], seeds=1, backbone="linear", epochs=1, workers=0, runs=folder, progress=False
    )
    page, [first, *_] = found._repr_html_(), found.rows
    assert first["loss"] in ("an", "gpr", "vlpl") and f"methods {len(record['methods'])}" in repr(found)
    monkeypatch.setenv("COLUMNS", "200")
    options = ("--losses", "an", "--seeds", 1, "--backbone", "linear", "--epochs", 1, "--workers", 0)
    capsys.readouterr()
    assert call("compare", cache.path, *options, "--runs", folder) == 0
    printed = capsys.readouterr().out
    for row in record["teachers"]:
        mean, ends = f"{100 * row['mean']:.2f}", " to ".join(f"{100 * end:.2f}" for end in row["interval"])
        [line] = [line for line in fair if line.startswith(f"| {row['title']} |")]
        assert [cell.strip() for cell in line.strip("|").split("|")][:5] == [
            row["title"],
            row["policy"] or "-",
            "-",
            mean,
            ends,
        ]
        of = written[row["title"], row["policy"] or "-"]
        assert (float(of["mean"]), float(of["interval_low"])) == (row["mean"], row["interval"][0])
        assert of["over_teacher"] == of["seed_0"] == of["seconds"] == ""
        assert f"<td>{row['title']}</td>" in page and f"<td>{mean}</td>" in page
        [line] = [line for line in printed.splitlines() if f"│ {row['title']} " in line]
        assert mean in line and ends in line
    for row in record["methods"]:
        over = f"{100 * row['over_teacher']:+.2f}" + "*" * row["differs_from_teacher"]
        [line] = [line for line in markdown if line.startswith(f"| {row['loss']} |")]
        assert f"| {over} |" in line and " ".join(printed.split()).count(over) >= 1 and over in page
        of = written[row["loss"], row["policy"] or "-"]
        assert float(of["over_teacher"]) == row["over_teacher"] and of["teacher"] == row["teacher"]
        assert float(of["over_teacher_interval_high"]) == row["over_teacher_interval"][1]
    assert "or in the column 'over CLIP' from CLIP without training" in " ".join(printed.split())


def test_a_comparison_reads_the_cosines_for_teachers_once(
    cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[int] = []

    def counting(cache: ScoreCache, rows: np.ndarray, policies: list[Policy]) -> Any:
        asked.append(len(policies))
        return teacher_scores(cache, rows, policies)

    for module in (teachers, beside_teacher):
        monkeypatch.setattr(module, "teacher_scores", counting)
    options = ("--seeds", 2, "--backbone", "linear", "--epochs", 1, "--workers", 0)
    assert call("compare", cache_path, "--losses", "an,gpr,gpr[q3=0.5],vlpl", *options) == 0
    assert asked == [2]  # damp and vlpl


def test_methods_of_policies_that_score_alike_share_a_row(
    cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    policies = ["damp", "top-k", "oracle", "global", "damp[temperature=0.5]"]
    found = aevlp.compare(
        cache_path,
        losses=["an", "gpr"],
        policies=policies,
        seeds=1,
        backbone="linear",
        epochs=1,
        workers=0,
        progress=False,
    )
    assert [(row["title"], row["policy"]) for row in found.record["teachers"]] == [
        ("CLIP, whole image", None),
        ("CLIP, multi-focus", "damp, top-k"),
        ("CLIP, global", "global"),
        ("CLIP, damp[temperature=0.5]", "damp[temperature=0.5]"),
    ]
    of = {row["policy"]: row["teacher"] for row in found.record["methods"]}
    assert of == {
        None: "CLIP, multi-focus",
        "damp": "CLIP, multi-focus",
        "top-k": "CLIP, multi-focus",
        "oracle": "CLIP, multi-focus",
        "global": "CLIP, global",
        "damp[temperature=0.5]": "CLIP, damp[temperature=0.5]",
    }


def test_reproduce_has_them_in_its_table_and_its_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    draw_blocks(tmp_path / "data", test_images=24)
    monkeypatch.chdir(tmp_path)
    manifest = Path("data") / "blocks.yaml"
    options = ("--manifest", manifest, "--seeds", 1, "--workers", 0)
    assert call("reproduce", "blocks", "--losses", "an,gpr", *options) == 0
    printed = capsys.readouterr().out
    results = tmp_path / "runs" / "reproduce-blocks" / "results.json"
    record = json.loads(results.read_text())
    assert [row["title"] for row in record["teachers"]] == ["CLIP, whole image", "CLIP, multi-focus"]
    for row in record["teachers"]:
        [line] = [line for line in printed.splitlines() if row["title"] in line]
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        ends = " to ".join(f"{100 * end:.2f}" for end in row["interval"])
        assert cells == [row["title"], "without training", f"{100 * row['mean']:.2f}", ends]
    assert call("reproduce", "blocks", "--losses", "gpr", *options) == 0  # the row of an is an earlier call's
    again = json.loads(results.read_text())
    assert again["teachers"] == record["teachers"] and set(again["losses"]) == {"an", "gpr"}
    found = aevlp.reproduce("blocks", manifest=manifest, losses=["gpr"], seeds=1, workers=0, progress=False)
    assert [row["loss"] for row in found][:2] == ["CLIP, whole image", "CLIP, multi-focus"]
    assert "CLIP, multi-focus" in repr(found) and found.to_arrow().num_rows == 4


def test_evaluate_says_what_a_run_adds_to_them(
    compared: tuple[Path, ScoreCache], capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    folder, cache = compared
    assert cache.truth is not None
    for split in ("test", "train"):
        run = folder / "gpr-damp-seed0"
        assert call("evaluate", run, "--split", split, "--workers", 0, "--json") == 0
        found = json.loads(capsys.readouterr().out)
        plan = make_plan(TrainOptions(cache.path, **LINEAR))
        part = {"test": plan.test, "train": plan.train}[split]
        assert plan.policy is not None
        [scores] = teacher_scores(plan.cache, part.rows, [plan.policy.create()])
        assert [(row["teacher"], row["policy"]) for row in found["teachers"]] == [
            ("whole image", None),
            ("multi-focus", "damp"),
        ]
        for row in found["teachers"]:
            judged = judge([scores[row["teacher"]]], part.truth)
            assert row["map"] == pytest.approx(judged.maps[0])
            assert row["difference"] == pytest.approx(found["map"] - row["map"])
            if split == "train":
                continue
            mine = judge([RunFolder(run).load_logits()[1]], part.truth)
            for key, interval in (
                ("map_interval", map_interval(judged)),
                ("difference_interval", difference_interval(mine, judged)),
            ):
                assert isinstance(interval, Interval)
                assert [row[key]["low"], row[key]["high"]] == pytest.approx([interval.low, interval.high], abs=1e-5)
    record = json.loads((folder / "results.json").read_text())
    assert call("evaluate", folder / "gpr-damp-seed0", "--workers", 0) == 0
    printed = capsys.readouterr().out
    [line] = [line for line in printed.splitlines() if "CLIP, multi-focus" in line]
    assert f"{100 * record['teachers'][1]['mean']:.2f}" in line and " to " in line and "this run adds" in printed


def test_a_run_of_another_policy_is_evaluated_beside_damp_too(
    compared: tuple[Path, ScoreCache], capsys: pytest.CaptureFixture
) -> None:
    folder, _ = compared
    record = json.loads((folder / "results.json").read_text())
    assert call("evaluate", folder / "vlpl-vlpl-seed0", "--workers", 0, "--json") == 0
    found = json.loads(capsys.readouterr().out)["teachers"]
    assert [(row["title"], row["policy"], row["map"]) for row in found] == [
        (row["title"], row["policy"], pytest.approx(row["mean"])) for row in record["teachers"]
    ]


def test_damp_has_a_row_where_no_method_reads_it(
    cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given: dict[str, Any] = {"seeds": 1, "backbone": "linear", "epochs": 1, "workers": 0, "progress": False}
    for policy, rows in (
        ("vlpl", [("CLIP, multi-focus", "damp"), ("CLIP, vlpl", "vlpl")]),
        ("top-k", [("CLIP, multi-focus", "damp, top-k")]),
    ):
        found = aevlp.compare(cache_path, losses=["gpr"], policies=[policy], runs=tmp_path / policy, **given)
        assert [(row["title"], row["policy"]) for row in found.record["teachers"]] == [
            ("CLIP, whole image", None),
            *rows,
        ]
        assert found.record["methods"][0]["teacher"] == rows[-1][0]


@pytest.mark.parametrize("kept", [True, False])
def test_a_run_of_before_or_of_a_policy_that_is_gone_is_evaluated_beside_damp(
    cache_path: Path, run_path: Path, tmp_path: Path, kept: bool, capsys: pytest.CaptureFixture
) -> None:
    run = Path(shutil.copytree(run_path, tmp_path / "run"))
    settings = json.loads((run / "settings.json").read_text())
    teacher = settings.pop("teacher")
    if not kept:
        settings["policy"] = {"name": "gone_policies:Gone", "constants": {}}
    (run / "settings.json").write_text(json.dumps(settings))
    assert open_run(run).teacher_map is None
    assert call("evaluate", run, "--workers", 0, "--json") == 0
    found = {row["teacher"]: row for row in json.loads(capsys.readouterr().out)["teachers"]}
    assert {name: row["map"] for name, row in found.items()} == pytest.approx(teacher["maps"])
    assert found["multi-focus"]["policy"] == "damp"


def test_inspect_has_their_map_beside_the_quality_of_labels(
    cache_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    cache = open_cache(cache_path)
    assert cache.truth is not None
    assert call("inspect", cache_path, "--json") == 0
    found = json.loads(capsys.readouterr().out)["teachers"]
    method = {name: value for name, value in cache.provenance["method"].items() if name != "grid"}
    assert call("inspect", cache_path) == 0
    printed = capsys.readouterr().out
    assert list(found) == ["train", "test"]
    for split, maps in found.items():
        rows = np.flatnonzero(cache.split == split)
        [scores] = teacher_scores(cache, rows, [create_policy("damp", **method)])
        for name, values in scores.items():
            truth = cache.truth[rows]
            each = [average_precision_score(t, v) if t.any() else 0 for t, v in zip(truth.T, values.T, strict=True)]
            assert maps[name] == pytest.approx(np.mean(each))
            [line] = [line for line in printed.splitlines() if line.split("│")[1:3] == [f" {split:<5} ", f" {name} "]]
            assert line.split("│")[-2].strip() == f"{100 * maps[name]:.1f}"
    rows_ = aevlp.inspect(cache_path).to_arrow().to_pylist()
    assert [(row["split"], row["views"], row["map"]) for row in rows_] == [
        (split, name, value) for split, maps in found.items() for name, value in maps.items()
    ]
