"""What stage one is asked for -> what it will do, checked: the images, the scoring model, the prompts and the cache's header."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...pipeline.clip import towers
from ...pipeline.clip.encoder import RANDOM, ClipEncoder, ClipSource
from ...pipeline.clip.prompts import class_names, class_prompts
from ...pipeline.clip.text_graph import HIDDEN, TextGraph, graph_weights, load_relation
from ...pipeline.datasets import ImageTable, load_images
from ...pipeline.errors import AevlpError
from ...pipeline.files.image_formats import MAX_PIXELS
from ...pipeline.images import decoders
from ...pipeline.images.resizing import FAST, described
from ...pipeline.images.view_loading import ViewDataset
from ...pipeline.labels.observation import checked, parsed
from ...pipeline.manifest.formats import PACKAGED, DatasetSpec
from ...pipeline.manifest.sections import TextGraphConstants
from ...pipeline.runtime.device import find_device
from ...pipeline.runtime.provenance import arrays_sha256, versions, without_origins
from ...pipeline.runtime.ranks import this_rank
from ...pipeline.runtime.seeding import derive
from ...pipeline.score_cache import CacheHeader
from ...pipeline.score_cache.unfinished import cut
from ...pipeline.scoring.parts import PartStore
from ...pipeline.scoring.scorer import FLIPS, Scorer, Threads
from ...pipeline.scoring.shards import ShardScoring
from ..console import say
from . import scoring_model
from .missing_images import note_missing

OPENAI = "openai"  # the tag of the weights that the published program runs with
BATCH = {"cpu": 16, "cuda": 64}  # images at a time; on a GPU as many views as it takes to fill it


@dataclass(frozen=True)
class Options:
    """What the command line may say; None takes the manifest's value, or what fits the device."""

    dataset: str
    cache: Path | None = None
    data_root: Path | None = None
    manifest: Path | Sequence[Path] | None = None
    observe: str | dict[str, Any] | None = None
    clip: str | None = None
    weights: str | None = None
    grid: int | None = None
    limit: int | None = None
    device: str | None = None
    precision: str | None = None
    storage: str = "float16"
    store: str = "cosine"
    compat: str = "paper"
    text_graph: str | None = None
    relation: Path | None = None
    resize: str = FAST
    tower: str | None = None
    batch_size: int | None = None
    shard_size: int = 256
    hash_images: bool = False
    workers: int | None = None
    seed: int = 0
    strict: bool = False
    restart: bool = False
    yes: bool = False
    engine: str = "local"
    actors: int = 1
    gpus: float | None = None
    max_pixels: int = MAX_PIXELS
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    activation: str | None = None
    statistics_from: str | None = None  # where mean and std are from, if not from the command line


@dataclass(frozen=True)
class ScoringPlan:
    """Images to score, in the cache's order, and what scores them. header, text: of the cache, and (C, D) unit vectors."""

    options: Options
    spec: DatasetSpec
    root: Path
    images: ImageTable
    encoder: ClipEncoder
    text: np.ndarray
    header: CacheHeader

    def store(self, target: Path, of: str | None = None) -> PartStore:
        """Return the parts of a cache of these images at `target`; of: the checksum of an old cache that they go into."""
        settings = {
            **comparable(self.header),
            "hash of the list of images and labels": self.images.listing()[:16],
            "of": of,
            "device": self.encoder.device.type,
            "batch_size": self.batch_size(),
            "shard_size": self.options.shard_size,
            "hash_images": self.options.hash_images,
        }
        del settings["dataset"]["fingerprint"]  # sizes of files: each part has the stamps of its own
        return PartStore(target, settings, cut(len(self.images), self.options.shard_size))

    def scoring(self, store: PartStore, threads: Threads) -> ShardScoring:
        """Return what scores the shards of a store."""
        made, encoder, compat = self.header.provenance, self.encoder, self.options.compat
        mean, std = (made["pixel_statistics"][key] for key in ("mean", "std"))
        resize = self.options.resize
        views = ViewDataset(
            self.images.paths.tolist(),
            made["method"]["grid"],
            encoder.image_size,
            compat,
            resize,
            made["decoder"],
            decoded_only=encoder.device.type == "cuda" and resize == FAST,
            max_pixels=self.options.max_pixels,
        )
        encoder.use_tower(self.tower, threads.count)
        settings = self.spec.damp.settings(compat)
        scorer = Scorer(encoder, views, self.header, self.text, mean, std, settings, threads)
        hashed, strict = self.options.hash_images, self.options.strict
        return ShardScoring(self.images, scorer, store, hashed, strict, self.batch_size(), self.workers())

    @property
    def tower(self) -> str:
        """What runs the image tower."""
        return _tower(self.options, self.encoder)

    def batch_size(self) -> int:
        """Return how many images are scored at a time."""
        return self.options.batch_size or BATCH[self.encoder.device.type]

    def workers(self) -> int:
        """Return how many processes decode images."""
        return min(8, os.cpu_count() or 1) if self.options.workers is None else self.options.workers

    def with_fingerprint(self, fingerprint: str) -> CacheHeader:
        """Return the header for the files that were scored in the end."""
        made = self.header.provenance
        return replace(self.header, provenance={**made, "dataset": {**made["dataset"], "fingerprint": fingerprint}})


