"""Every regime of observation against a slow reference or a law, its text on the command line, and stage one and two by it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import draw_blocks, stage_one, stage_two
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from aevlp.pipeline.datasets import load_images
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.labels.observation import NONE, REGIMES, apply, checked, parsed, written
from aevlp.pipeline.labels.single_positive import observe
from aevlp.pipeline.manifest.load import load_manifest
from aevlp.pipeline.score_cache import ScoreCache, open_cache, write_cache
from aevlp.pipeline.training.run_folder import RunFolder
from aevlp.stages.caches import verify
from aevlp.stages.caches.verify import find_faults
from aevlp.stages.stage_two.options import TrainOptions
from aevlp.stages.stage_two.plan import make_plan
from goldens import load

GOLDEN = {name: case for name, case in load("protocol").items() if name.startswith("observe_")}
LABELS = arrays(np.int8, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12), elements=st.integers(0, 1))
SEEDS = st.integers(0, 2**32 - 1)
SHARES = st.floats(0, 1)

# One of each regime that draws; the constants that matter are set.
EXAMPLES = [
    {"regime": "single-positive"},
    {"regime": "counts", "positives": 2, "negatives": 1},
    {"regime": "frequency", "power": 0.7},
    {"regime": "fraction", "fraction": 0.4},
    {"regime": "wrong", "rate": 0.5},
]
REGIME_IDS = [example["regime"] for example in EXAMPLES]


def observed(labels: np.ndarray, regime: str, **constants: Any) -> np.ndarray:
    """Return what a regime observes, after its constants were checked as a user's."""
    return apply(checked({"regime": regime, **constants}), labels)


def many_labels(rows: int = 2000, classes: int = 9) -> np.ndarray:
    """Return labels with frequent and rare classes, and some rows without any."""
    return (np.random.default_rng(3).random((rows, classes)) < np.linspace(0.05, 0.6, classes)).astype(np.int8)


def is_a_share_of(found: int, trials: int, share: float) -> bool:
    """Whether a binomial count is within five standard deviations, which it leaves once in 1.7 million trials."""
    return abs(found - trials * share) <= 5 * np.sqrt(trials * share * (1 - share))


def test_every_regime_has_its_example_here() -> None:
    assert {*REGIME_IDS, "largest", "none"} == set(REGIMES)


# --- laws of all of them


@pytest.mark.parametrize("example", EXAMPLES, ids=REGIME_IDS)
@settings(max_examples=30, deadline=None)
@given(labels=LABELS, seed=SEEDS)
def test_a_seed_fixes_what_is_observed_and_no_input_is_changed(
    example: dict[str, Any], labels: np.ndarray, seed: int
) -> None:
    before = labels.copy()
    regime = checked({**example, "seed": seed})
    kept = dict(regime)
    first = apply(regime, labels)
    np.testing.assert_array_equal(apply(regime, labels), first)
    assert first.dtype == np.int8
    assert first.shape == labels.shape
    assert set(np.unique(first)) <= {-1, 0, 1}
    np.testing.assert_array_equal(labels, before)
    assert regime == kept


@pytest.mark.parametrize("example", EXAMPLES, ids=REGIME_IDS)
def test_another_seed_observes_otherwise_and_1200_is_the_usual_one(example: dict[str, Any]) -> None:
    labels = many_labels()
    usual = apply(checked(example), labels)
    np.testing.assert_array_equal(apply(checked({**example, "seed": 1200}), labels), usual)
    assert (apply(checked({**example, "seed": 1201}), labels) != usual).any()


@pytest.mark.parametrize("form", [lambda y: 2 * y - 1, lambda y: y.astype(bool), lambda y: y.astype(np.float64)])
@pytest.mark.parametrize("example", EXAMPLES, ids=REGIME_IDS)
def test_labels_may_be_signed_boolean_or_floating(
    example: dict[str, Any], form: Callable[[np.ndarray], np.ndarray]
) -> None:
    labels = many_labels(50)
    np.testing.assert_array_equal(apply(checked(example), form(labels)), apply(checked(example), labels))


