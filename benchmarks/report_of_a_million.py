"""The report of a cache of a million images and 80 classes: its seconds, its size, its peak memory.

Usage: python benchmarks/report_of_a_million.py [--rows 1000000] [--classes 80] [--pictures 1000] [--folder DIR] [--json FILE]
Needs twice the cache's size on disk, 12 GB by default: 17 views and 2 flips of random cosines, in which an image's classes stand
out. The images are hard links to generated pictures. `aevlp report` runs as on a shell. The page should stay under
15 MB and 60 seconds on 2 cores.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from generated import class_names, pictures, repeated
from measuring import Bench, new_file, positive, run
from memory import peak_of

from aevlp.pipeline.labels.damp import DampSettings, codes_from_scores, damp_scores
from aevlp.pipeline.labels.observation import NONE
from aevlp.pipeline.runtime.provenance import versions
from aevlp.pipeline.score_cache import CacheHeader, CacheRows, write_cache
from aevlp.pipeline.score_cache.schema import ROWS_A_BLOCK

VIEWS, FLIPS, WIDTH, DRAWN = 17, 2, 16, 8
METHOD = {"temperature": 0.02, "eta": 0.1, "threshold": 0.2, "top_k": 3, "negative_ratio": 0.5, "compat": "paper"}
MOST_BYTES, MOST_SECONDS = 15_000_000, 60


def header(rows: int, classes: int, root: Path) -> CacheHeader:
    names = class_names(classes)
    return CacheHeader(
        rows=rows,
        flips=FLIPS,
        views=VIEWS,
        width=WIDTH,
        storage="float16",
        classes=tuple(names),
        prompts=tuple(f"a photo of a {name}." for name in names),
        has_truth=True,
        provenance={
            "dataset": {
                "name": "million",
                "manifest": "",
                "root": str(root),
                "fingerprint": "0" * 64,
                "label_files": {},
            },
            "clip": {"model": "none", "weights": "random", "config": {}},
            "weights_sha256": "0" * 64,
            "activation": "gelu",
            "image_size": 224,
            "pixel_statistics": {"mean": [0.5] * 3, "std": [0.5] * 3},
            "resize": "none",
            "precision": "fp32",
            "method": {"grid": 4, **METHOD, "half": False},
            "simulate": NONE,
            "versions": versions(),
        },
    )


def blocks(rows: int, classes: int) -> Iterator[CacheRows]:
    """Yield all rows in blocks; numbers repeat after `DRAWN` blocks, names do not."""
    random = np.random.default_rng(0)
    settings = DampSettings(**METHOD)
    drawn = []
    for _ in range(DRAWN):
        truth = (random.random((ROWS_A_BLOCK, classes)) < min(0.5, 3 / classes)).astype(np.int8)
        truth[np.arange(ROWS_A_BLOCK), random.integers(classes, size=ROWS_A_BLOCK)] = 1
        observed = np.zeros_like(truth)
        observed[np.arange(ROWS_A_BLOCK), (truth * random.random(truth.shape)).argmax(axis=1)] = 1
        similarity = random.normal(0.2, 0.03, (ROWS_A_BLOCK, FLIPS, VIEWS, classes)) + 0.06 * truth[:, None, None]
        stored = similarity.astype(np.float16)
        score, ranking = damp_scores(stored.astype(np.float32).mean(axis=1), observed, settings)
        embedding = random.normal(size=(ROWS_A_BLOCK, FLIPS, WIDTH))
        embedding /= np.linalg.norm(embedding, axis=-1, keepdims=True)
        codes = codes_from_scores(score, ranking, settings)
        drawn.append((truth, observed, stored, embedding.astype(np.float16), score, codes))
    for number, start in enumerate(range(0, rows, ROWS_A_BLOCK)):
        own = range(start, min(start + ROWS_A_BLOCK, rows))
        truth, observed, similarity, embedding, score, code = (of[: len(own)] for of in drawn[number % DRAWN])
        yield CacheRows(
            ids=[f"photos/{n:07d}.jpg" for n in own],
            paths=[f"{n:07d}.jpg" for n in own],
            split=["train" if n < rows * 4 // 5 else "test" for n in own],
            status=["ok"] * len(own),
            reason=[""] * len(own),
            stamps=[f"{100_000 + n} {1_700_000_000_000_000_000 + n}" for n in own],
            truth=truth,
            observed=observed,
            similarity=similarity,
            embedding=embedding,
            view_embedding=None,
            score=score,
            code=code,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=positive, default=1_000_000)
    parser.add_argument("--classes", type=positive, default=80)
    parser.add_argument("--pictures", type=positive, default=1000)
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    parser.add_argument("--json", type=new_file, help="write the figures here")
    given = parser.parse_args()
    bench = Bench("report", f"of {given.rows:,} images and {given.classes:,} classes")
    if given.folder is not None:
        given.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        root, cache = Path(folder).absolute() / "images", Path(folder) / "million.h5"
        repeated(root, pictures(Path(folder) / "files", given.pictures), given.rows)
        write_cache(cache, header(given.rows, given.classes, root), blocks(given.rows, given.classes))
        own, _, seconds = peak_of(["report", str(cache.absolute())], Path(folder))
        size = cache.with_suffix(".report.html").stat().st_size
        bench.row("aevlp report", seconds=seconds, page_MB=size / 1e6, peak_MB=own)
        bench.note(f"the cache has {cache.stat().st_size / 1e9:.2f} GB")
    for what, found, most, unit in (("page", size, MOST_BYTES, "bytes"), ("report", seconds, MOST_SECONDS, "seconds")):
        bench.floor(
            f"the {what} has {found:,.0f} {unit}, {'within' if found < most else 'OVER'} the {most:,} it may have"
        )
    bench.finish()


if __name__ == "__main__":
    run(main)
