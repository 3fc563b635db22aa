"""A text in JSON -> its value, in which no object has a key twice."""

import json
from collections import Counter
from typing import Any


class RepeatedKey(ValueError):
    """An object has a key twice, of which Python would take the last."""


def json_value(text: str) -> Any:
    """Return what a text in JSON holds; ValueError for what is no JSON, RecursionError for what lies too deep.

    Raises `RepeatedKey`, a ValueError, where an object has a key twice.
    """
    return json.loads(text, object_pairs_hook=_distinct)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        name = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise RepeatedKey(f"the key {name!r} stands twice")
    return found
