"""A new cache -> how many labels its pseudo-labels add, and what to do where they are hardly any or far too many."""

from collections.abc import Iterator

import numpy as np

from ...pipeline.labels.added import AddedLabels, added_labels, may_show_more
from ...pipeline.labels.observation import NONE
from ...pipeline.manifest.formats import DatasetSpec
from ...pipeline.score_cache import ScoreCache
from ...pipeline.score_cache.provenance import simulation_of
from ...pipeline.score_cache.schema import ROWS_A_BLOCK


def added_by(cache: ScoreCache) -> AddedLabels:
    """Return what the stored codes of the images that could be scored add to their observed labels; no cosine is read."""
    return added_labels(_stored(cache), cache.provenance["method"]["top_k"])


def said_of(added: AddedLabels, cache: ScoreCache, spec: DatasetSpec) -> list[str]:
    """Return the lines to close stage one with: what was added, and what to do about it if anything is."""
    said = [f"{added.text} by damp, of {added.of:,} scored"]
    settle = f"under `damp` of {spec.name} in the manifest"
    look = (
        f"aevlp inspect {cache.path} shows what it gives, aevlp sweep {cache.path} tries many; no image is scored again"
    )
    if simulation_of(cache.provenance) == NONE and not may_show_more(cache.truth, cache.observed):
        remedy = "say `labels: observed` in the manifest entry if" if "labels" in type(spec).model_fields else "unless"
        so = (
            "each label added contradicts them"
            if added.positives
            else "there is none to add, and they are trained on as given"
        )
        said.append(
            f"The labels of {spec.name} are taken for all that its images show, so {so}: {remedy} nobody looked for every class"
        )
    elif added.hardly_any:
        said.append(f"That is hardly any: lower `threshold` or `temperature` {settle}; {look}")
    elif added.too_many:
        said.append(
            f"Nearly every image gets as many as `top_k` allows: raise `threshold` or `temperature` {settle}; {look}"
        )
    return said


def _stored(cache: ScoreCache) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    scored = np.flatnonzero(cache.status == "ok")
    for start in range(0, len(scored), ROWS_A_BLOCK):
        rows = scored[start : start + ROWS_A_BLOCK]
        yield cache.code(rows), cache.observed[rows]
