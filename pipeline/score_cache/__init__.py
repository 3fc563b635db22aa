"""The cache of scores: one .h5 file or one .parquet folder, the same object to its readers. cache/README.md describes it."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from ..atomic_write import replacing
from ..errors import AevlpError
from . import hdf5, parquet
from .reader import ScoreCache
from .schema import CacheHeader, CacheRows

__all__ = ["CacheHeader", "CacheRows", "ScoreCache", "check_suffix", "open_cache", "remove_cache", "write_cache"]


def open_cache(path: Path | str) -> ScoreCache:
    """Return the cache at `path`; AevlpError where it is missing, damaged or not a cache."""
    path = check_suffix(Path(path))
    if not path.exists():
        raise AevlpError(f"no cache {path}: make it with aevlp pseudolabel --dataset NAME --cache {path}")
    if path.suffix == ".h5":
        return ScoreCache(path, hdf5.Hdf5Store(path))
    if not path.is_dir():
        raise AevlpError(f"{path}: a .parquet cache is a folder of Parquet files, found a file")
    return ScoreCache(path, parquet.ParquetStore(path))


def write_cache(path: Path | str, header: CacheHeader, rows: Iterable[CacheRows]) -> None:
    """Write a cache at `path`, whole or not at all, replacing what is there; the suffix chooses the format.

    rows: header.rows of them in all, in parts of any size. What was written is read again and compared with its checksums
    before it takes the place. Raises AevlpError where it cannot be written, or the number of rows is another.
    """
    path = check_suffix(Path(path))
    with replacing(path) as temporary:
        if path.suffix == ".h5":
            hdf5.write(temporary, header, rows)
            written = ScoreCache(path, hdf5.Hdf5Store(temporary))
        else:
            parquet.write(temporary, header, rows)
            written = ScoreCache(path, parquet.ParquetStore(temporary))
        for _ in written.rows():
            pass


def remove_cache(path: Path) -> None:
    """Delete a cache, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def check_suffix(path: Path) -> Path:
    """Return the path; AevlpError unless it ends in .h5 or .parquet."""
    if path.suffix not in (".h5", ".parquet"):
        raise AevlpError(f"{path}: a cache is a .h5 file or a .parquet folder")
    return path
