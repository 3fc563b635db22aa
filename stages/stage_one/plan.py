"""What stage one is asked for -> what it will do, checked: the images, the scoring model, the prompts and the cache's header."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ...pipeline.clip import towers
from ...pipeline.clip.encoder import RANDOM, ClipSource
from ...pipeline.clip.libraries import Encoder, load_encoder
from ...pipeline.clip.prompts import class_names, class_prompts
from ...pipeline.datasets import ImageTable, load_images
from ...pipeline.datasets.content_split import Placed
from ...pipeline.errors import counted
from ...pipeline.files.file_versions import FileVersions
from ...pipeline.images import decoders
from ...pipeline.images.resizing import described
from ...pipeline.images.schemes import GRID, scheme_of
from ...pipeline.manifest.formats import PACKAGED, DatasetSpec
from ...pipeline.runtime.device import find_device
from ...pipeline.runtime.provenance import versions
from ...pipeline.runtime.ranks import this_rank
from ...pipeline.score_cache import CacheHeader
from ...pipeline.scoring.recipe import MadeFrom, Recipe
from ...pipeline.scoring.scorer import FLIPS
from ..console import say
from . import scoring_model, text_graph
from .label_notes import note_labels
from .missing_images import note_missing
from .options import PseudolabelOptions

OPENAI = "openai"  # the tag of the weights that the published program runs with
BATCH = {"cpu": 16, "cuda": 64}  # images at a time; on a GPU as many views as it takes to fill it


@dataclass(frozen=True)
class ScoringPlan:
    """Images to score, in the cache's order, and what scores them.

    versions: of the images' files, as they were when the plan was made. recipe: all that shapes the scores. text: (C, D) unit
    vectors. header: of the cache. tower: what runs the image tower. batch_size: images at a time. workers: processes that decode.
    """

    options: PseudolabelOptions
    spec: DatasetSpec
    root: Path
    images: ImageTable
    versions: FileVersions
    encoder: Encoder
    recipe: Recipe
    text: np.ndarray
    header: CacheHeader
    tower: str
    batch_size: int
    workers: int

    def take(self, rows: np.ndarray) -> "ScoringPlan":
        """Return the plan for some of the images, by their numbers."""
        return replace(
            self,
            images=self.images.take(rows),
            versions=self.versions.take(rows),
            recipe=replace(self.recipe, images=len(rows)),
            header=replace(self.header, rows=len(rows)),
        )

    def with_fingerprint(self, fingerprint: str) -> CacheHeader:
        """Return the header for the files that were scored in the end."""
        made = replace(self.recipe, dataset=replace(self.recipe.dataset, fingerprint=fingerprint))
        return replace(self.header, provenance=made.provenance())


def make_plan(options: PseudolabelOptions, spec: DatasetSpec, placed: Placed | None = None) -> ScoringPlan:
    """Return what to do for a data set of the manifest; AevlpError where something it needs is wrong or not there.

    placed: as for `load_images`.
    """
    device = find_device(options.device or _device_of_rank())
    root = options.data_root or spec.default_root()
    images = load_images(spec, root, simulate=options.simulate, placed=placed)
    say(
        f"{spec.title}: {counted(len(images), 'image')}, {counted(len(images.classes), 'class', 'classes')}, from {root}"
    )
    for remark in images.remarks:
        say(remark.text)
    note_labels(images, spec)
    if options.limit is not None:
        images = images.take(slice(options.limit))
    files = FileVersions(images.paths)
    note_missing(spec, images, files)
    names = class_names(images.classes, spec.name_rule, spec.natural_names, spec.synonyms, options.compat)
    sentences = class_prompts(names, spec.prompt)
    asked = options.asked_views
    views = scheme_of(spec.damp.grid if asked is None else asked, options.compat)
    graph = text_graph.asked_for(options, spec)

    source = scoring_model.asked_for(options, spec.clip)
    if source.weights == RANDOM:
        say("The weights are RANDOM, as asked: scores and pseudo-labels will mean nothing.")
    _note_unpublished_clip(options, source)
    precision = options.precision or ("fp16" if device.type == "cuda" else "fp32")  # bf16 moves cosines by up to 0.01
    encoder = load_encoder(source.located(spec.manifest_path.parent), device, precision, options.seed)
    scoring_model.say_how_it_is_fed(source, encoder)
    tower = options.tower or towers.fitting(device, precision)
    towers.check(tower, device, precision)
    text = encoder.encode_classes(sentences)
    if graph is not None:
        text = graph(text, list(images.classes))
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    recipe = Recipe(
        images=len(images),
        store=options.store,
        storage=options.storage,
        prompts=tuple(" | ".join(of_class) for of_class in sentences),
        dataset=_made_from(spec, images, root, files),
        clip=scoring_model.recorded(source, encoder),
        weights_sha256=encoder.weights_sha256,
        activation=encoder.activation,
        image_size=encoder.image_size,
        pixel_statistics=scoring_model.recorded_statistics(encoder),
        resize=described(options.resize),
        decoder=decoders.fastest(),
        tower=towers.described(tower),
        prompt=list(spec.prompt),
        text_graph=text_graph.recorded(graph, encoder),
        method={**vars(spec.damp.settings(options.compat)), "grid": views.recorded},
        simulate=images.simulate,
        precision=encoder.precision,
        seed=options.seed,
        versions=versions(),
        logits=encoder.logits._asdict(),
    )
    header = CacheHeader(
        rows=len(images),
        flips=FLIPS,
        views=views.count,
        width=text.shape[1],
        storage=options.storage,
        classes=images.classes,
        prompts=recipe.prompts,
        has_truth=images.truth is not None,
        provenance=recipe.provenance(),
        text=text if options.store == "embedding" else None,
    )
    said = "" if recipe.tower == towers.TORCH else f", {recipe.tower}"
    named = "" if views.name == GRID else f" ({views})"
    say(
        f"{encoder.name} ({encoder.activation}, {precision}{said}) on {device}, {header.views} views{named} an image and flip"
        f"{scoring_model.own_resize(encoder)}"
    )
    batch_size = options.batch_size or BATCH[device.type]
    workers = min(8, os.cpu_count() or 1) if options.workers is None else options.workers
    return ScoringPlan(options, spec, root, images, files, encoder, recipe, text, header, tower, batch_size, workers)


def _device_of_rank() -> str | None:
    """Return the GPU of this process where several share a machine that has some."""
    rank = this_rank()
    return f"cuda:{rank.local}" if rank.of > 1 and torch.cuda.is_available() else None


def _note_unpublished_clip(options: PseudolabelOptions, source: ClipSource) -> None:
    """Say where the rules of the published program are asked for with a CLIP that it cannot run."""
    if options.compat == "published" and source.weights != OPENAI:
        say(
            f"--compat published: the published program runs with OpenAI's CLIP alone, so what other weights give matches "
            f"nothing published; here they are {source.weights or source.model}, not the tag {OPENAI}."
        )


def _made_from(spec: DatasetSpec, images: ImageTable, root: Path, files: FileVersions) -> MadeFrom:
    return MadeFrom(
        name=spec.name,
        manifest="" if spec.manifest_path == PACKAGED else str(spec.manifest_path),
        root=str(root.absolute()),
        fingerprint=images.fingerprint(files.sizes),
        label_files=images.label_hashes(),
        split_by=None if spec.split_by is None else spec.split_by.content,
    )
