"""Stage two: a cache -> a run folder with a trained classifier and what was measured on the way."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..pipeline import classifier as classifiers
from ..pipeline.classifier import Architecture, Classifier
from ..pipeline.datasets import load_images
from ..pipeline.device import find_device, mixed_precision
from ..pipeline.early_stopping import EarlyStopping
from ..pipeline.encoder import ClipEncoder, ClipSource
from ..pipeline.errors import AevlpError, unknown_name
from ..pipeline.images import file_size
from ..pipeline.label_codes import POSITIVE, effective
from ..pipeline.losses import TABLE, Targets, check_constants, constants, create
from ..pipeline.manifest import load_manifest
from ..pipeline.metrics import classes_without_positives, mean_average_precision
from ..pipeline.observation import checked
from ..pipeline.provenance import versions
from ..pipeline.pseudo_labels import DampSettings
from ..pipeline.score_cache import ScoreCache, open_cache
from ..pipeline.seeding import derive, seed_everything
from ..pipeline.single_positive import split_train_val
from ..pipeline.specs import DatasetSpec
from ..pipeline.training_data import EmbeddingInputs, Inputs, PixelInputs
from ..pipeline.training_loop import autocast, predict_logits, train_epoch
from .console import Rate, out, progress_bar, say
from .run_folder import RunFolder

EVALUATION_BATCH = 64


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


@dataclass(frozen=True)
class Split:
    """Rows of the cache, and the labels that scores on them are judged by."""

    rows: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class Plan:
    """A training run, checked and ready to start."""

    options: Options
    cache: ScoreCache
    spec: DatasetSpec
    device: torch.device
    recipe: dict[str, Any]
    damp: DampSettings
    constants: dict[str, Any]
    root: Path
    train: Split
    val: Split
    test: Split


def run(options: Options) -> Path:
    """Train one classifier from a cache, print the result, and return its run folder."""
    plan = make_plan(options)
    folder = RunFolder(options.run or _default_folder(plan))
    settings = _settings(plan)
    state = folder.continue_with(settings) if options.resume else None
    seed_everything(derive(options.seed, "weights"))
    architecture, classifier = _classifier(plan)
    if not options.resume:
        folder.start(settings)
    inputs = classifier_inputs(architecture, plan.cache, plan.root, plan.device, options.workers)
    say(
        f"{folder.path}: {options.loss} with {plan.recipe['backbone']} on {plan.device}, "
        f"{len(plan.train.rows):,} images to train on, {len(plan.val.rows):,} to validate, {len(plan.test.rows):,} to test"
    )
    _train(plan, folder, architecture, classifier.to(plan.device), inputs, state)
    _finish(plan, folder, inputs)
    return folder.path


def run_or_reuse(options: Options) -> Path:
    """Train into options.run unless that run is finished; go on with one that is not. AevlpError where its settings differ."""
    assert options.run is not None
    folder = RunFolder(options.run)
    if not folder.settings_file.exists():  # not started, or killed before its first file
        return run(options)
    folder.insist_on(_settings(make_plan(options)))
    if not folder.finished():
        return run(replace(options, resume=True))
    say(f"{folder.path} is finished already")
    return folder.path


def make_plan(options: Options) -> Plan:
    """Return what to do, after checking everything that can be checked before a model is loaded."""
    if options.loss not in TABLE:
        raise unknown_name("loss", options.loss, TABLE)
    cache = open_cache(options.cache)
    spec = dataset_of(cache, options.dataset, options.manifest)
    root = data_root(cache, options.data_root)
    device = find_device(options.device)
    if "truth" in TABLE[options.loss].reads and cache.truth is None:
        raise AevlpError(f"loss {options.loss} needs full labels, and {cache.path} has none: choose another loss")
    check_dataset(cache, spec, root)
    recipe = _recipe(spec, options)
    train, val, test = splits(cache, recipe["val_fraction"])
    if not (cache.observed[train.rows] == POSITIVE).any():
        raise AevlpError(f"{cache.path}: no training image has an observed positive, there is nothing to learn from")
    damp = spec.damp.settings(cache.provenance["method"]["compat"])
    pseudo = cache.codes(damp)[train.rows] if "pseudo" in TABLE[options.loss].reads else None
    if pseudo is not None and not (pseudo == POSITIVE).any():
        say(
            f"No training image has a pseudo-positive: {options.loss} will learn from observed labels alone. Lower "
            f"`threshold` or `temperature` under `damp` in the manifest; no image need be scored again."
        )
    observed = cache.observed[train.rows]
    known = observed if pseudo is None else effective(observed, pseudo)
    given = _loss_constants(spec, options.loss, known, recipe["linear_init"])
    create(options.loss, len(cache.classes), **given)
    return Plan(options, cache, spec, device, recipe, damp, given, root, train, val, test)


def dataset_of(cache: ScoreCache, name: str | None, manifest: Path | Sequence[Path] | None) -> DatasetSpec:
    """Return the manifest's entry for a cache: the one it was made from, unless another is named."""
    made_from = cache.provenance["dataset"]
    path = manifest or (Path(made_from["manifest"]) if made_from["manifest"] else None)
    if isinstance(path, Path) and not path.is_file():
        raise AevlpError(f"{cache.path} was made from the manifest {path}, which is not there: pass it as --manifest")
    return load_manifest(path)[name or made_from["name"]]


