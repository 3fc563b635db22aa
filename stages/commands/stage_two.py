"""The commands of stage two; each imports its work when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from ...pipeline.files.image_formats import MAX_PIXELS
from ..option_types import (
    Backbone,
    Cache,
    DataRoot,
    Device,
    Head,
    Json,
    LearningRate,
    Manifest,
    MaxPixels,
    TrainedCache,
    Weights,
    Workers,
    listed,
)
from ..stage_two.options import ImageCache


def compare(
    cache: TrainedCache,
    losses: Annotated[
        str,
        typer.Option(
            help="With commas: names of aevlp losses, module:Class for your own; or all that the cache permits."
        ),
    ],
    policies: Annotated[
        str | None,
        typer.Option(help="With commas: train each loss that reads labels with each of them; default: its own."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Train each with this many seeds.")] = 3,
    baseline: Annotated[
        str | None, typer.Option(help="The loss that the others are compared with; default: an, else the first.")
    ] = None,
    backbone: Backbone = None,
    head: Head = None,
    weights: Weights = None,
    epochs: Annotated[int | None, typer.Option(min=1)] = None,
    batch_size: Annotated[int | None, typer.Option(min=1)] = None,
    lr: LearningRate = None,
    device: Device = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Trainings at a time; default: one a GPU, or one.")] = None,
    runs: Annotated[
        Path | None, typer.Option(help="Where to write; default: a folder in runs/ named for the cache.")
    ] = None,
    workers: Workers = 2,
    manifest: Manifest = None,
    data_root: DataRoot = None,
    image_cache: ImageCache = None,
    max_pixels: MaxPixels = MAX_PIXELS,
    json: Json = False,
) -> None:
    """Train several losses and policies on equal terms and print one table; the same command again goes on."""
    from ..experiments import compare as stage

    stage.run(
        stage.Options(
            cache=cache,
            losses=listed(losses, "--losses"),
            policies=None if policies is None else listed(policies, "--policies"),
            seeds=seeds,
            baseline=baseline,
            backbone=backbone,
            head=head,
            weights=weights,
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            device=device,
            jobs=jobs,
            runs=runs,
            workers=workers,
            manifest=manifest,
            data_root=data_root,
            image_cache=image_cache,
            max_pixels=max_pixels,
            json=json,
        )
    )


def sweep(
    cache: Cache,
    policies: Annotated[str, typer.Option(help="With commas: damp, global, vlpl or top-k.")] = "damp",
    grid: Annotated[
        list[str] | None,
        typer.Option(
            help="Values of a constant, as in temperature=0.05,0.09; may be given more than once; default: a grid around the "
            "manifest's."
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Settings to print.")] = 10,
    output: Annotated[Path | None, typer.Option(help="A .csv or .json file for all settings.")] = None,
    dataset: Annotated[str | None, typer.Option(help="The data set, if it is not the one the cache names.")] = None,
    manifest: Manifest = None,
    json: Json = False,
) -> None:
    """Measure pseudo-labels over a grid of settings, without CLIP, and recommend one by the validation part."""
    from ..experiments import sweep as stage

    stage.run(
        stage.Options(
            cache=cache,
            policies=listed(policies, "--policies"),
            grid=grid or [],
            top=top,
            output=output,
            dataset=dataset,
            manifest=manifest,
            json=json,
        )
    )


def calibrate(
    cache: Cache,
    policy: Annotated[
        str, typer.Option(help="threshold, for a threshold a class, or view-quality, for a weight a view.")
    ],
    labelled: Annotated[
        Path | None,
        typer.Option(help="A table with the columns image and labels: training images with all their labels."),
    ] = None,
    labelled_truth: Annotated[
        int | None, typer.Option(min=1, help="Instead, so many training images whose full labels the cache knows.")
    ] = None,
    prior: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|observed", help="Instead, class frequencies: a CSV with class,frequency; or observed."
        ),
    ] = None,
    temperature: Annotated[
        str, typer.Option(help="keep the manifest's, or fit one, or one for each class: keep, one, class.")
    ] = "keep",
    output: Annotated[Path, typer.Option(help="Where to write the policy, for --policy.")] = Path("policy.json"),
    seed: Annotated[int, typer.Option(min=0, help="For the images drawn and the folds of cross-validation.")] = 0,
    dataset: Annotated[str | None, typer.Option(help="The data set, if it is not the one the cache names.")] = None,
    manifest: Manifest = None,
    json: Json = False,
) -> None:
    """Fit a policy's constants to a few labelled images or to class frequencies, and say what quality to expect."""
    from ..experiments import calibrate as stage

    stage.run(
        stage.Options(
            cache, policy, labelled, labelled_truth, prior, temperature, output, seed, dataset, manifest, json
        )
    )
