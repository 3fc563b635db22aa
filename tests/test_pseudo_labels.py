"""DAMP against the published program's output and against loops written from its description."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.labels.codes import effective
from aevlp.pipeline.labels.damp import DampSettings, codes_from_scores, damp_codes, damp_scores
from goldens import load

GOLDEN = load("pseudo_labels")
PLAIN = DampSettings(temperature=0.1, eta=0.1, threshold=0.2, top_k=3, negative_ratio=0.25)

SETTINGS = st.builds(
    DampSettings,
    temperature=st.sampled_from([0.01, 0.1, 1.0]),
    eta=st.sampled_from([0.0, 0.05, 0.3, 2.0]),
    threshold=st.sampled_from([0.0, 0.125, 0.25, 1.0]),
    top_k=st.integers(1, 10),
    negative_ratio=st.sampled_from([0.0, 0.1, 0.29, 0.5, 1.0]),
    compat=st.sampled_from(["paper", "published"]),
)


@st.composite
def scored_images(draw: st.DrawFn, least_tiles: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Cosines (B, V, C) float64 without ties, and observed codes (B, C)."""
    images, views = draw(st.integers(1, 4)), 1 + draw(st.integers(least_tiles, 9))
    classes = draw(st.integers(1, 8))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    observed = draw(arrays(np.int8, (images, classes), elements=st.sampled_from([0, 0, 0, 1, -1])))
    return random.uniform(-0.3, 0.4, (images, views, classes)), observed


def golden(name: str, compat: str) -> tuple[np.ndarray, np.ndarray, DampSettings]:
    case = GOLDEN[name]
    views = int(case["grid_size"]) ** 2 + 1
    similarity = case["logits"].reshape(views, -1, int(case["num_classes"])).swapaxes(0, 1)
    constants = DampSettings(
        temperature=float(case["temp"]),
        eta=float(case["eta"]),
        threshold=float(case["threshold"]),
        top_k=int(case["top_k"]),
        negative_ratio=float(case["negative_ratio"]),
        compat=compat,
    )
    return similarity, case["observed"], constants


@pytest.mark.parametrize("name", GOLDEN)
def test_scores_equal_the_published_ones(name: str) -> None:
    case = GOLDEN[name]
    final, negative_ranking = damp_scores(*golden(name, "published"))
    assert final.dtype == np.float32
    np.testing.assert_allclose(final, case["final_score"], rtol=2e-4)
    assert ("negative_score" in case) == (name != "no_negatives")
    if "negative_score" in case:
        np.testing.assert_allclose(negative_ranking, case["negative_score"], rtol=2e-4)


@pytest.mark.parametrize("name", GOLDEN)
def test_codes_equal_the_published_ones(name: str) -> None:
    codes = damp_codes(*golden(name, "published"))
    np.testing.assert_array_equal(codes, GOLDEN[name]["codes"])
    assert codes.dtype == np.int8


@pytest.mark.parametrize("name", GOLDEN)
def test_the_paper_codes_the_lowest_classes_as_negative(name: str) -> None:
    case = GOLDEN[name]
    expected = np.where(case["bottom_mask"] == 1, -1, case["codes"])
    np.testing.assert_array_equal(damp_codes(*golden(name, "paper")), expected)


def test_the_paper_is_the_default() -> None:
    assert PLAIN.compat == "paper"


def slow_scores(views: list[list[float]], observed: list[int], eta: float, temperature: float) -> list[list[float]]:
    """Return [F, L] of one image, step by step as described."""
    classes = range(len(observed))
    probability = []
    for scores in views:
        powers = [math.exp((s - max(scores)) / temperature) for s in scores]
        probability.append([power / math.fsum(powers) for power in powers])
    whole, tiles = probability[0], probability[1:]
    gate = min(max(whole[c] * observed[c] for c in classes), float(np.float32(eta)))
    final, ranking = [], []
    for c in classes:
        of_class = [tile[c] for tile in tiles]
        local = max(of_class) if max(of_class) > gate else min(of_class)
        final.append((whole[c] + local) / 2)
        ranking.append((whole[c] + math.fsum(of_class) / len(of_class)) / 2)
    return [final, ranking]