@pytest.mark.parametrize("example", EXAMPLES, ids=REGIME_IDS)
def test_a_split_without_images_has_nothing_observed(example: dict[str, Any]) -> None:
    assert apply(checked(example), np.zeros((0, 4), dtype=np.int8)).shape == (0, 4)


# --- counts and uniform


@pytest.mark.parametrize("name", GOLDEN)
def test_counts_are_the_published_draws(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = GOLDEN[name]
    seed = int(case["seed"])
    regime = checked(
        {"regime": "counts", "positives": int(case["num_pos"]), "negatives": int(case["num_neg"]), "seed": seed}
    )
    generator = np.random.RandomState(seed)
    monkeypatch.setattr(np.random, "RandomState", lambda seed: generator)
    np.testing.assert_array_equal(apply(regime, case["labels"]), case["observed"])
    assert generator.randint(2**31 - 1) == case["next_draw_after"]


@settings(max_examples=40, deadline=None)
@given(labels=LABELS, positives=st.integers(-1, 4), negatives=st.integers(-1, 4), seed=SEEDS)
def test_counts_are_those_of_the_protocol(labels: np.ndarray, positives: int, negatives: int, seed: int) -> None:
    found = observed(labels, "counts", positives=positives, negatives=negatives, seed=seed)
    np.testing.assert_array_equal(found, observe(labels, positives, negatives, seed))


@given(LABELS)
def test_none_hides_no_positive_and_observes_no_absence(labels: np.ndarray) -> None:
    np.testing.assert_array_equal(observed(labels, "none"), labels)


@given(LABELS, SEEDS)
def test_uniform_is_another_name_of_single_positive(labels: np.ndarray, seed: int) -> None:
    assert checked({"regime": "uniform", "seed": seed}) == checked({"regime": "single-positive", "seed": seed})
    np.testing.assert_array_equal(observed(labels, "uniform", seed=seed), observe(labels, seed=seed))


@settings(max_examples=40, deadline=None)
@given(labels=LABELS, seed=SEEDS)
def test_uniform_is_one_positive_and_no_negative(labels: np.ndarray, seed: int) -> None:
    expected = observed(labels, "counts", positives=1, negatives=0, seed=seed)
    np.testing.assert_array_equal(observed(labels, "uniform", seed=seed), expected)


# --- frequency


@settings(max_examples=60, deadline=None)
@given(labels=LABELS, power=st.floats(-3, 3), seed=SEEDS)
def test_frequency_keeps_one_true_positive_of_every_row_that_has_one(
    labels: np.ndarray, power: float, seed: int
) -> None:
    found = observed(labels, "frequency", power=power, seed=seed)
    assert (labels[found != 0] == 1).all()
    np.testing.assert_array_equal(found.sum(axis=1), labels.any(axis=1))


def three_classes(rows: int) -> np.ndarray:
    """Return labels of three classes, the first `rows` with all three; classes have rows, 2 * rows and 4 * rows positives."""
    labels = np.zeros((5 * rows, 3), dtype=np.int8)
    labels[:rows] = 1
    labels[rows : 2 * rows, 1] = labels[2 * rows :, 2] = 1
    assert labels.sum(axis=0).tolist() == [rows, 2 * rows, 4 * rows]
    return labels


@pytest.mark.parametrize("power", [-1.5, -1, 0, 0.5, 1, 2])
def test_frequency_chooses_in_proportion_to_the_powers_of_the_classes_sizes(power: float) -> None:
    rows = 4000
    found = observed(three_classes(rows), "frequency", power=power)
    weights = [1.0, 2.0**power, 4.0**power]
    for count, weight in zip((found[:rows] == 1).sum(axis=0), weights, strict=True):
        assert is_a_share_of(count, rows, weight / sum(weights))
    for other in {-1.5, -1, 0, 0.5, 1, 2} - {power}:  # and the bound is narrow enough to tell the powers apart
        assert not is_a_share_of((found[:rows, 0] == 1).sum(), rows, 1 / (1 + 2.0**other + 4.0**other))


@pytest.mark.parametrize(("power", "place"), [(60, -1), (-60, 0), (2000, -1), (-2000, 0), (1e250, -1)])
def test_a_great_power_always_takes_the_most_frequent_class_or_the_rarest(power: float, place: int) -> None:
    """Also where the powers themselves are beyond what a number holds."""
    labels = many_labels()
    sizes = labels.sum(axis=0)
    assert len(set(sizes)) == len(sizes)
    expected = np.zeros_like(labels)
    for row, present in zip(expected, labels, strict=True):
        classes = sorted(np.flatnonzero(present), key=sizes.__getitem__)
        if classes:
            row[classes[place]] = 1
    np.testing.assert_array_equal(observed(labels, "frequency", power=power), expected)


def test_frequencies_are_those_of_the_split_alone() -> None:
    labels = three_classes(2000)
    lone = labels[:2000]  # here the classes are equally frequent
    assert is_a_share_of(observed(lone, "frequency", power=3.0)[:, 0].sum(), 2000, 1 / 3)


# --- largest


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_largest_is_the_first_class_of_the_greatest_area(data: st.DataObject) -> None:
    labels = data.draw(LABELS)
    areas = data.draw(arrays(np.float64, labels.shape, elements=st.sampled_from([0.5, 1.0, 2.0, 7.0])))
    expected = np.zeros_like(labels)
    for row, present, area in zip(expected, labels, areas, strict=True):
        best = -1
        for c in range(len(row)):
            if present[c] and (best < 0 or area[c] > area[best]):
                best = c
        if best >= 0:
            row[best] = 1
    before = labels.copy(), areas.copy()
    found = apply(checked({"regime": "largest"}), labels, lambda: areas)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(labels, before[0])
    np.testing.assert_array_equal(areas, before[1])


def test_largest_passes_over_a_present_class_without_a_box() -> None:
    labels = np.array([[1, 1, 0], [0, 0, 0]])
    areas = np.array([[0.0, 3.0, 9.0], [0.0, 0.0, 0.0]])  # the third class is not there, however large
    np.testing.assert_array_equal(apply({"regime": "largest"}, labels, lambda: areas), [[0, 1, 0], [0, 0, 0]])


def test_largest_without_any_box_is_a_clear_error() -> None:
    labels = np.array([[1, 0], [0, 0], [1, 1], [0, 1]])
    with pytest.raises(AevlpError, match="largest needs objects with boxes or areas"):
        apply({"regime": "largest"}, labels, None)
    areas = np.array([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0], [4.0, 0.0]])
    with pytest.raises(AevlpError, match="no box or area of any object in 2 images that show something, first row 2"):
        apply({"regime": "largest"}, labels, lambda: areas)


