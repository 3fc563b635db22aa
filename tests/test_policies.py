"""The policies that label image by image: published codes, slow loops, laws, and what a user does wrong."""

import inspect
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aevlp.pipeline import policies
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.labels.damp import DampSettings, damp_codes, damp_scores
from aevlp.pipeline.method_names import parsed, set_constants
from aevlp.pipeline.policies import Known, Labels, Policy, create_policy
from aevlp.pipeline.policies.view_probabilities import log_probabilities
from aevlp.pipeline.policies.view_weights import fit_view_weights
from aevlp.pipeline.policies.vlpl import vlpl_codes
from goldens import load

VLPL = {name: case for name, case in load("vlpl").items() if name.startswith("vlpl_policy")}
DAMP: dict[str, Any] = {"temperature": 0.1, "eta": 0.1, "threshold": 0.2, "top_k": 3, "negative_ratio": 0.25}
FUSED = {name: DAMP[name] for name in ("temperature", "eta")}
VIEWS, CLASSES = 5, 6
CONSTANTS: dict[str, dict[str, Any]] = {
    "damp": DAMP,
    "global": DAMP,
    "vlpl": {"temperature": 0.1, "partial": 0.4},
    "threshold": {**FUSED, "thresholds": [0.1, 0.2, 0.3, 0.1, 0.2, 2.0], "negative_thresholds": [0.1, 0.05, 0, 0, 0, 0.2]},
    "top-k": {**FUSED, "top_k": 2, "negative_ratio": 0.9},
    "cap": {**FUSED, "expected_positives": 1.5},
    "view-weights": {**{k: v for k, v in DAMP.items() if k != "eta"}, "weights": [1.0, 0, 0.5, -1, 0], "sureness": 2.0},
    "view-quality": {
        **{k: v for k, v in DAMP.items() if k != "eta"}, "w1": [1.0, -2, 0, 3, 0.5, 1, 1, -1], "b1": [0.1, 0], "w2": [2.0, -1],
    },
    "label-propagation": {**DAMP, "neighbours": 3},
    "ccd": {"temperature": 0.1, "top_k": 3, "negative_ratio": 0.25},
    "cdul": {name: value for name, value in DAMP.items() if name != "eta"},
    "oracle": {},
}  # fmt: skip
ROW_BY_ROW = ("damp", "global", "vlpl", "threshold", "top-k", "view-weights", "view-quality", "oracle")
SEEDS = st.integers(0, 2**32 - 1)


def images(seed: int, count: int = 7, classes: int = CLASSES) -> dict[str, np.ndarray]:
    """Return cosines (n, V, C), observed codes with a positive in the first row, unit embeddings and truth."""
    random = np.random.default_rng(seed)
    observed = random.choice(np.array([0, 0, 0, 1, -1], dtype=np.int8), (count, classes))
    observed[0, 0] = 1
    embedding = random.normal(size=(count, 4)).astype(np.float32)
    return {
        "similarity": random.uniform(-0.3, 0.4, (count, VIEWS, classes)).astype(np.float32),
        "observed": observed,
        "embedding": embedding / np.linalg.norm(embedding, axis=1, keepdims=True),
        "views": random.normal(size=(count, VIEWS, 4)).astype(np.float32),
        "truth": random.integers(0, 2, (count, classes)).astype(np.int8),
    }


def known_of(policy: Policy, given: dict[str, np.ndarray]) -> Known:
    of_views = {"view_embedding": given["views"]} if "view_embedding" in policy.reads else {}
    final, ranking = policy.scores(given["similarity"], given["observed"], **of_views)
    return Known(final=final, ranking=ranking, **{k: v for k, v in given.items() if k not in ("similarity", "views")})


def labelled(name: str, given: dict[str, np.ndarray], **constants: Any) -> Labels:
    policy = create_policy(name, **(CONSTANTS[name] | constants))
    return policy(known_of(policy, given))


# The published rule


