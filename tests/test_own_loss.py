"""docs/own_loss.md, followed to the letter; and what goes wrong with a loss of one's own."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
from conftest import call, stage_two

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.losses import Targets, create_loss, entry, foreign
from aevlp.pipeline.losses.foreign import installed, is_named, written_constants
from aevlp.pipeline.training import trainer
from aevlp.pipeline.training.run_folder import RunFolder

DOCS = Path(__file__).parent.parent / "docs" / "own_loss.md"
FENCED = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)


def blocks_of(text: str, language: str) -> list[str]:
    return [body for kind, body in FENCED.findall(text) if kind == language]


@pytest.mark.process
@pytest.mark.slow
def test_the_walk_through_adds_a_loss_without_touching_the_project(tmp_path: Path, cache_path: Path) -> None:
    text = DOCS.read_text(encoding="utf-8")
    (focal,), (setup,) = blocks_of(text, "python"), blocks_of(text, "toml")
    (tmp_path / "cache").mkdir()
    shutil.copy(cache_path, tmp_path / "cache" / "scenes2.h5")
    (tmp_path / "my_losses.py").write_text(focal)
    (tmp_path / "focal_loss").mkdir()
    (tmp_path / "focal_loss" / "pyproject.toml").write_text(setup)
    (tmp_path / "focal_loss" / "focal_loss.py").write_text(focal)

    site = tmp_path / "site"  # pip installs here instead of into the environment that the tests run in
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(site),
        "PIP_TARGET": str(site),
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_NO_INDEX": "1",
        "OMP_NUM_THREADS": "1",
    }
    commands = [line for block in blocks_of(text, "bash") for line in block.splitlines()]
    assert len(commands) == 5
    said = {}
    for line in commands:
        done = subprocess.run(line.split(), cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        said[line] = done.stdout
    assert "focal_loss:Focal" in said["aevlp losses"]
    run, short = (RunFolder(tmp_path / "runs" / f"blocks-{name}-linear-seed0") for name in ("my_losses.Focal", "focal"))
    assert [line["loss"] for line in run.metrics()[:-1]] == [line["loss"] for line in short.metrics()[:-1]]
    assert run.settings()["loss"] == {"name": "my_losses:Focal"}


def test_the_constants_of_a_loss_of_ones_own_come_from_the_manifest(
    folder: Path, cache_path: Path, blocks: Path
) -> None:
    (folder / "mine.py").write_text(
        "class Scaled:\n"
        "    reads = ('observed',)\n"
        "    def __init__(self, num_classes, *, factor: float = 1.0):\n"
        "        self.factor = factor\n"
        "    def __call__(self, logits, targets):\n"
        "        assert targets.pseudo is None and targets.truth is None\n"
        "        return self.factor * (logits * (1 - 2.0 * targets.observed)).mean()\n"
    )
    manifest = folder / "mine.yaml"
    plain = (blocks / "blocks.yaml").read_text()
    root = {"data_root": blocks, "manifest": manifest, "backbone": "linear", "epochs": 1, "loss": "mine:Scaled"}
    losses = []
    for factor in (1, 3):
        manifest.write_text(plain.replace("losses:", f"losses:\n      mine:Scaled: {{factor: {factor}}}"))
        shutil.copy(blocks / "tiny-clip.json", folder)
        run = stage_two(cache_path, folder / f"run{factor}", **root, lr=1e-9)
        losses.append(RunFolder(run).metrics()[0]["loss"])
        assert RunFolder(run).settings()["loss"] == {"name": "mine:Scaled", "factor": factor}
    assert losses[1] == pytest.approx(3 * losses[0])
    manifest.write_text(plain.replace("losses:", "losses:\n      mine:Scaled: {faktor: 2}"))
    with pytest.raises(AevlpError, match="unknown constant of loss mine:Scaled 'faktor': known are factor"):
        stage_two(cache_path, folder / "run", **root)


def test_a_loss_that_has_changed_is_not_resumed(folder: Path, cache_path: Path) -> None:
    source = (
        "class Sum:\n    def __init__(self, n): pass\n    def __call__(self, x, targets): return x.square().mean()\n"
    )
    (folder / "changing.py").write_text(source)
    stage_two(cache_path, folder / "run", backbone="linear", loss="changing:Sum", epochs=1)
    (folder / "changing.py").write_text(source + "# another version\n")
    with pytest.raises(AevlpError, match="loss_sha256"):
        stage_two(cache_path, folder / "run", backbone="linear", loss="changing:Sum", epochs=1, resume=True)


LEARNING = """
import torch

