"""Plans on the same data -> trainings in several processes, which share the cores and have a GPU each by turns."""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from ...pipeline.errors import AevlpError
from ...pipeline.runtime.interruption import Interruption
from ...pipeline.runtime.ranks import this_rank
from ...pipeline.training.distributed import own_device
from ..console import silent
from ..stage_two.plan import Plan, TrainingData
from ..stage_two.train import train_plan

LOOK_SECONDS = 0.2  # how soon a signal is noticed that comes while trainings run in other processes


def gpus(device: str | None) -> int:
    """Return how many GPUs trainings may be spread over: all that are there, unless one device is named."""
    return torch.cuda.device_count() if device in (None, "cuda") and torch.cuda.is_available() else 0


def devices(device: str | None, jobs: int) -> list[str | None]:
    """Return the device of each of several jobs: the GPUs by turns where there are any, else the one that is named."""
    there = gpus(device)
    return [f"cuda:{job % there}" if there else device for job in range(jobs)]


def in_processes(trainings: Sequence[Plan], jobs: int, finished: Callable[[Plan], None]) -> None:
    """Train plans, `jobs` at a time, as `trainings.train_at_once` says; each process is given their data once."""
    waiting = deque(trainings)
    context = multiprocessing.get_context("spawn")  # a forked process could not use a GPU that this one has used
    threads = max(1, torch.get_num_threads() // jobs)
    workers: dict[Connection, BaseProcess] = {}
    running: dict[Connection, Plan] = {}
    with Interruption() as interruption:
        try:
            for device in devices(waiting[0].options.device, jobs):
                connection, its_end = context.Pipe()
                process = context.Process(target=_work, args=(its_end, waiting[0].data, device, threads))
                process.start()
                its_end.close()
                workers[connection], running[connection] = process, waiting.popleft()
                connection.send(_without_data(running[connection]))
            while running:
                for connection in wait(list(running), LOOK_SECONDS):
                    assert isinstance(connection, Connection)
                    plan = running[connection]
                    _answer(connection, workers[connection], run_of(plan))
                    del running[connection]
                    finished(plan)
                    if waiting:
                        running[connection] = waiting.popleft()
                        connection.send(_without_data(running[connection]))
                if interruption.asked:
                    raise KeyboardInterrupt
        finally:
            for connection, process in workers.items():
                if connection in running:
                    process.terminate()  # which saves its state
                connection.close()
            for process in workers.values():
                process.join()


def _answer(connection: Connection, process: BaseProcess, run: Path) -> None:
    """Take what a process says of its training; AevlpError where that failed."""
    try:
        failure = connection.recv()
    except (EOFError, OSError):
        process.join()
        killed = (process.exitcode or 0) < 0
        raise AevlpError(
            f"{run}: the process that trained it ended with exit code {process.exitcode}, not with a result"
            f"{'' if killed else '; what it said is above'}. The same command resumes"
            f"{', with fewer --jobs it needs less memory' if killed else ''}"
        ) from None
    if failure is not None:
        raise AevlpError(failure)


def _work(connection: Connection, data: TrainingData, device: str | None, threads: int) -> None:
    """Run the trainings that come, answer each with None or what went wrong, and end with the connection."""
    # Ctrl-C comes to every process of a terminal, and the first one decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    with suppress(EOFError, ConnectionError, KeyboardInterrupt), silent(), redirect_stdout(sys.stderr):
        while True:
            plan = Plan(data=data, **connection.recv())
            failure = None
            try:
                options = replace(plan.options, device=device)
                train_named(replace(plan, options=options, device=own_device(device, this_rank())))
            except AevlpError as error:
                failure = str(error)
            connection.send(failure)


def _end_with_parent() -> None:
    """Have this process save its state and end where the one that started it was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def train_named(plan: Plan) -> None:
    """Train a plan into its own folder; an AevlpError says whose training it ended."""
    try:
        train_plan(plan, run_of(plan))
    except AevlpError as error:
        if str(run_of(plan)) in str(error):
            raise
        raise AevlpError(f"{run_of(plan)}: {error}") from error


def run_of(plan: Plan) -> Path:
    """Return the folder that a plan names for its run."""
    assert plan.options.run is not None
    return plan.options.run


def _without_data(plan: Plan) -> dict[str, Any]:
    """Return what a plan is made of besides its data, which each process has."""
    return {name: value for name, value in vars(plan).items() if name != "data"}
