"""How a command is told of which images: a source that it looks at, or a data set of the manifest."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from .declaration import Options
from .option_types import DataRoot, Manifest

Source = Annotated[
    str | Path | None,
    typer.Argument(
        parser=str,
        metavar="SOURCE",
        help="A folder of images, or of one folder a class; a .csv, .tsv, .jsonl or .parquet; a COCO-style .json; tar shards; a "
        "Hugging Face folder; a manifest .yaml; or a name in the manifest.",
        show_default=False,
    ),
]
ASKED = "What SOURCE does not show"


@dataclass(frozen=True)
class SourceOptions(Options):
    """Which images, and what is said of them where their source does not show it."""

    source: Source = None
    _: KW_ONLY
    classes: Annotated[
        Sequence[str] | Path | None,
        typer.Option(
            "--classes",
            parser=str,
            metavar="NAMES|FILE",
            help="Class names with commas, or a file, one a line; needed where there are no labels.",
        ),
    ] = None
    image_column: Annotated[str | None, typer.Option(help="The column that names images.", rich_help_panel=ASKED)] = (
        None
    )
    label_column: Annotated[str | None, typer.Option(help="The column of labels.", rich_help_panel=ASKED)] = None
    label_separator: Annotated[
        str | None,
        typer.Option(help="What stands between labels: a sign, blank, tab or newline.", rich_help_panel=ASKED),
    ] = None
    split_column: Annotated[
        str | None,
        typer.Option(help="The column that says train, val or test; none for none of them.", rich_help_panel=ASKED),
    ] = None
    split_by: Annotated[
        str | None,
        typer.Option(
            metavar="SHARES",
            help="Shares of a split by content where nobody gave one: train=0.7,val=0.1,test=0.2 (default), or none.",
            rich_help_panel=ASKED,
        ),
    ] = None
    key: Annotated[
        list[str] | dict[str, Any] | None,
        typer.Option(
            "--key",
            metavar="'KEY: VALUE'",
            help="Any other key of the manifest entry that is made of SOURCE, as YAML; or several.",
            rich_help_panel=ASKED,
        ),
    ] = None
    dataset: Annotated[
        str | None,
        typer.Option(help="A data set of the manifest, instead of SOURCE, or one of several in it."),
    ] = None
    manifest: Manifest = None
    data_root: DataRoot = None
