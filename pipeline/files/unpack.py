"""An archive -> the files in it below a folder: looked through as a whole first, and every file whole or not there."""

import gzip
import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from tarfile import EOFHeaderError, HeaderError, ReadError  # pyright: ignore[reportAttributeAccessIssue]
from typing import IO, Any, NamedTuple, Self

from ..errors import AevlpError, in_one_line

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
CHUNK = 1 << 20  # bytes
TEMPORARY = ".unpacking.tmp"  # one name: what a killed process left is overwritten when unpacking goes on


def unpack(archive: Path, target: Path, progress: Callable[[int, int], None]) -> None:
    """Unpack the files of a .zip, .tar, .tar.gz or .tgz below the folder `target`, with plain permissions.

    A file that is there with the right size is left alone, so that an interrupted call goes on; one of another size is
    replaced. progress: called with the bytes of unpacked files done and in all.

    Raises AevlpError before anything is written where the archive is damaged or cut short, a member is no file or folder,
    bears a path that leads outside or through a link out of `target`, or the same path as another, and where the disk lacks
    the room; later where a file's content is damaged or cannot be written.
    """
    base = Path(os.path.realpath(target))
    with _opened(archive) as members:
        _check_paths(archive, members, base)
        missing = [m for m in members if m.kind == "file" and not _present(base / m.path, m.size)]
        whole = sum(m.size for m in members)
        done = whole - sum(m.size for m in missing)
        try:
            _check_room(archive, whole - done, base)
            progress(done, whole)
            for folder in (base, *(base / m.path for m in members if m.kind == "folder")):
                folder.mkdir(parents=True, exist_ok=True)
            for member in missing:
                path = base / member.path
                path.parent.mkdir(parents=True, exist_ok=True)
                with _named_when_whole(path) as file:
                    for piece in _pieces(archive, member):
                        file.write(piece)
                        done += len(piece)
                        progress(done, whole)
        except OSError as error:  # reading's errors are AevlpErrors already
            raise AevlpError(
                f"cannot unpack {archive} below {target}: {error.filename2 or error.filename} {error.strerror}; "
                "what is unpacked stays: make room or make the folder writable, and the same command goes on"
            ) from error


class _Member(NamedTuple):
    """One entry of an archive; `kind` is "file", "folder", or what it is instead."""

    name: str
    kind: str
    size: int  # bytes, 0 for a folder
    open: Callable[[], Any]

    @property
    def path(self) -> PurePosixPath:
        return PurePosixPath(self.name)


@contextmanager
def _opened(archive: Path) -> Iterator[list[_Member]]:
    """List an archive, which stays open for the members to be read."""
    if not archive.name.lower().endswith(SUFFIXES):
        raise AevlpError(f"cannot unpack {archive}: expected a name that ends in {', '.join(SUFFIXES)}")
    with ExitStack() as stack:
        with _reading(archive):
            if archive.name.lower().endswith(".zip"):
                members = _zip_members(stack.enter_context(zipfile.ZipFile(archive)))
            else:
                opener = open if archive.name.lower().endswith(".tar") else gzip.open
                file = stack.enter_context(opener(archive, "rb"))
                members = _tar_members(stack.enter_context(tarfile.open(fileobj=file, mode="r:", tarinfo=_TarInfo)))
                while file.read(CHUNK):  # up to the end, where gzip keeps its checksum
                    pass
        yield members


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # the decoders meet damaged archives with exceptions of many kinds
        reason = getattr(error, "strerror", None) or in_one_line(error) or type(error).__name__
        raise AevlpError(
            f"cannot read {archive}: {reason}; where it is damaged or cut short, delete it and download it again"
        ) from error


