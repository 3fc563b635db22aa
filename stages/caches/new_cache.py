"""Where a command writes a cache."""

from pathlib import Path

from ...pipeline.score_cache import check_suffix
from ..new_files import check_unused


def check_new(target: Path) -> Path:
    """Return the path of a cache that is to be written; AevlpError where something is there already."""
    return check_unused(check_suffix(target))
