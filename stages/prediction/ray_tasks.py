"""Shards of labels that tasks of a Ray cluster make: each claims shards at the folder, as any other process does."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ...pipeline.errors import AevlpError
from ...pipeline.runtime.ranks import Rank
from ..console import err, out
from ..ray_cluster import ray_cluster, require_room
from .image_names import NewImages
from .model import Running, open_model
from .options import PredictOptions
from .sharding import POLL_SECONDS, make_missing, shards_of


def label_by_tasks(new: NewImages, output: Path, options: PredictOptions, seen: Callable[[], None]) -> None:
    """Have tasks on the cluster label all that is missing in a folder that was begun; seen: is called twice a second.

    A task whose process dies is started anew, and others take its shards. Raises AevlpError where a task does, where Ray is
    not installed, and where the cluster is too small.
    """
    with ray_cluster() as ray:
        there = ray.cluster_resources()
        gpus = options.gpus
        if gpus is None:
            gpus = float("GPU" in there if options.device is None else options.device != "cpu")
        require_room(there, options.actors, gpus)
        # The GPU that Ray gives to a task is the only one that it sees: cuda:1 would not be there.
        asked = replace(options, device="cuda" if gpus else "cpu")
        images, task = ray.put(new), ray.remote(num_cpus=1, num_gpus=gpus, max_retries=-1)(_label)
        begun = [
            task.remote(images, output, asked, Rank(number, options.actors, 0), Path.cwd())
            for number in range(options.actors)
        ]
        while begun:
            done, begun = ray.wait(begun, timeout=POLL_SECONDS)
            seen()
            for error in ray.get(done):
                if error:
                    raise AevlpError(error)


def _label(new: NewImages, output: Path, options: PredictOptions, rank: Rank, folder: Path) -> str:
    """Label what is missing, and return what is wrong, of which a value tells the driver in one line. folder: the command's."""
    out.quiet = err.quiet = True  # the driver speaks
    try:
        os.chdir(folder)
        model = open_model(options.run, Running(options.device, options.workers, options.max_pixels))
        try:
            shards = shards_of(model, new, output, options)
            shards.begin()  # refuses if this machine has another model or versions than the driver's
            make_missing(model, shards, new.paths, options.threshold, rank)
        finally:
            model.close()
    except AevlpError as error:
        return str(error)
    except OSError as error:
        return f"a Ray task cannot work in {folder}: {error.strerror}; the cluster must share that folder"
    return ""
