"""Killing stage two at random moments: what comes of it in the end, bit for bit beside a run that was left alone.

Usage: python benchmarks/kill_stage_two.py [--kills 50] [--seed 0] [--cache CACHE] [--backbone clip] [--epochs 4] [--workers 0]
Without --cache 400 generated scenes are drawn and scored. Each training saves its state after every step, is killed with SIGKILL
at a random moment after its first line, in a save or outside of one, and is resumed; one that comes to its end is compared and
followed by another, until there were that many kills. Exit 1 where anything but the seconds differs.
"""

import argparse
import multiprocessing
import os
import platform
import random
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import open_clip  # noqa: F401  once, for the processes that are forked from this one
import timm  # noqa: F401
import torch
import yaml

from aevlp.pipeline.training.checkpoint import load_tensors, load_tree
from aevlp.pipeline.training.run_folder import RunFolder
from aevlp.stages.commands import app as cli
from aevlp.stages.stage_one import pseudolabel

REPOSITORY = Path(__file__).resolve().parents[1]
IMAGES = {"train": 320, "test": 80}


def make_cache(folder: Path) -> Path:
    """Draw and score a small set of scenes; return its cache."""
    entry = yaml.safe_load((REPOSITORY / "data_manifest.yaml").read_text(encoding="utf-8"))["datasets"]["scenes"]
    clip = {**entry["clip"], **{key: str(REPOSITORY / entry["clip"][key]) for key in ("model", "weights")}}
    entry = {
        **{k: v for k, v in entry.items() if k != "expected"},
        **IMAGES,
        "clip": clip,
        "root": str(folder / "data"),
    }
    manifest, cache = folder / "scenes.yaml", folder / "scenes.h5"
    manifest.write_text(yaml.safe_dump({"datasets": {"scenes": entry}}), encoding="utf-8")
    return pseudolabel.pseudolabel(dataset="scenes", cache=cache, manifest=[manifest], workers=0).path


def train(arguments: list[str], said: Path) -> None:
    """Run a command line with both outputs in a file."""
    file = os.open(said, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(file, number)
    cli.main(arguments)


def start(options: argparse.Namespace, cache: Path, run: Path) -> BaseProcess:
    """Start training, or resume it by the same command, and return once it has said its first line.

    The process is forked off this one, which has imported everything: it starts at once, and shares nothing but what is on disk.
    """
    arguments = ["train", "--cache", cache, "--backbone", options.backbone, "--epochs", options.epochs, "--run", run]
    arguments += ["--workers", options.workers, "--save-minutes", 0]
    said = run.with_suffix(".txt")
    said.unlink(missing_ok=True)
    process = multiprocessing.get_context("fork").Process(target=train, args=([str(a) for a in arguments], said))
    process.start()
    while not (said.exists() and "\n" in said.read_text(encoding="utf-8")):
        if not process.is_alive():
            sys.exit("training did not start")
        time.sleep(0.005)
    return process


def finish(process: BaseProcess, run: Path) -> None:
    """Wait for a training's end."""
    process.join()
    if process.exitcode:
        sys.exit(f"training ended with {process.exitcode}: {run.with_suffix('.txt').read_text(encoding='utf-8')}")


def content(run: Path) -> dict[str, Any]:
    """Return all that a finished run holds, but for how long it took."""
    folder = RunFolder(run)
    state = load_tree(folder.state_files()[-1])
    for line in (*state["history"], state["progress"]):
        del line["seconds"], line["waiting"]
    times = ("seconds", "waiting")
    return {
        "metrics": [{key: value for key, value in line.items() if key not in times} for line in folder.metrics()],
        "best": load_tensors(folder.best_file),
        "test": load_tensors(folder.test_file),
        "state": state,
    }


def equal(a: Any, b: Any) -> bool:
    """Return whether two nested values are the same, tensors bit for bit."""
    if isinstance(a, torch.Tensor):
        same = a.dtype == b.dtype and a.shape == b.shape
        return same and torch.equal(a.reshape(-1).view(torch.uint8), b.reshape(-1).view(torch.uint8))
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def where(run: Path) -> tuple[str, str]:
    """Return what the killed run's latest state is, and what it was writing."""
    states = RunFolder(run).state_files()
    half = sorted(run.glob(".*.tmp")) if run.exists() else []
    writing = half[0].name.split(".")[1].split("-")[0] if half else "nothing"
    return (states[-1].stem if states else "no state yet"), writing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--backbone", default="clip")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    torch.set_num_threads(1)  # a process with threads must not be forked
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}"
    )

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cache = options.cache or make_cache(folder)
        process, began = start(options, cache, folder / "whole"), time.monotonic()
        finish(process, folder / "whole")
        seconds = time.monotonic() - began
        expected = content(folder / "whole")
        print(f"left alone: {seconds:.1f} s from its first line to its end")

        kills, runs, places, writing = 0, 0, Counter[str](), Counter[str]()
        wrong: list[str] = []
        while kills < options.kills:
            run = folder / f"run{runs}"
            process = start(options, cache, run)
            patience = chance.uniform(0, seconds / 4)  # about eight kills to a run
            process.join(patience)
            if process.is_alive():
                process.kill()
                process.join()
                kills += 1
                state, half = where(run)
                places[state] += 1
                writing[half] += 1
                print(f"kill {kills}: {patience:.2f} s after the first line, {state}, in the middle of writing: {half}")
                if not RunFolder(run).finished():
                    if kills < options.kills:
                        continue
                    process = start(options, cache, run)
                    finish(process, run)
            else:
                finish(process, run)
            runs += 1
            found = content(run)
            differing = [part for part in expected if not equal(expected[part], found[part])]
            wrong += [f"{run.name}: {part}" for part in differing]
            print(f"{run.name} came to its end: {'differs in ' + ', '.join(differing) if differing else 'equal'}")

    epochs = Counter(
        "before any state" if "no" in place else f"epoch {int(place.split('-')[1])}" for place in places.elements()
    )
    print(f"{kills} kills in {len(places)} different places of {runs} runs: {dict(sorted(epochs.items()))}")
    print(f"in the middle of writing: {dict(writing)}")
    print("metrics, best weights, test logits and final state: " + ("DIFFERENT" if wrong else "bit-equal"))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
