"""What an interrupt says is kept is kept, command by command; where nothing was written it says so."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import call

from aevlp.pipeline.scoring.scorer import Scorer
from aevlp.pipeline.training import trainer
from aevlp.stages.caches import diff, inspect, verify
from aevlp.stages.experiments import calibrate, compare, sweep
from aevlp.stages.interrupted import forget, keeping, what_is_kept
from aevlp.stages.stage_two import evaluate, train

LINEAR = ("--backbone", "linear", "--epochs", 2, "--workers", 0)


def interrupted(*_: object, **__: object) -> Any:
    raise KeyboardInterrupt


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("module", "name", "command"),
    [
        (sweep, "tabulate", lambda cache, run: ("sweep", cache, "--output", "swept.csv")),
        (sweep, "open_whole_cache", lambda cache, run: ("sweep", cache)),
        (evaluate, "logits_of", lambda cache, run: ("evaluate", run, "--workers", 0)),
        (calibrate, "fit_views", lambda cache, run: ("calibrate", cache, "--policy", "view-weights")),
        (inspect, "qualities", lambda cache, run: ("inspect", cache)),
        (verify, "find_faults", lambda cache, run: ("verify", cache)),
        (diff, "compare", lambda cache, run: ("cache", "diff", cache, cache)),
        (compare, "planned", lambda cache, run: ("compare", "--cache", cache, "--losses", "an")),
        (train, "make_plan", lambda cache, run: ("train", "--cache", cache, *LINEAR)),
        (train, "new_classifier", lambda cache, run: ("train", "--cache", cache, *LINEAR)),
    ],
)
def test_where_nothing_is_written_it_is_said(
    cache_path: Path,
    run_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    module: Any,
    name: str,
    command: Callable[[Path, Path], tuple[object, ...]],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, name, interrupted)
    assert call(*command(cache_path, run_path)) == 130
    assert last_line(capsys) == "interrupted: nothing was written"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_was_scored_is_kept_and_said(
    blocks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, done = Scorer.rows, []

    def third_time(self: Scorer, *given: Any) -> Any:
        done.append(1)
        return interrupted() if len(done) == 3 else rows(self, *given)

    cache = tmp_path / "c.h5"
    again = (
        "pseudolabel",
        "--dataset",
        "blocks",
        "--manifest",
        blocks / "blocks.yaml",
        "--cache",
        cache,
        "--workers",
        0,
    )
    again = (*again, "--shard-size", 4, "--batch-size", 4)
    with monkeypatch.context() as patch:
        patch.setattr(Scorer, "rows", third_time)
        assert call(*again) == 130
    assert last_line(capsys) == "interrupted: all that was finished is kept; the same command resumes"
    for command in (("inspect", cache), ("train", "--cache", cache), ("verify", cache)):
        assert call(*command) == 1
        kept = len(list((tmp_path / "c.h5.parts").glob("part-*.h5")))
        expected = f"error: {cache} is unfinished: {4 * kept} of 16 images are scored; the same command resumes"
        assert kept and last_line(capsys).startswith(expected)
    assert call(*again) == 0
    assert f"going on: {4 * kept} of 16 images" in capsys.readouterr().err
    assert call("inspect", cache) == 0


def test_a_training_that_has_begun_says_how_it_goes_on(
    cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    again = ("train", "--cache", cache_path, *LINEAR, "--loss", "an", "--run", "run")
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "train_epoch", interrupted)
        assert call(*again) == 130
    assert last_line(capsys) == "interrupted: the state is saved; the same command resumes"
    assert call(*again) == 0
    capsys.readouterr()
    with monkeypatch.context() as patch:  # of several, the same command resumes by itself
        patch.setattr(trainer, "train_epoch", interrupted)
        compared = ("compare", "--cache", cache_path, "--losses", "an", "--seeds", 1, *LINEAR, "--jobs", 1)
        assert call(*compared) == 130
    assert last_line(capsys).endswith("the state of what was not; the same command resumes")
    assert call(*compared) == 0
    shutil.rmtree("runs")


def test_the_outermost_words_hold_and_what_has_ended_is_forgotten() -> None:
    forget()
    with keeping("the outer"), keeping("the inner"):
        assert what_is_kept() == "the outer"
    assert what_is_kept() == "nothing was written"
    with pytest.raises(KeyboardInterrupt), keeping("this"):
        raise KeyboardInterrupt
    assert what_is_kept() == "this"
    forget()
    assert what_is_kept() == "nothing was written"
