"""What a comparison or a sweep left on the disk -> its result again."""

import json
from pathlib import Path
from typing import Any

from ...pipeline.errors import AevlpError
from .compare import Comparison
from .sweep import Sweep

RESULTS = "results.json"
OF_COMPARISON = {"cache", "methods", "teachers", "baseline", "seeds", "images", "intervals"}
OF_SWEEP = {"cache", "results", "recommended", "criterion", "images", "settings", "caches"}


def open_comparison(folder: Path) -> Comparison:
    """Return the comparison in a folder; AevlpError where its results.json is not one, as that of an earlier version."""
    record = _json(folder / RESULTS)
    if not isinstance(record, dict) or not set(record) >= OF_COMPARISON or not isinstance(record["methods"], list):
        raise AevlpError(f"{folder / RESULTS} does not hold the results of aevlp compare of this version: run it again")
    return Comparison(record, folder)


def open_sweep(path: Path) -> Sweep:
    """Return the sweep whose settings are in a .json file; AevlpError where it holds something else."""
    record = _json(path)
    if not isinstance(record, dict) or not set(record) >= OF_SWEEP:
        raise AevlpError(f"{path} does not hold a sweep: aevlp sweep CACHE --output {path.name} writes one")
    return Sweep(record, output=path)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AevlpError(f"cannot read {path}: {error}") from error
