"""What the commands on data sets are asked for."""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated

import typer

from ...pipeline.files.image_formats import MAX_PIXELS
from ..declaration import Options
from ..option_types import DataRoot, Manifest, MaxPixels
from ..source_options import SourceOptions


@dataclass(frozen=True)
class DatasetsOptions(Options):
    """List the data sets that the manifest knows: what is on disk and what is missing; fetch one, or write its labels."""

    name: Annotated[str | None, typer.Argument(metavar="DATASET", help="One of the manifest; default: all.")] = None
    _: KW_ONLY
    manifest: Manifest = None
    data_root: DataRoot = None
    download: Annotated[
        bool, typer.Option("--download", help="Fetch and unpack its archives; the same command resumes.")
    ] = False
    export: Annotated[
        Path | None, typer.Option(help="Write its labels as the formatted_*.npy that published programs read.")
    ] = None


@dataclass(frozen=True)
class CheckOptions(SourceOptions):
    """Read a data set once, every image of it, and report what is wrong; exit 1 where training would go wrong."""

    _: KW_ONLY
    workers: Annotated[int | None, typer.Option(min=1, help="Images opened at a time; default: one a core.")] = None
    max_pixels: MaxPixels = MAX_PIXELS
