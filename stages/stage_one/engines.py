"""Engines of stage one by name: what scores the missing shards of a cache. A new one is a module here and a line in `ENGINES`."""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from ...pipeline.errors import unknown_name
from ...pipeline.score_cache.unfinished import Shard
from ...pipeline.scoring.bottleneck import TimeSpent
from ...pipeline.scoring.parts import PartStore
from ...pipeline.scoring.scorer import Threads

if TYPE_CHECKING:
    from .plan import ScoringPlan

# Of some shards those that nobody else claims or publishes before are scored and published; returns how many. It is told of
# images why they could not be read, "" for those that could, and what was waited for.
Engine = Callable[[list[Shard], Callable[[list[str]], None], TimeSpent], int]

# Name -> module with `engine(plan, store, threads) -> Engine`; imported when it is needed.
ENGINES = {"local": "local_engine", "ray": "ray_engine"}


def engine_of(plan: "ScoringPlan", store: PartStore, threads: Threads) -> Engine:
    """Return the engine that a plan asks for, which scores into a store; AevlpError where there is none of that name."""
    name = plan.options.engine
    if name not in ENGINES:
        raise unknown_name("engine", name, ENGINES)
    return import_module(f".{ENGINES[name]}", __package__).engine(plan, store, threads)
