"""Test predictions of a run -> the pictures that it ranks worst and best."""

from pathlib import Path

import numpy as np

from ...pipeline.evaluation.metrics import average_precision
from ...pipeline.score_cache import ScoreCache
from .section import Picture, Pictures
from .thumbnails import Thumbnails

SHOWN = 8


def best_and_worst(
    cache: ScoreCache, rows: np.ndarray, probabilities: np.ndarray, positive: np.ndarray, root: Path
) -> list[Pictures]:
    """Return the test images whose classes are ranked worst, and best of those that show several.

    probabilities, positive: (n, C) of the rows (n,). An image is judged by the average precision of its classes; of images that
    are ranked alike those come first where the classes that are there and that are not are least, or most, apart.
    """
    shows = np.flatnonzero(positive.any(axis=1) & ~positive.all(axis=1))
    if not len(shows):
        return []
    ranked = average_precision(probabilities[shows].T, positive[shows].T)
    lowest = np.where(positive[shows], probabilities[shows], np.inf).min(axis=1)
    highest = np.where(positive[shows], -np.inf, probabilities[shows]).max(axis=1)
    order = np.lexsort((lowest - highest, ranked))
    several = positive[shows][order].sum(axis=1) > 1
    best = order[several][::-1][:SHOWN] if several.any() else order[::-1][:SHOWN]
    thumbnails = Thumbnails(root if root.is_dir() else None, upright=cache.provenance["method"]["compat"] == "paper")
    made = [
        (
            "Worst pictures",
            "Test images whose classes it ranks worst: what is there, and what it says instead.",
            order[:SHOWN],
        ),
        ("Best pictures", "Test images with several classes that it ranks best.", best),
    ]
    return [
        Pictures(
            title,
            caption,
            [_picture(cache, thumbnails, int(rows[n]), probabilities[n], positive[n]) for n in shows[places].tolist()],
        )
        for title, caption, places in made
    ]


def _picture(
    cache: ScoreCache, thumbnails: Thumbnails, row: int, probabilities: np.ndarray, positive: np.ndarray
) -> Picture:
    there = [cache.classes[c] for c in np.flatnonzero(positive)]
    top = np.argsort(-probabilities, kind="stable")[: max(3, len(there))]
    said = ", ".join(f"{cache.classes[c]} {probabilities[c]:.2f}" for c in top)
    [thumbnail] = thumbnails.of([str(cache.paths[row])])
    known = "shows" if cache.truth is not None else "observed"
    lines = [f"{known}: {', '.join(there)}", f"predicted: {said}"]
    if thumbnail.reason:
        lines.append(thumbnail.reason)
    return Picture(thumbnail.jpeg, f"{cache.ids[row]}, {known}: {', '.join(there)}", lines)