# --- fraction


@settings(max_examples=40, deadline=None)
@given(labels=LABELS, share=SHARES, seed=SEEDS)
def test_a_fraction_is_observed_as_it_is(labels: np.ndarray, share: float, seed: int) -> None:
    found = observed(labels, "fraction", fraction=share, seed=seed)
    np.testing.assert_array_equal(found[found != 0], 2 * labels[found != 0] - 1)


@settings(max_examples=20, deadline=None)
@given(labels=LABELS, seed=SEEDS)
def test_no_fraction_is_nothing_and_the_whole_is_everything(labels: np.ndarray, seed: int) -> None:
    assert not observed(labels, "fraction", fraction=0, seed=seed).any()
    np.testing.assert_array_equal(observed(labels, "fraction", fraction=1, seed=seed), 2 * labels - 1)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_the_share_that_is_observed_is_the_fraction_for_positives_and_negatives(share: float) -> None:
    labels = many_labels(4000)
    found = observed(labels, "fraction", fraction=share)
    for value in (0, 1):
        known = found[labels == value] != 0
        assert is_a_share_of(known.sum(), known.size, share)
        assert not is_a_share_of(known.sum(), known.size, share + 0.05)


@settings(max_examples=40, deadline=None)
@given(labels=LABELS, shares=st.tuples(SHARES, SHARES).map(sorted), seed=SEEDS)
def test_what_a_fraction_observes_a_larger_one_observes_too(labels: np.ndarray, shares: list[float], seed: int) -> None:
    smaller, larger = (observed(labels, "fraction", fraction=share, seed=seed) for share in shares)
    np.testing.assert_array_equal(smaller[smaller != 0], larger[smaller != 0])