def slow_codes(final: list[float], ranking: list[float], constants: DampSettings) -> list[int]:
    """Return the codes of one image from its two scores, ties to the lower class."""
    classes = range(len(final))
    codes = [0 for _ in classes]
    for c in sorted(classes, key=lambda c: (-final[c], c))[: constants.top_k]:
        codes[c] = 1 if final[c] >= constants.threshold else 0
    count = math.trunc(constants.negative_ratio * len(final))
    for c in sorted(classes, key=lambda c: (ranking[c], c))[:count]:
        codes[c] = -1 if constants.compat == "paper" else 0
    return codes


@settings(max_examples=80, deadline=None)
@given(images=scored_images(), constants=SETTINGS)
def test_damp_equals_loops_over_images(images: tuple[np.ndarray, np.ndarray], constants: DampSettings) -> None:
    similarity, observed = images
    final, ranking = damp_scores(similarity, observed, constants)
    for i in range(len(observed)):
        expected = slow_scores(similarity[i].tolist(), observed[i].tolist(), constants.eta, constants.temperature)
        np.testing.assert_allclose([final[i], ranking[i]], expected, rtol=1e-9, atol=1e-300)
        codes = slow_codes(final[i].tolist(), ranking[i].tolist(), constants)
        assert damp_codes(similarity, observed, constants)[i].tolist() == codes


# The published program's half precision


def half_loop(views: list[list[float]], observed: list[int], eta: float, temperature: float) -> list[list[np.float16]]:
    """Return [F, L] of one image, step by step as described, each step's result in half precision."""
    half, classes = np.float16, range(len(observed))
    probability = []
    for scores in views:
        scaled = [float(half(float(half(score)) / temperature)) for score in scores]
        powers = [math.exp(value - max(scaled)) for value in scaled]
        probability.append([half(power / math.fsum(powers)) for power in powers])
    whole, tiles = probability[0], probability[1:]
    gate = min(max(float(whole[c]) * observed[c] for c in classes), float(np.float32(eta)))
    final, ranking = [], []
    for c in classes:
        of_class = [tile[c] for tile in tiles]
        local = max(of_class) if float(max(of_class)) > gate else min(of_class)
        final.append((whole[c] + local) / half(2))
        ranking.append((whole[c] + half(math.fsum(map(float, of_class)) / len(of_class))) / half(2))
    return [final, ranking]


@settings(max_examples=80, deadline=None)
@given(images=scored_images(), constants=SETTINGS)
def test_half_precision_equals_loops_over_images(
    images: tuple[np.ndarray, np.ndarray], constants: DampSettings
) -> None:
    similarity, observed = images
    constants = replace(constants, half=True)
    final, ranking = damp_scores(similarity, observed, constants)
    for i in range(len(observed)):
        expected = half_loop(similarity[i].tolist(), observed[i].tolist(), constants.eta, constants.temperature)
        np.testing.assert_array_equal([final[i], ranking[i]], np.array(expected, dtype=np.float64))
        halved = replace(constants, threshold=float(np.float16(constants.threshold)))
        codes = slow_codes(final[i].tolist(), ranking[i].tolist(), halved)
        assert damp_codes(similarity, observed, constants)[i].tolist() == codes


def probabilities(whole: list[float], *tiles: list[float]) -> tuple[np.ndarray, DampSettings]:
    """Return cosines (1, V, C) float32 that have these probabilities, and the settings by which they do."""
    constants = DampSettings(temperature=1, eta=0, threshold=0.5, top_k=3, negative_ratio=0, compat="published")
    return np.log(np.array([[whole, *tiles]])).astype(np.float32), constants


