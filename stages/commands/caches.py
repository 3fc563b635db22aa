"""The commands `aevlp cache …`, which check, extend, join, compare and cut caches; each imports its work when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from ...pipeline.files.image_formats import MAX_PIXELS
from ...pipeline.files.locations import location
from ..option_types import MaxPixels

app = typer.Typer(help="Check, extend, merge, compare and cut caches.", no_args_is_help=True)

Cache = Annotated[Path, typer.Argument(parser=location, help="A .h5 file or .parquet folder, also a remote one.")]
NewCache = Annotated[
    Path, typer.Argument(metavar="OUT", parser=location, help="A .h5 file or .parquet folder, not there yet.")
]
Manifest = Annotated[
    list[Path] | None,
    typer.Option(
        "--manifest", help="The manifest that the data set stands in; default: the one the cache was made from."
    ),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data-root", parser=location, metavar="FOLDER|URL", help="The data set's own folder, if it has moved."
    ),
]
Relation = Annotated[
    Path | None, typer.Option(help="The matrix of label similarities that the cache was made with, if it was.")
]
Device = Annotated[str | None, typer.Option("--device", help="cpu, cuda or cuda:N; default: the GPU if there is one.")]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Images at a time.")]
Workers = Annotated[int | None, typer.Option(min=0, help="Processes that decode images.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


@app.command()
def verify(
    cache: Cache,
    dataset: Annotated[
        str | None,
        typer.Option(help="Compare ids and labels with this data set; default: the cache's, if it is there."),
    ] = None,
    manifest: Manifest = None,
    data_root: DataRoot = None,
    json: Json = False,
) -> None:
    """Read a cache from end to end and report what is wrong with it."""
    from ..caches import verify as stage

    stage.run(cache, json, dataset, manifest, data_root)


@app.command()
def append(
    cache: Cache,
    data_root: DataRoot = None,
    manifest: Manifest = None,
    relation: Relation = None,
    device: Device = None,
    batch_size: BatchSize = None,
    workers: Workers = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Also those that were written anew with as many bytes as before.")
    ] = False,
    max_pixels: MaxPixels = MAX_PIXELS,
    prune: Annotated[
        bool, typer.Option("--prune", help="Drop the rows of images that the data set does not list any more.")
    ] = False,
) -> None:
    """Score the images that the data set has got since, or that have another size; labels become those of now."""
    from ..caches import update as stage

    stage.append(
        cache, stage.Scoring(data_root, manifest, relation, device, batch_size, workers, changed, max_pixels, prune)
    )


@app.command()
def retry(
    cache: Cache,
    data_root: DataRoot = None,
    manifest: Manifest = None,
    relation: Relation = None,
    device: Device = None,
    batch_size: BatchSize = None,
    workers: Workers = None,
    max_pixels: MaxPixels = MAX_PIXELS,
) -> None:
    """Score the images that could not be read."""
    from ..caches import update as stage

    scoring = stage.Scoring(data_root, manifest, relation, device, batch_size, workers, max_pixels=max_pixels)
    stage.retry(cache, scoring)


@app.command()
def merge(
    target: NewCache,
    caches: Annotated[
        list[Path], typer.Argument(metavar="CACHE...", parser=location, help="Caches of different images, made alike.")
    ],
) -> None:
    """Write one cache of the images of several."""
    if len(caches) < 2:
        raise typer.BadParameter("at least two caches are needed", param_hint="CACHE...")
    from ..caches import merge as stage

    stage.run(target, caches)


@app.command()
def diff(
    a: Annotated[Path, typer.Argument(metavar="A", parser=location, help="A .h5 file or .parquet folder.")],
    b: Annotated[Path, typer.Argument(metavar="B", parser=location, help="A .h5 file or .parquet folder.")],
    json: Json = False,
) -> None:
    """Say where two caches differ: settings, images, labels, cosines, codes; exit 1 where they do."""
    from ..caches import diff as stage

    if not stage.run(a, b, json):
        raise typer.Exit(1)


@app.command()
def select(
    cache: Cache,
    target: NewCache,
    classes: Annotated[
        str | None, typer.Option(help="Class names with commas, or a text file of them, in the order they are to have.")
    ] = None,
    images: Annotated[str | None, typer.Option(help="Image ids with commas, or a text file of them.")] = None,
    split: Annotated[str | None, typer.Option(help="train, val or test.")] = None,
) -> None:
    """Write a cache of some classes or images of another."""
    if split not in (None, "train", "val", "test"):
        raise typer.BadParameter(f"{split!r} is not one of train, val, test", param_hint="--split")
    if classes is None and images is None and split is None:
        raise typer.BadParameter("at least one of --classes, --images and --split is needed")
    from ..caches import select as stage

    stage.run(cache, target, classes, images, split)
