"""A folder -> the pictures in it, known by their endings or by their first bytes, and what else lies there, by kind."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .image_formats import ENDINGS, HEAD, format_of
from .locations import RemoteError
from .whole_text import is_whole

# What systems, browsers and stores of photographs leave in a folder: copies and notes of theirs, no pictures of the user's.
SYSTEM_NAMES = {
    "__macosx", "@eadir", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "#recycle", "lost+found",
    "system volume information",
}  # fmt: skip
HIDDEN = "hidden or system files"
NO_PICTURE = "files of no picture"
NOT_TEXT = "files with a name that is not UTF-8 text"
# Endings of files that are not looked into. Camera raw files begin as a TIFF does, and hold a small preview that is one.
KINDS = {
    "files of text or tables": (
        ".txt .csv .tsv .json .jsonl .ndjson .xml .yaml .yml .md .html .htm .log .py .ipynb .sh .parquet .arrow"
    ),
    "videos": ".mp4 .mov .avi .mkv .webm .mpg .mpeg .m4v .wmv .3gp .flv",
    "archives": ".zip .tar .gz .tgz .bz2 .xz .zst .7z .rar",
    "files of documents or drawings": ".pdf .eps .ps .svg .ai .emf .wmf .doc .docx .ppt .pptx .xls .xlsx",
    "files of arrays or weights": ".h5 .hdf5 .npy .npz .mat .pt .pth .pkl .safetensors .db .sqlite",
    "camera raw files": ".dng .nef .nrw .cr2 .cr3 .crw .arw .raf .orf .rw2 .pef .srw .raw",
    "pictures of a format that is not read": ".psd .xcf .ico .icns .cur .tga .pcx .dds .exr .hdr .dcm .nii .fits .jxl",
}
_KIND = {ending: kind for kind, endings in KINDS.items() for ending in endings.split()}
NAMED = 3  # of each kind
_PLURAL = re.compile(r"\b(file|picture|video|archive)s\b")


@dataclass
class Found:
    """What lies below a folder. images: sorted. left_out: names below the folder, by kind."""

    images: list[Path] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)


def find_pictures(folder: Path) -> Found:
    """Return the pictures below a folder and what is left out, both sorted by name; the folder may be of a remote store.

    A file counts by its ending, one of `ENDINGS`, or, where it has none that is known, by its first bytes. What is in a
    hidden folder or one of a system's, such as __MACOSX or .thumbnails, is left out with it.
    """
    found = Found()
    for path in sorted(folder.glob("**/*")):
        if not path.is_file():
            continue
        name = path.relative_to(folder)
        kind = _left_out_as(path, name.parts)
        if kind is None:
            found.images.append(path)
        else:
            found.left_out.setdefault(kind, []).append(name.as_posix())
    return found


def is_systems(name: str) -> bool:
    """Return whether a file or folder of this name is hidden, or a system's own."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def kinds_counted(left_out: Mapping[str, list[str]]) -> str:
    """Return what was left out as words, such as "2 videos (a.mp4, b.mov) and 1 file of no picture (notes)"."""
    parts = []
    for kind, names in left_out.items():
        shown = ", ".join(name if name.isprintable() else ascii(name)[1:-1] for name in names[:NAMED])
        words = kind if len(names) > 1 else _PLURAL.sub(r"\1", kind)
        parts.append(f"{len(names):,} {words} ({shown}{', …' if len(names) > NAMED else ''})")
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _left_out_as(path: Path, parts: tuple[str, ...]) -> str | None:
    """Return the kind under which a file is left out, None for a picture."""
    if any(map(is_systems, parts)):
        return HIDDEN
    if not all(map(is_whole, parts)):  # which stand for bytes that are no UTF-8
        return NOT_TEXT
    ending = path.suffix.lower()
    if ending in ENDINGS:
        return None
    if ending in _KIND:
        return _KIND[ending]
    try:
        with path.open("rb") as file:
            return None if format_of(file.read(HEAD)) else NO_PICTURE
    except RemoteError:
        raise
    except OSError:  # reading it says why
        return None
