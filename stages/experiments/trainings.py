"""Several trainings, one after another or at the same time, and what their test splits say."""

import multiprocessing
import os
import re
import signal
import statistics
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...pipeline.errors import AevlpError
from ...pipeline.evaluation.intervals import Interval, NoInterval, judge, map_interval
from ...pipeline.losses import entry
from ...pipeline.runtime.interruption import Interruption
from ...pipeline.score_cache import ScoreCache
from ...pipeline.training.run_folder import RunFolder
from ..console import out, print_table, say, silent
from ..stage_two.options import TrainOptions
from ..stage_two.plan import make_plan
from ..stage_two.train import train_plan

LOOK_SECONDS = 0.2  # how soon a signal is noticed that comes while trainings run in other processes


def check_losses(losses: Sequence[str]) -> None:
    """Raise AevlpError for a loss that is not known."""
    for name in losses:
        entry(name)


def train_each(options: TrainOptions, losses: Sequence[str], seeds: int, folder: Path) -> dict[str, list[Path]]:
    """Train every loss with the seeds 0, 1, … into `folder`; return the runs of each loss. Finished ones are reused."""
    runs: dict[str, list[Path]] = {name: [] for name in losses}
    for seed in range(seeds):
        for name in losses:
            say(f"stage two: {name}, seed {seed}")
            path = folder / f"{file_name(name)}-seed{seed}"
            runs[name].append(_train(replace(options, loss=name, seed=seed, run=path)))
    return runs


def file_name(name: str) -> str:
    """Return a loss's or policy's name as a part of a folder's name: module:Class and paths have characters that it cannot."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")


def train_at_once(
    trainings: Sequence[TrainOptions], jobs: int, finished: Callable[[TrainOptions], None] = lambda _: None
) -> None:
    """Run trainings, each with its `run`, `jobs` of them at a time; nothing is printed, `finished` is told of each that ends.

    One job runs in this process; several run in as many processes, which share the cores and have a GPU each by turns. A run
    folder that is finished is reused, one that is not is gone on with.
    The first training that fails ends the others, SIGINT and SIGTERM end all: each saves its state, and the same call goes on.
    Raises AevlpError, in one line, for a training that failed and a process that died, KeyboardInterrupt after a signal.
    """
    jobs = min(jobs, len(trainings))
    if jobs > 1:
        _in_processes(trainings, jobs, finished)
        return
    for options in trainings:
        with silent(), _named(options):
            _train(options)
        finished(options)


def gpus(device: str | None) -> int:
    """Return how many GPUs trainings may be spread over: all that are there, unless one device is named."""
    return torch.cuda.device_count() if device in (None, "cuda") and torch.cuda.is_available() else 0


def devices(device: str | None, jobs: int) -> list[str | None]:
    """Return the device of each of several jobs: the GPUs by turns where there are any, else the one that is named."""
    there = gpus(device)
    return [f"cuda:{job % there}" if there else device for job in range(jobs)]


def scores_on_test(cache: ScoreCache, runs: Sequence[Path]) -> tuple[list[np.ndarray], np.ndarray]:
    """Return each finished run's logits (n, C) on the test split, and the labels (n, C) that they are judged by."""
    rows, logits = zip(*(RunFolder(path).load_test() for path in runs), strict=True)
    labels = cache.observed if cache.truth is None else cache.truth
    return list(logits), labels[rows[0]]


def measure(cache: ScoreCache, runs: Sequence[Path]) -> dict[str, Any]:
    """Return each run's test mAP, their mean and its 95 % interval, as fractions, or None and why there is none."""
    judged = judge(*scores_on_test(cache, runs))
    maps = [float(value) for value in judged.maps]
    return {"each": maps, "mean": statistics.mean(maps), **ends("interval", map_interval(judged))}


def ends(name: str, interval: Interval | NoInterval) -> dict[str, Any]:
    """Return an interval's ends under its name; where there is none, None, and why under that name's `_reason`."""
    if isinstance(interval, NoInterval):
        return {name: None, f"{name}_reason": interval.reason}
    return {name: [interval.low, interval.high]}


