"""The codes of one epoch from a cache on the disk, beside a plain copy of its file.

Usage: python benchmarks/codes.py [--gigabytes 1] [--classes 20] [--grid 4] [--format h5|parquet] [--folder DIR]
       [--rounds 5] [--json FILE]
Needs twice the cache's size on disk. The cache holds random cosines in float16, 2 flips; it is read once before, so that it
comes from memory. The floor is what must move, the cosines from memory and once into it, at the rate of a copy in memory.
"""

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
from measuring import Bench, new_file, positive, run

from aevlp.pipeline.labels.damp import DampSettings
from aevlp.pipeline.score_cache import CacheHeader, CacheRows, open_cache, write_cache

BLOCK, FLIPS, WIDTH = 1024, 2, 4
SETTINGS = DampSettings(temperature=0.01, eta=0.1, threshold=0.3, top_k=3, negative_ratio=0.2)


def header(rows: int, classes: int, grid: int) -> CacheHeader:
    """Return the header of a cache of so many images; nothing but its shape is looked at."""
    names = tuple(f"class {n}" for n in range(classes))
    made = {"dataset": {"name": "random"}, "method": {"grid": grid}}
    return CacheHeader(rows, FLIPS, grid**2 + 1, WIDTH, "float16", names, names, False, made)


def content(header: CacheHeader) -> Iterator[CacheRows]:
    """Yield blocks of rows: random labels, and random cosines that repeat after eight blocks."""
    random, classes = np.random.default_rng(0), len(header.classes)
    cosines = random.normal(0.22, 0.03, (8, BLOCK, FLIPS, header.views, classes)).astype(np.float16)
    for number, start in enumerate(range(0, header.rows, BLOCK)):
        n = min(BLOCK, header.rows - start)
        observed = np.zeros((n, classes), dtype=np.int8)
        observed[np.arange(n), random.integers(classes, size=n)] = 1
        names = [f"{start + n}.jpg" for n in range(n)]
        yield CacheRows(
            ids=names,
            paths=names,
            split=["train"] * n,
            status=["ok"] * n,
            reason=[""] * n,
            stamps=["1 1"] * n,
            truth=None,
            observed=observed,
            similarity=cosines[number % 8, :n],
            embedding=np.ones((n, FLIPS, WIDTH), dtype=np.float16),
            view_embedding=None,
            score=np.zeros((n, classes), dtype=np.float32),
            code=observed,
        )


def copy(source: Path, target: Path) -> None:
    """Copy a file, or a folder with all its files."""
    if source.is_dir():
        shutil.copytree(source, target, copy_function=shutil.copyfile, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, target)


def size(path: Path) -> int:
    """Return the bytes of a file, or of all files of a folder."""
    return sum(file.stat().st_size for file in (path.iterdir() if path.is_dir() else [path]))


def main() -> None:
    """Make a cache, alternate between codes of an epoch and a copy, and print GB/s of both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=1.0, help="of cosines")
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--grid", type=int, default=4)
    parser.add_argument("--format", choices=("h5", "parquet"), default="h5")
    parser.add_argument("--folder", type=Path, help="where the cache goes; default: a temporary folder")
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--json", type=new_file, help="write the figures here")
    options = parser.parse_args()
    bench = Bench("codes", about=f"{options.classes} classes, {options.grid**2 + 1} views, 2 flips, float16")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / f"random.{options.format}"
        row_bytes = 2 * FLIPS * (options.grid**2 + 1) * options.classes
        made = header(max(1, int(options.gigabytes * 1e9) // row_bytes), options.classes, options.grid)
        write_cache(path, made, content(made))
        cache = open_cache(path)
        cosines, all_bytes = made.rows * row_bytes, size(path)
        a, b = np.zeros(cosines // 8), np.ones(cosines // 8)  # written to, so that their pages are there
        times = bench.alternate(
            {
                "codes of an epoch": lambda: cache.codes(SETTINGS, epoch=1),
                "codes of the mean": lambda: cache.codes(SETTINGS),
                "plain copy": lambda: copy(path, path.with_name("copy")),
                "copy in memory": lambda: np.copyto(a, b),
            },
            rounds=options.rounds,
        )
    seconds = {name: median(of) for name, of in times.items()}
    copied = all_bytes / seconds["plain copy"]
    for name, of in seconds.items():
        moved = all_bytes if name == "plain copy" else cosines
        bench.row(name, seconds=of, gigabytes_a_second=moved / of / 1e9, times_a_plain_copy=copied / (moved / of))
    floor = seconds["copy in memory"]
    bench.floor(
        f"{floor:.3f} s: the cosines read and written once in memory; "
        f"the codes of an epoch take {seconds['codes of an epoch'] / floor:.1f} times as long"
    )
    bench.finish()


if __name__ == "__main__":
    run(main)
