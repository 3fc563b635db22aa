"""A cache -> what is wrong with it, after reading all of it once."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.errors import AevlpError, counted
from ...pipeline.score_cache import CacheRows, ScoreCache, open_to_verify
from ...pipeline.score_cache.consistency import row_faults
from ...pipeline.score_cache.schema import ROWS_A_BLOCK
from ..cache_origin import Origin, data_root, dataset_of, origin_of
from ..console import out, say
from ..declaration import takes
from ..results import Report
from .inspect import cached_settings
from .options import VerifyOptions

RANGES = 5  # of damaged rows that are named


@dataclass(frozen=True, repr=False)
class CacheFaults(Report):
    """What is wrong with a cache, a sentence each, in a row each.

    images: None where it cannot be read. compared_with: its data set and the folder of that.
    """

    path: Path
    images: int | None
    compared_with: tuple[str, str] | None
    faults: list[str]

    @property
    def rows(self) -> Sequence[dict[str, Any]]:
        """The faults."""
        return [{"fault": fault} for fault in self.faults]

    @property
    def columns(self) -> Sequence[str]:
        """The names of the columns, also where nothing is wrong."""
        return ("fault",)

    @property
    def failed(self) -> str:
        """All that is wrong, as a line; empty where nothing is."""
        told = "" if self.images is None else f"{self.path}: "
        return f"{told}{'; '.join(self.faults)}" if self.faults else ""

    def summary(self) -> dict[str, Any]:
        """Return the cache, its images, and how much is wrong."""
        return {"cache": self.path, "images": self.images, "faults": len(self.faults)}

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        compared = self.compared_with and dict(zip(("dataset", "root"), self.compared_with, strict=True))
        return {"path": str(self.path), "images": self.images, "compared_with": compared, "faults": self.faults}


@takes(VerifyOptions)
def verify(options: VerifyOptions) -> CacheFaults:
    """Read a cache from end to end, and return every fault of it.

    It is compared with the data set that is asked for, or else with the one that it was made from, if that is still there.
    Raises AevlpError where one that is asked for cannot be read.
    """
    path = options.cache
    try:
        cache = open_to_verify(path)
    except AevlpError as error:
        return CacheFaults(path, None, None, [str(error)])
    say(f"{path}: reading {counted(len(cache), 'image')}")
    origin, note = _origin(cache, options.dataset, options.manifest, options.data_root)
    say(note)
    compared = None if origin is None else (origin.name, str(origin.root))
    return CacheFaults(path, len(cache), compared, find_faults(cache, origin))


def show(found: CacheFaults) -> None:
    """Print that a cache is whole, if it is; what is wrong is the command's error."""
    if not found.faults:
        out.print(f"{found.path}: {counted(found.images or 0, 'image')}, whole and consistent")


def find_faults(cache: ScoreCache, origin: Origin | None = None) -> list[str]:
    """Return one sentence a fault: damage, repeated ids, impossible labels or numbers, codes that the numbers do not give.

    origin: the data set with which images and labels are compared, if they are. Each block is read once; beyond one block, memory
    grows by a number an image.
    """
    faults = [*_header_faults(cache), *(_class_faults(cache, origin) if origin else ())]
    settings = None
    try:
        settings = cached_settings(cache)
    except AevlpError as error:
        faults.append(str(error))
    damaged: dict[str, list[int]] = {}
    counts: Counter[str] = Counter()
    hashes: dict[int, np.ndarray] = {}
    for number in range(cache.blocks):
        try:
            rows = cache.block(number)
        except AevlpError as error:
            faults.append(str(error))
            continue
        hashes[number] = np.array([hash(name) for name in rows.ids])
        for name in cache.damaged(number, rows):
            damaged.setdefault(name, []).append(number)
        found = {**row_faults(cache.header, rows, settings), **(_unlike(rows, origin) if origin else {})}
        counts.update({fault: int(which.sum()) for fault, which in found.items()})
    faults += [f"{name} is not what was written in {_row_ranges(blocks, cache)}" for name, blocks in damaged.items()]
    faults += [fault.format(count) for fault, count in counts.items() if count]
    repeated = _repeated(cache, hashes)
    if repeated:
        more = f" and {len(repeated) - 1:,} more" if len(repeated) > 1 else ""
        faults.append(f"an image id stands twice: {repeated[0]!r}{more}")
    return faults