@pytest.mark.parametrize("name", VLPL)
def test_vlpl_equals_the_published_codes(name: str) -> None:
    case = VLPL[name]
    raw = case["image_features"]
    cosines = raw / np.linalg.norm(raw, axis=1, keepdims=True) @ case["text_features"].T
    policy = create_policy("vlpl", temperature=float(case["temp"]), threshold=float(case["threshold"]))
    scores, ranking = policy.scores(cosines[:, None], np.zeros(cosines.shape, dtype=np.int8))
    np.testing.assert_allclose(scores, case["similarity"], rtol=2e-4)
    for partial, key in ((float(case["partial"]), "codes"), (0.0, "codes_positive_only")):
        codes = vlpl_codes(scores, ranking, float(case["threshold"]), partial)
        np.testing.assert_array_equal(codes, case[key])
        assert codes.dtype == np.int8


# Slow loops


def softmax(cosines: list[float], temperature: float) -> list[float]:
    powers = [math.exp((cosine - max(cosines)) / temperature) for cosine in cosines]
    return [power / math.fsum(powers) for power in powers]


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, threshold=st.sampled_from([0.0, 0.1, 0.3, 1.0]), partial=st.sampled_from([0.0, 0.29, 0.5, 1.0]))
def test_vlpl_equals_a_loop(seed: int, threshold: float, partial: float) -> None:
    given = images(seed)
    labels = labelled("vlpl", given, threshold=threshold, partial=partial)
    for n, cosines in enumerate(given["similarity"][:, 0].tolist()):
        scores = softmax(cosines, 0.1)
        codes = [1 if score > threshold else 0 for score in scores]
        for c in sorted(range(CLASSES), key=lambda c: (cosines[c], c))[: math.trunc(partial * CLASSES)]:
            codes[c] = -1
        assert labels.codes[n].tolist() == codes
        np.testing.assert_allclose(labels.scores[n], scores, rtol=1e-5)


def test_vlpl_ranks_classes_whose_probability_underflows() -> None:
    cosines = np.array([[[0.9, -0.8, -0.9, -0.7, 0.1]]], dtype=np.float32)
    policy = create_policy("vlpl", temperature=0.001, partial=0.4)
    final, ranking = policy.scores(cosines, np.zeros((1, 5), dtype=np.int8))
    assert (final[0, 1:] == 0).all()
    codes = policy(Known(observed=np.zeros((1, 5), dtype=np.int8), final=final, ranking=ranking)).codes
    assert codes.tolist() == [[1, -1, -1, 0, 0]]


def test_a_score_at_the_threshold_is_no_positive_of_vlpl() -> None:
    scores = np.array([[0.5, 0.3, 0.2]], dtype=np.float32)
    for threshold, expected in ((0.3, [1, 0, 0]), (0.29, [1, 1, 0])):
        assert vlpl_codes(scores, scores, threshold, 0.0).tolist() == [expected]


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, top_k=st.integers(1, CLASSES), ratio=st.sampled_from([0.0, 0.5, 1.0]))
def test_top_k_gives_every_image_its_best_classes(seed: int, top_k: int, ratio: float) -> None:
    given = images(seed)
    given["similarity"] = given["similarity"].round(1)  # with ties
    labels = labelled("top-k", given, top_k=top_k, negative_ratio=ratio)
    final, ranking = damp_scores(
        given["similarity"], given["observed"], DampSettings(**{**DAMP, "negative_ratio": ratio})
    )
    for n, codes in enumerate(labels.codes.tolist()):
        expected = [0] * CLASSES
        for c in sorted(range(CLASSES), key=lambda c: (ranking[n, c], c))[: math.trunc(ratio * CLASSES)]:
            expected[c] = -1
        for c in sorted(range(CLASSES), key=lambda c: (-final[n, c], c))[:top_k]:
            expected[c] = 1
        assert codes == expected