def data_root(cache: ScoreCache, given: Path | None) -> Path:
    """Return the folder of the cache's images: the one given, or the one they were scored in."""
    root = given or Path(cache.provenance["dataset"]["root"])
    if not root.is_dir():
        raise AevlpError(f"no folder {root}, where the images of {cache.path} were: pass --data-root")
    return root


def check_dataset(cache: ScoreCache, spec: DatasetSpec, root: Path) -> None:
    """Raise AevlpError where the cache was made from other classes, images or labels than the data set has now."""
    made_by = cache.provenance["observation"]
    images = load_images(spec, root, observation=checked(made_by) if isinstance(made_by, dict) else None)
    if list(images.classes) != cache.classes:
        odd = sorted(set(images.classes) ^ set(cache.classes))
        detail = f"{len(odd)} differ, such as {odd[0]!r}" if odd else "the order differs"
        raise AevlpError(
            f"{cache.path} has other classes than {spec.name} ({detail}): score it again with aevlp pseudolabel"
        )
    row_of = {name: row for row, name in enumerate(images.ids.tolist())}
    strange = [name for name in cache.ids.tolist() if name not in row_of]
    if strange:
        raise AevlpError(
            f"{cache.path} holds {len(strange):,} images that {spec.name} in {root} does not list, first {strange[0]!r}: "
            f"it was made from other data"
        )
    rows = np.array([row_of[name] for name in cache.ids.tolist()])
    changed = np.flatnonzero(
        (images.observed[rows] != cache.observed).any(axis=1) | (images.split[rows] != cache.split)
    )
    if len(changed):
        raise AevlpError(
            f"{cache.path} holds other labels or splits than {spec.name} in {root} for {len(changed):,} images, first "
            f"{str(cache.ids[changed[0]])!r}: score it again with aevlp pseudolabel --restart"
        )
    used = images.take(rows)
    if used.fingerprint() != cache.provenance["dataset"]["fingerprint"]:
        files = zip(cache.ids.tolist(), cache.status.tolist(), used.paths.tolist(), strict=True)
        gone = [name for name, status, path in files if status == "ok" and file_size(path) is None]
        if gone:
            raise AevlpError(f"{len(gone):,} images that were scored are not in {root} any more, first {gone[0]!r}")
        raise AevlpError(
            f"{cache.path} was made from other files than those of {spec.name} in {root}: their names agree, their sizes do "
            f"not. If the images have changed, score them again with aevlp pseudolabel --restart"
        )
    if len(rows) < len(images):
        say(f"{cache.path} holds {len(rows):,} of the {len(images):,} images of {spec.name}: only these are used")


