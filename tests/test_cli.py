"""The command line as a user meets it: exit codes, one-line errors, JSON, tables, and the reading commands."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import call, draw_blocks
from PIL import Image

from aevlp.pipeline.evaluation.metrics import pseudo_label_quality
from aevlp.pipeline.score_cache import open_cache, write_cache
from aevlp.stages.prediction.image_names import find_images


def test_both_stages_and_every_reading_command(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch) -> None:
    draw_blocks(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    common = ("--manifest", "data/blocks.yaml")
    assert call("pseudolabel", "--dataset", "blocks", *common, "--workers", 0) == 0
    assert call("train", "--cache", "cache/blocks.h5", "--epochs", 1, "--workers", 0, "--run", "runs/x") == 0
    for command in (
        ("evaluate", "runs/x", "--workers", 0),
        ("evaluate", "runs/x", "--split", "val", "--workers", 0),
        ("predict", "runs/x", "data/images/00.png", "--workers", 0),
        ("inspect", "cache/blocks.h5"),
        ("verify", "cache/blocks.h5"),
        ("convert", "cache/blocks.h5", "cache/blocks.parquet"),
        ("verify", "cache/blocks.parquet"),
        ("datasets", *common),
        ("datasets",),
        ("check", "blocks", *common),
        ("losses",),
    ):
        capsys.readouterr()
        assert call(*command) == 0, command
        assert capsys.readouterr().out.strip(), command
    for command in (
        ("evaluate", "runs/x", "--workers", 0),
        ("predict", "runs/x", "data/images/00.png", "--workers", 0),
        ("inspect", "cache/blocks.parquet"),
        ("verify", "cache/blocks.h5"),
        ("datasets", *common),
        ("check", "blocks", *common),
        ("losses",),
    ):
        capsys.readouterr()
        assert call(*command, "--json") == 0
        assert isinstance(json.loads(capsys.readouterr().out), dict), command


def test_inspect_reports_the_quality_of_both_kinds_of_views(cache_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert call("inspect", cache_path, "--json") == 0
    found = json.loads(capsys.readouterr().out)["quality"]["train"]
    cache = open_cache(cache_path)
    rows = cache.split == "train"
    assert cache.truth is not None
    expected = pseudo_label_quality(cache.code(rows), cache.observed[rows], cache.truth[rows])
    assert found["multi-focus"]["precision"] == expected.precision
    assert found["multi-focus"]["recall"] == expected.recall
    assert set(found) == {"whole image", "multi-focus"}


@pytest.mark.parametrize(
    "column, value, fault",
    [
        ("code", 1, "codes that their cosines do not give"),
        ("observed", 7, "observed label is not -1, 0 or 1"),
        ("truth", 2, "true label is not 0 or 1"),
        ("similarity", 3.0, "cosine that is not in"),
        ("similarity", np.nan, "cosine that is not in"),
        ("embedding", 0.0, "no unit vector"),
        ("ids", "images/01.png", "an image id stands twice"),
        ("split", "holdout", "none of train, val and test"),
        ("status", "fine", "not a known word"),
    ],
)
def test_verify_finds_each_fault(
    cache_path: Path, tmp_path: Path, column: str, value: object, fault: str, capsys: pytest.CaptureFixture
) -> None:
    path, cache = tmp_path / "bad.h5", open_cache(cache_path)
    [rows] = cache.rows()
    getattr(rows, column)[0] = value
    write_cache(path, cache.header, [rows])
    assert call("verify", path) == 1
    assert fault in capsys.readouterr().err
    assert call("verify", path, "--json") == 1
    assert any(fault in f for f in json.loads(capsys.readouterr().out)["faults"])


def test_verify_refuses_a_file_that_another_program_changed(
    cache_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "bad.h5"
    path.write_bytes(cache_path.read_bytes())
    with h5py.File(path, "r+") as file:
        file["code"][0] = 1  # type: ignore[index]
    assert call("verify", path, "--json") == 1
    [fault] = json.loads(capsys.readouterr().out)["faults"]
    assert "is damaged or was changed" in fault


def test_convert_refuses_to_overwrite(cache_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert call("convert", cache_path, cache_path) == 1
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, code",
    [
        (["--help"], 0),
        (["train", "--help"], 0),
        (["trian"], 2),
        (["train"], 2),
        (["pseudolabel", "--dataset", "voc", "--storage", "float8"], 2),
        (["pseudolabel", "--dataset", "voc", "--limit", "0"], 2),
        (["evaluate", "runs/none", "--split", "all"], 2),
        (["evaluate", "runs/none"], 1),
        (["inspect", "none.h5"], 1),
        (["inspect", "none.txt"], 1),
        (["verify", "none.parquet"], 1),
        (["convert", "none.h5", "other.parquet"], 1),
        (["pseudolabel", "--dataset", "vocc"], 1),
        (["pseudolabel", "--dataset", "coco"], 1),
        (["pseudolabel", "--dataset", "voc", "--data-root", "nowhere"], 1),
        (["pseudolabel", "--dataset", "voc", "--manifest", "none.yaml"], 1),
        (["train", "--cache", "none.h5"], 1),
        (["demo", "--losses", "an,gpt"], 1),
        (["predict", "runs/none", "none.png"], 1),
        (["datasets", "--manifest", "none.yaml"], 1),
        (["datasets", "vocc"], 1),
        (["check", "none.yaml"], 1),
        (["check", "vocc"], 1),
        (["evaluate", "runs/none", "--threshold", "2"], 2),
        (["pseudolabel", "--dataset", "scenes", "--simulate", "frequncy"], 1),
        (["pseudolabel", "--dataset", "scenes", "--text-graph", "thawed"], 2),
    ],
)
def test_exit_codes(
    arguments: list[str], code: int, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(*arguments) == code
    error = capsys.readouterr().err
    assert "Traceback" not in error
    if code == 1:
        assert error.startswith("error: ") and error.count("\n") == 1


def test_interrupted_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    from aevlp.stages.stage_two import list_losses

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(list_losses, "losses", interrupt)
    assert call("losses") == 130


def test_missing_data_set_says_where_it_looked_and_how_to_get_it(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert call("pseudolabel", "--dataset", "voc", "--data-root", tmp_path) == 1
    error = capsys.readouterr().err
    assert str(tmp_path / "VOCdevkit") in error and "VOCtrainval_11-May-2012.tar" in error and "--data-root" in error


@pytest.mark.process
def test_help_does_not_import_what_a_command_needs() -> None:
    code = (
        "import sys\nfrom aevlp.stages.commands.app import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'open_clip', 'h5py', 'pyarrow', 'numpy', 'timm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_folders_are_searched_through_and_each_image_counts_once(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("a/1.jpg", "a/b/2.PNG", "a/notes.txt"):
        Image.new("RGB", (4, 4)).save(tmp_path / name, "PNG")
    found = find_images([str(tmp_path / "a"), str(tmp_path / "a" / "1.jpg"), str(tmp_path / "a" / "**" / "*.PNG")])
    assert [p.name for p in found] == ["1.jpg", "2.PNG"]


@pytest.mark.process
def test_a_signal_that_python_cannot_raise_at_once_is_not_lost() -> None:
    """An exception in the callback of a weak reference is swallowed; what ends a job may come there too."""
    program = """
