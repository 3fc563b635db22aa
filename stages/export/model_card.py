"""A run -> the model card of its folder, README.md: what is known of it is filled in, and what is not known is said."""

import json
from collections.abc import Sequence
from typing import Any

from ...pipeline.errors import counted
from ...pipeline.evaluation.intervals import LEVEL, NoInterval
from ...pipeline.score_cache import ScoreCache
from ...pipeline.training.splits import splits_of_run
from ...pipeline.training.timm_backbones import PRETRAINED, RANDOM
from ..columns import percent
from ..report.trained_from import cache_of
from ..stage_two.run import AGAINST
from ..stage_two.used_labels import labels_used
from .card_code import how_to_load
from .deployable import Deployable
from .quality import Quality, quality_on_test
from .score_thresholds import NEVER, score_thresholds


def model_card(subject: Deployable, with_code: bool) -> str:
    """Return the card as Markdown. with_code: whether the folder has code of its own, which transformers alone loads."""
    cache, absent = cache_of(subject.run)
    quality = quality_on_test(subject.run, cache, subject.about.decision)
    tags = ["multi-label", "image-classification", "transformers" if with_code else "timm"]
    head = {
        "license": "unknown",
        "library_name": tags[-1],
        "pipeline_tag": "image-classification",
        "tags": json.dumps(tags),
    }
    return "\n".join(
        [
            "---",
            *(f"{name}: {value}" for name, value in head.items()),
            "---",
            f"# {subject.run.folder.absolute().name}",
            "",
            f"A multi-label image classifier: for each of {counted(len(subject.about.classes), 'class', 'classes')}, whether an "
            f"image shows it. It takes images of {subject.about.input.size} x {subject.about.input.size} pixels, stretched.",
            *_section("Data", _data(subject, cache, absent)),
            *_section("Method", _method(subject)),
            *_section("How good it is", _figures(subject, quality)),
            *_section("Thresholds", _thresholds(subject, quality)),
            *_section("How to load it", how_to_load(subject.about.input.upright, with_code)),
            *_section("Limits", _limits(subject)),
            *_section("Licence", [_licence(subject)]),
            *_section("Where it comes from", _provenance(subject)),
            "",
        ]
    )


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"## {title}", "", *lines]


def _data(subject: Deployable, cache: ScoreCache | None, absent: str) -> list[str]:
    settings = subject.run.settings
    if cache is None:
        return [f"Trained on {settings['dataset']}. How many images and labels that had is not known here: {absent}"]
    train, val, test = (part.rows for part in splits_of_run(cache, subject.run.settings))
    return [
        f"Trained on {settings['dataset']}: {counted(len(train), 'image')} to train on, {len(val):,} to validate, "
        f"{len(test):,} to test.",
        "",
        f"Labels of the training images: {labels_used(cache, train)}.",
    ]


def _method(subject: Deployable) -> list[str]:
    settings = subject.about.provenance["settings"]
    recipe = settings["recipe"]
    policy = settings.get("policy")
    labels = f"pseudo-labels of the policy {policy['name']}" if policy else "no pseudo-labels"
    return [
        f"Backbone {recipe['backbone']} (weights: {recipe.get('weights', 'not recorded')}), trained with the loss "
        f"{settings['loss']['name']} and {labels}, seed {settings['seed']}, by aevlp {settings['versions']['aevlp']}. "
        f"{_scored_by(subject)}",
    ]


def _scored_by(subject: Deployable) -> str:
    model = subject.about.provenance["scoring_model"]
    weights = "" if model["weights"] is None else f" (weights: {model['weights']})"
    return f"Images were scored by {model['model']}{weights}."


