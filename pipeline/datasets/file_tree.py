"""The files below a data set's folder, each folder listed once, when it is first asked about; found by nearly their names."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from posixpath import join, splitext
from urllib.parse import unquote

from ..errors import AevlpError
from ..files.image_formats import ENDINGS
from ..files.locations import RemotePath
from ..files.stamps import FILES_OWN


def spelling(name: str) -> str:
    """Return what is the same of all spellings of a name: of its case, its Unicode form, and its percent signs."""
    if "%" in name:
        name = unquote(name)
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def image_ending(name: str) -> str:
    """Return the ending of a name where it is one of an image, as it is written, else ""."""
    ending = splitext(name)[1]
    return ending if ending.lower() in ENDINGS else ""


class Folder:
    """What is in one folder. files, folders: the names there."""

    def __init__(self, files: list[str], folders: list[str]) -> None:
        self.files, self.folders = frozenset(files), folders

    @cached_property
    def by_spelling(self) -> dict[str, list[str]]:
        """The files by their `spelling`."""
        return grouped((spelling(name), name) for name in self.files)

    @cached_property
    def by_stem(self) -> dict[str, list[str]]:
        """The images by the `spelling` of their names without ending."""
        endings = ((name, image_ending(name)) for name in self.files)
        return grouped((spelling(name[: -len(ending)]), name) for name, ending in endings if ending)

    @cached_property
    def folders_by_spelling(self) -> dict[str, list[str]]:
        """The folders by their `spelling`."""
        return grouped((spelling(name), name) for name in self.folders)


class FileTree:
    """The files below `root`, all paths from there with forward slashes and "" for itself; links are followed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[str, Folder | None] = {}
        self._places: dict[tuple[str, tuple[str, ...]], list[str]] = {}

    def folder(self, path: str) -> Folder | None:
        """Return what is in a folder, None where there is none. Raises AevlpError where the machine does not say."""
        if path not in self._folders:
            self._folders[path] = _listed(self.root / path)
        return self._folders[path]

    def matching(self, folder: str, parts: Sequence[str]) -> set[str]:
        """Return the files below a folder whose path has the spelling of `parts`, or has it but for an ending left out."""
        key = spelling(parts[-1])
        found = set()
        for place in self._spelt(folder, tuple(map(spelling, parts[:-1]))):
            content = self.folder(place)
            if content is not None:
                names = content.by_spelling.get(key, [])
                if not image_ending(key):
                    names = [*names, *content.by_stem.get(key, [])]
                found.update(f"{place}/{name}" if place else name for name in names)
        return found

    def _spelt(self, folder: str, keys: tuple[str, ...]) -> list[str]:
        """Return the folders below another one that are spelt like this."""
        places = self._places.get((folder, keys))
        if places is None:
            places = [folder]
            for key in keys:
                contents = [(place, content) for place in places if (content := self.folder(place)) is not None]
                places = [join(place, name) for place, of in contents for name in of.folders_by_spelling.get(key, ())]
                if not places:
                    break
            self._places[folder, keys] = places
        return places

    def walk(self, folders: int) -> Iterator[tuple[str, Folder]]:
        """Yield the folders and what is in them, the nearest to the root first, no more than so many of them."""
        waiting = [""]
        for place in waiting:
            content = self.folder(place)
            if content is not None:
                yield place, content
                room = max(0, folders - len(waiting))
                waiting += [join(place, name) for name in sorted(content.folders)[:room]]


def _listed(path: Path) -> Folder | None:
    files: list[str] = []
    folders: list[str] = []
    try:
        if isinstance(path, RemotePath):
            for entry in path.iterdir() if path.is_dir() else ():
                (folders if entry.identity() is None else files).append(entry.name)
            return Folder(files, folders) if files or folders else None
        with os.scandir(path) as entries:
            for entry in entries:
                (folders if entry.is_dir() else files).append(entry.name)
    except ValueError:  # a name that no folder can have
        return None
    except OSError as error:
        if error.errno is not None and error.errno not in FILES_OWN:
            raise AevlpError(
                f"cannot list {path}: {error.strerror}; mend that, and run the same command again"
            ) from error
        return None
    return Folder(files, folders)


def grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the names of each key."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for key, name in pairs:
        groups[key].append(name)
    return dict(groups)
