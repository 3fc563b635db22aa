"""Images of which nobody said a split -> a split for each, by the hash of its file: one that is there never moves.

A file that was put in its split before, and is of the same version since, is not read again.
"""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path

import numpy as np

from ..errors import AevlpError
from ..files.stamps import content_sha256, file_identity, require_files_own, stamp_of_identity
from ..labels.splits import SPLITS
from ..manifest.formats import DatasetSpec
from .image_table import Listing, Listings

_READERS = 8  # files read at a time
WHOLE = 1 << 64  # places of images are below
# Of a path its identity and hash: a process reads its data set several times.
_HASHES: dict[str, tuple[tuple[int, str], str]] = {}

Placed = Mapping[str, tuple[str, str]]


def divided(spec: DatasetSpec, root: Path, listings: Listings, shares: dict[str, float], placed: Placed) -> Listings:
    """Return the listings with the images of the training split, the only one, in splits of these shares.

    placed: as for `split_by_content`. Raises AevlpError where the data set says itself which split its images are of.
    """
    if said := [split for split, part in listings.splits.items() if split != "train" and part.ids]:
        raise AevlpError(
            f"{spec.name}: `split_by` is for images of which nobody said a split, and {root} has a {said[0]} split: leave "
            f"`split_by` out"
        )
    part = listings.splits["train"]
    names = split_by_content(part.paths, part.ids, shares, placed)
    listings.splits = {split: _rows(part, np.flatnonzero(names == split)) for split in SPLITS if split in shares}
    return listings


def split_by_content(
    paths: Sequence[Path], ids: Sequence[str], shares: dict[str, float], placed: Placed | None = None
) -> np.ndarray:
    """Return for each image its split, (n,) str, by the SHA-256 of its bytes; of one that is not there, of its id.

    shares: of splits, in the order of `SPLITS`, 1 together. Equal files are in one split. placed: of some images, by id, the
    stamp of the file when it was put in a split by these shares, and that split: there it stays while the stamp is the same, and
    when the file is gone. Raises AevlpError where the machine, its disk or a store does not give a file that is there.
    """
    settled = [_settled(path, (placed or {}).get(name), shares) for path, name in zip(paths, ids, strict=True)]
    rest = [number for number, split in enumerate(settled) if split is None]
    places = places_by_content([paths[number] for number in rest], [ids[number] for number in rest])
    for number, split in zip(rest, split_at(places, shares).tolist(), strict=True):
        settled[number] = split
    return np.array(settled, dtype=str)


def _settled(path: Path, before: tuple[str, str] | None, shares: dict[str, float]) -> str | None:
    """Return the split that an image was put in before, if its file is the same or gone; None where its content decides."""
    if before is None or before[1] not in shares:
        return None
    identity = file_identity(path)
    return before[1] if identity is None or stamp_of_identity(identity) == before[0] else None


def places_by_content(paths: Sequence[Path], ids: Sequence[str]) -> list[int]:
    """Return for each image a number from 0 to 2**64 - 1, which its file's bytes decide; raises as `split_by_content`."""
    with ThreadPoolExecutor(_READERS) as threads:
        return list(threads.map(_place, paths, ids))


def split_at(places: Sequence[int], shares: dict[str, float]) -> np.ndarray:
    """Return for each image its split, (n,) str, by the number that `places_by_content` gave it."""
    edges = [round(edge * WHOLE) for edge in accumulate(shares.values())]
    found = [next((n for n, edge in enumerate(edges) if place < edge), len(edges) - 1) for place in places]
    return np.array(list(shares), dtype=str)[found] if found else np.array([], dtype=str)


def _place(path: Path, name: str) -> int:
    """Return a number from 0 to 2**64 - 1 that only the image's content decides."""
    digest = _content_hash(path) or hashlib.sha256(name.encode()).hexdigest()
    return int(digest[:16], 16)


def _content_hash(path: Path) -> str | None:
    """Return the hash of a file as it is now, None where it is not there or may not be read."""
    identity = file_identity(path)
    if identity is None:
        return None
    known = _HASHES.get(str(path))
    if known is not None and known[0] == identity:
        return known[1]
    try:
        digest = content_sha256(path)
    except OSError as error:
        require_files_own(path, error)
        return None
    _HASHES[str(path)] = identity, digest
    return digest


def _rows(part: Listing, rows: np.ndarray) -> Listing:
    sizes = part.sizes
    return Listing(
        [part.ids[n] for n in rows],
        [part.paths[n] for n in rows],
        part.labels[rows],
        None if part.observed is None else part.observed[rows],
        None if sizes is None else lambda: sizes()[rows],
    )
