"""Every command that README.md and docs/ show runs, and prints what is shown; tests/shown_commands.py has the contract."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import shown_commands
from PIL import Image

from aevlp.pipeline.datasets.varied_scenes import CLASSES, draw_varied

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SEED = 7  # of the photographs' series, which no data set has
MANIFEST = f"""
datasets:
  scenes2:
    title: Scenes, generated pictures of sixteen shapes in many styles
    format: scenes
    series: 2
    simulate: single-positive
    seed: 0
    train: 240
    test: 80
    classes: [{", ".join(CLASSES)}]
    clip: {{model: scenes2}}
    damp: {{grid: 2, temperature: 0.12, eta: 0.3, threshold: 0.18, top_k: 6, negative_ratio: 0.5}}
    recipe: {{backbone: clip, image_size: 64, epochs: 2, batch_size: 32, lr: 3.0e-3, head_lr_factor: 1, linear_init: 0}}
    expected_positives: 3.4
"""


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def environment() -> dict[str, str]:
    """Return the variables of a shell in which aevlp is installed and there is no network."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos/, 40 pictures and their labels.csv, and new/, 6 pictures without labels."""
    folder = tmp_path_factory.mktemp("photos")
    rows = []
    for index in range(46):
        pixels, objects = draw_varied(SEED, index)
        file = folder / ("photos" if index < 40 else "new") / f"picture_{index:02d}.jpg"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(file, quality=92)
        if index < 40:
            rows.append((file.name, ";".join(thing.name for thing in objects)))
    with (folder / "photos" / "labels.csv").open("w", encoding="utf-8", newline="") as table:
        csv.writer(table).writerows([("image", "labels"), *rows])
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with cache/scenes2.h5, of 320 scenes whose pictures and manifest lie elsewhere."""
    folder = tmp_path_factory.mktemp("cache")
    scenes = tmp_path_factory.mktemp("scenes") / "scenes2.yaml"
    scenes.write_text(MANIFEST)
    _aevlp(folder, "pseudolabel", "scenes2", "--manifest", scenes)
    return folder


@pytest.fixture(scope="session")
def run(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run, runs/scenes2-gpr-linear-seed0, and the cache that it was trained from."""
    folder = tmp_path_factory.mktemp("run") / "folder"
    shutil.copytree(cache, folder)
    _aevlp(folder, "train", "cache/scenes2.h5", "--backbone", "linear", "--epochs", "20")
    return folder


