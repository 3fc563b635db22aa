"""aevlp calibrate: what is fitted is what loops over all choices find, what it writes is a policy, what it refuses."""

import json
import logging
import math
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refusal

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.labels.damp import codes_from_scores, damp_scores
from aevlp.pipeline.losses import entry
from aevlp.pipeline.manifest.load import load_manifest
from aevlp.pipeline.policies import create_policy
from aevlp.pipeline.policies.calibration import (
    expected_by_observed,
    expected_quality,
    fit_temperatures,
    fit_thresholds,
    frequency_thresholds,
    read_policy_file,
    write_policy_file,
)
from aevlp.pipeline.policies.labelling import label
from aevlp.pipeline.score_cache import CacheHeader, CacheRows, open_cache, write_cache
from aevlp.pipeline.training.splits import splits
from aevlp.stages.experiments.calibrate import Calibration, calibrate, show
from aevlp.stages.experiments.class_frequencies import read_frequencies
from aevlp.stages.experiments.options import CalibrateOptions
from aevlp.stages.experiments.sweep import sweep
from aevlp.stages.stage_two.labels_plan import policy_of
from aevlp.stages.stage_two.options import TrainOptions
from aevlp.stages.stage_two.plan import make_plan
from aevlp.stages.stage_two.without_labels import rows_without_labels
from fakes import SETTINGS, random_cache

SEEDS = st.integers(0, 2**32 - 1)
CLASSES = [f"class_{n}" for n in range(5)]
MANIFEST = """
datasets:
  fake:
    title: Fake
    format: table
    table: labels.csv
    expected_positives: 1.5
    damp: {grid: 2, temperature: 0.1, eta: 0.2, threshold: 0.2, top_k: 2, negative_ratio: 0.3}
"""


@pytest.fixture
def given_cache(tmp_path: Path) -> CalibrateOptions:
    """Options for a cache of 60 images, the last 20 of them for tests, two of all unreadable."""
    header, content = random_cache(rows=60, bad=2, storage="float32")
    write_cache(tmp_path / "fake.h5", header, [content])
    (tmp_path / "fake.yaml").write_text(MANIFEST)
    return CalibrateOptions(
        tmp_path / "fake.h5", policy="threshold", output=tmp_path / "policy.json", manifest=tmp_path / "fake.yaml"
    )


def fit(options: CalibrateOptions) -> Calibration:
    """Calibrate with options."""
    return calibrate(**{of.name: getattr(options, of.name) for of in fields(options)})


def anew(options: CalibrateOptions) -> None:
    """Calibrate, in the place of what an earlier calibration wrote, and print it."""
    options.output.unlink(missing_ok=True)
    show(fit(options))


def refused(options: CalibrateOptions) -> str:
    """Return the line with which options are refused; nothing is written."""
    line = refusal(fit, options)
    assert not options.output.exists()
    return line


# Thresholds


def f1(scores: list[float], truth: list[int], threshold: float) -> float:
    labelled = [score >= threshold for score in scores]
    hits = sum(a and b for a, b in zip(labelled, truth, strict=True))
    return 2 * hits / (sum(labelled) + sum(truth))


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, n=st.integers(1, 12), tied=st.booleans())
def test_no_threshold_labels_better_than_the_fitted_one(seed: int, n: int, tied: bool) -> None:
    random = np.random.default_rng(seed)
    scores = random.random((n, 3)).astype(np.float32)
    scores = scores.round(1) if tied else scores
    truth = random.integers(0, 2, (n, 3))
    truth[0, 0] = 1
    for c, threshold in enumerate(fit_thresholds(scores, truth)):
        of_class, there = scores[:, c].tolist(), truth[:, c].tolist()
        if not any(there):
            continue
        best = max(f1(of_class, there, choice) for choice in of_class)
        assert f1(of_class, there, threshold) == pytest.approx(best)
        # Of equally good ones it is the highest, half-way to the next score below.
        last = max(choice for choice in of_class if f1(of_class, there, choice) == pytest.approx(best))
        below = [s for s in of_class if s < last]
        assert threshold == pytest.approx((last + max(below)) / 2 if below else last)


def test_a_class_that_is_nowhere_gets_the_threshold_of_all_together() -> None:
    scores = np.array([[0.9, 0.1], [0.8, 0.3], [0.2, 0.7]])
    truth = np.array([[1, 0], [1, 0], [0, 0]])
    assert fit_thresholds(scores, truth) == pytest.approx([0.5, 0.75])


