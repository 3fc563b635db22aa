"""A run -> a model that computes in whole numbers of 8 bits, and what that costs in validation mAP, measured."""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.errors import AevlpError, counted
from ...pipeline.evaluation.metrics import mean_average_precision
from ...pipeline.files.atomic_write import replacing
from ...pipeline.training.splits import splits_of_run
from ..cache_origin import data_root
from ..columns import percent
from ..console import say
from ..prediction.exported import ModelInput
from ..prediction.reading import read_batches
from ..report.trained_from import cache_of
from .agreement import Computed, check_agreement, written_or_refused
from .deployable import Deployable
from .options import ExportOptions

CALIBRATION_IMAGES = 256
LIMIT = 1.0  # points of validation mAP
READERS = 2


@dataclass(frozen=True)
class Examples:
    """Images to calibrate and to measure by. training, validation: paths. truth: (n, C) of the validation's."""

    training: list[str]
    validation: list[str]
    truth: np.ndarray


def write_int8(subject: Deployable, options: ExportOptions, target: Path, exact: Any) -> None:
    """Write a run's model with weights and activations of 8 bits, calibrated on training images.

    exact: the format's module, with `write` and `load`; the model in single precision that it writes is compared with PyTorch
    first, and what makes 8 bits of it is `int8_FORMAT`. Raises AevlpError where images are gone, and
    where the loss of mAP on the validation images is more than `options.limit` points, or `LIMIT`, without `options.force`.
    """
    examples = _examples(subject, options)
    rounded = import_module(f".int8_{options.to}", __package__)
    fed = subject.about.input
    with tempfile.TemporaryDirectory() as folder, replacing(target) as temporary:
        between = Path(folder) / f"single{target.suffix}"
        with written_or_refused(str(target)):
            exact.write(subject, between)
            check_agreement(str(target), exact.load(between), subject)
        say(f"calibrating on {counted(len(examples.training), 'training image')}")
        with written_or_refused(str(target)):
            rounded.write(between, temporary, _inputs(examples.training, fed))
        say(f"measuring on {counted(len(examples.validation), 'validation image')}")
        maps = [
            mean_average_precision(_logits(exact.load(place), examples.validation, fed), examples.truth)
            for place in (between, temporary)
        ]
        _judge(maps, options)
        rounded.describe(temporary, replace(subject.about, provenance=_provenance(subject, examples, maps)))


def _judge(maps: list[float], options: ExportOptions) -> None:
    """Say what 8 bits cost; AevlpError where that is more than the limit."""
    before, after = maps
    points = 100 * (before - after)
    cost = (
        f"validation mAP is {percent(after)} in int8 and {percent(before)} in single precision: {abs(points):.2f} points "
        f"{'lost' if points > 0 else 'gained'}"
    )
    limit = LIMIT if options.limit is None else options.limit
    if points > limit and not options.force:
        raise AevlpError(
            f"{cost}, at most {limit:g} of --limit were expected; nothing was written: export without --quantize, or "
            f"pass --force"
        )
    say(cost)


def _provenance(subject: Deployable, examples: Examples, maps: list[float]) -> dict[str, Any]:
    made = {"calibration_images": len(examples.training), "single_precision_map": maps[0], "map": maps[1]}
    return {**subject.about.provenance, "int8": made}


def _examples(subject: Deployable, options: ExportOptions) -> Examples:
    """Return the images; AevlpError, saying what is needed, where the cache or the images are gone."""
    cache, absent = cache_of(subject.run)
    if cache is None:
        raise AevlpError(
            f"--quantize is calibrated on the run's training images, which its cache lists: {absent} Bring it back, or export "
            f"without --quantize"
        )
    root = data_root(cache, options.data_root)
    train, val, _ = splits_of_run(cache, subject.run.settings)
    if not (val.truth == 1).any():
        raise AevlpError(
            f"--quantize is measured on the run's validation images, and none of the {len(val.rows):,} of {cache.path} has a "
            f"positive label: export without --quantize"
        )
    chosen = np.unique(np.linspace(0, len(train.rows) - 1, CALIBRATION_IMAGES).round().astype(int))
    training, validation = (
        [str(root / str(path)) for path in cache.paths[rows]] for rows in (train.rows[chosen], val.rows)
    )
    return Examples(training, validation, val.truth)


def _inputs(images: list[str], fed: ModelInput) -> Iterator[np.ndarray]:
    """Yield the images as batches of a model's input; AevlpError where one cannot be read."""
    with ThreadPoolExecutor(READERS, thread_name_prefix="read") as readers:
        for batch in read_batches(images, fed, readers):
            for fault in batch.unreadable.values():
                raise AevlpError(f"an image that was scored cannot be read any more: {fault.reason}; pass --data-root")
            yield batch.inputs


def _logits(computed: Computed, images: list[str], fed: ModelInput) -> np.ndarray:
    return np.concatenate([computed(inputs)[0] for inputs in _inputs(images, fed)])
