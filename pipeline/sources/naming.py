"""The path of a source -> the name of its data set."""

import re
from pathlib import Path

# Names that say what is in a folder or a file, not whose it is: the folder above is named too.
_GENERAL = {
    "images", "image", "imgs", "img", "jpegimages", "pictures", "data", "dataset", "train", "training", "test", "val", "labels",
    "label", "annotations", "annotation", "metadata", "classes", "table", "shards", "raw", "files", "all",
}  # fmt: skip


def name_of(source: Path) -> str:
    """Return a name that a manifest may have: `photos` of photos/, `photos-labels` of photos/labels.csv."""
    path = Path(source).absolute() if not str(source).partition("://")[1] else source
    path = Path(_resolved(path))
    own = _plain(path.stem if path.suffix and not path.is_dir() else path.name)
    if own and not is_general(own):
        return own
    above = _plain(path.parent.name)
    return "-".join(filter(None, (above, own))) or "photos"


def is_name(text: str) -> bool:
    """Return whether a manifest may have a data set of this name."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text) is not None


def is_general(name: str) -> bool:
    """Return whether the name of a folder or file says what is in it, not whose it is."""
    return name.lower() in _GENERAL


def _resolved(path: Path) -> str:
    """Return a path without `..` and a dot at its end; links are not followed, a name is what a person calls it."""
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts:
            parts.pop()
        elif part != ".":
            parts.append(part)
    return str(Path(*parts)) if parts else str(path)


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")
