"""A cache -> the sections of its report: what made it, each class, its scores, its labels, its views."""

from typing import Any

import numpy as np

from ...pipeline.errors import AevlpError, counted
from ...pipeline.images.schemes import GRID
from ...pipeline.labels.added import may_show_more
from ...pipeline.labels.codes import NEGATIVE, POSITIVE
from ...pipeline.labels.observation import NONE
from ...pipeline.labels.observation import written as written_regime
from ...pipeline.manifest.clip_names import RANDOM
from ...pipeline.review.corrections import CorrectedCache
from ...pipeline.score_cache import ScoreCache
from ...pipeline.score_cache.provenance import simulation_of, views_of
from ..cache_origin import dataset_of
from .cache_charts import agreement, co_occurrence, histogram, positives_an_image, stability, whole_beside_tiles
from .expected_quality import expected_quality
from .section import Column, Facts, Section, Table, Text
from .statistics import Statistics, label_quality, statistics


def cache_sections(cache: ScoreCache, seed: int = 0) -> list[Section]:
    """Return the sections; equal arguments, equal sections. No image is opened.

    seed: draws the blocks of rows that are looked at of a large cache.
    """
    sections = [Section("cache", "The cache", [*random_weights(cache), Text(_made(cache)), *_facts(cache)])]
    if not (cache.status == "ok").any():
        return [*sections, Section("classes", "Classes", [Text(["No image of this cache could be scored."])])]
    of = statistics(cache, seed)
    looked = Text([_looked(of)])
    return [
        *sections,
        Section("classes", "Classes", [looked, *_class_table(cache, of)]),
        Section(
            "scores",
            "Scores and labels",
            [whole_beside_tiles(of), histogram(of), positives_an_image(of, _expected(cache))],
        ),
        Section(
            "views",
            "Classes together, and views",
            [*co_occurrence(cache, of), *agreement(cache, of), *stability(cache, of)],
        ),
    ]


def random_weights(cache: ScoreCache) -> list[Text]:
    """Return a warning where the CLIP that scored a cache has random weights, nothing where it was trained."""
    if cache.provenance["clip"]["weights"] != RANDOM:
        return []
    said = "The CLIP has RANDOM weights, as was asked: scores, pseudo-labels and what was trained on them mean nothing."
    return [Text([said], warning=True)]


def _made(cache: ScoreCache) -> list[str]:
    """Return what made a cache, in plain words."""
    made = cache.provenance
    scored = int((cache.status == "ok").sum())
    failed = len(cache) - scored
    splits = ", ".join(f"{int((cache.split == name).sum()):,} {name}" for name in dict.fromkeys(cache.split.tolist()))
    said = [
        f"{counted(len(cache), 'image')} of {made['dataset']['name']} ({splits}) and "
        f"{counted(len(cache.classes), 'class', 'classes')}. Each image was seen {_seen(cache)}; {made['clip']['model']} "
        f"compared that with {counted(len(cache.prompts), 'prompt')}, one a class."
    ]
    method = made["method"]
    said.append(
        f"Labels come from these cosines by DAMP: a softmax over the classes at temperature {method['temperature']:g}; "
        f"a positive has a score of at least {method['threshold']:g}, no image has more than {method['top_k']}, and the "
        f"{100 * method['negative_ratio']:g} % of classes that rank lowest are negatives."
    )
    if not may_show_more(cache.truth, cache.observed):
        said.append(
            "The labels of these images are taken for all that they show, and they are trained on as given: there is no positive "
            "to add, and nothing is hidden that precision and recall could be of."
        )
    if (simulation := simulation_of(made)) != NONE:
        said.append(f"Labels were hidden to study the method: {written_regime(simulation)}.")
    if cache.truth is None:
        said.append("The full truth is not known: figures that need it are estimates, or left out.")
    if isinstance(cache, CorrectedCache):
        said.append(f"Corrected: {cache.answers_of(np.arange(len(cache)))}.")
    if failed:
        first = next(reason for reason in cache.reason.tolist() if reason)
        said.append(f"{counted(failed, 'image')} could not be scored, first {first}.")
    return said


