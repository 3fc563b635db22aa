"""What prediction is asked for."""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from ...pipeline.files.image_formats import MAX_PIXELS
from ..declaration import Options, Place
from ..option_types import (
    ActorGpus,
    Actors,
    DataRoot,
    Device,
    ImageColumn,
    Keys,
    Manifest,
    MaxPixels,
    OfManifest,
    Threshold,
    Workers,
)

SHARD_IMAGES = 10_000


@dataclass(frozen=True)
class PredictOptions(Options):
    """Label new images with a trained classifier."""

    run: Annotated[
        Place, typer.Argument(metavar="RUN", help="The folder of a training run, or an exported .onnx file.")
    ]
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="Files, folders or quoted glob patterns; - for paths on standard input; or one source, as aevlp run takes it.",
        ),
    ]
    _: KW_ONLY
    output: Annotated[Path | None, typer.Option(help="A .csv, .json or .parquet file, or a folder for shards.")] = None
    shard_images: Annotated[int, typer.Option(min=1, help="Images in each .parquet file of a folder.")] = SHARD_IMAGES
    write: Annotated[
        Literal["probabilities", "labels"], typer.Option(help="Into a folder: probabilities too, or labels alone.")
    ] = "probabilities"
    sheet: Annotated[
        Path | None, typer.Option(help="A .png file to draw: the first images with their labels and probabilities.")
    ] = None
    threshold: Threshold = None
    device: Device = None
    workers: Workers = 2
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="ray: tasks on a Ray cluster share the shards (aevlp\\[ray]).")
    ] = "local"
    actors: Actors = 1
    gpus: ActorGpus = None
    max_pixels: MaxPixels = MAX_PIXELS
    image_column: ImageColumn = None
    key: Keys = None
    dataset: OfManifest = None
    manifest: Manifest = None
    data_root: DataRoot = None
