"""What `aevlp report` is asked for."""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated

import typer

from ...pipeline.files.locations import location
from ..declaration import Options, Place
from ..option_types import Corrections, DataRoot


@dataclass(frozen=True)
class ReportOptions(Options):
    """Write a page to look at beside a cache, a run, a comparison or a sweep: one HTML file that needs nothing else."""

    source: Annotated[
        Place,
        typer.Argument(
            metavar="SOURCE",
            parser=location,
            help="A cache, the folder of a run or of a comparison, or the .json file of a sweep.",
        ),
    ]
    _: KW_ONLY
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write each chart there too, as .svg and .pdf for a paper.")
    ] = None
    latex: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the table of a comparison there too, as LaTeX.")
    ] = None
    corrections: Corrections = None
    data_root: DataRoot = None
