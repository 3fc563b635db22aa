"""Options and a cache -> what a training will do, after checking everything that can be checked before a model is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...pipeline import policies
from ...pipeline.errors import AevlpError, unknown_name
from ...pipeline.files.image_formats import MAX_PIXELS
from ...pipeline.images.image_cache import ImageCache
from ...pipeline.images.resizing import resize_of
from ...pipeline.labels.codes import NEGATIVE, POSITIVE, effective
from ...pipeline.labels.single_positive import split_train_val
from ...pipeline.losses import LossEntry, check_constants, constants, create_loss, entry
from ...pipeline.losses.foreign import is_named, source_sha256
from ...pipeline.losses.interface import Scheduled, Watching
from ...pipeline.manifest.formats import DatasetSpec
from ...pipeline.policies.labelling import label
from ...pipeline.runtime.compiler import insist_on_compiler
from ...pipeline.runtime.device import mixed_precision
from ...pipeline.runtime.provenance import versions
from ...pipeline.runtime.ranks import this_rank
from ...pipeline.runtime.seeding import derive, seed_everything
from ...pipeline.score_cache import ScoreCache, open_whole_cache
from ...pipeline.score_cache.schema import ROWS_A_BLOCK
from ...pipeline.training import classifier as classifiers
from ...pipeline.training import heads
from ...pipeline.training.classifier import Architecture, Classifier
from ...pipeline.training.distributed import own_device
from ...pipeline.training.inputs import EmbeddingInputs, Inputs, PixelInputs
from ..cache_origin import data_root, dataset_of, scoring_encoder
from ..console import say
from .labels_plan import PolicyPlan, policy_of
from .listed_images import check_dataset


@dataclass(frozen=True)
class Options:
    """What the command line may say; None takes the manifest's value, or what fits the device."""

    cache: Path
    loss: str = "gpr"
    backbone: str | None = None
    weights: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    device: str | None = None
    run: Path | None = None
    resume: bool = False
    seed: int = 0
    workers: int = 2
    amp: bool = True
    dataset: str | None = None
    manifest: Path | Sequence[Path] | None = None
    data_root: Path | None = None
    save_minutes: float = 10.0
    policy: str | None = None
    head: str | None = None
    image_cache: Path | None = None
    compile: bool = False
    max_pixels: int = MAX_PIXELS


