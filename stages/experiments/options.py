"""What the commands that train or try several things side by side are asked for."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from ...pipeline.files.locations import location
from ..declaration import AlsoOption, Options, Place
from ..option_types import Cache, Constants, DataRoot, Dataset, Device, Epochs, Manifest, Workers, names
from ..places import CACHES
from ..stage_two.options import TrainingOptions

Seeds = Annotated[int, typer.Option(min=1, help="Train each method with this many seeds.")]
Compat = Annotated[
    Literal["paper", "published"], typer.Option(help="paper, or published for the rules of the published program.")
]


@dataclass(frozen=True)
class CompareOptions(TrainingOptions):
    """Train several losses and policies on equal terms and print one table; the same command again resumes."""

    cache: Annotated[
        Place,
        typer.Argument(metavar="CACHE", parser=location, help="The cache to train from."),
        AlsoOption("--cache"),
    ]
    _: KW_ONLY
    losses: Annotated[
        Sequence[str],
        typer.Option(
            "--losses",
            parser=names,
            metavar="NAMES",
            help="With commas: names of aevlp losses, module:Class for your own, gpr\\[q3=0.5] for constants; or all that the "
            "cache permits.",
        ),
    ]
    policies: Annotated[
        Sequence[str] | None,
        typer.Option(
            "--policies",
            parser=names,
            metavar="NAMES",
            help="With commas: train each loss that reads labels with each of them, or with all that the cache permits; "
            "default: its own.",
        ),
    ] = None
    seeds: Seeds = 3
    baseline: Annotated[
        str | None, typer.Option(help="The loss that the others are compared with; default: an, else the first.")
    ] = None
    jobs: Annotated[int | None, typer.Option(min=1, help="Trainings at a time; default: one a GPU, or one.")] = None
    runs: Annotated[
        Path | None, typer.Option(help="Where to write; default: a folder in runs/ named for the cache.")
    ] = None


@dataclass(frozen=True)
class SweepOptions(Options):
    """Measure pseudo-labels over a grid of settings, without CLIP, and recommend one by the validation part.

    others: caches of the same images that differ in their views, whose settings are tried too. grid: each
    "constant=value,value"; none for the default grid around the manifest's. policies: with constants as in damp[top_k=2], which
    are held.
    """

    cache: Cache
    others: Annotated[
        list[Path] | None,
        typer.Argument(metavar="CACHE", parser=location, help="More caches, of the same images by other --views."),
    ] = None
    _: KW_ONLY
    policies: Annotated[
        Sequence[str],
        typer.Option(
            "--policies",
            parser=names,
            metavar="NAMES",
            help="With commas: damp, global, vlpl, top-k or sigmoid; constants that are held as damp\\[top_k=2].",
        ),
    ] = "damp"
    grid: Annotated[
        list[str] | None,
        typer.Option(
            help="Values of a constant, as in temperature=0.05,0.09; may be given more than once; default: a grid around the "
            "manifest's."
        ),
    ] = None
    set: Constants = None
    top: Annotated[int, typer.Option(min=1, help="Settings to print, of each scheme of views.")] = 10
    output: Annotated[Path | None, typer.Option(help="A .csv or .json file for all settings.")] = None
    apply: Annotated[bool, typer.Option("--apply", help="Write the recommended setting into your own manifest.")] = (
        False
    )
    dataset: Dataset = None
    manifest: Manifest = None


@dataclass(frozen=True)
class CalibrateOptions(Options):
    """Fit a policy's constants to a few labelled images or to class frequencies, and say what quality to expect.

    labelled_truth: so many training images drawn instead, whose truth the cache knows.
    """

    cache: Cache
    _: KW_ONLY
    policy: Annotated[
        Literal["threshold", "sigmoid", "view-weights", "view-quality"],
        typer.Option(
            help="threshold or sigmoid, for a threshold a class; view-weights, for a weight a view; or view-quality, for a "
            "network that sees each view, of a cache made with --store embedding."
        ),
    ]
    labelled: Annotated[
        Path | None,
        typer.Option(help="A table with the columns image and labels: training images with all their labels."),
    ] = None
    labelled_truth: Annotated[
        int | None, typer.Option(min=1, help="Instead, so many training images whose full labels the cache knows.")
    ] = None
    prior: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|observed", help="Instead, class frequencies: a CSV with class,frequency; or observed."
        ),
    ] = None
    temperature: Annotated[
        Literal["keep", "one", "class"],
        typer.Option(help="keep the manifest's, or fit one, or one for each class: keep, one, class."),
    ] = "keep"
    output: Annotated[Path, typer.Option(help="Where to write the policy, for --policy.")] = Path("policy.json")
    seed: Annotated[int, typer.Option(min=0, help="For the images drawn and the folds of cross-validation.")] = 0
    dataset: Dataset = None
    manifest: Manifest = None


@dataclass(frozen=True)
class ReproduceOptions(Options):
    """Run the whole protocol of a data set and print the table beside the published row; the same command resumes."""

    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="A data set of the manifest, such as voc.")]
    _: KW_ONLY
    losses: Annotated[
        Sequence[str], typer.Option("--losses", parser=names, metavar="NAMES", help="Losses to train, with commas.")
    ] = "an,gr,gpr"
    seeds: Seeds = 3
    compat: Compat = "paper"
    cache: Annotated[
        Path | None,
        typer.Option(parser=location, metavar="PATH|URL", help="Where the cache goes; default: cache/DATASET.h5."),
    ] = None
    runs: Annotated[Path | None, typer.Option(help="Where the runs go; default: runs/reproduce-DATASET.")] = None
    set: Constants = None
    data_root: DataRoot = None
    manifest: Manifest = None
    device: Device = None
    workers: Workers = 2


@dataclass(frozen=True)
class DemoOptions(Options):
    """Run the whole pipeline on generated scenes, offline: both stages, a table and demo.png."""

    _: KW_ONLY
    seeds: Seeds = 1
    epochs: Epochs = None
    losses: Annotated[
        Sequence[str], typer.Option("--losses", parser=names, metavar="NAMES", help="Losses to compare, with commas.")
    ] = "an,gpr,bce"
    cache: Annotated[Path, typer.Option(parser=location, metavar="PATH|URL", help="Where the cache goes.")] = (
        CACHES / "scenes2.h5"
    )
    data_root: DataRoot = None
    picture: Annotated[Path, typer.Option(help="Where the contact sheet goes.")] = Path("demo.png")
    device: Device = None
    workers: Workers = 2
