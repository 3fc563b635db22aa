"""The whole pipeline on generated scenes: stage one, inspection, stage two with several losses, a table and a picture."""

import time
from pathlib import Path

import numpy as np
import torch

from ...pipeline.errors import AevlpError
from ...pipeline.runtime.device import find_device
from ...pipeline.score_cache import ScoreCache
from ...pipeline.training.loop import autocast
from ...pipeline.training.run_folder import RunFolder
from ..cache_origin import data_root
from ..caches.inspect import cached_settings, print_quality, qualities
from ..console import out, say
from ..interrupted import keeping
from ..stage_one import pseudolabel
from ..stage_two import train
from .contact_sheet import Card, draw_sheet
from .methods import methods_of
from .results import measure, print_results
from .trainings import planned, train_each

CARDS = 12


def run(
    seeds: int,
    epochs: int | None,
    losses: list[str],
    cache_path: Path,
    root: Path | None,
    picture: Path,
    device: str | None,
    workers: int,
) -> None:
    """Score the scenes unless the cache is there, train every loss with every seed, print the table, draw the sheet."""
    methods = methods_of(losses, None)
    started = time.monotonic()
    say("stage one: scoring generated scenes with a small CLIP")
    pseudolabel.run(
        pseudolabel.Options(
            dataset="scenes", cache=cache_path, data_root=root, device=device, workers=workers, batch_size=64
        )
    )
    training = train.Options(cache_path, epochs=epochs, device=device, workers=workers, data_root=root)
    data = train.training_data(training)
    cache = data.cache
    settings = cached_settings(cache)
    judged = {split: qualities(cache, split, settings) for split in ("train", "test")}
    print_quality(judged)

    folder = _next_folder()
    plans = planned(training, methods, data)
    with keeping(f"{cache_path} is kept, so that the same command does not score again; it trains anew"):
        runs = train_each(plans, seeds, lambda method: folder / method.short_name)
    measured = {method: {**measure(cache, paths), "loss": method.loss} for method, paths in runs.items()}
    print_results(
        "Test mAP on scenes (%)",
        {method.short_title: row for method, row in measured.items()},
        f"{folder} holds the runs",
    )
    best = max(methods, key=lambda method: measured[method]["mean"])
    _draw(cache, root, runs[best][0], best.short_title, picture, device, workers)
    out.print(f"{cache_path}, {folder} and {picture} written; the whole demo took {time.monotonic() - started:,.0f} s")


def _next_folder() -> Path:
    number = 1
    while (folder := Path("runs") / ("demo" if number == 1 else f"demo-{number}")).exists():
        number += 1
    return folder


def _draw(
    cache: ScoreCache,
    root: Path | None,
    run_path: Path,
    loss: str,
    picture: Path,
    device_name: str | None,
    workers: int,
) -> None:
    """Draw test pictures with their true, observed, pseudo- and predicted labels."""
    if cache.truth is None:
        raise AevlpError(f"{cache.path} holds no truth to draw")
    device = find_device(device_name)
    classifier, architecture, _ = RunFolder(run_path).load_best()
    folder = data_root(cache, root)
    test = np.flatnonzero((cache.split == "test") & (cache.status == "ok"))[:CARDS]
    inputs = train.classifier_inputs(architecture, cache, folder, device, workers)
    logits = train.judged(classifier.to(device), inputs, test, autocast(device, None))
    probabilities = torch.from_numpy(logits).sigmoid().numpy()
    codes = cache.codes(cached_settings(cache))

    def named(mask: np.ndarray) -> list[str]:
        return [cache.classes[c] for c in np.flatnonzero(mask)]

    predicted = f"predicted ({loss})"
    cards = [
        Card(
            folder / str(cache.paths[row]),
            frozenset(named(cache.truth[row] == 1)),
            {
                "true": named(cache.truth[row] == 1),
                "observed": named(cache.observed[row] == 1),
                "pseudo-labels": named(codes[row] == 1),
                predicted: named(probabilities[n] >= 0.5),
            },
            complete=frozenset({predicted}),
        )
        for n, row in enumerate(test)
    ]
    title = f"Test scenes: one label observed, others from CLIP, predictions of a classifier trained with {loss}"
    draw_sheet(picture, title, cards)
