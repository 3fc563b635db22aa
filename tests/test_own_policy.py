"""docs/own_policy.md, followed to the letter; and what goes wrong with a policy of one's own."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import call

from aevlp.pipeline import policies
from aevlp.pipeline.errors import AevlpError

DOCS = Path(__file__).parent.parent / "docs" / "own_policy.md"
FENCED = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
GOOD = """
import numpy as np
from aevlp import Labels

class Mine:
    reads = ()
    def __init__(self, *, margin: float = 0.1): self.margin = margin
    def scores(self, similarity, observed):
        return (similarity[:, 0] + 1) / 2, (similarity[:, 0] + 1) / 2
    def __call__(self, known):
        return Labels((known.final >= known.final.max(1, keepdims=True) - self.margin).astype(np.int8), known.final)
"""


def trained(cache: Path, *more: object) -> int:
    return call("train", cache, "--backbone", "linear", "--epochs", 1, "--workers", 0, *more)


@pytest.mark.process
@pytest.mark.slow
def test_the_walk_through_adds_a_policy_without_touching_the_project(tmp_path: Path, cache_path: Path) -> None:
    blocks = FENCED.findall(DOCS.read_text(encoding="utf-8"))
    (source,) = [body for kind, body in blocks if kind == "python"]
    (commands,) = [body.splitlines() for kind, body in blocks if kind == "bash"]
    (tmp_path / "cache").mkdir()
    shutil.copy(cache_path, tmp_path / "cache" / "scenes2.h5")
    (tmp_path / "my_policies.py").write_text(source)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    assert len(commands) == 2
    for line in commands:
        command = [sys.executable, "-m", "aevlp.stages", *shlex.split(line)[1:]]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    results = json.loads((tmp_path / "runs" / "compare-scenes2-linear" / "results.json").read_text())
    assert {row["policy"] for row in results["methods"]} == {
        "damp",
        "my_policies:Nearest",
        "my_policies:Nearest[margin=0.1]",
    }
    settings = json.loads(
        (
            tmp_path / "runs" / "compare-scenes2-linear" / "gpr-my_policies-Nearest-margin-0.1-seed0" / "settings.json"
        ).read_text()
    )
    assert settings["policy"]["constants"] == {"margin": 0.1}


def test_its_constants_are_the_manifests_where_none_are_given(folder: Path, cache_path: Path, blocks: Path) -> None:
    (folder / "mine.py").write_text(GOOD)
    text = (blocks / "blocks.yaml").read_text()
    (folder / "mine.yaml").write_text(text + "    policies:\n      mine:Mine: {margin: 0.3}\n")
    shutil.copy(blocks / "tiny-clip.json", folder)
    root = ("--manifest", folder / "mine.yaml", "--data-root", blocks)
    for run, given, margin in (("a", (), 0.3), ("b", ("--set", "mine:Mine.margin=0.2"), 0.2)):
        assert trained(cache_path, "--policy", "mine:Mine", "--run", folder / run, *root, *given) == 0
        settings = json.loads((folder / run / "settings.json").read_text())
        assert settings["policy"]["name"] == "mine:Mine" and settings["policy"]["constants"] == {"margin": margin}
        assert len(settings["policy_sha256"]) == 64


def test_a_policy_that_has_changed_is_not_resumed(
    folder: Path, cache_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (folder / "changing.py").write_text(GOOD)
    assert trained(cache_path, "--policy", "changing:Mine", "--run", folder / "run") == 0
    (folder / "changing.py").write_text(GOOD + "# another version\n")
    assert trained(cache_path, "--policy", "changing:Mine", "--run", folder / "run") == 1
    assert "policy_sha256" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "name", "expected"),
    [
        (None, "nowhere:Mine", "no module nowhere for policy nowhere:Mine: expected nowhere.py in the current folder"),
        ("x = 1\n", "wrong:Mine", "wrong has no Mine: its classes are none"),
        ("class Mine:\n    def __call__(self, k): pass\n", "wrong:Mine", "wrong:Mine is no policy: expected a class"),
        (
            GOOD.replace("    reads = ()\n", ""),
            "wrong:Mine",
            r"Mine must say what it reads: reads = \(\), or some of embedding",
        ),
        (
            GOOD.replace("reads = ()", "reads = ('labels',)"),
            "wrong:Mine",
            "Mine.reads must be a tuple of embedding, view_embedding, boxes, sentences, truth",
        ),
        (GOOD, "wrong:Mine[margin=wide]", "margin of policy wrong:Mine must be a number, found 'wide'"),
        (GOOD, "wrong:Mine[margn=1]", "unknown constant of policy wrong:Mine 'margn': known are margin"),
        (
            GOOD.replace("self, *, margin", "self, need, *, margin"),
            "wrong:Mine",
            r"policy wrong:Mine cannot be made with \(\)",
        ),
        (GOOD, "wrong.py:Mine", "a policy of your own is named module:Class, as in my_policies:Nearest"),
        (None, "dampp", "unknown policy 'dampp': known are damp"),
        (
            GOOD.replace("return (similarity[:, 0] + 1) / 2, ", "return "),
            "wrong:Mine",
            "Mine.scores must return two arrays, final and ranking, found ndarray",
        ),
        (
            GOOD.replace("similarity[:, 0]", "similarity[:, 0, :1]"),
            "wrong:Mine",
            r"Mine.scores must return final of shape",
        ),
        (
            GOOD.replace("Labels((known", "((known"),
            "wrong:Mine",
            r"Mine must return Labels\(codes, scores\), found tuple",
        ),
        (
            GOOD.replace("astype(np.int8)", "astype(np.int8) * 2"),
            "wrong:Mine",
            "Mine must return codes -1, 0 and 1, found 2",
        ),
        (
            GOOD.replace("np.int8), known.final", "np.int8), known.final + 9"),
            "wrong:Mine",
            r"scores in \[0, 1\], found 9",
        ),
        (
            GOOD.replace("np.int8), known.final", "np.int8), known.final[:1]"),
            "wrong:Mine",
            "must return scores of shape",
        ),
    ],
)
def test_a_mistake_in_a_policy_of_ones_own_is_one_clear_line(
    folder: Path, cache_path: Path, source: str | None, name: str, expected: str, capsys: pytest.CaptureFixture
) -> None:
    if source is not None:
        (folder / "wrong.py").write_text(source)
    assert trained(cache_path, "--policy", name, "--run", folder / "run") == 1
    lines = capsys.readouterr().err.splitlines()
    assert re.search(expected, lines[-1]) and not any("Traceback" in line for line in lines)
    assert not (folder / "run").exists()


def test_a_policy_that_reads_the_truth_is_an_upper_bound(folder: Path, cache_path: Path) -> None:
    (folder / "peeking.py").write_text(GOOD.replace("reads = ()", "reads = ('truth',)"))
    small = ("--backbone", "linear", "--epochs", 1, "--workers", 0, "--seeds", 1, "--runs", "runs")
    assert call("compare", cache_path, "--losses", "gpr", "--policies", "damp,peeking:Mine", *small) == 0
    rows = json.loads((folder / "runs" / "results.json").read_text())["methods"]
    assert {row["policy"]: row["oracle"] for row in rows} == {"damp": False, "peeking:Mine": True}


def test_check_looks_at_its_constants_without_running_it(
    folder: Path, blocks: Path, capsys: pytest.CaptureFixture
) -> None:
    (folder / "written.py").write_text(
        "raise SystemExit('imported')\nclass Mine:\n    def __init__(self, *, margin: float = 1): pass\n"
    )
    shutil.copy(blocks / "tiny-clip.json", folder)
    for given, found in (("{margin: 1}", False), ("{margn: 1}", True)):
        text = (blocks / "blocks.yaml").read_text() + f"    policies:\n      written:Mine: {given}\n"
        (folder / "blocks.yaml").write_text(text)
        assert call("check", "blocks", "--manifest", folder / "blocks.yaml", "--data-root", blocks, "--json") == found
        said = capsys.readouterr().out
        assert ("unknown constant of policy written:Mine 'margn'" in said) is found
    assert "written" not in sys.modules


def test_the_policies_of_aevlp_have_no_source_of_their_own() -> None:
    assert policies.foreign.source_sha256("damp") is None
    with pytest.raises(AevlpError, match="unknown policy"):
        policies.check_name("dampp")