# --- wrong


@settings(max_examples=60, deadline=None)
@given(labels=LABELS, rate=SHARES, seed=SEEDS)
def test_a_wrong_label_is_one_that_the_image_does_not_show_and_the_others_are_uniform(
    labels: np.ndarray, rate: float, seed: int
) -> None:
    found, right = observed(labels, "wrong", rate=rate, seed=seed), observed(labels, "uniform", seed=seed)
    np.testing.assert_array_equal(found.sum(axis=1), labels.any(axis=1))
    assert set(np.unique(found)) <= {0, 1}
    untrue = ((found == 1) & (labels == 0)).any(axis=1)
    np.testing.assert_array_equal(found[~untrue], right[~untrue])


@settings(max_examples=20, deadline=None)
@given(labels=LABELS, seed=SEEDS)
def test_rate_0_is_uniform_and_at_rate_1_every_label_is_wrong_that_can_be(labels: np.ndarray, seed: int) -> None:
    np.testing.assert_array_equal(observed(labels, "wrong", rate=0, seed=seed), observe(labels, seed=seed))
    found = observed(labels, "wrong", rate=1, seed=seed)
    untrue = ((found == 1) & (labels == 0)).any(axis=1)
    np.testing.assert_array_equal(untrue, labels.any(axis=1) & ~labels.all(axis=1))


@settings(max_examples=60, deadline=None)
@given(labels=LABELS, rates=st.tuples(SHARES, SHARES).map(sorted), seed=SEEDS)
def test_what_a_rate_makes_wrong_a_larger_one_makes_wrong_alike(
    labels: np.ndarray, rates: list[float], seed: int
) -> None:
    smaller, larger = (observed(labels, "wrong", rate=rate, seed=seed) for rate in rates)
    untrue = ((smaller == 1) & (labels == 0)).any(axis=1)
    np.testing.assert_array_equal(smaller[untrue], larger[untrue])


@pytest.mark.parametrize("rate", [0.1, 0.4, 0.8])
def test_the_share_of_wrong_labels_is_the_rate_and_absent_classes_are_equally_likely(rate: float) -> None:
    rows = 8000
    labels = np.zeros((rows, 5), dtype=np.int8)
    labels[:, [1, 3]] = 1
    found = observed(labels, "wrong", rate=rate)
    untrue = int(found[:, [0, 2, 4]].sum())
    assert is_a_share_of(untrue, rows, rate)
    assert not is_a_share_of(untrue, rows, rate + 0.05)
    for absent in (0, 2, 4):
        assert is_a_share_of(found[:, absent].sum(), untrue, 1 / 3)


