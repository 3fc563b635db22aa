"""A cache in a remote store: made on the local disk and uploaded when it is whole, copied to the local disk to be read."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock

from ..errors import AevlpError
from ..files.atomic_write import replacing
from ..files.locations import RemoteError, RemotePath, forget_listings, local_place
from .containers import container_of


def check_writable(target: Path) -> None:
    """Raise AevlpError where a remote store does not take a file beside `target`; nothing is asked of the local disk."""
    if not isinstance(target, RemotePath):
        return
    if len(target.parts) < 3:
        raise AevlpError(f"{target} is a whole bucket: name the cache in it, such as {target}/cache.h5")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "probe"
        file.write_bytes(b"aevlp")
        probe = target.with_name(f".{target.name}.{os.getpid()}.probe")
        probe.upload(file)
        probe.remove()


@contextmanager
def uploading(target: RemotePath) -> Iterator[Path]:
    """Give a temporary local path to write a cache at, and upload what stands there afterwards in the place of `target`.

    Where the store does not take all of it, RemoteError says where the whole cache is kept.
    """
    local = local_place(target)
    with replacing(local) as temporary:
        yield temporary
    try:
        if local.is_dir():
            target.remove()  # first: a mixture of old and new files might be taken for whole
            for file in sorted(local.iterdir()):
                (target / file.name).upload(file)
        else:
            target.upload(local)
    except RemoteError as error:
        raise RemoteError(f"{error}; the whole cache is kept in {local}") from error
    remove_local(local)


def remove_local(path: Path) -> None:
    """Delete a file or a folder of the local disk, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def on_disk(source: Path) -> Path:
    """Return where a cache can be read: of a remote one a local copy, made unless there is one of what the store has now.

    Copies are below $XDG_CACHE_HOME/aevlp, or ~/.cache/aevlp; those of what the store had before are deleted.
    """
    if not isinstance(source, RemotePath):
        return source
    copies = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aevlp" / _hash(str(source))
    try:
        copies.mkdir(parents=True, exist_ok=True)
        with FileLock(copies / "lock"):
            files = _files(source)
            if not files and not source.is_dir():
                raise AevlpError(f"no cache {source}")
            copy = copies / _hash(json.dumps([(str(file), *files[file]) for file in sorted(files)])) / source.name
            if copy.exists() and all(stamp for _, stamp in files.values()):
                return copy
            with replacing(copy) as temporary:
                if source not in files:
                    temporary.mkdir()
                for file in files:
                    file.download(temporary if file == source else temporary / file.name)
                if _files(source) != files:
                    raise RemoteError(f"{source} was written anew while it was fetched: run again")
            for older in copies.iterdir():
                if older.is_dir() and older != copy.parent:
                    shutil.rmtree(older)
    except OSError as error:
        raise AevlpError(f"cannot copy {source} to {copies}: {error.strerror or error}") from error
    return copy


def _files(source: RemotePath) -> dict[RemotePath, tuple[int, str]]:
    """Return the files of a cache as they are now, each with what tells it from others: one, or those of a folder."""
    forget_listings()
    files = container_of(source).files
    found = {path: path.identity() for path in (source, *(source.glob(files) if files else ()))}
    return {path: identity for path, identity in found.items() if identity is not None}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
