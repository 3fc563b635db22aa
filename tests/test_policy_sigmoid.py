"""Probabilities of a sigmoid-scored model: the golden arrays, laws, its policy, and where scale and bias come from."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY_CLIP, call, stage_one, stage_two
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import one_line, refusal

import aevlp
from aevlp.pipeline.clip.own_logits import own_logits
from aevlp.pipeline.policies import Known, create_policy
from aevlp.pipeline.score_cache import open_cache, write_cache
from aevlp.pipeline.scoring.recipe import Recipe
from aevlp.pipeline.training.run_folder import RunFolder
from aevlp.stages.stage_two.options import TrainOptions
from aevlp.stages.stage_two.plan import make_plan
from fakes import random_cache
from goldens import load

GOLDEN = load("siglip")
MODEL = {"scale": 100.0, "bias": -12.0}
SEEDS = st.integers(0, 2**32 - 1)


def parameters(case: dict[str, np.ndarray], shape: tuple[int, ...]) -> Any:
    """Return a model that keeps its two numbers as open_clip's do."""
    scale = torch.tensor(float(case["logit_scale_parameter"]), dtype=torch.float64).reshape(shape)
    bias = torch.tensor(float(case["logit_bias"]), dtype=torch.float64).reshape(shape) if case["has_bias"] else None
    return SimpleNamespace(logit_scale=torch.nn.Parameter(scale), logit_bias=bias)


# The golden arrays


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("shape", [(), (1,)])
def test_scale_and_bias_are_the_models_own(name: str, shape: tuple[int, ...]) -> None:
    case = GOLDEN[name]
    found = own_logits(parameters(case, shape))
    np.testing.assert_allclose(found.scale, case["scale"], rtol=1e-9)
    bias = found.bias or 0.0
    assert (found.bias is not None) == (case["outputs"] == 4) == bool(case["has_bias"])
    np.testing.assert_allclose(found.scale * case["cosine"] + bias, case["logits"], rtol=1e-9)


@pytest.mark.parametrize("name", [name for name, case in GOLDEN.items() if case["has_bias"]])
def test_probabilities_equal_open_clips(name: str) -> None:
    case = GOLDEN[name]
    found = aevlp.sigmoid_probabilities(case["cosine"], float(case["scale"]), float(case["logit_bias"]))
    assert found.dtype == np.float64 and found.shape == case["probability"].shape
    np.testing.assert_allclose(found, case["probability"], rtol=1e-9)
    image, text = (
        case[key] / np.linalg.norm(case[key], axis=1, keepdims=True) for key in ("image_features", "text_features")
    )
    of_features = aevlp.sigmoid_probabilities(image @ text.T, float(case["scale"]), float(case["logit_bias"]))
    np.testing.assert_allclose(of_features, case["probability"], rtol=1e-6)


def test_no_logit_overflows_and_the_order_stays() -> None:
    with np.errstate(over="raise", invalid="raise"):
        found = aevlp.sigmoid_probabilities(np.array([[-8.0, -1, 0, 1, 8]]), 100.0, 0.0)
    assert found.shape == (1, 5) and (np.diff(found) >= 0).all() and found[0, 2] == 0.5
    assert found[0, 0] == 0 or found[0, 0] == pytest.approx(math.exp(-800))
    assert found[0, 1] == pytest.approx(math.exp(-100)) and found[0, 4] == 1


@pytest.mark.parametrize(
    ("scale", "bias", "line"),
    [
        (0.0, -1.0, "the scale of a sigmoid-scored model must be above 0 and finite, found 0.0"),
        (math.inf, -1.0, "above 0 and finite, found inf"),
        (10.0, math.nan, "the bias of a sigmoid-scored model must be finite, found nan"),
    ],
)
def test_a_scale_or_bias_that_cannot_be_one(scale: float, bias: float, line: str) -> None:
    with one_line(line):
        aevlp.sigmoid_probabilities(np.zeros(3), scale, bias)


def test_cosines_that_are_none() -> None:
    with one_line(r"similarity must be finite numbers, found nan at \(1, 0\)"):
        aevlp.sigmoid_probabilities([[0.1], [math.nan]], 10.0, -1.0)
    assert aevlp.sigmoid_probabilities(0.1, 10.0, -1.0) == 0.5  # any shape, that of one number too


# The policy


def labelled(cosines: np.ndarray, **constants: Any) -> Any:
    observed = np.zeros((len(cosines), cosines.shape[2]), dtype=np.int8)
    policy = create_policy("sigmoid", **{**MODEL, **constants})
    final, ranking = policy.scores(cosines, observed)
    assert final.dtype == np.float32
    return policy(Known(observed=observed, final=final, ranking=ranking))


