"""Engines of stage one by name: what scores the missing shards of a cache.

A new one is a module NAME_engine.py here, with `engine(plan, store, threads) -> Engine`, and its name in `options.Engine`.
"""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from ...pipeline.score_cache.unfinished import Shard
from ...pipeline.scoring.bottleneck import TimeSpent
from ...pipeline.scoring.parts import PartStore
from ...pipeline.scoring.scorer import Threads

if TYPE_CHECKING:
    from .plan import ScoringPlan

# Of some shards those that nobody else claims or publishes before are scored and published; returns how many. It is told of
# images why they could not be read, "" for those that could, and what was waited for.
Engine = Callable[[list[Shard], Callable[[list[str]], None], TimeSpent], int]


def engine_of(plan: "ScoringPlan", store: PartStore, threads: Threads) -> Engine:
    """Return the engine that a plan asks for, which scores into a store; its module is imported now."""
    return import_module(f".{plan.options.engine}_engine", __package__).engine(plan, store, threads)
