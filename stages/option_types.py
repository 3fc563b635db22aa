"""The options that several commands have in common."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..pipeline.errors import AevlpError
from ..pipeline.evaluation.threshold_rule import parsed as parsed_rule
from ..pipeline.files.locations import location
from ..pipeline.manifest.pixel_statistics import parsed
from ..pipeline.method_names import split_names
from .declaration import Place

Manifest = Annotated[
    list[Path] | None,
    typer.Option("--manifest", help="A manifest of your own, or several; default: the packaged one."),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data-root",
        parser=location,
        metavar="FOLDER|URL",
        help="The data set's own folder, or s3://bucket/folder; default: data/NAME.",
    ),
]
Device = Annotated[str | None, typer.Option("--device", help="cpu, cuda or cuda:N; default: the GPU if there is one.")]
Mean = Annotated[
    Sequence[float] | str | None,
    typer.Option(
        "--mean",
        parser=parsed,
        metavar="R,G,B",
        help="Mean of the pixels, in [0, 1], that the CLIP was trained with; default: its tag's, its config's.",
    ),
]
Std = Annotated[
    Sequence[float] | str | None,
    typer.Option("--std", parser=parsed, metavar="R,G,B", help="Their deviation; goes with --mean."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
Cache = Annotated[
    Place, typer.Argument(metavar="CACHE", parser=location, help="A .h5 file or .parquet folder, also a remote one.")
]
Run = Annotated[Place, typer.Argument(metavar="RUN", help="The folder of a training run.")]
Backbone = Annotated[str | None, typer.Option(help="clip, linear or a timm name; default: the recipe's.")]
Weights = Annotated[
    str | None, typer.Option(help="Of a timm backbone: pretrained (default), random or a weights file.")
]
ImageSize = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Pixels a side of the images that a timm backbone or clip takes; default: the recipe's, or the scoring model's.",
    ),
]
Head = Annotated[
    str | None, typer.Option(help="linear, boostlu (convolutional timm backbones) or latent; default: the loss's.")
]
LearningRate = Annotated[float | None, typer.Option(help="Of the backbone; the head's is a multiple.")]
Constants = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME.CONSTANT=VALUE",
        help="A constant of a loss or a policy, as in gpr.q3=0.5, or several; default: the manifest's.",
    ),
]
Workers = Annotated[int, typer.Option(min=0, help="Processes that decode images.")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Epochs at most; default: the recipe's.")]
Dataset = Annotated[str | None, typer.Option(help="The data set, if it is not the one the cache names.")]
OneSplit = Annotated[Literal["train", "val", "test"] | None, typer.Option("--split", help="Images of one split.")]
Corrections = Annotated[
    Path | None,
    typer.Option(
        "--corrections",
        metavar="FILE",
        help="Answers of aevlp review, or a .csv with image, class, answer: observed labels in the place of the cache's.",
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Least probability of a label, for every class; default: the model's own thresholds."
    ),
]
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


def pixels(text: str) -> int:
    """Return a number of pixels, as in 400M, 1.5G or 400000000; typer.BadParameter for another text."""
    found = re.fullmatch(r"(\d+(?:[_,]\d{3})*(?:\.\d+)?)([kMG]?)(?:P|px)?", str(text).strip(), re.IGNORECASE)
    number = round(float(re.sub("[_,]", "", found[1])) * _UNITS[found[2].upper()]) if found else 0
    if number < 1:
        raise typer.BadParameter(f"expected a number of pixels such as 400M, found {text!r}")
    return number


def threshold_rule(text: str) -> str:
    """Return what thresholds are chosen for, in its usual words; typer.BadParameter for another text."""
    try:
        return str(parsed_rule(text))
    except AevlpError as error:
        raise typer.BadParameter(str(error)) from error


ThresholdFor = Annotated[
    str,
    typer.Option(
        "--threshold-for",
        parser=threshold_rule,
        metavar="RULE",
        help="What each class's threshold is chosen for: f1, f2, precision=0.9, recall=0.9, or a number for all.",
    ),
]
MaxPixels = Annotated[
    int,
    typer.Option(
        "--max-pixels",
        min=1,
        parser=pixels,
        metavar="N",
        show_default="179M",
        help="Width times height of the largest image that is opened, such as 400M.",
    ),
]


def names(text: str) -> list[str]:
    """Return the names in a text with commas, those in brackets aside; typer.BadParameter for none."""
    if not (found := split_names(text)):
        raise typer.BadParameter("at least one name is needed")
    return found


def folder(text: str) -> Path:
    """Return the folder that a text names; typer.BadParameter for an empty one, which would be the working folder."""
    if not text:
        raise typer.BadParameter("expected a folder, found nothing: a variable that is not set?")
    return Path(text)
