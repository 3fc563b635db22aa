"""What the commands of stage two are asked for."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from ...pipeline.files.image_formats import MAX_PIXELS
from ...pipeline.files.locations import location
from ..declaration import AlsoOption, Options, Place
from ..option_types import (
    Backbone,
    Cache,
    Constants,
    Corrections,
    DataRoot,
    Dataset,
    Device,
    Epochs,
    Head,
    ImageSize,
    LearningRate,
    Manifest,
    MaxPixels,
    OneSplit,
    Run,
    Threshold,
    ThresholdFor,
    Weights,
    Workers,
    folder,
    names,
)
from ..places import RUNS

ImageCache = Annotated[
    Path | None,
    typer.Option(
        parser=folder,
        metavar="DIR",
        help="Keep resized images here, 3 x size x size bytes each, so that later epochs and runs open no file.",
    ),
]


@dataclass(frozen=True)
class TrainingOptions(Options):
    """What every command that trains takes: None is the manifest's value, or what fits the device."""

    _: KW_ONLY
    backbone: Backbone = None
    image_size: ImageSize = None
    head: Head = None
    weights: Weights = None
    epochs: Epochs = None
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images a step; default: the recipe's.")] = None
    lr: LearningRate = None
    device: Device = None
    workers: Workers = 2
    manifest: Manifest = None
    data_root: DataRoot = None
    image_cache: ImageCache = None
    max_pixels: MaxPixels = MAX_PIXELS
    corrections: Corrections = None
    set: Constants = None


@dataclass(frozen=True)
class TrainOptions(TrainingOptions):
    """Stage two: train a classifier from a cache; the same command again resumes. Under torchrun, processes share each batch.

    cache: with `resume` it may be the folder of a run instead, of which all that is not given is taken.
    """

    cache: Annotated[
        Place,
        typer.Argument(
            metavar="CACHE|RUN", parser=location, help="The cache to train from; with --resume also the run to resume."
        ),
        AlsoOption("--cache", beside="run"),
    ]
    _: KW_ONLY
    loss: Annotated[str, typer.Option(help="A loss that aevlp losses lists, or one of your own as module:Class.")] = (
        "gpr"
    )
    policy: Annotated[
        str | None,
        typer.Option(
            help="What makes the labels, of aevlp losses, or aevlp calibrate's .json; default: the loss's own."
        ),
    ] = None
    seed: Annotated[int, typer.Option(min=0, help="For order, flips and new weights.")] = 0
    run: Annotated[
        Path | None,
        typer.Option(help="Where to write; default: the run of these settings in runs/, or a new one."),
    ] = None
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Resume a run, with its own settings: train --resume RUN; --cache if that has moved.",
        ),
    ] = False
    amp: Annotated[bool, typer.Option(help="Mixed precision on a GPU.")] = True
    log: Annotated[
        Sequence[str] | None,
        typer.Option(
            parser=names,
            metavar="NAMES",
            help="Also log to tensorboard, wandb, or both with commas: scalars, schedules, pictures of each epoch.",
        ),
    ] = None
    threshold_for: ThresholdFor = "f1"
    dataset: Dataset = None
    save_minutes: Annotated[
        float, typer.Option(min=0, help="Save the state this often; at every epoch's end in any case.")
    ] = 10.0
    compile: Annotated[
        bool,
        typer.Option(
            "--compile",
            help="Compile the classifier, which can take minutes; on a CPU it needs a C++ compiler.",
        ),
    ] = False


@dataclass(frozen=True)
class EvaluateOptions(Options):
    """Measure a trained classifier on a split."""

    run: Run
    _: KW_ONLY
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="The split to measure on.")] = "test"
    cache: Annotated[
        Path | None, typer.Option(parser=location, metavar="PATH|URL", help="The cache, if it has moved.")
    ] = None
    threshold: Threshold = None
    data_root: DataRoot = None
    device: Device = None
    workers: Workers = 2
    max_pixels: MaxPixels = MAX_PIXELS


@dataclass(frozen=True)
class LabelsOptions(Options):
    """Write the labels of a cache, observed and pseudo-labels, for use elsewhere: nothing is trained."""

    cache: Cache
    _: KW_ONLY
    to: Annotated[
        Path | None, typer.Option(help="A .csv, .jsonl or .parquet file; default: the first few are printed.")
    ] = None
    rows: Annotated[Literal["label", "image"], typer.Option(help="A row for each label, or for each image.")] = "label"
    policy: Annotated[
        str | None,
        typer.Option(help="What makes the labels, of aevlp losses, or aevlp calibrate's .json; default: damp."),
    ] = None
    split: OneSplit = None
    corrections: Corrections = None
    manifest: Manifest = None
    data_root: DataRoot = None
    set: Constants = None


@dataclass(frozen=True)
class RunsOptions(Options):
    """List training runs: loss, constants, epochs, mAP, and whether each is finished."""

    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder that holds the runs, however deep.")] = (
        RUNS
    )


@dataclass(frozen=True)
class LossesOptions(Options):
    """List the losses: paper, year, what each reads of the cache and what it remembers; and the policies that make labels."""
