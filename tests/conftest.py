"""What several tests share: a small photo table, its cache, and a trained run, each made once."""

import gc
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import chromium, page  # noqa: F401  fixtures
from PIL import Image
from process_marks import marked
from s3_store import S3Store, s3_store

from aevlp.pipeline.clip import towers
from aevlp.pipeline.files.locations import forget_listings
from aevlp.stages.commands import app as cli
from aevlp.stages.console import narrated
from aevlp.stages.stage_one import pseudolabel
from aevlp.stages.stage_two import train

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has what it starts in the background ignore it
# Several tests fork, and a fork of a process in which OpenVINO has computed can hang: those about it ask for it.
towers.fitting = lambda device, precision: towers.TORCH
torch.set_num_threads(1)  # the models are tiny: more threads would only wait for each other


def pytest_collection_finish() -> None:
    """Leave what importing and collecting made to itself: looking through it for garbage takes a third of the tests' time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def narrated_tests() -> Iterator[None]:
    """Have notes shown on standard error, as in a terminal, whatever the tests run in."""
    with narrated(True):
        yield


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder; modules that a test imports from it are forgotten afterwards."""
    known = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - known:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


WORDS = ("red", "green", "blue")
MANIFEST = """
datasets:
  blocks:
    title: Coloured blocks
    simulate: single-positive
    format: table
    table: labels.csv
    split_column: split
    classes: [red, green, blue]
    clip: {model: tiny-clip.json, weights: random}
    damp: {grid: 2, temperature: 0.1, eta: 0.1, threshold: 0.2, top_k: 2, negative_ratio: 0.34}
    recipe: {backbone: clip, image_size: 32, epochs: 2, batch_size: 4, lr: 0.001}
    losses:
      gpr: {expected_positives: 1.5}
"""
TINY_CLIP = """
{"embed_dim": 16,
 "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 16},
 "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}}
"""


pytest_runtest_setup = pytest.hookimpl(wrapper=True)(marked)
pytest_runtest_call = pytest.hookimpl(wrapper=True)(marked)


def draw_blocks(folder: Path, train_images: int = 12, test_images: int = 4) -> None:
    """Write pictures of one or two coloured blocks, their table, a manifest and a tiny CLIP's configuration."""
    (folder / "images").mkdir(parents=True)
    random = np.random.default_rng(5)
    lines = ["image,split,labels"]
    for n in range(train_images + test_images):
        pixels = random.integers(90, 130, (40, 56, 3), dtype=np.uint8)
        colors = [n % 3] if n % 2 else [n % 3, (n + 1) % 3]
        for place, color in enumerate(colors):
            pixels[4:30, 4 + 26 * place : 24 + 26 * place] = 255 * np.eye(3, dtype=np.uint8)[color]
        Image.fromarray(pixels).save(folder / "images" / f"{n:02d}.png")
        split = "train" if n < train_images else "test"
        lines.append(f"images/{n:02d}.png,{split},{';'.join(WORDS[c] for c in colors)}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    (folder / "blocks.yaml").write_text(MANIFEST)
    (folder / "tiny-clip.json").write_text(TINY_CLIP)


def stage_one(folder: Path, cache: Path, **options) -> Path:
    """Score the blocks below `folder`."""
    given = {"manifest": folder / "blocks.yaml", "workers": 0, **options}
    made = pseudolabel.pseudolabel(dataset="blocks", cache=cache, **given)
    pseudolabel.show(made)
    return made.path


def stage_two(cache: Path, run: Path, **options) -> Path:
    """Train on a cache of blocks."""
    done = train.train(cache, run=run, **{"workers": 0, **options})
    train.show(done)
    return done.folder


def without_logs(folder: Path) -> list[str]:
    """Return the names of what is in a folder, sorted, but for the logs that are kept beside caches."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".log.txt"))


def call(*arguments: object) -> int:
    """Return the exit code of a command line."""
    try:
        cli.main([str(a) for a in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture(scope="session")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of coloured blocks; tests do not change it."""
    folder = tmp_path_factory.mktemp("blocks")
    draw_blocks(folder / "data")
    return folder / "data"


@pytest.fixture(scope="session")
def cache_path(blocks: Path) -> Path:
    """The blocks' cache, single precision; tests do not change it."""
    return stage_one(blocks, blocks.parent / "blocks.h5", storage="float32")


@pytest.fixture(scope="session")
def run_path(cache_path: Path) -> Path:
    """A finished run with the clip backbone and gpr; tests do not change it."""
    return stage_two(cache_path, cache_path.parent / "run")


@pytest.fixture(scope="module")
def server() -> Iterator[S3Store]:
    with s3_store() as store:
        yield store


@pytest.fixture
def s3(server: S3Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Store]:
    """An S3 store without objects, which a fresh client is told of as users tell it."""
    s3fs = pytest.importorskip("s3fs")
    for name, value in {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_CONFIG_FILE": "none",
        "AWS_SHARED_CREDENTIALS_FILE": "none",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    gc.collect()  # here, where it can: a forked worker would wait a second for each client of a test before
    server.objects.clear()
    server.fails = lambda kind, name: None
    server.counted()
    forget_listings()
    yield server
