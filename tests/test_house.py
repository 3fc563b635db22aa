"""The four rules of the house hold for this source tree, and each check finds what is planted against its rule."""

from pathlib import Path

import house
import pytest

TREE = Path(__file__).parents[1]
MAP = '"""The parts.\n\nfiles   on a disk\nlabels  a matrix\nlosses  a number\n\nIn the root: `errors` and `plugins`.\n"""\n'
OPTIONS = "from dataclasses import KW_ONLY, dataclass\nfrom typing import Annotated\nimport typer\n"


def tree(folder: Path, files: dict[str, str]) -> Path:
    """Write a small house with the wings files, labels and losses, and return it."""
    rooms = [
        "pipeline/files",
        "pipeline/labels",
        "pipeline/losses",
        "stages",
        "stages/commands",
        "stages/one",
        "stages/two",
    ]
    whole = {"pipeline/__init__.py": MAP, **{f"{room}/__init__.py": "" for room in rooms}, **files}
    for name, text in whole.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_the_map_of_the_wings_does_not_lie():
    assert len(house.wings(TREE)) > 10
    assert house.false_map(TREE) == []


def test_commands_import_stages_which_import_the_pipeline_whose_wings_import_those_above_them():
    assert len(house.imports(TREE)) > 500  # they are found
    assert house.imports_back(TREE) == []


def test_stage_folders_do_not_import_each_other_in_a_circle():
    assert house.circles(TREE) == []


def test_stage_functions_return_and_printing_is_apart():
    assert house.printing(TREE) == []


def test_an_option_is_declared_once():
    assert house.options_twice(TREE) == []


def test_no_file_is_long_without_a_reason():
    assert house.too_long(TREE) == []


def test_a_false_map_is_seen(tmp_path: Path):
    planted = {"pipeline/cellar/__init__.py": "", "pipeline/utils.py": "", "pipeline/errors.py": ""}
    (tree(tmp_path, planted) / "pipeline" / "losses" / "__init__.py").unlink()
    assert house.false_map(tmp_path) == [
        "pipeline/cellar: a folder that the map in pipeline/__init__.py lacks",
        "pipeline/__init__.py: the wing losses has no folder",
        "pipeline/utils.py: belongs in a wing",
    ]


@pytest.mark.parametrize(
    ("place", "line", "fault"),
    [
        ("pipeline/labels/a.py", "from ..losses import b", "labels imports losses, which stands below it"),
        ("pipeline/labels/a.py", "from .. import losses", "labels imports losses, which stands below it"),
        ("pipeline/labels/__init__.py", "from ..losses.b import c", "labels imports losses, which stands below it"),
        ("pipeline/labels/a.py", "import aevlp.pipeline.losses.b", "labels imports losses, which stands below it"),
        (
            "pipeline/labels/a.py",
            "def f():\n    from ..losses.b import c",
            "labels imports losses, which stands below it",
        ),
        (
            "pipeline/labels/a.py",
            "x = import_module('aevlp.pipeline.losses')",
            "labels imports losses, which stands below it",
        ),
        ("pipeline/errors.py", "from .files import a", "a root module imports the wing files"),
        ("pipeline/files/a.py", "from ...stages.one import b", "pipeline imports stages.one.b"),
        ("pipeline/errors.py", "from aevlp.stages import one", "pipeline imports stages.one"),
        ("stages/one/a.py", "from ..commands import app", "stages.one imports stages.commands"),
        ("stages/console.py", "from .commands.app import main", "stages.console imports stages.commands"),
    ],
)
def test_an_import_back_is_seen(tmp_path: Path, place: str, line: str, fault: str):
    [found] = house.imports_back(tree(tmp_path, {place: f"import os\n{line}\n"}))
    assert found == f"{place}:{2 + line.count(chr(10))}: {fault}"


def test_imports_of_what_stands_above_are_none_back(tmp_path: Path):
    files = {
        "pipeline/losses/a.py": "from ..errors import E\nfrom ..labels.b import c\nfrom .own import d\nimport torch.losses\n",
        "pipeline/plugins.py": "from .errors import E\n",
        "stages/two/a.py": "from ..one.b import c\nfrom ...pipeline.losses import d\n",
        "stages/commands/a.py": "from ..two import a\nfrom .app import main\n",
        "stages/__main__.py": "from .commands.app import main\n",
    }
    assert house.imports_back(tree(tmp_path, files)) == []
    assert house.circles(tmp_path) == []


