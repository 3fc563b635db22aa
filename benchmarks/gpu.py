"""All that is measured on a GPU, in one command of about ten minutes, and one JSON file.

Usage: python benchmarks/gpu.py [--json gpu.json] [--images FOLDER] [--only image_tower,stage_one]
Runs the other benchmarks with --device cuda, one after another, each in a process of its own: ViT-B-16 and ViT-L-14 in bf16,
views a second and the share of the matrix rate that was measured in the same call, compiled and not; images a second from JPEG
files with all cores, and what limits them; one stage beside two; epochs of ResNet-50, and how much of them waits for data; what
is made of JPEG files on the CPU. One that fails does not keep the others from running.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from measuring import command, cores, machine, new_file, run, write_json

HERE = Path(__file__).resolve().parent
LIMIT = 240  # seconds for each


def steps(workers: int) -> list[list[str]]:
    """Return the commands, the most needed first."""
    towers, many = ["--towers", "torch", "compile", "--rounds", "5"], ["--workers", str(workers)]
    return [
        ["image_tower", "--clip", "ViT-B-16", "--views", "16384", *towers],
        ["stage_one", "--clip", "ViT-B-16", "--count", "2048", "--plain-count", "64", "--rounds", "3", *many],
        ["training", "--count", "2048", "--batch", "32", "--rounds", "3", *many],
        ["image_tower", "--clip", "ViT-L-14", "--views", "8192", *towers],
        ["stage_one", "--clip", "ViT-L-14", "--count", "512", "--plain-count", "64", "--rounds", "2", *many],
        ["one_stage_or_two", "--count", "256", "--batch", "8", "--rounds", "2", *many],
        ["training", "--count", "2048", "--batch", "32", "--rounds", "2", "--compile", *many],
        ["data_side", "--rounds", "3"],
    ]


def measured(step: list[str], images: Path | None) -> dict[str, Any]:
    """Run one benchmark and return its figures, or what became of it."""
    name, *words = step
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "figures.json"
        line = [sys.executable, str(HERE / f"{name}.py"), *words, "--device", "cuda", "--json", str(figures)]
        if images is not None and name != "image_tower":
            line += ["--images", str(images)]
        try:
            status = subprocess.run(line, timeout=LIMIT).returncode
        except subprocess.TimeoutExpired:
            status = f"took more than {LIMIT} s"
        if figures.is_file():
            return json.loads(figures.read_text(encoding="utf-8"))
    return {"benchmark": name, "command": " ".join(step), "failed": status}


def main() -> None:
    """Run everything, and write the figures after each, so that what was measured is not lost."""
    reads = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reads.add_argument("--json", type=new_file, help="write the figures here")
    reads.add_argument("--images", type=Path, help="a folder of JPEG files, in the place of generated ones")
    reads.add_argument("--only", help="benchmarks to run, with commas between them")
    options = reads.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit(
            "this benchmark needs a GPU, and torch sees none on this machine: run it on one that has a GPU"
        )
    wanted = options.only.split(",") if options.only else None
    found = []
    for step in steps(max(2, min(16, cores()))):
        if wanted is None or step[0] in wanted:
            found.append(measured(step, options.images))
            write_json({"benchmark": "gpu", "command": command(), "machine": machine(), "benchmarks": found})
    failed = [one["command"] for one in found if "failed" in one]
    if failed:
        raise SystemExit(f"{len(failed)} of {len(found)} benchmarks failed: {'; '.join(failed)}")


if __name__ == "__main__":
    run(main)
