"""Where a command writes a file of its own."""

import os
from pathlib import Path

from ..pipeline.errors import AevlpError
from ..pipeline.files.locations import local_place


def check_unused(target: Path) -> Path:
    """Return the path of a file that is to be written; AevlpError where something is there already, or nothing can be."""
    if target.exists():
        raise AevlpError(f"{target} is there already: choose another name, or remove it first")
    check_folder(target)
    return target


def check_folder(target: Path) -> None:
    """Raise AevlpError where the folder that a file is to be written in takes none, before any work is done for it."""
    place = local_place(target).absolute()
    if not place.name:
        raise AevlpError(
            f"cannot write {target}: it is the root of the file system, expected the name of a file or a folder"
        )
    existing = next(folder for folder in place.parents if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise AevlpError(f"cannot write {target}: {existing} is {'read-only' if existing.is_dir() else 'not a folder'}")
