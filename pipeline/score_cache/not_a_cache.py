"""What is given in the place of a cache -> the error that says what it is, and what makes a cache of it."""

import shlex
from pathlib import Path

from ..errors import AevlpError
from ..files.locations import RemotePath
from ..manifest.load import SUFFIXES
from .containers import CONTAINERS, expected


def require_cache(path: Path) -> Path:
    """Return the path; AevlpError unless it ends as a cache does."""
    if path.suffix in CONTAINERS:
        return path
    if isinstance(path, RemotePath):
        raise AevlpError(f"{path}: {expected()}")
    if (path / "settings.json").exists():
        raise AevlpError(f"{path} is a run, expected a cache: {expected()}")
    found = f"{path} is {_kind(path)}, expected a cache" if path.exists() else f"there is no cache {path}"
    beside = [same for suffix in CONTAINERS if path.name and (same := path.with_suffix(suffix)).exists()]
    source = shlex.quote(str(path)) if path.exists() else "SOURCE"
    way = f"; did you mean {beside[0]}?" if beside else f", and aevlp pseudolabel {source} makes one"
    raise AevlpError(f"{found}: {expected()}{way}")


def _kind(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    return "a manifest" if path.suffix.lower() in SUFFIXES else "a file"