def test_top_k_has_no_negatives_unless_asked_for() -> None:
    constants = policies.constants("top-k")
    assert constants["negative_ratio"] == 0.0 and constants["top_k"] is inspect.Parameter.empty
    policy = create_policy("top-k", **FUSED, top_k=2)
    codes = policy(known_of(policy, images(0))).codes
    assert set(codes.ravel().tolist()) == {0, 1} and (codes.sum(axis=1) == 2).all()


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS)
def test_each_class_has_its_threshold(seed: int) -> None:
    given = images(seed)
    final, _ = damp_scores(given["similarity"], given["observed"], DampSettings(**DAMP))
    random = np.random.default_rng(seed)
    upper = np.where(random.random(CLASSES) < 0.5, final[0], random.random(CLASSES)).astype(np.float64)
    lower = np.where(random.random(CLASSES) < 0.5, upper, upper * random.random(CLASSES))
    labels = labelled("threshold", given, thresholds=upper.tolist(), negative_thresholds=lower.tolist())
    for n, row in enumerate(final.tolist()):
        expected = [1 if s >= up else -1 if s < low else 0 for s, up, low in zip(row, upper, lower, strict=True)]
        assert labels.codes[n].tolist() == expected
    np.testing.assert_array_equal(labels.scores, final)


def test_a_class_of_its_own_temperature_is_divided_by_it() -> None:
    given, temperatures = images(3), [0.1, 0.2, 0.05, 0.1, 0.3, 0.1]
    policy = create_policy("threshold", **FUSED, thresholds=[0.5] * CLASSES, temperatures=temperatures)
    final, _ = policy.scores(given["similarity"][:, :1], given["observed"])
    for row, cosines in zip(final, given["similarity"][:, 0].tolist(), strict=True):
        scaled = [cosine / temperature for cosine, temperature in zip(cosines, temperatures, strict=True)]
        np.testing.assert_allclose(row, softmax(scaled, 1.0), rtol=1e-4)


def test_equal_temperatures_are_the_temperature() -> None:
    given = images(4)
    own = labelled("threshold", given, temperatures=[DAMP["temperature"]] * CLASSES)
    np.testing.assert_allclose(own.scores, labelled("threshold", given).scores, rtol=1e-6)


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, sureness=st.sampled_from([0.0, 1.5, -3.0]))
def test_view_weights_equal_a_loop(seed: int, sureness: float) -> None:
    given, weights = images(seed), np.random.default_rng(seed).normal(size=VIEWS).tolist()
    labels = labelled("view-weights", given, weights=weights, sureness=sureness)
    for row, views in zip(labels.scores, given["similarity"].tolist(), strict=True):
        probability = [softmax(view, 0.1) for view in views]
        quality = softmax([w + sureness * max(p) for w, p in zip(weights, probability, strict=True)], 1.0)
        expected = [math.fsum(q * p[c] for q, p in zip(quality, probability, strict=True)) for c in range(CLASSES)]
        np.testing.assert_allclose(row, expected, rtol=1e-4)


def test_a_view_that_always_knows_better_gets_the_weight() -> None:
    present = np.log(np.full((50, 3), 0.2))
    present[:, 2] = np.log(0.9)
    weights, _ = fit_view_weights(present, np.full((50, 3), 0.5))
    assert weights[2] > weights[0] + 1
    assert weights[0] == pytest.approx(weights[1], abs=1e-6)
    assert weights.sum() == pytest.approx(0, abs=1e-9)


def test_sureness_counts_where_sure_views_are_right() -> None:
    highest = np.random.default_rng(0).uniform(0.2, 1, (300, 4))
    right, wrong = np.log(highest), np.log(1.2 - highest)
    assert fit_view_weights(right, highest)[1] > 1
    assert fit_view_weights(wrong, highest)[1] < -1


def test_the_fit_is_at_the_top_of_the_likelihood() -> None:
    random = np.random.default_rng(1)
    present, highest = np.log(random.uniform(0.01, 1, (40, 4))), random.uniform(0.3, 1, (40, 4))

    def objective(weights: np.ndarray, sureness: float) -> float:
        total = 0.0
        for p, h in zip(present, highest, strict=True):
            quality = softmax([w + sureness * x for w, x in zip(weights, h, strict=True)], 1.0)
            total += math.log(math.fsum(q * math.exp(x) for q, x in zip(quality, p, strict=True)))
        return total / len(present) - 1e-3 * (float((weights**2).sum()) + sureness**2)

    weights, sureness = fit_view_weights(present, highest)
    best = objective(weights, sureness)
    assert best > objective(np.zeros(4), 0.0)
    for step in (0.01, -0.01):
        assert best > objective(weights, sureness + step)
        for view in range(4):
            assert best > objective(weights + step * np.eye(4)[view], sureness)
    again = fit_view_weights(present, highest)
    assert again[1] == sureness and (again[0] == weights).all()


