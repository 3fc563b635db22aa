"""Batch normalisation over several processes: outputs, gradients and running statistics are those of one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("shares", [[(0, 3), (3, 5)], [(0, 5), (5, 5)]], ids=["uneven", "one is empty"])
def test_two_processes_normalise_as_one_does(shares: list[tuple[int, int]]) -> None:
    program = Path(__file__).with_name("shared_statistics.py")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, str(program), json.dumps(shares)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.replace("}{", "}\n{").splitlines() if line]
    assert len(results) == 2
    for result in results:
        assert result["worst"] < 1e-11 and result["same"]
