"""What is given in the place of a run -> the error that says what it is, and what lists the runs."""

from pathlib import Path

from ..errors import AevlpError
from ..score_cache.containers import CONTAINERS

EXPECTED = "expected a run: a folder that aevlp train made"
LISTED = "aevlp runs lists those that are there"


def require_run(path: Path, settings: Path) -> None:
    """Raise AevlpError where a path cannot be the folder of a run. settings: the file that each run has."""
    if not path.exists():
        raise AevlpError(f"there is no run {path}: {LISTED}")
    if path.is_file() or (path.suffix == ".parquet" and not settings.exists()):
        kind = "a cache" if path.suffix in CONTAINERS else "a file"
        raise AevlpError(f"{path} is {kind}, {EXPECTED}; {LISTED}")


def no_run(path: Path, reason: str) -> AevlpError:
    """Return the error for a folder that lacks what each run has."""
    return AevlpError(f"{path} is not a training run, {reason}; {EXPECTED}; {LISTED}")