@dataclass(frozen=True)
class Split:
    """Rows of the cache, and the labels that scores on them are judged by."""

    rows: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class TrainingData:
    """A cache opened whole, compared with its data set and cut in splits: made once for all trainings on it.

    spec: the data set's entry. root: the folder of its images. gone: ids in the cache that the data set does not list any more.
    """

    cache: ScoreCache
    spec: DatasetSpec
    root: Path
    train: Split
    val: Split
    test: Split
    gone: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A training run, checked and ready to start. Another seed or run folder is another `options`, nothing else."""

    options: Options
    data: TrainingData
    device: torch.device
    recipe: dict[str, Any]
    loss: LossEntry
    policy: PolicyPlan | None
    constants: dict[str, Any]

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


def training_data(options: Options) -> TrainingData:
    """Return what trainings with these options learn from; of them only what names cache, data set and backbone counts.

    Raises AevlpError where the cache is damaged, or made from other classes, images or labels than the data set has now.
    """
    cache = open_whole_cache(options.cache)
    spec = dataset_of(cache, options.dataset, options.manifest)
    opened = (options.backbone or spec.recipe.backbone) != "linear"
    root = data_root(cache, options.data_root, needed=opened)
    there = check_dataset(cache, spec, root, opened) if root.is_dir() else np.ones(len(cache), dtype=bool)
    unknown = ~has_known_label(cache)
    if unknown.any():
        judging = int((unknown & (cache.split != "train")).sum())
        rest = f", and {judging:,} of them, of the validation and test splits, are left out" if judging else ""
        say(
            f"{int(unknown.sum()):,} of {len(cache):,} images have no known label: nothing is judged by them, those of the "
            f"training split are trained with{rest}"
        )
    train, val, test = splits(cache, spec.recipe.val_fraction, there)
    if not (cache.observed[train.rows] == POSITIVE).any():
        raise AevlpError(f"{cache.path}: no training image has an observed positive, there is nothing to learn from")
    return TrainingData(cache, spec, root, train, val, test, tuple(cache.ids[~there].tolist()))


def make_plan(options: Options, data: TrainingData | None = None) -> Plan:
    """Return what to do, after checking everything that can be checked before a model is loaded.

    data: of `training_data` for options with the same cache, data set and backbone; made here where it is left out.
    """
    loss = entry(options.loss)
    device = own_device(options.device, this_rank())
    data = data or training_data(options)
    cache, spec = data.cache, data.spec
    if "truth" in loss.reads and cache.truth is None:
        raise AevlpError(f"loss {options.loss} needs full labels, and {cache.path} has none: choose another loss")
    check_names(spec)
    if options.compile:
        insist_on_compiler("--compile")
    policy = policy_of(options.policy, options.loss, loss, cache, spec)
    recipe = _recipe(spec, options, loss, cache.provenance["image_size"])
    observed = cache.observed[data.train.rows]
    if loss.negatives and not (observed == NEGATIVE).any():
        raise AevlpError(
            f"loss {options.loss} learns from observed negatives, and {cache.path} has none: score the images with --observe, as "
            f"in --observe counts,positives=1,negatives=1, or choose another loss"
        )
    if "features" in loss.reads and recipe["backbone"] == "linear":
        say(f"The features of the linear backbone are fixed: what {options.loss} makes of them teaches it nothing.")
    given = _loss_constants(spec, options.loss, recipe["linear_init"], cache.provenance["method"]["compat"])
    given |= _known_of_labels(cache, spec, options, policy, data.train, given)
    for made in (
        create_loss(options.loss, len(cache.classes), torch.from_numpy(observed), **given),
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
        if name not in policies.TABLE:
            raise unknown_name("policy", name, policies.TABLE)


def splits(cache: ScoreCache, val_fraction: float, there: np.ndarray | None = None) -> tuple[Split, Split, Split]:
    """Return the training, validation and test rows that could be scored; judged by truth, where known, or observed labels.

    A validation split of the data set is used as it is. Otherwise it is drawn from all training rows, as in the
    protocol, before unreadable images are left out. Where full labels are not known, an image without a known label is in the
    training part alone: it would count as showing nothing.
    there: (N,) bool, which rows the data set still lists; None for all.
    """
    ok = cache.status == "ok"
    if there is not None:
        ok &= there
    labels = cache.observed if cache.truth is None else cache.truth
    judged = has_known_label(cache)
    pool = np.flatnonzero(cache.split == "train")
    if not ok[pool].any():
        raise AevlpError(f"{cache.path} holds no readable image of the training split: there is nothing to train on")
    train, val = pool, np.flatnonzero((cache.split == "val") & judged)
    if not (cache.split == "val").any():
        known = pool[judged[pool]]
        compat = cache.provenance["method"]["compat"]
        kept, val = (known[part] for part in split_train_val(len(known), val_fraction, compat=compat))
        train = np.sort(np.concatenate([kept, pool[~judged[pool]]]))
    test = np.flatnonzero((cache.split == "test") & judged)
    parts = [Split(rows[ok[rows]], labels[rows[ok[rows]]]) for rows in (train, val, test)]
    for name, part in zip(("training", "validation"), parts, strict=False):
        if not len(part.rows):
            raise AevlpError(f"{cache.path}: no readable image with a known label is left for {name}")
    return parts[0], parts[1], parts[2]


def has_known_label(cache: ScoreCache) -> np.ndarray:
    """Return for each image (N,) bool whether anything is known of what it shows: all of it, or a label that somebody gave."""
    return np.ones(len(cache), dtype=bool) if cache.truth is not None else (cache.observed != 0).any(axis=1)


def classifier_inputs(
    architecture: Architecture,
    cache: ScoreCache,
    root: Path,
    device: torch.device,
    workers: int,
    image_cache: Path | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Inputs:
    """Return where a classifier's inputs come from: the cache's embeddings, or the images below `root`.

    image_cache: the folder where resized images are kept, None to read the files each time. max_pixels: of the largest image that
    is opened.
    """
    if architecture.backbone == "linear":
        return EmbeddingInputs(_embedding(cache), device)
    size, upright, resize = architecture.size, architecture.upright, architecture.resize
    cached = ImageCache(image_cache, cache.paths, size, upright, resize) if image_cache else None
    mean, std = architecture.mean, architecture.std
    return PixelInputs(root, cache.paths, size, upright, mean, std, device, workers, resize, cached, max_pixels)


def _embedding(cache: ScoreCache) -> np.ndarray:
    """Return the whole images' unit vectors (N, F, D) in the precision that they are stored in."""
    header = cache.header
    vectors = np.empty((len(cache), header.flips, header.width), dtype=header.storage)
    for start in range(0, len(vectors), ROWS_A_BLOCK):
        vectors[start : start + ROWS_A_BLOCK] = cache.embedding(slice(start, start + ROWS_A_BLOCK))
    return vectors