def print_results(title: str, measured: dict[str, dict[str, Any]]) -> None:
    """Print a row for each loss, in percent, beside what was published for it where anything was."""
    compared = any(row.get("published") is not None for row in measured.values())
    rows = []
    for name, row in measured.items():
        each = " ".join(f"{100 * value:.1f}" for value in row["each"])
        cells = [name, entry(name).paper, each, f"{100 * row['mean']:.2f}", ends_cell(row, "interval")]
        published = row.get("published")
        rows.append([*cells, *(["-" if published is None else f"{100 * published:.2f}"] if compared else [])])
    header = ["loss", "from", "each seed", "mean", "95 % interval", *(["published"] if compared else [])]
    print_table(title, header, rows, right=range(2, len(header)))
    if why := why_none(list(measured.values())):
        out.print(why.removeprefix("; "))


def ends_cell(row: Mapping[str, Any], name: str, form: str = "{:.2f} to {:.2f}") -> str:
    """Return what `ends` gave as a cell of a table, in percent, in brief where there is no interval."""
    if row[name] is None:
        return row[f"{name}_reason"].partition(",")[0]
    return form.format(*(100 * end for end in row[name]))


def why_none(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return why rows have no interval, each reason once, to end a note with; nothing where all have one."""
    reasons = dict.fromkeys(row["interval_reason"] for row in rows if row["interval"] is None)
    return "".join(f"; no interval: {reason}" for reason in reasons)


def _train(options: TrainOptions) -> Path:
    assert options.run is not None
    return train_plan(make_plan(options), options.run)


def _in_processes(trainings: Sequence[TrainOptions], jobs: int, finished: Callable[[TrainOptions], None]) -> None:
    waiting = deque(trainings)
    context = multiprocessing.get_context("spawn")  # a forked process could not use a GPU that this one has used
    threads = max(1, torch.get_num_threads() // jobs)
    workers: dict[Connection, BaseProcess] = {}
    running: dict[Connection, TrainOptions] = {}
    with Interruption() as interruption:
        try:
            for device in devices(waiting[0].device, jobs):
                connection, its_end = context.Pipe()
                process = context.Process(target=_work, args=(its_end, device, threads))
                process.start()
                its_end.close()
                workers[connection], running[connection] = process, waiting.popleft()
                connection.send(running[connection])
            while running:
                for connection in wait(list(running), LOOK_SECONDS):
                    assert isinstance(connection, Connection)
                    options = running[connection]
                    _answer(connection, workers[connection], options)
                    del running[connection]
                    finished(options)
                    if waiting:
                        running[connection] = waiting.popleft()
                        connection.send(running[connection])
                if interruption.asked:
                    raise KeyboardInterrupt
        finally:
            for connection, process in workers.items():
                if connection in running:
                    process.terminate()  # which saves its state
                connection.close()
            for process in workers.values():
                process.join()


def _answer(connection: Connection, process: BaseProcess, options: TrainOptions) -> None:
    """Take what a process says of its training; AevlpError where that failed."""
    try:
        failure = connection.recv()
    except (EOFError, OSError):
        process.join()
        killed = (process.exitcode or 0) < 0
        raise AevlpError(
            f"{options.run}: the process that trained it ended with exit code {process.exitcode}, not with a result"
            f"{'' if killed else '; what it said is above'}. The same command goes on"
            f"{', with fewer --jobs it needs less memory' if killed else ''}"
        ) from None
    if failure is not None:
        raise AevlpError(failure)


def _work(connection: Connection, device: str | None, threads: int) -> None:
    """Run the trainings that come, answer each with None or what went wrong, and end with the connection."""
    # Ctrl-C comes to every process of a terminal, and the first one decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    with suppress(EOFError, ConnectionError, KeyboardInterrupt), silent(), redirect_stdout(sys.stderr):
        while True:
            options: TrainOptions = connection.recv()
            failure = None
            try:
                with _named(options):
                    _train(replace(options, device=device))
            except AevlpError as error:
                failure = str(error)
            connection.send(failure)


def _end_with_parent() -> None:
    """Have this process save its state and end where the one that started it was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _named(options: TrainOptions) -> Iterator[None]:
    """Have an AevlpError of the block say whose training it ended."""
    try:
        yield
    except AevlpError as error:
        if str(options.run) in str(error):
            raise
        raise AevlpError(f"{options.run}: {error}") from error