def test_log_probabilities_are_finite_where_probabilities_underflow() -> None:
    found = log_probabilities(np.array([[[1.0, -1.0]]], dtype=np.float32), 0.001)
    np.testing.assert_allclose(found.numpy(), [[[0, -2000]]], rtol=1e-4, atol=1e-6)


# DAMP, and the truth


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("compat", ["paper", "published"])
def test_damp_and_global_are_the_cache_s_own_codes(compat: str, half: bool) -> None:
    given, constants = images(1), DampSettings(**DAMP, compat=compat, half=half)
    for name, views in (("damp", slice(None)), ("global", slice(1))):
        expected = damp_codes(given["similarity"][:, views], given["observed"], constants)
        np.testing.assert_array_equal(labelled(name, given, compat=compat, half=half).codes, expected)
    assert (labelled("damp", given).codes != labelled("global", given).codes).any()


@pytest.mark.parametrize("name", ["damp", "global", "top-k", "cap", "label-propagation"])
def test_policies_of_damp_s_scores_have_them_in_half_precision_where_asked(name: str) -> None:
    given = images(1)
    similarity = given["similarity"][:, :1] if name == "global" else given["similarity"]
    constants = {key: value for key, value in DAMP.items() if key in policies.constants(name)}
    constants |= {"expected_positives": 1.5} if name == "cap" else {}
    policy = policies.create_policy(name, **constants, half=True)
    found, _ = policy.scores(given["similarity"], given["observed"])
    expected, _ = damp_scores(similarity, given["observed"], DampSettings(**DAMP, half=True))
    np.testing.assert_array_equal(found, expected)
    assert (found != policies.create_policy(name, **constants).scores(given["similarity"], given["observed"])[0]).any()


def test_the_oracle_says_the_truth() -> None:
    given = images(2)
    labels = labelled("oracle", given)
    assert (labels.codes == np.where(given["truth"] == 1, 1, -1)).all()
    assert (labels.scores == given["truth"]).all()


# Laws


@pytest.mark.parametrize("name", CONSTANTS)
@settings(max_examples=8, deadline=None)
@given(seed=SEEDS, compat=st.sampled_from(["paper", "published"]))
def test_codes_and_scores_are_in_range_and_nothing_given_changes(name: str, seed: int, compat: str) -> None:
    given = images(seed)
    before = {key: values.copy() for key, values in given.items()}
    labels = labelled(name, given, **({"compat": compat} if "compat" in policies.constants(name) else {}))
    assert labels.codes.dtype == np.int8 and np.isin(labels.codes, (-1, 0, 1)).all()
    assert labels.scores.dtype == np.float32 and ((labels.scores >= 0) & (labels.scores <= 1)).all()
    for key, values in given.items():
        np.testing.assert_array_equal(values, before[key])


@pytest.mark.parametrize("name", ROW_BY_ROW)
@settings(max_examples=8, deadline=None)
@given(seed=SEEDS)
def test_some_images_alone_get_the_same_labels(name: str, seed: int) -> None:
    given, some = images(seed), [5, 0, 3]
    labels, alone = labelled(name, given), labelled(name, {key: values[some] for key, values in given.items()})
    np.testing.assert_array_equal(alone.codes, labels.codes[some])
    np.testing.assert_allclose(alone.scores, labels.scores[some], rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in CONSTANTS if name != "top-k"])  # whose negatives may all be positive
def test_every_policy_that_can_finds_positives_and_negatives(name: str) -> None:
    codes = labelled(name, images(0, count=40)).codes
    assert (codes == 1).any() and (codes == -1).any()


