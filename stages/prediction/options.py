"""What prediction is asked for."""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from ...pipeline.files.image_formats import MAX_PIXELS
from ..declaration import Options, Place
from ..option_types import Device, MaxPixels, Threshold, Workers


@dataclass(frozen=True)
class PredictOptions(Options):
    """Label new images with a trained classifier."""

    run: Annotated[
        Place, typer.Argument(metavar="RUN", help="The folder of a training run, or an exported .onnx file.")
    ]
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...", help="Files, folders or quoted glob patterns; - for paths on standard input."
        ),
    ]
    _: KW_ONLY
    output: Annotated[Path | None, typer.Option(help="A .csv, .json or .parquet file, or a folder for shards.")] = None
    shard_images: Annotated[int, typer.Option(min=1, help="Images in each .parquet file of a folder.")] = 10_000
    write: Annotated[
        Literal["probabilities", "labels"], typer.Option(help="Into a folder: probabilities too, or labels alone.")
    ] = "probabilities"
    threshold: Threshold = None
    device: Device = None
    workers: Workers = 2
    max_pixels: MaxPixels = MAX_PIXELS
