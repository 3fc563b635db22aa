"""Training that is interrupted, killed or finds its files damaged, against one that was left alone: equal bit for bit."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import call, stage_two
from safetensors import SafetensorError

from aevlp.pipeline.errors import AevlpError, Notice
from aevlp.pipeline.files import atomic_write
from aevlp.pipeline.losses import Targets, create_loss
from aevlp.pipeline.runtime.interruption import Interruption
from aevlp.pipeline.training import checkpoint, predictor, trainer
from aevlp.pipeline.training.checkpoint import load_tree
from aevlp.pipeline.training.random_state import generator_states, restore_generators
from aevlp.pipeline.training.run_folder import RunFolder
from aevlp.pipeline.training.state import TrainingState
from aevlp.stages.stage_two import train

TIMES = ("seconds", "waiting")
OPTIONS = {"backbone": "linear", "epochs": 3, "save_minutes": 0, "lr": 0.01}  # 10 images, 4 a step: 3 steps an epoch
STEPS = 9


class Killed(BaseException):
    """What ends a training at once, with nothing done about it."""


class Remembering(torch.nn.Module):
    """A loss that would give away whatever a state forgets: it keeps a table of rows and draws from every generator."""

    def __init__(self, act: Callable[[int], None]) -> None:
        super().__init__()
        self.register_buffer("table", torch.zeros(16, 3))
        self.inner, self.act, self.calls, self.epoch = create_loss("an", 3), act, 0, 0

    def set_epoch(self, epoch: int, epochs: int) -> None:
        self.epoch = epoch

    def forward(self, logits: torch.Tensor, targets: Targets) -> torch.Tensor:
        assert targets.rows is not None
        self.calls += 1
        self.act(self.calls)
        table: Any = self.table
        seen = table[targets.rows] + 0.1 * self.epoch
        table[targets.rows] = logits.detach().sigmoid()
        noise = random.gauss(0, 1) + np.random.randn() + float(torch.randn(()))
        return self.inner(logits, targets) * (2 + noise) + ((logits.sigmoid() - seen) ** 2).mean()


def trained(cache: Path, run: Path, act: Callable[[int], None] = lambda _: None, **options: Any) -> Path:
    """Train with a loss that calls `act` with the number of each step, counted from this start.

    What stands in for the mean average precision grows with the weights: each epoch is the best so far.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "create_loss", lambda *_, **__: Remembering(act))
        patch.setattr(trainer, "mean_average_precision", lambda logits, _: float(np.tanh(np.abs(logits).mean())))
        return stage_two(cache, run, **{**OPTIONS, **options})


def at(step: int, what: Callable[[], None]) -> Callable[[int], None]:
    return lambda number: what() if number == step else None


def kill() -> None:
    raise Killed


def send(number: signal.Signals) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def content(run: Path) -> dict[str, Any]:
    """Return all that a run holds, but for how long it took, in a form that == compares bit for bit."""
    folder = RunFolder(run)
    assert len(folder.state_files()) <= 2
    state = load_tree(folder.state_files()[-1])
    for line in (*state["history"], state["progress"]):
        del line["seconds"], line["waiting"]
    return {
        "files": sorted(file.name for file in run.iterdir() if file not in folder.state_files()[:-1]),
        "metrics": [{key: value for key, value in line.items() if key not in TIMES} for line in folder.metrics()],
        "best": folder.best_file.read_bytes(),
        "test": folder.logits_files["test"].read_bytes(),
        "state": plain(state),
    }


def plain(node: Any) -> Any:
    if isinstance(node, torch.Tensor):
        return node.dtype, tuple(node.shape), node.reshape(-1).view(torch.uint8).numpy().tobytes()
    if isinstance(node, dict):
        return {key: plain(value) for key, value in node.items()}
    return [plain(value) for value in node] if isinstance(node, list) else node


@pytest.fixture(autouse=True)
def sigint_is_heard() -> Iterator[None]:
    """A shell that started the tests in its background may have made them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True, scope="module")
def nothing_waits_for_the_disk() -> Iterator[None]:
    """These tests save hundreds of states, and none cuts the power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomic_write, "_sync", lambda _: None)
        yield