def splits(cache: ScoreCache, val_fraction: float) -> tuple[Split, Split, Split]:
    """Return the training, validation and test rows that could be scored; judged by truth, where known, or observed labels.

    The validation part is drawn from all training rows, as in the protocol, before unreadable images are left out.
    """
    ok = cache.status == "ok"
    labels = cache.observed if cache.truth is None else cache.truth
    pool = np.flatnonzero(cache.split == "train")
    if not ok[pool].any():
        raise AevlpError(f"{cache.path} holds no readable image of the training split: there is nothing to train on")
    compat = cache.provenance["method"]["compat"]
    train, val = (pool[part] for part in split_train_val(len(pool), val_fraction, compat=compat))
    test = np.flatnonzero(cache.split == "test")
    parts = [Split(rows[ok[rows]], labels[rows[ok[rows]]]) for rows in (train, val, test)]
    for name, part in zip(("training", "validation"), parts, strict=False):
        if not len(part.rows):
            raise AevlpError(f"{cache.path}: no readable image is left for {name}")
    return parts[0], parts[1], parts[2]


def classifier_inputs(
    architecture: Architecture, cache: ScoreCache, root: Path, device: torch.device, workers: int
) -> Inputs:
    """Return where a classifier's inputs come from: the cache's embeddings, or the images below `root`."""
    if architecture.backbone == "linear":
        return EmbeddingInputs(cache.embedding(slice(None)), device)
    paths = [root / path for path in cache.paths.tolist()]
    return PixelInputs(
        paths, architecture.size, architecture.upright, architecture.mean, architecture.std, device, workers
    )


def _recipe(spec: DatasetSpec, options: Options) -> dict[str, Any]:
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
    if backbone in ("linear", "clip"):
        if options.weights:
            raise AevlpError(f"--weights goes with a timm backbone: {backbone} has the weights of the scoring model")
        recipe["weights"] = "scoring model"
    else:
        recipe["weights"] = options.weights or "pretrained"
    for name in ("epochs", "batch_size", "lr"):
        value = getattr(options, name)
        if value is not None:
            if not 0 < value < float("inf"):
                raise AevlpError(f"--{name.replace('_', '-')} must be above 0 and finite, found {value}")
            recipe[name] = value
    return recipe


def _loss_constants(spec: DatasetSpec, name: str, known: np.ndarray, linear_init: int) -> dict[str, Any]:
    """Return the manifest's constants of a loss; where it says no number of positives, that of the codes (N, C) known."""
    given = dict(spec.losses.get(name, {}))
    check_constants(name, given)
    takes = constants(name)
    if "linear_init" in takes:
        given["linear_init"] = linear_init
    if "expected_positives" in takes and "expected_positives" not in given:
        given["expected_positives"] = float((known == POSITIVE).sum(axis=1).mean())
    return given


def _settings(plan: Plan) -> dict[str, Any]:
    options = plan.options
    return {
        "cache": str(options.cache.absolute()),
        "cache_fingerprint": plan.cache.fingerprint,
        "dataset": plan.spec.name,
        "data_root": str(plan.root.absolute()),
        "loss": {"name": options.loss, **plan.constants},
        "damp": vars(plan.damp),
        "recipe": plan.recipe,
        "seed": options.seed,
        "precision": str(_precision(plan)),
        "versions": versions(),
    }


def _precision(plan: Plan) -> torch.dtype | None:
    return mixed_precision(plan.device) if plan.options.amp else None


def _default_folder(plan: Plan) -> Path:
    """Return runs/<data set>-<loss>-<backbone>-seed<n>, numbered where that is taken; to resume, the latest of them."""
    backbone = plan.recipe["backbone"].replace("/", "-")
    name = f"{plan.spec.name}-{plan.options.loss}-{backbone}-seed{plan.options.seed}"
    number, taken = 1, None
    while (path := Path("runs") / (name if number == 1 else f"{name}-{number}")).exists():
        number, taken = number + 1, path
    if plan.options.resume and taken is None:
        raise AevlpError(f"there is no run {path} to resume: name it with --run, or leave --resume out")
    return taken if plan.options.resume and taken else path


