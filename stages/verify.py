"""A cache -> what is wrong with it, after reading all of it."""

from pathlib import Path

import numpy as np

from ..pipeline.errors import AevlpError
from ..pipeline.score_cache import ScoreCache, open_cache
from .console import out, print_json
from .inspect import cached_settings


def run(path: Path, as_json: bool) -> None:
    """Print that the cache is whole; AevlpError that names every fault where it is not."""
    cache = open_cache(path)
    faults = find_faults(cache)
    if as_json:
        print_json({"path": str(path), "images": len(cache), "faults": faults})
    if faults:
        raise AevlpError(f"{path}: {'; '.join(faults)}")
    if not as_json:
        out.print(f"{path}: {len(cache):,} images, whole and consistent")


def find_faults(cache: ScoreCache) -> list[str]:
    """Return one sentence a fault: repeated ids, impossible labels, cosines or norms, codes that the cosines do not give."""
    faults: list[str] = []

    def expect(holds: bool | np.bool_, fault: str) -> None:
        if not holds:
            faults.append(fault)

    ok = cache.status == "ok"
    expect(len(np.unique(cache.ids)) == len(cache), "an image id stands twice")
    expect(np.isin(cache.split, ("train", "test")).all(), "a split is neither train nor test")
    expect(np.isin(cache.status, ("ok", "unreadable", "missing")).all(), "a status is not a known word")
    expect(np.isin(cache.observed, (-1, 0, 1)).all(), "an observed label is not -1, 0 or 1")
    truth = cache.truth
    if truth is not None:
        expect(np.isin(truth, (0, 1)).all(), "a true label is not 0 or 1")
        # Labels that were made wrong on purpose are no fault of the cache.
        on_purpose = "wrong" in str(cache.provenance["observation"])
        contradicted = ((cache.observed == 1) & (truth == 0)) | ((cache.observed == -1) & (truth == 1))
        expect(
            on_purpose or not contradicted.any(),
            f"{int(contradicted.any(axis=1).sum())} images have an observed label that is not true",
        )
    odd_cosines = odd_norms = odd_codes = ghosts = 0
    start = 0
    codes = cache.codes(cached_settings(cache))
    for rows in cache.rows():
        here = slice(start, start + len(rows))
        cosines = rows.similarity.astype(np.float32).reshape(len(rows), -1)
        norms = np.linalg.norm(rows.embedding.astype(np.float32), axis=-1)
        fine = ok[here]
        odd_cosines += int((~(np.abs(cosines[fine]) <= 1 + 1e-3).all(axis=1)).sum())
        odd_norms += int((~(np.abs(norms[fine] - 1) < 1e-2).all(axis=1)).sum())
        odd_codes += int((rows.code != codes[here]).any(axis=1).sum())
        ghosts += int((~np.isnan(cosines[~fine])).any(axis=1).sum())
        start = here.stop
    expect(odd_cosines == 0, f"{odd_cosines} images have a cosine that is not in [-1, 1]")
    expect(odd_norms == 0, f"{odd_norms} images have an embedding that is no unit vector")
    expect(odd_codes == 0, f"{odd_codes} images have codes that their cosines do not give")
    expect(ghosts == 0, f"{ghosts} images that could not be read have scores")
    return faults
