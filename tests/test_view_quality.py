"""RANK's quality of views: the released program's arrays, and what calibrating and labelling with it make of a cache."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from refusals import refusal
from torch import Tensor

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.losses import entry
from aevlp.pipeline.losses.incomplete_views import (
    label_guide,
    label_relation,
    related_cross_entropy,
    view_agreement,
)
from aevlp.pipeline.manifest.load import load_manifest
from aevlp.pipeline.policies import calibration, create_policy
from aevlp.pipeline.policies.calibration import fit_quality, read_policy_file, write_policy_file
from aevlp.pipeline.policies.labelling import label
from aevlp.pipeline.policies.quality_network import fused_view, quality_loss, quality_target, view_quality
from aevlp.pipeline.policies.view_quality import fit_quality_network
from aevlp.pipeline.score_cache import ScoreCache, open_cache, write_cache
from aevlp.pipeline.training.epoch_labels import EpochLabels
from aevlp.stages.experiments.calibrate import calibrate
from aevlp.stages.stage_two.labels_plan import policy_of
from fakes import random_cache
from goldens import load

RANK = load("rank")
DAMP: dict[str, Any] = {"temperature": 0.1, "threshold": 0.2, "top_k": 3, "negative_ratio": 0.25}
WEIGHTS = {"weights": [1.0, 0, 0, 0, 0], "sureness": 0.5}
MANIFEST = """
datasets:
  fake:
    title: Fake
    format: table
    table: labels.csv
    damp: {grid: 2, temperature: 0.1, eta: 0.2, threshold: 0.2, top_k: 2, negative_ratio: 0.3}
