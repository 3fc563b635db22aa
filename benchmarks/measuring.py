"""Ways of doing the same -> their seconds in alternating rounds, beside what the machine could do; a table, and JSON."""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from aevlp.pipeline.errors import AevlpError

PACKAGES = ("torch", "torchvision", "open_clip_torch", "timm", "openvino", "pillow", "simplejpeg", "numpy")


class Timed(NamedTuple):
    """What a way says that does more than what is to be timed. amount: of work, None where that is not counted."""

    seconds: float
    amount: int | None = None


class Bench:
    """Collects the figures of one benchmark; `finish` prints them and writes them where --json says."""

    def __init__(self, name: str, about: str = "") -> None:
        self.name, self.about = name, about
        self.rows: list[dict[str, Any]] = []
        self.floors: list[str] = []
        self.notes: list[str] = []
        self.seconds: dict[str, list[float]] = {}

    def alternate(self, ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
        """Return the seconds of each way in each round, after one call of each that is not timed.

        A way that returns a `Timed` has measured itself. The amounts of all that say one must be the same: AssertionError where
        something is faster because it does less.
        """
        amounts = {name: amount for name, way in ways.items() if (amount := _amount(way())) is not None}
        assert len(set(amounts.values())) <= 1, f"not the same amount of work: {amounts}"
        times: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds):
            for name in (list(ways), list(ways)[::-1])[number % 2]:  # nobody always comes after the same one
                seconds, result = timed(ways[name])
                times[name].append(result.seconds if isinstance(result, Timed) else seconds)
                assert _amount(result) == amounts.get(name), f"{name} did {_amount(result)}, {amounts.get(name)} before"
        self.seconds.update({name: [round(value, 6) for value in of] for name, of in times.items()})
        return times

    def row(self, name: str, **figures: float | int | str) -> None:
        """Add a line of the table; the first figure is usually seconds=."""
        self.rows.append({"name": name, **figures})

    def floor(self, text: str) -> None:
        """Say how far from the machine's limit something is."""
        self.floors.append(text)

    def note(self, text: str) -> None:
        """Say something else that belongs to the figures."""
        self.notes.append(text)

    def figures(self) -> dict[str, Any]:
        """Return everything as it is written to JSON."""
        lines = {"rows": self.rows, "floors": self.floors, "notes": self.notes, "seconds": self.seconds}
        return {"benchmark": self.name, "about": self.about, "command": command(), "machine": machine(), **lines}

    def finish(self) -> None:
        """Print the table, and write the JSON file that --json names on the command line."""
        self.print()
        write_json(self.figures())

    def print(self) -> None:
        """Print the table."""
        console = Console(width=None if sys.stdout.isatty() else 130)
        names = list(dict.fromkeys(key for row in self.rows for key in row if key != "name"))
        table = Table(title=f"{self.name}: {self.about}" if self.about else self.name, title_justify="left")
        table.add_column("")
        for name in names:
            table.add_column(name.replace("_", " "), justify="right")
        for row in self.rows:
            table.add_row(row["name"], *(_shown(row.get(name)) for name in names))
        console.print(table)
        for line in (*self.floors, *self.notes):
            console.print(line, markup=False, highlight=False)
        of = machine()
        about = (
            f"{of['processor']}, {of['cores']} cores, {of['threads']} threads of torch, torch {of['versions']['torch']}"
        )
        console.print(f"{of['date']}, {about}{', ' + of['gpu'] if of['gpu'] else ''}", markup=False, highlight=False)


def parser(doc: str | None, rounds: int) -> argparse.ArgumentParser:
    """Return a parser of what every benchmark understands: --rounds, --device and --json."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=positive, default=rounds)
    made.add_argument("--device", type=device, metavar="{cpu,cuda}", default="cpu")
    made.add_argument("--json", type=new_file, help="write the figures here")
    return made


def positive(text: str) -> int:
    """Return the number that a text of the command line names; argparse's error for one below 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1 on, found {text!r}")
    return int(text)


def device(text: str) -> str:
    """Return the device that the command line names; argparse's error where it is not there."""
    if text not in ("cpu", "cuda") or (text == "cuda" and not torch.cuda.is_available()):
        raise argparse.ArgumentTypeError(f"expected cpu{' or cuda' * torch.cuda.is_available()}, found {text!r}")
    return text


def new_file(text: str) -> Path:
    """Return the file that the command line names; argparse's error where it cannot be written, before anything is measured."""
    path = Path(text)
    if path.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text!r} cannot be written: expected a file in a folder that is there")
    return path


def run(main: Callable[[], None]) -> None:
    """Run a benchmark as a command: a mistake is one line and exit 1."""
    try:
        main()
    except AevlpError as error:
        raise SystemExit(f"error: {' '.join(str(error).split())}") from None


def write_json(figures: dict[str, Any]) -> None:
    """Write figures to the file that --json names on the command line, if it does."""
    reads = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    reads.add_argument("--json", type=Path)
    path = reads.parse_known_args()[0].json
    if path is not None:
        path.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def timed(way: Callable[[], object]) -> tuple[float, object]:
    """Return the seconds that a way takes, what it left on the GPU included, and what it returns."""
    _wait()
    started = time.perf_counter()
    result = way()
    _wait()
    return time.perf_counter() - started, result


def middle(times: Mapping[str, list[float]]) -> dict[str, float]:
    """Return the medians."""
    return {name: median(of) for name, of in times.items()}


def command() -> str:
    """Return the command line; of a path that leads from the root, the last part alone."""
    words = (Path(word).name if word.startswith("/") else word for word in sys.argv[1:])
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *words])


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processor, cores that may be used, GPU, versions, the date."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
        "python": platform.python_version(),
        "versions": versions,
        "date": date.today().isoformat(),
    }


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def matrix_rate(device: torch.device, dtype: torch.dtype = torch.float32, small: bool = False) -> float:
    """Return the floating-point operations a second of matrix products, the best of some.

    On a CPU they have the size of those in ViT-B-16 at 8 views, on a GPU one that fills it. small: smaller, for a try-out.
    """
    gpu = device.type == "cuda"
    m, k, n = (256, 256, 256) if small else (8192, 8192, 8192) if gpu else (8 * 197, 768, 3072)
    a, b = (torch.rand(size, device=device, dtype=dtype) for size in ((m, k), (k, n)))
    out, repeats = a @ b, 20 if gpu else 5

    def products() -> None:
        for _ in range(repeats):
            torch.mm(a, b, out=out)

    products()
    return 2 * m * k * n * repeats / min(timed(products)[0] for _ in range(5))


def flops(model: nn.Module, inputs: Tensor, backward: bool = False) -> int:
    """Return the floating-point operations of a model for some inputs, of the backward pass too where that is asked for.

    The counter does not see into attention's fast paths, which give the same by kernels of their own.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        plainly = sdpa_kernel(SDPBackend.MATH)
        with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(backward), plainly:
            outputs = model(inputs)
            if backward:
                outputs.sum().backward()
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        model.zero_grad()
    return counter.get_total_flops()


def _amount(result: object) -> int | None:
    return result.amount if isinstance(result, Timed) else None


def _wait() -> None:
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float | np.floating):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
