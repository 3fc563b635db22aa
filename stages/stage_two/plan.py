"""Options and a cache -> what a training will do, after checking everything that can be checked before a model is loaded."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...pipeline import policies
from ...pipeline.errors import AevlpError
from ...pipeline.evaluation.decide import require_rule
from ...pipeline.evaluation.threshold_rule import parsed as parsed_rule
from ...pipeline.labels.codes import POSITIVE
from ...pipeline.losses import LossEntry, create_loss, entry
from ...pipeline.losses.foreign import is_named
from ...pipeline.losses.interface import Scheduled
from ...pipeline.manifest.formats import DatasetSpec
from ...pipeline.method_names import parsed
from ...pipeline.review.corrections import Corrections, corrected, read_corrections
from ...pipeline.runtime.device import mixed_precision
from ...pipeline.runtime.ranks import this_rank
from ...pipeline.score_cache import ScoreCache, open_whole_cache
from ...pipeline.training.distributed import own_device
from ...pipeline.training.splits import Split, evaluated_by, has_known_label, splits
from ...pipeline.training.strong_views import has_tiles
from ..cache_origin import data_root, dataset_of
from ..console import say
from .asked_methods import asked_methods
from .label_relation import require_relation
from .labels_plan import PolicyPlan, policy_of
from .listed_images import check_dataset
from .options import TrainOptions
from .recipe import loss_constants, positives_counted, recipe_of
from .required_labels import require_labels
from .without_labels import has_no_labels, parts_without_labels, require_some, validated


@dataclass(frozen=True)
class TrainingData:
    """A cache opened whole, compared with its data set and cut in splits: made once for all trainings on it.

    spec: the data set's entry. root: the folder of its images. gone: ids in the cache that the data set does not list any more.
    corrections: the answers that took the place of observed labels of the cache, None where none were given.
    """

    cache: ScoreCache
    spec: DatasetSpec
    root: Path
    train: Split
    val: Split
    test: Split
    gone: tuple[str, ...] = ()
    corrections: Corrections | None = None


@dataclass(frozen=True)
class Plan:
    """A training run, checked and ready to start. Another seed or run folder is another `options`, nothing else.

    teacher: how good CLIP is without training, as `beside_teacher.with_teacher` finds it; None where that is not known.
    """

    options: TrainOptions
    data: TrainingData
    device: torch.device
    recipe: dict[str, Any]
    loss: LossEntry
    policy: PolicyPlan | None
    constants: dict[str, Any]
    teacher: dict[str, Any] | None = None

    @property
    def loss_name(self) -> str:
        """The loss's name, without constants that were given with it."""
        return parsed(self.options.loss).name

    @property
    def cache(self) -> ScoreCache:
        return self.data.cache

    @property
    def spec(self) -> DatasetSpec:
        return self.data.spec

    @property
    def root(self) -> Path:
        return self.data.root

    @property
    def train(self) -> Split:
        return self.data.train

    @property
    def val(self) -> Split:
        return self.data.val

    @property
    def test(self) -> Split:
        return self.data.test


def training_data(options: TrainOptions) -> TrainingData:
    """Return what trainings with these options learn from; of them only what names cache, data set and backbone counts.

    Raises AevlpError where the cache is damaged, or made from other classes, images or labels than the data set has now.
    """
    if (options.cache / "settings.json").is_file():
        raise AevlpError(f"{options.cache} is a run, no cache: aevlp train --resume {options.cache} resumes it")
    cache = open_whole_cache(options.cache)
    spec = dataset_of(cache, options.dataset, options.manifest)
    opened = (options.backbone or spec.recipe.backbone) != "linear"
    root = data_root(cache, options.data_root, needed=opened)
    there = check_dataset(cache, spec, root, opened) if root.is_dir() else np.ones(len(cache), dtype=bool)
    gone = tuple(cache.ids[~there].tolist())
    corrections = options.corrections and read_corrections(options.corrections)
    if corrections is not None:
        cache = corrected(cache, corrections)
    if has_no_labels(cache):
        parts = parts_without_labels(cache, spec, there, options.set or ())
        return TrainingData(cache, spec, root, *parts, gone, corrections)
    unknown = ~has_known_label(cache)
    if unknown.any():
        left_out = int((unknown & (cache.split != "train")).sum())
        rest = f", and {left_out:,} of them, of the validation and test splits, are left out" if left_out else ""
        say(
            f"{int(unknown.sum()):,} of {len(cache):,} images have no known label: nothing is evaluated by them, those of the "
            f"training split are trained with{rest}"
        )
    train, val, test = splits(cache, spec.recipe.val_fraction, there)
    if cache.truth is not None and not (cache.truth[train.rows] == POSITIVE).any():
        raise AevlpError(
            f"{cache.path}: by its full labels no training image shows any class, there is nothing to learn from"
        )
    return TrainingData(cache, spec, root, train, val, test, gone, corrections)


def make_plan(options: TrainOptions, data: TrainingData | None = None) -> Plan:
    """Return what to do, after checking everything that can be checked before a model is loaded.

    data: of `training_data` for options with the same cache, data set and backbone; made here where it is left out.
    """
    asked, policy_asked = asked_methods(options.loss, options.policy, options.set or ())
    data = data or training_data(options)
    options = replace(options, loss=str(asked), policy=policy_asked, set=None)
    loss = entry(asked.name)
    device = own_device(options.device, this_rank())
    cache, spec = data.cache, data.spec
    require_labels(asked, loss, policy_asked, cache, data.train.rows)
    check_names(spec)
    policy = policy_of(options.policy, options.loss, loss, cache, spec)
    observed = cache.observed[data.train.rows]
    if policy is not None and not (observed == POSITIVE).any():
        require_some(cache, data.train, policy)
    if has_no_labels(cache) and policy is not None:
        val, by = validated(cache, data.val, policy)
        data = replace(data, val=val)
        say(f"No image has a label: {asked.name} learns from pseudo-labels alone, and is validated by those of {by}.")
    recipe = recipe_of(spec, options, loss, cache.provenance)
    if "features" in loss.reads and recipe["backbone"] == "linear":
        say(f"The features of the linear backbone are fixed: {options.loss} reads them, and changes the head alone.")
    if "strong" in loss.reads and recipe["backbone"] == "linear" and not has_tiles(cache):
        raise AevlpError(
            f"loss {options.loss} sees a tile of each image, and {cache.path} holds no vectors of tiles: score the images with "
            f"--store embedding and a --grid above 1, or train another --backbone"
        )
    require_relation(asked.name, cache, spec.manifest_path.parent)
    require_rule(parsed_rule(options.threshold_for), evaluated_by(cache), spec.expected_positives)
    compat = cache.provenance["method"]["compat"]
    given = loss_constants(spec, asked.name, recipe["linear_init"], compat, asked.constants)
    given |= positives_counted(cache, spec, options, policy, data.train, given)
    for made in (
        create_loss(asked.name, len(cache.classes), torch.from_numpy(observed), **given),
        policy and policy.create(),
    ):
        if isinstance(made, Scheduled):
            made.set_epoch(1, recipe["epochs"])
    return Plan(options, data, device, recipe, loss, policy, given)


def check_names(spec: DatasetSpec) -> None:
    """Raise AevlpError where the manifest has constants of a loss or a policy that there is not."""
    for name in spec.losses:
        if not is_named(name):  # a class of the user's own is looked for when it is trained with
            entry(name)
    for name in spec.policies:
        policies.check_name(name)


def precision(plan: Plan) -> torch.dtype | None:
    """Return the type for mixed precision, None for single precision."""
    return mixed_precision(plan.device) if plan.options.amp else None
