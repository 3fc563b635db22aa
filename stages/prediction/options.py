"""What prediction is asked for."""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated

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
    output: Annotated[Path | None, typer.Option(help="A .csv, .json or .parquet file; default: a table.")] = None
    threshold: Threshold = None
    device: Device = None
    workers: Workers = 2
    max_pixels: MaxPixels = MAX_PIXELS
