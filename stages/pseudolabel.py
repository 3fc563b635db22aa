"""Stage one: a data set -> its cache of scores and pseudo-labels."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..pipeline.datasets import ImageTable, load_images
from ..pipeline.device import find_device
from ..pipeline.encoder import IMAGENET_STATISTICS, RANDOM, ClipEncoder, ClipSource
from ..pipeline.errors import AevlpError
from ..pipeline.images import file_size
from ..pipeline.label_graph import HIDDEN, TextGraph, graph_weights, load_relation
from ..pipeline.manifest import load_manifest
from ..pipeline.observation import parsed
from ..pipeline.prompts import class_names, class_prompts
from ..pipeline.provenance import arrays_sha256, difference, versions
from ..pipeline.score_cache import CacheHeader, check_suffix, open_cache, write_cache
from ..pipeline.scoring import FLIPS, Scorer, score_images
from ..pipeline.seeding import derive
from ..pipeline.spec_sections import TextGraphConstants
from ..pipeline.specs import PACKAGED, DatasetSpec
from ..pipeline.view_loading import ViewBatch, ViewDataset, load_views
from .console import Rate, out, progress_bar, say

VIEWS_A_PASS = {"cpu": 64, "cuda": 1024}


@dataclass(frozen=True)
class Options:
    """What the command line may say; None takes the manifest's value, or what fits the device."""

    dataset: str
    cache: Path | None = None
    data_root: Path | None = None
    manifest: Path | Sequence[Path] | None = None
    observe: str | None = None
    clip: str | None = None
    weights: str | None = None
    grid: int | None = None
    limit: int | None = None
    device: str | None = None
    precision: str | None = None
    storage: str = "float16"
    compat: str = "paper"
    text_graph: str | None = None
    relation: Path | None = None
    batch_size: int = 16
    workers: int | None = None
    seed: int = 0
    strict: bool = False
    restart: bool = False


def run(options: Options) -> Path:
    """Score every image of a data set, write the cache, print a summary, and return the cache's path."""
    spec = load_manifest(options.manifest)[options.dataset]
    path = check_suffix(options.cache or Path("cache") / f"{spec.name}.h5")
    _check_target(path)
    device = find_device(options.device)
    root = options.data_root or spec.default_root()
    images = load_images(spec, root, observation=parsed(options.observe) if options.observe else None)
    say(f"{spec.title}: {len(images):,} images, {len(images.classes)} classes, from {root}")
    _note_single_labels(images)
    if options.limit is not None:
        images = images.take(slice(options.limit))
    _note_missing(images, root)
    names = class_names(images.classes, spec.name_rule, spec.natural_names, spec.synonyms, options.compat)
    sentences = class_prompts(names, spec.prompt)
    graph = _text_graph(options, spec)

    source = ClipSource(options.clip or spec.clip.model, _weights(options, spec))
    if source.weights == RANDOM:
        say("The weights are RANDOM, as asked: scores and pseudo-labels will mean nothing.")
    precision = options.precision or ("bf16" if device.type == "cuda" else "fp32")
    encoder = ClipEncoder(source.located(spec.manifest_path.parent), device, precision, options.seed)
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
    )

    if path.exists() and not options.restart:
        changed = difference(_comparable(header), _comparable(open_cache(path).header))
        if changed:
            raise AevlpError(
                f"{path} was made otherwise (this run has {changed}): choose another --cache, or --restart to replace it"
            )
        out.print(f"{path} is there already, made with these very settings: nothing to do")
        return path

    settings = spec.damp.settings(options.compat)
    mean, std = (header.provenance["pixel_statistics"][key] for key in ("mean", "std"))
    scorer = Scorer(encoder, text, mean, std, VIEWS_A_PASS[device.type], options.storage)
    dataset = ViewDataset(images.paths.tolist(), grid, encoder.image_size, options.compat)
    workers = min(8, os.cpu_count() or 1) if options.workers is None else options.workers
    say(f"{encoder.name} ({encoder.activation}, {precision}) on {device}, {header.views} views an image and flip")

    counted = _Count()
    started = time.monotonic()
    with progress_bar(Rate("images"), Rate("views", FLIPS * header.views)) as bar:
        task = bar.add_task("scoring", total=len(images))
        batches = load_views(dataset, options.batch_size, workers)
        if options.strict:
            batches = _readable_only(batches, images)

        def done(batch: ViewBatch) -> None:
            counted.add(batch)
            bar.advance(task, len(batch.status))

        rows = score_images(images, batches, scorer, settings, header.views, done)
        write_cache(path, header, _some_readable(rows, counted))
    _summary(path, counted, header, time.monotonic() - started, options)
    return path


