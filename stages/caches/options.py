"""What the commands on caches are asked for."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated

import typer

from ...pipeline.files.image_formats import MAX_PIXELS
from ...pipeline.files.locations import location
from ..declaration import Options, Place
from ..option_types import Cache, Corrections, DataRoot, Device, Manifest, MaxPixels, OneSplit
from ..stage_one.options import BatchSize, Relation, Workers

NewCache = Annotated[
    Place, typer.Argument(metavar="OUT", parser=location, help="A .h5 file or .parquet folder, not there yet.")
]


@dataclass(frozen=True)
class InspectOptions(Options):
    """Show what a cache holds, what made it, and how good its pseudo-labels are."""

    cache: Cache
    _: KW_ONLY
    corrections: Corrections = None


@dataclass(frozen=True)
class VerifyOptions(Options):
    """Read a cache from end to end and report what is wrong with it."""

    cache: Cache
    _: KW_ONLY
    dataset: Annotated[
        str | None,
        typer.Option(help="Compare ids and labels with this data set; default: the cache's, if it is there."),
    ] = None
    manifest: Manifest = None
    data_root: DataRoot = None


@dataclass(frozen=True)
class RetryOptions(Options):
    """Score the images that could not be read.

    All that shapes a score is the cache's own; what is asked for here is how to score.
    """

    cache: Cache
    _: KW_ONLY
    data_root: DataRoot = None
    manifest: Manifest = None
    relation: Relation = None
    device: Device = None
    batch_size: BatchSize = None
    workers: Workers = None
    max_pixels: MaxPixels = MAX_PIXELS


@dataclass(frozen=True)
class AppendOptions(RetryOptions):
    """Score the images that the data set has got since, or that have another size; labels become those of now."""

    _: KW_ONLY
    changed: Annotated[
        bool, typer.Option("--changed", help="Also those that were written anew with as many bytes as before.")
    ] = False
    prune: Annotated[
        bool, typer.Option("--prune", help="Drop the rows of images that the data set does not list any more.")
    ] = False


@dataclass(frozen=True)
class MergeOptions(Options):
    """Write one cache of the images of several."""

    target: NewCache
    caches: Annotated[
        list[Path], typer.Argument(metavar="CACHE...", parser=location, help="Caches of different images, made alike.")
    ]


@dataclass(frozen=True)
class DiffOptions(Options):
    """Say where two caches differ: settings, images, labels, cosines, codes; exit 1 where they do."""

    a: Annotated[Place, typer.Argument(metavar="A", parser=location, help="A .h5 file or .parquet folder.")]
    b: Annotated[Place, typer.Argument(metavar="B", parser=location, help="A .h5 file or .parquet folder.")]


@dataclass(frozen=True)
class SelectOptions(Options):
    """Write a cache of some classes or images of another."""

    cache: Cache
    target: NewCache
    _: KW_ONLY
    classes: Annotated[
        Sequence[str] | Path | None,
        typer.Option(
            parser=str,
            metavar="NAMES|FILE",
            help="Class names with commas, or a text file of them, in the order they are to have.",
        ),
    ] = None
    images: Annotated[
        Sequence[str] | Path | None,
        typer.Option(parser=str, metavar="IDS|FILE", help="Image ids with commas, or a text file of them."),
    ] = None
    split: OneSplit = None


@dataclass(frozen=True)
class RescoreOptions(Options):
    """Give a cache of view embeddings other classes or prompts, without an image."""

    cache: Cache
    _: KW_ONLY
    classes: Annotated[Place, typer.Option(help="A text file of class names, one a line.")]
    prompt: Annotated[
        list[str] | None,
        typer.Option(help="A template such as 'a photo of a {}.', may be given more than once; default: the cache's."),
    ] = None
    target: Annotated[
        Path | None,
        typer.Option(
            "--cache",
            parser=location,
            metavar="PATH|URL",
            help="Where to write; default: beside CACHE, named for both files.",
        ),
    ] = None
    manifest: Manifest = None
    device: Device = None


@dataclass(frozen=True)
class SentencesOptions(Options):
    """Encode sentences that name several classes, which the policy sparc reads, into a file beside a cache."""

    cache: Cache
    _: KW_ONLY
    compounds: Annotated[
        str,
        typer.Option(
            metavar="all|labels|truth|FILE",
            help="Every pair of classes; those often together in the cache's pseudo-labels, or in full labels; or a text file of "
            "sentences, one a line.",
        ),
    ] = "all"
    manifest: Manifest = None
    device: Device = None


@dataclass(frozen=True)
class ConvertOptions(Options):
    """Write a cache in the other format."""

    source: Annotated[Place, typer.Argument(metavar="SRC", parser=location, help="A .h5 file or .parquet folder.")]
    target: Annotated[
        Place, typer.Argument(metavar="DST", parser=location, help="A .h5 file or .parquet folder, not there yet.")
    ]
