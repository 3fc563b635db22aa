"""Class-aware labels against the published ones and a slow loop."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.policies import Known, create_policy
from aevlp.pipeline.policies.cap import cap_labels, observed_frequencies
from goldens import load

GOLDEN = {name: case for name, case in load("asl_splc_cap").items() if name.startswith("cap_policy")}
FUSED = {"temperature": 0.1, "eta": 0.1}
SHARES = st.sampled_from([0.0, 0.1, 0.5, 0.999, 1.0])


@pytest.mark.parametrize("name", GOLDEN)
def test_labels_equal_the_published_ones(name: str) -> None:
    case = GOLDEN[name]
    scores = 1 / (1 + np.exp(-case["logits"].astype(np.float64)))
    shares = float(case["pos_per"]), float(case["neg_per"])
    label, mask = cap_labels(scores, case["pos_freq"], case["neg_freq"], *shares, compat="published")
    np.testing.assert_array_equal(label, case["labels"])
    np.testing.assert_array_equal(mask, case["mask"])


def slow_labels(
    scores: list[float], positive: float, negative: float, positive_share: float, negative_share: float
) -> tuple[list[int], list[int]]:
    """Return labels and mask of one class, where a count of 0 means none."""
    n = len(scores)
    descending, ascending = sorted(scores, reverse=True), sorted(scores)
    counts = [math.trunc(positive * n), math.trunc(positive_share * positive * n)]
    absent = math.trunc(min(negative_share, 0.998) * negative * n)
    label = [int(counts[0] > 0 and s >= descending[counts[0] - 1]) for s in scores]
    mask = [
        int((counts[1] > 0 and s >= descending[counts[1] - 1]) or (absent > 0 and s <= ascending[absent - 1]))
        for s in scores
    ]
    return label, mask


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), n=st.integers(1, 30), positive_share=SHARES, negative_share=SHARES, tied=st.booleans()
)  # fmt: skip
def test_labels_equal_a_loop(seed: int, n: int, positive_share: float, negative_share: float, tied: bool) -> None:
    random = np.random.default_rng(seed)
    scores = random.random((n, 4))
    scores = scores.round(1) if tied else scores
    positive = random.random(4) * np.array([1, 1, 0.02, 0])
    label, mask = cap_labels(scores, positive, 1 - positive, positive_share, negative_share)
    for c in range(4):
        expected = slow_labels(scores[:, c].tolist(), positive[c], 1 - positive[c], positive_share, negative_share)
        assert (label[:, c].tolist(), mask[:, c].tolist()) == expected


def test_a_class_that_is_expected_nowhere_is_positive_nowhere_but_in_the_published_program() -> None:
    scores = np.random.default_rng(0).random((20, 2))
    frequency = np.array([0.01, 0.5])
    assert cap_labels(scores, frequency, 1 - frequency, 1, 1)[0].sum(axis=0).tolist() == [0, 10]
    assert cap_labels(scores, frequency, 1 - frequency, 1, 1, "published")[0].sum(axis=0).tolist() == [20, 10]


def test_no_images_have_no_labels() -> None:
    label, mask = cap_labels(np.empty((0, 3)), np.ones(3), np.zeros(3), 1, 1)
    assert label.shape == mask.shape == (0, 3)


def test_codes_are_positive_and_negative_where_the_mask_is() -> None:
    scores = np.random.default_rng(1).random((50, 3)).astype(np.float32)
    frequencies = [0.2, 0.5, 0.0]
    policy = create_policy(
        "cap", **FUSED, expected_positives=1.0, frequencies=frequencies, positive_share=0.5, negative_share=0.4
    )
    codes = policy(Known(observed=np.zeros((50, 3), dtype=np.int8), final=scores, ranking=scores)).codes
    for c, frequency in enumerate(frequencies):
        label, mask = slow_labels(scores[:, c].tolist(), frequency, 1 - frequency, 0.5, 0.4)
        assert codes[:, c].tolist() == [(2 * y - 1) * m for y, m in zip(label, mask, strict=True)]
    assert {-1, 0, 1} == set(codes[:, 0].tolist())


def test_a_class_is_as_frequent_as_its_share_of_observed_positives() -> None:
    observed = np.zeros((10, 4), dtype=np.int8)
    observed[:6, 0] = observed[6:9, 1] = observed[9:, 2] = 1
    observed[0, 3] = -1
    np.testing.assert_allclose(observed_frequencies(observed, 1.5), [0.9, 0.45, 0.15, 0])
    np.testing.assert_allclose(observed_frequencies(observed, 3.0), [1, 0.9, 0.3, 0])  # never above 1
    scores = np.random.default_rng(2).random((10, 4)).astype(np.float32)
    policy = create_policy("cap", **FUSED, expected_positives=1.5)
    codes = policy(Known(observed=observed, final=scores, ranking=scores)).codes
    assert (codes == 1).sum(axis=0).tolist() == [9, 4, 1, 0]


def test_frequencies_without_observed_positives_are_a_mistake() -> None:
    nothing = np.zeros((3, 2), dtype=np.int8)
    scores = np.zeros((3, 2), dtype=np.float32)
    with pytest.raises(AevlpError, match="need observed positives, and none of the images has one"):
        create_policy("cap", **FUSED, expected_positives=1.0)(Known(observed=nothing, final=scores, ranking=scores))
