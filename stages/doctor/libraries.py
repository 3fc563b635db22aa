"""The libraries: installed, new enough, matching, and able to be imported."""

import json
import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version

from .apart import apart
from .finding import Finding

# What aevlp needs -> as what it is imported.
NEEDED = {
    "torch": "torch",
    "torchvision": "torchvision",
    "open_clip_torch": "open_clip",
    "timm": "timm",
    "h5py": "h5py",
    "pyarrow": "pyarrow.parquet",
    "typer": "typer",
    "rich": "rich",
    "numpy": "numpy",
    "scipy": "scipy.stats",
    "pydantic": "pydantic",
    "pyyaml": "yaml",
    "safetensors": "safetensors.numpy",
    "msgspec": "msgspec",
    "huggingface_hub": "huggingface_hub",
    "pillow": "PIL.Image",
    "filelock": "filelock",
    "lazy-loader": "lazy_loader",
    "jinja2": "jinja2",
    "matplotlib": "matplotlib.figure",
}
# Have a line each; the others share one where nothing is wrong.
ALONE = ("torch", "torchvision", "open_clip_torch", "timm")
ON_TORCH = ALONE[1:]
SECONDS = 120  # for all imports: a slow network disk needs most of it
# Says which library it is about to import, so that a crash names it, and then what came of it.
IMPORTS = """
import importlib, json, sys, warnings
warnings.simplefilter("ignore")
for name in sys.argv[1:]:
    print(json.dumps([name, None]), flush=True)
    try:
        importlib.import_module(name)
        print(json.dumps([name, ""]), flush=True)
    except BaseException as error:
        print(json.dumps([name, f"{type(error).__name__}: {error}"]), flush=True)
"""


def this_program() -> list[Finding]:
    """Return the versions of aevlp, Python and the system."""
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    return [
        Finding("aevlp", "ok", version("aevlp")),
        Finding("Python", "ok", f"{platform.python_version()} on {system}"),
    ]


def libraries() -> list[Finding]:
    """Return a line for each of the large libraries and for each with a fault, and one for all others."""
    wrong = import_faults(list(NEEDED.values()))
    found = {name: _library(name, wrong.get(module, ""), NEEDED["torch"] in wrong) for name, module in NEEDED.items()}
    one_by_one = [line for name, line in found.items() if name in ALONE or line.state == "fault"]
    rest = [line for line in found.values() if line not in one_by_one]
    said = ", ".join(f"{line.name} {line.found}" for line in rest)
    return [*one_by_one, *([Finding("other libraries", "ok", said)] if rest else [])]


def import_faults(modules: list[str]) -> dict[str, str]:
    """Return what went wrong with each module that cannot be imported; a crash ends the attempt, not the list."""
    faults: dict[str, str] = {}
    left = list(modules)
    while left:
        ended = apart(IMPORTS, *left, seconds=SECONDS)
        said = dict(json.loads(line) for line in ended.lines if line.startswith('["'))
        faults |= {name: fault for name, fault in said.items() if fault}
        tried = [name for name in left if name in said]
        if crashed := [name for name in tried if said[name] is None]:
            faults[crashed[0]] = f"importing it: {ended.wrong or 'the process ended'}"
        elif not tried:
            return faults | dict.fromkeys(left, ended.wrong or "a process for it said nothing")
        left = left[len(tried) :]
    return faults


def _library(name: str, wrong: str, without_torch: bool) -> Finding:
    try:
        have = version(name)
    except PackageNotFoundError:
        return Finding(name, "fault", "not installed", f"pip install {name}")
    if wrong:
        todo = "mend torch first" if without_torch and name in ON_TORCH else _mend(name)
        return Finding(name, "fault", f"{have} cannot be imported: {wrong}", todo)
    if (least := least_version(name)) and _numbers(have) < _numbers(least):
        return Finding(name, "fault", f"{have}, older than the {least} that is needed", f"pip install -U {name}")
    if name == "torchvision" and (fault := mismatch(version("torch"), have)):
        return Finding(name, "fault", fault, _mend(name))
    return Finding(name, "ok", have)


def least_version(name: str) -> str | None:
    """Return the oldest version of a library that aevlp takes, None where it says none."""
    found = (re.match(rf"{re.escape(name)}\s*>=\s*([\d.]+)", line, re.IGNORECASE) for line in requires("aevlp") or ())
    return next((match[1] for match in found if match), None)


def mismatch(torch: str, torchvision: str) -> str:
    """Return why a torchvision is not that of a torch, empty where it is: torch 2.11 goes with torchvision 0.26, and so on."""
    ours, other = _numbers(torch), _numbers(torchvision)
    if ours[:1] == (2,) and other[:1] == (0,) and ours[1] + 15 != other[1]:
        return f"{torchvision} is made for torch 2.{other[1] - 15}, and torch {torch} is here"
    built = [text.partition("+")[2] for text in (torch, torchvision)]
    if all(built) and built[0] != built[1]:
        return f"{torchvision} is built for {built[1]}, and torch {torch} for {built[0]}"
    return ""


def _mend(name: str) -> str:
    """Return the line that installs a library again; torch and torchvision go together, with what they need."""
    if name not in ("torch", "torchvision"):
        return f"pip install --force-reinstall --no-deps {name}"
    try:
        torch, build = version("torch").partition("+")[::2]
    except PackageNotFoundError:
        return "pip install torch torchvision"
    index = f" --index-url https://download.pytorch.org/whl/{build}" if build else ""
    numbers = _numbers(torch)
    pair = f"torch=={torch} 'torchvision==0.{numbers[1] + 15}.*'" if numbers[:1] == (2,) else "-U torch torchvision"
    return f"pip install {'--force-reinstall ' if name == 'torch' else ''}{pair}{index}"


def _numbers(text: str) -> tuple[int, ...]:
    found = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(map(int, found[0].split("."))) if found else ()