# Class 0: its probability in the whole image and in the only tile, the threshold -> its code in single and in half precision.
SURE_TILES = [
    (1e-5, 0.9998, 0.5, 0, 1),  # the tile rounds to 1, and 1 + 1e-5 to 1
    (1e-7, 0.99977, 0.5, 0, 1),
    (1e-5, 0.9997, 0.5, 0, 0),  # this one rounds down, to 0.99951
    (1e-5, 0.99974, 0.5, 0, 0),
    (1e-5, 0.9998, 0.5001, 0, 1),  # the threshold is rounded too
    (1e-5, 0.9998, 0.5003, 0, 0),
    (0.3, 0.9002, 0.6, 1, 1),
    (0.3, 0.2, 0.5, 0, 0),
]


@pytest.mark.parametrize(("whole", "tile", "threshold", "single", "half"), SURE_TILES)
def test_a_sure_tile_passes_alone_in_half_precision(
    whole: float, tile: float, threshold: float, single: int, half: int
) -> None:
    similarity, constants = probabilities([whole, 1 - whole], [tile, 1 - tile])
    constants, observed = replace(constants, threshold=threshold), np.zeros((1, 2), dtype=np.int8)
    codes = [damp_codes(similarity, observed, replace(constants, half=of))[0, 0] for of in (False, True)]
    assert codes == [single, half]


def test_a_tile_of_9999_and_a_whole_image_of_a_ten_thousandth() -> None:
    similarity, constants = probabilities([1e-4, 1 - 1e-4], [0.9999, 1e-4])
    constants, observed = replace(constants, half=True), np.zeros((1, 2), dtype=np.int8)
    assert damp_scores(similarity, observed, constants)[0][0, 0] == 0.5
    assert damp_codes(similarity, observed, constants)[0, 0] == 1


def test_scores_in_half_precision_are_those_of_torch() -> None:
    """Torch's own half-precision operations, in the published order."""
    similarity, observed, constants = golden("coco", "published")
    found = damp_scores(similarity, observed, replace(constants, half=True))
    probability = (torch.from_numpy(similarity).half() / constants.temperature).softmax(dim=2)
    whole, tiles = probability[:, 0], probability[:, 1:]
    sureness = (whole * torch.from_numpy(observed)).amax(dim=1, keepdim=True)
    gate = tiles.amax(dim=1) > torch.minimum(sureness, torch.tensor(constants.eta))
    local = torch.where(gate, tiles.amax(dim=1), tiles.amin(dim=1))
    for scores, expected in zip(found, ((whole + local) / 2, (whole + tiles.mean(dim=1)) / 2), strict=True):
        assert expected.dtype == torch.float16
        np.testing.assert_allclose(scores, expected.float(), rtol=2**-9, atol=1e-7)  # a last bit before rounding
        assert (scores == expected.float().numpy()).mean() > 0.995


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_half_precision_keeps_the_type_of_scores(dtype: type) -> None:
    similarity, observed, constants = golden("pascal", "published")
    for scores in damp_scores(similarity.astype(dtype), observed, replace(constants, half=True)):
        assert scores.dtype == (np.float64 if dtype == np.float64 else np.float32)
        np.testing.assert_array_equal(scores, scores.astype(np.float16))


def test_half_precision_is_asked_for() -> None:
    for compat in ("paper", "published"):
        assert not DampSettings(0.1, 0.1, 0.2, 3, 0.25, compat).half


def test_a_temperature_that_half_precision_cannot_divide_by_is_a_mistake() -> None:
    with pytest.raises(AevlpError, match=r"^temperature must be at least 2e-05 with half, found 1e-05$"):
        replace(PLAIN, temperature=1e-5, half=True)
    coldest = replace(PLAIN, temperature=2e-5, half=True)
    similarity = np.array([[[1.0, -1.0, 0.5]]], dtype=np.float32)
    np.testing.assert_array_equal(damp_scores(similarity, np.zeros((1, 3)), coldest)[0], [[1, 0, 0]])


@settings(max_examples=100, deadline=None)
@given(
    scores=array_shapes(min_dims=2, max_dims=2, max_side=9).flatmap(
        lambda shape: st.tuples(*[arrays(np.float32, shape, elements=st.sampled_from([0, 0.125, 0.25, 0.5]))] * 2)
    ),
    constants=SETTINGS,
)
def test_tied_scores_go_to_the_lower_class(scores: tuple[np.ndarray, np.ndarray], constants: DampSettings) -> None:
    codes = codes_from_scores(*scores, constants)
    for found, final, ranking in zip(codes, *scores, strict=True):
        assert found.tolist() == slow_codes(final.tolist(), ranking.tolist(), constants)