class Learning(torch.nn.Module):
    reads = ("observed", "features")
    lr_factor = 5

    def __init__(self, num_classes, observed=None):
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(num_classes))
        self.register_buffer("seen", torch.zeros(len(observed)))
        self.register_buffer("shown", torch.zeros(2))
        self.epoch = 0

    def set_epoch(self, epoch, epochs):
        self.epoch = epoch

    @property
    def wants_predictions(self):
        return self.epoch == 2

    def after_epoch(self, logits):
        assert logits.shape == (len(self.seen), len(self.bias)) and not logits.requires_grad
        self.shown += torch.tensor([1.0, float(self.epoch)])

    def forward(self, logits, targets):
        assert len(targets.features) == len(logits)
        self.seen[targets.rows] += 1
        return ((logits + self.bias - targets.observed) ** 2).mean() + 0.01 * targets.features.square().mean()
"""


def test_a_loss_may_learn_remember_and_look_at_predictions(folder: Path, cache_path: Path) -> None:
    (folder / "learning.py").write_text(LEARNING)
    options = {"backbone": "linear", "loss": "learning:Learning", "epochs": 3}
    whole = RunFolder(stage_two(cache_path, folder / "whole", **options))
    saved = whole.latest_state()
    assert saved is not None and saved.file == whole.state_files()[-1]
    state = saved.tree
    told = state["loss"]
    assert told["bias"].abs().min() > 0
    np_seen = told["seen"].tolist()
    assert np_seen == [3.0] * len(np_seen)  # each training image once an epoch, by its number among them
    assert told["shown"].tolist() == [1.0, 2.0]
    groups = state["optimizer"]["param_groups"]
    assert groups[-1]["lr"] == pytest.approx(5 * groups[0]["lr"])


def test_a_loss_that_remembers_goes_on_as_if_it_had_never_stopped(
    folder: Path, cache_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"backbone": "linear", "epochs": 4, "batch_size": 3}
    for n, loss in enumerate(
        ("role[expected_positives=1.5]", "em-apl[warmup_epoch=2]", "ll-cp", "mime[warmup_epoch=1,theta=0.5]")
    ):
        whole = RunFolder(stage_two(cache_path, folder / f"{n}-whole", loss=loss, **options))
        real, calls = trainer.train_epoch, []

        def interrupted(*arguments, real=real, calls=calls):
            calls.append(1)
            after = arguments[-1]

            def stop(images: int) -> None:
                after(images)
                if len(calls) == 3 and arguments[7].steps == 2:
                    raise KeyboardInterrupt

            real(*arguments[:-1], stop)

        monkeypatch.setattr(trainer, "train_epoch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            stage_two(cache_path, folder / f"{n}-parts", loss=loss, save_minutes=0, **options)
        monkeypatch.setattr(trainer, "train_epoch", real)
        parts = RunFolder(stage_two(cache_path, folder / f"{n}-parts", loss=loss, resume=True, **options))
        assert [line["loss"] for line in parts.metrics()[:-1]] == [line["loss"] for line in whole.metrics()[:-1]], loss
        (_, first), (_, second) = whole.load_logits(), parts.load_logits()
        assert (first == second).all(), loss


@pytest.mark.parametrize(
    ("source", "name", "expected"),
    [
        (None, "nowhere:Loss", "no module nowhere for loss nowhere:Loss: expected nowhere.py in the current folder"),
        ("x = 1\n", "mistaken:Loss", "mistaken has no Loss: its classes are none"),
        ("class Other: pass\n", "mistaken:Loss", "mistaken has no Loss: its classes are Other"),
        ("class Loss: pass\n", "mistaken:Loss", "mistaken:Loss is no loss: expected a class whose objects are called"),
        ("Loss = 3\n", "mistaken:Loss", "mistaken:Loss is no loss"),
        (
            "import nothing_of_this_name\n",
            "mistaken:Loss",
            "mistaken cannot be imported: it needs nothing_of_this_name",
        ),
        ("\n1 / 0\n", "mistaken:Loss", r"cannot be imported: ZeroDivisionError: .* \(mistaken.py, line 2\)"),
        ("class Loss(\n", "mistaken:Loss", "mistaken cannot be imported: SyntaxError: "),
        (
            "class Loss:\n    reads = ('labels',)\n    def __call__(self, x, t): pass\n",
            "mistaken:Loss",
            r"Loss.reads must be a tuple of observed, pseudo, .*, found \('labels',\)",
        ),
        (None, "mistaken:", "a loss of your own is named module:Class"),
        (None, ":Loss", "a loss of your own is named module:Class"),
        (None, "../mistaken:Loss", "a loss of your own is named module:Class, .* without a path or .py"),
        (
            "class Loss: pass\n",
            "mistaken.py:Loss",
            "a loss of your own is named module:Class, .* without a path or .py",
        ),
        (
            "class Loss:\n    reads = 5\n    def __call__(self, x, t): pass\n",
            "mistaken:Loss",
            "Loss.reads must be a tuple of observed, .*, found 5",
        ),
    ],
)
def test_a_mistake_in_a_loss_of_ones_own_is_one_clear_line(
    folder: Path, source: str | None, name: str, expected: str
) -> None:
    if source is not None:
        (folder / "mistaken.py").write_text(source)
    with pytest.raises(AevlpError, match=expected) as caught:
        entry(name)
    assert "\n" not in str(caught.value)


def test_an_error_in_a_loss_of_ones_own_keeps_its_traceback(folder: Path) -> None:
    (folder / "raising.py").write_text(
        "class Loss:\n    def __init__(self, n): pass\n    def __call__(self, x, t): 1 / 0\n"
    )
    with pytest.raises(ZeroDivisionError):
        create_loss("raising:Loss", 3)(torch.zeros(1, 3), Targets(observed=torch.zeros(1, 3)))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return x.mean(dim=1)", r"must return a scalar tensor with a gradient by the logits, found shape \(4,\)"),
        ("return 1.0", "must return a scalar tensor with a gradient by the logits, found a float"),
        ("return None", "must return a scalar tensor with a gradient by the logits, found a NoneType"),
        ("return x.detach().mean()", "must return a scalar tensor with a gradient by the logits, found one without"),
        ("return torch.ones((), requires_grad=True)", "by the logits, found one whose gradient goes elsewhere"),
        ("return self.weight.square().sum()", "by the logits, found one whose gradient goes elsewhere"),
        ("return self.weight.sum() + x.detach().mean()", "by the logits, found one whose gradient goes elsewhere"),
        ("raise SystemExit(0)", "the loss ended the program: SystemExit"),
        ("return x.mean() * float('nan')", "the loss became nan in epoch 1"),
    ],
)
def test_what_a_loss_of_ones_own_must_return(folder: Path, cache_path: Path, body: str, expected: str) -> None:
    (folder / "odd.py").write_text(
        "import torch\nclass Loss:\n    def __init__(self, n): self.weight = torch.ones(n, requires_grad=True)\n"
        f"    def __call__(self, x, t): {body}\n"
    )
    with pytest.raises(AevlpError, match=expected):
        stage_two(cache_path, folder / "run", backbone="linear", loss="odd:Loss", epochs=1)


@pytest.mark.parametrize("signature", ["self", "self, n, *, needed", "self, n, more"])
def test_how_a_loss_of_ones_own_must_be_made(folder: Path, signature: str) -> None:
    (folder / "odd.py").write_text(
        f"class Loss:\n    def __init__({signature}): pass\n    def __call__(self, x, t): pass\n"
    )
    with pytest.raises(AevlpError, match=r"loss odd:Loss cannot be made with \(num_classes\): .*argument"):
        create_loss("odd:Loss", 3)


def test_a_loss_that_prints_leaves_one_json_object_on_standard_output(
    folder: Path, cache_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "loud.py").write_text(
        "print('imported')\n"
        "class Loss:\n    def __init__(self, n): print('made')\n    def __call__(self, x, t): print('called'); return x.mean()\n"
    )
    common = ("--backbone", "linear", "--epochs", 1, "--seeds", 1, "--workers", 0, "--json")
    assert call("compare", "--cache", cache_path, "--losses", "an,loud:Loss", *common) == 0
    printed = capsys.readouterr()
    assert [row["loss"] for row in json.loads(printed.out)["methods"]] != []
    assert "called" in printed.err


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize(
    ("how", "jobs"),
    [
        ("os.write(1, b'1234567')", 1),
        ("os.system('echo 1234567')", 2),
        ("print('1234567', file=sys.__stdout__)", 1),
        ("subprocess.run([sys.executable, '-c', 'print(1234567)'], check=True)", 1),
    ],
)
def test_what_others_print_for_a_loss_leaves_one_json_object_on_standard_output(
    folder: Path, cache_path: Path, how: str, jobs: int
) -> None:
    (folder / "loud.py").write_text(
        f"import os, subprocess, sys\nclass Loss:\n    def __init__(self, n): {how}\n"
        "    def __call__(self, x, t): return x.mean()\n"
    )
    command = [
        "compare",
        "--cache",
        str(cache_path),
        "--losses",
        "an,loud:Loss",
        "--backbone",
        "linear",
        "--epochs",
        "1",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "aevlp.stages", *command, "--seeds", "1", "--workers", "0", "--jobs", str(jobs), "--json"],
        cwd=folder, capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    assert {row["loss"] for row in json.loads(done.stdout)["methods"]} == {"an", "loud:Loss"}
    assert "1234567" in done.stderr


@pytest.mark.parametrize(
    ("constants", "found"),
    [
        ("{gama: 1}", "unknown constant of loss written:Loss 'gama'"),
        ("{gamma: much}", "gamma of loss written:Loss must be a number, found 'much'"),
        ("{steps: 1.5}", "steps of loss written:Loss must be a whole number, found 1.5"),
        ("{soft: 1}", "soft of loss written:Loss must be true or false, found 1"),
        ("{gamma: 1, steps: null, soft: true}", None),
    ],
)
def test_check_looks_at_the_constants_of_a_loss_of_ones_own_without_running_it(
    folder: Path, blocks: Path, capsys: pytest.CaptureFixture[str], constants: str, found: str | None
) -> None:
    (folder / "written.py").write_text(
        "raise SystemExit('imported')\nclass Loss:\n"
        "    def __init__(self, n, *, gamma: float = 2, steps: int | None = 3, soft: bool = False, observed=None): pass\n"
        "    def __call__(self, x, t): pass\n"
    )
    text = (blocks / "blocks.yaml").read_text().replace("losses:", f"losses:\n      written:Loss: {constants}")
    (folder / "blocks.yaml").write_text(text)
    shutil.copy(blocks / "tiny-clip.json", folder)
    code = call("check", "blocks", "--manifest", folder / "blocks.yaml", "--data-root", blocks, "--json")
    texts = [fault["text"] for fault in json.loads(capsys.readouterr().out)["blocks"]["faults"]]
    assert code == (found is not None)
    assert any(found in text for text in texts) if found else not any("written" in text for text in texts)


@pytest.mark.parametrize(
    "source",
    [
        "class Loss:\n    def __init__(self, n, **constants): pass\n",
        "from elsewhere import Base\nclass Loss(Base):\n    pass\n",
        "from elsewhere import Loss\n",
        "class Loss(:\n",
        None,
    ],
)
def test_what_a_source_does_not_say_is_not_guessed(folder: Path, source: str | None) -> None:
    if source is not None:
        (folder / "silent.py").write_text(source)
    assert written_constants("silent:Loss") is None


def test_nothing_of_ones_own_is_imported_unless_it_is_asked_for(folder: Path, cache_path: Path, blocks: Path) -> None:
    (folder / "trap.py").write_text("raise SystemExit('imported')\n")
    text = (blocks / "blocks.yaml").read_text().replace("losses:", "losses:\n      trap:Loss: {}")
    (folder / "blocks.yaml").write_text(text)
    shutil.copy(blocks / "tiny-clip.json", folder)
    assert call("check", "blocks", "--manifest", folder / "blocks.yaml", "--data-root", blocks) == 0
    assert call("losses") == 0
    run = folder / "run"
    root = ("--manifest", folder / "blocks.yaml", "--data-root", blocks, "--backbone", "linear", "--workers", 0)
    assert call("train", "--cache", cache_path, "--loss", "an", "--epochs", 1, "--run", run, *root) == 0
    settings = json.loads((run / "settings.json").read_text())
    settings["loss"]["name"] = "trap:Loss"
    (run / "settings.json").write_text(json.dumps(settings))
    assert call("evaluate", run, "--workers", 0) == 0
    assert "trap" not in sys.modules
    with pytest.raises(AevlpError, match="trap cannot be imported: SystemExit: imported"):
        foreign.load("trap:Loss")


def test_the_losses_of_aevlp_have_no_source_of_their_own() -> None:
    assert foreign.source_sha256("gpr") is None


def test_what_packages_announce_is_looked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine-1.0.dist-info").mkdir()
    (tmp_path / "mine-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (tmp_path / "mine-1.0.dist-info" / "entry_points.txt").write_text("[aevlp.losses]\nmine = mine:Mine\n")
    looked: list[str] = []
    found = metadata.entry_points
    monkeypatch.setattr(metadata, "entry_points", lambda *, group: looked.append(group) or found(group=group))
    assert not is_named("mine")
    monkeypatch.syspath_prepend(tmp_path)
    assert is_named("mine") and installed()["mine"] == "mine:Mine" and not is_named("yours")
    assert looked.count("aevlp.losses") <= 2  # once for each import path
