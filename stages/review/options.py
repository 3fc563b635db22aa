"""What `aevlp review` is asked for."""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from ...pipeline.files.image_formats import MAX_PIXELS
from ..declaration import Options
from ..option_types import Cache, DataRoot, Device, MaxPixels, Workers


@dataclass(frozen=True)
class ReviewOptions(Options):
    """Answer what images show, on a page in the browser, in the order in which an answer helps most; Ctrl-C ends it."""

    cache: Cache
    _: KW_ONLY
    run: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="A run of this cache, whose predictions take part in the order."),
    ] = None
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Where the page is; the next free one where this is taken.")
    ] = 8765
    export: Annotated[
        Literal["label-studio", "cvat", "fiftyone", "csv"] | None,
        typer.Option(help="Instead of the page, write the first pairs of the order for another tool."),
    ] = None
    to: Annotated[Path | None, typer.Option(help="Where --export writes; default: beside the cache.")] = None
    count: Annotated[int | None, typer.Option(min=1, help="How many pairs --export writes; default: 500.")] = None
    answers: Annotated[
        Path | None,
        typer.Option(
            "--import", metavar="FILE", help="Instead of the page, take the answers that such a tool gave back."
        ),
    ] = None
    data_root: DataRoot = None
    device: Device = None
    workers: Workers = 2
    max_pixels: MaxPixels = MAX_PIXELS
