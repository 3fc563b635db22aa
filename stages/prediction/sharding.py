"""Many images -> shards of labels, beside any other processes at the same folder: what is there is kept, what is missing made."""

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...pipeline.errors import AevlpError, counted
from ...pipeline.runtime.provenance import versions
from ...pipeline.runtime.ranks import Rank
from ..console import Rate, progress_bar, say
from ..interrupted import keeping
from ..results import Result
from .model import Model
from .options import PredictOptions
from .predictions import labelled, names_array
from .shard_folder import ShardFolder

POLL_SECONDS = 0.5
SHOWN = 10


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


def label_in_shards(
    model: Model, names: list[str], output: Path, options: PredictOptions, rank: Rank
) -> PredictedShards:
    """Label the images of which no shard is there, together with any other process at it, and return what all came to.

    Raises AevlpError as `ShardFolder.begin` does, and where none of the images can be read.
    """
    shards = ShardFolder(output, _settings(model, names, options), names, options.shard_images)
    shards.begin()
    missing = shards.missing()
    if 0 < len(missing) < len(shards.numbers):
        say(
            f"resuming: {len(shards.numbers) - len(missing):,} of {len(shards.numbers):,} shards are in {output} already"
        )
    with keeping(f"all shards that were finished are kept in {output}; the same command resumes"):
        _make_missing(model, shards, options.threshold, rank)
    if rank.first:
        shards.tidy()
    there, reasons = 0, list[str]()
    for status, reason in shards.statuses():
        there += status == "ok"
        if status != "ok" and len(reasons) < SHOWN:
            reasons.append(reason)
    if not there:
        raise AevlpError(f"none of the {len(names):,} images can be read, first {reasons[0]}; {output} says so of each")
    return PredictedShards(output, model.classes, len(names), there, len(shards.numbers), reasons)


def _make_missing(model: Model, shards: ShardFolder, threshold: float | None, rank: Rank) -> None:
    waiting = False
    with progress_bar(Rate("images")) as bar:
        task = bar.add_task("predicting", total=len(shards.names))
        while missing := shards.missing():
            turn = rank.number * len(missing) // rank.of  # each begins elsewhere, so that they seldom meet
            made = 0
            for number in missing[turn:] + missing[:turn]:
                if not shards.is_free(number):
                    continue
                with shards.claim(number) as mine:
                    if mine:
                        shards.publish(number, _shard(model, shards.images(number), threshold))
                        made += 1
                left = sum(len(shards.images(other)) for other in shards.missing())
                bar.update(task, completed=len(shards.names) - left)
            if not made:
                if not waiting:
                    say("waiting for other processes, which are labelling all that is missing")
                waiting = True
                time.sleep(POLL_SECONDS)


def _shard(model: Model, names: list[str], threshold: float | None) -> list[dict[str, Any]]:
    images: list[dict[str, Any]] = []
    for some in labelled(model, names, model.scored(names_array(names)), threshold):
        images += some
    return images


def _settings(model: Model, names: list[str], options: PredictOptions) -> dict[str, Any]:
    """Return all that shapes the shards; the order of the list counts, for a shard is a piece of it."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(name.encode("utf-8", "surrogateescape") + b"\n")
    thresholds = model.decision.thresholds.tolist()
    return {
        "model": {"sha256": model.sha256, "place": model.place.name},
        "classes": model.classes,
        "decision": model.decision.to_json(),
        "thresholds": thresholds if options.threshold is None else [options.threshold] * len(model.classes),
        "write": options.write,
        "images": len(names),
        "list of images": digest.hexdigest(),
        "shard_images": options.shard_images,
        "max_pixels": options.max_pixels,
        "versions": versions(),
    }


def say_shards(found: PredictedShards) -> None:
    """Say what came of it, and what could not be read."""
    say(f"{found.output}: {counted(found.labelled, 'image')} labelled, {counted(found.shards, 'shard')}")
    failed = found.images - found.labelled
    if failed:
        say(f"{counted(failed, 'image')} not labelled:")
    for reason in found.reasons:
        say(f"  {reason}")
    if failed > SHOWN:
        say(f"  … and {failed - SHOWN:,} more; the column reason has all")
