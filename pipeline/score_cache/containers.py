"""A cache's suffix -> what writes it and what reads it. A new container is a file here and a line in `CONTAINERS`."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path

from ..errors import AevlpError
from .reader import Store
from .schema import CacheHeader, CacheRows


@dataclass(frozen=True)
class Container:
    """Where a cache of a suffix is kept.

    module: here, with `write(place, header, parts)`, which makes a new file or folder, and `read(place, whole) -> Store`, which
    with `whole` first compares all bytes with their checksums; imported when it is needed. files: a pattern of the files of a
    folder, "" where a cache is a file. sealed: whether damaged bytes must be found before they are read.
    """

    module: str
    files: str = ""
    sealed: bool = False

    def write(self, place: Path, header: CacheHeader, parts: Iterable[CacheRows]) -> None:
        """Write the parts, which hold header.rows rows in all, at a place on the local disk where nothing is."""
        import_module(f".{self.module}", __package__).write(place, header, parts)

    def read(self, place: Path, whole: bool = False) -> Store:
        """Return what reads a cache on the local disk; AevlpError where it is damaged; whole: anywhere."""
        return import_module(f".{self.module}", __package__).read(place, whole)

    def require_replaceable(self, path: Path) -> None:
        """Raise AevlpError where something stands at `path` that is no cache of this kind, and would be replaced by one."""
        if not path.exists():
            return
        if path.is_dir() != bool(self.files):
            raise AevlpError(
                f"{path} is a {'file' if self.files else 'folder'}, a {path.suffix} cache is not: choose another --cache"
            )
        strange = [file.name for file in path.iterdir() if not fnmatchcase(file.name, self.files)] if self.files else []
        if strange:
            raise AevlpError(f"{path} holds {strange[0]!r}, which is no part of a cache: choose another --cache")


# Suffix -> how a cache of that suffix is kept.
CONTAINERS = {
    ".h5": Container("hdf5", sealed=True),
    ".parquet": Container("parquet", files="part-*.parquet"),
}


def expected() -> str:
    """Return what a cache is, in words."""
    kinds = [f"a {suffix} {'folder' if kind.files else 'file'}" for suffix, kind in CONTAINERS.items()]
    return f"a cache is {' or '.join(kinds)}"


def container_of(path: Path) -> Container:
    """Return how a cache at a path is kept; AevlpError where its suffix is none of a cache."""
    if path.suffix not in CONTAINERS:
        raise AevlpError(f"{path}: {expected()}")
    return CONTAINERS[path.suffix]