@settings(max_examples=20, deadline=None)
@given(
    seed=SEEDS,
    threshold=st.sampled_from([0.0, 0.03, 0.5, 0.99]),
    tiles=st.booleans(),
    ratio=st.sampled_from([0.0, 0.34, 0.5, 1.0]),
)
def test_labels_equal_a_loop(seed: int, threshold: float, tiles: bool, ratio: float) -> None:
    cosines = np.random.default_rng(seed).uniform(-0.1, 0.3, (4, 5, 6)).astype(np.float32)
    found = labelled(cosines, threshold=threshold, tiles=tiles, negative_ratio=ratio)
    for n, image in enumerate(cosines.tolist()):
        views = image if tiles else image[:1]
        highest = [max(view[c] for view in views) for c in range(6)]
        scores = [1 / (1 + math.exp(-(100 * cosine - 12))) for cosine in highest]
        codes = [0] * 6
        for c in sorted(range(6), key=lambda c: (highest[c], c))[: math.trunc(ratio * 6)]:
            codes[c] = -1
        codes = [1 if score >= threshold else code for score, code in zip(scores, codes, strict=True)]
        np.testing.assert_allclose(found.scores[n], scores, rtol=1e-5)
        assert found.codes[n].tolist() == codes


def test_each_class_may_have_its_threshold_and_no_class_hangs_on_another() -> None:
    cosines = np.array([[[0.10, 0.10, 0.11]], [[0.10, 0.30, 0.30]]], dtype=np.float32)
    found = labelled(cosines, thresholds=[0.1, 0.2, 2.0])
    assert found.codes.tolist() == [[1, 0, 0], [1, 1, 0]]
    assert found.scores[0, 0] == found.scores[1, 0]


@pytest.mark.parametrize(
    ("constants", "line"),
    [
        ({"threshold": 1.5}, r"threshold of policy sigmoid must be in \[0, 1\], found 1.5"),
        ({"negative_ratio": -0.1}, r"negative_ratio of policy sigmoid must be in \[0, 1\]"),
        ({"thresholds": [0.1, -1, 0]}, "thresholds of policy sigmoid must be at least 0, found -1.0 for class 1"),
        (
            {"thresholds": [0.1, 0.2]},
            "policy sigmoid has 2 thresholds, and there are 3 classes: calibrate on this cache",
        ),
        ({"scale": -1.0}, "the scale of a sigmoid-scored model must be above 0"),
    ],
)
def test_what_a_user_does_wrong(constants: dict[str, Any], line: str) -> None:
    with one_line(line):
        labelled(np.zeros((2, 1, 3), dtype=np.float32), **constants)


# From the model to the policy


