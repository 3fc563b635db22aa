"""Many images -> shards of labels, beside any other processes at the same folder: what is there is kept, what is missing made."""

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.errors import AevlpError, counted
from ...pipeline.runtime.provenance import versions
from ...pipeline.runtime.ranks import Rank
from ..console import Rate, progress_bar, say
from ..interrupted import keeping
from ..results import Result
from .image_names import NewImages
from .model import Model
from .options import PredictOptions
from .predictions import SHOWN, names_array, say_unlabelled
from .shard_folder import ShardFolder, ShardLabels

POLL_SECONDS = 0.5


@dataclass(frozen=True, repr=False)
class PredictedShards(Result):
    """Labels of many images in a folder of Parquet files. images: how many there are. labelled: of them could be read.

    shards: how many files. reasons: why the first ten of the others could not be.
    """

    output: Path
    classes: list[str]
    images: int
    labelled: int
    shards: int
    reasons: list[str]

    def summary(self) -> dict[str, Any]:
        """Return where the labels are, and of how many images."""
        return {"output": str(self.output), "images": self.images, "labelled": self.labelled, "shards": self.shards}

    def to_json(self) -> dict[str, Any]:
        """Return all fields."""
        return {**self.summary(), "classes": self.classes, "reasons": self.reasons}


def label_in_shards(model: Model, new: NewImages, output: Path, options: PredictOptions, rank: Rank) -> PredictedShards:
    """Label the images of which no shard is there, together with any other process at it, and return what all came to.

    Raises AevlpError as `ShardFolder.begin` does, and where none of the images can be read.
    """
    shards = shards_of(model, new, output, options)
    shards.begin()
    missing = shards.missing()
    if 0 < len(missing) < len(shards.numbers):
        say(
            f"resuming: {len(shards.numbers) - len(missing):,} of {len(shards.numbers):,} shards are in {output} already"
        )
    with keeping(f"all shards that were finished are kept in {output}; the same command resumes"):
        if options.engine == "ray":
            from .ray_tasks import label_by_tasks

            with progress_bar(Rate("images")) as bar:
                task = bar.add_task("predicting", total=len(new.ids))
                label_by_tasks(new, output, options, lambda: bar.update(task, completed=shards.done()))
        else:
            make_missing(model, shards, new.paths, options.threshold, rank)
    if rank.first:
        shards.tidy()
    there, reasons = 0, list[str]()
    for status, reason in shards.statuses():
        there += status == "ok"
        if status != "ok" and len(reasons) < SHOWN:
            reasons.append(reason)
    if not there:
        raise AevlpError(f"no image of {len(new.ids):,} can be read, first {reasons[0]}; {output} says so of each")
    return PredictedShards(output, model.classes, len(new.ids), there, len(shards.numbers), reasons)


def shards_of(model: Model, new: NewImages, output: Path, options: PredictOptions) -> ShardFolder:
    """Return the folder of shards that is asked for; nothing is written."""
    return ShardFolder(output, _settings(model, new, options), new.ids, options.shard_images)


def make_missing(model: Model, shards: ShardFolder, paths: list[str], threshold: float | None, rank: Rank) -> None:
    """Label what is missing, shard by shard, until no process has any left."""
    waiting, images = False, names_array(paths)
    with progress_bar(Rate("images")) as bar:
        task = bar.add_task("predicting", total=len(shards.names), completed=shards.done())
        while missing := shards.missing():
            turn = rank.number * len(missing) // rank.of  # each begins elsewhere, so that they seldom meet
            made = 0
            for number in missing[turn:] + missing[:turn]:
                if not shards.is_free(number):
                    continue
                with shards.claim(number) as mine:
                    if mine:
                        shards.publish(number, _shard(model, shards.names, images, shards.rows(number), threshold))
                        made += 1
                bar.update(task, completed=shards.done())
            if not made:
                if not waiting:
                    say("waiting for other processes, which are labelling all that is missing")
                waiting = True
                time.sleep(POLL_SECONDS)


def _shard(model: Model, names: list[str], images: np.ndarray, rows: range, threshold: float | None) -> ShardLabels:
    probabilities = np.zeros((len(rows), len(model.classes)), np.float32)
    present, readable = np.zeros(probabilities.shape, bool), np.zeros(len(rows), bool)
    status, reason = ["ok"] * len(rows), [""] * len(rows)
    for some in model.scored(images, np.arange(rows.start, rows.stop)):
        for row, fault in some.unreadable.items():
            status[row - rows.start], reason[row - rows.start] = fault.status, fault.reason
        if len(some.rows):
            places, values = some.rows - rows.start, model.decision.probabilities(some.logits)
            present[places] = model.decision.labels(values, threshold)
            probabilities[places], readable[places] = values, True
    assert all((said == "ok") == good for said, good in zip(status, readable, strict=True)), "each image once"
    return ShardLabels(names[rows.start : rows.stop], status, reason, readable, probabilities, present)


def _settings(model: Model, new: NewImages, options: PredictOptions) -> dict[str, Any]:
    """Return all that shapes the shards; the order of the list counts, for a shard is a piece of it."""
    digest = hashlib.sha256()
    for name, path in zip(new.ids, new.paths, strict=True):
        digest.update(f"{name}\0{path}\n".encode("utf-8", "surrogateescape"))
    thresholds = model.decision.thresholds.tolist()
    return {
        "model": {"sha256": model.sha256, "place": model.place.name},
        "classes": model.classes,
        "decision": model.decision.to_json(),
        "thresholds": thresholds if options.threshold is None else [options.threshold] * len(model.classes),
        "write": options.write,
        "images": len(new.ids),
        "list of images": digest.hexdigest(),
        "shard_images": options.shard_images,
        "max_pixels": options.max_pixels,
        "versions": versions(),
    }


def say_shards(found: PredictedShards) -> None:
    """Say what came of it, and what could not be read."""
    say(f"{found.output}: {counted(found.labelled, 'image')} labelled, {counted(found.shards, 'shard')}")
    say_unlabelled(found.images - found.labelled, found.reasons, "the column reason has all")
