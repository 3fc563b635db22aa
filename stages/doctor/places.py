"""The folders: room, locks, data sets, weights, and the hub they come from."""

import os
import shutil
import tempfile
from pathlib import Path

from ...pipeline.errors import counted
from .apart import apart
from .finding import Finding, State, is_set, size

ENOUGH_ROOM = 2e9  # for a cache, a run and the weights of a backbone
HUB_SECONDS = 3
NO_PAGE = (404, 405)  # of a mirror whose root is no page
# Prints the status, or the kind of what went wrong: an error's text may hold the address of a proxy.
ASK = """
import sys, urllib.error, urllib.request
request = urllib.request.Request(sys.argv[1], method="HEAD", headers={"User-Agent": "aevlp doctor"})
try:
    print(urllib.request.urlopen(request, timeout=float(sys.argv[2])).status)
except urllib.error.HTTPError as error:
    print(error.code)
except urllib.error.URLError as error:
    print(type(error.reason).__name__ if isinstance(error.reason, BaseException) else "URLError")
except Exception as error:
    print(type(error).__name__)
"""
WORDS = {
    "gaierror": "its name is not found",
    "ConnectionRefusedError": "the connection is refused",
    "TimeoutError": "no answer in time",
    "OSError": "the network, or a proxy, does not let it through",
    "SSLCertVerificationError": "its certificate is not trusted here",
}


def working_folder() -> list[Finding]:
    """Return whether the working folder has room and can be written, and whether locks hold in it."""
    try:
        here = Path.cwd()
        with tempfile.TemporaryDirectory(prefix=".aevlp-doctor-", dir=here) as folder:
            return [_room("disk, working folder", here, "fault"), _locks(Path(folder))]
    except OSError as error:
        why = f"it cannot be written: {error.strerror or type(error).__name__}"
        return [Finding("disk, working folder", "fault", why, "work in a folder of your own")]


def _room(name: str, folder: Path, without: State) -> Finding:
    free = shutil.disk_usage(folder).free
    said = f"{size(free)} free in {folder}"
    if free >= ENOUGH_ROOM:
        return Finding(name, "ok", said)
    return Finding(
        name,
        without,
        f"{said}; expected {size(ENOUGH_ROOM)}, for a cache, a run and weights",
        "make room, or work on another disk",
    )


def _locks(folder: Path) -> Finding:
    from ...pipeline.files.locks import is_held, lock_of, locked

    place = folder / "place"
    with locked(place, seconds=2, busy="a lock on a new file is not given"):
        if is_held(lock_of(place)):
            return Finding("file locks", "ok", "they hold in the working folder")
    return Finding(
        "file locks",
        "fault",
        "they have no effect in the working folder: two commands could write one cache",
        "work on a local disk, or mount this one with locks",
    )


def hub() -> list[Finding]:
    """Return whether the Hugging Face hub answers within three seconds; it is not asked where HF_HUB_OFFLINE is set."""
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if is_set(variable):
            return [
                Finding(
                    "Hugging Face hub", "missing", f"not asked: {variable} is set; weights come from the local cache"
                )
            ]
    public = "https://huggingface.co"
    address = os.environ.get("HF_ENDPOINT", "").rstrip("/") or public
    name = "huggingface.co" if address == public else "what HF_ENDPOINT names"
    ended = apart(ASK, address, f"{HUB_SECONDS - 0.5}", seconds=HUB_SECONDS)
    answer = ended.lines[-1] if ended.lines else "TimeoutError"
    if answer.isdigit() and (int(answer) < 400 or int(answer) in NO_PAGE):
        return [Finding("Hugging Face hub", "ok", f"{name} answers")]
    why = f"it answers {answer}" if answer.isdigit() else WORDS.get(answer, answer)
    return [
        Finding(
            "Hugging Face hub",
            "missing",
            f"{name} is not reached: {why}",
            "set HTTPS_PROXY if you need one; with the weights in the local cache set HF_HUB_OFFLINE=1",
        )
    ]


def weights() -> list[Finding]:
    """Return what lies in the local cache of weights, and the room beside it."""
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = Path(HF_HUB_CACHE)
    models = [model for model in sorted(folder.glob("models--*")) if any(model.glob("snapshots/*/*"))]
    there = next(place for place in (folder, *folder.parents) if place.is_dir())
    room = _room("disk, weights", there, "missing")
    if not models:
        said = f"none in {folder}"
        todo = "the first command that needs some fetches them; aevlp demo and --weights random need none"
        return [Finding("weights", "missing", said, todo), room]
    taken = sum(file.lstat().st_size for model in models for file in model.glob("blobs/*"))
    return [Finding("weights", "ok", f"{counted(len(models), 'model')}, {size(taken)}, in {folder}"), room]


def data_sets() -> list[Finding]:
    """Return which data sets of the packaged manifest are here, and a line for each that is here in part."""
    from ..data.datasets import datasets

    states = datasets(progress=False).states
    by_state: dict[str, list[str]] = {}
    for name, of in states.items():
        by_state.setdefault(of["state"], []).append(name)
    ready = [*by_state.pop("found", []), *by_state.pop("made when needed", [])]
    absent = by_state.pop("missing", [])
    lines = [Finding("data sets", "ok", f"ready: {', '.join(ready)}")] if ready else []
    for state, names in by_state.items():
        lines += [Finding(f"data set {name}", "missing", state, f"aevlp datasets {name}") for name in names]
    if absent:
        lines.append(
            Finding(
                "data sets, others", "missing", f"not in data/: {', '.join(absent)}", "aevlp datasets NAME --download"
            )
        )
    return lines
