"""Runs as results: what train returns, resuming by the run alone, the list of runs, and what the engine announces."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import call, stage_two
from test_stage_two import without_times

import aevlp
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.training import trainer
from aevlp.pipeline.training.events import (
    EpochBegun,
    EpochEnded,
    Evaluating,
    Finished,
    Saved,
    Step,
    StoppedEarly,
)
from aevlp.pipeline.training.run_folder import RunFolder
from aevlp.stages.stage_two import train as stage
from aevlp.stages.stage_two.list_runs import RunList, show
from aevlp.stages.stage_two.options import TrainOptions
from aevlp.stages.stage_two.plan import make_plan
from aevlp.stages.stage_two.settings import options_of

OPTIONS: dict[str, Any] = {
    "loss": "gr", "backbone": "linear", "epochs": 3, "batch_size": 3, "lr": 0.01, "seed": 4, "workers": 0,
}  # fmt: skip


def stopped(cache: Path, run: Path, **options: Any) -> None:
    """Train until the second epoch begins, and stop there as Ctrl-C does."""
    real, calls = trainer.train_epoch, []

    def interrupted(*given: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "train_epoch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            stage_two(cache, run, **{**OPTIONS, **options})
    assert not RunFolder(run).finished()


@pytest.fixture(scope="module")
def whole(cache_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was left alone; tests do not change it."""
    return stage_two(cache_path, tmp_path_factory.mktemp("whole") / "run", **OPTIONS)


def assert_alike(run: Path, whole: Path) -> None:
    assert without_times(run) == without_times(whole)
    assert (run / "best.safetensors").read_bytes() == (whole / "best.safetensors").read_bytes()