def _origin(
    cache: ScoreCache, name: str | None, manifest: Path | Sequence[Path] | None, root: Path | None
) -> tuple[Origin | None, str]:
    """Return the data set that is asked for, or the one a cache was made from, and a line that says with what it is compared.

    None where nothing is asked for and the data set is not there any more. Raises AevlpError where one that is asked for
    cannot be read.
    """
    try:
        spec = dataset_of(cache, name, manifest)
        folder = data_root(cache, root)
        return origin_of(cache, spec, folder), f"compared with {spec.name} in {folder}"
    except AevlpError as error:
        if name or manifest or root:
            raise
        return None, f"not compared with its data set: {error}"


def _class_faults(cache: ScoreCache, origin: Origin) -> list[str]:
    """Return what is wrong with the cache's classes: all of them, unless it was selected from or made for others."""
    vocabulary = cache.provenance.get("vocabulary")
    if vocabulary is None and cache.classes != list(origin.images.classes):
        return [f"its classes are not those of {origin.name}"]
    strange = [name for name in cache.classes if name not in origin.images.classes]
    if vocabulary == "selected" and strange:
        return [f"{origin.name} has no class {strange[0]!r}"]
    return []


def _unlike(rows: CacheRows, origin: Origin) -> dict[str, np.ndarray]:
    """Return of each way to differ from the data set, a sentence with {} for the number of images, which rows do, (n,) bool."""
    found, name = origin.compared(rows), origin.name
    ok = np.array([status == "ok" for status in rows.status], dtype=bool)
    untold = np.full(len(rows), rows.truth is not None and found.now.truth is None)
    return {
        f"{{}} images are not listed in {name} (aevlp cache append --prune drops them)": ~found.listed,
        f"{{}} images have another path in {name}": found.moved,
        f"{{}} images are in another split of {name}": found.split,
        f"{{}} images have another size in {name} than when they were scored": ok & found.resized,
        f"{{}} images have other observed labels in {name}": found.observed,
        f"{{}} images have other true labels in {name}": found.listed & (found.truth | untold),
    }


def _header_faults(cache: ScoreCache) -> Iterator[str]:
    header = cache.header
    if not cache.header_is_whole():
        yield "the header is not what was written"
    if len(set(header.classes)) < len(header.classes):
        yield "the header names a class twice"
    if len(header.prompts) != len(header.classes):
        yield f"the header has {len(header.prompts)} prompts for {counted(len(header.classes), 'class', 'classes')}"
    if header.text is not None and not (np.abs(np.linalg.norm(header.text, axis=1) - 1) < 1e-2).all():
        yield "the header has a prompt whose vector is no unit vector"
    odd = [name for name, digests in cache.checksums.items() if name != "header" and len(digests) != cache.blocks]
    if odd:
        yield f"the checksums of {', '.join(odd)} are of another number of rows"


def _row_ranges(blocks: list[int], cache: ScoreCache) -> str:
    """Return which rows stand in blocks with these ascending numbers, the first few ranges of them."""
    breaks = np.flatnonzero(np.diff(blocks) > 1) + 1
    ranges = [
        f"{part[0] * ROWS_A_BLOCK:,} to {min((part[-1] + 1) * ROWS_A_BLOCK, len(cache)) - 1:,}"
        for part in np.split(np.array(blocks), breaks)
    ]
    return f"rows {', '.join(ranges[:RANGES])}{', …' if len(ranges) > RANGES else ''}"


def _repeated(cache: ScoreCache, hashes: dict[int, np.ndarray]) -> list[str]:
    """Return the ids that stand more than once; only where hashes of ids, of each block, are equal are ids read again."""
    if not hashes:
        return []
    distinct, times = np.unique(np.concatenate(list(hashes.values())), return_counts=True)
    suspects = distinct[times > 1]
    names: Counter[str] = Counter()
    for number, of_block in hashes.items():
        hits = np.flatnonzero(np.isin(of_block, suspects))
        if len(hits):
            start = number * ROWS_A_BLOCK
            ids = cache.text("ids", slice(start, start + len(of_block)))
            names.update(ids[hit] for hit in hits)
    return [name for name, count in names.items() if count > 1]