@pytest.fixture(scope="module")
def whole(cache_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run holds that was left alone."""
    whole = content(trained(cache_path, tmp_path_factory.mktemp("whole") / "run"))
    assert [line.get("best") for line in whole["metrics"]] == [True, True, True, None]
    return whole


@pytest.fixture(scope="module")
def killed(cache_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed in step 6, its states those after steps 4 and 5; tests do not change it."""
    run = tmp_path_factory.mktemp("killed") / "run"
    with pytest.raises(Killed):
        trained(cache_path, run, at(6, kill))
    assert [file.name for file in RunFolder(run).state_files()] == [
        "state-002-000001.safetensors", "state-002-000002.safetensors",
    ]  # fmt: skip
    return run


def test_a_loss_that_remembers_gives_away_what_a_state_forgets(
    cache_path: Path, killed: Path, whole: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests below can fail: without its generators, or without the loss, a state leads elsewhere."""
    for forgotten in ("restore_generators", "restore_memories"):
        run = Path(shutil.copytree(killed, tmp_path / forgotten))
        with monkeypatch.context() as patch:
            place = trainer if forgotten == "restore_generators" else TrainingState
            patch.setattr(place, forgotten, lambda *_: None)
            assert content(trained(cache_path, run, resume=True))["metrics"] != whole["metrics"]
    assert content(trained(cache_path, Path(shutil.copytree(killed, tmp_path / "run")), resume=True)) == whole


@pytest.mark.slow
def test_a_run_that_is_interrupted_in_every_step_comes_to_the_same_numbers(
    cache_path: Path, tmp_path: Path, whole: dict
) -> None:
    run, places = tmp_path / "run", []
    for step in range(STEPS):
        number = (signal.SIGINT, signal.SIGTERM)[step % 2]
        with pytest.raises(KeyboardInterrupt):
            trained(cache_path, run, at(1, send(number)), resume=step > 0, save_minutes=60)
        places.append(RunFolder(run).state_files()[-1].stem)
    assert places == [f"state-{epoch:03d}-{step:06d}" for epoch in (1, 2, 3) for step in (1, 2, 3)]
    assert content(trained(cache_path, run, resume=True)) == whole


def test_a_run_with_pixels_that_is_killed_in_every_other_step_comes_to_the_same_numbers(
    cache_path: Path, tmp_path: Path
) -> None:
    expected = content(trained(cache_path, tmp_path / "whole", backbone="clip"))
    run, starts = tmp_path / "run", 0
    while not (run / "test.safetensors").exists():
        try:
            trained(cache_path, run, at(2, kill), backbone="clip", resume=starts > 0)
        except Killed:
            assert len(RunFolder(run).state_files()) <= 2
        starts += 1
    assert starts == STEPS
    assert content(run) == expected


@pytest.mark.parametrize("judgement", [1, 2, 3, 4])
def test_a_signal_in_a_judgement_ends_it_and_a_resumed_run_repeats_it(
    cache_path: Path, tmp_path: Path, whole: dict, monkeypatch: pytest.MonkeyPatch, judgement: int
) -> None:
    """Three epochs are judged, and the best weights on the test split."""
    real, calls = predictor.predict_logits, []

    def interrupted(*arguments: Any) -> np.ndarray:
        calls.append(1)
        if len(calls) == judgement:
            send(signal.SIGTERM)()
            send(signal.SIGINT)()
        return real(*arguments)

    monkeypatch.setattr(predictor, "predict_logits", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained(cache_path, tmp_path / "run", save_minutes=60)
    place = f"state-{judgement:03d}-{3 if judgement < 4 else 0:06d}"
    assert RunFolder(tmp_path / "run").state_files()[-1].stem == place
    assert content(trained(cache_path, tmp_path / "run", resume=True)) == whole


OPERATIONS = [(name, n) for name in ("save_state", "save_best", "write_metrics") for n in (1, 2)] + [("save_logits", 1)]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: f"{o[0]}-{o[1]}")
def test_a_run_that_is_killed_between_two_files_comes_to_the_same_numbers(
    cache_path: Path, tmp_path: Path, whole: dict, monkeypatch: pytest.MonkeyPatch, operation: tuple, after: bool
) -> None:
    name, nth = operation
    real, calls = getattr(RunFolder, name), []

    def deadly(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == nth and not after:
            kill()
        real(*arguments)
        if len(calls) == nth:
            kill()

    monkeypatch.setattr(RunFolder, name, deadly)
    with pytest.raises(Killed):
        trained(cache_path, tmp_path / "run", save_minutes=60)
    monkeypatch.undo()
    assert content(trained(cache_path, tmp_path / "run", resume=True)) == whole


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def flip(file: Path) -> None:
    """Flip one bit of the tensors."""
    damaged = bytearray(file.read_bytes())
    damaged[-100] ^= 4
    file.write_bytes(damaged)


def replace(file: Path) -> None:
    checkpoint.save_tree(file, {"another": "file"})


@pytest.mark.parametrize("damage", [cut, empty, flip, replace])
def test_a_damaged_state_is_named_and_the_one_before_it_used(
    cache_path: Path, killed: Path, tmp_path: Path, whole: dict, damage: Callable
) -> None:
    run = Path(shutil.copytree(killed, tmp_path / "run"))
    older, newest = RunFolder(run).state_files()
    damage(newest)
    with pytest.warns(Notice, match=f"{re.escape(str(newest))}.*; resuming from {older.name}, the one before it"):
        trained(cache_path, run, resume=True)
    assert content(run) == whole


def test_a_damaged_state_is_never_kept_in_the_place_of_a_whole_one(
    cache_path: Path, killed: Path, tmp_path: Path, whole: dict
) -> None:
    """Steps are saved again before the place of the damaged state is reached."""
    run = Path(shutil.copytree(killed, tmp_path / "run"))
    damaged = RunFolder(run).state_files()[-1].rename(run / "state-003-000002.safetensors")
    cut(damaged)
    with pytest.raises(Killed):
        trained(cache_path, run, at(2, kill), resume=True)
    assert [file.stem for file in RunFolder(run).state_files()] == ["state-002-000001", "state-002-000002"]
    assert content(trained(cache_path, run, resume=True)) == whole


def test_without_a_readable_state_a_run_is_not_resumed(cache_path: Path, killed: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(killed, tmp_path / "run"))
    for file in RunFolder(run).state_files():
        cut(file)
    with (
        warnings.catch_warnings(),
        pytest.raises(AevlpError, match=r"no state that can be read.*000002.*000001.*start a new"),
    ):
        warnings.simplefilter("error")  # nothing is resumed from
        trained(cache_path, run, resume=True)
    for file in RunFolder(run).state_files():
        file.unlink()
    with pytest.raises(AevlpError, match="has lost its states"):
        trained(cache_path, run, resume=True)


def test_lost_metrics_are_written_again_and_lost_weights_are_an_error(
    cache_path: Path, killed: Path, tmp_path: Path, whole: dict
) -> None:
    run = Path(shutil.copytree(killed, tmp_path / "run"))
    (run / "metrics.jsonl").unlink()
    assert content(trained(cache_path, run, resume=True)) == whole
    run = Path(shutil.copytree(killed, tmp_path / "other"))
    flip(run / "best.safetensors")
    with pytest.raises(AevlpError, match=r"best\.safetensors cannot be read: it is damaged"):
        trained(cache_path, run, resume=True)
    (run / "best.safetensors").unlink()
    with pytest.raises(AevlpError, match=r"has lost best\.safetensors"):
        trained(cache_path, run, resume=True)


def test_weights_of_an_epoch_that_came_to_nothing_are_not_passed_off_as_the_best(
    cache_path: Path, killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(killed, tmp_path / "run"))
    tensors, about = checkpoint.load_tensors(run / "best.safetensors")
    checkpoint.save_tensors(run / "best.safetensors", tensors, {**about, "epoch": 99})
    monkeypatch.setattr(train, "create_loss", lambda *_, **__: Remembering(lambda _: None))
    monkeypatch.setattr(trainer, "mean_average_precision", lambda *_: 0.0)  # what is left does not get better
    with pytest.raises(AevlpError, match="holds the weights of epoch 99, and the best epoch is 1"):
        stage_two(cache_path, run, resume=True, **OPTIONS)


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), SafetensorError("I/O error: No space left on device (os error 28)")],
)
def test_a_full_disk_is_one_line_and_the_older_state_is_still_there(
    cache_path: Path,
    killed: Path,
    tmp_path: Path,
    whole: dict,
    monkeypatch: pytest.MonkeyPatch,
    capsys,
    error: Exception,
) -> None:
    run = Path(shutil.copytree(killed, tmp_path / "run"))
    before = {file.name: file.read_bytes() for file in RunFolder(run).state_files()}

    def full(tensors: dict, path: Path, metadata: dict) -> None:
        path.write_bytes(b"the beginning")
        raise error

    monkeypatch.setattr(checkpoint, "save_file", full)
    monkeypatch.setattr(train, "create_loss", lambda *_, **__: Remembering(lambda _: None))
    command = ("train", "--cache", cache_path, "--run", run, "--backbone", "linear", "--epochs", 3, "--lr", 0.01)
    assert call(*command, "--workers", 0, "--save-minutes", 0, "--resume") == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(said) == 1
    assert "cannot write" in said[0] and "state-002-000003" in said[0] and "No space left on device" in said[0]
    assert {file.name: file.read_bytes() for file in run.glob("*state*")} == before
    monkeypatch.undo()
    assert content(trained(cache_path, run, resume=True)) == whole


def test_no_state_is_saved_of_a_loss_that_is_not_finite(cache_path: Path, tmp_path: Path) -> None:
    class Diverging(Remembering):
        def forward(self, logits: torch.Tensor, targets: Targets) -> torch.Tensor:
            value = super().forward(logits, targets)
            return value * float("nan") if self.calls == 5 else value

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "create_loss", lambda *_, **__: Diverging(lambda _: None))
        with pytest.raises(AevlpError, match=r"the loss became nan in epoch 2.*the one before is kept"):
            stage_two(cache_path, tmp_path / "run", **OPTIONS)
    assert [file.stem for file in RunFolder(tmp_path / "run").state_files()] == ["state-002-000000", "state-002-000001"]


def test_what_a_killed_process_began_to_write_is_in_nobodys_way(cache_path: Path, tmp_path: Path, whole: dict) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / ".settings.json.1.tmp").write_text("{")
    with pytest.raises(Killed):
        trained(cache_path, run, at(3, kill))
    (run / ".state-001-000003.safetensors.2.tmp").write_bytes(b"half of it")
    assert content(trained(cache_path, run, resume=True)) == whole  # which lists the files


def test_a_run_that_was_killed_before_its_first_state_starts_anew(
    cache_path: Path, tmp_path: Path, whole: dict
) -> None:
    with pytest.raises(Killed):
        trained(cache_path, tmp_path / "run", at(1, kill))
    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == ["log.txt", "settings.json"]
    assert content(trained(cache_path, tmp_path / "run", resume=True)) == whole


def test_states_are_saved_as_often_as_asked(cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved, clock = [], [0.0]
    real = RunFolder.save_state
    monkeypatch.setattr(RunFolder, "save_state", lambda *given: (saved.append(given[2:]), real(*given)))
    monkeypatch.setattr(trainer.time, "monotonic", lambda: clock[0])

    def pass_time(_: int) -> None:
        clock[0] += 60

    trained(cache_path, tmp_path / "run", pass_time, save_minutes=2)
    assert saved == [(1, 2), (2, 0), (2, 2), (3, 0), (3, 2), (4, 0)]


@pytest.mark.parametrize("pending", [False, True])
def test_generators_draw_again_what_they_drew(pending: bool) -> None:
    def draw() -> list[float]:
        return [random.gauss(0, 1), random.random(), np.random.randn(), np.random.rand(), float(torch.randn(()))]

    if pending:  # each of the first two makes two numbers and keeps one
        random.gauss(0, 1)
        np.random.randn()
    cpu = torch.device("cpu")
    states = generator_states(cpu)
    first = draw() + draw()
    assert draw() != first[:5]
    restore_generators(states, cpu)
    assert draw() + draw() == first


def test_signals_are_noted_only_inside_and_one_that_nobody_saw_is_raised_at_the_end() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interruption() as interruption:
        assert signal.getsignal(signal.SIGTERM) != before
        assert not interruption.asked
    assert signal.getsignal(signal.SIGTERM) == before
    with pytest.raises(KeyboardInterrupt), Interruption() as interruption:
        send(signal.SIGTERM)()
        send(signal.SIGTERM)()
        assert interruption.asked
    with pytest.raises(ZeroDivisionError), Interruption():  # what went wrong is not hidden by it
        send(signal.SIGINT)()
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGTERM) == before


def test_training_in_another_thread_leaves_signals_alone() -> None:
    found = []

    def look() -> None:
        with Interruption():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]


def started(cache: Path, run: Path, *more: object) -> subprocess.Popen:
    """Start a training with pixels in a process and a session of its own, and return when it has saved a state."""
    command = ("train", "--cache", cache, "--run", run, "--batch-size", 2, "--save-minutes", 0, *more)
    process = subprocess.Popen(
        [sys.executable, "-m", "aevlp.stages", *map(str, command)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    while not list(run.glob("state-*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    return process


@pytest.mark.slow
@pytest.mark.process
def test_a_terminated_process_saves_and_a_killed_one_has_saved(cache_path: Path, tmp_path: Path) -> None:
    """The signal goes to the workers that decode images too, as it does from a terminal or a job's end."""
    options = {"batch_size": 2, "epochs": 8}
    expected = content(stage_two(cache_path, tmp_path / "whole", **options))
    process = started(cache_path, tmp_path / "terminated", "--epochs", 8, "--workers", 1)
    os.killpg(process.pid, signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert said.splitlines()[-1].startswith("interrupted: ") and "Traceback" not in said
    process = started(cache_path, tmp_path / "killed", "--epochs", 8, "--workers", 0)
    process.kill()
    process.communicate()
    for name in ("terminated", "killed"):
        assert not RunFolder(tmp_path / name).finished()
        assert content(stage_two(cache_path, tmp_path / name, resume=True, **options)) == expected
