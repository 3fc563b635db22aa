"""What a command is told of new images: files, folders, patterns, or - for their paths on standard input -> image files."""

import glob
import sys
from pathlib import Path

from ...pipeline.errors import AevlpError
from ...pipeline.files.file_reading import find_pictures, kinds_counted
from ..console import say

STDIN = "-"
TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".yaml", ".yml", ".txt")


def find_images(names: list[str]) -> list[Path]:
    """Return the image files meant by files, folders (searched through) and glob patterns, each once, in order.

    A name of - stands for the paths on standard input, one a line, which are taken as they are. What lies in a folder and is
    no picture is said, by kind. Raises AevlpError where a name means nothing, and for a table, whose images stand in it.
    """
    if not names:
        raise AevlpError("no images: expected files, folders or quoted glob patterns")
    found: dict[Path, None] = {}
    for name in names:
        found.update(dict.fromkeys(_meant_by(name)))
    return list(found)


def _meant_by(name: str) -> list[Path]:
    if name == STDIN:
        return _from_stdin()
    path = Path(name)
    if path.is_dir():
        inside = find_pictures(path)
        left_out = f"left out of {path}: {kinds_counted(inside.left_out)}" if inside.left_out else ""
        if not inside.images:
            raise AevlpError(f"no image file in the folder {path}" + (f"; {left_out}" if left_out else ""))
        if left_out:
            say(left_out)
        return inside.images
    if path.exists():
        if path.suffix.lower() in TABLES:
            raise AevlpError(
                f"{path} is a table or a text, expected images: pass its column of paths on standard input, as in "
                f"aevlp predict MODEL - < paths.txt"
            )
        return [path]
    matching = [Path(p) for p in sorted(glob.glob(name, recursive=True)) if Path(p).is_file()]  # noqa: PTH207
    if not matching:
        raise AevlpError(f"no file, folder or match for {name!r}")
    return matching


def _from_stdin() -> list[Path]:
    """Return the paths on standard input, one a line; those that are not there become rows that say so."""
    if sys.stdin is None or sys.stdin.closed:
        raise AevlpError("- reads paths from standard input, which is closed: pass files or folders instead")
    try:
        lines = [line.rstrip("\r\n") for line in sys.stdin]
    except (OSError, ValueError) as error:
        raise AevlpError(f"- reads paths from standard input, one a line: it cannot be read ({error})") from error
    paths = [Path(line) for line in lines if line.strip()]
    if not paths:
        raise AevlpError("- reads paths from standard input, one a line, found none")
    if any("\0" in line for line in lines):
        raise AevlpError(
            "- reads paths from standard input, one a line, found a zero byte: use find … -print, not -print0"
        )
    return paths
