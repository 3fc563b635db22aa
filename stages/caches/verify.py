"""A cache -> what is wrong with it, after reading all of it once."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...pipeline.errors import AevlpError
from ...pipeline.score_cache import ScoreCache, open_cache, open_whole_cache
from ...pipeline.score_cache.consistency import row_faults
from ...pipeline.score_cache.schema import ROWS_A_BLOCK
from ..console import out, print_json, say
from .inspect import cached_settings

if TYPE_CHECKING:
    from .label_agreement import LabelAgreement

RANGES = 5  # of damaged rows that are named


def run(
    path: Path,
    as_json: bool,
    dataset: str | None = None,
    manifest: Path | Sequence[Path] | None = None,
    data_root: Path | None = None,
) -> None:
    """Print that the cache is whole; AevlpError that names every fault where it is not.

    It is compared with the data set that is asked for, or else with the one that it was made from, if that is still there.
    """
    try:
        cache = open_whole_cache(path) if path.suffix == ".h5" else open_cache(path)  # whose damage is looked for below
    except AevlpError as error:
        if as_json:
            print_json({"path": str(path), "images": None, "compared_with": None, "faults": [str(error)]})
        raise
    if not as_json:
        say(f"{path}: reading {len(cache):,} images")
    from .label_agreement import with_dataset

    agreement, note = with_dataset(cache, dataset, manifest, data_root)
    if not as_json:
        say(note)
    faults = find_faults(cache, agreement)
    if as_json:
        compared = None if agreement is None else {"dataset": agreement.name, "root": str(agreement.root)}
        print_json({"path": str(path), "images": len(cache), "compared_with": compared, "faults": faults})
    if faults:
        raise AevlpError(f"{path}: {'; '.join(faults)}")
    if not as_json:
        out.print(f"{path}: {len(cache):,} images, whole and consistent")


def find_faults(cache: ScoreCache, agreement: "LabelAgreement | None" = None) -> list[str]:
    """Return one sentence a fault: damage, repeated ids, impossible labels or numbers, codes that the numbers do not give.

    agreement: with the labels of a data set, where they are to be compared. Each block is read once; beyond one block, memory
    grows by a number an image.
    """
    faults = [*_header_faults(cache), *(agreement.class_faults() if agreement else ())]
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
        found = {**row_faults(cache.header, rows, settings), **(agreement.row_faults(rows) if agreement else {})}
        counts.update({fault: int(which.sum()) for fault, which in found.items()})
    faults += [f"{name} is not what was written in {_row_ranges(blocks, cache)}" for name, blocks in damaged.items()]
    faults += [fault.format(count) for fault, count in counts.items() if count]
    repeated = _repeated(cache, hashes)
    if repeated:
        more = f" and {len(repeated) - 1:,} more" if len(repeated) > 1 else ""
        faults.append(f"an image id stands twice: {repeated[0]!r}{more}")
    return faults


def _header_faults(cache: ScoreCache) -> Iterator[str]:
    header = cache.header
    if not cache.header_is_whole():
        yield "the header is not what was written"
    if len(set(header.classes)) < len(header.classes):
        yield "the header names a class twice"
    if len(header.prompts) != len(header.classes):
        yield f"the header has {len(header.prompts)} prompts for {len(header.classes)} classes"
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