# --- how a regime is written


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("uniform", {"regime": "single-positive", "seed": 1200}),
        ("counts", {"regime": "counts", "positives": 1, "negatives": 0, "seed": 1200}),
        ("counts,positives=2,negatives=-1", {"regime": "counts", "positives": 2, "negatives": -1, "seed": 1200}),
        ("frequency", {"regime": "frequency", "power": 1.0, "seed": 1200}),
        ("frequency,power=-.5", {"regime": "frequency", "power": -0.5, "seed": 1200}),
        ("largest", {"regime": "largest"}),
        ("fraction,fraction=1e-1,seed=0", {"regime": "fraction", "fraction": 0.1, "seed": 0}),
        ("wrong,rate=0.2,seed=7", {"regime": "wrong", "rate": 0.2, "seed": 7}),
        (" wrong , seed = 4294967295 ,rate= +1 ", {"regime": "wrong", "rate": 1, "seed": 2**32 - 1}),
    ],
)
def test_a_regime_on_the_command_line_is_read_with_all_its_constants(text: str, expected: dict[str, Any]) -> None:
    assert parsed(text) == expected
    assert checked(parsed(text)) == expected
    assert checked(json.loads(json.dumps(expected))) == expected  # as it comes back from a cache


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "unknown regime '': known are "),
        ("wrng,rate=1", "unknown regime 'wrng': known are wrong, "),
        ("Uniform", "unknown regime 'Uniform': known are uniform, "),
        ("rate=0.2", "unknown regime 'rate=0.2': known are "),
        ("wrong", "the regime wrong needs rate"),
        ("fraction,seed=3", "the regime fraction needs fraction"),
        ("wrong,rat=0.1", "unknown constant of the regime wrong 'rat': known are rate, seed"),
        ("uniform,positives=2", "unknown constant of the regime single-positive 'positives': known are seed"),
        ("largest,seed=3", "the regime largest takes no constants, found 'seed'"),
        ("wrong,rate", "a regime is written NAME or NAME,constant=number,…, found 'rate' in 'wrong,rate'"),
        ("wrong,rate=", "a regime is written NAME or NAME,constant=number,…, found 'rate=' in 'wrong,rate='"),
        ("wrong,rate=much", "a regime is written NAME or NAME,constant=number,…, found 'rate=much' in "),
        ("wrong,rate=0.2 seed=7", "a regime is written NAME or NAME,constant=number,…, found 'rate=0.2 seed=7' in "),
        ("uniform,", "a regime is written NAME or NAME,constant=number,…, found '' in 'uniform,'"),
        ("wrong,rate=0.1,rate=0.2", "rate of a regime is given twice in 'wrong,rate=0.1,rate=0.2'"),
        ("wrong,regime=3", "regime of a regime is given twice in "),
        ("uniform,seed=1.5", "seed of the regime single-positive must be a whole number, found 1.5"),
        ("counts,positives=2.0", "positives of the regime counts must be a whole number, found 2.0"),
        ("frequency,power=nan", "power of the regime frequency must be a number, found nan"),
        ("frequency,power=-inf", "power of the regime frequency must be a number, found -inf"),
        ("frequency,power=1e999", "power of the regime frequency must be a number, found inf"),
        ("frequency,power=1" + 400 * "0", "power of the regime frequency must be a number, found 1000"),
        ("uniform,seed=-1", "seed of the regime single-positive must be in [0, 2^32), found -1"),
        ("wrong,rate=0.5,seed=4294967296", "seed of the regime wrong must be in [0, 2^32), found 4294967296"),
        ("counts,negatives=-2", "positives and negatives must be counts, or -1 for all, found 1 and -2"),
        ("fraction,fraction=1.01", "fraction must be in [0, 1], found 1.01"),
        ("wrong,rate=-0.1", "rate must be in [0, 1], found -0.1"),
        ("wrong,rate=nan", "rate of the regime wrong must be a number, found nan"),
    ],
)
def test_a_mistake_in_a_regime_is_one_clear_line(text: str, expected: str) -> None:
    with pytest.raises(AevlpError) as caught:
        parsed(text)
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("simulate", "expected"),
    [
        ({"regime": 3}, "unknown regime '3'"),
        ({"regime": None}, "unknown regime 'None'"),
        ({"regime": ["wrong"]}, "unknown regime "),
        ({"regime": "uniform", "seed": True}, "seed of the regime single-positive must be a whole number, found True"),
        ({"regime": "uniform", "seed": "7"}, "seed of the regime single-positive must be a whole number, found '7'"),
        ({"regime": "wrong", "rate": None}, "rate of the regime wrong must be a number, found None"),
        ({"regime": "wrong", "rate": [0.2]}, r"rate of the regime wrong must be a number, found [0.2]"),
    ],
)
def test_a_mistake_in_a_manifests_regime_is_one_clear_line(simulate: dict[str, Any], expected: str) -> None:
    with pytest.raises(AevlpError) as caught:
        checked(simulate)
    assert str(caught.value).startswith(expected)


