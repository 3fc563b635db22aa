"""Labels of 100,000 files in shards, killed ten times: the bytes of one run; peak memory; the rate beside a bare loop.

`python benchmarks/predict.py MODEL [--files 100000] [--kills 10]`; MODEL is a run, or what `aevlp export --to onnx` wrote. The
files are links to forty small pictures, each decoded anew.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from generated import pictures, repeated

SIDE, ORIGINALS = 96, 40


def command(model: Path, images: Path, output: Path) -> list[str]:
    given = [str(model), str(images), "--output", str(output), "--workers", "1"]
    return [sys.executable, "-m", "aevlp.stages", "predict", *given]


def finished(given: list[str]) -> tuple[float, float]:
    """Return the seconds and the peak memory in MB of a program that is left alone."""
    began = time.monotonic()
    process = subprocess.Popen(given, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{given[:3]} ended with {process.returncode}")
    return time.monotonic() - began, usage.ru_maxrss / 1024


def parts(folder: Path) -> Iterator[Path]:
    yield from folder.glob("part-*.parquet")


def killed(model: Path, images: Path, output: Path, shards: int, kills: int) -> int:
    """Run until it is done, killed up to `kills` times at random moments; return how often it was."""
    chance, done = random.Random(0), 0
    while True:
        process = subprocess.Popen(command(model, images, output), stderr=subprocess.DEVNULL)
        goal = len(list(parts(output))) + chance.choice([0, 1]) if done < kills else shards + 1
        while process.poll() is None and len(list(parts(output))) < min(goal, shards):
            time.sleep(0.02)
        if process.poll() is None and done < kills:
            time.sleep(chance.uniform(0, 1.5))
            process.send_signal(signal.SIGKILL)
            done += process.wait() == -signal.SIGKILL
        elif process.wait() == 0:
            return done


BARE = """
import sys
from pathlib import Path
import numpy as np
from aevlp.stages.prediction.model import Running, open_model
names = np.array(sorted(str(path) for path in Path(sys.argv[2]).iterdir()))
for _ in open_model(Path(sys.argv[1]), Running("cpu", 1)).scored(names):
    pass
"""


def bare(model: Path, images: Path) -> list[str]:
    """Return the command of a loop over the same reader and model that keeps nothing."""
    return [sys.executable, "-c", BARE, str(model), str(images)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, metavar="MODEL")
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=10)
    given = parser.parse_args()
    with TemporaryDirectory() as place:
        folder, model = Path(place), given.model
        originals = pictures(folder / "originals", ORIGINALS, SIDE, SIDE)
        few, many = folder / "few", folder / "many"
        repeated(few, originals, given.files // 10)
        repeated(many, originals, given.files)
        small = finished(command(model, few, folder / "small"))[1]
        loop = seconds = peak = 0.0
        for output in ("first", "whole"):  # one after the other, twice, for what else runs beside them changes
            loop += finished(bare(model, many))[0] / 2
            taken, peak = finished(command(model, many, folder / output))
            seconds += taken / 2
        rates = [given.files / loop, given.files / seconds]
        print(
            f"images/s, start and listing included: bare loop {rates[0]:,.0f}, predict {rates[1]:,.0f}, "
            f"{rates[1] / rates[0]:.2f} of it",
            flush=True,
        )
        print(f"peak MB: {small:,.0f} at {given.files // 10:,} files, {peak:,.0f} at {given.files:,}", flush=True)
        shards = len(list(parts(folder / "whole")))
        times = killed(model, many, folder / "killed", shards, given.kills)
        same = all(
            file.read_bytes() == (folder / "killed" / file.name).read_bytes() for file in (folder / "whole").iterdir()
        ) and {f.name for f in (folder / "whole").iterdir()} == {f.name for f in (folder / "killed").iterdir()}
        print(f"killed {times} times: {'the same bytes' if same else 'OTHER BYTES'} in {shards} shards", flush=True)


if __name__ == "__main__":
    main()
