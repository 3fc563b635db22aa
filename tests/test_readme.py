"""The README's Python example, as it stands there, in an empty folder."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from aevlp.pipeline.datasets.varied_scenes import CLASSES

README = Path(__file__).parents[1] / "README.md"


def example() -> str:
    """Return the first block of Python below "From Python"."""
    text = README.read_text(encoding="utf-8").partition("## From Python")[2]
    found = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


def test_it_is_a_front_door_and_names_the_command_of_the_tests() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.encode()) < 9000
    assert "make test" in text and "(docs/tutorial.md)" in text


def test_the_example_has_ten_lines_at_most_and_uses_the_public_names_alone() -> None:
    lines = [line for line in example().splitlines() if line.strip()]
    assert len(lines) <= 10
    assert [line for line in lines if "import" in line] == ["import aevlp"]


@pytest.mark.slow
@pytest.mark.process
def test_the_example_runs_from_an_empty_folder(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", example()], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    figure, labels = map(ast.literal_eval, done.stdout.splitlines())
    assert 0.5 < figure < 1, done.stdout  # a linear layer on the embeddings has 55
    assert labels and set(labels) <= set(CLASSES)
    assert done.stderr == "", "nothing is printed where nobody looks"
