"""A cache of a million images and 80 classes: making it of its parts, verifying it, the codes of one epoch.

Usage: python benchmarks/million_rows.py [--rows 1000000] [--classes 80] [--format h5|parquet] [--folder DIR]
Needs three times the cache's size on disk, 25 GB by default. The parts hold random cosines in the form that stage one
publishes. Each step runs in a process of its own, which reports its peak memory; a plain copy of the same bytes stands beside.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from aevlp.pipeline.datasets.image_table import ImageTable, path_array
from aevlp.pipeline.labels.damp import DampSettings, codes_from_scores, damp_scores
from aevlp.pipeline.score_cache import CacheHeader, CacheRows, open_cache, write_cache
from aevlp.pipeline.score_cache.unfinished import Shard, cut
from aevlp.pipeline.scoring.parts import PartStore
from aevlp.pipeline.scoring.recipe import Recipe
from aevlp.stages.caches import verify
from aevlp.stages.stage_one import parts as part_scoring
from aevlp.stages.stage_one.options import PseudolabelOptions
from aevlp.stages.stage_one.plan import ScoringPlan

SHARD = 256
VIEWS, FLIPS, WIDTH = 17, 2, 512
METHOD = {"temperature": 0.01, "eta": 0.1, "threshold": 0.5, "top_k": 3, "negative_ratio": 0.1, "compat": "paper"}
STEPS = ("finalise", "verify", "codes", "copy")


def images(rows: int, classes: int) -> ImageTable:
    """Return a table of images that are not there."""
    observed = np.zeros((rows, classes), dtype=np.int8)
    observed[np.arange(rows), np.arange(rows) % classes] = 1
    root = Path("data") / "million"
    names = [f"images/{n // 1000:04d}/photo_{n:07d}.jpg" for n in range(rows)]
    return ImageTable(
        ids=np.array(names),
        paths=path_array([root / name for name in names]),
        split=np.where(np.arange(rows) < rows * 4 // 5, "train", "test"),
        truth=observed,
        observed=observed,
        classes=tuple(f"class {n}" for n in range(classes)),
        root=root,
        image_root=root,
        simulate={"regime": "none"},
        label_files=(),
    )


def header(rows: int, classes: int) -> CacheHeader:
    return CacheHeader(
        rows=rows,
        flips=FLIPS,
        views=VIEWS,
        width=WIDTH,
        storage="float16",
        classes=tuple(f"class {n}" for n in range(classes)),
        prompts=tuple(f"a photo of a class {n}." for n in range(classes)),
        has_truth=True,
        provenance={
            "dataset": {
                "name": "million",
                "manifest": "",
                "root": "data/million",
                "fingerprint": "",
                "label_files": {},
            },
            "method": {"grid": 4, **METHOD},
            "simulate": {"regime": "none"},
        },
    )


def store(target: Path, rows: int) -> PartStore:
    return PartStore(target, {"benchmark": "million_rows", "images": rows}, cut(rows, SHARD))


def make_parts(target: Path, rows: int, classes: int) -> None:
    """Publish all parts; their numbers repeat after eight of them, their texts and labels do not."""
    random = np.random.default_rng(0)
    settings = DampSettings(**METHOD)
    parts = store(target, rows)
    parts.begin()
    numbers: list[dict[str, np.ndarray]] = []
    for shard in parts.shards:
        n = shard.stop - shard.start
        own = np.arange(shard.start, shard.stop)
        observed = np.zeros((n, classes), dtype=np.int8)
        observed[np.arange(n), own % classes] = 1
        if len(numbers) < 8 or n != SHARD:
            similarity = random.normal(0.22, 0.03, (n, FLIPS, VIEWS, classes)).astype(np.float16)
            embedding = random.normal(size=(n, FLIPS, WIDTH))
            embedding /= np.linalg.norm(embedding, axis=-1, keepdims=True)
            numbers.append({"similarity": similarity, "embedding": embedding.astype(np.float16)})
        drawn = numbers[-1] if n != SHARD else numbers[shard.number % 8]
        score, ranking = damp_scores(drawn["similarity"].astype(np.float32).mean(axis=1), observed, settings)
        parts.publish(
            shard,
            header(n, classes),
            _rows(shard, observed, score, codes_from_scores(score, ranking, settings), drawn, rows),
        )


def _rows(shard: Shard, observed: np.ndarray, score: np.ndarray, code: np.ndarray, drawn: Any, rows: int) -> CacheRows:
    own = range(shard.start, shard.stop)
    names = [f"images/{n // 1000:04d}/photo_{n:07d}.jpg" for n in own]
    return CacheRows(
        ids=names,
        paths=names,
        split=["train" if n < rows * 4 // 5 else "test" for n in own],
        status=["ok"] * len(names),
        reason=[""] * len(names),
        stamps=[f"{100_000 + n} {1_700_000_000_000_000_000 + n}" for n in own],
        truth=observed,
        observed=observed,
        similarity=drawn["similarity"],
        embedding=drawn["embedding"],
        view_embedding=None,
        score=score,
        code=code,
    )


def step(name: str, target: Path, rows: int, classes: int) -> None:
    """Do one step and print its seconds and the peak memory of this process as JSON."""
    table = images(rows, classes) if name == "finalise" else None
    os.sync()
    started = time.monotonic()
    if name == "finalise":
        assert table is not None
        none: Any = None  # nothing is scored
        made = header(rows, classes)
        recipe = Recipe.of(made)
        text = np.empty(0)
        plan = ScoringPlan(
            PseudolabelOptions(dataset="million"),
            none,
            table.root,
            table,
            none,
            none,
            recipe,
            text,
            made,
            "torch",
            1,
            0,
        )
        part_scoring.finish(plan, store(target, rows), lambda made, _, parts: write_cache(target, made, parts))
    elif name == "verify":
        verify.verify(target)
    elif name == "codes":
        open_cache(target).codes(DampSettings(**METHOD), epoch=1)
    else:
        _copy(target, target.with_name(f"copy-{target.name}"))
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "peak": peak}))


def _copy(source: Path, target: Path) -> None:
    """Copy a file or a folder of files as a user would who wants it safe: bytes in Python, then fsync."""
    for file in [source] if source.is_file() else sorted(source.iterdir()):
        place = target if source.is_file() else target / file.name
        place.parent.mkdir(exist_ok=True)
        with file.open("rb") as read, place.open("wb") as write:
            shutil.copyfileobj(read, write, 1 << 20)
            os.fsync(write.fileno())
    shutil.rmtree(target) if target.is_dir() else target.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--classes", type=int, default=80)
    parser.add_argument("--format", choices=("h5", "parquet"), default="h5")
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        step(given.step, given.folder / f"million.{given.format}", given.rows, given.classes)
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        target = Path(folder) / f"million.{given.format}"
        started = time.monotonic()
        make_parts(target, given.rows, given.classes)
        print(f"{given.rows:,} images, {given.classes} classes: parts made in {time.monotonic() - started:,.0f} s")
        size = 0
        for name in STEPS:
            options = ["--rows", given.rows, "--classes", given.classes, "--format", given.format, "--folder", folder]
            done = subprocess.run(
                [sys.executable, __file__, "--step", name, *map(str, options)],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            measured = json.loads(done.stdout.splitlines()[-1])
            files = [target] if target.is_file() else list(target.iterdir())
            size = sum(file.stat().st_size for file in files)
            print(
                f"{name:9} {measured['seconds']:8.1f} s {size / measured['seconds'] / 1e6:8,.0f} MB/s "
                f"{measured['peak'] / 1e9:6.2f} GB peak memory",
                flush=True,
            )
        print(f"{size / 1e9:.2f} GB, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")


if __name__ == "__main__":
    main()
