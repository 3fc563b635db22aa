"""--log: what TensorBoard's own reader and an offline W&B hold is what metrics.jsonl says."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import stage_two
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.losses.schedules import gpr_schedule
from aevlp.pipeline.training.events import EpochEnded, Event
from aevlp.stages.stage_two import run_logs
from aevlp.stages.stage_two.narrator import Narrator
from aevlp.stages.stage_two.run import open_run


def read(run: Path) -> EventAccumulator:
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0, "scalars": 0})
    return events.Reload()


def scalars(run: Path, name: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in read(run).Scalars(name)]


def test_tensorboard_has_the_figures_schedules_and_pictures(cache_path: Path, tmp_path: Path) -> None:
    path = stage_two(cache_path, tmp_path / "run", backbone="linear", epochs=2, log=["tensorboard"])
    run = open_run(path)
    for name, key in (("train/loss", "loss"), ("val/map", "val_map"), ("time/seconds", "seconds")):
        logged = scalars(path, name)
        assert [step for step, _ in logged] == [1, 2]
        assert np.allclose([value for _, value in logged], [line[key] for line in run.history], atol=0.01)
    lr = pytest.approx(run.settings["recipe"]["lr"])
    assert scalars(path, "train/lr") == [(1, lr), (2, lr)]
    assert run.test_map is not None and np.isclose(scalars(path, "test/map")[0][1], run.test_map)
    loss = run.settings["loss"]
    expected = [gpr_schedule(epoch, 2, loss["linear_init"])[2] for epoch in (1, 2)]
    assert np.allclose([value for _, value in scalars(path, "schedule/mu")], expected)
    pictures = read(path).Images("val/pictures")
    assert [picture.step for picture in pictures] == [1, 2]
    assert pictures[0].encoded_image_string.startswith(b"\x89PNG") and pictures[0].width > 400


def test_a_resumed_run_goes_on_in_its_log(cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"backbone": "linear", "epochs": 3, "log": ["tensorboard"]}
    real, calls = run_logs.RunLogs.__call__, []

    def interrupted(self, event) -> None:
        real(self, event)
        if isinstance(event, run_logs.EpochEnded) and not calls:
            calls.append(event)
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(run_logs.RunLogs, "__call__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            stage_two(cache_path, tmp_path / "run", **options)
    stage_two(cache_path, tmp_path / "run", **options)
    assert [step for step, _ in scalars(tmp_path / "run", "train/loss")] == [1, 2, 3]


def test_a_log_asked_for_at_a_resume_has_the_epochs_before(
    cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"backbone": "linear", "epochs": 3}
    with monkeypatch.context() as patched:
        patched.setattr(Narrator, "__call__", interrupts_after_two)
        with pytest.raises(KeyboardInterrupt):
            stage_two(cache_path, tmp_path / "run", **options)
    path = stage_two(cache_path, tmp_path / "run", **options, log=["tensorboard"])
    logged = scalars(path, "val/map")
    assert [step for step, _ in logged] == [1, 2, 3]
    assert np.allclose([value for _, value in logged], [line["val_map"] for line in open_run(path).history])
    assert [step for step, _ in scalars(path, "schedule/mu")] == [1, 2, 3]


def interrupts_after_two(self: Narrator, event: Event) -> None:
    if isinstance(event, EpochEnded) and event.epoch == 2:
        raise KeyboardInterrupt


def test_pictures_that_cannot_be_made_are_said_once(
    cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def gone(plan, logits) -> None:
        raise AevlpError("no image a.png")

    monkeypatch.setattr(run_logs, "picture_grid", gone)
    path = stage_two(cache_path, tmp_path / "run", backbone="linear", epochs=2, log=["tensorboard"])
    assert [step for step, _ in scalars(path, "train/loss")] == [1, 2]
    assert capsys.readouterr().err.count("no pictures are logged: no image a.png") == 1


def test_logging_changes_no_number_and_is_no_setting(cache_path: Path, tmp_path: Path) -> None:
    plain = stage_two(cache_path, tmp_path / "plain", backbone="linear", epochs=1)
    logged = stage_two(cache_path, tmp_path / "logged", backbone="linear", epochs=1, log=["tensorboard"])
    lines = [json.loads((run / "metrics.jsonl").read_text().splitlines()[0]) for run in (plain, logged)]
    assert lines[0]["loss"] == lines[1]["loss"] and lines[0]["val_map"] == lines[1]["val_map"]
    stage_two(cache_path, logged, backbone="linear", epochs=1)  # asked for without a log: the same run


def test_a_log_that_fails_costs_no_training(
    cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def full(self, values, epoch) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_logs.TensorBoard, "scalars", full)
    path = stage_two(cache_path, tmp_path / "run", backbone="linear", epochs=2, log=["tensorboard"])
    assert open_run(path).finished
    assert capsys.readouterr().err.count("logging to tensorboard ends here, the training goes on") == 1


def test_what_cannot_be_logged_to_is_said_before_training(
    cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AevlpError, match="--log: unknown log 'mlflow'"):
        stage_two(cache_path, tmp_path / "run", backbone="linear", log=["mlflow"])
    monkeypatch.setattr(run_logs, "find_spec", lambda name: None)
    with pytest.raises(AevlpError, match=r"pip install 'aevlp\[wandb\]'"):
        stage_two(cache_path, tmp_path / "run", backbone="linear", log=["wandb"])
    assert not (tmp_path / "run").exists()


def test_wandb_never_asks_for_a_login(cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", FakeWandb())
    monkeypatch.setattr(run_logs, "find_spec", lambda name: True)
    monkeypatch.setenv("WANDB_MODE", "online")
    with pytest.raises(AevlpError, match="run wandb login, or set WANDB_MODE=offline"):
        stage_two(cache_path, tmp_path / "run", backbone="linear", log=["wandb"])
    assert not (tmp_path / "run").exists()


class FakeWandb(SimpleNamespace):
    """W&B as `WeightsAndBiases` calls it, which keeps what it is told."""

    def __init__(self) -> None:
        self.logged: list[tuple[int, dict]] = []
        self.begun: list[dict] = []
        run = SimpleNamespace(log=lambda values, step: self.logged.append((step, values)), finish=lambda: None)
        super().__init__(
            init=lambda **given: self.begun.append(given) or run,
            login=lambda prompt: False,
            Settings=SimpleNamespace,
            Image=lambda picture: picture.size,
        )


def test_wandb_is_offline_where_nobody_is_logged_in_and_goes_on_in_its_run(
    cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setattr(run_logs, "find_spec", lambda name: True)
    path = stage_two(cache_path, tmp_path / "run", backbone="linear", epochs=2, log=["wandb"])
    assert fake.begun[0]["mode"] == "offline" and fake.begun[0]["id"] == (path / "wandb-id.txt").read_text()
    assert fake.begun[0]["config"]["loss"]["name"] == "gpr"
    figures = [(step, values["val/map"]) for step, values in fake.logged if "val/map" in values]
    assert figures == [(line["epoch"], line["val_map"]) for line in open_run(path).history]
    monkeypatch.setenv("WANDB_MODE", "disabled")
    run_logs.WeightsAndBiases(path, {}, 2)
    assert fake.begun[1]["mode"] == "disabled" and fake.begun[1]["id"] == fake.begun[0]["id"]


@pytest.mark.slow
@pytest.mark.process
def test_wandb_itself_offline(cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    path = stage_two(cache_path, tmp_path / "run", backbone="linear", epochs=1, log=["wandb"])
    assert open_run(path).finished
    assert list((path / "wandb").glob("offline-run-*/*.wandb"))