def make_plan(options: Options, spec: DatasetSpec) -> ScoringPlan:
    """Return what to do for a data set of the manifest; AevlpError where something it needs is wrong or not there."""
    device = find_device(options.device or _device_of_rank())
    root = options.data_root or spec.default_root()
    observation = parsed(options.observe) if isinstance(options.observe, str) else options.observe
    images = load_images(spec, root, observation=checked(observation) if observation else None)
    say(f"{spec.title}: {len(images):,} images, {len(images.classes)} classes, from {root}")
    for remark in images.remarks:
        say(remark.text)
    _note_single_labels(images)
    _note_unlabelled(images, spec)
    if options.limit is not None:
        images = images.take(slice(options.limit))
    note_missing(spec, images)
    names = class_names(images.classes, spec.name_rule, spec.natural_names, spec.synonyms, options.compat)
    sentences = class_prompts(names, spec.prompt)
    graph = _text_graph(options, spec)

    source = scoring_model.asked_for(options, spec.clip)
    if source.weights == RANDOM:
        say("The weights are RANDOM, as asked: scores and pseudo-labels will mean nothing.")
    _note_unpublished_clip(options, source)
    precision = options.precision or ("fp16" if device.type == "cuda" else "fp32")  # bf16 moves cosines by up to 0.01
    encoder = ClipEncoder(source.located(spec.manifest_path.parent), device, precision, options.seed)
    scoring_model.say_how_it_is_fed(source, encoder)
    towers.check(_tower(options, encoder), device, precision)
    grid = options.grid or spec.damp.grid
    text = encoder.encode_classes(sentences)
    if graph is not None:
        text = graph(text, list(images.classes))
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    header = CacheHeader(
        rows=len(images),
        flips=FLIPS,
        views=1 + grid**2,
        width=text.shape[1],
        storage=options.storage,
        classes=images.classes,
        prompts=tuple(" | ".join(of_class) for of_class in sentences),
        has_truth=images.truth is not None,
        provenance=_provenance(options, spec, images, root, encoder, source, grid, graph),
        text=text if options.store == "embedding" else None,
    )
    tower = "" if (used := header.provenance["tower"]) == towers.TORCH else f", {used}"
    say(
        f"{encoder.name} ({encoder.activation}, {precision}{tower}) on {device}, {header.views} views an image and flip"
        f"{scoring_model.own_resize(encoder)}"
    )
    return ScoringPlan(options, spec, root, images, encoder, text, header)


def _device_of_rank() -> str | None:
    """Return the GPU of this process where several share a machine that has some."""
    rank = this_rank()
    return f"cuda:{rank.local}" if rank.of > 1 and torch.cuda.is_available() else None


def _note_unpublished_clip(options: Options, source: ClipSource) -> None:
    """Say where the rules of the published program are asked for with a CLIP that it cannot run."""
    if options.compat == "published" and source.weights != OPENAI:
        say(
            f"--compat published: the published program runs with OpenAI's CLIP alone, so what other weights give matches "
            f"nothing published; here they are {source.weights or source.model}, not the tag {OPENAI}."
        )