def test_what_caches_of_version_0_1_say_is_a_regime_still() -> None:
    old = {"positives": 1, "negatives": 0, "seed": 1200}
    assert checked(old) == {"regime": "counts", **old}
    assert old == {"positives": 1, "negatives": 0, "seed": 1200}  # `checked` leaves what it is given alone


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(REGIMES)),
    st.dictionaries(
        st.sampled_from(["seed", "rate", "power", "fraction", "positives", "negatives", "regime", "odd"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=3)
        | st.lists(st.integers(), max_size=1),
        max_size=3,
    ),
)
def test_whatever_passes_the_check_can_be_applied(regime: str, constants: dict[str, Any]) -> None:
    try:
        known = checked({"regime": regime, **constants})
    except AevlpError:
        return
    labels = many_labels(40)
    found = apply(known, labels, lambda: labels + 1.0)
    assert found.shape == labels.shape
    assert checked(known) == parsed(written(known)) == known


# --- in the pipeline


def pipeline_labels(cache: ScoreCache, regime: dict[str, Any]) -> np.ndarray:
    """Return what a regime observes of a cache's truth, each split on its own."""
    assert cache.truth is not None
    return np.concatenate([apply(regime, cache.truth[cache.split == split]) for split in ("train", "test")])


@pytest.mark.parametrize(
    "text", ["counts,positives=2,negatives=1", "frequency,power=-1", "fraction,fraction=0.5,seed=2", "wrong,rate=0.6"]
)
def test_a_regime_is_used_recorded_drawn_again_and_trained_from(blocks: Path, tmp_path: Path, text: str) -> None:
    path = stage_one(blocks, tmp_path / "c.h5", simulate=text)
    cache = open_cache(path)
    assert cache.provenance["simulate"] == parsed(text)
    np.testing.assert_array_equal(cache.observed, pipeline_labels(cache, parsed(text)))
    assert (cache.observed != pipeline_labels(cache, parsed("uniform"))).any()  # the example tells
    assert find_faults(cache) == []
    assert not verify.verify(path).faults
    run = stage_two(path, tmp_path / "run", epochs=1, backbone="linear")  # the manifest names no regime
    assert np.isfinite(RunFolder(run).metrics()[0]["loss"])


def test_a_single_positive_an_image_is_observed_where_it_is_asked_for(cache_path: Path) -> None:
    cache = open_cache(cache_path)
    assert cache.provenance["simulate"] == {"regime": "single-positive", "seed": 1200}
    np.testing.assert_array_equal(cache.observed, pipeline_labels(cache, parsed("uniform")))


def test_wrong_labels_are_a_fault_where_they_were_not_asked_for(blocks: Path, tmp_path: Path) -> None:
    cache = open_cache(stage_one(blocks, tmp_path / "c.h5", simulate="wrong,rate=0.6"))
    assert cache.truth is not None
    untrue = int(((cache.observed == 1) & (cache.truth == 0)).any(axis=1).sum())
    assert untrue > 0
    header = replace(
        cache.header, provenance={**cache.provenance, "simulate": {"regime": "single-positive", "seed": 1200}}
    )
    write_cache(tmp_path / "d.h5", header, cache.rows())
    assert find_faults(open_cache(tmp_path / "d.h5")) == [f"{untrue} images have an observed label that is not true"]


def test_a_cache_of_another_regime_is_not_taken_for_this_one(blocks: Path, tmp_path: Path) -> None:
    path = stage_one(blocks, tmp_path / "c.h5", simulate="wrong,rate=0.6")
    before = path.read_bytes()
    stage_one(blocks, path, simulate="wrong,rate=0.6,seed=1200")  # the same in other words: nothing to do
    for observe_, expected in (
        ("wrong,rate=0.6,seed=1", r"simulate\.seed: 1, not 1200"),
        ("wrong,rate=0.3", r"simulate\.rate: 0\.3, not 0\.6"),
        ("uniform", r"simulate\.regime: single-positive, not wrong"),
        (None, r"simulate\.regime: single-positive, not wrong"),
    ):
        with pytest.raises(AevlpError, match=rf"was made differently \(this run has {expected}\).*--restart"):
            stage_one(blocks, path, simulate=observe_)
    assert path.read_bytes() == before
    stage_one(blocks, path, restart=True, yes=True)
    assert open_cache(path).provenance["simulate"]["regime"] == "single-positive"


