"""What an installed aevlp consists of, and what its command line imports."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

from aevlp.pipeline.runtime.provenance import PACKAGES

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CODE = ("pipeline", "stages")
HEAVY = ("torch", "torchvision", "open_clip", "h5py", "pyarrow", "timm")


def modules() -> list[Path]:
    return [path for folder in CODE for path in sorted((ROOT / folder).rglob("*.py"))]


def run(program: str) -> str:
    """Return what a fresh interpreter prints, run outside the repository as an installed package would be."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT.parent, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_folder_of_code_is_packaged() -> None:
    folders = {path.parent.relative_to(ROOT) for path in modules()}
    assert all((ROOT / folder / "__init__.py").is_file() for folder in folders)
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(
        ["aevlp", *(".".join(("aevlp", *folder.parts)) for folder in folders)]
    )
    assert PROJECT["tool"]["setuptools"]["package-dir"] == {"aevlp": "."}


def test_every_file_beside_the_code_is_packaged() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["aevlp"]
    packaged = {path for pattern in patterns for path in ROOT.glob(pattern)}
    named = {ROOT / name for name in ("data_manifest.yaml", "__init__.pyi", "py.typed")}
    pages = {path for path in ROOT.glob("stages/*/page/*") if path.is_file()}
    assert packaged == {*named, *(ROOT / "weights").iterdir(), *pages}
    assert len(packaged - pages) == 7 and pages


def test_the_version_is_the_projects() -> None:
    assert version("aevlp") == PROJECT["project"]["version"]


def test_the_command_is_the_one_the_project_names() -> None:
    (command,) = entry_points(group="console_scripts", name="aevlp")
    assert command.value == PROJECT["project"]["scripts"]["aevlp"]
    assert callable(command.load())


def test_dependencies_are_what_the_code_imports_or_records_the_version_of() -> None:
    distributions = {"open_clip": "open_clip_torch", "yaml": "pyyaml", "PIL": "pillow", "pillow_heif": "pillow-heif"}
    distributions["lazy_loader"] = "lazy-loader"
    extras = PROJECT["project"]["optional-dependencies"]
    stated = {
        re.split(r"[<>=!~ \[]", line)[0]
        for line in (
            *PROJECT["project"]["dependencies"],
            *(line for name in set(extras) - {"dev", "docs"} for line in extras[name]),
        )
    }
    imported = set()
    for path in (ROOT / "__init__.py", *modules()):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imported.add((node.module or "").partition(".")[0])
    imported -= sys.stdlib_module_names
    used = {distributions.get(name, name) for name in imported}
    loaded_by_others = {"s3fs", "tensorboard"}  # by fsspec, and by torch
    loaded_by_others |= {"onnxscript"}  # by torch.onnx
    assert used | set(PACKAGES) | loaded_by_others - {"aevlp"} == stated | {"aevlp"}


def test_the_pipeline_never_imports_a_stage() -> None:
    """Imports go from the command line to the stages to the pipeline, never back."""
    for path in sorted((ROOT / "pipeline").rglob("*.py")):
        depth = len(path.relative_to(ROOT).parts) - 1  # so many dots lead to the package `pipeline`
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level <= depth, f"{path}, line {node.lineno}"
                assert not (node.module or "").startswith("aevlp"), f"{path}, line {node.lineno}"


@pytest.mark.process
@pytest.mark.parametrize(
    "module", ["aevlp.stages.commands.app", "aevlp.pipeline.manifest.load", "aevlp.pipeline.datasets"]
)
def test_a_fresh_interpreter_loads_no_heavy_library(module: str) -> None:
    program = f"import {module}, sys; print([name for name in {HEAVY} if name in sys.modules])"
    assert run(program).strip() == "[]"


@pytest.mark.process
def test_help_loads_no_heavy_library() -> None:
    program = f"""
import sys
from aevlp.stages.commands.app import main
try:
    main(["pseudolabel", "--help"])
except SystemExit as end:
    print("ended with", end.code, [name for name in {HEAVY} if name in sys.modules])
"""
    assert run(program).strip().endswith("ended with 0 []")


@pytest.mark.process
def test_the_packaged_manifest_is_found_from_anywhere() -> None:
    program = "from aevlp.pipeline.manifest.load import load_manifest; print(*load_manifest().datasets)"
    assert {"scenes", "voc", "coco", "nuswide", "cub"} <= set(run(program).split())
