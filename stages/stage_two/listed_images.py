"""A cache and its data set as it is now -> which of the cache's images training may use."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ...pipeline.errors import AevlpError, counted
from ...pipeline.files.stamps import file_size
from ...pipeline.labels.observation import NONE
from ...pipeline.manifest.formats import DatasetSpec
from ...pipeline.score_cache import ScoreCache
from ...pipeline.score_cache.labelled_images import LabelledImages
from ...pipeline.score_cache.provenance import simulation_of
from ..cache_origin import Origin, origin_of
from ..console import say


def check_dataset(cache: ScoreCache, spec: DatasetSpec, root: Path, opened: bool = True) -> np.ndarray:
    """Return which rows of the cache the data set still lists, (N,) bool, and say how many it does not.

    opened: whether training opens the images; where it does not, image files that are gone are said, not refused, and so is a
    data set that cannot be read where all of them are gone: nothing is left to compare with, and all rows are returned.
    Raises AevlpError where the cache was made from other classes, images or labels than the data set has now.
    """
    try:
        images = origin_of(cache, spec, root).images
    except AevlpError as error:
        if opened or any(file_size(root / str(path)) is not None for path in cache.paths):
            raise
        say(
            f"{root} holds none of the images of {cache.path}, none is opened; the cache is not compared with {spec.name}, which "
            f"cannot be read there ({error})"
        )
        return np.ones(len(cache), dtype=bool)
    if "vocabulary" in cache.provenance:  # selected from a cache of the data set, or rescored for other classes
        images = images.of_classes(cache.classes)
    if list(images.classes) != cache.classes:
        odd = sorted(set(images.classes) ^ set(cache.classes))
        detail = f"{len(odd)} differ, such as {odd[0]!r}" if odd else "the order differs"
        raise AevlpError(
            f"{cache.path} has other classes than {spec.name} ({detail}): score it again with aevlp pseudolabel"
        )
    found = Origin(cache.classes, spec.name, images).compared(cache)
    there, now = found.listed, found.now
    if not there.any():
        raise AevlpError(
            f"{spec.name} in {root} lists none of the {len(cache):,} images of {cache.path}, first {str(cache.ids[0])!r}: it was "
            f"made from other data; pass the right --data-root or --manifest"
        )
    listed = np.flatnonzero(there)
    hidden = simulation_of(cache.provenance) != NONE
    if hidden and not there.all() and cache.truth is not None and now.truth is not None:
        now = replace(now, observed=cache.observed[listed])  # drawn by the images before, too: the truth is compared
        changed = found.split | found.truth
    else:
        changed = found.split | found.truth | found.observed
    if changed.any():
        raise AevlpError(
            f"{cache.path} holds other labels or splits than {spec.name} in {root} for {counted(int(changed.sum()), 'image')}, "
            f"first {str(cache.ids[int(changed.argmax())])!r}: aevlp cache append {cache.path} takes over those of now"
        )
    if (cache.truth is None) != (now.truth is None):
        then, today = ("complete", "observed") if now.truth is None else ("observed", "complete")
        raise AevlpError(
            f"{cache.path} was made with `labels: {then}`, and {spec.name} says `labels: {today}` now: aevlp cache append "
            f"{cache.path} takes that over, no image is scored again"
        )
    made_of = cache.provenance["dataset"]["fingerprint"]
    if not there.all():
        made_of = LabelledImages.of(cache).take(listed).fingerprint()
    sizes = found.versions.sizes
    if now.fingerprint(sizes) != made_of:
        gone = found.gone[there] & (cache.status[there] == "ok")
        if gone.any():
            first = repr(str(now.ids[gone.argmax()]))
            text = f"{counted(int(gone.sum()), 'scored image is', 'scored images are')} not in {root} any more, first {first}"
            if opened:
                raise AevlpError(f"{text}: bring them back, or remove them from {spec.name} too")
            say(f"{text}: none is opened, training takes all from the cache")
        left = np.flatnonzero(~gone)
        if (
            now.take(left).fingerprint([sizes[row] for row in left])
            != LabelledImages.of(cache).take(listed[left]).fingerprint()
        ):
            raise AevlpError(
                f"{cache.path} was made from other files than those of {spec.name} in {root}: their names agree, their sizes "
                f"do not. If the images have changed, score those again with aevlp cache append {cache.path}"
            )
    if not there.all():
        first = str(cache.ids[int(there.argmin())])
        say(
            f"{cache.path} holds {counted(int((~there).sum()), 'image')} that {spec.name} does not list any more, first "
            f"{first!r}: left out; aevlp cache append {cache.path} --prune drops their rows"
        )
    if len(now.ids) < len(images):
        say(f"{cache.path} holds {len(now.ids):,} of the {len(images):,} images of {spec.name}: only these are used")
    return there