def scoring_encoder(provenance: dict[str, Any], folder: Path, device: torch.device) -> ClipEncoder:
    """Return the CLIP that made a cache; AevlpError where its weights are others by now.

    provenance: the cache's, or the same keys of a run. folder: the manifest's, below which its files are looked for.
    """
    clip = provenance["clip"]
    source = ClipSource(clip["model"], clip["weights"]).located(folder)
    encoder = ClipEncoder(source, device, seed=provenance["seed"])
    if encoder.weights_sha256 != provenance["weights_sha256"]:
        raise AevlpError(
            f"{clip['weights']} of {clip['model']} are not the weights that made the cache: SHA-256 "
            f"{encoder.weights_sha256[:12]}…, expected {provenance['weights_sha256'][:12]}…"
        )
    return encoder


def _classifier(plan: Plan) -> tuple[Architecture, Classifier]:
    cache, recipe = plan.cache, plan.recipe
    made = cache.provenance
    upright = made["method"]["compat"] == "paper"
    statistics = made["pixel_statistics"]
    if recipe["backbone"] == "linear":
        return classifiers.create_linear(
            cache.header.width, len(cache.classes), made["image_size"], statistics["mean"], statistics["std"], upright
        )
    if recipe["backbone"] == "clip":
        encoder = scoring_encoder(made, plan.spec.manifest_path.parent, plan.device)
        seed_everything(derive(plan.options.seed, "weights"))
        return classifiers.create_clip(
            encoder, cache.header.width, len(cache.classes), statistics["mean"], statistics["std"], upright
        )
    if recipe["weights"] == classifiers.RANDOM:
        say(f"{recipe['backbone']} starts from RANDOM weights, as asked.")
    return classifiers.create_timm(
        recipe["backbone"], recipe["weights"], len(cache.classes), recipe["image_size"], upright
    )


def _train(
    plan: Plan,
    folder: RunFolder,
    architecture: Architecture,
    classifier: Classifier,
    inputs: Inputs,
    state: dict[str, Any] | None,
) -> None:
    """Train from `state`, or from the start, until the recipe's end; every epoch's end is saved."""
    recipe, seed = plan.recipe, plan.options.seed
    loss = create(plan.options.loss, len(plan.cache.classes), **plan.constants)
    optimizer = torch.optim.Adam(classifier.parameter_groups(recipe["lr"], recipe["head_lr_factor"]))
    dtype = _precision(plan)
    scaler = torch.amp.GradScaler(plan.device.type, enabled=dtype is torch.float16)
    mixed = autocast(plan.device, dtype)
    stopping, epoch, ended = EarlyStopping(), 0, False
    if state:
        classifier.load_state_dict(state["classifier"])
        optimizer.load_state_dict(state["optimizer"])
        scaler.load_state_dict(state["scaler"])
        stopping, epoch, ended = EarlyStopping(**state["stopping"]), state["epoch"], state["ended"]
        say(f"going on after epoch {epoch}")
    provenance = plan.cache.provenance
    about = {
        "cache_fingerprint": plan.cache.fingerprint,
        "clip": provenance["clip"],
        "weights_sha256": provenance["weights_sha256"],
        "seed": provenance["seed"],
        "manifest": provenance["dataset"]["manifest"],
        "loss": plan.options.loss,
    }

    while not ended:
        epoch += 1
        started = time.monotonic()
        loss.set_epoch(epoch, recipe["epochs"])
        classifier.freeze_backbone(epoch <= recipe["linear_init"])
        # Every epoch starts from a seed of its own, so that a resumed run draws what an uninterrupted one would.
        seed_everything(derive(seed, "epoch", epoch))
        random = np.random.default_rng(derive(seed, "order", epoch))
        rows = random.permutation(plan.train.rows)
        mirrored = random.random(len(rows)) < 0.5
        targets = _targets(plan, epoch)
        with progress_bar(Rate("images")) as bar:
            task = bar.add_task(f"epoch {epoch}/{recipe['epochs']}", total=len(rows))
            mean_loss = train_epoch(
                classifier,
                inputs.batches(rows, recipe["batch_size"], mirrored),
                targets,
                loss,
                optimizer,
                scaler,
                mixed,
                lambda n, bar=bar, task=task: bar.advance(task, n),
            )
        val_map = mean_average_precision(judged(classifier, inputs, plan.val.rows, mixed), plan.val.truth)
        better = stopping.improves(100 * val_map)
        ended = stopping.stops(100 * val_map) or epoch == recipe["epochs"]
        if better or epoch == 1:
            folder.save_best(classifier, architecture, plan.cache.classes, {**about, "epoch": epoch})
        seconds = round(time.monotonic() - started, 2)
        folder.log({"epoch": epoch, "loss": mean_loss, "val_map": val_map, "best": better, "seconds": seconds})
        folder.save_state(
            {
                "epoch": epoch,
                "ended": ended,
                "classifier": dict(classifier.state_dict()),
                "optimizer": optimizer.state_dict(),
                "scaler": scaler.state_dict(),
                "stopping": vars(stopping),
            }
        )
        mark = ", the best so far" if better else ""
        say(f"epoch {epoch}: loss {mean_loss:.4f}, validation mAP {100 * val_map:.2f}{mark}")
        if ended and epoch < recipe["epochs"]:
            say("stopped early: validation no longer improves")


