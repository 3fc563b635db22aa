"""Peak resident memory of stage one and stage two by the number of images, which should not grow with it.

Usage: python benchmarks/memory.py [--images 1000,10000,100000] [--workers 2] [--epochs 1] [--folder DIR] [--json FILE]
The images are hard links to 20 small JPEG files, listed in a table, one class of 20 each; a CLIP and a backbone of 32 pixels take
next to no time. Each command runs as on a shell: `aevlp pseudolabel`, then `aevlp train` with a small timm backbone, and with
`linear`. Of each process the peak of what it has in memory (VmHWM) is read while it runs; what processes share counts in each.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from generated import data_set, pictures, repeated, small_clip
from measuring import Bench, new_file, run

PERIOD = 0.1  # seconds between two looks
FILES, CLASSES, SIZE = 20, 20, 32


class Peak(NamedTuple):
    """Megabytes of the process itself and, together, of all children that it had at one time; and how long it ran."""

    own: float
    children: float
    seconds: float


def peak_of(command: list[str], folder: Path) -> Peak:
    """Run `aevlp` in a folder to its end and return its peak of memory; SystemExit where it fails."""
    with (folder / "output.txt").open("w") as output:
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "aevlp.stages", *command], cwd=folder, stdout=output, stderr=subprocess.STDOUT
        )
        own = children = 0.0
        seen: set[int] = set()
        while process.poll() is None:
            own = max(own, _peak(process.pid))
            # Counted is what two looks find: a library's `uname` shows, until it is itself, all the memory of what starts it.
            workers = _workers(process.pid)
            children = max(children, sum(map(_peak, workers & seen)))
            seen = workers
            time.sleep(PERIOD)
    if process.returncode:
        said = (folder / "output.txt").read_text().strip().splitlines()
        raise SystemExit(f"aevlp {command[0]} failed: {said[-1] if said else f'exit status {process.returncode}'}")
    return Peak(own, children, time.monotonic() - started)


def _workers(number: int) -> set[int]:
    """Return the children of a process that run its own program."""
    program = _program(number)
    return {child for child in _children(number) if _program(child) == program != ""}


def _program(number: int) -> str:
    """Return the file that a process runs, "" where it has ended."""
    try:
        return str(Path(f"/proc/{number}/exe").readlink())
    except OSError:
        return ""


def _children(number: int) -> list[int]:
    """Return the processes that a process has started, and those that they have."""
    found = []
    for file in Path(f"/proc/{number}/task").glob("*/children"):
        try:
            started = [int(word) for word in file.read_text().split()]
        except OSError:  # it has ended
            continue
        for child in started:
            found += [child, *_children(child)]
    return found


def _peak(number: int) -> float:
    """Return a process's peak in MB, 0 where it has ended."""
    try:
        lines = Path(f"/proc/{number}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM")), 0.0)


def main() -> None:
    """Run each command on ever more images, and print its peak."""
    reads = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reads.add_argument("--images", default="1000,10000,100000", help="how many, with commas between them")
    reads.add_argument("--backbone", default="test_resnet", help="a timm name")
    reads.add_argument("--workers", type=int, default=2)
    reads.add_argument("--epochs", type=int, default=1)
    reads.add_argument("--folder", type=Path, help="where everything goes; default: a temporary folder")
    reads.add_argument("--json", type=new_file, help="write the figures here")
    options = reads.parse_args()
    bench = Bench("memory", f"peaks of resident memory, {options.workers} workers")
    counts = [int(word) for word in options.images.split(",")]
    first: dict[str, tuple[int, Peak]] = {}
    for count in counts:
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            for what, peak in _peaks(Path(name), count, options):
                first.setdefault(what, (count, peak))
                fewer, before = first[what]
                growth = {"kB_an_image": 1000 * (peak.own - before.own) / (count - fewer)} if count > fewer else {}
                figures = {"process_MB": peak.own, "children_MB": peak.children, "seconds": peak.seconds}
                bench.row(what, images=count, **figures, **growth)
    bench.finish()


def _peaks(folder: Path, count: int, options: argparse.Namespace) -> list[tuple[str, Peak]]:
    """Return what is run on `count` images, and its peak."""
    paths = repeated(folder / "images", pictures(folder / "files", FILES, SIZE, SIZE), count)
    manifest = data_set(folder, paths, CLASSES, grid=2, batch=64, size=SIZE)
    workers = ["--workers", str(options.workers), "--device", "cpu"]
    scoring = ["pseudolabel", "--dataset", "generated", "--manifest", manifest.name, "--cache", "cache.h5"]
    scoring += ["--clip", small_clip(folder).name, "--weights", "random", *workers]
    training = ["train", "--cache", "cache.h5", "--epochs", str(options.epochs), *workers]
    small = [*training, "--run", "runs/small", "--backbone", options.backbone, "--weights", "random"]
    linear = [*training, "--run", "runs/linear", "--backbone", "linear"]
    return [
        ("aevlp pseudolabel", peak_of(scoring, folder)),
        (f"aevlp train, {options.backbone}", peak_of(small, folder)),
        ("aevlp train, linear", peak_of(linear, folder)),
    ]


if __name__ == "__main__":
    run(main)