def _note_unlabelled(images: ImageTable, spec: DatasetSpec) -> None:
    """Say where images without a label are taken to show none of the classes, and nobody said that labels are complete."""
    if images.truth is None or "labels" not in type(spec).model_fields or "labels" in spec.model_fields_set:
        return
    if empty := int((images.truth == 0).all(axis=1).sum()):
        say(
            f"{empty:,} of {len(images):,} images have no label and are taken to show none of the classes: say "
            f"`labels: observed` in the manifest entry if nobody looked for all of them, `labels: complete` if that is so"
        )


def _note_single_labels(images: ImageTable) -> None:
    train = images.split == "train"
    if images.truth is not None and len(images.classes) > 1 and train.any() and images.truth[train].sum(1).max() <= 1:
        say(
            "Every training image has at most one label. If an image may show more than its label says, write "
            "`labels: observed` in its manifest entry, so that the labels are not taken for the whole truth."
        )


def _text_graph(options: Options, spec: DatasetSpec) -> TextGraph | None:
    """Return the frozen text graph: as asked for, or else where the manifest gives its constants."""
    kind = options.text_graph or ("none" if spec.text_graph is None else "frozen")
    if kind == "none":
        if options.relation:
            raise AevlpError("--relation is read by the text graph alone: pass --text-graph frozen with it")
        return None
    constants = (spec.text_graph or TextGraphConstants()).model_dump()
    relation = load_relation(options.relation) if options.relation else None
    return TextGraph(**constants, seed=derive(options.seed, "text graph"), relation=relation)


def _graph_provenance(options: Options, graph: TextGraph | None, encoder: ClipEncoder) -> dict[str, Any] | str:
    if graph is None:
        return "none"
    return {
        "kind": "frozen",
        "sparse_topk": graph.sparse_topk,
        "reweight": graph.reweight,
        "temperature": graph.temperature,
        "hidden": HIDDEN,
        "seed": graph.seed,
        "weights_sha256": arrays_sha256(*graph_weights(encoder.config["embed_dim"], graph.seed)),
        "relation": "cosines of the text features" if graph.relation is None else arrays_sha256(graph.relation),
    }


def _tower(options: Options, encoder: ClipEncoder) -> str:
    """Return what runs the image tower."""
    return options.tower or towers.fitting(encoder.device, encoder.precision)


def _provenance(
    options: Options,
    spec: DatasetSpec,
    images: ImageTable,
    root: Path,
    encoder: ClipEncoder,
    source: ClipSource,
    grid: int,
    graph: TextGraph | None,
) -> dict[str, Any]:
    return {
        "dataset": {
            "name": spec.name,
            "manifest": "" if spec.manifest_path == PACKAGED else str(spec.manifest_path),
            "root": str(root.absolute()),
            "fingerprint": images.fingerprint(),
            "label_files": images.label_hashes(),
        },
        "clip": scoring_model.recorded(source, encoder),
        "weights_sha256": encoder.weights_sha256,
        "activation": encoder.activation,
        "image_size": encoder.image_size,
        "pixel_statistics": scoring_model.recorded_statistics(encoder),
        "resize": described(options.resize),
        "decoder": decoders.fastest(),
        "tower": towers.described(_tower(options, encoder)),
        "prompt": list(spec.prompt),
        "text_graph": _graph_provenance(options, graph, encoder),
        "method": {**vars(spec.damp.settings(options.compat)), "grid": grid},
        "observation": images.observation,
        "precision": encoder.precision,
        "seed": options.seed,
        "versions": versions(),
    }


def comparable(header: CacheHeader) -> dict[str, Any]:
    """Return what must agree for two runs to give the same cache: all but where the files were, and by what they were decoded.

    The data's fingerprint stands last: it changes with the observed labels too, and the regime says more than a hash.
    """
    whole = {
        "images": header.rows,
        "store": header.stores,
        "storage": header.storage,
        "prompts": header.prompts,
        **without_origins(header.provenance),
    }
    whole.setdefault("tower", towers.TORCH)  # caches of before there were others
    whole["method"] = {"half": False, **whole["method"]}  # caches of before it was a constant
    whole.pop("decoder", None)  # none is used that does not give the same pixels
    dataset = whole.pop("dataset")
    return {**whole, "dataset": {key: dataset[key] for key in ("name", "fingerprint")}}