@pytest.mark.parametrize("name", CONSTANTS)
def test_a_policy_reads_what_it_says_and_is_made_by_name(name: str) -> None:
    policy = create_policy(name, **CONSTANTS[name])
    assert policy.reads == policies.reads(name)
    reading = {"label-propagation": ("embedding",), "oracle": ("truth",), "view-quality": ("view_embedding",)}
    assert policy.reads == reading.get(name, ())


# What a user does wrong


@pytest.mark.parametrize(
    ("name", "constant", "value"),
    [
        ("damp", "temperature", 0.0),
        ("global", "threshold", 1.5),
        ("vlpl", "temperature", 0.0),
        ("vlpl", "threshold", 1.1),
        ("vlpl", "partial", -0.1),
        ("threshold", "thresholds", [0.1, -0.2, 0.3, 0.1, 0.2, 2.0]),
        ("threshold", "thresholds", [float("nan")] * CLASSES),
        ("threshold", "temperatures", [0.0] * CLASSES),
        ("threshold", "temperatures", [0.1]),
        ("threshold", "negative_thresholds", [0.5] * CLASSES),
        ("threshold", "negative_thresholds", [0.0]),
        ("top-k", "top_k", 0),
        ("cap", "expected_positives", 0.0),
        ("cap", "expected_positives", None),
        ("cap", "positive_share", 1.1),
        ("cap", "negative_share", -0.1),
        ("cap", "frequencies", [0.5, 1.2]),
        ("cap", "frequencies", [float("nan")]),
        ("view-weights", "weights", [float("nan")] * VIEWS),
        ("view-weights", "sureness", float("inf")),
        ("view-weights", "top_k", 0),
        ("view-quality", "top_k", 0),
        ("view-quality", "w1", [1.0, 2.0, 3.0]),
        ("view-quality", "w1", []),
        ("view-quality", "w2", [1.0]),
        ("view-quality", "b2", float("nan")),
        ("label-propagation", "neighbours", 0),
        ("label-propagation", "alpha", -1.0),
        ("label-propagation", "beta", -1.0),
        ("label-propagation", "candidates", -1.0),
        ("label-propagation", "step", 0.0),
        ("label-propagation", "steps", 0),
    ],
)
def test_a_constant_out_of_range_is_a_mistake(name: str, constant: str, value: Any) -> None:
    with pytest.raises(AevlpError, match=constant) as caught:
        create_policy(name, **(CONSTANTS[name] | {constant: value}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "constant"), [("threshold", "thresholds"), ("view-weights", "weights"), ("view-quality", "w1")]
)
def test_what_is_fitted_must_be(name: str, constant: str) -> None:
    constants = {key: value for key, value in CONSTANTS[name].items() if key not in (constant, "negative_thresholds")}
    with pytest.raises(AevlpError, match=f"run aevlp calibrate CACHE --policy {name} first"):
        create_policy(name, **constants)


@pytest.mark.parametrize(
    ("name", "constants", "words"),
    [
        ("threshold", {"thresholds": [0.1], "negative_thresholds": None}, "1 thresholds, and there are 6 classes"),
        ("top-k", {"top_k": CLASSES + 1}, "at most the number of classes, 6, found 7"),
        ("cap", {"frequencies": [0.1, 0.2]}, "each of the 6 classes, found 2"),
        ("view-weights", {"weights": [0.0]}, "1 weights, and an image has 5 views"),
    ],
)
def test_constants_for_another_cache_are_a_mistake(name: str, constants: dict[str, Any], words: str) -> None:
    with pytest.raises(AevlpError, match=words):
        labelled(name, images(0), **constants)


def test_no_positive_to_fit_views_to_is_a_mistake() -> None:
    with pytest.raises(AevlpError, match="none of the images has one"):
        fit_view_weights(np.empty((0, 3)), np.empty((0, 3)))


def test_a_policy_is_found_by_the_name_it_had_before() -> None:
    found = create_policy("plain", **DAMP, neighbours=3)
    assert type(found) is type(create_policy("label-propagation", **DAMP, neighbours=3))
    assert "plain" not in policies.policy_names()
    assert str(parsed("plain[steps=2]")) == "label-propagation[steps=2]"
    assert set_constants(["plain.steps=2"]) == {"label-propagation": {"steps": 2}}
