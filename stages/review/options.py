"""What `aevlp review` is asked for."""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated

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
    data_root: DataRoot = None
    device: Device = None
    workers: Workers = 2
    max_pixels: MaxPixels = MAX_PIXELS