def test_a_run_is_resumed_from_any_folder_with_nothing_but_its_name(
    cache_path: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(cache_path, tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert call("train", "--resume", Path("..") / "run") == 0
    assert_alike(tmp_path / "run", whole)


@pytest.mark.parametrize(
    "form", [("--run", "run", "--resume"), ("--run", "run"), ("--resume", "run"), ("run", "--resume")]
)
def test_every_form_of_the_command_resumes(
    cache_path: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    stopped(cache_path, Path("run"))
    cache = () if form in (("--resume", "run"), ("run", "--resume")) else ("--cache", cache_path)
    given = [] if not cache or "--resume" in form else [f"--{n.replace('_', '-')}={v}" for n, v in OPTIONS.items()]
    assert call("train", *cache, *form, *given) == 0
    assert_alike(tmp_path / "run", whole)


def test_a_resumed_run_takes_a_cache_that_has_moved_and_refuses_other_settings(
    cache_path: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    cache = Path(shutil.copy(cache_path, tmp_path / "there.h5"))
    stopped(cache, tmp_path / "run")
    cache.rename(tmp_path / "moved.h5")
    assert call("train", "--resume", tmp_path / "run") == 1
    assert f"no cache {cache}" in capsys.readouterr().err
    assert call("train", tmp_path / "moved.h5", "--run", tmp_path / "run", "--resume", "--lr", 0.5) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "was started differently (this run has --lr: 0.5, not 0.01)" in error
    assert call("train", tmp_path / "moved.h5", "--run", tmp_path / "run", "--resume", "--save-minutes", 1) == 0
    assert_alike(tmp_path / "run", whole)


def test_a_finished_run_whose_cache_is_elsewhere_is_finished_and_takes_the_moved_cache(
    cache_path: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    cache = Path(shutil.copy(cache_path, tmp_path / "there.h5"))
    stage_two(cache, tmp_path / "run", **OPTIONS)
    stopped(cache, tmp_path / "begun")
    cache = cache.rename(tmp_path / "moved.h5")
    capsys.readouterr()
    assert call("train", "--resume", tmp_path / "run") == 0
    assert "is finished already; its cache is not there any more" in capsys.readouterr().err
    for options in ((tmp_path / "run", "--epochs", 9), (tmp_path / "begun",)):
        assert call("train", "--resume", *options) == 1
        said = capsys.readouterr().err
        assert f"aevlp train --resume {options[0]} --cache CACHE" in said and said.count("error: ") == 1
    assert call("train", "--resume", tmp_path / "run", "--cache", cache, "--epochs", 9) == 1
    assert "(this run has --epochs: 9, not 3): give its settings, choose another folder as --run DIR" in (
        capsys.readouterr().err
    )
    assert call("train", "--resume", tmp_path / "run", "--cache", cache) == 0
    assert call("train", "--cache", cache, tmp_path / "begun", "--resume") == 0
    assert_alike(tmp_path / "begun", whole)
    assert call("train", tmp_path / "run", "--cache", cache) == 2  # without --resume there is one cache
    assert "given twice" in capsys.readouterr().err


def test_what_was_passed_is_named_where_something_else_was_expected(
    cache_path: Path, whole: Path, blocks: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    image = next((blocks / "images").iterdir())
    parquet = aevlp.convert(cache_path, tmp_path / "c.parquet", progress=False).path
    for command, expected in (
        (("evaluate", cache_path), f"error: {cache_path} is a cache, expected a run"),
        (("predict", cache_path, image), f"error: {cache_path} is a cache, expected a run"),
        (("train", "--resume", image), f"error: {image} is a file, expected a run"),
        (
            ("predict", whole / "none", image),
            f"error: there is no run {whole / 'none'}: aevlp runs lists those that are there",
        ),
        (("evaluate", blocks), f"error: {blocks} is not a training run, no settings.json in it; expected a run"),
        (
            ("predict", image, whole),
            f"error: {image} is no run, and {whole} is one: the run comes first, as in aevlp predict ",
        ),
        (("predict", blocks / "images", whole), f"images is no run, and {whole} is one: the run comes first"),
        (
            ("run", whole),
            f"error: {whole} is the folder of a run, expected a SOURCE of images: aevlp evaluate {whole} ",
        ),
        (
            ("run", cache_path),
            f"error: {cache_path} is a cache, expected a SOURCE of images: aevlp train {cache_path} ",
        ),
        (("pseudolabel", parquet), f"error: {parquet} is a cache, expected a SOURCE of images: aevlp train {parquet} "),
        (("verify", whole), f"error: {whole} is a run, expected a cache: a cache is a .h5 file or a .parquet folder"),
    ):
        assert call(*command) == 1
        assert expected in capsys.readouterr().err.splitlines()[-1]
    for command, expected in ((("train",), "'CACHE'"), (("train", "--resume"), "'RUN'")):
        assert call(*command) == 2
        assert f"Missing argument {expected}." in capsys.readouterr().err


def test_a_run_of_before_options_were_recorded_is_resumed_too(cache_path: Path, whole: Path, tmp_path: Path) -> None:
    stopped(cache_path, tmp_path / "run")
    file = tmp_path / "run" / "settings.json"
    settings = json.loads(file.read_text())
    assert settings.pop("options")["loss"] == "gr"
    file.write_text(json.dumps(settings))
    assert call("train", "--resume", tmp_path / "run", "--workers", 0, "--manifest", _manifest(cache_path)) == 0
    assert_alike(tmp_path / "run", whole)
    settings["policy"] = {"name": "threshold", "constants": {}, "fitted_on": "20 images", "full_labels": True}
    file.write_text(json.dumps(settings))
    with pytest.raises(
        AevlpError, match="does not say which file its policy threshold is from: give all options again"
    ):
        options_of(RunFolder(tmp_path / "run"))


def _manifest(cache: Path) -> str:
    return aevlp.open_cache(cache).provenance["dataset"]["manifest"]


def test_what_is_neither_a_cache_nor_a_run_is_one_line(whole: Path, tmp_path: Path, capsys) -> None:
    for command, message in (
        (
            (tmp_path,),
            f"{tmp_path} is a folder, expected a cache: a cache is a .h5 file or a .parquet folder, and aevlp pseudo",
        ),
        (("--resume", tmp_path), "is not a training run"),
        (
            ("--resume", tmp_path / "none"),
            f"there is no run {tmp_path / 'none'}: aevlp runs lists those that are there",
        ),
        ((whole,), f"is a run, no cache: aevlp train --resume {whole} resumes it"),
    ):
        capsys.readouterr()
        assert call("train", *command) == 1
        assert message in capsys.readouterr().err.splitlines()[-1]


def test_the_options_of_a_run_make_its_plan_again(cache_path: Path, whole: Path, blocks: Path) -> None:
    options = options_of(RunFolder(whole))
    assert options == TrainOptions(cache_path, **OPTIONS, run=whole)
    given = {**OPTIONS, "manifest": [blocks / "blocks.yaml"], "data_root": blocks, "device": "cpu", "save_minutes": 3.0}
    plan = make_plan(TrainOptions(cache_path, **given))
    recorded = json.loads(json.dumps(stage.recorded(plan)))["options"]
    assert TrainOptions(cache_path, **recorded) == plan.options


def test_train_returns_a_run_and_a_folder_is_opened_as_one(
    cache_path: Path, blocks: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run = aevlp.train(cache_path, run=tmp_path / "run", **OPTIONS, progress=False)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")
    measured = RunFolder(run.folder).metrics()
    assert run.folder == tmp_path / "run" and run.finished
    assert [row["epoch"] for row in run.history] == list(range(1, len(run.history) + 1))
    assert run.best_map == max(row["val_map"] for row in run.history)
    assert run.test_map == measured[-1]["test_map"] and run.best_epoch == measured[-1]["best_epoch"]
    assert run.settings["loss"]["name"] == "gr"
    assert run.evaluate(workers=0).map == pytest.approx(run.test_map)
    assert run.evaluate("train", workers=0).images == len(make_plan(TrainOptions(cache_path)).train.rows)
    found = run.predict(blocks / "images" / "00.png", workers=0)
    assert [row["image"] for row in found] == [str(blocks / "images" / "00.png")]
    assert found.to_arrow().column_names[-3:] == ["p(red)", "p(green)", "p(blue)"]
    again = aevlp.open_run(run.folder)
    assert again.to_json() == run.to_json() and str(run.folder) in repr(again)
    with pytest.raises(AevlpError, match=r"there is no run .*/none: aevlp runs lists those that are there$"):
        aevlp.open_run(tmp_path / "none")


def test_a_run_keeps_a_log_of_what_was_said(cache_path: Path, whole: Path, tmp_path: Path) -> None:
    text = (whole / "log.txt").read_text()
    assert "gr with linear on cpu" in text and "epoch 1: loss" in text and "holds all that" in text
    stopped(cache_path, tmp_path / "run")
    before = (tmp_path / "run" / "log.txt").read_text()
    stage_two(cache_path, tmp_path / "run", **OPTIONS)
    after = (tmp_path / "run" / "log.txt").read_text()
    assert after.startswith(before) and "resuming with epoch 2" in after


def test_runs_are_listed_with_what_they_differ_by(
    cache_path: Path, blocks: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "runs"
    manifest = tmp_path / "blocks.yaml"
    manifest.write_text((blocks / "blocks.yaml").read_text().replace("gpr: {exp", "gpr: {q3: 0.3, exp"))
    shutil.copy(blocks / "tiny-clip.json", tmp_path)
    one = stage_two(cache_path, folder / "deep" / "one", **{**OPTIONS, "epochs": 1})
    two = stage_two(
        cache_path, folder / "two", **{**OPTIONS, "loss": "gpr"}, manifest=manifest, data_root=blocks, policy="vlpl"
    )
    stopped(cache_path, folder / "begun")
    capsys.readouterr()
    assert call("runs", folder, "--json") == 0
    begun, first, second = json.loads(capsys.readouterr().out)["runs"]
    assert (begun["name"], first["name"], second["name"]) == ("begun", "deep/one", "two")
    assert (begun["finished"], begun["epochs"], begun["test_map"]) == (False, 1, None)
    assert (first["loss"], first["epochs"], first["finished"], first["policy"]) == ("gr", 1, True, None)
    assert first["test_map"] == RunFolder(one).metrics()[-1]["test_map"]
    assert second["policy"] == "vlpl" and second["constants"]["q3"] == 0.3
    assert second["best_map"] == max(line["val_map"] for line in RunFolder(two).metrics()[:-1])
    assert {run["cache"] for run in (begun, first, second)} == {str(cache_path)}
    (folder / "two" / "metrics.jsonl").write_text("{")
    assert call("runs", folder) == 0
    shown = capsys.readouterr()
    assert "two is left out" in shown.err and "unfinished" in shown.out and "deep/one" in shown.out
    for empty, message in ((tmp_path / "none", "no folder"), (blocks, "holds no training run")):
        with pytest.raises(AevlpError, match=message):
            aevlp.runs(empty)


def test_the_list_shows_the_constants_that_differ_between_runs_of_a_loss(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def row(name: str, loss: str, by: str = "truth", **constants: Any) -> dict[str, Any]:
        figures = {"epochs": 2, "best_map": 1.0, "test_map": None, "evaluated_by": by, "finished": True}
        return {"name": name, "cache": "c.h5", "loss": loss, "policy": None, "constants": constants, **figures}

    def shown(*rows: dict[str, Any]) -> str:
        show(RunList(rows))
        return capsys.readouterr().out

    monkeypatch.setenv("COLUMNS", "80")
    many: dict[str, Any] = {"expected_positives": 1.2839999, "q2": 0.1}
    found = shown(
        row("scenes-gpr-linear-seed0", "gpr", **many),
        row("scenes-gpr-linear-seed0-2", "gpr", **many, q3=0.5000000001, w=[0.1] * 30),
        row("scenes-em-linear-seed0", "em", alpha=0.3),
    )
    assert "q3=0.5 " in found and "w=[30 values]" in found and "no room" not in found
    assert "scenes-gpr-linear-seed0-2" in found
    assert not any(f"{name}=" in found for name in ("q2", "alpha", "expected_positives"))
    assert "constants" not in shown(row("a", "gpr", **many), row("b", "gpr", **many))
    of_another = {**row("b", "gpr", q2=0.2), "cache": "d.h5"}
    assert "constants" not in shown(row("a", "gpr", q2=0.1), of_another)  # those of another data set are others anyway
    other = shown(row("a", "gpr", q2=0.1), row("b", "gpr", q2=0.2, by="observed"))
    assert "q2=0.1" in other and "q2=0.2" in other
    assert "100.00+" in other and "+ against observed labels: the full truth is not known" in other


def test_the_engine_announces_each_step_and_prints_nothing(
    cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    told: list[Any] = []

    class Listener:
        def __enter__(self) -> Any:
            return told.append

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(stage, "Narrator", lambda _: Listener())
    maps = iter([0.5, 0.4, 0.3, 0.2])
    monkeypatch.setattr(trainer, "mean_average_precision", lambda *_: next(maps))
    given = {**OPTIONS, "epochs": 9, "save_minutes": 60}
    run = stage.train_plan(make_plan(TrainOptions(cache_path, **given)), tmp_path / "run")
    steps = [Step(3), Step(3), Step(3), Step(1)]
    ended = [event for event in told if isinstance(event, EpochEnded)]
    lines = RunFolder(run).metrics()
    assert [(e.epoch, e.loss, e.val_map, e.best) for e in ended] == [
        (line["epoch"], line["loss"], line["val_map"], line["best"]) for line in lines[:-1]
    ]
    expected: list[Any] = []
    for number in range(2):
        expected += [EpochBegun(number + 1, 9, 10, 0), *steps, Evaluating("val"), Saved(number + 2, 0), ended[number]]
    finished = [StoppedEarly(2), Evaluating("val"), Evaluating("test"), Finished(1, 0.5, 0.3)]
    assert told == [*expected, *finished]
    assert lines[-1] == {"test_map": 0.3, "best_epoch": 1}
    assert not any(word in capsys.readouterr().err for word in ("epoch 1", "stopped"))


def test_a_resumed_engine_announces_where_it_begins(
    cache_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    stopped(cache_path, tmp_path / "run")
    capsys.readouterr()
    stage_two(cache_path, tmp_path / "run", **OPTIONS)
    assert "resuming with epoch 2" in capsys.readouterr().err


@pytest.mark.process
def test_predicting_reads_each_image_once_and_one_that_is_damaged_costs_no_other(
    blocks: Path, run_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aevlp.pipeline.training import inputs

    images = Path(shutil.copytree(blocks / "images", tmp_path / "images"))
    (images / "03.png").write_bytes(b"")
    resized = inputs.resized_image
    calls: list[int] = []
    monkeypatch.setattr(inputs, "resized_image", lambda *given: (calls.append(1), resized(*given))[1])
    monkeypatch.setattr(inputs, "EVALUATION_BATCH", 3)
    found = aevlp.predict(run_path, [str(images)], workers=0, device="cpu")
    assert len(calls) == 15
    assert [image["status"] for image in found.images] == ["ok"] * 3 + ["unreadable"] + ["ok"] * 12
    assert found.images[3]["probabilities"] is None and "03.png" in found.images[3]["reason"]
    monkeypatch.undo()
    whole = aevlp.predict(run_path, [str(blocks / "images")], workers=1, device="cpu")
    for one, other in zip(found.images, whole.images, strict=True):
        if one["status"] == "ok":
            np.testing.assert_allclose(
                list(one["probabilities"].values()), list(other["probabilities"].values()), atol=1e-6
            )
