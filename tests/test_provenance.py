"""What made an output, and the first difference between two of them."""

import hashlib
import json
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aevlp.pipeline.runtime.provenance import arrays_sha256, difference, versions

SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-1, 1) | st.text(max_size=3)
KEYS = st.sampled_from(["clip", "grid", "seed", "mean"])
JSON_LIKE = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=8,
)


def test_versions_are_those_installed() -> None:
    found = versions()
    assert {"aevlp", "torch", "torchvision", "open_clip_torch", "timm", "numpy", "pillow"} <= set(found)
    assert found == {name: version(name) for name in found}


def test_the_hash_of_arrays_is_that_of_their_numbers_row_by_row() -> None:
    a, b = np.arange(6, dtype=np.int16).reshape(2, 3), np.array([1.5, -0.0], dtype=np.float32)
    by_hand = hashlib.sha256()
    for number in (0, 1, 2, 3, 4, 5):
        by_hand.update(number.to_bytes(2, "little"))
    assert arrays_sha256(a) == by_hand.hexdigest()
    by_hand.update(bytes.fromhex("0000c03f" + "00000080"))
    assert arrays_sha256(a, b) == by_hand.hexdigest()
    assert arrays_sha256() == hashlib.sha256().hexdigest()


def test_the_hash_of_an_array_goes_by_its_numbers_not_by_how_they_lie_in_memory() -> None:
    a = np.arange(12.0).reshape(3, 4)
    assert arrays_sha256(np.asfortranarray(a)) == arrays_sha256(a)
    assert arrays_sha256(np.repeat(a, 2, axis=1)[:, ::2]) == arrays_sha256(a)
    assert arrays_sha256(a.T) != arrays_sha256(a)
    assert arrays_sha256(a[:1], a[1:]) == arrays_sha256(a) != arrays_sha256(a[1:], a[:1])


@given(JSON_LIKE)
def test_a_value_does_not_differ_from_itself_read_back_from_json(value: Any) -> None:
    assert difference(value, json.loads(json.dumps(value))) is None


@given(JSON_LIKE, JSON_LIKE)
def test_values_that_differ_as_json_differ(mine: Any, theirs: Any) -> None:
    mine, theirs = json.loads(json.dumps(mine)), json.loads(json.dumps(theirs))
    assert (difference(mine, theirs) is None) == (_without_nulls(mine) == _without_nulls(theirs))


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        ({"seed": 1}, {"seed": 2}, "seed: 1, not 2"),
        ({"clip": {"model": "B", "weights": "x"}}, {"clip": {"model": "B", "weights": "y"}}, "clip.weights: x, not y"),
        ({"grid": 4}, {}, "grid: 4, not None"),
        ({}, {"grid": 4}, "grid: None, not 4"),
        ({"mean": [1, 2]}, {"mean": [1, 3]}, "mean: [1, 2], not [1, 3]"),
        ({"mean": (1, 2)}, {"mean": [1, 2, 3]}, "mean: (1, 2), not [1, 2, 3]"),
        ({"mean": {"a": 1}}, {"mean": [1]}, "mean: {'a': 1}, not [1]"),
        ({"a": 1, "b": 1}, {"a": 2, "b": 2}, "a: 1, not 2"),
        ({"a": {"x": 0}, "b": 1}, {"b": 2, "a": {"x": 0}}, "b: 1, not 2"),
        ({"a": 1}, {"a": 1}, None),
        ({"a": (1, 2)}, {"a": [1, 2]}, None),
    ],
)
def test_the_first_difference_is_named_with_its_place(mine: Any, theirs: Any, expected: str | None) -> None:
    assert difference(mine, theirs) == expected


def _without_nulls(value: Any) -> Any:
    """A key that is missing and one that holds null say the same."""
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value