def _seen(cache: ScoreCache) -> str:
    """Return the views of an image, in plain words."""
    tiles, scheme = cache.header.views - 1, views_of(cache.provenance)
    where = f"of a grid of {scheme.recorded} by {scheme.recorded}" if scheme.name == GRID else f"by {scheme}"
    parts = f"whole and in {counted(tiles, 'tile')} {where}" if tiles else "whole, without tiles"
    return f"{parts}, plain and mirrored" if cache.header.flips > 1 else parts


def _facts(cache: ScoreCache) -> list[Facts]:
    made = cache.provenance
    values = {
        "model": f"{made['clip']['model']}, {made['activation']}, {made['image_size']} px, {made['precision']}",
        "weights": f"{made['clip']['weights'] or 'its own'} (SHA-256 {made['weights_sha256'][:16]}…)",
        "prompts": "; ".join(cache.prompts[:3]) + ("; …" if len(cache.prompts) > 3 else ""),
        "constants": _listed(made["method"]),
        "text graph": _listed(made.get("text_graph", "none")),
        "pixels": f"{made['resize']}, decoded by {made.get('decoder', 'pillow')}",
        "views": str(views_of(made)),
        "stored": f"{cache.header.stores}s, {cache.header.storage}",
        "data": f"{made['dataset']['name']}, fingerprint {made['dataset']['fingerprint'][:16]}…",
        "cache": f"fingerprint {cache.fingerprint[:16]}…",
        "versions": ", ".join(f"{name} {version}" for name, version in made["versions"].items()),
    }
    return [Facts("What made it, in full", values, folded=True)]


def _looked(of: Statistics) -> str:
    if of.complete:
        return f"All {counted(of.images, 'scored image')} were looked at."
    return (
        f"{len(of.of.rows):,} of {counted(of.images, 'scored image')} were looked at, in blocks of rows drawn at "
        f"random: the figures from here on are estimates from them."
    )


def _class_table(cache: ScoreCache, of: Statistics) -> list[Table | Text]:
    observed, pseudo, truth = of.of.observed, of.pseudo, of.of.truth
    columns = [
        Column("class", cache.classes),
        Column("observed +", (observed == POSITIVE).sum(axis=0).tolist(), "{:,}", "observed positives"),
        Column("observed -", (observed == NEGATIVE).sum(axis=0).tolist(), "{:,}", "observed negatives"),
        Column("pseudo +", (pseudo == POSITIVE).sum(axis=0).tolist(), "{:,}", "positives that DAMP adds"),
        Column("pseudo -", (pseudo == NEGATIVE).sum(axis=0).tolist(), "{:,}", "negatives that DAMP adds"),
    ]
    if truth is not None:
        precision, recall, f1 = label_quality(of.of.code, observed, truth)
        columns += [
            Column("true", (truth == 1).sum(axis=0).tolist(), "{:,}", "images that show it"),
            Column("precision", _percent(precision), "{:.1f}", "true among pseudo-positives, in percent"),
            Column("recall", _percent(recall), "{:.1f}", "found among true positives that nobody observed, in percent"),
            Column("F1", _percent(f1), "{:.1f}", "of both, in percent"),
        ]
        caption = "A row a class. Precision, recall and F1 are of pseudo-labels on what nobody observed, by the full truth, in %."
        return [Table(caption, columns)]
    expected = expected_quality(of, _expected(cache))
    columns += [
        Column("expected precision", _percent(expected.precision), "{:.1f}", "estimated, in percent"),
        Column("expected recall", _percent(expected.recall), "{:.1f}", "estimated, in percent"),
    ]
    return [Table(f"A row a class. {expected.how}", columns)]


def _expected(cache: ScoreCache) -> float | None:
    """Return how many positives an image is expected to have by the manifest, None where it does not say or is not there."""
    try:
        return dataset_of(cache, None, None).expected_positives
    except AevlpError:
        return None


def _percent(shares: np.ndarray) -> list[float | None]:
    return [None if np.isnan(share) else 100 * float(share) for share in shares]


def _listed(values: dict[str, Any] | str) -> str:
    if isinstance(values, str):
        return values
    return ", ".join(f"{key} {value}" for key, value in values.items() if not key.endswith("sha256"))