def _aevlp(folder: Path, *arguments: object) -> None:
    command = ["aevlp", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_shown_command_runs(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    text = page.read_text(encoding="utf-8")
    for name in shown_commands.starts(text):
        shutil.copytree(request.getfixturevalue(name), tmp_path, dirs_exist_ok=True)
    assert shown_commands.run(text, tmp_path, environment()) == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_block_has_a_language_and_marks_are_well_formed(page: Path) -> None:
    assert shown_commands.faults(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("```\naevlp\n```\n", "line 1: a block of no language"),
        ("```bsh\naevlp\n```\n", "line 1: a block of bsh"),
        ("a\n\n```bash\npip install x\n```\n", "line 3: pip install changes the machine"),
        ("```console\n$ git clone x\n```\n", "line 1: $ git clone changes the machine"),
        ("```bash\npython -m pip install x\n```\n", "line 1: python -m pip install changes the machine"),
        ("```console\naevlp\n```\n", "line 1: a console block without `$ `"),
        ("<!-- needs: a GPU -->\n\n```bash\naevlp\n```\n", "line 1: a mark without a block below it"),
        ("<!-- need: a GPU -->\n```bash\naevlp\n```\n", "line 1: no mark"),
        ("<!-- needs a GPU -->\n```bash\naevlp\n```\n", "line 1: no mark"),
        ("<!-- starts with: photo -->\n", "line 1: unknown 'photo'"),
        ("# Title\n<!-- starts with: photos -->\n", "line 2: what a page starts with stands in its first line"),
    ],
)
def test_a_block_or_a_mark_that_is_wrong_is_seen(text: str, fault: str) -> None:
    (found,) = shown_commands.faults(text)
    assert found.startswith(fault)


def test_blocks_are_read_with_their_marks() -> None:
    text = (
        "<!-- starts with: cache, run -->\n# Title\n<!-- file: a/b.py -->\n```python\nx = 1\n```\n"
        "- item\n\n  <!-- needs: a GPU, two of them -->\n  ```bash\n  train\n    on\n  ```\n````markdown\n```bash\n```\n````\n"
    )
    assert shown_commands.faults(text) == []
    assert shown_commands.starts(text) == ["cache", "run"]
    assert shown_commands.blocks(text) == [
        shown_commands.Block(4, "python", "x = 1\n", file="a/b.py"),
        shown_commands.Block(10, "bash", "train\n  on\n", needs="a GPU, two of them"),
        shown_commands.Block(14, "markdown", "```bash\n```\n"),
    ]


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("epoch 3: loss 0.2504, mAP 68.96", "epoch 11: loss 1.2, mAP 7"),
        ("10 images in 20.6 s, 5.4 MB", "1,200 images in 2 min 3 s, 300 kB"),
        ("│ an   │  67.7 │", "│ an │ -7.75 │"),
        ("┡━━━━┩", "┡━━━━━━━━━┩"),
        ("SHA-256 f50f6c834b687fd8", "SHA-256 0123456789abcdef"),
        ("from /home/anna/photos", "from /tmp/of/a/test"),
        ("this classifier is …", "this classifier is 5.83 points better"),
        ("3 images, … in all", "4 images, of two kinds, in all"),
    ],
)
def test_a_shown_line_may_differ_in_numbers(shown: str, printed: str) -> None:
    assert shown_commands.not_printed([shown], f"before\n  {printed}  \nafter\n") == []


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("epoch 3: loss 0.2504", "epoch 3: cost 0.2504"),
        ("epoch 3", "epoch 3: cost 0.2504"),
        ("cache/scenes.h5: 3 images", "cache/photos.h5: 3 images"),
        ("3 images, … in all", "3 images"),
        ("a (b|c)", "a c"),
    ],
)
def test_a_line_of_other_words_is_not_the_shown_one(shown: str, printed: str) -> None:
    assert shown_commands.not_printed([shown], f"{printed}\n") == [shown]


@pytest.mark.process
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("```bash\ntrue\nfalse\ntrue\n```\n", "line 1: true\nfalse\ntrue\n ended with 1"),
        ("```sh\nfalse | true\n```\n", "line 1: false | true\n ended with 1"),
        ("```console\n$ echo a\nb\n```\n", "line 1: echo a does not print\nb\nbut\na"),
        ("```console\n$ echo error: a\nerror: a\n```\n", "line 1: echo error: a ended with 0"),
        ("```console\n$ echo a; exit 1\na\n```\n", "line 1: echo a; exit 1 ended with 1"),
        ("```python\nx = 1\n```\n```python\nassert x == 2\n```\n", "line 4: Traceback"),
        ("```python\nimport os\nos._exit(0)\n```\n", "line 1: the interpreter ended"),
        ("```python\nimport time\ntime.sleep(5)\n```\n", "line 1: the interpreter ended"),
        ("```bash\nsleep 5\n```\n", "line 1: sleep 5\n took more than 0.5 s"),
    ],
)
def test_a_command_that_fails_or_prints_something_else_is_seen(
    text: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown_commands, "SECONDS", 0.5)
    (found,) = shown_commands.run(text, tmp_path, environment())
    assert found.startswith(fault)


@pytest.mark.process
def test_blocks_of_a_page_follow_on_each_other(tmp_path: Path) -> None:
    text = (
        "<!-- file: mine.py -->\n```python\nx = 3\n```\n```bash\necho 4 > number\n```\n"
        "```python\nimport mine\ny = mine.x\n```\n```console\n$ cat number \\\n  number\n4\n…\n\n$ cat none\nerror: …\n```\n"
        "```python\nfrom pathlib import Path\nPath('sum').write_text(str(y + int(Path('number').read_text())))\n```\n"
        "<!-- needs: a GPU -->\n```bash\nfalse\n```\n```yaml\nx: 1\n```\n"
    )
    text = text.replace("$ cat none\nerror: …", "$ echo error: none; cat none\nerror: none")
    assert shown_commands.run(text, tmp_path, environment()) == []
    assert (tmp_path / "sum").read_text() == "7"
