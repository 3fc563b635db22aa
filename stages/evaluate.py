"""A run folder and a split -> metrics."""

from pathlib import Path

import numpy as np

from ..pipeline.device import find_device
from ..pipeline.errors import AevlpError
from ..pipeline.metrics import average_precision
from ..pipeline.score_cache import open_cache
from ..pipeline.training_loop import autocast
from .console import out, print_json, print_table
from .run_folder import RunFolder
from .train import classifier_inputs, data_root, judged, splits


def run(
    path: Path,
    split: str,
    cache_path: Path | None,
    root: Path | None,
    device_name: str | None,
    workers: int,
    as_json: bool,
) -> None:
    """Print mean and per-class average precision of a run's best weights on "train", "val" or "test"."""
    folder = RunFolder(path)
    settings = folder.settings()
    classifier, architecture, description = folder.load_best()
    used = cache_path or Path(settings["cache"])
    if not used.exists():
        raise AevlpError(f"no cache {used}, which {path} was trained from: if it has moved, pass it as --cache")
    cache = open_cache(used)
    if cache.fingerprint != description["cache_fingerprint"]:
        raise AevlpError(
            f"{cache.path} is not the cache that {path} was trained from: its images, labels or settings differ; "
            f"pass the right one as --cache"
        )
    device = find_device(device_name)
    train, val, test = splits(cache, settings["recipe"]["val_fraction"])
    part = {"train": train, "val": val, "test": test}[split]
    if not len(part.rows):
        raise AevlpError(f"{cache.path} holds no readable image of the split {split}")
    images = root or Path(settings["data_root"])
    if architecture.backbone != "linear":
        images = data_root(cache, images)
    inputs = classifier_inputs(architecture, cache, images, device, workers)
    logits = judged(classifier.to(device), inputs, part.rows, autocast(device, None))
    precision = average_precision(logits, part.truth)
    positives = (part.truth == 1).sum(axis=0)
    result = {
        "run": str(path),
        "split": split,
        "images": len(part.rows),
        "map": float(precision.mean()),
        "judged_by": "observed" if cache.truth is None else "truth",
        "classes": {
            name: {"average_precision": float(ap), "positives": int(n)}
            for name, ap, n in zip(cache.classes, precision, positives, strict=True)
        },
    }
    if as_json:
        print_json(result)
        return
    rows = [
        (name, f"{n:,}", f"{100 * ap:.2f}" if n else "0.00 (no positive)")
        for name, ap, n in zip(cache.classes, precision, positives, strict=True)
    ]
    print_table(f"{path} on {split}", ("class", "positives", "AP"), rows, right=(1, 2))
    against = " against observed labels, the full truth is not known" if cache.truth is None else ""
    without = int(np.count_nonzero(positives == 0))
    note = f"; {without} classes without a positive count 0" if without else ""
    out.print(f"mAP [bold]{100 * result['map']:.2f}[/bold] on {len(part.rows):,} images{against}{note}")
