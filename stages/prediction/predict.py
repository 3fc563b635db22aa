"""A run folder or an exported model, and image files -> labels with probabilities."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...pipeline.errors import AevlpError, counted
from ...pipeline.files.atomic_write import replacing
from ...pipeline.runtime.ranks import Rank, this_rank
from ..console import Rate, let_speak, out, print_table, progress_bar, say
from ..declaration import takes
from ..new_files import check_folder, check_unused
from ..ray_cluster import check_engine
from .drawn import FIRST, check_sheet, draw_labels
from .image_names import NewImages, new_images
from .model import ONNX, Model, Running, open_model
from .options import SHARD_IMAGES, PredictOptions
from .predictions import SUFFIXES, Predictions, labelled, names_array, require_some, say_unlabelled, write_predictions
from .shard_folder import first_rows
from .sharding import PredictedShards, label_in_shards, say_shards


@takes(PredictOptions)
def predict(options: PredictOptions) -> Predictions | PredictedShards:
    """Return the labels of every image, and write them where `output` says; one that cannot be read costs no other.

    An output without a suffix is a folder of Parquet shards: what is there of them is kept, and what they came to is returned.
    Raises AevlpError where nothing is found by a name, and where none of the images can be read.
    """
    output, rank = options.output, this_rank()
    let_speak(rank)
    in_shards = _checked_output(options, rank)
    check_model(options.run, options.images)
    found = new_images(options)
    model = open_model(options.run, Running(options.device, options.workers, options.max_pixels, rank))
    what = options.run if options.run.suffix == ONNX else f"the best weights of {options.run}"
    say(f"labelling {counted(len(found.ids), 'image')} with {what}")
    try:
        if output is not None and in_shards:
            shards = label_in_shards(model, found, output, options, rank)
            if options.sheet is not None and rank.first:
                draw_labels(options.sheet, first_rows(output, FIRST), found, _title(options), options.max_pixels)
            return shards
        images = _labelled(model, found, options.threshold)
    finally:
        model.close()
    require_some(images)
    predictions = Predictions(model.classes, images, output)
    if output is not None:
        with replacing(output) as temporary:
            write_predictions(predictions, temporary, output.suffix)
    if options.sheet is not None:
        draw_labels(options.sheet, images, found, _title(options), options.max_pixels)
    return predictions


def show(found: Predictions | PredictedShards) -> None:
    """Print a table of the labels, unless they are in a file or a folder, and what could not be read."""
    if isinstance(found, PredictedShards):
        say_shards(found)
        return
    if found.output is None:
        print_table("Predicted labels", ("image", "labels"), list(_lines(found.images)))
        out.print(f"{counted(found.labelled, 'image')} labelled")
    else:
        say(f"{found.output}: {counted(found.labelled, 'image')} labelled")
    reasons = [image["reason"] for image in found.images if image["status"] != "ok"]
    say_unlabelled(len(reasons), reasons, "--json and --output have all")


def _checked_output(options: PredictOptions, rank: Rank) -> bool:
    """Return whether the labels go into shards; AevlpError where they cannot be written as it is asked for."""
    output = options.output
    in_shards = output is not None and not output.suffix
    if output is not None and not in_shards and output.suffix not in SUFFIXES:
        raise AevlpError(f"--output {output}: expected a .csv, .json or .parquet file, or a folder for shards")
    if output is not None:
        (check_folder if in_shards else check_unused)(output)
    if options.sheet is not None:
        check_sheet(options.sheet, resumes=in_shards and output is not None and output.is_dir())
    check_engine(options.engine, options.actors, options.gpus)
    for asked, option in (
        (options.write == "labels", "--write labels"),
        (options.shard_images != SHARD_IMAGES, "--shard-images"),
        (options.engine == "ray", "--engine ray"),
    ):
        if asked and not in_shards:
            raise AevlpError(f"{option} is for shards: pass a folder as --output")
    if rank.of > 1 and not in_shards:
        raise AevlpError(f"{rank.of} processes share shards alone: pass a folder as --output")
    return in_shards


def _title(options: PredictOptions) -> str:
    return f"Labels that {options.run.name} predicts"


def check_model(place: Path, images: list[str]) -> None:
    """Raise AevlpError where there can be no model at `place`, also where one stands among the images instead."""
    if place.suffix == ONNX:
        return
    from ...pipeline.training.run_folder import RunFolder  # loads torch, which an exported model does without

    folder = RunFolder(place)
    if folder.best_file.exists():
        return
    for other in images:
        if RunFolder(Path(other)).best_file.exists():
            raise AevlpError(
                f"{place} is no run, and {other} is one: the run comes first, as in aevlp predict {other} {place}"
            )
    folder.require_run()


def _labelled(model: Model, new: NewImages, threshold: float | None) -> list[dict[str, Any]]:
    images: list[dict[str, Any]] = []
    with progress_bar(Rate("images")) as bar:
        task = bar.add_task("predicting", total=len(new.ids))
        for some in labelled(model, new.ids, model.scored(names_array(new.paths)), threshold):
            images += some
            bar.update(task, completed=len(images))
    return images


def _lines(images: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for image in images:
        if image["probabilities"] is None:
            yield image["image"], f"({image['status']})"
        else:
            named = sorted(((image["probabilities"][c], c) for c in image["labels"]), reverse=True)
            yield image["image"], ", ".join(f"{c} {p:.2f}" for p, c in named) or "-"
