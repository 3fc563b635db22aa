"""The examples of a cache in a foreign loop run, and learn."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.process
@pytest.mark.parametrize("name", ["plain_pytorch", "hugging_face_trainer"])
def test_an_example_trains(name: str, cache_path: Path) -> None:
    if name == "hugging_face_trainer":
        pytest.importorskip("transformers")
        pytest.importorskip("accelerate")
    command = [sys.executable, EXAMPLES / f"{name}.py", str(cache_path), "gpr"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert "validation mAP" in last
    assert 0 < float(last.split()[-1]) <= 100