def test_expected_quality_is_that_of_images_that_were_not_seen() -> None:
    """Where scores tell nothing, the fitted images promise more than others keep."""
    random = np.random.default_rng(0)
    scores, truth = random.random((40, 30)), (random.random((40, 30)) < 0.2).astype(int)
    fitted = fit_thresholds(scores, truth)
    labelled = scores >= fitted
    promised = (labelled & (truth == 1)).sum() / labelled.sum()
    expected = expected_quality(scores, truth)
    assert promised > 0.24
    assert 0.1 < np.nanmean(expected.precision) < 0.23  # a fifth of all is true


def test_expected_quality_of_scores_that_tell_all_is_perfect() -> None:
    truth = np.random.default_rng(1).integers(0, 2, (30, 3))
    expected = expected_quality(truth * 0.8 + 0.1, truth)
    assert (expected.precision == 1).all() and (expected.recall == 1).all()
    assert np.isnan(expected_quality(np.array([[0.5, 0.2]]), np.array([[1, 0]])).precision).all()


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, n=st.integers(1, 40))
def test_as_many_images_reach_a_threshold_as_the_frequency_says(seed: int, n: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.permuted(np.linspace(0, 1, 3 * n, dtype=np.float32)).reshape(n, 3)
    frequencies = np.array([random.random(), 0.0, 1.0])
    thresholds = frequency_thresholds(scores, frequencies)
    assert (scores >= thresholds).sum(axis=0).tolist() == [round(frequencies[0] * n), 0, n]


# Temperatures


@pytest.mark.parametrize("each", [False, True])
def test_temperatures_that_the_labels_were_drawn_with_are_found(each: bool) -> None:
    random = np.random.default_rng(0)
    cosines = random.uniform(-0.3, 0.3, (20000, 3))
    true = np.array([0.05, 0.1, 0.2]) if each else np.full(3, 0.08)
    power = np.exp(cosines / true)
    drawn = (np.cumsum(power / power.sum(axis=1, keepdims=True), axis=1) < random.random((20000, 1))).sum(axis=1)
    np.testing.assert_allclose(fit_temperatures(cosines, np.eye(3)[drawn], 0.1, each), true, rtol=0.06)


def test_the_temperature_is_at_the_least_of_its_loss() -> None:
    random = np.random.default_rng(3)
    cosines, truth = random.uniform(-0.3, 0.3, (15, 4)), random.integers(0, 2, (15, 4))
    truth[3] = 0  # an image without any does not count

    def loss(temperature: float) -> float:
        total, images = 0.0, 0
        for row, there in zip(cosines.tolist(), truth.tolist(), strict=True):
            whole = math.log(math.fsum(math.exp(c / temperature) for c in row))
            if any(there):
                total += sum((whole - c / temperature) * t for c, t in zip(row, there, strict=True)) / sum(there)
                images += 1
        return total / images + 1e-3 * math.log(temperature / 0.1) ** 2

    fitted = fit_temperatures(cosines, truth, 0.1)
    assert (fitted == fitted[0]).all() and len(fitted) == 4
    assert loss(fitted[0]) < min(loss(fitted[0] * 1.02), loss(fitted[0] / 1.02), loss(0.1))


def test_nothing_to_fit_to_is_a_mistake() -> None:
    scores, nothing = np.ones((3, 2)), np.zeros((3, 2), dtype=np.int8)
    for fit in (lambda: fit_thresholds(scores, nothing), lambda: fit_temperatures(scores, nothing, 0.1)):
        with pytest.raises(AevlpError, match="fitted to positives, and the labelled images have none"):
            fit()
    with pytest.raises(AevlpError, match="there is none"):
        frequency_thresholds(np.empty((0, 2)), np.ones(2))


# The command


def test_thresholds_of_labelled_training_images(
    given_cache: CalibrateOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    anew(replace(given_cache, labelled_truth=20))
    content = read_policy_file(given_cache.output)
    cache = open_cache(given_cache.cache)
    assert content["policy"] == "threshold" and content["classes"] == cache.classes
    assert content["cache_fingerprint"] == cache.fingerprint
    assert content["fitted_on"] == "20 training images whose truth is known, seed 0"
    assert (content["constants"]["temperature"], content["constants"]["eta"]) == (0.1, 0.2)
    labels = label(cache, np.arange(len(cache)), create_policy(content["policy"], **content["constants"]))
    assert (labels.codes == 1).any()
    printed = capsys.readouterr().out
    assert "class_4" in printed and "precision" in printed and "--policy" in printed


def test_the_same_seed_labels_the_same_images_and_the_test_split_is_never_among_them(
    given_cache: CalibrateOptions,
) -> None:
    fitted = []
    for seed in (0, 0, 1):
        anew(replace(given_cache, labelled_truth=15, seed=seed))
        fitted.append(given_cache.output.read_bytes())
    assert fitted[0] == fitted[1] != fitted[2]
    header, content = random_cache(rows=60, bad=2, storage="float32")
    test = np.array(content.split) == "test"
    turned = np.where(test[:, None, None, None], -np.asarray(content.similarity), content.similarity)
    truth = np.where(test[:, None], 1, content.truth).astype(np.int8)
    write_cache(given_cache.cache, header, [replace(content, similarity=turned, truth=truth)])
    anew(replace(given_cache, labelled_truth=15, seed=1))
    assert given_cache.output.read_bytes() == fitted[2]


def write_labels(path: Path, images: list[str], labels: list[str]) -> Path:
    path.write_text("\n".join(["image,labels", *map(",".join, zip(images, labels, strict=True))]) + "\n")
    return path


def test_classes_that_no_labelled_image_shows_are_named(
    given_cache: CalibrateOptions, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = [
        str(of) for of in open_cache(given_cache.cache).ids[splits(open_cache(given_cache.cache), 0.2)[0].rows][:6]
    ]
    notes = logging.getLogger("aevlp")
    notes.addHandler(caplog.handler)
    try:
        for labels, unseen in ((["class_0;class_2"] * 6, "class_1, class_3, class_4"), ([";".join(CLASSES)] * 6, "")):
            caplog.clear()
            anew(replace(given_cache, labelled=write_labels(tmp_path / "few.csv", images, labels)))
            found = re.findall(r"no labelled image shows (.*): the threshold there", caplog.text)
            assert found == ([unseen] if unseen else [])
    finally:
        notes.removeHandler(caplog.handler)


def test_a_table_of_all_training_images_is_as_their_truth(given_cache: CalibrateOptions, tmp_path: Path) -> None:
    cache = open_cache(given_cache.cache)
    train = splits(cache, 0.2)[0].rows
    anew(replace(given_cache, labelled_truth=len(train)))
    expected = read_policy_file(given_cache.output)["constants"]
    truth = np.asarray(cache.truth)
    unscored = np.flatnonzero((cache.split == "train") & (cache.status != "ok"))
    order = np.concatenate([train, unscored])[::-1]
    names = [";".join(np.array(CLASSES)[truth[row] == 1]) for row in order]
    table = write_labels(tmp_path / "mine.csv", cache.ids[order].tolist(), names)
    anew(replace(given_cache, labelled=table))
    content = read_policy_file(given_cache.output)
    assert content["constants"] == expected
    assert content["fitted_on"] == f"{len(train)} images of mine.csv"


def test_labelled_images_of_the_validation_part_are_named(
    given_cache: CalibrateOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = open_cache(given_cache.cache)
    val = splits(cache, 0.2)[1].rows
    table = write_labels(tmp_path / "mine.csv", cache.ids[val].tolist(), [CLASSES[0]] * len(val))
    anew(replace(given_cache, labelled=table))
    assert f"{len(val)} images are of the validation part" in " ".join(capsys.readouterr().err.split())
    assert read_policy_file(given_cache.output)["full_labels"] is True


@pytest.mark.parametrize(("temperature", "constant"), [("one", "temperature"), ("class", "temperatures")])
def test_a_temperature_is_fitted_where_asked_for(
    given_cache: CalibrateOptions, temperature: str, constant: str
) -> None:
    anew(replace(given_cache, labelled_truth=30, temperature=temperature))
    constants = read_policy_file(given_cache.output)["constants"]
    found = np.atleast_1d(constants[constant])
    assert len(found) == (1 if temperature == "one" else 5)
    assert (found > 0).all() and (found != 0.1).all()
    assert ("temperatures" in constants) == (temperature == "class")


def test_frequencies_are_met_over_the_training_images(given_cache: CalibrateOptions, tmp_path: Path) -> None:
    cache = open_cache(given_cache.cache)
    train = splits(cache, 0.2)[0].rows
    frequencies = [0.5, 0.1, 0.0, 1.0, 0.25]
    lines = [f"{name},{frequency}" for name, frequency in zip(CLASSES, frequencies, strict=True)]
    prior = tmp_path / "prior.csv"
    prior.write_text("\n".join(["class,frequency", *lines]))
    anew(replace(given_cache, prior=str(prior)))
    content = read_policy_file(given_cache.output)
    codes = label(cache, train, create_policy("threshold", **content["constants"])).codes
    assert (codes == 1).sum(axis=0).tolist() == [round(frequency * len(train)) for frequency in frequencies]

    anew(replace(given_cache, prior="observed"))
    content = read_policy_file(given_cache.output)
    codes = label(cache, train, create_policy("threshold", **content["constants"])).codes
    counts = (cache.observed[train] == 1).sum(axis=0)
    expected = [round(min(1.5 * count / counts.sum(), 1) * len(train)) for count in counts]
    assert (codes == 1).sum(axis=0).tolist() == expected


def test_what_to_expect_of_frequencies_is_estimated_from_observed_positives(
    given_cache: CalibrateOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = fit(replace(given_cache, prior="observed")).to_json()
    assert printed["path"] == str(given_cache.output) and printed["policy"] == "threshold"
    assert [line["class"] for line in printed["table"]] == CLASSES
    cache = open_cache(given_cache.cache)
    train = splits(cache, 0.2)[0].rows
    labels = label(cache, train, create_policy("threshold", **printed["constants"]))
    positives = (cache.observed[train] == 1).sum(axis=0)
    for c, line in enumerate(printed["table"]):
        reached = [n for n in range(len(train)) if labels.scores[n, c] >= line["threshold"]]
        known = [n for n in range(len(train)) if cache.observed[train[n], c] == 1]
        recall = len(set(reached) & set(known)) / len(known)
        frequency = min(1, 1.5 * len(known) / positives.sum())
        assert line["expected recall"] == pytest.approx(recall)
        assert line["expected precision"] == pytest.approx(min(1, recall * frequency / (len(reached) / len(train))))


def test_the_estimate_is_right_where_positives_are_observed_at_random() -> None:
    random = np.random.default_rng(3)
    truth = random.random((40_000, 3)) < [0.1, 0.3, 0.5]
    scores = random.normal(1.5 * truth, 1)
    observed = truth & (random.random(truth.shape) < 0.2)
    thresholds = np.array([0.8, 0.5, 1.2])
    expected = expected_by_observed(scores, observed.astype(np.int8), thresholds, truth.mean(axis=0))
    reached = scores >= thresholds
    np.testing.assert_allclose(expected.recall, (reached & truth).sum(0) / truth.sum(0), atol=0.03)
    np.testing.assert_allclose(expected.precision, (reached & truth).sum(0) / reached.sum(0), atol=0.03)
    nothing = expected_by_observed(scores[:5], np.zeros((5, 3), np.int8), thresholds, truth.mean(axis=0))
    assert np.isnan(nothing.recall).all() and np.isnan(nothing.precision).all()


def test_views_are_weighed_by_observed_positives(
    given_cache: CalibrateOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    header, content = random_cache(rows=60, bad=2, storage="float32", has_truth=False)
    similarity = np.asarray(content.similarity).copy()
    similarity[:, :, 2] = np.where(content.observed[:, None] == 1, 0.9, 0.0)  # tile 2 shows what was observed
    write_cache(given_cache.cache, header, [replace(content, similarity=similarity)])
    anew(replace(given_cache, policy="view-weights"))
    content = read_policy_file(given_cache.output)
    weights = content["constants"]["weights"]
    assert np.argmax(weights) == 2 and len(weights) == header.views
    assert content["fitted_on"].startswith("the observed positives of ")
    cache = open_cache(given_cache.cache)
    assert (label(cache, np.arange(60), create_policy("view-weights", **content["constants"])).codes == 1).any()
    printed = capsys.readouterr().out
    assert "whole image" in printed and "tile 4" in printed


def test_views_may_be_weighed_by_the_truth(given_cache: CalibrateOptions) -> None:
    anew(replace(given_cache, policy="view-weights", labelled_truth=10))
    assert read_policy_file(given_cache.output)["fitted_on"].startswith("10 training images whose truth is known")


# A cache of which no label is known


@pytest.fixture(params=["train", "train and test"])
def unlabelled(given_cache: CalibrateOptions, tmp_path: Path, request: pytest.FixtureRequest) -> CalibrateOptions:
    """Options for the cache without any label, and a table with those of 16 of its training images."""
    header, content = random_cache(rows=60, bad=2, storage="float32", stores="embedding", has_truth=False)
    truth = random_cache(rows=60, bad=2, storage="float32", stores="embedding")[1].truth
    split = content.split if "test" in request.param else ["train"] * 60
    nothing = replace(content, observed=np.zeros_like(content.observed), split=split)
    with_scores = codes_anew(header, nothing)
    write_cache(given_cache.cache, header, [with_scores])
    names = [";".join(np.array(CLASSES)[row == 1]) for row in np.asarray(truth)[:16]]
    return replace(given_cache, labelled=write_labels(tmp_path / "mine.csv", list(content.ids[:16]), names))


def codes_anew(header: CacheHeader, content: CacheRows) -> CacheRows:
    """Return rows with the scores and codes that they have without any observed label."""
    assert header.text is not None
    seen = (np.asarray(content.view_embedding, np.float32) @ header.text.T).clip(-1, 1)
    score, ranking = damp_scores(np.nan_to_num(seen.mean(axis=1)), np.asarray(content.observed), SETTINGS)
    code, bad = codes_from_scores(score, ranking, SETTINGS), np.array(content.status) != "ok"
    score[bad], code[bad] = np.nan, 0
    return replace(content, score=score, code=code)


@pytest.mark.parametrize("policy", ["threshold", "sigmoid", "view-weights", "view-quality"])
def test_labelled_images_calibrate_a_cache_without_labels(unlabelled: CalibrateOptions, policy: str) -> None:
    if policy == "sigmoid":
        assert "reads the bias of a sigmoid-scored model" in refused(replace(unlabelled, policy=policy))
        said = MANIFEST + "    policies: {sigmoid: {scale: 10.0, bias: -1.0}}\n"
        (unlabelled.output.parent / "fake.yaml").write_text(said)
    fit(replace(unlabelled, policy=policy))
    content = read_policy_file(unlabelled.output)
    assert content["fitted_on"].endswith("images of mine.csv")
    cache, spec = open_cache(unlabelled.cache), load_manifest(unlabelled.manifest)["fake"]
    plan = policy_of(str(unlabelled.output), "gpr", entry("gpr"), cache, spec)
    assert plan is not None and (label(cache, np.arange(60), plan.create()).codes == 1).any()
    make_plan(
        TrainOptions(unlabelled.cache, policy=str(unlabelled.output), manifest=unlabelled.manifest, backbone="linear")
    )


def test_frequencies_calibrate_a_cache_without_labels(unlabelled: CalibrateOptions, tmp_path: Path) -> None:
    prior = tmp_path / "prior.csv"
    prior.write_text("class,frequency\n" + "".join(f"{name},0.25\n" for name in CLASSES))
    fit(replace(unlabelled, labelled=None, prior=str(prior)))
    cache = open_cache(unlabelled.cache)
    train = rows_without_labels(cache, load_manifest(unlabelled.manifest)["fake"])[0]
    made = create_policy("threshold", **read_policy_file(unlabelled.output)["constants"])
    assert ((label(cache, train, made).codes == 1).sum(axis=0) == round(0.25 * len(train))).all()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {},
            "has none to be fitted to: give a table of a few labelled images as --labelled FILE, or class frequencies",
        ),
        ({"prior": "observed"}, "no image has a label, so threshold has none to be fitted to"),
        ({"labelled_truth": 5}, "no image has a label, so threshold has none to be fitted to"),
        ({"policy": "view-weights"}, "so view-weights has none to be fitted to: .* as --labelled FILE$"),
        ({"policy": "view-quality"}, "so view-quality has none to be fitted to: .* as --labelled FILE$"),
        ({"policy": "sigmoid"}, "policy sigmoid reads the bias of a sigmoid-scored model"),
    ],
)
def test_nothing_calibrates_a_cache_without_labels_by_itself(
    unlabelled: CalibrateOptions, changed: dict[str, Any], words: str
) -> None:
    assert re.search(words, refused(replace(unlabelled, **{"labelled": None, **changed})))


def test_a_sweep_of_a_cache_without_labels_says_what_to_do(unlabelled: CalibrateOptions) -> None:
    for action in (sweep, lambda *given, **more: splits(open_cache(given[0]), 0.2)):
        line = refusal(action, unlabelled.cache, manifest=unlabelled.manifest)
        assert (
            "no image has a known label, so there is nothing to evaluate by: give some images labels, in a table"
            in line
        )
        assert line.endswith("aevlp calibrate --labelled FILE")


# What a user does wrong


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"policy": "damp", "labelled_truth": 5},
            "--policy: 'damp' is not one of threshold, sigmoid, view-weights, view-quality",
        ),
        ({}, "give --labelled FILE, --labelled-truth N, or --prior"),
        ({"labelled_truth": 5, "prior": "observed"}, "--labelled-truth and --prior exclude each other"),
        ({"labelled_truth": 0}, "--labelled-truth: expected at least 1, found 0"),
        ({"labelled_truth": 10**6}, "found 1000000"),
        ({"labelled_truth": 5, "temperature": "two"}, "--temperature: 'two' is not one of keep, one, class"),
        ({"prior": "observed", "temperature": "one"}, "a temperature is fitted to labelled images"),
        ({"policy": "view-weights", "prior": "observed"}, "leave --prior and --temperature out"),
        ({"policy": "view-weights", "temperature": "one"}, "leave --prior and --temperature out"),
        ({"prior": "nowhere.csv"}, r"cannot read the class frequencies nowhere\.csv"),
        ({"labelled": Path("nowhere.csv")}, r"no labelled images nowhere\.csv"),
    ],
)
def test_options_that_do_not_fit_are_a_mistake(
    given_cache: CalibrateOptions, changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(AevlpError, match=words):
        fit(replace(given_cache, **changed))
    assert not given_cache.output.exists()


def test_what_is_there_already_is_not_overwritten(given_cache: CalibrateOptions) -> None:
    given_cache.output.write_text("mine")
    with pytest.raises(AevlpError, match=r"policy\.json is there already: choose another name"):
        fit(replace(given_cache, labelled_truth=5))
    assert given_cache.output.read_text() == "mine"


@pytest.mark.parametrize("policy", ["threshold", "view-weights"])
@pytest.mark.parametrize("from_table", [False, True])
def test_one_image_cannot_calibrate(
    given_cache: CalibrateOptions, tmp_path: Path, policy: str, from_table: bool
) -> None:
    cache = open_cache(given_cache.cache)
    rows = [row for row in np.flatnonzero(cache.split == "train") if cache.status[row] == "ok"][:2]
    options = replace(given_cache, policy=policy)
    for count in (1, 2):
        if from_table:
            file = write_labels(tmp_path / "some.csv", cache.ids[rows[:count]].tolist(), [cache.classes[0]] * count)
            given = replace(options, labelled=file)
        else:
            given = replace(options, labelled_truth=count)
        if count == 1:
            assert f"one image cannot calibrate {policy}" in refused(given)
        else:
            assert fit(given).path == given_cache.output


def test_a_policy_fitted_on_a_cache_of_the_published_rules_is_taken(given_cache: CalibrateOptions) -> None:
    header, content = random_cache(rows=60, bad=2, storage="float32")
    method = {**header.provenance["method"], "compat": "published", "half": True}
    write_cache(given_cache.cache, replace(header, provenance={**header.provenance, "method": method}), [content])
    cache, spec = open_cache(given_cache.cache), load_manifest(given_cache.manifest)["fake"]
    for policy in ("threshold", "view-weights"):
        output = fit(
            replace(given_cache, policy=policy, labelled_truth=20, output=given_cache.output.with_stem(policy))
        ).path
        plan = policy_of(str(output), "gpr", entry("gpr"), cache, spec)
        assert plan is not None and plan.name == policy
        assert label(cache, np.arange(60), plan.create()).codes.shape == (60, 5)


def test_the_output_is_a_json_file(given_cache: CalibrateOptions, tmp_path: Path) -> None:
    assert "--output is a .json file" in refused(replace(given_cache, labelled_truth=5, output=tmp_path / "policy.h5"))


def test_truth_that_the_cache_does_not_know_cannot_be_drawn(given_cache: CalibrateOptions) -> None:
    header, content = random_cache(rows=60, has_truth=False)
    write_cache(given_cache.cache, header, [content])
    assert "has none: give --labelled FILE" in refused(replace(given_cache, labelled_truth=5))


def test_observed_frequencies_need_the_number_of_positives(given_cache: CalibrateOptions, tmp_path: Path) -> None:
    (tmp_path / "fake.yaml").write_text(MANIFEST.replace("    expected_positives: 1.5\n", ""))
    assert "say `expected_positives` under fake in the manifest" in refused(replace(given_cache, prior="observed"))


@pytest.mark.parametrize(
    ("image", "labels", "words"),
    [
        ("image_0059.jpg", "class_0", "1 image is not of the training split, first 'image_0059.jpg'"),
        ("elsewhere.jpg", "class_0", "1 image is not in .*, first 'elsewhere.jpg'"),
        ("image_0001.jpg", "zebra", "unknown class 'zebra'"),
        ("", "class_0", "an image's path is needed"),
    ],
)
def test_a_table_that_does_not_fit_is_a_mistake(
    given_cache: CalibrateOptions, tmp_path: Path, image: str, labels: str, words: str
) -> None:
    table = write_labels(tmp_path / "mine.csv", ["image_0000.jpg", image], ["class_1", labels])
    with pytest.raises(AevlpError, match=words):
        fit(replace(given_cache, labelled=table))
    assert not given_cache.output.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,frequency\na,1\n", "there is no class"),
        ("class\na\n", "there is no frequency"),
        ("class,frequency\na,0.5\nc,0.5\n", "line 3: unknown class 'c'"),
        ("class,frequency\na,0.5\na,0.5\n", "line 3: the class a stands there twice"),
        ("class,frequency\na,0.5\n", "1 class has no frequency, first b"),
        ("class,frequency\na,1.5\nb,0\n", "line 2: a frequency is a share of the images, from 0 to 1, found '1.5'"),
        ("class,frequency\na,often\nb,0\n", "found 'often'"),
        ("class,frequency\na\nb,0\n", "found None"),
        ("", "there is no class"),
    ],
)
def test_frequencies_that_are_none_are_a_mistake(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "prior.csv"
    path.write_text(text)
    with pytest.raises(AevlpError, match=words):
        read_frequencies(path, ["a", "b"])


def test_frequencies_come_in_the_order_of_the_classes(tmp_path: Path) -> None:
    path = tmp_path / "prior.csv"
    path.write_bytes("\ufeffclass,frequency\r\nb,1\r\na,0.25\r\n".encode())
    assert read_frequencies(path, ["a", "b"]).tolist() == [0.25, 1]


GOOD = {"temperature": 0.1, "eta": 0.1, "thresholds": [0.5]}


def test_a_policy_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    write_policy_file(path, "threshold", GOOD, ["é"], "0" * 64, "nothing", False)
    assert read_policy_file(path) == {
        "policy": "threshold", "constants": GOOD, "classes": ["é"], "cache_fingerprint": "0" * 64, "fitted_on": "nothing",
        "full_labels": False,
    }  # fmt: skip
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"policy": "thresh"}, "unknown policy 'thresh'"),
        ({"policy": 3}, "expected 'policy' as str, found 3"),
        ({"constants": None}, "expected 'constants' as dict, found None"),
        ({"classes": "a"}, "expected 'classes' as list, found 'a'"),
        ({"constants": {**GOOD, "colour": 1}}, "unknown constant of policy threshold 'colour'"),
        ({"constants": {"eta": 0.1}}, "needs the constants temperature"),
        ({"constants": {**GOOD, "thresholds": [-1]}}, "thresholds of policy threshold must be at least 0"),
        ({"constants": {**GOOD, "thresholds": "high"}}, "thresholds of policy threshold must be a list of numbers"),
        ({"constants": {**GOOD, "eta": "high"}}, "eta of policy threshold must be a number"),
    ],
)
def test_a_policy_file_with_something_else_is_a_mistake(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    path = tmp_path / "policy.json"
    write_policy_file(path, "threshold", GOOD, ["a"], "0" * 64, "nothing", False)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(AevlpError, match=words) as caught:
        read_policy_file(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "does not hold JSON"), ("[]", "expected a JSON object, found list"), ("{}", "expected 'policy' as str, found none")],
)  # fmt: skip
def test_a_file_that_is_no_policy_is_a_mistake(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "policy.json"
    path.write_text(text)
    with pytest.raises(AevlpError, match=f"is no policy file.*{words}.*; write it with aevlp calibrate"):
        read_policy_file(path)
    with pytest.raises(AevlpError, match=r"cannot read the policy file .*No such file"):
        read_policy_file(tmp_path / "other.json")
