"""What evaluate prints, against scikit-learn on logits computed apart from it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, precision_score, recall_score

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.evaluation.decision import undecided
from aevlp.pipeline.evaluation.intervals import Interval, judge, map_interval
from aevlp.pipeline.training.run_folder import RunFolder
from aevlp.stages.console import print_json
from aevlp.stages.stage_two import evaluate
from aevlp.stages.stage_two.classifiers import classifier_inputs
from aevlp.stages.stage_two.options import TrainOptions
from aevlp.stages.stage_two.plan import make_plan

ZERO: Any = 0  # what scikit-learn is to say of 0 / 0; its stubs want a word


def call(run: Path, split: str = "train", as_json: bool = True, **options: Any) -> None:
    """Evaluate a run of blocks; the training split is the largest."""
    found = evaluate.evaluate(run, split=split, device="cpu", workers=0, **options)
    print_json(found.to_json()) if as_json else evaluate.show(found)


@pytest.fixture(scope="module")
def judged(cache_path: Path, run_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Logits of the run on its training split, in batches of another size, and the truth; tests do not change them."""
    plan = make_plan(TrainOptions(cache_path))
    classifier, architecture, _ = RunFolder(run_path).load_best()
    inputs = classifier_inputs(architecture, plan.cache, plan.root, torch.device("cpu"), 0)
    with torch.no_grad():
        logits = torch.cat([classifier(x) for _, x in inputs.batches(plan.train.rows, 3)]).numpy()
    return logits, plan.train.truth


def check(found: dict[str, Any], logits: np.ndarray, truth: np.ndarray, threshold: float) -> None:
    """Compare what evaluate found with scikit-learn; scores must not tie, and every class and image hold a positive."""
    assert found["map"] == pytest.approx(float(average_precision_score(truth, logits)))
    assert found["micro_map"] == pytest.approx(float(average_precision_score(truth, logits, average="micro")))

    predicted = (1 / (1 + np.exp(-logits.astype(float))) >= threshold).astype(int)
    place = np.argsort(np.argsort(-logits, axis=1), axis=1)
    assert {c["threshold"] for c in found["classes"].values()} == {threshold}
    assert found["top_k"]["k"] == 3
    measures = (("precision", precision_score), ("recall", recall_score), ("f1", f1_score))
    for scores, labels in ((found["at_threshold"], predicted), (found["top_k"], (place < 3).astype(int))):
        for name, function in measures:
            micro, macro = (float(function(truth, labels, average=a, zero_division=ZERO)) for a in ("micro", "macro"))
            assert scores[f"overall_{name}"] == pytest.approx(micro)
            assert scores[f"mean_{name}"] == pytest.approx(macro)
        precision, recall = scores["mean_precision"], scores["mean_recall"]
        assert scores["f1_of_means"] == pytest.approx(2 * precision * recall / (precision + recall))

    for c, values in enumerate(found["classes"].values()):
        assert values["positives"] == truth[:, c].sum()
        assert values["average_precision"] == pytest.approx(float(average_precision_score(truth[:, c], logits[:, c])))
        for name, function in measures:
            expected = float(function(truth[:, c], predicted[:, c], zero_division=ZERO))
            assert values[name] == pytest.approx(expected)

    for k, quality in found["at_k"].items():
        hits = (truth * (place < int(k))).sum(axis=1)
        expected = {"precision": hits / int(k), "recall": hits / truth.sum(axis=1), "hit": hits > 0}
        assert quality == pytest.approx({name: float(values.mean()) for name, values in expected.items()})


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.4])
def test_every_number_is_that_of_scikit_learn(threshold: float) -> None:
    random = np.random.default_rng(4)
    truth = (random.random((60, 7)) < 0.3).astype(np.int8)
    truth[np.arange(60), np.arange(60) % 7] = 1
    logits = (truth + random.normal(size=truth.shape)).astype(np.float32)
    found = evaluate.measure(logits, truth, list("abcdefg"), undecided(7), threshold)
    check(found, logits, truth, threshold)
    assert list(found["classes"]) == list("abcdefg")
    assert list(found["at_k"]) == ["1", "3", "5"]
    assert 0.3 < found["at_threshold"]["overall_recall"] < 0.95


def test_a_run_is_judged_by_its_best_weights_on_the_split(
    judged: tuple[np.ndarray, np.ndarray], run_path: Path, capsys: pytest.CaptureFixture
) -> None:
    logits, truth = judged
    between = float(np.sort(1 / (1 + np.exp(-logits.astype(float))), axis=None)[14:16].mean())
    for threshold in (0.5, between):
        call(run_path, threshold=threshold)
        found = json.loads(capsys.readouterr().out)
        assert (found["run"], found["split"], found["evaluated_by"]) == (str(run_path), "train", "truth")
        assert found["images"] == len(truth) == 10
        assert list(found["classes"]) == ["red", "green", "blue"]
        assert list(found["at_k"]) == ["1", "3"]
        check(found, logits, truth, threshold)
    assert (
        RunFolder(run_path).decision().about["method"] == ["none"] * 3
    )  # so that probabilities are those of the logits


