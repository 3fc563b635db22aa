"""A cache -> what it holds, what made it, and how good its pseudo-labels are."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...pipeline.errors import AevlpError, counted
from ...pipeline.evaluation.metrics import PseudoLabelQuality, pseudo_label_quality
from ...pipeline.evaluation.teachers import MULTI_FOCUS, WHOLE_IMAGE, TeacherScores, teacher_map
from ...pipeline.labels.added import added_labels
from ...pipeline.labels.codes import NEGATIVE, POSITIVE
from ...pipeline.labels.damp import DampSettings, damp_codes
from ...pipeline.labels.observation import written as written_regime
from ...pipeline.labels.splits import SPLITS
from ...pipeline.manifest.pixel_statistics import written
from ...pipeline.policies import create_policy
from ...pipeline.review.corrections import CorrectedCache, corrected, read_corrections
from ...pipeline.score_cache import ScoreCache, open_whole_cache
from ...pipeline.score_cache.provenance import simulation_of, views_of
from ..console import out, print_table
from ..declaration import takes
from ..results import Report
from .manifest_constants import constants_now
from .options import InspectOptions
from .quality_table import beside_each_other, show_quality


@dataclass(frozen=True, repr=False)
class CacheReport(Report):
    """What a cache holds; a row for each quality. quality: of pseudo-labels where truth is known, by split and by their views.

    teachers: there too, the mAP of CLIP's scores without training, as fractions.
    codes: (N, C) of all views, by the constants of the cache; codes_now: by those that its data set has in the manifest now, of
    which `edited` are the ones that differ.
    """

    cache: ScoreCache
    codes: np.ndarray
    codes_now: np.ndarray
    edited: dict[str, Any]
    quality: dict[str, dict[str, PseudoLabelQuality]]
    teachers: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)

    def __fspath__(self) -> str:
        return str(self.cache.path)

    @property
    def rows(self) -> Sequence[dict[str, Any]]:
        """The quality of pseudo-labels and the mAP of the scores behind them, as fractions: none where truth is unknown."""
        unknown = dict.fromkeys(of.name for of in dataclasses.fields(PseudoLabelQuality))
        return [
            {"split": split, "views": views, **(dataclasses.asdict(quality) if quality else unknown), "map": value}
            for split, views, quality, value in beside_each_other(self.quality, self.teachers)
        ]

    @property
    def columns(self) -> Sequence[str]:
        """The names of the columns, also where there is no row."""
        return ("split", "views", *(of.name for of in dataclasses.fields(PseudoLabelQuality)), "map")

    def summary(self) -> dict[str, Any]:
        """Return the cache, and what is in it."""
        cache = self.cache
        return {"cache": cache.path, "images": len(cache), "split": _split(cache), "status": _status(cache)}

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        cache, now = self.cache, {"constants": self.edited}
        return {
            "path": str(cache.path),
            "images": len(cache),
            "split": _split(cache),
            "status": _status(cache),
            "classes": cache.classes,
            "prompts": cache.prompts,
            "flips": cache.header.flips,
            "views": cache.header.views,
            "scheme": str(views_of(cache.provenance)),
            "embedding_width": cache.header.width,
            "store": cache.header.stores,
            "storage": cache.header.storage,
            "truth": cache.truth is not None,
            "observed_positives": int((cache.observed == POSITIVE).sum()),
            **_counted(cache, self.codes),
            "manifest_now": {**now, **_counted(cache, self.codes_now)} if self.edited else None,
            "quality": {
                split: {name: dataclasses.asdict(quality) for name, quality in kinds.items()}
                for split, kinds in self.quality.items()
                if kinds
            },
            "teachers": self.teachers,
            "provenance": cache.provenance,
            "fingerprint": cache.fingerprint,
        }


@takes(InspectOptions)
def inspect(options: InspectOptions) -> CacheReport:
    """Return content, provenance and, where truth is known, the quality of whole-image and multi-focus pseudo-labels.

    And there the mAP of the scores that they are made of, for each split. Raises AevlpError where the cache is damaged.
    """
    cache = open_whole_cache(options.cache)
    if options.corrections is not None:
        cache = corrected(cache, read_corrections(options.corrections))
    settings, now = cached_settings(cache), constants_now(cache)
    variants = {MULTI_FOCUS: (settings, slice(None))}
    if cache.truth is not None:
        variants = {WHOLE_IMAGE: (settings, slice(1)), **variants}
    if now is not None and now[0] != settings:
        variants["now"] = (now[0], slice(None))
    codes = {name: np.zeros((len(cache), len(cache.classes)), dtype=np.int8) for name in variants}
    scores = None
    if cache.truth is not None:
        policy = create_policy("damp", **dataclasses.asdict(settings))
        scores = TeacherScores(cache, np.flatnonzero(cache.status == "ok"), [policy])
    for rows, cosines in cache.views():  # once, for codes and scores
        for name, (constants, views) in variants.items():
            codes[name][rows] = damp_codes(cosines[:, views], cache.observed[rows], constants)
        if scores is not None:
            scores(rows, cosines)
    codes_now = codes.pop("now", codes[MULTI_FOCUS])
    quality = {split: qualities(cache, split, codes) for split in SPLITS if (cache.split == split).any()}
    edited = _edited(cache, settings, now)
    return CacheReport(cache, codes[MULTI_FOCUS], codes_now, edited, quality, _teachers(cache, scores))


def show(report: CacheReport) -> None:
    """Print what a cache holds, what made it, and how good its pseudo-labels are."""
    cache, result = report.cache, report.to_json()
    statuses = result["status"]
    made = cache.provenance
    method = _listed({name: value for name, value in made["method"].items() if name != "grid"})
    content = [
        ("images", f"{len(cache):,} ({', '.join(f'{n:,} {s}' for s, n in result['split'].items())})"),
        ("status", ", ".join(f"{n:,} {s}" for s, n in statuses.items())),
        ("classes", f"{len(cache.classes)}: {_shortened(cache.classes)}"),
        (
            f"{cache.header.stores}s",
            f"{counted(cache.header.views, 'view')}, {result['scheme']}, {counted(cache.header.flips, 'flip')}, "
            f"{cache.header.storage}",
        ),
        ("observed", f"{result['observed_positives'] / len(cache):.2f} positives an image"),
        *([("corrections", cache.answers_of(np.arange(len(cache))))] if isinstance(cache, CorrectedCache) else []),
        ("pseudo-labels", _quantity(result, len(cache))),
        ("method", method),
        *_beside(report.edited, result["manifest_now"], len(cache)),
        ("model", f"{made['clip']['model']}, {made['activation']}, {made['image_size']} px, {made['precision']}"),
        ("pixels", _fed(made["pixel_statistics"])),
        ("views", f"{made['resize']}, decoded by {made.get('decoder', 'pillow')}"),
        ("tower", made.get("tower", "torch")),
        ("weights", f"{made['clip']['weights'] or 'its own'} (SHA-256 {made['weights_sha256'][:16]}…)"),
        ("prompts", _shortened([f"{prompt!r}" for prompt in cache.prompts], 3)),
        ("text graph", _listed(made.get("text_graph", "none"))),
        ("simulate", written_regime(simulation_of(made))),
        ("data", f"{made['dataset']['name']}, fingerprint {made['dataset']['fingerprint'][:16]}…"),
        ("versions", ", ".join(f"{k} {v}" for k, v in made["versions"].items())),
    ]
    print_table(str(cache.path), ("", ""), content)
    show_quality(report.quality, report.teachers)
    for reason in [r for r in cache.reason.tolist() if r][:5]:
        out.print(f"not scored: {reason}", markup=False)


def _split(cache: ScoreCache) -> dict[str, int]:
    return dict(Counter(cache.split.tolist()))


def _status(cache: ScoreCache) -> dict[str, int]:
    return dict(Counter(cache.status.tolist()))


def cached_settings(cache: ScoreCache) -> DampSettings:
    """Return the constants that the cache's own scores and codes were made with."""
    method = {k: v for k, v in cache.provenance["method"].items() if k != "grid"}
    try:
        return DampSettings(**method)
    except TypeError as error:
        raise AevlpError(f"{cache.path}: its method is not one that this version knows: {method}") from error


