"""A path that leads through a file, `train.tar/0001.jpg` or `train.parquet/image/17`, -> the bytes that are there.

A tar holds its members by name; a Parquet or Arrow file holds a cell by column and row, counted from 0.
"""

from pathlib import Path

from .arrow_files import address, cell, holds_images, lengths
from .tar_files import member, tar_members

ENDINGS = (".tar", ".parquet", ".arrow")


def locate(path: Path) -> tuple[Path, str] | None:
    """Return the container that a path leads through and the path inside it, None where it leads through none."""
    for folder in path.parents:
        if folder.suffix.lower() in ENDINGS and folder.is_file():
            return folder, "/".join(path.parts[len(folder.parts) :])
    return None


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file inside a container.

    Raises FileNotFoundError where there is none, AevlpError where the container is damaged.
    """
    place = locate(path)
    content = None
    if place is not None:
        content = member(*place) if place[0].suffix.lower() == ".tar" else cell(*place)
    if content is None:
        raise FileNotFoundError(path)
    return content


def size(path: Path) -> int | None:
    """Return the size of a file inside a container, None where there is none; AevlpError where the container is damaged."""
    place = locate(path)
    if place is None:
        return None
    file, inner = place
    if file.suffix.lower() == ".tar":
        return tar_members(file).get(inner, (0, None))[1]
    column, row = address(inner)
    found = lengths(file, column) if holds_images(file, column) else ()
    return int(found[row]) if 0 <= row < len(found) and found[row] >= 0 else None