def test_labels_are_those_that_reach_the_runs_own_thresholds_unless_one_is_given(
    judged: tuple[np.ndarray, np.ndarray], run_path: Path
) -> None:
    logits, truth = judged
    decision = RunFolder(run_path).decision()
    found = evaluate.evaluate(run_path, split="train", device="cpu", workers=0)
    assert [c["threshold"] for c in found.classes.values()] == decision.thresholds.tolist()
    assert found.at_threshold["rule"] == "f1"
    predicted = 1 / (1 + np.exp(-logits.astype(float))) >= decision.thresholds
    assert found.at_threshold["mean_f1"] == pytest.approx(
        float(f1_score(truth, predicted, average="macro", zero_division=ZERO))
    )
    half = logits >= 0
    for when, of in (("before", undecided(3)), ("after", decision)):
        expected = brier_score_loss(truth.ravel(), of.probabilities(logits).ravel())
        assert found.calibration[when]["brier"] == pytest.approx(expected)
    assert found.at_half["mean_f1"] == pytest.approx(float(f1_score(truth, half, average="macro", zero_division=ZERO)))


def test_the_interval_is_that_of_this_one_run(
    judged: tuple[np.ndarray, np.ndarray], run_path: Path, capsys: pytest.CaptureFixture
) -> None:
    logits, truth = judged
    logits, truth = np.tile(logits, (3, 1)), np.tile(truth, (3, 1))  # the blocks are too few for an interval
    expected = map_interval(judge([logits], truth))
    assert isinstance(expected, Interval)
    found = evaluate.measure(logits, truth, ["red", "green", "blue"], undecided(3))
    assert found["map_interval"] == {"level": 0.95, "low": expected.low, "high": expected.high, "reason": None}
    assert expected.low < found["map"] < expected.high
    evaluate.show(evaluate.Evaluation("r", "test", 30, "truth", **found))
    mean, low, high = (f"{100 * value:.2f}" for value in (found["map"], expected.low, expected.high))
    assert f"mAP {mean} (95 % interval: {low} to {high}), micro" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_threshold_of_zero_takes_all_and_one_takes_none(
    run_path: Path, threshold: float, capsys: pytest.CaptureFixture
) -> None:
    call(run_path, threshold=threshold)
    found = json.loads(capsys.readouterr().out)["at_threshold"]
    assert found["overall_recall"] == found["mean_recall"] == 1 - threshold


def test_the_tables_say_what_the_json_says(run_path: Path, capsys: pytest.CaptureFixture, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    call(run_path, "test")
    found = json.loads(capsys.readouterr().out)
    call(run_path, "test", as_json=False)
    printed = capsys.readouterr().out
    cells = [[cell.strip() for cell in line.strip("│┃").split("│")] for line in printed.splitlines()]

    def percent(values: dict, *names: str) -> list[str]:
        return [f"{100 * values[name]:.2f}" for name in names]

    for name, c in found["classes"].items():
        note = "" if c["positives"] else " (no positive)"
        average, *others = percent(c, "average_precision", "precision", "recall", "f1")
        assert [name, str(c["positives"]), average + note, f"{c['threshold']:.2f}", *others] in cells
    overall = ("overall_precision", "overall_recall", "overall_f1", "mean_precision", "mean_recall", "f1_of_means")
    assert ["thresholds (f1)", *percent(found["at_threshold"], *overall, "mean_f1")] in cells
    assert ["0.5, not calibrated", *percent(found["at_half"], *overall, "mean_f1")] in cells
    assert ["highest 3 an image", *percent(found["top_k"], *overall, "mean_f1")] in cells
    for k, quality in found["at_k"].items():
        assert [k, *percent(quality, "precision", "recall", "hit")] in cells
    reason = "too few positives, 3 classes below 5"
    assert found["map_interval"] == {"level": 0.95, "low": None, "high": None, "reason": reason}
    mean, micro = percent(found, "map", "micro_map")
    assert f"mAP {mean} (95 % interval: {reason}), micro mAP {micro} on 4 images" in printed.splitlines()[-1]


def test_few_classes_have_few_ks() -> None:
    logits, truth = np.array([[1.0, -2.0], [-1.0, 0.5]], dtype=np.float32), np.array([[1, 0], [0, 0]])
    found = evaluate.measure(logits, truth, ["a", "b"], undecided(2))
    assert list(found["at_k"]) == ["1"]
    assert found["top_k"]["k"] == 2
    assert found["map"] == 0.5
    assert found["classes"]["b"] == {
        "average_precision": 0,
        "positives": 0,
        "threshold": 0.5,
        "precision": 0,
        "recall": 0,
        "f1": 0,
    }


def test_logits_of_any_size_have_probabilities() -> None:
    logits, truth = np.array([[1000.0], [0.0], [-1000.0]], dtype=np.float32), np.array([[1], [1], [0]])
    found = evaluate.measure(logits, truth, ["a"], undecided(1))["at_threshold"]
    assert (found["overall_precision"], found["overall_recall"]) == (1, 1)


@pytest.mark.parametrize("threshold", [-0.1, 50, np.nan])
def test_a_threshold_is_a_probability(run_path: Path, threshold: float) -> None:
    with pytest.raises(AevlpError, match=rf"--threshold: expected at least 0 and at most 1, found {threshold}"):
        call(run_path, threshold=threshold)
