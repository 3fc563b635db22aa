"""What an exported model is made of, each piece beside an independent reference, and what `aevlp export` refuses."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import call
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from refusals import one_line

from aevlp.pipeline.evaluation.decision import Calibration, Decision
from aevlp.pipeline.training.run_folder import RunFolder
from aevlp.stages.export import export as exporting
from aevlp.stages.export.deployable import deployable
from aevlp.stages.export.export import export
from aevlp.stages.export.model_card import model_card
from aevlp.stages.export.network import Calibrated
from aevlp.stages.export.score_thresholds import score_thresholds
from aevlp.stages.export.stretching import stretched
from aevlp.stages.prediction.exported import PROVENANCE

SIDES = st.integers(1, 90)


def in_the_graph(pixels: np.ndarray, size: int) -> np.ndarray:
    levels = stretched(torch.from_numpy(pixels).permute(2, 0, 1)[None].float(), size)
    return levels[0].permute(1, 2, 0).numpy()


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.integers(1, 64), st.integers(0, 2**32 - 1))
def test_the_resize_is_pillows_but_for_one_grey_level(width: int, height: int, size: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    resized = np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR), dtype=np.float32)
    found = in_the_graph(pixels, size)
    assert np.abs(found - resized).max() <= 1
    assert (found == np.round(found)).all() and found.min() >= 0 and found.max() <= 255


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 64), st.integers(0, 2**32 - 1))
def test_an_image_of_the_right_size_stays_as_it_is(size: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    np.testing.assert_array_equal(in_the_graph(pixels, size), pixels)


def test_the_resize_of_a_photograph_is_nearly_always_pillows_to_the_last_level() -> None:
    random = np.random.default_rng(3)
    smooth = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((640, 480))
    pixels = (np.asarray(smooth) + random.integers(-8, 9, (480, 640, 3))).clip(0, 255).astype(np.uint8)
    resized = np.asarray(Image.fromarray(pixels).resize((224, 224), Image.Resampling.BILINEAR))
    assert (in_the_graph(pixels, 224) != resized).mean() < 0.01


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    """Thresholds and calibrations of one to four classes, some by temperature and some by knots."""
    classes = draw(st.integers(1, 4))
    chance = st.floats(0, 1)
    knots = {}
    for number in range(classes):
        if draw(st.booleans()):
            at = np.array(sorted(draw(st.sets(st.integers(-12, 12), min_size=1, max_size=5)))) / 2.0
            values = np.array(sorted(draw(st.lists(chance, min_size=len(at), max_size=len(at)))))
            knots[number] = (at, values)
    temperature = np.array(draw(st.lists(st.floats(0.2, 5), min_size=classes, max_size=classes)))
    below_one = st.floats(0, 1 - 1e-6)  # a sigmoid is 1 by rounding alone
    either = [st.one_of(chance, st.sampled_from([*knots[n][1]])) if n in knots else below_one for n in range(classes)]
    thresholds = np.array([draw(threshold) for threshold in either])
    return Decision(Calibration(temperature, knots), thresholds)


@settings(max_examples=80, deadline=None)
@given(decisions(), st.integers(0, 2**32 - 1))
def test_calibration_in_the_graph_is_that_of_the_decision(decision: Decision, seed: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 4, (9, len(decision.thresholds))).astype(np.float32)
    found = Calibrated(decision.calibration)(torch.from_numpy(logits)).numpy()
    np.testing.assert_allclose(found, decision.probabilities(logits), atol=2e-6)


@settings(max_examples=150, deadline=None)
@given(decisions(), st.integers(0, 2**32 - 1))
def test_labels_by_scores_are_those_by_calibrated_probabilities(decision: Decision, seed: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 4, (40, len(decision.thresholds)))
    scores, least = 1 / (1 + np.exp(-logits)), np.array(score_thresholds(decision))
    probabilities = decision.probabilities(logits)
    apart = np.abs(probabilities - decision.thresholds)
    sure = (np.abs(scores - least) > 1e-9) & ((apart > 1e-9) | (apart == 0))
    np.testing.assert_array_equal((scores >= least)[sure], decision.labels(probabilities)[sure])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"to": "onnx", "output": "model.pt2"}, "expected a .onnx file"),
        ({"to": "torch", "output": "model"}, "expected a .pt2 file"),
        ({"to": "openvino", "output": "model.xml"}, "writes a folder"),
        ({"to": "hf", "preprocessing": True}, "timm and transformers resize"),
        ({"to": "hf", "quantize": "int8"}, "is for --to onnx and openvino, not hf"),
        ({"to": "torch", "quantize": "int8"}, "is for --to onnx and openvino, not torch"),
        ({"to": "onnx", "force": True}, "--force goes with --quantize"),
        ({"to": "onnx", "limit": 2}, "--limit goes with --quantize"),
        ({"to": "onnx", "data_root": "data"}, "--data-root goes with --quantize"),
        ({"to": "coreml"}, "not one of onnx, torch, hf, openvino"),
        ({"to": "onnx"}, "runs/none"),
    ],
)
def test_what_does_not_go_together_is_refused(folder: Path, options: dict, said: str) -> None:
    with one_line(said):
        export("runs/none", **options)


def test_nothing_is_overwritten(run_path: Path, tmp_path: Path) -> None:
    there = tmp_path / "model.onnx"
    there.write_text("mine")
    with one_line("is there already"):
        export(run_path, to="onnx", output=there)
    assert there.read_text() == "mine"
    assert call("export", run_path, "--to", "torch", "--output", tmp_path / "none" / "model.onnx") == 1


@pytest.mark.parametrize(("to", "package"), [("onnx", "onnxscript"), ("openvino", "openvino"), ("onnx", "onnx")])
def test_a_missing_package_is_named_with_its_extra(
    run_path: Path, to: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "find_spec", lambda name: None if name == package else object())
    with one_line(rf"needs {package}: pip install 'aevlp\["):
        export(run_path, to=to)


def test_a_resnet_of_clip_is_no_class_of_timm(run_path: Path, tmp_path: Path) -> None:
    with one_line("--to onnx, torch or openvino"):
        export(run_path, to="hf", output=tmp_path / "hf")
    assert not list(tmp_path.iterdir())


def test_a_card_without_test_images_says_so_and_files_are_named_without_their_folders(
    run_path: Path, tmp_path: Path
) -> None:
    folder = RunFolder(Path(shutil.copytree(run_path, tmp_path / "run")))
    settings = folder.settings()
    folder.write_settings({**settings, "recipe": {**settings["recipe"], "weights": str(tmp_path / "mine.safetensors")}})
    subject = deployable(folder.path, preprocessing=False)
    texts = subject.about.to_metadata()[PROVENANCE], model_card(subject, with_code=False)
    assert all("mine.safetensors" in text and str(tmp_path) not in text for text in texts)
    assert "test mAP" in texts[1]
    folder.logits_files["test"].unlink()
    *epochs, last = folder.metrics()
    folder.write_metrics([*epochs, {name: value for name, value in last.items() if name != "test_map"}])
    card = model_card(deployable(folder.path, preprocessing=False), with_code=False)
    assert "- no test figures: it has no test images" in card and "test mAP" not in card