class _TarInfo(tarfile.TarInfo):
    """A header that cannot be read is an error: tarfile would take one that is not the first for the archive's end."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile)
        except EOFHeaderError:
            raise
        except HeaderError as error:
            raise ReadError(str(error)) from error


def _tar_members(archive: tarfile.TarFile) -> list[_Member]:
    members = []
    for info in archive:
        if info.size < 0:  # would lead back to this very header, for ever
            raise ReadError(f"{info.name!r} has a size of {info.size} bytes")
        kinds = {
            "file": info.isreg(),
            "folder": info.isdir(),
            "a symbolic link": info.issym(),
            "a hard link": info.islnk(),
            "a fifo": info.isfifo(),
        }
        kind = next((kind for kind, it_is in kinds.items() if it_is), "neither file nor folder")
        members.append(_Member(info.name, kind, info.size if info.isreg() else 0, partial(archive.extractfile, info)))
    return members


def _zip_members(archive: zipfile.ZipFile) -> list[_Member]:
    kinds = {0: "file", stat.S_IFREG: "file", stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a fifo"}
    members = []
    for info in archive.infolist():
        mode = stat.S_IFMT(info.external_attr >> 16)  # 0 where the archive was not made on Unix
        kind = "folder" if info.is_dir() and mode in (0, stat.S_IFDIR) else kinds.get(mode, "neither file nor folder")
        # zipfile ends a name at a NUL; the one in the archive counts.
        members.append(
            _Member(info.orig_filename, kind, 0 if kind == "folder" else info.file_size, partial(archive.open, info))
        )
    return members


def _check_paths(archive: Path, members: list[_Member], base: Path) -> None:
    """Refuse what is no file or folder, leads outside `base`, or stands in the way of another member."""
    files: set[PurePosixPath] = set()
    folders: set[PurePosixPath] = set()
    for member in members:
        if fault := _fault(member) or ("is there twice" if member.kind == "file" and member.path in files else None):
            raise AevlpError(f"{archive}: the member {member.name!r} {fault}; nothing of the archive was unpacked")
        if member.kind == "file":
            files.add(member.path)
            folders.update(member.path.parents)
        else:
            folders.update((member.path, *member.path.parents))
    if both := sorted(map(str, files & folders)):
        raise AevlpError(f"{archive}: {both[0]!r} is a file and a folder; nothing of the archive was unpacked")
    for folder in sorted(folders):
        if not (leads := Path(os.path.realpath(base / folder))).is_relative_to(base):
            raise AevlpError(
                f"{base / folder} leads to {leads}, outside {base}: remove the link; {archive} was not unpacked"
            )


def _fault(member: _Member) -> str | None:
    path = PureWindowsPath(member.name)  # sees what is absolute or leads upwards on any system
    if member.kind not in ("file", "folder"):
        return f"is {member.kind}, expected files and folders only"
    if "\0" in member.name:
        return "has a NUL in its name"
    if path.anchor:
        return "has an absolute path, expected one below the archive's folder"
    if ".." in path.parts:
        return "leads upwards with '..'"
    return "has no name" if member.kind == "file" and not path.parts else None


def _check_room(archive: Path, needed: int, base: Path) -> None:
    free = shutil.disk_usage(next(folder for folder in (base, *base.parents) if folder.exists())).free
    if needed > free:
        raise AevlpError(
            f"no room to unpack {archive} below {base}: {needed:,} bytes are needed, {free:,} free; nothing was unpacked"
        )


def _present(path: Path, size: int) -> bool:
    """Whether an earlier call wrote the file: a name appears with the last byte, so that the size tells."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == size


def _pieces(archive: Path, member: _Member) -> Iterator[bytes]:
    with _reading(archive):
        read = 0
        with member.open() as file:
            while piece := file.read(CHUNK):
                read += len(piece)
                yield piece
        if read != member.size:
            raise EOFError(f"{member.name!r} has {read:,} bytes, expected {member.size:,}")


@contextmanager
def _named_when_whole(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file that is renamed to `path` if nothing goes wrong; no fsync, which would take hours for COCO."""
    temporary = path.with_name(TEMPORARY)
    temporary.unlink(missing_ok=True)
    try:
        with temporary.open("xb") as file:  # x: through no link
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
