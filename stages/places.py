"""Where caches and runs go that nobody named a place for."""

from pathlib import Path

CACHES, RUNS = Path("cache"), Path("runs")


def run_name(method: str, seed: int) -> str:
    """Return what the run of a method and a seed is called."""
    return f"{method}-seed{seed}"
