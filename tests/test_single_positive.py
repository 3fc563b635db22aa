"""What is observed of full labels, and the split and subsampling of rows, against the published draws."""

import random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.labels.single_positive import observe, split_train_val, subsample
from goldens import load

GOLDEN = load("protocol")
OBSERVE = [name for name in GOLDEN if name.startswith("observe_")]
SPLIT = [name for name in GOLDEN if name.startswith("split_")]
SUBSAMPLE = [name for name in GOLDEN if name.startswith("subsample_")]

LABELS = arrays(np.int8, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12), elements=st.integers(0, 1))
SEEDS = st.integers(0, 2**32 - 1)


class LegacyStream:
    """The generator of the protocol, written from its description: MT19937 and a shuffle that redraws."""

    def __init__(self, seed: int) -> None:
        state = [seed]
        for i in range(1, 624):
            state.append((1812433253 * (state[-1] ^ (state[-1] >> 30)) + i) % 2**32)
        self.twister = random.Random()
        self.twister.setstate((3, (*state, 624), None))

    def shuffle(self, items: list[int]) -> None:
        for j in range(len(items) - 1, 0, -1):
            mask = 2 ** j.bit_length() - 1
            r = self.twister.getrandbits(32) & mask
            while r > j:
                r = self.twister.getrandbits(32) & mask
            items[j], items[r] = items[r], items[j]

    def permutation(self, n: int) -> list[int]:
        items = list(range(n))
        self.shuffle(items)
        return items


@pytest.mark.parametrize("name", OBSERVE)
def test_observed_labels_equal_the_published_ones(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = GOLDEN[name]
    generator = np.random.RandomState(int(case["seed"]))
    monkeypatch.setattr(np.random, "RandomState", lambda seed: generator)
    observed = observe(case["labels"], int(case["num_pos"]), int(case["num_neg"]), int(case["seed"]))
    np.testing.assert_array_equal(observed, case["observed"])
    assert observed.dtype == np.int8
    assert generator.randint(2**31 - 1) == case["next_draw_after"]


def test_the_defaults_are_the_single_positive_benchmark() -> None:
    case = GOLDEN["observe_0_p1_n0_s1200"]
    np.testing.assert_array_equal(observe(case["labels"]), case["observed"])


@settings(max_examples=60, deadline=None)
@given(labels=LABELS, positives=st.integers(-1, 3), negatives=st.integers(-1, 3), seed=SEEDS)
def test_observe_follows_the_written_stream(labels: np.ndarray, positives: int, negatives: int, seed: int) -> None:
    stream = LegacyStream(seed)
    expected = np.zeros_like(labels)
    for row, out in zip(labels, expected, strict=True):
        for value, count, code in ((1, positives, 1), (0, negatives, -1)):
            columns = [c for c in range(len(row)) if row[c] == value]
            stream.shuffle(columns)
            for c in columns if count == -1 else columns[:count]:
                out[c] = code
    np.testing.assert_array_equal(observe(labels, positives, negatives, seed), expected)


@settings(max_examples=60, deadline=None)
@given(labels=LABELS, seed=SEEDS)
def test_one_true_positive_is_kept_in_every_row_that_has_one(labels: np.ndarray, seed: int) -> None:
    before = labels.copy()
    observed = observe(labels, seed=seed)
    assert (labels[observed == 1] == 1).all()
    np.testing.assert_array_equal((observed == 1).sum(axis=1), labels.any(axis=1))
    assert not (observed == -1).any()
    np.testing.assert_array_equal(labels, before)


@settings(max_examples=60, deadline=None)
@given(labels=LABELS, positives=st.integers(0, 4), negatives=st.integers(0, 4), seed=SEEDS)
def test_a_row_keeps_as_many_true_labels_as_asked_or_as_it_has(
    labels: np.ndarray, positives: int, negatives: int, seed: int
) -> None:
    observed = observe(labels, positives, negatives, seed)
    assert (labels[observed == 1] == 1).all()
    assert (labels[observed == -1] == 0).all()
    np.testing.assert_array_equal((observed == 1).sum(axis=1), np.minimum((labels == 1).sum(axis=1), positives))
    np.testing.assert_array_equal((observed == -1).sum(axis=1), np.minimum((labels == 0).sum(axis=1), negatives))


@settings(max_examples=20, deadline=None)
@given(labels=LABELS)
def test_all_of_both_kinds_is_the_whole_matrix(labels: np.ndarray) -> None:
    np.testing.assert_array_equal(observe(labels, -1, -1), 2 * labels - 1)


@pytest.mark.parametrize("form", [lambda y: 2 * y - 1, lambda y: y.astype(bool), lambda y: y.astype(np.float64)])
def test_labels_may_be_signed_boolean_or_floating(form) -> None:
    case = GOLDEN["observe_1_p1_n0_s1200"]
    np.testing.assert_array_equal(observe(form(case["labels"])), case["observed"])


@pytest.mark.parametrize("shape", [(3,), (2, 2, 2)])
def test_labels_of_another_shape_are_a_mistake(shape: tuple[int, ...]) -> None:
    with pytest.raises(AevlpError, match="labels must be"):
        observe(np.ones(shape))


@pytest.mark.parametrize(("positives", "negatives"), [(-2, 0), (1, -2)])
def test_counts_below_minus_one_are_a_mistake(positives: int, negatives: int) -> None:
    with pytest.raises(AevlpError, match="-2"):
        observe(np.eye(3), positives, negatives)


@pytest.mark.parametrize("name", SPLIT)
def test_splits_equal_the_published_ones(name: str) -> None:
    case = GOLDEN[name]
    n, fraction, seed = int(case["n"]), float(case["frac"]), int(case["seed"])
    compat = "published" if n <= 2 else "paper"
    train, val = split_train_val(n, fraction, seed, compat)
    np.testing.assert_array_equal(train, case["train"])
    np.testing.assert_array_equal(val, case["val"])


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_images_to_split_are_a_mistake(n: int) -> None:
    with pytest.raises(AevlpError, match=f"{n} training images"):
        split_train_val(n)


@pytest.mark.parametrize("fraction", [-0.2, 0.0, 1.0, 1.5])
def test_a_fraction_that_empties_a_part_is_a_mistake(fraction: float) -> None:
    with pytest.raises(AevlpError, match="both need at least one"):
        split_train_val(100, fraction)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(4, 300), fraction=st.floats(0.2, 0.8), seed=SEEDS)