def codes_by_views(cache: ScoreCache, settings: DampSettings) -> dict[str, np.ndarray]:
    """Return the codes (N, C) of pseudo-labels from the whole image alone and from all views; the cosines are read once."""
    views = {WHOLE_IMAGE: slice(1), MULTI_FOCUS: slice(None)}
    return dict(zip(views, cache.several_codes([(settings, of) for of in views.values()]), strict=True))


def qualities(cache: ScoreCache, split: str, codes: Mapping[str, np.ndarray]) -> dict[str, PseudoLabelQuality]:
    """Return the quality on a split of codes (N, C), by their name; empty where truth is unknown."""
    if cache.truth is None:
        return {}
    rows = (cache.split == split) & (cache.status == "ok")
    observed, truth = cache.observed[rows], cache.truth[rows]
    return {name: pseudo_label_quality(of[rows], observed, truth) for name, of in codes.items()}


def _teachers(cache: ScoreCache, scores: TeacherScores | None) -> dict[str, dict[str, float]]:
    """Return the mAP of each teacher on each split; empty where truth is unknown."""
    if cache.truth is None or scores is None:
        return {}
    found, of_row, [by_name] = {}, cache.split[scores.rows], scores.found
    for split in SPLITS:
        here = of_row == split
        if here.any():
            truth = cache.truth[scores.rows[here]]
            found[split] = {name: teacher_map(values[here], truth) for name, values in by_name.items()}
    return found


