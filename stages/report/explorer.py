"""A cache -> the interactive part of its report: a sample of its images that sliders relabel, and a gallery of each class."""

import base64
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.errors import counted
from ...pipeline.labels.splits import SPLITS
from ...pipeline.runtime.seeding import derive
from ...pipeline.score_cache import ScoreCache
from ...pipeline.score_cache.provenance import views_of
from ...pipeline.score_cache.schema import ROWS_A_BLOCK
from ..caches.inspect import cached_settings
from .drawn_rows import drawn_rows
from .gallery import Looked, chosen, looked
from .section import Explorer, Section, Text
from .thumbnails import Thumbnails

LOOKED = 40_000  # images that the gallery is chosen from
NUMBERS = 1 << 27  # cosines that are read for that
COSINES = 1 << 20  # that are embedded, of 4 bytes each
IMAGES = 5_000  # that are embedded
GALLERY = 400  # pictures that the classes of the gallery have together, where each has a few of each kind
PICTURES = 700  # thumbnails, those of the gallery first
PICTURE_BYTES = 5_000_000  # of thumbnails; where there are as many, no more are made
CHUNK = 32  # thumbnails between two looks at how many bytes they have


@dataclass(frozen=True)
class Sample:
    """The images that are embedded, as places in `Looked.rows`. places: those drawn, in order, then others of the gallery.

    drawn: how many of them were drawn. gallery: a class's column, the most frequent first, with the places of each kind of
    picture.
    """

    places: np.ndarray
    drawn: int
    gallery: dict[int, dict[str, list[int]]]


def explorer_section(cache: ScoreCache, root: Path | None, seed: int = 0) -> Section:
    """Return the section with the sliders and the gallery of a cache; equal arguments, equal section.

    root: the folder of the images, None where it is not there: pictures then are grey boxes that say so. seed: draws the sample.
    """
    title = "Explore the labels"
    a_row = cache.header.views * len(cache.classes)
    most = min(LOOKED, max(ROWS_A_BLOCK, NUMBERS // (cache.header.flips * a_row)))
    rows = drawn_rows(cache, most, seed)
    if not len(rows):
        return Section("explorer", title, [Text(["None of the images that were looked at could be scored."])])
    of = looked(cache, rows, cached_settings(cache))
    thumbnails = Thumbnails(root, upright=cache.provenance["method"]["compat"] == "paper")
    paths = cache.paths[rows]
    sample = _sample(of, min(IMAGES, max(2, COSINES // a_row)), thumbnails, paths, seed)
    data = _data(cache, of, sample) | _pictures(sample, thumbnails, paths, seed)
    return Section("explorer", title, [Text(_said(cache, of, sample)), Explorer(data)])


def _sample(of: Looked, images: int, thumbnails: Thumbnails, paths: np.ndarray, seed: int) -> Sample:
    """Return which images are embedded, no more than `images`: half of them at least are drawn, the others of the gallery."""
    every = len(of.rows) <= images
    room = min(PICTURES, len(of.rows) if every else images // 2)
    gallery: dict[int, dict[str, list[int]]] = {}
    pictured: set[int] = set()
    classes = of.by_frequency.tolist()
    a_kind = min(4, max(2, GALLERY // (4 * len(classes))), max(1, room // 4))
    for column in classes:
        kinds = chosen(of, column, a_kind)
        together = pictured | {place for places in kinds.values() for place in places}
        if gallery and (len(together) > room or thumbnails.bytes >= PICTURE_BYTES):
            break
        thumbnails.of(paths[sorted(together - pictured)].tolist())
        gallery[column], pictured = kinds, together
    if every:
        drawn = np.arange(len(of.rows))
    else:
        order = np.random.default_rng(derive(seed, "images of a report")).permutation(len(of.rows))
        drawn = np.sort(order[: max(1, images - len(pictured))])
    others = np.array(sorted(pictured - set(drawn.tolist())), dtype=np.int64)
    return Sample(np.concatenate([drawn, others]), len(drawn), gallery)


def _data(cache: ScoreCache, of: Looked, sample: Sample) -> dict[str, Any]:
    """Return what the page's script works on, without the pictures."""
    rows = of.rows[sample.places]
    cosines = np.empty((len(rows), cache.header.views, len(cache.classes)), dtype="<f4")
    order = np.argsort(rows)
    place_of_row = dict(zip(rows[order].tolist(), order.tolist(), strict=True))
    for numbers, values in cache.views(rows[order]):
        cosines[[place_of_row[row] for row in numbers.tolist()]] = values
    index = {place: n for n, place in enumerate(sample.places.tolist())}
    gallery = [
        {"class": column, **{kind: [index[place] for place in places] for kind, places in kinds.items()}}
        for column, kinds in sorted(sample.gallery.items())
    ]
    method = dataclasses.asdict(cached_settings(cache))
    grid = views_of(cache.provenance).recorded
    return {
        "method": method,
        "grid": str(grid) if isinstance(grid, int) else f'"{grid}"',  # as a list in braces of YAML has it
        "halfSaid": method["half"] != (method["compat"] == "published"),
        "classes": cache.classes,
        "boxes": cache.boxes.tolist(),
        "drawn": sample.drawn,
        "ids": cache.ids[rows].tolist(),
        "split": cache.split[rows].tolist(),
        "splits": [name for name in SPLITS if (cache.split[rows[: sample.drawn]] == name).any()],
        "cosines": _encoded(cosines),
        "observed": _encoded(of.observed[sample.places]),
        "truth": None if of.truth is None else _encoded(of.truth[sample.places]),
        "gallery": gallery,
        "first": next(iter(sample.gallery)),
    }


def _pictures(sample: Sample, thumbnails: Thumbnails, paths: np.ndarray, seed: int) -> dict[str, Any]:
    """Return the thumbnails of the gallery and of as many other images as there is room for, a number of the sample each."""
    mine = paths[sample.places].tolist()
    waiting = [place for place in range(len(mine)) if mine[place] not in thumbnails.made]
    order = np.random.default_rng(derive(seed, "pictures of a report")).permutation(waiting).tolist()
    while order and thumbnails.bytes < PICTURE_BYTES and len(thumbnails.made) < PICTURES:
        thumbnails.of([mine[place] for place in order[:CHUNK]])
        del order[:CHUNK]
    known = {n: thumbnails.made[path] for n, path in enumerate(mine) if path in thumbnails.made}
    return {
        "pictures": {
            str(n): {"jpeg": base64.b64encode(of.jpeg).decode(), "size": of.size, "reason": of.reason}
            for n, of in known.items()
        }
    }


def _said(cache: ScoreCache, of: Looked, sample: Sample) -> Sequence[str]:
    """Return what the sample is, in plain words."""
    scored = int((cache.status == "ok").sum())
    if sample.drawn == scored:
        said = [f"All {counted(scored, 'scored image')} of the cache can be relabelled here."]
    else:
        said = [
            f"{sample.drawn:,} of {counted(scored, 'scored image')}, drawn at random, can be relabelled here: figures are "
            f"estimates from them."
        ]
    if len(sample.gallery) < len(cache.classes):
        said.append(
            f"The gallery has the most frequent {counted(len(sample.gallery), 'class', 'classes')} of {len(cache.classes):,}, "
            f"for the size of the page."
        )
    if len(of.rows) < scored:
        said.append(f"Its pictures were chosen from {counted(len(of.rows), 'image')}, drawn in blocks.")
    return [" ".join(said)]


def _encoded(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