@example(n=5, fraction=0.5, seed=1200)
@example(n=7, fraction=0.5, seed=1200)
def test_split_parts_are_disjoint_cover_all_rows_and_follow_the_stream(n: int, fraction: float, seed: int) -> None:
    train, val = split_train_val(n, fraction, seed)
    assert sorted([*train, *val]) == list(range(n))
    order = LegacyStream(seed).permutation(n)
    size = round(fraction * n)  # half to even
    assert list(train) == sorted(order[: n - size])
    assert list(val) == sorted(order[n - size :])


@pytest.mark.parametrize("name", SUBSAMPLE)
def test_subsamples_equal_the_published_ones(name: str) -> None:
    case = GOLDEN[name]
    rows = split_train_val(int(case["n"]))
    train, val = subsample(*rows, float(case["ss_frac_train"]), float(case["ss_frac_val"]), int(case["ss_seed"]))
    np.testing.assert_array_equal(train, case["train"])
    np.testing.assert_array_equal(val, case["val"])


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.tuples(st.integers(0, 60), st.integers(0, 60)),
    fractions=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    seed=SEEDS,
)
def test_a_subsample_follows_the_stream(sizes: tuple[int, int], fractions: tuple[float, float], seed: int) -> None:
    parts = [np.arange(size) * 3 + 100 * i for i, size in enumerate(sizes)]
    kept = subsample(parts[0], parts[1], *fractions, seed)
    stream = LegacyStream(seed)
    for part, fraction, found in zip(parts, fractions, kept, strict=True):
        places = sorted(stream.permutation(len(part))[: round(fraction * len(part))])
        np.testing.assert_array_equal(found, part[places])


def test_the_default_seed_of_a_subsample_is_the_published_one() -> None:
    case = GOLDEN["subsample_200_0.37_0.25"]
    train, val = subsample(*split_train_val(200), 0.37, 0.25)
    np.testing.assert_array_equal(train, case["train"])
    np.testing.assert_array_equal(val, case["val"])


def test_a_subsample_of_everything_changes_nothing() -> None:
    train, val = split_train_val(50)
    for part, kept in zip((train, val), subsample(train, val), strict=True):
        np.testing.assert_array_equal(kept, part)


@pytest.mark.parametrize("fractions", [(-0.1, 1.0), (1.0, 1.1), (float("nan"), 1.0)])
def test_a_fraction_outside_zero_to_one_is_a_mistake(fractions: tuple[float, float]) -> None:
    with pytest.raises(AevlpError, match=r"in \[0, 1\]"):
        subsample(np.arange(4), np.arange(4), *fractions)