import os, signal, time, weakref
from aevlp.stages.commands import app as cli

class Thing: pass

@cli.app.command()
def wait() -> None:
    thing = Thing()
    reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    del thing
    time.sleep(20)
    print("not interrupted")

cli.main(["wait"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.startswith("interrupted: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        (["verify"], "verify [OPTIONS] CACHE"),
        (["evaluate"], "evaluate [OPTIONS] RUN"),
        (["predict"], "predict [OPTIONS] RUN IMAGE..."),
        (["cache", "merge"], "cache merge [OPTIONS] OUT CACHE..."),
    ],
)
def test_a_usage_line_names_arguments_in_one_form(
    command: list[str], usage: str, capsys: pytest.CaptureFixture
) -> None:
    assert call(*command, "--help") == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "Usage:" in line)
    assert line.rstrip().endswith(usage)


@pytest.mark.parametrize("path", ["a" * 300, "a/" * 3000], ids=["name", "path"])
@pytest.mark.parametrize("command", [("train",), ("inspect",), ("evaluate",), ("cache", "verify"), ("predict", "runs")])
def test_a_path_that_is_too_long_is_one_line(
    command: tuple[str, ...], path: str, capsys: pytest.CaptureFixture
) -> None:
    assert call(*command, path) == 1
    said = capsys.readouterr().err
    assert re.fullmatch(r"error: cannot use '[a/]{200}': File name too long\n", said)


def test_a_folder_that_may_not_be_entered_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def refuse(path: Path, **_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "stat", refuse)
    assert call("train", "photos") == 1
    assert re.fullmatch(r"error: cannot use 'photos.*': Permission denied\n", capsys.readouterr().err)


def in_a_shell(command: str, words: str = "losses") -> subprocess.CompletedProcess:
    """Run `aevlp` in a shell's command, where AEVLP stands; its standard error is what is captured."""
    line = command.replace("AEVLP", f"'{sys.executable}' -m aevlp.stages {words}")
    return subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, check=False)


@pytest.mark.process
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full is Linux's")
@pytest.mark.parametrize("words", ["losses", "losses --json", "--version"])
def test_an_output_that_is_full_is_one_line(words: str) -> None:
    done = in_a_shell("AEVLP > /dev/full", words)
    assert (done.returncode, done.stderr) == (1, "error: cannot write: No space left on device\n")


@pytest.mark.process
@pytest.mark.parametrize("words", ["losses --json", "--version"])
def test_a_reader_that_has_seen_enough_is_no_mistake(words: str) -> None:
    assert in_a_shell("AEVLP | true", words).stderr == ""


@pytest.mark.process
@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_a_closed_output_shows_nothing(closed: str) -> None:
    done = in_a_shell(f"AEVLP {closed}")
    assert (done.returncode, done.stderr) == (0, "")
