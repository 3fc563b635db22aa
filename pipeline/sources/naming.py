"""The path of a source -> the name of its data set."""

import re
from os.path import normpath
from pathlib import Path

from ..files.locations import RemotePath
from ..labels.splits import split_of

# Names that say what is in a folder or a file, not whose it is, beside those of splits: the folder above is named too.
_GENERAL = {
    "images", "image", "imgs", "img", "jpegimages", "pictures", "data", "dataset", "labels", "label", "annotations", "annotation",
    "metadata", "classes", "table", "shards", "raw", "files", "all",
}  # fmt: skip
_LONGEST = 100  # characters: files are named after it


def name_of(source: Path) -> str:
    """Return a name that a manifest may have: `photos` of photos/, `photos-labels` of photos/labels.csv."""
    path = source if isinstance(source, RemotePath) else Path(normpath(source.absolute()))  # links are not followed
    own = _plain(path.stem if path.suffix and not path.is_dir() else path.name)
    if own and not is_general(own):
        return own[:_LONGEST]
    above = _plain(path.parent.name)
    return "-".join(filter(None, (above, own)))[:_LONGEST] or "photos"


def is_name(text: str) -> bool:
    """Return whether a manifest may have a data set of this name."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text) is not None


def is_general(name: str) -> bool:
    """Return whether the name of a folder or file says what is in it, not whose it is."""
    return name.lower() in _GENERAL or split_of(name) is not None


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")