def _targets(plan: Plan, epoch: int) -> Callable[[np.ndarray], Targets]:
    """Return row numbers -> targets on the device, with the pseudo-labels of this epoch if the loss reads them."""
    cache, device = plan.cache, plan.device
    reads = TABLE[plan.options.loss].reads
    pseudo = cache.codes(plan.damp, epoch, plan.options.seed) if "pseudo" in reads else None

    def on_device(labels: np.ndarray | None, rows: np.ndarray) -> torch.Tensor | None:
        return None if labels is None else torch.from_numpy(labels[rows]).to(device, non_blocking=True)

    def targets(rows: np.ndarray) -> Targets:
        observed = torch.from_numpy(cache.observed[rows]).to(device, non_blocking=True)
        truth = on_device(cache.truth, rows) if "truth" in reads else None
        return Targets(observed=observed, pseudo=on_device(pseudo, rows), truth=truth, rows=torch.from_numpy(rows))

    return targets


def judged(classifier: Classifier, inputs: Inputs, rows: np.ndarray, mixed: AbstractContextManager) -> np.ndarray:
    """Return the logits of some rows of the cache, (n, C) float32, each row exactly once."""
    return predict_logits(classifier, inputs.batches(rows, EVALUATION_BATCH), mixed)


def _finish(plan: Plan, folder: RunFolder, inputs: Inputs) -> None:
    """Judge the best weights on the test split, once, and say where everything is."""
    best = max((line for line in folder.metrics() if "val_map" in line), key=lambda line: line["val_map"])
    result = f"best validation mAP {100 * best['val_map']:.2f} in epoch {best['epoch']}"
    if len(plan.test.rows):
        classifier = folder.load_best()[0].to(plan.device)
        logits = judged(classifier, inputs, plan.test.rows, autocast(plan.device, _precision(plan)))
        test_map = mean_average_precision(logits, plan.test.truth)
        folder.save_test(plan.test.rows, logits)
        folder.log({"test_map": test_map, "best_epoch": best["epoch"]})
        result += f", test mAP [bold]{100 * test_map:.2f}[/bold]"
    else:
        folder.log({"best_epoch": best["epoch"]})
    against = "" if plan.cache.truth is not None else " (against observed labels: the full truth is not known)"
    out.print(f"[bold]{folder.path}[/bold]: {result}{against}")
    for name, split in (("validation", plan.val), ("test", plan.test)):
        empty = classes_without_positives(split.truth) if len(split.rows) else []
        if len(empty):
            names = ", ".join(plan.cache.classes[c] for c in empty[:5]) + (", …" if len(empty) > 5 else "")
            say(f"{len(empty)} classes have no positive in the {name} split and count 0 in its mAP: {names}")
    evaluate = f"aevlp evaluate {folder.path} · " if len(plan.test.rows) else ""
    out.print(f"next: {evaluate}aevlp predict {folder.path} IMAGE…")