def test_tied_classes_of_an_image_without_any_signal() -> None:
    codes = damp_codes(np.zeros((1, 5, 8)), np.zeros((1, 8)), replace(PLAIN, threshold=0.125))
    assert codes.tolist() == [[-1, -1, 1, 0, 0, 0, 0, 0]]  # the lowest are written over positives


def gated_score(whole: float, tiles: list[float], observed: list[int], eta: float) -> float:
    """Return the final score of class 0 of two, given its probability in the whole image and in the tiles."""
    p = np.array([whole, *tiles])
    similarity = np.log(np.stack([p, 1 - p], axis=1))[None]
    final, _ = damp_scores(similarity, np.array([observed]), replace(PLAIN, temperature=1, eta=eta))
    return float(final[0, 0])


def test_a_tile_must_score_above_the_observed_class_not_just_as_high() -> None:
    assert gated_score(0.5, [0.5, 0.2], [1, 0], eta=0.9) == pytest.approx((0.5 + 0.2) / 2)
    assert gated_score(0.5, [0.51, 0.2], [1, 0], eta=0.9) == pytest.approx((0.5 + 0.51) / 2)


def test_eta_is_rounded_to_single_precision() -> None:
    assert 0.1 < 0.100000001 < float(np.float32(0.1)) < 0.100000002
    assert gated_score(0.1, [0.100000001, 0.05], [0, 1], eta=0.1) == pytest.approx((0.1 + 0.05) / 2)
    assert gated_score(0.1, [0.100000002, 0.05], [0, 1], eta=0.1) == pytest.approx((0.1 + 0.1) / 2)


def test_a_score_at_the_threshold_is_positive() -> None:
    scores = np.array([[0.5, 0.3, 0.2]], dtype=np.float32)
    for threshold, expected in ((0.3, [1, 1, 0]), (0.31, [1, 0, 0])):
        constants = replace(PLAIN, threshold=threshold, negative_ratio=0)
        assert codes_from_scores(scores, scores, constants).tolist() == [expected]


def test_the_number_of_negatives_is_truncated_after_rounding_in_double() -> None:
    scores = np.random.default_rng(0).random((1, 100))
    constants = replace(PLAIN, negative_ratio=0.29, threshold=1)
    assert (codes_from_scores(scores, scores, constants) == -1).sum() == 28  # 0.29 * 100 is just below 29


def test_without_tiles_both_scores_are_the_whole_images_probabilities() -> None:
    similarity = np.random.default_rng(0).uniform(-0.3, 0.4, (3, 1, 5))
    powers = np.exp(similarity[:, 0] / PLAIN.temperature)
    for scores in damp_scores(similarity, np.zeros((3, 5)), PLAIN):
        np.testing.assert_allclose(scores, powers / powers.sum(axis=1, keepdims=True), rtol=1e-12)


@settings(max_examples=50, deadline=None)
@given(images=scored_images(least_tiles=0), constants=SETTINGS, seed=st.integers(0, 99))
def test_reordering_images_reorders_codes(
    images: tuple[np.ndarray, np.ndarray], constants: DampSettings, seed: int
) -> None:
    similarity, observed = images
    order = np.random.default_rng(seed).permutation(len(observed))
    np.testing.assert_array_equal(
        damp_codes(similarity[order], observed[order], constants), damp_codes(similarity, observed, constants)[order]
    )


@settings(max_examples=50, deadline=None)
@given(images=scored_images(), constants=SETTINGS, seed=st.integers(0, 99))
def test_reordering_classes_reorders_scores(
    images: tuple[np.ndarray, np.ndarray], constants: DampSettings, seed: int
) -> None:
    similarity, observed = images
    order = np.random.default_rng(seed).permutation(observed.shape[1])
    expected = [scores[:, order] for scores in damp_scores(similarity, observed, constants)]
    found = damp_scores(similarity[:, :, order], observed[:, order], constants)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-300)