def _edited(cache: ScoreCache, stored: DampSettings, now: tuple[DampSettings, int | str] | None) -> dict[str, Any]:
    """Return the constants that the manifest has differently by now."""
    if now is None:
        return {}
    settings, grid = now
    before = {**dataclasses.asdict(stored), "grid": cache.provenance["method"]["grid"]}
    return {key: value for key, value in {**dataclasses.asdict(settings), "grid": grid}.items() if value != before[key]}


def _counted(cache: ScoreCache, codes: np.ndarray) -> dict[str, int]:
    added = added_labels([(codes, cache.observed)])
    return {
        "pseudo_positives": int((codes == POSITIVE).sum()),
        "pseudo_negatives": int((codes == NEGATIVE).sum()),
        "labels_added": added.positives,
        "images_added_to": added.images,
    }


def _quantity(found: Mapping[str, Any], images: int) -> str:
    added = f"{counted(found['labels_added'], 'label')} added to {counted(found['images_added_to'], 'image')}"
    positives, negatives = found["pseudo_positives"] / images, found["pseudo_negatives"] / images
    return f"{positives:.2f} positives and {negatives:.2f} negatives an image, {added}"


def _beside(edited: Mapping[str, Any], counted: Mapping[str, Any] | None, images: int) -> list[tuple[str, str]]:
    """Return the rows of what the manifest says by now, where that is something else than the cache was made with."""
    if counted is None:
        return []
    rows = [("manifest now", _listed(dict(edited)))]
    if set(edited) != {"grid"}:
        rows.append(("labels by it", _quantity(counted, images)))
    if "grid" in edited:
        rows.append(("grid", "another one needs the images scored again, into a new cache"))
    return rows


def _fed(statistics: dict[str, Any]) -> str:
    source = f" ({statistics['source']})" if "source" in statistics else ""
    return f"mean {written(statistics['mean'])}, std {written(statistics['std'])}{source}"


def _shortened(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


def _listed(values: dict[str, Any] | str) -> str:
    if isinstance(values, str):
        return values
    return ", ".join(f"{key} {value}" for key, value in values.items() if not key.endswith("sha256"))
