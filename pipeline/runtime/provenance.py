"""What made an output: versions of the packages that shape a number, hashes of arrays, and where two records differ."""

import hashlib
from importlib.metadata import version

import numpy as np

PACKAGES = ("aevlp", "torch", "torchvision", "open_clip_torch", "timm", "numpy", "pillow")


def versions() -> dict[str, str]:
    """Return the installed version of every package that can change a score or a trained weight."""
    return {name: version(name) for name in PACKAGES}


def arrays_sha256(*arrays: np.ndarray) -> str:
    """Return the SHA-256 of arrays, one after another in row-major order."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def difference(mine: object, theirs: object, place: str = "") -> str | None:
    """Return the first place where two JSON-like values differ, as "place: mine, not theirs"; None where they are equal."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        for key in (*mine, *(k for k in theirs if k not in mine)):
            inner = difference(mine.get(key), theirs.get(key), f"{place}.{key}" if place else str(key))
            if inner:
                return inner
        return None
    if isinstance(mine, list | tuple) and isinstance(theirs, list | tuple):
        same = len(mine) == len(theirs) and not any(map(difference, mine, theirs))
        return None if same else f"{place}: {_short(mine)}, not {_short(theirs)}"
    return None if mine == theirs else f"{place}: {_short(mine)}, not {_short(theirs)}"


def _short(value: object, most: int = 300) -> str:
    text = str(value)
    return text if len(text) <= most else f"{text[:most]}…"