def _check_target(path: Path) -> None:
    """Raise AevlpError where a cache cannot be written, or would replace what is no cache, before any work is done."""
    existing = next(folder for folder in path.absolute().parents if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise AevlpError(f"cannot write {path}: {existing} is {'read-only' if existing.is_dir() else 'not a folder'}")
    if not path.exists():
        return
    folder = path.suffix == ".parquet"
    if path.is_dir() != folder:
        raise AevlpError(
            f"{path} is a {'file' if folder else 'folder'}, a {path.suffix} cache is not: choose another --cache"
        )
    if folder and (
        strange := [p.name for p in path.iterdir() if not (p.name.startswith("part-") and p.suffix == ".parquet")]
    ):
        raise AevlpError(f"{path} holds {strange[0]!r}, which is no part of a cache: choose another --cache")


def _weights(options: Options, spec: DatasetSpec) -> str:
    """Return the weights asked for; a model named without weights is not given those of the manifest's model."""
    if options.weights is not None:
        return options.weights
    if options.clip is not None and options.clip != spec.clip.model:
        raise AevlpError(f"--clip {options.clip} needs --weights: a tag of open_clip, a file, or {RANDOM}")
    return spec.clip.weights


def _note_single_labels(images: ImageTable) -> None:
    train = images.split == "train"
    if images.truth is not None and len(images.classes) > 1 and train.any() and images.truth[train].sum(1).max() <= 1:
        say(
            "Every training image has at most one label. If an image may show more than its label says, write "
            "`labels: observed` in its manifest entry, so that the labels are not taken for the whole truth."
        )


def _note_missing(images: ImageTable, root: Path) -> None:
    """Say before any work which images are not on disk; AevlpError where none is."""
    missing = [path for path in images.paths.tolist() if file_size(path) is None]
    if not missing:
        return
    named = f"{', '.join(str(path.relative_to(root)) for path in missing[:3])}{', …' if len(missing) > 3 else ''}"
    if len(missing) == len(images):
        raise AevlpError(
            f"none of the {len(images):,} images that are listed is in {root}: {named}; is it the data set's own folder?"
        )
    say(f"{len(missing):,} of {len(images):,} images are not in {root}: {named}")


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
    mean, std = IMAGENET_STATISTICS if options.compat == "published" else (encoder.mean, encoder.std)
    return {
        "dataset": {
            "name": spec.name,
            "manifest": "" if spec.manifest_path == PACKAGED else str(spec.manifest_path),
            "root": str(root.absolute()),
            "fingerprint": images.fingerprint(),
            "label_files": images.label_hashes(),
        },
        "clip": {"model": source.model, "weights": source.weights, "config": encoder.config},
        "weights_sha256": encoder.weights_sha256,
        "activation": encoder.activation,
        "image_size": encoder.image_size,
        "pixel_statistics": {"mean": list(mean), "std": list(std)},
        "resize": "stretched to a square, antialiased bilinear, Pillow",
        "prompt": list(spec.prompt),
        "text_graph": _graph_provenance(options, graph, encoder),
        "method": {**spec.damp.model_dump(), "grid": grid, "compat": options.compat},
        "observation": images.observation,
        "precision": encoder.precision,
        "seed": options.seed,
        "versions": versions(),
    }


def _comparable(header: CacheHeader) -> dict[str, Any]:
    """Return what must agree for two runs to give the same cache: all but where the files were.

    The data's fingerprint stands last: it changes with the observed labels too, and the regime says more than a hash.
    """
    whole = {"images": header.rows, "storage": header.storage, "prompts": header.prompts, **header.provenance}
    dataset = whole.pop("dataset")
    return {**whole, "dataset": {key: dataset[key] for key in ("name", "fingerprint")}}


class _Count:
    """How many images ended in which status, and the first few reasons."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.reasons: list[str] = []

    def add(self, batch: ViewBatch) -> None:
        self.statuses.update(batch.status)
        self.reasons += [reason for reason in batch.reason if reason][: 3 - len(self.reasons)]


def _readable_only(batches: Iterator[ViewBatch], images: ImageTable) -> Iterator[ViewBatch]:
    """Pass batches on up to the first unreadable image, then count the others and refuse."""
    first: list[str] = []
    count = 0
    for batch in batches:
        bad = [reason for reason in batch.reason if reason]
        count += len(bad)
        first += bad[: 3 - len(first)]
        if not first:
            yield batch
    if first:
        raise AevlpError(
            f"{count} of {len(images)} images cannot be read, first {', '.join(first)}; --strict refuses, nothing was written"
        )


def _some_readable(rows: Iterator[Any], counted: _Count) -> Iterator[Any]:
    yield from rows
    if not counted.statuses["ok"]:
        raise AevlpError(f"none of the {counted.statuses.total()} images can be read, first {counted.reasons[0]}")


def _summary(path: Path, counted: _Count, header: CacheHeader, seconds: float, options: Options) -> None:
    images = counted.statuses["ok"]
    views = images * header.views * header.flips
    files = [path] if path.is_file() else list(path.iterdir())
    size = sum(file.stat().st_size for file in files) / 1e6
    out.print(
        f"[bold]{path}[/bold]: {images:,} images scored, {views:,} views in {seconds:,.1f} s "
        f"({images / seconds:,.1f} images/s, {views / seconds:,.0f} views/s), {size:,.1f} MB"
    )
    failed: Callable[[str], int] = counted.statuses.__getitem__
    for status in sorted(set(counted.statuses) - {"ok"}):
        out.print(f"{failed(status):,} images {status}: kept as rows without scores, left out of training")
    for reason in counted.reasons:
        say(f"  {reason}")
    out.print(f"next: aevlp inspect {path} · aevlp train --cache {path}")