def test_a_cache_whose_labels_its_regime_does_not_give_is_refused(blocks: Path, tmp_path: Path) -> None:
    cache = open_cache(stage_one(blocks, tmp_path / "c.h5", simulate="fraction,fraction=0.5"))
    told = {**cache.provenance, "simulate": parsed("fraction,fraction=0.5,seed=3")}
    write_cache(tmp_path / "d.h5", replace(cache.header, provenance=told), cache.rows())
    with pytest.raises(AevlpError, match="other labels or splits"):
        make_plan(TrainOptions(tmp_path / "d.h5"))


def blocks_with(folder: Path, lines: str) -> Path:
    """Draw blocks whose manifest has other lines than `simulate: single-positive`; return their folder."""
    draw_blocks(folder)
    manifest = folder / "blocks.yaml"
    manifest.write_text(manifest.read_text().replace("simulate: single-positive", lines))
    return folder


def test_a_manifests_regime_is_used_unless_another_is_asked_for(tmp_path: Path) -> None:
    folder = blocks_with(tmp_path / "data", "simulate: {regime: counts, positives: -1, negatives: 1}")
    every = {"regime": "counts", "positives": -1, "negatives": 1, "seed": 1200}
    spec = load_manifest(folder / "blocks.yaml")["blocks"]
    assert spec.simulate == every
    cache = open_cache(stage_one(folder, tmp_path / "c.h5"))
    assert cache.provenance["simulate"] == every
    np.testing.assert_array_equal(cache.observed, pipeline_labels(cache, every))
    assert cache.truth is not None
    np.testing.assert_array_equal(cache.observed == 1, cache.truth == 1)
    asked = open_cache(stage_one(folder, tmp_path / "d.h5", simulate="uniform"))
    assert asked.provenance["simulate"] == parsed("uniform")
    np.testing.assert_array_equal(asked.observed.sum(axis=1), 1)
    make_plan(TrainOptions(tmp_path / "d.h5"))  # drawn again by the cache's regime, not by the manifest's


def test_labels_that_somebody_gave_have_no_regime(tmp_path: Path) -> None:
    folder = blocks_with(tmp_path / "data", "labels: observed")
    with pytest.raises(AevlpError, match=r"blocks: its labels are the observed ones .* the regime wrong"):
        stage_one(folder, tmp_path / "c.h5", simulate="wrong,rate=0.1")
    assert not (tmp_path / "c.h5").exists()
    assert open_cache(stage_one(folder, tmp_path / "c.h5")).provenance["simulate"] == NONE
    folder = blocks_with(tmp_path / "both", "labels: observed\n    simulate: {regime: uniform}")
    with pytest.raises(AevlpError, match="the regime single-positive"):
        stage_one(folder, tmp_path / "d.h5")


def test_a_regime_that_the_data_cannot_have_names_data_set_and_split(blocks: Path, tmp_path: Path) -> None:
    with pytest.raises(AevlpError, match=r"^blocks, train split: the regime largest needs objects with boxes"):
        stage_one(blocks, tmp_path / "c.h5", simulate="largest")
    with pytest.raises(AevlpError, match=r"^--simulate: unknown regime 'smallest': known are "):
        stage_one(blocks, tmp_path / "c.h5", simulate="smallest")


def test_each_split_is_drawn_from_the_seed_anew(blocks: Path) -> None:
    regime = parsed("fraction,fraction=0.5")
    images = load_images(load_manifest(blocks / "blocks.yaml")["blocks"], simulate=regime)
    assert images.truth is not None
    for split in ("train", "test"):
        rows = images.split == split
        np.testing.assert_array_equal(images.observed[rows], apply(regime, images.truth[rows]))
    known = images.observed != 0
    np.testing.assert_array_equal(known[images.split == "test"], known[: (images.split == "test").sum()])