"""


def cases(family: str) -> list[str]:
    found = [name for name in RANK if name.startswith(family)]
    assert found
    return found


def given(name: str, *keys: str) -> list[Tensor]:
    """Return arrays of a case, those that a gradient is stored of as leaves."""
    of = RANK[name]
    return [torch.from_numpy(of[key]).double().requires_grad_(f"grad_{key}" in of) for key in keys]


def same(name: str, **found: Tensor) -> None:
    for key, value in found.items():
        np.testing.assert_allclose(value.detach().numpy(), RANK[name][key], rtol=1e-9, err_msg=key)


def same_gradients(name: str, **leaves: Tensor) -> None:
    for key, leaf in leaves.items():
        assert leaf.grad is not None
        np.testing.assert_allclose(leaf.grad.numpy(), RANK[name][f"grad_{key}"], rtol=1e-6, atol=1e-9, err_msg=key)


# The released program


@pytest.mark.parametrize("name", cases("quality"))
def test_quality_target_and_losses_are_the_released_program_s(name: str) -> None:
    views, w1, b1, w2, b2 = given(name, "views", "quality_w1", "quality_b1", "quality_w2", "quality_b2")
    weight, bias, labels = given(name, "classifier_weight", "classifier_bias", "labels")
    view_known, label_known = given(name, "view_known", "label_known")

    def classified(of: Tensor) -> Tensor:
        return torch.sigmoid(torch.relu(of) @ weight.T + bias)

    quality = view_quality(views, w1, b1, w2, b2)
    target = quality_target(classified(views), labels, view_known, label_known)
    fused = fused_view(views, quality)
    relation = label_relation(labels, float(RANK[name]["sigma"]))
    parts = {
        "quality_loss": quality_loss(quality, target),
        "classification_loss": related_cross_entropy(classified(fused), labels, label_known, relation),
    }
    same(name, view_predictions=classified(views), quality=quality, target=target, fused=fused, relation=relation)
    same(name, prediction=classified(fused), loss=sum(parts.values(), torch.zeros(())), **parts)
    sum(parts.values(), torch.zeros(())).backward()
    same_gradients(name, views=views, classifier_weight=weight, quality_w1=w1, quality_w2=w2, quality_b2=b2)


@pytest.mark.parametrize("name", cases("agreement"))
def test_agreement_is_the_released_program_s(name: str) -> None:
    views, known = given(name, "views", "view_known")
    loss = view_agreement(views, known)
    same(name, loss=loss)
    loss.backward()
    same_gradients(name, views=views)


@pytest.mark.parametrize("name", cases("label_guide"))
def test_the_label_guide_is_the_released_program_s(name: str) -> None:
    own = given(name, "views", "labels", "view_known", "label_known")
    everyone = given(name, "all_views", "all_labels", "all_view_known", "all_label_known")
    loss = label_guide(*own, *everyone, int(RANK[name]["first_row"]))
    same(name, loss=loss)
    loss.backward()
    same_gradients(name, views=own[0])


@pytest.mark.parametrize("name", cases("classification"))
def test_the_classification_loss_is_the_released_program_s(name: str) -> None:
    prediction, labels, known, relation = given(name, "prediction", "labels", "label_known", "relation")
    loss = related_cross_entropy(prediction, labels, known, relation)
    same(name, loss=loss)
    loss.backward()
    same_gradients(name, prediction=prediction)


# The policy


def softmax(values: list[float]) -> list[float]:
    powers = [math.exp(value - max(values)) for value in values]
    return [power / math.fsum(powers) for power in powers]


def test_scores_are_those_of_the_fused_view() -> None:
    random = np.random.default_rng(0)
    views, text = random.normal(size=(6, 5, 4)), random.normal(size=(3, 4))
    w1, b1, w2, b2 = random.normal(size=(2, 4)), random.normal(size=2), random.normal(size=2), 0.3
    policy: Any = create_policy("view-quality", **DAMP, w1=w1.ravel().tolist(), b1=b1.tolist(), w2=w2.tolist(), b2=b2)
    similarity = (views @ text.T).astype(np.float32)
    final, ranking = policy.scores(similarity, np.zeros((6, 3), np.int8), view_embedding=views.astype(np.float32))
    for found, of_image in zip(final, views, strict=True):
        quality = softmax([float(w2 @ np.maximum(w1 @ view + b1, 0)) + b2 for view in of_image])
        fused = sum(q * view for q, view in zip(quality, of_image, strict=True))
        np.testing.assert_allclose(found, softmax([float(fused @ c) / 0.1 for c in text]), rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(final, ranking)


def test_the_network_learns_what_its_target_shows() -> None:
    views = torch.randn((800, 4, 16), generator=torch.Generator().manual_seed(0))
    target = (2 * views[:, :, 0]).softmax(dim=1)
    constants, quality = fit_quality_network(views[:600], target[:600])
    policy: Any = create_policy("view-quality", **DAMP, **constants)
    unseen = view_quality(views[600:], *policy._network)
    least, equal = quality_loss(target[600:], target[600:]), math.log(4)
    assert quality_loss(unseen, target[600:]) < least + 0.2 * (equal - least)
    again, _ = fit_quality_network(views[:600], target[:600])
    assert again == constants and fit_quality_network(views[:600], target[:600], seed=1)[0] != constants
    assert quality.shape == (600, 4)


# A cache


@pytest.fixture
def cache(tmp_path: Path) -> ScoreCache:
    """A cache of 90 images with the vectors of their views, of which one shows what is observed."""
    header, content = random_cache(rows=90, bad=2, storage="float32", stores="embedding", width=8, grid=2)
    vectors = np.asarray(content.view_embedding).copy()
    shown = (content.observed == 1).astype(np.float32) @ np.asarray(header.text)
    vectors[:, :, 2] = (shown / np.linalg.norm(shown, axis=1, keepdims=True))[:, None]
    vectors[np.array(content.status) != "ok"] = np.nan
    write_cache(tmp_path / "fake.h5", header, [replace(content, view_embedding=vectors)])
    (tmp_path / "fake.yaml").write_text(MANIFEST)
    return open_cache(tmp_path / "fake.h5")


def calibrated(cache: ScoreCache, policy: str = "view-quality", **options: Any) -> dict[str, Any]:
    path = cache.path.with_name("policy.json")
    calibrate(cache.path, policy=policy, output=path, manifest=cache.path.with_name("fake.yaml"), **options)
    return read_policy_file(path)


@pytest.mark.parametrize("options", [{}, {"labelled_truth": 30}])
def test_calibrating_writes_a_network_that_labels(cache: ScoreCache, options: dict[str, Any]) -> None:
    content = calibrated(cache, **options)
    assert content["policy"] == "view-quality" and content["full_labels"] is bool(options)
    assert {"w1", "b1", "w2", "b2", "temperature", "threshold", "compat"} < set(content["constants"])
    spec = load_manifest(cache.path.with_name("fake.yaml"))["fake"]
    plan = policy_of(str(cache.path.with_name("policy.json")), "gpr", entry("gpr"), cache, spec)
    assert plan is not None and plan.name == "view-quality"
    rows = np.arange(len(cache))
    labels = label(cache, rows, plan.create())
    assert (labels.codes == 1).any() and not labels.codes[cache.status != "ok"].any()
    ahead = EpochLabels(cache, rows, plan.create(), 3, seed=0)
    ahead.make_ahead(2)
    np.testing.assert_array_equal(ahead.of(2).scores, label(cache, rows, plan.create(), 2, 0).scores)


def test_the_views_of_the_table_have_the_mean_quality_and_target(cache: ScoreCache) -> None:
    path = cache.path.with_name("policy.json")
    table = calibrate(cache.path, policy="view-quality", output=path, manifest=cache.path.with_name("fake.yaml"))
    rows = list(table.rows)
    assert [row["view"] for row in rows] == ["whole image", "tile 1", "tile 2", "tile 3", "tile 4"]
    for key in ("quality", "target"):
        assert sum(row[key] for row in rows) == pytest.approx(1)
    assert max(rows, key=lambda row: row["target"])["view"] == "tile 2"
    assert "observed labels" in table.fit.fitted_on


def test_images_without_a_known_label_do_not_count(cache: ScoreCache, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.flatnonzero(cache.status == "ok")
    labels, told = cache.observed[rows] == 1, cache.observed[rows] != 0
    told[10:] = False
    few = fit_quality(cache, rows[:10], labels[:10], told[:10], 0.1)
    all_given = fit_quality(cache, rows, labels, told, 0.1)
    assert few[0] == all_given[0]
    monkeypatch.setattr(calibration, "MOST_IMAGES", 4)
    assert fit_quality(cache, rows, labels, told, 0.1)[0] != few[0]
    with pytest.raises(AevlpError, match="fitted to known labels, and none of the images has one"):
        fit_quality(cache, rows, labels, np.zeros_like(told), 0.1)


def test_the_views_given_with_an_epoch_are_those_of_its_cosines(cache: ScoreCache) -> None:
    text = np.asarray(cache.header.text)
    for epoch in (None, 3):
        pairs = zip(cache.views(None, epoch), cache.views(None, epoch, embeddings=True), strict=True)
        for (numbers, cosines), (same_numbers, vectors) in pairs:
            np.testing.assert_array_equal(numbers, same_numbers)
            np.testing.assert_allclose(vectors @ text.T, cosines, atol=1e-6)


# What a user does wrong


def test_a_cache_of_cosines_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    header, content = random_cache(rows=30, storage="float32")
    write_cache(tmp_path / "fake.h5", header, [content])
    (tmp_path / "fake.yaml").write_text(MANIFEST)
    cosines = open_cache(tmp_path / "fake.h5")
    spec = load_manifest(tmp_path / "fake.yaml")["fake"]
    words = r"policy view-quality reads the embeddings of views, and .*fake\.h5 holds their cosines: .* with --store"
    with pytest.raises(AevlpError, match=words):
        calibrated(cosines)
    with pytest.raises(AevlpError, match=words):
        policy_of("view-quality", "gpr", entry("gpr"), cosines, spec)
    policy = create_policy("view-quality", **DAMP, w1=[1.0] * 4, b1=[0.0], w2=[1.0])
    with pytest.raises(AevlpError, match="holds cosines, no embeddings: make one that does with --store embedding"):
        label(cosines, np.arange(30), policy)
    assert not (tmp_path / "policy.json").exists()


def test_embeddings_of_another_width_are_a_mistake(cache: ScoreCache) -> None:
    policy = create_policy("view-quality", **DAMP, w1=[1.0] * 4, b1=[0.0], w2=[1.0])
    with pytest.raises(AevlpError, match="fitted to embeddings 4 wide, and these are 8: calibrate on this cache"):
        label(cache, np.arange(len(cache)), policy)


@pytest.mark.parametrize("options", [{"prior": "observed"}, {"temperature": "one"}])
def test_options_that_it_has_no_use_for_are_refused(cache: ScoreCache, options: dict[str, Any]) -> None:
    line = refusal(lambda _: calibrated(cache, **options), None)
    assert "view-quality is fitted to labels at the manifest's temperature: leave --prior and --temperature out" in line


def test_a_file_of_before_view_quality_was_the_network_is_read_by_its_name_of_today(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    write_policy_file(path, "view-weights", {**DAMP, **WEIGHTS}, ["a"], "0" * 64, "nothing", False)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"policy": "view-quality"}))
    content = read_policy_file(path)
    assert content["policy"] == "view-weights" and content["constants"] == {**DAMP, **WEIGHTS}
