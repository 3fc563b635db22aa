"""An .h5 cache that another program had opened for writing and left -> the cache, where its content still is what was written."""

import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

from ..errors import AevlpError, Notice
from ..files.atomic_write import replacing
from . import hdf5
from .open_elsewhere import AsClosed, close_again, closed_superblock, require_free
from .reader import ScoreCache

SECONDS, BYTES_A_SECOND = 60, 1e7  # within which any sound file is read


def recovered(path: Path) -> hdf5.Source | None:
    """Make a cache on the local disk readable, and say so in a Notice; return what opens it, None where its path is enough.

    Where its bytes are those that were written, but for HDF5's note that it is open for writing, the note is taken back, or
    passed over where the file cannot be written to. Where other bytes have changed but all checksums of the content agree, the
    cache is written anew. Raises UnreadableNow where another program has it open still, AevlpError where its content has changed.
    """
    require_free(path)
    superblock = closed_superblock(path)
    if superblock is None:
        return None
    seen, source = path.stat(), partial(AsClosed, path, superblock)
    left = f"{path} was opened for writing by a program that has ended without closing it"
    if hdf5.is_sealed(path, source):
        closed = close_again(path, superblock, seen)
        what = "it is closed now" if closed else "it is read as it was before, as it cannot be written to"
        warnings.warn(f"{left}; its bytes are those that were written, and {what}", Notice, stacklevel=2)
        return None if closed else source
    fault = _fault_of_content(path)
    if fault:
        raise AevlpError(
            f"{left}, and it is not what was written any more: {fault}; take a copy that is whole, or score the images again"
        )
    with replacing(path) as temporary:
        cache = ScoreCache(path, hdf5.Hdf5Store(path, source))
        hdf5.write(temporary, cache.header, cache.rows())
    warnings.warn(f"{left}; its content agrees with its checksums, and it was written anew", Notice, stacklevel=2)
    return None


def _fault_of_content(path: Path) -> str:
    """Return what is wrong with the content of a cache that was left; "" where all of it agrees with its checksums.

    A process of its own reads it, because HDF5 can hang on damaged bytes.
    """
    program = f"import sys; from {__name__} import check_content; check_content(sys.argv[1])"
    limit = SECONDS + path.stat().st_size / BYTES_A_SECOND
    try:
        asked = subprocess.run(
            [sys.executable, "-c", program, str(path.absolute())], capture_output=True, encoding="utf-8", timeout=limit
        )
    except subprocess.TimeoutExpired:
        return "HDF5 does not come to an end of it"
    return "" if asked.returncode == 0 else asked.stdout.strip() or f"HDF5 ended with exit code {asked.returncode}"


def check_content(place: str) -> None:
    """Exit with 1, and what is wrong on standard output, where a cache that was left is not what its checksums say."""
    path = Path(place)
    superblock = closed_superblock(path)
    try:
        source = None if superblock is None else partial(AsClosed, path, superblock)
        for _ in ScoreCache(path, hdf5.Hdf5Store(path, source)).rows():
            pass
    except AevlpError as error:
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
        print(error)
        sys.exit(1)
