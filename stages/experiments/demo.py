"""The whole pipeline on generated scenes: stage one, inspection, stage two with several losses, a table and a picture."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...pipeline.errors import AevlpError, counted
from ...pipeline.evaluation.metrics import PseudoLabelQuality
from ...pipeline.runtime.device import find_device
from ...pipeline.score_cache import ScoreCache
from ...pipeline.training.loop import autocast
from ...pipeline.training.predictor import logits_of
from ...pipeline.training.run_folder import RunFolder
from ..cache_origin import data_root
from ..caches.inspect import MULTI_FOCUS, cached_settings, codes_by_views, qualities
from ..caches.quality_table import show_quality
from ..console import out, say
from ..contact_sheet import Card, draw_sheet
from ..declaration import takes
from ..interrupted import keeping
from ..made import note
from ..places import RUNS, run_name
from ..results import Result
from ..stage_one.pseudolabel import pseudolabel
from ..stage_two.classifiers import classifier_inputs
from ..stage_two.options import TrainOptions
from ..stage_two.plan import Plan, training_data
from .methods import Method, methods_of
from .options import DemoOptions
from .results import measure, show_results
from .trainings import planned, seeded, train_with_a_line_each
from .untrained import untrained

DATASET = "scenes2"
CARDS = 12
AT_ONCE = 3  # trainings, on two cores too: after two of the three, the last would leave a core idle


@dataclass(frozen=True, repr=False)
class Demo(Result):
    """The whole pipeline on scenes: how good the pseudo-labels of each split are, and the test mAP of each loss as fractions.

    teachers: the same of CLIP without training. cache, folder, picture: where scores, runs and the contact sheet are. seconds:
    how long it took.
    """

    qualities: dict[str, dict[str, PseudoLabelQuality]]
    losses: dict[str, dict[str, Any]]
    teachers: list[dict[str, Any]]
    cache: Path
    folder: Path
    picture: Path
    seconds: float

    def summary(self) -> dict[str, Any]:
        """Return the mean of each loss, and where the picture is."""
        rows = {**{row["title"]: row for row in self.teachers}, **self.losses}
        return {**{name: f"{100 * row['mean']:.2f} %" for name, row in rows.items()}, "picture": self.picture}


@takes(DemoOptions)
def demo(options: DemoOptions) -> Demo:
    """Score the scenes unless the cache is there, train every loss with every seed, and draw the contact sheet.

    Its predictions are those of the best loss that reads no full labels.
    """
    methods = methods_of(options.losses, None)
    started = time.monotonic()
    say("stage one: scoring generated scenes with a small CLIP")
    common = {"data_root": options.data_root, "device": options.device, "workers": options.workers}
    note(pseudolabel(dataset=DATASET, cache=options.cache, batch_size=64, **common))
    training = TrainOptions(options.cache, epochs=options.epochs, **common)
    data = training_data(training)
    cache = data.cache
    settings = cached_settings(cache)
    codes = codes_by_views(cache, settings)
    quality = {split: qualities(cache, split, codes) for split in ("train", "test")}

    folder = _next_folder()
    plans = planned(training, methods, data)
    teachers = untrained(data, {method: plan.policy and vars(plan.policy) for method, plan in plans.items()})
    plans = {method: teachers.told(method, plan) for method, plan in plans.items()}
    with keeping(f"{options.cache} is kept, so that the same command does not score again; it trains anew"):
        runs = _train(plans, options.seeds, folder)
    measured = {method: {**measure(cache, paths), "loss": method.loss} for method, paths in runs.items()}
    fair = [method for method in methods if "truth" not in plans[method].loss.reads] or methods
    best = max(fair, key=lambda method: measured[method]["mean"])
    _draw(cache, options, runs[best][0], best.short_title, codes[MULTI_FOCUS])
    by_loss = {method.short_title: row for method, row in measured.items()}
    return Demo(
        quality, by_loss, teachers.records(), options.cache, folder, options.picture, time.monotonic() - started
    )


def show(result: Demo) -> None:
    """Print the tables, and what was written."""
    show_quality(result.qualities)
    show_results(f"Test mAP on {DATASET} (%)", result.losses, result.teachers, f"{result.folder} holds the runs")
    out.print(
        f"{result.cache}, {result.folder} and {result.picture} written; the whole demo took {result.seconds:,.0f} s"
    )


def _train(plans: Mapping[Method, Plan], seeds: int, folder: Path) -> dict[Method, list[Path]]:
    """Train every plan with every seed, three at a time: a process of one thread fills its core better than one of several."""
    runs: dict[Method, list[Path]] = {method: [] for method in plans}
    trainings = []
    for seed in range(seeds):
        for method, plan in plans.items():
            runs[method].append(folder / run_name(method.short_name, seed))
            trainings.append(seeded(plan, seed, runs[method][-1]))
    jobs = AT_ONCE if torch.get_num_threads() > 1 else 1
    say(f"stage two: {counted(len(trainings), 'training')}, {jobs} at a time")
    train_with_a_line_each(trainings, jobs)
    return runs


def _next_folder() -> Path:
    number = 1
    while (folder := RUNS / ("demo" if number == 1 else f"demo-{number}")).exists():
        number += 1
    return folder


def _draw(cache: ScoreCache, options: DemoOptions, run_path: Path, loss: str, codes: np.ndarray) -> None:
    """Draw test pictures with their true, observed, pseudo- and predicted labels."""
    if cache.truth is None:
        raise AevlpError(f"{cache.path} holds no truth to draw")
    device = find_device(options.device)
    classifier, architecture, _ = RunFolder(run_path).load_best()
    folder = data_root(cache, options.data_root)
    test = np.flatnonzero((cache.split == "test") & (cache.status == "ok"))[:CARDS]
    inputs = classifier_inputs(architecture, cache, folder, device, options.workers)
    logits = logits_of(classifier.to(device), inputs, test, autocast(device, None))
    probabilities = torch.from_numpy(logits).sigmoid().numpy()

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
    draw_sheet(options.picture, title, cards)