def _figures(subject: Deployable, quality: Quality | None) -> list[str]:
    run = subject.run
    against = AGAINST[run.evaluated_by]
    lines = [f"Figures are {against}.", ""] if against else []
    if run.best_map is not None:
        lines.append(f"- validation mAP {percent(run.best_map)} %, in epoch {run.best_epoch}, which was chosen by it")
    if quality is None:
        if run.test_map is None:
            return [*lines, f"- no test figures: {'it has no test images' if run.finished else 'it is not finished'}"]
        return [*lines, f"- test mAP {percent(run.test_map)} %, without an interval: its test labels are not at hand"]
    labels = quality.labels
    return [
        *lines,
        f"- test mAP {percent(quality.map)} %, {_interval(quality)}, {counted(quality.images, 'image')}",
        f"- test F1 of labels by the thresholds below: {percent(labels.mean_f1)} % the mean of classes, "
        f"{percent(labels.overall_f1)} % over all labels",
    ]


def _interval(quality: Quality) -> str:
    if isinstance(quality.interval, NoInterval):
        return f"no interval ({quality.interval.reason})"
    return f"{100 * LEVEL:g} % interval {percent(quality.interval.low)} to {percent(quality.interval.high)}"


def _thresholds(subject: Deployable, quality: Quality | None) -> list[str]:
    decision, about = subject.about.decision, subject.about.decision.about
    rows = zip(subject.about.classes, decision.thresholds, score_thresholds(decision), strict=True)
    probability = "calibrated probability" if decision.calibrated else "probability"
    header, table = ["class", probability, "score"], []
    if quality is not None:
        header += ["test positives", "test AP", "test F1"]
    for number, (name, threshold, score) in enumerate(rows):
        row = [_cell(name), f"{threshold:.4f}", "never" if score >= NEVER else f"{score:.4f}"]
        if quality is not None:
            found = quality.precision[number], quality.labels.f1[number]
            row += [f"{quality.positives[number]:,}", *(f"{percent(value)} %" for value in found)]
        table.append(row)
    return [
        f"Rule: {about.get('rule', 'not recorded')}{decision.by}. A label is given where the {probability} is at least the "
        f"class's threshold. A pipeline of timm or transformers prints the plain sigmoid of the logit instead: the same "
        f"labels are given where that is at least the class's score, `score_thresholds` in config.json.",
        "",
        _row(header),
        _row(["---"] * len(header)),
        *map(_row, table),
    ]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _limits(subject: Deployable) -> list[str]:
    size = subject.about.input.size
    return [
        "- It knows its classes alone, and says nothing of anything else that an image shows.",
        "- Thresholds and calibration were chosen on images like those it was trained on; on others choose them anew.",
        f"- What is small in an image may be lost at {size} x {size} pixels, whatever the image's own size.",
        "- Figures are those of the test images above; nothing was measured on other sources, groups of people or places.",
    ]


def _licence(subject: Deployable) -> str:
    """Return what is known of the licence, in words; nothing is guessed."""
    recipe, backbone = subject.run.settings["recipe"], subject.architecture.backbone
    begun = ""
    if recipe.get("weights") == RANDOM:
        begun = "Training started from random weights. "
    elif recipe.get("weights") == PRETRAINED and (known := _of_timm(backbone)):
        begun = f"The weights that training started from, {backbone} of timm, are under {known}, as timm records it. "
    return (
        f"{begun}The licence of these weights is not known here: ask whoever trained them, and look at the licences of the "
        f"images and of the weights that they were made from."
    )


def _of_timm(backbone: str) -> str | None:
    import timm

    config: Any = timm.models.get_pretrained_cfg(backbone) if timm.is_model(backbone) else None
    return config and config.license


def _provenance(subject: Deployable) -> list[str]:
    made = subject.about.provenance
    versions = ", ".join(f"{name} {version}" for name, version in made["exported_with"].items())
    return [
        f"- run {made['run']}, best weights SHA-256 `{made['weights_sha256']}`",
        f"- cache fingerprint `{made['cache_fingerprint']}`",
        f"- exported with {versions}",
        "- all settings: `aevlp` in config.json",
    ]
