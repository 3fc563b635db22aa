"""`aevlp compare`: its figures, what it reuses, trainings in several processes, and what a user does wrong."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import call, draw_blocks, stage_one
from sklearn.metrics import average_precision_score

from aevlp.pipeline import losses
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.evaluation.intervals import Interval, difference_interval, judge, map_interval
from aevlp.pipeline.method_names import file_name
from aevlp.pipeline.score_cache import hdf5, open_cache
from aevlp.pipeline.training import trainer
from aevlp.pipeline.training.run_folder import RunFolder
from aevlp.stages import cache_origin
from aevlp.stages.experiments import methods
from aevlp.stages.experiments.compare import compare
from aevlp.stages.experiments.methods import methods_of
from aevlp.stages.experiments.processes import devices, gpus
from aevlp.stages.experiments.trainings import seeded, train_at_once
from aevlp.stages.stage_two.options import TrainOptions
from aevlp.stages.stage_two.plan import Plan, make_plan, training_data

OWN_LOSSES = '''
import os, signal, time
from pathlib import Path
from aevlp.pipeline.errors import AevlpError


class Simple:
    """Assume negative, without weights."""

    reads = ("observed",)

    def __init__(self, num_classes):
        pass

    def __call__(self, logits, targets):
        return (logits.sigmoid() - (targets.observed == 1).float()).square().mean()


class Failing(Simple):
    def __call__(self, logits, targets):
        raise AevlpError("the loss is out of order: mend it")


class Dying(Simple):
    def __call__(self, logits, targets):
        os._exit(3)


class Slow(Simple):
    def __call__(self, logits, targets):
        time.sleep(2)
        return super().__call__(logits, targets)


class Interrupting(Simple):
    """Have the process that waits for this one end, once."""

    def __call__(self, logits, targets):
        if not Path("interrupted").exists():
            Path("interrupted").touch()
            os.kill(os.getppid(), signal.SIGTERM)
            time.sleep(2)
        return super().__call__(logits, targets)
'''


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with losses of a user's own."""
    (tmp_path / "compared_losses.py").write_text(OWN_LOSSES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def compared(cache: Path, names: str, *more: object, code: int = 0) -> None:
    small = ["--backbone", "linear", "--epochs", 1, "--workers", 0, "--jobs", 1]
    assert call("compare", "--cache", cache, "--losses", names, *small, *more) == code


def test_the_figures_are_those_of_the_runs(here: Path, capsys: pytest.CaptureFixture) -> None:
    draw_blocks(here / "data", test_images=24)
    cache_path = stage_one(here / "data", here / "blocks.h5")
    capsys.readouterr()
    compared(cache_path, "gpr,an,bce", "--policies", "damp,oracle", "--seeds", 2, "--epochs", 2, "--json")
    printed = capsys.readouterr()
    record = json.loads(printed.out)
    folder = here / "runs" / "compare-blocks-linear"
    assert json.loads((folder / "results.json").read_text()) == record
    cache = open_cache(cache_path)
    assert record["cache_fingerprint"] == cache.fingerprint and record["left_out"] == {}
    rows = {(row["loss"], row["policy"]): row for row in record["methods"]}
    assert set(rows) == {("gpr", "damp"), ("gpr", "oracle"), ("an", None), ("bce", None)}
    assert {key for key, row in rows.items() if row["oracle"]} == {("gpr", "oracle"), ("bce", None)}
    order = [(row["oracle"], -row["mean"]) for row in record["methods"]]
    assert order == sorted(order)

    assert cache.truth is not None
    truth, logits = cache.truth, {}
    for (loss, policy), row in rows.items():
        name = loss if policy is None else f"{loss}-{policy}"
        runs = [RunFolder(folder / f"{name}-seed{seed}") for seed in (0, 1)]
        for seed, run in enumerate(runs):
            settings = run.settings()
            assert (settings["loss"]["name"], settings["seed"]) == (loss, seed)
            assert (settings["policy"] or {}).get("name") == policy
        scores = [run.load_logits() for run in runs]
        truth = cache.truth[scores[0][0]]  # the same rows for all
        logits[loss, policy] = [values for _, values in scores]
        with np.errstate(all="ignore"):
            each = [
                np.mean([average_precision_score(truth[:, c], s[:, c]) if truth[:, c].any() else 0 for c in range(3)])
                for _, s in scores
            ]
        assert row["each"] == pytest.approx(each) and row["mean"] == pytest.approx(np.mean(each))
        seconds = [[line["seconds"] for line in run.metrics()[:-1]] for run in runs]
        assert row["seconds"] == pytest.approx(np.mean([sum(s) for s in seconds]))
        assert row["seconds_an_epoch"] == pytest.approx(np.mean(np.concatenate(seconds)))
    for key, row in rows.items():
        judged, baseline = judge(logits[key], truth), judge(logits["an", None], truth)
        interval, difference = map_interval(judged), difference_interval(judged, baseline)
        assert isinstance(interval, Interval) and isinstance(difference, Interval)
        assert row["interval"] == pytest.approx([interval.low, interval.high])
        assert row["difference_interval"] == pytest.approx([difference.low, difference.high])
        assert row["difference"] == pytest.approx(row["mean"] - rows["an", None]["mean"])
        assert row["differs"] is (difference.low > 0 or difference.high < 0)
        assert row["baseline"] is (key == ("an", None))

    with (folder / "results.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["loss"] for row in table[:-2]] == [row["loss"] for row in record["methods"]]
    for written, row in zip(table[:-2], record["methods"], strict=True):
        assert written["policy"] == (row["policy"] or "-") and float(written["mean"]) == row["mean"]
        assert [float(written["seed_0"]), float(written["seed_1"])] == row["each"]
        ends = [
            float(written[f"{name}_{end}"]) for name in ("interval", "difference_interval") for end in ("low", "high")
        ]
        assert ends == [*row["interval"], *row["difference_interval"]] and written["interval_reason"] == ""
    markdown = (folder / "results.md").read_text()
    assert markdown.index("| gpr | damp |") < markdown.index("## With full labels") < markdown.index("| bce | - |")


def test_where_positives_are_too_few_they_stand_in_the_place_of_intervals(
    here: Path, cache_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    compared(cache_path, "an,wan", "--seeds", 1, "--runs", "few")
    printed = capsys.readouterr().out
    reason = "too few positives, 3 classes below 5"
    markdown = (here / "few" / "results.md").read_text()
    # The interval of both, of one the difference, of both that from CLIP, of CLIP in two rows, and the note.
    assert markdown.count("too few positives") == 8
    assert printed.count("too few positives") == 1  # the note; the columns that would say nothing else are left out
    for text in (printed, markdown):
        assert text.count(f"no interval: {reason}") == 1
    for row in json.loads((here / "few" / "results.json").read_text())["methods"]:
        assert row["interval"] is None and row["difference_interval"] is None
        assert row["interval_reason"] == row["difference_interval_reason"] == reason
        assert row["differs"] is False
    with (here / "few" / "results.csv").open() as file:
        for row in csv.DictReader(file):
            assert {row["interval_low"], row["interval_high"], row["difference_interval_low"]} == {""}
            assert row["interval_reason"] == reason


def test_what_is_finished_is_reused_and_what_is_new_is_trained(
    here: Path, cache_path: Path, capsys: pytest.CaptureFixture
) -> None:
    compared(cache_path, "an,wan", "--seeds", 1, "--runs", "mine")
    first = capsys.readouterr()
    assert "an seed 0: test mAP" in first.err and "2 of 2" in first.err
    weights = {path: path.stat().st_mtime_ns for path in here.glob("mine/*/*")}
    compared(cache_path, "an,wan,gpr", "--seeds", 1, "--runs", "mine")
    again = capsys.readouterr()
    assert {path: path.stat().st_mtime_ns for path in weights} == weights
    assert "2 of 3 trainings are finished already" in again.err
    assert "gpr-damp seed 0: test mAP" in again.err and "an seed 0" not in again.err
    assert "Test mAP on blocks" in again.out
    rows = (here / "mine" / "results.md").read_text().splitlines()
    assert (
        sum("| baseline |" in row for row in rows) == 1 and sum(row.startswith("| gpr | damp |") for row in rows) == 1
    )


def test_the_cache_and_its_data_set_are_read_once(
    here: Path, cache_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: dict[str, int] = {"bytes": 0, "labels": 0}

    def counting(name: str, function: Any) -> Any:
        def called(*given: Any, **more: Any) -> Any:
            counted[name] += 1
            return function(*given, **more)

        return called

    monkeypatch.setattr(hdf5, "is_sealed", counting("bytes", hdf5.is_sealed))
    monkeypatch.setattr(cache_origin, "load_images", counting("labels", cache_origin.load_images))
    compared(cache_path, "an,gr,gpr,gpr[q3=0.5]", "--seeds", 3)
    assert counted == {"bytes": 1, "labels": 1}
    assert len(list((here / "runs" / "compare-blocks-linear").glob("*/test.safetensors"))) == 12


def test_methods_with_constants_stand_apart(
    here: Path, cache_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    given = ["gpr,gpr[q3=0.5]", "--policies", "damp,damp[threshold=0.05]", "--set", "gpr.reg=0.2", "--seeds", 1]
    compared(cache_path, *given, "--runs", "mine", "--baseline", "gpr")  # type: ignore[arg-type]
    printed = capsys.readouterr().out
    rows = json.loads((here / "mine" / "results.json").read_text())["methods"]
    names = {(row["loss"], row["policy"]) for row in rows}
    losses_, policies_ = {"gpr[reg=0.2]", "gpr[q3=0.5,reg=0.2]"}, {"damp", "damp[threshold=0.05]"}
    assert names == {(loss, policy) for loss in losses_ for policy in policies_}
    assert {path.name for path in (here / "mine").glob("*-seed0")} == {
        f"{loss}-{policy}-seed0"
        for loss in ("gpr-reg-0.2", "gpr-q3-0.5-reg-0.2")
        for policy in ("damp", "damp-threshold-0.05")
    }
    assert "gpr[q3=0.5,reg=0.2]" in printed
    table = [line for line in printed.splitlines() if line.startswith(("│", "┃"))]
    assert table and all(len(line) <= 80 for line in table)


@pytest.mark.parametrize(
    ("losses_", "policies_", "rows", "line"),
    [
        # Of a loss in both tables neither's row may read as the other's.
        ("gpr,an", "damp,oracle", ["gpr │ damp", "gpr │ oracle"], ""),
        ("gpr,vlpl", "oracle", [], "the same for all: policy oracle"),
        ("gpr,vlpl", "", [], "labels: damp for gpr; vlpl for vlpl"),
    ],
)
def test_a_table_says_whose_labels_were_learnt_from(
    here: Path,
    cache_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    losses_: str,
    policies_: str,
    rows: list[str],
    line: str,
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    compared(cache_path, losses_, *(["--policies", policies_] if policies_ else []), "--seeds", 1, "--runs", "mine")
    printed = [" ".join(text.split()) for text in capsys.readouterr().out.splitlines()]
    found = [text for text in printed if any(f"│ {row} │" in text for row in rows)]
    assert len(found) == len(rows)
    assert not line or any(text.startswith(line) for text in printed)
    assert any(text.startswith("labels:") for text in printed) == line.startswith("labels:")


def test_a_comparison_from_python_is_a_table(here: Path, cache_path: Path, capsys: pytest.CaptureFixture) -> None:
    found = compare(cache_path, losses=["an", "gpr"], seeds=1, backbone="linear", epochs=1, workers=0, progress=False)
    assert capsys.readouterr().out == ""
    table = found.to_arrow()
    teachers = ["CLIP, whole image", "CLIP, multi-focus"]
    assert table.column("loss").to_pylist() == [*(row["loss"] for row in found.record["methods"]), *teachers]
    assert set(table.column_names) >= {"policy", "seed_0", "mean", "interval_low", "difference", "seconds"}
    assert found.folder == Path("runs/compare-blocks-linear") and "baseline an" in repr(found)
    for losses_, words in (([], "--losses: expected a list of names"), ([3], "--losses: expected a list of names")):
        with pytest.raises(AevlpError, match=words):
            compare(cache_path, losses=losses_)


def recorded(folder: Path) -> dict[str, dict]:
    """Return the rows of a folder's results by the name of their method."""
    record = json.loads((folder / "results.json").read_text())
    return {"-".join(filter(None, (row["loss"], row["policy"]))): row for row in record["methods"]}


@pytest.mark.parametrize(
    ("later", "seeds"),
    [("an", 2), ("gpr", 1), ("hill", 1), ("wan,hill", 2)],
    ids=["fewer losses", "fewer losses and seeds", "another loss", "one and another"],
)
def test_earlier_trainings_stay_in_the_table(here: Path, cache_path: Path, later: str, seeds: int) -> None:
    compared(cache_path, "an,wan,gpr", "--seeds", 2, "--runs", "mine")
    before = recorded(here / "mine")
    compared(cache_path, later, "--seeds", seeds, "--runs", "mine")
    after = recorded(here / "mine")
    assert set(after) == {*before, *later.split(",")} - {"gpr"}
    new = set(after) - set(before)
    for name, row in before.items():
        assert after[name] == {**row, "baseline": name == "an"}
    assert all(len(after[name]["each"]) == seeds for name in new)
    with (here / "mine" / "results.csv").open() as file:
        table = {"-".join(filter("-".__ne__, (row["loss"], row["policy"]))): row for row in csv.DictReader(file)}
    for name, row in after.items():
        written = [value for value in (table[name]["seed_0"], table[name]["seed_1"]) if value]
        assert list(map(float, written)) == row["each"]
    markdown = (here / "mine" / "results.md").read_text()
    assert all(f"| {name.removesuffix('-damp')} |" in markdown for name in after)


def test_what_was_not_trained_on_equal_terms_does_not_stay_and_is_said(
    here: Path, cache_path: Path, capsys: pytest.CaptureFixture
) -> None:
    compared(cache_path, "an,wan", "--seeds", 1, "--runs", "mine")
    capsys.readouterr()
    compared(cache_path, "gpr", "--seeds", 1, "--lr", 0.5, "--runs", "mine")
    said = capsys.readouterr().err
    assert (
        "an is left out: of an earlier comparison: mine/an-seed0 was trained differently (this comparison has" in said
    )
    assert set(recorded(here / "mine")) == {"gpr-damp"}
    record = json.loads((here / "mine" / "results.json").read_text())
    assert set(record["left_out"]) == {"an", "wan"} and "recipe.lr: 0.5, not" in record["left_out"]["wan"]
    compared(cache_path, "hill", "--seeds", 1, "--lr", 0.5, "--runs", "mine")
    (here / "mine" / "gpr-damp-seed0" / "metrics.jsonl").unlink()
    capsys.readouterr()
    compared(cache_path, "hill", "--seeds", 1, "--lr", 0.5, "--runs", "mine")
    assert "gpr-damp-seed0 is gone or not finished" in capsys.readouterr().err
    assert set(recorded(here / "mine")) == {"hill"}
    (here / "mine" / "results.json").write_text("no JSON")
    compared(cache_path, "hill", "--seeds", 1, "--lr", 0.5, "--runs", "mine")
    assert set(recorded(here / "mine")) == {"hill"}


def test_every_figure_that_a_program_reads_is_a_fraction(
    here: Path, cache_path: Path, capsys: pytest.CaptureFixture
) -> None:
    compared(cache_path, "an,bce", "--seeds", 1)
    folder = here / "runs" / "compare-blocks-linear"
    rows = recorded(folder)
    metrics = [line for name in rows for line in RunFolder(folder / f"{name}-seed0").metrics()]
    assert all(0 <= line[key] <= 1 for line in metrics for key in ("val_map", "test_map") if key in line)
    for name, row in rows.items():
        assert [row["mean"]] == row["each"] == [RunFolder(folder / f"{name}-seed0").metrics()[-1]["test_map"]]
        assert row["interval"] is None and row["interval_reason"] == "too few positives, 3 classes below 5"
        assert -1 <= row["difference"] <= 1
        capsys.readouterr()
        assert call("evaluate", folder / f"{name}-seed0", "--workers", 0, "--json") == 0
        assert json.loads(capsys.readouterr().out)["map"] == pytest.approx(row["mean"])
    markdown = (folder / "results.md").read_text()
    assert "(%)" in markdown and f"| {100 * rows['an']['mean']:.2f} |" in markdown


def test_an_interrupted_comparison_is_gone_on_with(
    here: Path, cache_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    compared(cache_path, "an,wan", "--epochs", 2, "--seeds", 1, "--runs", "whole")
    trained, epochs = trainer.train_epoch, []

    def interrupted(*given: object, **more: object) -> float:
        epochs.append(1)
        if len(epochs) == 4:
            raise KeyboardInterrupt
        return trained(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(trainer, "train_epoch", interrupted)
    compared(cache_path, "an,wan", "--epochs", 2, "--seeds", 1, "--runs", "parts", code=130)
    monkeypatch.setattr(trainer, "train_epoch", trained)
    capsys.readouterr()
    compared(cache_path, "an,wan", "--epochs", 2, "--seeds", 1, "--runs", "parts")
    assert "1 of 2 trainings are finished already" in capsys.readouterr().err
    for name in ("an-seed0", "wan-seed0"):
        whole, parts = (RunFolder(here / runs / name).load_logits() for runs in ("whole", "parts"))
        np.testing.assert_array_equal(whole[1], parts[1])


def test_all_leaves_out_what_the_cache_does_not_permit(
    here: Path, cache_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(losses, "loss_names", lambda: ["an", "iu", "bce"])
    compared(cache_path, "all,compared_losses:Simple", "--seeds", 1, "--baseline", "bce")
    printed = capsys.readouterr()
    assert "iu is left out: loss iu learns from observed negatives" in printed.err
    record = json.loads((here / "runs" / "compare-blocks-linear" / "results.json").read_text())
    assert list(record["left_out"]) == ["iu"] and record["baseline"] == "bce"
    assert [row["loss"] for row in record["methods"]][-1] == "bce"
    assert {row["loss"] for row in record["methods"]} == {"an", "bce", "compared_losses:Simple"}
    assert (here / "runs" / "compare-blocks-linear" / "compared_losses-Simple-seed0").is_dir()
    assert "- iu is left out: " in (here / "runs" / "compare-blocks-linear" / "results.md").read_text()


def test_all_policies_are_those_that_the_cache_permits(
    here: Path, cache_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(methods, "policy_names", lambda: ["damp", "threshold", "sigmoid", "oracle"])
    compared(cache_path, "an,gpr,an-pl", "--policies", "all", "--seeds", 1)
    said = capsys.readouterr().err
    assert "gpr-threshold, an-pl-threshold are left out: policy threshold needs" in said
    record = json.loads((here / "runs" / "compare-blocks-linear" / "results.json").read_text())
    assert {(row["loss"], row["policy"]) for row in record["methods"]} == {
        ("an", None), ("gpr", "damp"), ("an-pl", "damp"), ("gpr", "oracle"), ("an-pl", "oracle"),
    }  # fmt: skip
    assert set(record["left_out"]) == {f"{a}-{b}" for a in ("gpr", "an-pl") for b in ("threshold", "sigmoid")}
    table = (here / "runs" / "compare-blocks-linear" / "results.md").read_text()
    assert table.count("policy threshold needs") == 1 and "- gpr-threshold, an-pl-threshold are left out" in table
    assert len(methods_of(["gpr"], ["all", "damp"])) == 4


def test_what_is_true_of_the_cache_is_noted_once(here: Path, cache_path: Path, capsys: pytest.CaptureFixture) -> None:
    compared(cache_path, "mulsupcon", "--policies", "damp,global", "--seeds", 1)
    assert capsys.readouterr().err.count("The features of the linear backbone are fixed: mulsupcon") == 1


def test_a_loss_that_reads_no_labels_is_trained_once() -> None:
    found = methods_of(["an", "gpr", "virtual-category", "an"], ["damp", "cap"])
    assert [(m.loss, m.policy) for m in found] == [
        ("an", None),
        ("gpr", "damp"),
        ("gpr", "cap"),
        ("virtual-category", "damp"),
        ("virtual-category", "cap"),
    ]
    assert [(m.loss, m.policy) for m in methods_of(["vlpl", "gpr"], None)] == [
        ("vlpl", "vlpl"),
        ("gpr", "damp"),
    ]
    assert {m.loss for m in methods_of(["all"], None)} == set(losses.loss_names())


def test_names_of_folders_are_safe_and_distinct() -> None:
    assert file_name("my.losses:Focal") == "my.losses-Focal"
    assert file_name("../fitted/cap 1.json") == "fitted-cap-1.json"
    assert [file_name(name) for name in losses.loss_names()] == losses.loss_names()
    with pytest.raises(AevlpError, match=r"would both train into gpr-a-b\.json-seed0"):
        methods_of(["gpr"], ["a/b.json", "a-b.json"])


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (["an,iu"], "loss iu learns from observed negatives"),
        (["an,ann"], "unknown loss 'ann'"),
        (["an,compared_losses:None"], "compared_losses has no None"),
        (["an,gpr", "--policies", "dampp"], "unknown policy 'dampp'"),
        (["an", "--policies", "damp"], "none of an reads labels of a policy: leave --policies out"),
        (["all", "--policies", "none.json"], "none.json"),
        (["an,wan", "--baseline", "gpr"], "expected one of an, wan"),
        (["an", "--lr", "0"], "--lr must be above 0"),
        (["all", "--lr", "-1"], "none of"),
        (["an", "--device", "gpu"], "unknown device 'gpu'"),
    ],
)
def test_mistakes_are_found_before_any_training(
    given: list[str], found: str, here: Path, cache_path: Path, capsys: pytest.CaptureFixture
) -> None:
    compared(cache_path, *given, "--seeds", 1, code=1)
    error = capsys.readouterr().err
    assert found in error.splitlines()[-1] and "Traceback" not in error
    assert not (here / "runs").exists()


def test_runs_of_other_settings_are_not_taken_for_these(
    here: Path, cache_path: Path, capsys: pytest.CaptureFixture
) -> None:
    compared(cache_path, "an", "--seeds", 1)
    compared(cache_path, "wan,an", "--seeds", 1, "--lr", 0.5, code=1)
    assert (
        "(this run has --lr: 0.5, not 0.001): give its settings, choose another folder as --runs DIR"
        in capsys.readouterr().err
    )
    runs = here / "runs" / "compare-blocks-linear"
    (runs / "gpr-damp-seed1").mkdir()
    (runs / "gpr-damp-seed1" / "notes.txt").touch()
    compared(cache_path, "wan,gpr", "--seeds", 2, code=1)
    assert "holds something that is no run" in capsys.readouterr().err
    (runs / "wan-seed1").touch()
    compared(cache_path, "wan", "--seeds", 2, code=1)
    assert "is a file, where a run should go" in capsys.readouterr().err
    assert not (runs / "wan-seed0").exists()


def test_without_a_test_split_nothing_is_trained(here: Path, capsys: pytest.CaptureFixture) -> None:
    draw_blocks(here / "data")
    table = here / "data" / "labels.csv"
    table.write_text(table.read_text().replace(",test,", ",train,"))
    cache = stage_one(here / "data", here / "blocks.h5")
    compared(cache, "an", code=1)
    assert "has no test split to evaluate trainings by" in capsys.readouterr().err
    assert not (here / "runs").exists()


def test_jobs_have_the_gpus_by_turns_unless_one_device_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices(None, 2) == [None, None] and devices("cpu", 1) == ["cpu"] and gpus("cuda") == 0
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices(None, 3) == devices("cuda", 3) == ["cuda:0", "cuda:1", "cuda:0"]
    assert devices("cuda:1", 2) == ["cuda:1", "cuda:1"] and devices("cpu", 2) == ["cpu", "cpu"]
    assert (gpus(None), gpus("cuda:1"), gpus("cpu")) == (2, 0, 0)


def trainings_of(cache: Path, names: list[str], folder: Path) -> list[Plan]:
    common = TrainOptions(cache, backbone="linear", epochs=2, device="cpu", workers=0)
    data = training_data(common)
    return [make_plan(replace(common, loss=name, run=folder / file_name(name)), data) for name in names]


def run_of(plan: Plan) -> RunFolder:
    assert plan.options.run is not None
    return RunFolder(plan.options.run)


@pytest.mark.process
@pytest.mark.slow
def test_several_processes_train_what_one_does(here: Path, cache_path: Path, capfd: pytest.CaptureFixture) -> None:
    names = ["an", "gpr", "compared_losses:Simple"]
    one, two = (trainings_of(cache_path, names, here / folder) for folder in ("one", "two"))
    told: list[Plan] = []
    train_at_once(one, 1)
    train_at_once(two, 2, told.append)
    assert sorted(str(run_of(plan).path) for plan in told) == sorted(str(run_of(plan).path) for plan in two)
    for alone, beside in zip(one, two, strict=True):
        np.testing.assert_array_equal(run_of(alone).load_logits()[1], run_of(beside).load_logits()[1])
    assert capfd.readouterr() == ("", "")


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "found"),
    [
        ("compared_losses:Failing", "compared_losses-Failing: the loss is out of order: mend it"),
        ("compared_losses:Dying", "compared_losses-Dying: the process that trained it ended with exit code 3"),
    ],
)
def test_a_training_that_fails_ends_the_others(loss: str, found: str, here: Path, cache_path: Path) -> None:
    with pytest.raises(AevlpError, match=found):
        train_at_once(trainings_of(cache_path, [loss, "an"], here / "runs"), 2)
    train_at_once(trainings_of(cache_path, ["an"], here / "runs"), 1)  # whatever became of it, it is not in the way
    assert RunFolder(here / "runs" / "an").finished()


@pytest.mark.process
@pytest.mark.slow
def test_a_signal_ends_all_processes_with_their_states_saved(here: Path, cache_path: Path) -> None:
    names = ["compared_losses:Interrupting", "compared_losses:Interrupting"]
    whole, parts = (trainings_of(cache_path, names, here / folder) for folder in ("whole", "parts"))
    parts[1], whole[1] = (seeded(given[1], 1, Path(f"{given[1].options.run}-1")) for given in (parts, whole))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        train_at_once(parts, 2)
    assert signal.getsignal(signal.SIGTERM) == before
    folders = [run_of(plan) for plan in parts]
    assert any(folder.state_files() for folder in folders) and not all(folder.finished() for folder in folders)
    train_at_once(parts, 1)
    train_at_once(whole, 1)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(run_of(one).load_logits()[1], run_of(other).load_logits()[1])


@pytest.mark.process
@pytest.mark.slow
def test_processes_end_with_the_one_that_was_killed(here: Path, cache_path: Path) -> None:
    options = [
        "--losses",
        "compared_losses:Slow",
        "--backbone",
        "linear",
        "--jobs",
        "2",
        "--seeds",
        "2",
        "--runs",
        "runs",
    ]
    started = subprocess.Popen(
        [sys.executable, "-m", "aevlp.stages", "compare", "--cache", str(cache_path), *options],
        stderr=subprocess.DEVNULL,
        cwd=here,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    runs = [RunFolder(here / "runs" / f"compared_losses-Slow-seed{seed}") for seed in (0, 1)]
    while not all(run.settings_file.exists() for run in runs):
        assert started.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    children = [int(pid) for pid in Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()]
    assert len(children) >= 2
    started.kill()
    started.wait()
    while any(Path(f"/proc/{pid}").exists() for pid in children):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert all(run.state_files() for run in runs) and not any(run.finished() for run in runs)


@pytest.mark.process
@pytest.mark.slow
def test_on_scenes_pseudo_labels_are_worth_their_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("pseudolabel", "--dataset", "scenes", "--workers", 0) == 0
    common = ("--policies", "damp", "--backbone", "linear", "--jobs", 2)
    assert call("compare", "--cache", "cache/scenes.h5", "--losses", "all", *common) == 0
    record = json.loads((tmp_path / "runs" / "compare-scenes-linear" / "results.json").read_text())
    rows = {row["loss"]: row for row in record["methods"]}
    left_out = {"iu", "scpnet"}  # which want observed negatives, and vectors of tiles
    assert set(rows) == set(losses.loss_names()) - left_out and set(record["left_out"]) == left_out
    for name in ("gpr", "an-pl"):
        assert rows[name]["difference_interval"][0] > 0, name
