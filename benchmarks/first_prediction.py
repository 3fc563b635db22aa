"""The time to the first prediction: `aevlp predict` of one image by an exported model, beside the same run through torch.

Usage: python benchmarks/first_prediction.py RUN IMAGE [--rounds 5] [--json FILE]
Each is a process of its own, from its start to its end, as a shell would start it. Imports alone stand below: what neither can be
faster than.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import Bench, middle, parser, run

from aevlp.stages.console import silent
from aevlp.stages.export.export import export

IMPORTS = {
    "imports of the exported model's": "import numpy, PIL.Image, onnxruntime",
    "imports of torch's": "import torch, torchvision, timm",
}


def main() -> None:
    options = parser(__doc__, rounds=5)
    options.add_argument("run", type=Path, metavar="RUN")
    options.add_argument("image", type=Path, metavar="IMAGE")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.onnx"
        with silent():
            export(given.run, to="onnx", output=model)
        predict = (sys.executable, "-m", "aevlp.stages", "predict", "--device", given.device)
        commands = {
            "exported model": (*predict, model, given.image),
            "run, through torch": (*predict, given.run, given.image),
            **{name: (sys.executable, "-c", code) for name, code in IMPORTS.items()},
        }
        bench = Bench("time to first prediction", "one image, a process from start to end")
        times = bench.alternate({name: lambda of=of: _done(of) for name, of in commands.items()}, given.rounds)
        loaded = {name: _loads_torch(commands[name]) for name in list(commands)[:2]}
    seconds = middle(times)
    for name, value in seconds.items():
        bench.row(name, seconds=value, beside_torch=value / seconds["run, through torch"])
    bench.note("torch is loaded by: " + (", ".join(name for name, loads in loaded.items() if loads) or "none"))
    bench.finish()


def _done(command: tuple) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"error: {done.stderr.strip() or done.stdout.strip()}")


def _loads_torch(command: tuple) -> bool:
    """Return whether python -X importtime of a command names torch."""
    timed = [str(word) for word in (command[0], "-X", "importtime", *command[1:])]
    said = subprocess.run(timed, capture_output=True, text=True, check=True).stderr
    return any(line.rpartition("|")[2].strip() == "torch" for line in said.splitlines())


if __name__ == "__main__":
    run(main)
