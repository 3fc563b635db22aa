"""A run folder and a split -> metrics."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...pipeline.errors import AevlpError, counted
from ...pipeline.evaluation.decision import HALF, Decision, undecided
from ...pipeline.evaluation.intervals import (
    LEVEL,
    Interval,
    Judged,
    NoInterval,
    difference_interval,
    judge,
    map_interval,
)
from ...pipeline.evaluation.metrics import (
    F1Scores,
    average_precision,
    f1_scores,
    micro_average_precision,
    predicted_top_k,
    reliability,
    top_k_quality,
)
from ...pipeline.files.locations import location
from ...pipeline.runtime.device import find_device
from ...pipeline.score_cache import ScoreCache, open_cache
from ...pipeline.training.loop import autocast
from ...pipeline.training.predictor import logits_of
from ...pipeline.training.run_folder import RunFolder
from ...pipeline.training.splits import Split, splits_of_run
from ..cache_origin import data_root
from ..caches.inspect import cached_settings
from ..columns import percent
from ..console import out, print_table, say
from ..declaration import takes
from ..results import Table
from .classifiers import classifier_inputs
from .kept_corrections import as_trained
from .labels_plan import PolicyPlan
from .options import EvaluateOptions
from .teachers import USUAL, judged_teachers, scoring_policy

TOP = 3  # labels an image, where F1 is taken of the highest scores instead of a threshold
KS = (1, 3, 5)


@dataclass(frozen=True, repr=False)
class Evaluation(Table):
    """How good a run's best weights are on a split; every figure is a fraction. A row a class.

    evaluated_by: "truth", or "observed" labels where the full truth is not known. map_interval: level, low, high, and why there
    are none. at_threshold, at_half, top_k: precision, recall and F1 of the labels that reach the thresholds, of those of an
    uncalibrated probability of 0.5, and of the highest of an image. at_k: of the k highest of an image. calibration: the Brier
    score and the expected calibration error of probabilities, before and after it. teachers: where the truth is known, CLIP
    without training on the same images, by whose score, its mAP, and what this run adds to it, with paired intervals. classes:
    average_precision, positives, threshold, precision, recall and f1 of each.
    """

    run: str
    split: str
    images: int
    evaluated_by: str
    map: float
    map_interval: dict[str, Any]
    micro_map: float
    at_threshold: dict[str, Any]
    at_half: dict[str, Any]
    calibration: dict[str, Any]
    top_k: dict[str, Any]
    at_k: dict[str, Any]
    classes: dict[str, dict[str, Any]]
    teachers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [{"class": name, **figures} for name, figures in self.classes.items()]

    def summary(self) -> dict[str, Any]:
        """Return the run, the split and its mAP."""
        return {"run": self.run, "split": self.split, "images": self.images, "mAP": round(self.map, 4)}

    def to_json(self) -> dict[str, Any]:
        """Return every figure by its name."""
        return dict(vars(self))


@takes(EvaluateOptions)
def evaluate(options: EvaluateOptions) -> Evaluation:
    """Return every metric of a run's best weights on "train", "val" or "test".

    Labels are calibrated probabilities that reach the run's own thresholds, or `threshold`.

    Raises AevlpError where the cache is gone or another one, and where the images are, unless the run reads embeddings alone.
    """
    folder = RunFolder(options.run)
    settings = folder.settings()
    say(f"evaluating the best weights of {options.run} on its {options.split} split")
    classifier, architecture, description = folder.load_best()
    used = options.cache or location(settings["cache"])
    if not used.exists():
        raise AevlpError(f"no cache {used}, which {options.run} was trained from: if it has moved, pass it as --cache")
    cache = open_cache(used)
    if cache.fingerprint != description["cache_fingerprint"]:
        raise AevlpError(
            f"{cache.path} is not the cache that {options.run} was trained from: its images, labels or settings differ (aevlp "
            f"cache append changes them too); pass the one it was trained from as --cache, or train anew"
        )
    cache = as_trained(cache, folder)
    device = find_device(options.device)
    parts = dict(zip(("train", "val", "test"), splits_of_run(cache, settings), strict=True))
    part = parts[options.split]
    if not len(part.rows):
        others = [f"--split {name}" for name, of in parts.items() if len(of.rows)]
        raise AevlpError(
            f"{cache.path} holds no readable image of the split {options.split} with a known label: pass {' or '.join(others)}"
        )
    images = options.data_root or location(settings["data_root"])
    if architecture.backbone != "linear":
        images = data_root(cache, images)
    inputs = classifier_inputs(architecture, cache, images, device, options.workers, max_pixels=options.max_pixels)
    logits = logits_of(classifier.to(device), inputs, part.rows, autocast(device, None))
    judged = judge([logits], part.truth)
    return Evaluation(
        str(options.run),
        options.split,
        len(part.rows),
        "observed" if cache.truth is None else "truth",
        **measure(logits, part.truth, cache.classes, folder.decision(), options.threshold, judged),
        teachers=[] if cache.truth is None else _teachers(cache, part, settings, judged),
    )


def _teachers(cache: ScoreCache, split: Split, settings: Mapping[str, Any], judged: Judged) -> list[dict[str, Any]]:
    """Return CLIP without training on a split, a row for each teacher, and what the run adds to it.

    The score is that of the policy that the run was compared with at its end, else its own, else damp by the cache's constants,
    which stands beside another one too.
    """
    said = settings.get("teacher", {}).get("policy") or settings.get("policy")
    own = PolicyPlan(said["name"], said["constants"]) if said else None
    usual = PolicyPlan(USUAL, dataclasses.asdict(cached_settings(cache)))
    policy = scoring_policy(cache, split.rows, own, usual)
    beside = [] if policy.name == USUAL else [(USUAL, usual)]
    rows, _ = judged_teachers(cache, split, [*beside, (policy.name, policy)])
    return [
        {
            "teacher": row.name,
            "title": row.title,
            "policy": row.policy,
            "map": row.map,
            "map_interval": {"level": LEVEL, **_ends(map_interval(row.judged))},
            "difference": float(judged.maps[0]) - row.map,
            "difference_interval": {"level": LEVEL, **_ends(difference_interval(judged, row.judged))},
        }
        for row in rows
    ]


def measure(
    logits: np.ndarray,
    truth: np.ndarray,
    classes: list[str],
    decision: Decision,
    threshold: float | None = None,
    judged: Judged | None = None,
) -> dict[str, Any]:
    """Return every metric of logits (N, C) against `truth` (N, C), as fractions, ready for JSON.

    decision: how logits become labels; threshold: one for every class in the place of its own. judged: what `judge` says of
    logits and truth, where it is known already.
    """
    precision, positives = average_precision(logits, truth), (truth == 1).sum(axis=0)
    interval = map_interval(judged or judge([logits], truth))
    probabilities, plain = decision.probabilities(logits), undecided(len(classes)).probabilities(logits)
    labels = f1_scores(decision.labels(probabilities, threshold), truth)
    thresholds = decision.thresholds if threshold is None else np.full(len(classes), threshold)
    rule = decision.about["rule"] if threshold is None else f"{threshold:g}"
    top = min(TOP, len(classes))
    return {
        "map": float(precision.mean()),
        "map_interval": {"level": LEVEL, **_ends(interval)},
        "micro_map": micro_average_precision(logits, truth),
        "at_threshold": {"rule": rule, **_of_all_classes(labels)},
        "at_half": _of_all_classes(f1_scores(plain >= HALF, truth)),
        "calibration": {"before": _believed(plain, truth == 1), "after": _believed(probabilities, truth == 1)},
        "top_k": {"k": top, **_of_all_classes(f1_scores(predicted_top_k(logits, top), truth))},
        "at_k": {str(k): dataclasses.asdict(top_k_quality(logits, truth, k)) for k in KS if k <= len(classes)},
        "classes": {
            name: {
                "average_precision": float(precision[c]),
                "positives": int(positives[c]),
                "threshold": float(thresholds[c]),
                "precision": float(labels.precision[c]),
                "recall": float(labels.recall[c]),
                "f1": float(labels.f1[c]),
            }
            for c, name in enumerate(classes)
        },
    }


def _believed(probabilities: np.ndarray, positive: np.ndarray) -> dict[str, float]:
    """Return the Brier score and the expected calibration error of all entries."""
    error = reliability(probabilities.ravel(), positive.ravel()).error
    return {"brier": float(np.square(probabilities - positive).mean()), "error": error}


def _ends(interval: Interval | NoInterval) -> dict[str, Any]:
    if isinstance(interval, NoInterval):
        return {"low": None, "high": None, "reason": interval.reason}
    return {**dataclasses.asdict(interval), "reason": None}


def _of_all_classes(scores: F1Scores) -> dict[str, float]:
    return {name: value for name, value in vars(scores).items() if isinstance(value, float)}


def show(result: Evaluation) -> None:
    """Print a table of the classes, and the figures over all of them."""
    threshold, top = result.at_threshold, result.top_k
    classes = [
        (
            name,
            f"{c['positives']:,}",
            percent(c["average_precision"]) + ("" if c["positives"] else " (no positive)"),
            f"{c['threshold']:.2f}",
            *(percent(c[key]) for key in ("precision", "recall", "f1")),
        )
        for name, c in result.classes.items()
    ]
    header = ("class", "positives", "AP", "threshold", "precision", "recall", "F1")
    print_table(f"{result.run} on {result.split} (%)", header, classes, right=range(1, 7))

    kinds = {
        f"thresholds ({threshold['rule']})": threshold,
        "0.5, not calibrated": result.at_half,
        f"highest {top['k']} an image": top,
    }
    overall, mean = ("overall_precision", "overall_recall", "overall_f1"), ("mean_precision", "mean_recall")
    keys = (*overall, *mean, "f1_of_means", "mean_f1")
    rows = [(name, *(percent(scores[key]) for key in keys)) for name, scores in kinds.items()]
    header = ("labels", "OP", "OR", "OF1", "CP", "CR", "CF1", "mean F1")
    print_table("Overall and per class (%)", header, rows, right=range(1, 8))

    rows = [(k, *(percent(q[key]) for key in ("precision", "recall", "hit"))) for k, q in result.at_k.items()]
    print_table(
        "The k highest of an image (%)", ("k", "precision", "recall", "images with a hit"), rows, right=range(4)
    )

    before, after = result.calibration["before"], result.calibration["after"]
    believed = f"Brier score {before['brier']:.4f}, expected calibration error {percent(before['error'])} %"
    if before == after:
        out.print(f"probabilities, not calibrated: {believed}")
    else:
        out.print(f"probabilities: {believed}; calibrated {after['brier']:.4f}, {percent(after['error'])} %")
    if result.split == "val":
        out.print("thresholds and calibration were chosen on these very images, and look better here than on others")
    _show_teachers(result.teachers)
    observed = result.evaluated_by == "observed"
    against = " against observed labels, the full truth is not known" if observed else ""
    without = sum(not c["positives"] for c in result.classes.values())
    note = (
        f"; {without} {'class' if without == 1 else 'classes'} without a positive in the mean as 0" if without else ""
    )
    interval = result.map_interval
    out.print(
        f"mAP {percent(result.map)} ({100 * interval['level']:g} % interval: {_between(interval)}), "
        f"micro mAP {percent(result.micro_map)} on {counted(result.images, 'image')}{against}{note}"
    )


def _show_teachers(teachers: Sequence[Mapping[str, Any]]) -> None:
    """Print what the run adds to CLIP without training, nothing where the full truth is not known."""
    rows = [
        (
            row["title"],
            percent(row["map"]),
            _between(row["map_interval"], brief=True),
            f"{100 * row['difference']:+.2f}",
            _between(row["difference_interval"], "+", brief=True),
        )
        for row in teachers
    ]
    if rows:
        header = ("scores", "mAP", "95 % interval", "this run adds", "95 % interval")
        print_table("Without training, on the same images (%)", header, rows, right=range(1, 5))


def _between(interval: Mapping[str, Any], sign: str = "", brief: bool = False) -> str:
    """Return an interval in percent, or why there is none. sign: "+" for that of a difference."""
    if interval["reason"]:
        return interval["reason"].partition(",")[0] if brief else interval["reason"]
    return " to ".join(f"{100 * interval[end]:{sign}.2f}" for end in ("low", "high"))