def test_a_circle_of_stage_folders_is_seen_by_way_of_a_third(tmp_path: Path):
    files = {
        "stages/one/a.py": "from ..two import b\n",
        "stages/two/b.py": "def f():\n    from ..common import c\n",
        "stages/common.py": "from .one.d import e\n",
    }
    assert house.circles(tree(tmp_path, files)) == [
        "stages/common.py:1: common imports one, which comes back to it",
        "stages/one/a.py:1: one imports two, which comes back to it",
        "stages/two/b.py:2: two imports common, which comes back to it",
    ]


@pytest.mark.parametrize(
    "call",
    [
        "print(a)",
        "out.print(a)",
        "print_table(a)",
        "print_json(a)",
        "console.print_result(a)",
        "show(a)",
        "_show_all(a)",
    ],
)
def test_printing_in_a_stage_function_is_seen(tmp_path: Path, call: str):
    text = f"def train(a):\n    if a:\n        {call}\n    return a\n"
    found = house.printing(tree(tmp_path, {"stages/one/a.py": text}))
    assert found == [f"stages/one/a.py:3: {call.removesuffix('(a)')}(…)"]


def test_printing_apart_is_none_in_a_stage_function(tmp_path: Path):
    text = (
        "def show(a):\n    out.print(a)\n    def each(b):\n        print_table(b)\n    each(a)\n    _show_one(a)\n\n"
        "def _show_one(a):\n    print(a)\n\ndef train(a):\n    say(a)\n    return shown(a)\n"
    )
    prints = "def f(a):\n    print(a)\n"
    files = {
        "stages/one/a.py": text,
        "stages/one/narrator.py": prints,
        "stages/commands/a.py": prints,
        "stages/console.py": prints,
    }
    assert house.printing(tree(tmp_path, files)) == []


def test_an_option_declared_twice_is_seen(tmp_path: Path):
    one = f"{OPTIONS}@dataclass\nclass TrainOptions:\n    seed: Annotated[int, typer.Option(min=0)] = 0\n"
    two = f"{OPTIONS}@dataclass\nclass CompareOptions:\n    seed: Annotated[int, typer.Option(max=1)] = 0\n"
    found = house.options_twice(tree(tmp_path, {"stages/one/options.py": one, "stages/two/options.py": two}))
    assert found == ["stages/two/options.py:6: seed is declared in stages/one/options.py:6 already"]


def test_an_option_outside_the_option_modules_is_seen(tmp_path: Path):
    text = "import typer\ndef train(seed: int = typer.Option(0)):\n    pass\n"
    assert house.options_twice(tree(tmp_path, {"stages/one/train.py": text})) == [
        "stages/one/train.py:2: an option outside the modules of options"
    ]


def test_options_that_are_shared_or_inherited_are_declared_once(tmp_path: Path):
    types = f"{OPTIONS}Seed = Annotated[int, typer.Option(min=0)]\nclass SeedOptions:\n    seed: Seed\n"
    one = f"{OPTIONS}@dataclass\nclass TrainOptions:\n    cache: int\n    _: KW_ONLY\n    seed: Seed = 0\n"
    two = (
        f"{OPTIONS}@dataclass\nclass SweepOptions(TrainOptions):\n    cache: str\n    _: KW_ONLY\n    seed: Seed = 1\n"
    )
    files = {"stages/option_types.py": types, "stages/one/options.py": one, "stages/two/options.py": two}
    assert house.options_twice(tree(tmp_path, files)) == []


def test_a_long_file_without_a_reason_is_seen(tmp_path: Path):
    files = {
        "pipeline/files/a.py": '"""A file."""\n' + "x = 1\n" * 300,
        "pipeline/files/b.py": '"""A file.\n\nMore than 300 lines: one table that is read as a whole.\n"""\n'
        + "x = 1\n" * 300,
        "stages/one/c.py": '"""A file."""\n' + "x = 1\n" * 299,
    }
    assert house.too_long(tree(tmp_path, files)) == [
        "pipeline/files/a.py: 301 lines, without a reason in its docstring"
    ]
