"""A cache -> what it holds, what made it, and how good its pseudo-labels are."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.errors import AevlpError
from ...pipeline.evaluation.metrics import PseudoLabelQuality, pseudo_label_quality
from ...pipeline.labels.codes import NEGATIVE, POSITIVE
from ...pipeline.labels.damp import DampSettings
from ...pipeline.labels.splits import SPLITS
from ...pipeline.manifest.pixel_statistics import written
from ...pipeline.score_cache import ScoreCache, open_whole_cache
from ..console import out, print_json, print_table


def run(path: Path, as_json: bool) -> None:
    """Print content, provenance and, where truth is known, the quality of whole-image and multi-focus pseudo-labels."""
    cache = open_whole_cache(path)
    settings = cached_settings(cache)
    codes = cache.codes(settings)
    judged = {split: qualities(cache, split, settings) for split in SPLITS if (cache.split == split).any()}
    statuses = Counter(cache.status.tolist())
    result: dict[str, Any] = {
        "path": str(path),
        "images": len(cache),
        "split": dict(Counter(cache.split.tolist())),
        "status": dict(statuses),
        "classes": cache.classes,
        "prompts": cache.prompts,
        "flips": cache.header.flips,
        "views": cache.header.views,
        "embedding_width": cache.header.width,
        "store": cache.header.stores,
        "storage": cache.header.storage,
        "truth": cache.truth is not None,
        "observed_positives": int((cache.observed == POSITIVE).sum()),
        "pseudo_positives": int((codes == POSITIVE).sum()),
        "pseudo_negatives": int((codes == NEGATIVE).sum()),
        "quality": {
            split: {name: dataclasses.asdict(quality) for name, quality in kinds.items()}
            for split, kinds in judged.items()
            if kinds
        },
        "provenance": cache.provenance,
        "fingerprint": cache.fingerprint,
    }
    if as_json:
        print_json(result)
        return
    made = cache.provenance
    method = _listed(made["method"])
    content = [
        ("images", f"{len(cache):,} ({', '.join(f'{n:,} {s}' for s, n in result['split'].items())})"),
        ("status", ", ".join(f"{n:,} {s}" for s, n in statuses.items())),
        ("classes", f"{len(cache.classes)}: {_shortened(cache.classes)}"),
        (f"{cache.header.stores}s", f"{cache.header.views} views, {cache.header.flips} flips, {cache.header.storage}"),
        ("observed", f"{result['observed_positives'] / len(cache):.2f} positives an image"),
        (
            "pseudo-labels",
            f"{result['pseudo_positives'] / len(cache):.2f} positives and "
            f"{result['pseudo_negatives'] / len(cache):.2f} negatives an image",
        ),
        ("method", method),
        ("model", f"{made['clip']['model']}, {made['activation']}, {made['image_size']} px, {made['precision']}"),
        ("pixels", _fed(made["pixel_statistics"])),
        ("views", f"{made['resize']}, decoded by {made.get('decoder', 'pillow')}"),
        ("tower", made.get("tower", "torch")),
        ("weights", f"{made['clip']['weights'] or 'its own'} (SHA-256 {made['weights_sha256'][:16]}…)"),
        ("prompts", _shortened([f"{prompt!r}" for prompt in cache.prompts], 3)),
        ("text graph", _listed(made.get("text_graph", "none"))),
        ("observed by", _listed(made["observation"])),
        ("data", f"{made['dataset']['name']}, fingerprint {made['dataset']['fingerprint'][:16]}…"),
        ("versions", ", ".join(f"{k} {v}" for k, v in made["versions"].items())),
    ]
    print_table(str(path), ("", ""), content)
    print_quality(judged)
    for reason in [r for r in cache.reason.tolist() if r][:5]:
        out.print(f"not scored: {reason}", markup=False)


def cached_settings(cache: ScoreCache) -> DampSettings:
    """Return the constants that the cache's own scores and codes were made with."""
    method = {k: v for k, v in cache.provenance["method"].items() if k != "grid"}
    try:
        return DampSettings(**method)
    except TypeError as error:
        raise AevlpError(f"{cache.path}: its method is not one that this version knows: {method}") from error


def qualities(cache: ScoreCache, split: str, settings: DampSettings) -> dict[str, PseudoLabelQuality]:
    """Return the quality of pseudo-labels from the whole image alone and from all views; empty where truth is unknown."""
    if cache.truth is None:
        return {}
    rows = (cache.split == split) & (cache.status == "ok")
    kinds = {"whole image": slice(1), "multi-focus": slice(None)}
    return {
        name: pseudo_label_quality(
            cache.codes_of_views(settings, views)[rows], cache.observed[rows], np.asarray(cache.truth)[rows]
        )
        for name, views in kinds.items()
    }


def print_quality(judged: dict[str, dict[str, PseudoLabelQuality]]) -> None:
    """Print the table of qualities, in percent."""
    rows = [
        (
            split,
            name,
            _percent(q.precision, q.positives),
            _percent(q.recall, q.hidden),
            _percent(q.f1, q.positives),
            _percent(q.negative_precision, q.negatives),
        )
        for split, kinds in judged.items()
        for name, q in kinds.items()
    ]
    if rows:
        header = ("split", "views", "precision", "recall", "F1", "negatives' precision")
        print_table("Pseudo-labels on what nobody observed (%)", header, rows, right=(2, 3, 4, 5))


def _percent(ratio: float, of: int) -> str:
    return f"{100 * ratio:.1f}" if of else "-"


def _fed(statistics: dict[str, Any]) -> str:
    source = f" ({statistics['source']})" if "source" in statistics else ""
    return f"mean {written(statistics['mean'])}, std {written(statistics['std'])}{source}"


def _shortened(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


def _listed(values: dict[str, Any] | str) -> str:
    if isinstance(values, str):
        return values
    return ", ".join(f"{key} {value}" for key, value in values.items() if not key.endswith("sha256"))