@pytest.fixture(scope="module")
def sigmoid_blocks(blocks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The blocks and their table, scored by a tiny CLIP with a bias; returns the cache, beside its data."""
    folder = tmp_path_factory.mktemp("sigmoid") / "data"
    shutil.copytree(blocks, folder)
    (folder / "tiny-sigmoid.json").write_text(json.dumps({**json.loads(TINY_CLIP), "init_logit_bias": -8}))
    text = (folder / "blocks.yaml").read_text().replace("tiny-clip.json", "tiny-sigmoid.json")
    (folder / "blocks.yaml").write_text(text)
    return stage_one(folder, folder / "blocks.h5", storage="float32")


def test_a_cache_keeps_the_scale_and_bias_of_its_model(sigmoid_blocks: Path, cache_path: Path) -> None:
    sigmoid, softmax = (open_cache(path).provenance["logits"] for path in (sigmoid_blocks, cache_path))
    assert sigmoid == {"scale": pytest.approx(1 / 0.07), "bias": -8.0}
    assert softmax == {"scale": pytest.approx(1 / 0.07), "bias": None}


def test_it_does_not_part_a_cache_from_one_of_before_that_was_kept() -> None:
    header, _ = random_cache()
    old = replace(header, provenance={name: value for name, value in header.provenance.items() if name != "logits"})
    now, then = Recipe.of(header), Recipe.of(old)
    assert now.comparable() == then.comparable() and now.shaping() == then.shaping()
    assert now.provenance()["logits"] == {"scale": 100.0, "bias": None} and "logits" not in then.provenance()


def plan(cache: Path, policy: str, **options: Any) -> Any:
    return make_plan(TrainOptions(cache, backbone="linear", policy=policy, **options))


def test_a_training_takes_them_from_the_cache_unless_they_are_given(sigmoid_blocks: Path, tmp_path: Path) -> None:
    own = open_cache(sigmoid_blocks).provenance["logits"]
    assert plan(sigmoid_blocks, "sigmoid").policy.constants == own
    assert plan(sigmoid_blocks, "sigmoid[bias=-3,threshold=0.2]").policy.constants == {
        **own,
        "bias": -3,
        "threshold": 0.2,
    }
    run = RunFolder(stage_two(sigmoid_blocks, tmp_path / "run", backbone="linear", policy="sigmoid", epochs=1))
    assert run.settings()["policy"]["constants"] == own


def test_a_model_without_a_bias_is_refused_before_anything_is_trained(cache_path: Path, tmp_path: Path) -> None:
    line = refusal(stage_two, cache_path, tmp_path / "run", policy="sigmoid")
    assert "was trained with a softmax and has none: take the policy damp" in line and "tiny-clip.json" in line
    assert not (tmp_path / "run").exists()
    assert plan(cache_path, "sigmoid[bias=-3]").policy.constants["bias"] == -3


def test_a_cache_of_before_says_that_it_does_not_know(tmp_path: Path, cache_path: Path) -> None:
    old = open_cache(cache_path)
    made = {name: value for name, value in old.provenance.items() if name != "logits"}
    write_cache(tmp_path / "old.h5", replace(old.header, provenance=made), old.rows())
    line = refusal(plan, tmp_path / "old.h5", "sigmoid")
    assert (
        "made by an earlier version; make it anew, or pass them as --set sigmoid.scale=… and --set sigmoid.bias=…"
        in line
    )


def test_calibrate_fits_a_threshold_of_each_class(sigmoid_blocks: Path, tmp_path: Path) -> None:
    fitted = aevlp.calibrate(sigmoid_blocks, policy="sigmoid", labelled_truth=6, output=tmp_path / "fitted.json")
    own = open_cache(sigmoid_blocks).provenance["logits"]
    assert {name: fitted.constants[name] for name in own} == own and len(fitted.constants["thresholds"]) == 3
    given = plan(sigmoid_blocks, str(fitted.path)).policy
    assert given.name == "sigmoid" and given.constants == fitted.constants and given.full_labels
    with one_line("policy sigmoid has the scale of its model and no temperature"):
        aevlp.calibrate(
            sigmoid_blocks, policy="sigmoid", labelled_truth=6, temperature="one", output=tmp_path / "other.json"
        )


def test_calibrate_refuses_a_model_without_a_bias(cache_path: Path, tmp_path: Path) -> None:
    with one_line("was trained with a softmax and has none"):
        aevlp.calibrate(cache_path, policy="sigmoid", labelled_truth=6, output=tmp_path / "fitted.json")


def test_sweep_tries_thresholds(sigmoid_blocks: Path) -> None:
    found = aevlp.sweep(sigmoid_blocks, policies=["sigmoid"], grid=["threshold=0.001,0.01,0.5"])
    assert {row["threshold"] for row in found.rows} == {0.001, 0.01, 0.03, 0.5}
    assert "scale" not in found.recommended["line"] and "sigmoid: {threshold: " in found.recommended["line"]


def test_images_without_labels_are_trained_on(sigmoid_blocks: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    shutil.copytree(sigmoid_blocks.parent / "images", pictures)
    model = ("--clip", sigmoid_blocks.parent / "tiny-sigmoid.json", "--weights", "random")
    rest = (
        "--cache",
        tmp_path / "p.h5",
        "--run",
        tmp_path / "run",
        "--backbone",
        "linear",
        "--epochs",
        1,
        "--workers",
        0,
    )
    policy = ("--policy", "sigmoid[threshold=0.0]")
    assert call("run", pictures, "--classes", "red,green,blue", *model, *rest, *policy) == 0
    assert RunFolder(tmp_path / "run").settings()["policy"]["name"] == "sigmoid"


def test_a_manifest_may_name_its_constants(blocks: Path, tmp_path: Path) -> None:
    from aevlp.pipeline.manifest.load import load_manifest
    from aevlp.stages.data.check import refused_settings

    def refused(constants: str) -> list[str]:
        (tmp_path / "m.yaml").write_text(
            (blocks / "blocks.yaml").read_text() + f"    policies: {{sigmoid: {constants}}}\n"
        )
        spec = load_manifest(tmp_path / "m.yaml")["blocks"]
        return [line for line in refused_settings(spec, ["red", "green"]) if "policies" in line]

    assert refused("{threshold: 0.1, tiles: true}") == []
    [line] = refused("{threshold: 3}")
    assert "threshold of policy sigmoid must be in [0, 1]" in line
