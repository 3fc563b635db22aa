"""Error texts, and seeds derived by purpose."""

import random

import numpy as np
import pytest
import torch

from aevlp.pipeline.errors import AevlpError, ImageError, unknown_name
from aevlp.pipeline.runtime.seeding import derive, seed_everything


def test_an_unknown_name_lists_the_known_ones_nearest_first() -> None:
    error = unknown_name("fruit", "APPEL", ["cherry", "banana", "apple"])
    assert isinstance(error, AevlpError)
    assert str(error).startswith("unknown fruit 'APPEL': known are apple, ")
    assert {"cherry", "banana"} <= set(str(error).replace(",", "").split())


def test_a_long_list_is_cut_and_counted() -> None:
    text = str(unknown_name("class", "n7", [f"n{i}" for i in range(30)]))
    assert "known are n7, " in text
    assert text.endswith("… (30 in all)")
    assert text.count("n") < 20


def test_twelve_names_are_listed_in_full() -> None:
    text = str(unknown_name("class", "x", [f"name{i}" for i in range(12)]))
    assert all(f"name{i}" in text for i in range(12))
    assert "…" not in text


def test_an_image_error_is_a_users_error_with_a_status() -> None:
    error = ImageError("missing", "a.jpg: no such file")
    assert isinstance(error, AevlpError)
    assert (error.status, str(error)) == ("missing", "a.jpg: no such file")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [((0,), 1726737503), ((1200, "order", 1), 4283793415), ((7, "flip", "voc", 3), 381806885)],
)
def test_derived_seeds_never_change(arguments: tuple, expected: int) -> None:
    assert derive(*arguments) == expected


def test_derived_seeds_differ_by_seed_and_purpose() -> None:
    seeds = [derive(seed, purpose, i) for seed in range(5) for purpose in ("order", "flip") for i in range(50)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_seeding_everything_repeats_all_global_generators() -> None:
    def draws(seed: int) -> list[float]:
        seed_everything(seed)
        return [random.random(), float(np.random.random()), float(torch.rand(()))]

    first = draws(3)
    assert draws(3) == first
    assert all(a != b for a, b in zip(draws(4), first, strict=True))
