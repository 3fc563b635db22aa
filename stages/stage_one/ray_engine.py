"""Shards -> their parts, scored by actors of a Ray cluster; claims, parts and the cache are those of any other process."""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...pipeline.errors import AevlpError
from ...pipeline.manifest.formats import DatasetSpec
from ...pipeline.score_cache.unfinished import Shard
from ...pipeline.scoring.bottleneck import TimeSpent
from ...pipeline.scoring.parts import PartStore
from ...pipeline.scoring.scorer import Threads, one_thread_each
from ..console import err, out
from . import local_engine
from .engines import Engine
from .options import PseudolabelOptions
from .parts import part_store
from .plan import ScoringPlan, make_plan


def engine(plan: ScoringPlan, store: PartStore, _: Threads) -> Engine:
    """Return what has actors score shards of a plan into a store; their own time is not measured.

    Ray Data hands out the shards, and gives those of an actor that dies to another. The engine raises AevlpError where an actor
    does, where Ray is not installed, and where the cluster is too small for the actors.
    """
    return lambda shards, counted, _: _score(plan, store, shards, counted)


def _score(plan: ScoringPlan, store: PartStore, shards: list[Shard], counted: Callable[[list[str]], None]) -> int:
    options, device = plan.options, plan.encoder.device.type
    actors = min(options.actors, len(shards))
    gpus = options.gpus if options.gpus is not None else float(device == "cuda")
    published = 0
    with _cluster() as ray:
        _require_room(ray.cluster_resources(), actors, gpus)
        rows = ray.data.from_items([asdict(shard) for shard in shards], override_num_blocks=len(shards))
        scored = rows.map_batches(
            ShardActor,
            # The GPU that Ray gives to an actor is the only one that it sees: cuda:1 would not be there.
            fn_constructor_args=(
                replace(options, device=device, tower=plan.tower),
                plan.spec,
                store.target,
                Path.cwd(),
            ),
            batch_size=1,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=2),
            num_cpus=1,
            num_gpus=gpus,
        )
        for row in scored.iter_rows():
            if row["error"]:
                raise AevlpError(row["error"])
            counted(row["reasons"])
            published += row["published"]
    return published


class ShardActor:
    """Scores shards in a process of Ray's, with a plan of its own. folder: that of the command, to which paths are relative."""

    def __init__(self, options: PseudolabelOptions, spec: DatasetSpec, target: Path, folder: Path) -> None:
        out.quiet = err.quiet = True  # the driver speaks
        self._error, self._open = "", ExitStack()
        try:
            os.chdir(folder)
            threads = self._open.enter_context(one_thread_each())
            plan = make_plan(options, spec)
            store = part_store(plan, target)
            store.begin()  # refuses if this machine has other images, weights or versions than the driver's
            self._score = local_engine.engine(plan, store, threads)
        except AevlpError as error:
            self._error = str(error)
        except OSError as error:
            self._error = f"a Ray actor cannot work in {folder}: {error.strerror}; the cluster must share that folder"

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Score a shard; of Ray's two ways to tell the driver of an error, a value and a long traceback, this is the value."""
        [row] = rows.to_pylist()
        reasons: list[str] = []
        published = 0
        if not self._error:
            try:
                published = self._score([Shard(**row)], reasons.extend, TimeSpent())
            except AevlpError as error:
                self._error = str(error)
        types = pa.schema({"published": pa.int64(), "reasons": pa.list_(pa.string()), "error": pa.string()})
        return pa.table({"published": [published], "reasons": [reasons], "error": [self._error]}, types)


@contextmanager
def _cluster() -> Iterator[Any]:
    """Give Ray, connected to the cluster that RAY_ADDRESS names, or else to one on this machine that ends with the context."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # all else stands in Ray's log files
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise AevlpError("--engine ray needs Ray: pip install 'aevlp[ray]'") from error
    connected = ray.is_initialized()
    on_term = signal.getsignal(signal.SIGTERM)
    if not connected:
        address = os.environ.get("RAY_ADDRESS", "local")
        try:
            ray.init(address, logging_level=logging.ERROR, log_to_driver=False, include_dashboard=False)
        except (ConnectionError, TimeoutError, ValueError) as error:
            raise AevlpError(f"cannot connect to the Ray cluster at {address}: {error}") from error
        with suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGTERM, on_term)  # Ray's own ends the program at once
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    try:
        yield ray
    finally:
        if not connected:
            ray.shutdown()


def _require_room(there: dict[str, float], actors: int, gpus: float) -> None:
    """Raise AevlpError where the cluster could not run the actors side by side: Ray would wait for ever."""
    for kind, each in (("CPU", 1.0), ("GPU", gpus)):
        if actors * each > there.get(kind, 0.0):
            raise AevlpError(
                f"{actors} actors with {each:g} {kind} each need {actors * each:g}, this Ray cluster has "
                f"{there.get(kind, 0.0):g}: pass fewer --actors{' or --gpus' if kind == 'GPU' else ''}, or start more nodes"
            )
