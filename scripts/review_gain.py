"""What 300 answers of a review are worth: trainings without answers, with answers at random, and with those of the queue.

    python scripts/review_gain.py cache/scenes2.h5

The answers are the cache's full labels, as if a person who makes no mistake had given them. For each seed there is a training
without answers and one with answers about pairs drawn at random, by that seed, from all pairs of a training image and a class
that are not observed; one with those that `review_queue` puts first; and one with those that it puts first when it knows
what the training without answers predicts (`aevlp review --run`). The queue reads no truth; without a run it is the same for
each seed.
Trainings that are there already are not repeated. The last columns: how many of the answers contradict the label that was used
before, and how many are yes.
"""

import argparse
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import aevlp
from aevlp.pipeline.evaluation.intervals import Judged, difference_interval, judge
from aevlp.pipeline.files.atomic_write import replacing
from aevlp.pipeline.files.image_formats import MAX_PIXELS
from aevlp.pipeline.labels.codes import NEGATIVE, POSITIVE, UNKNOWN, effective
from aevlp.pipeline.review.answer_table import answer_table
from aevlp.pipeline.review.answers import Answer
from aevlp.pipeline.review.queue import review_queue
from aevlp.pipeline.score_cache import ScoreCache, open_cache
from aevlp.pipeline.training.run_folder import RunFolder
from aevlp.stages.cache_origin import data_root
from aevlp.stages.caches.inspect import cached_settings
from aevlp.stages.review.predictions import training_logits

NONE, RANDOM, QUEUE, WITH_RUN = "no answers", "at random", "by the queue", "by the queue, with a run"
Pairs = Sequence[tuple[int, int]]


def asked(cache: ScoreCache, way: str, seed: int, count: int, run: Path, root: Path) -> Pairs:
    """Return the pairs (row, column) of which the answers are given. run: of the seed, without answers."""
    rows = np.flatnonzero((cache.split == "train") & (cache.status == "ok"))
    if way == RANDOM:
        places = np.argwhere(cache.observed[rows] == UNKNOWN)
        drawn = np.random.default_rng(seed).choice(len(places), count, replace=False)
        return [(int(rows[row]), int(column)) for row, column in places[drawn]]
    logits = training_logits(run, cache, root, "cpu", 1, MAX_PIXELS) if way == WITH_RUN else None
    return [(pair.row, pair.column) for pair in review_queue(cache, cached_settings(cache), logits=logits, count=count)]


def write_answers(cache: ScoreCache, pairs: Pairs, path: Path) -> None:
    """Write what the full labels say of the pairs."""
    assert cache.truth is not None
    codes = [POSITIVE if cache.truth[pair] == 1 else NEGATIVE for pair in pairs]
    ids, names = cache.ids, cache.classes
    with replacing(path) as temporary:
        table = answer_table(
            Answer(str(ids[row]), names[column], code) for (row, column), code in zip(pairs, codes, strict=True)
        )
        temporary.write_text(table, encoding="utf-8")


def changed_and_yes(cache: ScoreCache, pairs: Pairs) -> tuple[int, int]:
    """Return how many answers contradict the label that was used without them, where none is "not there"; how many are yes."""
    assert cache.truth is not None
    used = effective(cache.observed, cache.codes(cached_settings(cache))) == POSITIVE
    places = tuple(np.array(pairs).T)
    there = cache.truth[places] == 1
    return int((used[places] != there).sum()), int(there.sum())


def train(given: dict[str, Any]) -> None:
    """Train a run, or leave it as it is where it is finished."""
    torch.set_num_threads(1)
    aevlp.train(**given, progress=False)


def judged(cache: ScoreCache, runs: Sequence[Path]) -> Judged:
    """Return runs judged by the test images."""
    assert cache.truth is not None
    tests = [RunFolder(run).load_test() for run in runs]
    return judge([logits for _, logits in tests], cache.truth[tests[0][0]])


def shown(cache: ScoreCache, runs: dict[str, list[Path]], answers: dict[str, list[tuple[int, int]]]) -> Table:
    """Return the table: a row a way, with the difference to trainings without answers and to answers at random, and intervals."""
    table = Table(title="Test mAP (%)")
    for name in ("answers", "each seed", "mean", "over no answers", "over random", "wrong before", "yes"):
        table.add_column(name)
    of = {way: judged(cache, paths) for way, paths in runs.items()}
    for way, one in of.items():
        differences = [difference(one, of[base]) if base in of and base != way else "" for base in (NONE, RANDOM)]
        counts = [" ".join(str(pair[place]) for pair in answers.get(way, [])) for place in (0, 1)]
        each = " ".join(f"{100 * value:.2f}" for value in one.maps)
        table.add_row(way, each, f"{100 * one.maps.mean():.2f}", *differences, *counts)
    return table


def difference(one: Judged, base: Judged) -> str:
    """Return a paired difference of means, with its interval."""
    interval = difference_interval(one, base)
    ends = f" ({100 * interval.low:+.2f} to {100 * interval.high:+.2f})" if hasattr(interval, "low") else ""
    return f"{100 * (one.maps - base.maps).mean():+.2f}{ends}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path, help="one whose full labels are known")
    parser.add_argument("--answers", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--backbone", help="default: the recipe's")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--ways", nargs="+", default=[RANDOM, QUEUE, WITH_RUN], choices=[RANDOM, QUEUE, WITH_RUN])
    parser.add_argument("--folder", type=Path, default=Path("runs/review-gain"))
    options = parser.parse_args()
    cache = open_cache(options.cache)
    root = data_root(cache, options.data_root)
    runs: dict[str, list[Path]] = {}
    answers: dict[str, list[tuple[int, int]]] = {}
    common = {"cache": options.cache, "backbone": options.backbone, "data_root": options.data_root, "workers": 1}
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        for ways in (
            [NONE, *(way for way in options.ways if way != WITH_RUN)],
            [way for way in options.ways if way == WITH_RUN],
        ):
            waiting = []
            for way in ways:
                for seed in options.seeds:
                    place = options.folder / f"{way.replace(' ', '-').replace(',', '')}-seed{seed}"
                    given = {**common, "seed": seed, "run": place}
                    runs.setdefault(way, []).append(place)
                    if way != NONE:
                        file = place.with_name(f"{place.name}.csv")
                        pairs = asked(cache, way, seed, options.answers, runs[NONE][options.seeds.index(seed)], root)
                        answers.setdefault(way, []).append(changed_and_yes(cache, pairs))
                        write_answers(cache, pairs, file)
                        given["corrections"] = file
                    waiting.append(given)
            list(pool.map(train, waiting))
    Console(width=160).print(shown(cache, runs, answers))


if __name__ == "__main__":
    main()
