"""What tests make for themselves: random content for score caches, as `write_cache` takes it."""

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np

from aevlp.pipeline.labels.damp import DampSettings, codes_from_scores, damp_scores
from aevlp.pipeline.labels.single_positive import observe
from aevlp.pipeline.score_cache import CacheHeader, CacheRows

SETTINGS = DampSettings(temperature=0.1, eta=0.2, threshold=0.2, top_k=2, negative_ratio=0.3)


def random_cache(
    rows: int = 7,
    classes: int = 5,
    grid: int = 2,
    *,
    flips: int = 2,
    width: int = 4,
    storage: str = "float16",
    stores: str = "cosine",
    has_truth: bool = True,
    bad: int = 1,
    seed: int = 0,
) -> tuple[CacheHeader, CacheRows]:
    """Return the header and all rows of a cache that `aevlp verify` finds nothing wrong with.

    rows: N, the last third of them the test split. classes: C. grid: tiles a side. bad: how many of the rows are not "ok".
    stores: "cosine" or "embedding".
    """
    random = np.random.default_rng(seed)
    views = 1 + grid**2
    names = tuple(f"class_{n}" for n in range(classes))
    test = rows // 3
    truth = (random.random((rows, classes)) < 0.4).astype(np.int8)
    truth[np.arange(rows), random.integers(classes, size=rows)] = 1  # each image shows something
    observed = np.concatenate([observe(truth[: rows - test]), observe(truth[rows - test :])])

    text = _unit(random.normal(size=(classes, width))).astype(np.float32) if stores == "embedding" else None
    if text is None:
        similarity = random.uniform(-1, 1, (rows, flips, views, classes)).astype(storage)
        embedding = _unit(random.normal(size=(rows, flips, width))).astype(storage)
        seen = similarity.astype(np.float32)
    else:
        embedding = _unit(random.normal(size=(rows, flips, views, width))).astype(storage)
        seen = (embedding.astype(np.float32) @ text.T).clip(-1, 1)
        similarity = None
    score, ranking = damp_scores(seen.mean(axis=1), observed, SETTINGS)
    code = codes_from_scores(score, ranking, SETTINGS)

    status = ["ok"] * rows
    for n, row in enumerate(random.permutation(rows)[:bad]):
        status[row] = ("unreadable", "missing")[n % 2]
    not_ok = np.array([word != "ok" for word in status], dtype=bool)
    embedding[not_ok], score[not_ok], code[not_ok] = np.nan, np.nan, 0
    if similarity is not None:
        similarity[not_ok] = np.nan

    header = CacheHeader(
        rows=rows,
        flips=flips,
        views=views,
        width=width,
        storage=storage,
        classes=names,
        prompts=tuple(f"a photo of a {name.replace('_', ' ')}." for name in names),
        has_truth=has_truth,
        provenance=_provenance(grid, seed),
        text=text,
    )
    content = CacheRows(
        ids=[f"image_{n:04d}.jpg" for n in range(rows)],
        paths=[f"images/image_{n:04d}.jpg" for n in range(rows)],
        split=["train"] * (rows - test) + ["test"] * test,
        status=status,
        reason=["" if word == "ok" else f"images/image_{n:04d}.jpg: {word}" for n, word in enumerate(status)],
        stamps=["" if word == "missing" else f"{1000 + n} {10**18 + n}" for n, word in enumerate(status)],
        truth=truth if has_truth else None,
        observed=observed,
        similarity=similarity,
        embedding=embedding if text is None else None,
        view_embedding=None if text is None else embedding,
        score=score,
        code=code,
    )
    return header, content


def blocks(content: CacheRows, size: int) -> Iterator[CacheRows]:
    """Yield the rows in blocks of `size`, as a scorer does."""
    for start in range(0, len(content), size):
        here = slice(start, start + size)
        columns = {f.name: getattr(content, f.name) for f in fields(content)}
        yield replace(content, **{name: None if v is None else v[here] for name, v in columns.items()})


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _provenance(grid: int, seed: int) -> dict[str, Any]:
    method = {"grid": grid, **{f.name: getattr(SETTINGS, f.name) for f in fields(SETTINGS)}}
    return {
        "dataset": {
            "name": "fake",
            "manifest": "",
            "root": "data/fake",
            "fingerprint": "0" * 64,
            "label_files": {"labels.csv": "2" * 64},
        },
        "clip": {
            "model": "fake",
            "weights": "random",
            "config": {"embed_dim": 4},
            "mean": [0.5, 0.5, 0.5],
            "std": [0.25, 0.25, 0.25],
            "activation": "QuickGELU",
            "interpolation": None,
            "resize_mode": None,
        },
        "weights_sha256": "1" * 64,
        "activation": "QuickGELU",
        "image_size": 32,
        "pixel_statistics": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "source": "assumed"},
        "resize": "stretched to a square, antialiased bilinear, Pillow",
        "decoder": "pillow",
        "tower": "torch",
        "prompt": ["a photo of a {}."],
        "text_graph": "none",
        "method": method,
        "simulate": {"regime": "single-positive", "seed": 1200},
        "precision": "fp32",
        "seed": seed,
        "versions": {"aevlp": "0"},
        "logits": {"scale": 100.0, "bias": None},
    }
