"""A cache that a command made of others -> the cache, and the line that its narrator says of it."""

from pathlib import Path

from ..pipeline.score_cache import ScoreCache, open_cache
from .console import out, print_result, say


def made(path: Path, how: str) -> ScoreCache:
    """Return the cache that was written, with what made it: a text that follows its path."""
    cache = open_cache(path)
    cache.made = how
    return cache


def note(cache: ScoreCache) -> ScoreCache:
    """Say what made a cache, where it is a step on the way to something else, and return it."""
    say(f"{cache.path}{cache.made}")
    return cache


def show(cache: ScoreCache) -> None:
    """Print what came of a command: the path of a cache, and what made it."""
    first, *more = cache.made.splitlines()
    print_result(cache.path, first)
    for line in more:
        out.print(line)
