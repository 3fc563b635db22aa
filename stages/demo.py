"""The whole pipeline on generated scenes: stage one, inspection, stage two with several losses, a table and a picture."""

import statistics
import time
from pathlib import Path

import numpy as np
import torch

from ..pipeline.device import find_device
from ..pipeline.errors import AevlpError, unknown_name
from ..pipeline.losses import TABLE
from ..pipeline.score_cache import ScoreCache, open_cache
from ..pipeline.training_loop import autocast
from . import pseudolabel, train
from .console import out, print_table, say
from .contact_sheet import Card, draw_sheet
from .inspect import cached_settings, print_quality, qualities
from .run_folder import RunFolder

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
    for name in losses:
        if name not in TABLE:
            raise unknown_name("loss", name, TABLE)
    started = time.monotonic()
    say("stage one: scoring generated scenes with a small CLIP")
    pseudolabel.run(
        pseudolabel.Options("scenes", cache_path, data_root=root, device=device, workers=workers, batch_size=64)
    )
    cache = open_cache(cache_path)
    settings = cached_settings(cache)
    judged = {split: qualities(cache, split, settings) for split in ("train", "test")}
    print_quality(judged)

    folder = _next_folder()
    maps: dict[str, list[float]] = {name: [] for name in losses}
    for seed in range(seeds):
        for name in losses:
            say(f"stage two: {name}, seed {seed}")
            path = train.run(
                train.Options(
                    cache_path,
                    loss=name,
                    epochs=epochs,
                    device=device,
                    run=folder / f"{name}-seed{seed}",
                    seed=seed,
                    workers=workers,
                    data_root=root,
                )
            )
            maps[name].append(100 * RunFolder(path).metrics()[-1]["test_map"])

    rows = [
        (name, TABLE[name].paper, " ".join(f"{m:.1f}" for m in values), f"{statistics.mean(values):.1f}")
        for name, values in maps.items()
    ]
    print_table("Test mAP on scenes (%)", ("loss", "from", "each seed", "mean"), rows, right=(2, 3))
    best = max(losses, key=lambda name: statistics.mean(maps[name]))
    _draw(cache, root, folder / f"{best}-seed0", best, picture, device, workers)
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
    folder = train.data_root(cache, root)
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
