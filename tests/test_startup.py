"""What a command has imported by the time it says its first line: counted, for seconds would depend on the machine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from aevlp.pipeline.score_cache import write_cache
from fakes import random_cache

MODELS = ["open_clip", "timm", "torchvision"]  # some four seconds
FIRST_LINE = f"""
import json, os, sys

class Ear:
    encoding, errors = "utf-8", "strict"

    def write(self, text):
        if text.strip():
            loaded = [name for name in ["torch", *{MODELS}] if name in sys.modules]
            os.write(1, json.dumps([text.strip(), loaded]).encode())
            os._exit(0)

    def flush(self):
        pass

    def isatty(self):
        return False

sys.stdout = sys.stderr = Ear()
from aevlp.stages.commands.app import main
main(sys.argv[1:])
"""


def first_line(*arguments: object) -> tuple[str, list[str]]:
    """Return what a command says first, and which heavy packages were imported by then."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST_LINE, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    said, loaded = json.loads(done.stdout)
    return said, loaded


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that no training knows, whose data set is not there."""
    path = tmp_path_factory.mktemp("startup") / "fake.h5"
    header, content = random_cache()
    write_cache(path, header, [content])
    return path


@pytest.mark.process
@pytest.mark.parametrize("command", ["datasets", "losses"])
def test_lists_come_without_the_models(command: str) -> None:
    said, loaded = first_line(command)
    assert said and not set(loaded) & set(MODELS)


@pytest.mark.process
@pytest.mark.parametrize("command", ["inspect", "verify", "sweep"])
def test_what_reads_a_cache_speaks_before_torch_is_imported(command: str, fake: Path) -> None:
    said, loaded = first_line(command, fake)
    assert "fake.h5" in said and loaded == []


@pytest.mark.process
def test_check_speaks_before_torch_is_imported(blocks: Path) -> None:
    said, loaded = first_line("check", "blocks", "--manifest", blocks / "blocks.yaml")
    assert said.startswith("Coloured blocks: reading") and loaded == []


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("command", ["train", "evaluate", "predict", "compare", "calibrate", "rescore"])
def test_a_missing_file_is_named_before_the_models_are_imported(command: str, tmp_path: Path) -> None:
    missing = tmp_path / "missing.h5"
    arguments = {
        "train": ["--cache", missing],
        "evaluate": [missing],
        "predict": [missing, missing],
        "compare": ["--cache", missing, "--losses", "an"],
        "calibrate": [missing, "--policy", "threshold", "--labelled-truth", 5],
        "rescore": [missing, "--classes", missing],
    }
    said, loaded = first_line(command, *arguments[command])
    assert "error" in said and "missing.h5" in said and not set(loaded) & set(MODELS)


@pytest.mark.slow
@pytest.mark.process
def test_stage_one_says_what_it_read_before_the_models_are_imported(blocks: Path, tmp_path: Path) -> None:
    given = ["--manifest", blocks / "blocks.yaml", "--cache", tmp_path / "new.h5"]
    said, loaded = first_line("pseudolabel", "--dataset", "blocks", *given)
    assert said.startswith("Coloured blocks: 16 images") and not set(loaded) & set(MODELS)
    said, loaded = first_line("pseudolabel", "--dataset", "missing", *given)
    assert "missing" in said and not set(loaded) & set(MODELS)