@settings(max_examples=50, deadline=None)
@given(images=scored_images(), constants=SETTINGS, seed=st.integers(0, 99))
def test_the_order_of_tiles_does_not_matter(
    images: tuple[np.ndarray, np.ndarray], constants: DampSettings, seed: int
) -> None:
    similarity, observed = images
    order = np.random.default_rng(seed).permutation(np.arange(1, similarity.shape[1]))
    found = damp_scores(similarity[:, [0, *order]], observed, constants)
    np.testing.assert_allclose(found, damp_scores(similarity, observed, constants), rtol=1e-12)


@settings(max_examples=50, deadline=None)
@given(images=scored_images(), constants=SETTINGS)
def test_scores_are_probabilities_and_inputs_stay(
    images: tuple[np.ndarray, np.ndarray], constants: DampSettings
) -> None:
    before = [part.copy() for part in images]
    for scores in damp_scores(*images, constants):
        assert ((scores >= 0) & (scores <= 1)).all()
    damp_codes(*images, constants)
    for part, unchanged in zip(images, before, strict=True):
        np.testing.assert_array_equal(part, unchanged)


def test_half_precision_cosines_are_computed_in_single_precision() -> None:
    similarity, observed, constants = golden("coco", "paper")
    half = similarity.astype(np.float16)
    for found, expected in zip(
        damp_scores(half, observed, constants), damp_scores(half.astype(np.float32), observed, constants), strict=True
    ):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)


CODES = array_shapes(max_dims=3).flatmap(
    lambda shape: st.tuples(*[arrays(np.int8, shape, elements=st.integers(-1, 1))] * 2)
)


@settings(deadline=None)
@given(CODES)
def test_an_observed_label_always_wins(codes: tuple[np.ndarray, np.ndarray]) -> None:
    observed, pseudo = codes
    merged = effective(observed, pseudo)
    assert merged.dtype == np.int8
    for found, known, guessed in zip(merged.flat, observed.flat, pseudo.flat, strict=True):
        assert found == (known if known else guessed)
    assert (merged[observed == 1] == 1).all()


@pytest.mark.parametrize(
    ("constant", "value"),
    [
        ("temperature", 0.0),
        ("temperature", -0.01),
        ("temperature", float("nan")),
        ("eta", -0.1),
        ("eta", float("nan")),
        ("threshold", -0.1),
        ("threshold", 1.1),
        ("top_k", 0),
        ("negative_ratio", -0.1),
        ("negative_ratio", 1.5),
        ("negative_ratio", float("nan")),
        ("compat", "strict"),
        ("half", None),
        ("half", "yes"),
    ],
)
def test_a_constant_out_of_range_is_a_mistake(constant: str, value: float | str) -> None:
    with pytest.raises(AevlpError, match=f"^{constant} must be .*found {value!r}"):
        replace(PLAIN, **{constant: value})


@pytest.mark.parametrize(
    ("similarity", "observed"), [((2, 5), (2, 5)), ((2, 5, 3), (2, 4)), ((2, 5, 3), (3, 3)), ((2, 5, 3), (2, 5, 3))]
)
def test_shapes_that_do_not_fit_are_a_mistake(similarity: tuple[int, ...], observed: tuple[int, ...]) -> None:
    with pytest.raises(AevlpError, match="expected similarity"):
        damp_codes(np.zeros(similarity), np.zeros(observed), PLAIN)


def test_a_row_without_scores_is_unknown_throughout() -> None:
    similarity = np.full((2, 5, 4), np.nan, dtype=np.float32)
    similarity[1] = np.linspace(-1, 1, 20).reshape(5, 4)
    codes = damp_codes(similarity, np.zeros((2, 4), dtype=np.int8), DampSettings(0.1, 0.1, 0.2, 2, 0.5))
    assert (codes[0] == 0).all() and (codes[1] != 0).any()
