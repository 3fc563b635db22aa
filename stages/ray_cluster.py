"""Ray, for the commands whose work its actors or tasks may share."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any

from ..pipeline.errors import AevlpError

NEEDED = "--engine ray needs Ray: pip install 'aevlp[ray]'"


@contextmanager
def ray_cluster() -> Iterator[Any]:
    """Give Ray, connected to the cluster that RAY_ADDRESS names, or else to one on this machine that ends with the context."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # all else stands in Ray's log files
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise AevlpError(NEEDED) from error
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


def check_engine(engine: str, actors: int, gpus: float | None) -> None:
    """Raise AevlpError where Ray is asked for and not installed, and where options of its actors would be passed over."""
    if engine == "ray" and find_spec("ray") is None:
        raise AevlpError(NEEDED)
    for given, option in ((actors != 1, "--actors"), (gpus is not None, "--gpus")):
        if given and engine != "ray":
            raise AevlpError(f"{option} is for actors of Ray: pass --engine ray too, or leave {option} out")


def require_room(there: dict[str, float], actors: int, gpus: float) -> None:
    """Raise AevlpError where the cluster could not run the actors side by side: Ray would wait for ever."""
    for kind, each in (("CPU", 1.0), ("GPU", gpus)):
        if actors * each > there.get(kind, 0.0):
            raise AevlpError(
                f"{actors} actors with {each:g} {kind} each need {actors * each:g}, this Ray cluster has "
                f"{there.get(kind, 0.0):g}: pass fewer --actors{' or --gpus' if kind == 'GPU' else ''}, or start more nodes"
            )
