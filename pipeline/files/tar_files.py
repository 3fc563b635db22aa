"""A tar -> where each of its files stands, and their bytes; nothing is unpacked, and what is not to be trusted is refused."""

import tarfile
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import AevlpError
from .identity import stamp_of
from .locations import RemotePath


def tar_members(file: Path) -> dict[str, tuple[int, int]]:
    """Return where each file in a tar stands, (offset, size) by name, in its order; nothing is unpacked.

    Tars that were joined to one file are read to the end. Raises AevlpError for a compressed tar, one that is cut short, and one
    that is not to be trusted: a name that leads out of it or stands twice, a link, a device.
    """
    return _tar_members(file, stamp_of(file))


def member(file: Path, inner: str) -> bytes | None:
    """Return the bytes of one file in a tar, None where it holds none of this name."""
    place = tar_members(file).get(inner)
    if place is None:
        return None
    try:
        if isinstance(file, RemotePath):
            return file.read_range(*place)
        with file.open("rb") as opened:
            opened.seek(place[0])
            return opened.read(place[1])
    except OSError as error:
        raise AevlpError(f"cannot read {file}: {error.strerror or error}") from error


@cache
def _tar_members(file: Path, stamp: tuple[int, ...]) -> dict[str, tuple[int, int]]:
    members: dict[str, tuple[int, int]] = {}
    try:
        with file.open("rb") as opened:
            start: int | None = 0
            while start is not None:
                opened.seek(start)
                _add_members(file, opened, members, joined=start > 0)
                start = _next_start(opened)
    except OSError as error:
        raise AevlpError(f"cannot read {file}: {error.strerror or error}") from error
    except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
        raise AevlpError(
            f"{file} is not a whole, uncompressed tar: {error}; unpack a compressed one to .tar, fetch a cut one again"
        ) from error
    return members


def _add_members(file: Path, opened: Any, members: dict[str, tuple[int, int]], joined: bool) -> None:
    """Add the files up to the next end mark, which is where the opened file then stands."""
    with tarfile.open(fileobj=opened, mode="r:") as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            name = path.as_posix()
            fault = "stands there twice" if name in members else _distrusted(member, path)
            if fault:
                parts = " (several tars were joined to this one)" if joined else ""
                raise AevlpError(
                    f"{file}: {member.name!r} {fault}{parts}, so nothing is read from it: write the tar anew"
                )
            if member.isreg():
                members[name] = member.offset_data, member.size
        opened.seek(tar.offset)
    # tarfile takes a damaged header for the end
    if opened.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"{len(members):,} files and then no end marker")


def _next_start(opened: Any) -> int | None:
    """Return where the tar begins that was joined behind an end mark (`cat a.tar b.tar`), None where only zeros follow."""
    place = opened.tell()
    while block := opened.read(tarfile.RECORDSIZE):
        if block.strip(b"\0"):
            zeros = len(block) - len(block.lstrip(b"\0"))
            return place + zeros // tarfile.BLOCKSIZE * tarfile.BLOCKSIZE
        place += len(block)
    return None


def _distrusted(member: tarfile.TarInfo, path: PurePosixPath) -> str | None:
    if path.is_absolute() or ".." in path.parts:
        return "leads out of the tar"
    if member.size < 0 or member.issparse() or not (member.isreg() or member.isdir()):
        return "is no plain file but a link, a device or the like"
    return None