def _recipe(spec: DatasetSpec, options: Options, loss: LossEntry, clip_size: int) -> dict[str, Any]:
    """Return what is trained and how, with the size that images are really fed with. clip_size: of the scoring model."""
    recipe = spec.recipe.model_dump()
    backbone = options.backbone or recipe["backbone"]
    linear = {
        "epochs": recipe.pop("linear_epochs"),
        "lr": recipe.pop("linear_lr"),
        "linear_init": 0,
        "head_lr_factor": 1.0,
    }
    if backbone == "linear":
        recipe.update(linear)
    recipe["backbone"] = backbone
    recipe["head"] = options.head or loss.head
    if recipe["head"] not in heads.NAMES:
        raise unknown_name("head", recipe["head"], heads.NAMES)
    if loss.head not in ("linear", recipe["head"]):
        raise AevlpError(f"loss {options.loss} needs --head {loss.head}, found {recipe['head']}")
    if backbone in ("linear", "clip"):
        if options.weights:
            raise AevlpError(f"--weights goes with a timm backbone: {backbone} has the weights of the scoring model")
        recipe["weights"], recipe["image_size"] = "scoring model", clip_size
    else:
        recipe["image_size"] = classifiers.input_size(backbone, recipe["image_size"])
        recipe["weights"] = options.weights or "pretrained"
    for name in ("epochs", "batch_size", "lr"):
        value = getattr(options, name)
        if value is not None:
            if not 0 < value < float("inf"):
                raise AevlpError(f"--{name.replace('_', '-')} must be above 0 and finite, found {value}")
            recipe[name] = value
    return recipe


def _loss_constants(spec: DatasetSpec, name: str, linear_init: int, compat: str) -> dict[str, Any]:
    """Return the manifest's constants of a loss, and those that follow from the recipe, the data set and the cache's rules."""
    given = dict(spec.losses.get(name, {}))
    check_constants(name, given)
    takes = constants(name)
    if "linear_init" in takes:
        given["linear_init"] = linear_init
    if "compat" in takes:
        given.setdefault("compat", compat)
    if "expected_positives" in takes:
        given.setdefault("expected_positives", spec.expected_positives)
    return given


def _known_of_labels(
    cache: ScoreCache,
    spec: DatasetSpec,
    options: Options,
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
    later = isinstance(made, Watching)  # it labels by predictions, of which there are none yet
    if policy is not None and not later and not (codes == POSITIVE).any():
        say(
            f"No training image has a pseudo-positive: {options.loss} will learn from observed labels alone. Lower "
            f"`threshold` or `temperature` under `damp` in the manifest; no image need be scored again."
        )
    if given.get("expected_positives", 0) is not None:
        return {}
    known = effective(cache.observed[train.rows], codes)
    return {"expected_positives": float((known == POSITIVE).sum(axis=1).mean())}


def settings_of(plan: Plan) -> dict[str, Any]:
    """Return what shapes a run's numbers, which a resumed run must have in common with its beginning."""
    options = plan.options
    return {
        "cache": str(options.cache.absolute()),
        "cache_fingerprint": plan.cache.fingerprint,
        "dataset": plan.spec.name,
        "data_root": str(plan.root.absolute()),
        "loss": {"name": options.loss, **plan.constants},
        "loss_sha256": source_sha256(options.loss),
        "policy": plan.policy and vars(plan.policy),
        "recipe": plan.recipe,
        "seed": options.seed,
        "precision": str(precision(plan) or torch.float32).removeprefix("torch."),
        **({"compile": True} if options.compile else {}),
        **({"without": list(plan.data.gone)} if plan.data.gone else {}),
        "versions": versions(),
    }


def precision(plan: Plan) -> torch.dtype | None:
    """Return the type for mixed precision, None for single precision."""
    return mixed_precision(plan.device) if plan.options.amp else None


def new_classifier(plan: Plan) -> tuple[Architecture, Classifier]:
    """Return the classifier that training begins with; equal seeds, equal weights."""
    seed_everything(derive(plan.options.seed, "weights"))
    cache, recipe = plan.cache, plan.recipe
    made = cache.provenance
    upright, resize = made["method"]["compat"] == "paper", resize_of(made["resize"])
    statistics = made["pixel_statistics"]
    if recipe["backbone"] == "linear":
        return classifiers.create_linear(
            cache.header.width,
            len(cache.classes),
            made["image_size"],
            statistics["mean"],
            statistics["std"],
            upright,
            recipe["head"],
            resize,
        )
    if recipe["backbone"] == "clip":
        encoder = scoring_encoder(made, plan.spec.manifest_path.parent, plan.device)
        seed_everything(derive(plan.options.seed, "weights"))
        return classifiers.create_clip(
            encoder,
            cache.header.width,
            len(cache.classes),
            statistics["mean"],
            statistics["std"],
            upright,
            recipe["head"],
            resize,
        )
    if recipe["weights"] == classifiers.RANDOM:
        say(f"{recipe['backbone']} starts from RANDOM weights, as asked.")
    return classifiers.create_timm(
        recipe["backbone"], recipe["weights"], len(cache.classes), recipe["image_size"], upright, recipe["head"], resize
    )
