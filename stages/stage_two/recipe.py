"""A data set's entry and what a user asks for -> what is trained and how, and the loss's constants."""

from collections.abc import Mapping
from typing import Any

from ...pipeline.errors import AevlpError
from ...pipeline.labels.added import may_show_more
from ...pipeline.labels.codes import POSITIVE, effective
from ...pipeline.losses import LossEntry, check_constants, constants
from ...pipeline.losses.interface import Watching
from ...pipeline.manifest.formats import DatasetSpec
from ...pipeline.policies.labelling import label, notes_of
from ...pipeline.score_cache import ScoreCache
from ...pipeline.training import timm_backbones
from ...pipeline.training.schedule import CONSTANT
from ...pipeline.training.splits import Split
from ..console import say
from .asked_classifier import OF_CLIP, check_classifier
from .clip_size import asked_size, check_tower_size
from .labels_plan import PolicyPlan
from .options import TrainOptions


def recipe_of(spec: DatasetSpec, options: TrainOptions, loss: LossEntry, made: dict[str, Any]) -> dict[str, Any]:
    """Return what is trained and how, with the size that images are really fed with. made: the cache's provenance."""
    recipe = spec.recipe.model_dump()
    backbone = options.backbone or recipe["backbone"]
    linear = {
        "epochs": recipe.pop("linear_epochs"),
        "lr": recipe.pop("linear_lr"),
        "linear_init": 0,
        "head_lr_factor": 1.0,
        "lr_schedule": CONSTANT,
    }
    if backbone == "linear":
        recipe.update(linear)
    recipe["backbone"] = backbone
    recipe["head"] = options.head or loss.head
    check_classifier(options, loss, backbone)
    if backbone in OF_CLIP:
        recipe["weights"], recipe["image_size"] = "scoring model", made["image_size"]
        if backbone == "clip" and asked_size(spec, options) not in (None, made["image_size"]):
            check_tower_size(spec, options, made["clip"]["config"])
            recipe["image_size"] = asked_size(spec, options)
    else:
        recipe["image_size"] = options.image_size or timm_backbones.input_size(backbone, recipe["image_size"])
        recipe["weights"] = options.weights or "pretrained"
    for name in ("epochs", "batch_size", "lr"):
        value = getattr(options, name)
        if value is not None:
            recipe[name] = value
    if recipe["lr_schedule"] == CONSTANT:
        del recipe["lr_schedule"]  # as in the settings of runs from before there was a choice
    return recipe


def loss_constants(
    spec: DatasetSpec, name: str, linear_init: int, compat: str, asked: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a loss's constants: those asked for, else the manifest's, and those that follow from recipe, data set and cache."""
    given = {**spec.losses.get(name, {}), **asked}
    check_constants(name, given)
    takes = constants(name)
    if "linear_init" in asked:
        raise AevlpError(
            f"linear_init of loss {name} is the recipe's, {linear_init}: set it under recipe: of the manifest"
        )
    if "linear_init" in takes:
        given["linear_init"] = linear_init
    if "compat" in takes:
        given.setdefault("compat", compat)
    if "expected_positives" in takes:
        given.setdefault("expected_positives", spec.expected_positives)
    return given


def positives_counted(
    cache: ScoreCache,
    spec: DatasetSpec,
    options: TrainOptions,
    policy: PolicyPlan | None,
    train: Split,
    given: dict[str, Any],
) -> dict[str, Any]:
    """Say where no image has a pseudo-positive; return the number of positives an image where the manifest says none.

    That is counted in the policy's labels, those of `damp` where the loss reads none, joined with the observed ones.
    """
    if policy is None and "expected_positives" not in given:
        return {}
    counted = policy or PolicyPlan("damp", vars(spec.damp.settings(cache.provenance["method"]["compat"])))
    made = counted.create()
    codes = label(cache, train.rows, made).codes
    for line in notes_of(made, cache.classes):
        say(line)
    later = isinstance(made, Watching)  # it labels by predictions, of which there are none yet
    truth = None if cache.truth is None else cache.truth[train.rows]
    wanted = policy is not None and not later and may_show_more(truth, cache.observed[train.rows])
    if wanted and not (codes == POSITIVE).any():
        say(
            f"No training image has a pseudo-positive: {options.loss} will learn from observed labels alone. Lower "
            f"`threshold` or `temperature` under `damp` in the manifest; no image need be scored again."
        )
    if given.get("expected_positives", 0) is not None:
        return {}
    known = effective(cache.observed[train.rows], codes)
    return {"expected_positives": float((known == POSITIVE).sum(axis=1).mean())}
