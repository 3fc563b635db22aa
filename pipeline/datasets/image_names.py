"""The names of images as label files write them -> files below the data set's folder, found where one file alone can be meant.

A label file is often older than the place of its images: names have another case or Unicode form, percent signs, the slashes or
the whole path of another machine, the address of a store, or no ending. Such a name means a file if no other file could be
meant by it and no other name means that file; otherwise it stays as it is, and its image is missing.
"""

import posixpath
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from ..files.containers import ENDINGS as CONTAINERS
from .faults import Remark
from .file_tree import FileTree, image_ending, spelling

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_DRIVE = re.compile(r"[A-Za-z]:(?=[\\/])")
_UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")  # which Label Studio puts before the name of an uploaded file
_LOCAL_FILES = "/data/local-files/?d="  # before the path of a file that it did not upload


@dataclass(frozen=True)
class FoundImages:
    """Where the images of some names are.

    paths: of each name the path below the root, with forward slashes, of the file that it means, or where that would be; None
    for a name that leads out of the data set's folder and means no file in it. count: how many different names were found.
    remarks: how names were found that are not written as their files are.
    """

    paths: list[str | None]
    count: int
    remarks: list[Remark]


def find_images(root: Path, names: Sequence[tuple[str, str]], tree: FileTree | None = None) -> FoundImages:
    """Return where images are that label files name, each by (folder, name): the folder below the root that the name is in.

    All names of a data set are asked for together, as no two that differ may get one file, unless both are exactly its path.
    A name that is the path of a file is taken as it is; so is one that leads through a tar, Parquet or Arrow file. No file is
    opened: the folders that the names speak of are listed, each once. tree: those that have been listed before.
    Raises AevlpError where a folder cannot be listed for a reason that is not its own.
    """
    tree = tree or FileTree(root)
    base = {folder: _path(folder) for folder in {folder for folder, _ in names}}
    wanted = list(dict.fromkeys(names))
    exact = {key: path for key in wanted if (path := _exact(tree, base[key[0]], key[1])) is not None}
    folders_of_exact = {folder for folder, _ in exact}
    taken = set(exact.values())
    near: dict[tuple[str, str], str] = {}
    for folder, name in wanted:
        if (folder, name) not in exact:
            found = _candidates(tree, base[folder], name, tails=folder not in folders_of_exact)
            if len(found) == 1:
                near[folder, name] = found.pop()
    claims = Counter(near.values())
    near = {key: path for key, path in near.items() if claims[path] == 1 and path not in taken}
    place = exact | near
    paths = [place[key] if key in place else _place_of_missing(base[key[0]], key[1]) for key in names]
    return FoundImages(paths, len(place), _remarks((base[folder], name, path) for (folder, name), path in near.items()))


def _exact(tree: FileTree, folder: str, name: str) -> str | None:
    """Return the path of a name that is the path of a file."""
    above, _, last = name.rpartition("/")
    if name.startswith("/"):
        below = f"{tree.root.absolute().as_posix().rstrip('/')}/"
        return _exact(tree, "", name[len(below) :]) if name.startswith(below) else None
    if ".." in above.split("/") or last in ("", ".", ".."):
        return None
    place = _path(folder, above)
    content = tree.folder(place)
    there = _leads_inside(place) if content is None else last in content.files
    return _path(place, last) if there else None


@cache
def _leads_inside(folder: str) -> bool:
    """Return whether a path that is no folder may lead through a container."""
    return any(posixpath.splitext(part)[1].lower() in CONTAINERS for part in folder.split("/"))


def _path(*parts: str) -> str:
    """Return a path of its parts, of which some may be empty, as `FileTree` has it."""
    path = "/".join(filter(None, parts))
    if path[:1] == "." or "//" in path or "/." in path or path[-1:] == "/":
        path = PurePosixPath(path).as_posix()
    return "" if path == "." else path


def _place_of_missing(folder: str, name: str) -> str | None:
    return None if name.startswith("/") or ".." in name.split("/") else _path(folder, name)


def _candidates(tree: FileTree, folder: str, name: str, tails: bool) -> set[str]:
    """Return all files that a name could mean. tails: whether the end of a relative path could be one from the folder."""
    found: set[str] = set()
    if name.endswith("/"):
        return found
    for parts, elsewhere in readings(name):
        uploaded = _UPLOADED.match(parts[-1])
        for first in range(len(parts) if tails or elsewhere else 1):
            found |= tree.matching(folder, parts[first:])
            if uploaded:
                found |= tree.matching(folder, [*parts[first:-1], parts[-1][uploaded.end() :]])
    return found


def readings(name: str) -> Iterator[tuple[list[str], bool]]:
    """Yield what a name may mean, as the parts of a path, and whether that starts elsewhere than in the data set's folder."""
    texts = [name]
    if _LOCAL_FILES in name:
        texts.append(f"/{name.partition(_LOCAL_FILES)[2]}")
    if _ADDRESS.match(name):
        texts += [re.split(r"[?#]", text)[0] for text in texts]
    texts += [text.replace("\\", "/") for text in texts if "\\" in text]
    texts += [unquote(text) for text in texts if "%" in text]
    for text in dict.fromkeys(texts):
        elsewhere = text.startswith("/") or _ADDRESS.match(text) or _DRIVE.match(text)
        parts = [part for part in posixpath.normpath(text).split("/") if part not in ("", ".")]
        while parts and parts[0] == "..":
            elsewhere = True
            parts = parts[1:]
        if parts:
            yield parts, bool(elsewhere)


def _remarks(near: Iterable[tuple[str, str, str]]) -> list[Remark]:
    """Return a remark on each way in which names were found. near: of each the folder, the name and the path of the file."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for folder, name, path in near:
        below = path.removeprefix(f"{folder}/")
        groups[", ".join(_differences(name, below))].append(f"{below} for {name}")
    return [
        Remark(
            "read differently",
            f"{len(found):,} image{'s were' if len(found) > 1 else ' was'} found {how}, such as {found[0]}",
        )
        for how, found in groups.items()
    ]


def _differences(name: str, path: str) -> list[str]:
    """Return in which ways a file is named otherwise than its path."""
    how: list[str] = []
    text = name
    if "\\" in text and "\\" not in path:
        text = text.replace("\\", "/")
        how.append("with backslashes read as slashes")
    if _LOCAL_FILES not in text and _ADDRESS.match(text):
        text = re.split(r"[?#]", text)[0]
    if "%" in text and "%" not in path:
        text = unquote(text)
        how.append("with percent signs read as the characters they stand for")
    parts, wanted = [part for part in text.split("/") if part not in ("", ".")], path.split("/")
    if parts and _UPLOADED.match(parts[-1]) and not _UPLOADED.match(wanted[-1]):
        parts[-1] = _UPLOADED.sub("", parts[-1], count=1)
        how.append("without the digits that an upload puts before a name")
    if parts and not image_ending(parts[-1]) and (ending := image_ending(path)):
        parts[-1] += ending
        how.append("with the ending that their name leaves out")
    if len(parts) > len(wanted) or text.startswith("/"):
        how.insert(0, "by the end of their path")
    written, file = "/".join(parts[-len(wanted) :]), path
    if "%" in file and "%" not in written:
        file = unquote(file)
        how.append("with percent signs in the name of the file")
    if written != file:
        written, file = (unicodedata.normalize("NFC", text) for text in (written, file))
        if written == file:
            how.append("in another Unicode form")
        elif posixpath.splitext(written)[0] == posixpath.splitext(file)[0]:
            how.append("under another case of their ending")
        elif spelling(written) == spelling(file):
            how.append("under another case of their name")
    return how or ["under another spelling"]
