"""The package list agrees with the folders, and the data files are where an installed aevlp looks for them."""

import tomllib
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_folder_with_code_is_packaged() -> None:
    folders = {
        ".".join(("aevlp", *path.parent.relative_to(ROOT).parts))
        for top in ("pipeline", "stages")
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == folders | {"aevlp"}


def test_version_is_the_installed_one() -> None:
    assert version("aevlp") == PROJECT["project"]["version"]


def test_weights_stay_small() -> None:
    assert sum(path.stat().st_size for path in (ROOT / "weights").iterdir()) < 8e6
