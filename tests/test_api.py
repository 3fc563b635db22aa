"""What `import aevlp` gives: every public name, and nothing heavy before it is used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import aevlp

HEAVY = ("torch", "open_clip", "timm", "h5py", "pyarrow", "numpy", "typer", "rich", "pydantic")
STUB = Path(str(aevlp.__file__)).with_suffix(".pyi")


@pytest.mark.process
def test_importing_loads_nothing_heavy(tmp_path: Path) -> None:
    program = f"import sys, aevlp; aevlp.__version__; dir(aevlp); print([n for n in {HEAVY} if n in sys.modules])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert run.stdout.strip() == "[]"


def test_every_public_name_is_there_and_says_what_it_is() -> None:
    silent = [name for name in aevlp.__all__ if not (getattr(aevlp, name).__doc__ or "").strip()]
    assert not silent


def test_the_list_of_names_is_that_of_the_imports() -> None:
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    imported = [alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    (listed,) = (ast.literal_eval(n.value) for n in tree.body if isinstance(n, ast.Assign))
    assert sorted(imported) == sorted(listed) == sorted(aevlp.__all__)


def test_a_type_checker_is_told_that_there_are_types() -> None:
    assert STUB.with_name("py.typed").exists()
