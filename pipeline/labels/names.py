"""A list of class names -> what is wrong with it."""

from collections import Counter
from collections.abc import Sequence

from ..errors import some


def named_twice(names: Sequence[str]) -> list[str]:
    """Return the names that stand more than once, sorted, each once."""
    return sorted(name for name, count in Counter(names).items() if count > 1)


def fault_of_names(names: Sequence[str]) -> str | None:
    """Return what is wrong with the names of classes: one is empty, or stands twice; None where nothing is."""
    if not all(names):
        return "a class has no name"
    twice = named_twice(names)
    return f"classes named twice: {some(twice, 4)}" if twice else None
