"""Thresholds against a slow search over all cuts, and what is stored of a run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import fbeta_score, precision_score, recall_score

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.evaluation.decide import decide, require_rule
from aevlp.pipeline.evaluation.decision import Decision, undecided
from aevlp.pipeline.evaluation.threshold_rule import Rule, parsed
from aevlp.pipeline.evaluation.thresholds import SHRUNK_BY, best, counted, estimated, shrunk

ZERO: Any = 0
LEVELS = st.integers(0, 20).map(lambda n: n / 20)


@st.composite
def classes(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (n,) with ties, and labels (n,) bool, one of them at least positive."""
    n = draw(st.integers(1, 25))
    positive = draw(arrays(np.bool_, n))
    positive[draw(st.integers(0, n - 1))] = True
    return draw(arrays(np.float64, n, elements=LEVELS)), positive


def at_every_cut(probabilities: np.ndarray, positive: np.ndarray, measure: Any) -> list[float]:
    """Return a measure at a threshold on each different probability: every way to part the images that there is."""
    return [float(measure(positive, probabilities >= cut)) for cut in np.unique(probabilities)]


@settings(deadline=None)
@given(classes(), st.sampled_from([0.5, 1.0, 2.0]))
def test_the_threshold_for_f_has_the_highest_f(of: tuple[np.ndarray, np.ndarray], beta: float) -> None:
    probabilities, positive = of

    def measure(truth: np.ndarray, labels: np.ndarray) -> float:
        return float(fbeta_score(truth, labels, beta=beta, zero_division=ZERO))

    at = best(counted(probabilities, positive), Rule("f", beta))
    assert measure(positive, probabilities >= at) == pytest.approx(max(at_every_cut(probabilities, positive, measure)))


@settings(deadline=None)
@given(classes(), st.sampled_from([0.3, 0.9, 1.0]))
def test_the_threshold_for_a_precision_has_it_with_the_highest_recall(
    of: tuple[np.ndarray, np.ndarray], share: float
) -> None:
    probabilities, positive = of
    labels = probabilities >= best(counted(probabilities, positive), Rule("precision", share))
    found = precision_score(positive, labels, zero_division=ZERO), recall_score(positive, labels)
    every = [
        (
            precision_score(positive, probabilities >= cut, zero_division=ZERO),
            recall_score(positive, probabilities >= cut),
        )
        for cut in np.unique(probabilities)
    ]
    enough = [recall for precision, recall in every if precision >= share]
    if enough:
        assert found[0] >= share and found[1] == pytest.approx(max(enough))
    else:
        assert found[0] == pytest.approx(max(precision for precision, _ in every))


@settings(deadline=None)
@given(classes(), st.sampled_from([0.1, 0.5, 1.0]))
def test_the_threshold_for_a_recall_is_the_highest_that_has_it(of: tuple[np.ndarray, np.ndarray], share: float) -> None:
    probabilities, positive = of
    at = best(counted(probabilities, positive), Rule("recall", share))
    assert recall_score(positive, probabilities >= at) >= share
    fewer = [labels for cut in probabilities if (labels := probabilities >= cut).sum() < (probabilities >= at).sum()]
    assert all(recall_score(positive, labels) < share for labels in fewer)


def test_estimates_are_those_of_the_truth_where_positives_are_observed_at_random() -> None:
    random = np.random.default_rng(0)
    truth = random.random(40_000) < 0.2
    probabilities = 1 / (1 + np.exp(-(2 * truth - 1.5 + random.normal(size=len(truth)))))
    observed = truth & (random.random(len(truth)) < 0.3)
    for text in ("f1", "f2", "precision=0.6", "recall=0.8"):
        known = best(counted(probabilities, truth), parsed(text))
        assert best(estimated(probabilities, observed, 0.2), parsed(text)) == pytest.approx(known, abs=0.04), text
    # Without the frequency, precision * recall takes the place of F1: near it, not the same.
    known = best(counted(probabilities, truth), parsed("f1"))
    assert best(estimated(probabilities, observed, None), parsed("f1")) == pytest.approx(known, abs=0.12)
    with pytest.raises(AevlpError, match="cannot be estimated"):
        best(estimated(probabilities, observed, None), parsed("precision=0.6"))


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.integers(0, 1000))
def test_more_positives_leave_a_threshold_nearer_to_its_own(own: float, common: float, n: int) -> None:
    fewer, more = (float(shrunk(np.array([own]), common, np.array([count]))[0]) for count in (n, n + 1))
    assert min(own, common) - 1e-9 <= fewer <= max(own, common) + 1e-9
    assert abs(more - own) <= abs(fewer - own) + 1e-9
    assert float(shrunk(np.array([own]), common, np.array([0]))[0]) == pytest.approx(common)
    half = (np.log(own / (1 - own)) + np.log(common / (1 - common))) / 2
    assert float(shrunk(np.array([own]), common, np.array([SHRUNK_BY]))[0]) == pytest.approx(1 / (1 + np.exp(-half)))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("f1", Rule("f", 1)), ("F2", Rule("f", 2)), ("f0.5", Rule("f", 0.5)), ("0.3", Rule("number", 0.3)),
        ("1", Rule("number", 1)),
        ("precision=0.9", Rule("precision", 0.9)), (" recall=1 ", Rule("recall", 1)),
    ],
)  # fmt: skip
def test_a_rule_is_read_and_written(text: str, rule: Rule) -> None:
    assert parsed(text) == rule
    assert parsed(str(rule)) == rule


@pytest.mark.parametrize(
    "text", ["", "f", "f0", "g1", "1.1", "-0.1", "nan", "precision", "precision=0", "recall=1.5", "f1,f2"]
)
def test_another_text_is_no_rule(text: str) -> None:
    with pytest.raises(AevlpError, match="expected f1, f2 or another F"):
        parsed(text)


def scores(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return logits (n, 4) and labels (n, 4): many positives, some, one, none."""
    random = np.random.default_rng(seed)
    labels = (random.random((n, 4)) < [0.4, 0.1, 0, 0]).astype(np.int8)
    labels[7, 2] = 1
    return (3 * labels - 2 + random.normal(size=labels.shape)).astype(np.float32), labels


def test_a_class_with_one_positive_is_near_the_common_threshold_and_one_with_none_has_it() -> None:
    logits, labels = scores()
    found = decide(logits, labels, parsed("f1"))
    common = found.about["common"]
    assert found.thresholds[3] == pytest.approx(common)
    own = best(counted(found.probabilities(logits)[:, 2], labels[:, 2] == 1), parsed("f1"))
    assert abs(found.thresholds[2] - common) < abs(found.thresholds[2] - own)
    assert found.about["positives"] == labels.sum(axis=0).tolist()


def test_a_number_is_the_threshold_of_all_and_no_positive_leaves_one_half() -> None:
    logits, labels = scores()
    assert decide(logits, labels, parsed("0.3")).thresholds.tolist() == [0.3] * 4
    assert decide(logits, 0 * labels, parsed("f1")).thresholds.tolist() == [0.5] * 4


def test_observed_labels_leave_probabilities_as_they_are_and_are_said() -> None:
    logits, labels = scores()
    found = decide(logits, labels, parsed("f1"), "observed", expected_positives=0.5)
    assert found.about["evaluated_by"] == "observed" and found.about["method"] == ["none"] * 4
    np.testing.assert_allclose(found.probabilities(logits), 1 / (1 + np.exp(-logits.astype(float))), atol=1e-12)
    require_rule(parsed("precision=0.9"), "observed", 2.0)
    require_rule(parsed("precision=0.9"), "truth", None)
    with pytest.raises(AevlpError, match="expected_positives"):
        require_rule(parsed("precision=0.9"), "observed", None)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(["f1", "f2", "recall=0.9", "precision=0.8"]))
def test_a_decision_survives_json_to_the_last_bit(seed: int, text: str) -> None:
    logits, labels = scores(120, seed)
    made = decide(logits, labels, parsed(text))
    read = Decision.from_json(json.loads(json.dumps(made.to_json())), list("abcd"), "here")
    assert (read.probabilities(logits) == made.probabilities(logits)).all()
    assert (read.thresholds == made.thresholds).all() and read.about == made.about
    assert ((made.thresholds >= 0) & (made.thresholds <= 1)).all()


def test_what_is_no_decision_is_refused() -> None:
    whole = undecided(2).to_json()
    for name in whole:
        with pytest.raises(AevlpError, match=r"best\.safetensors holds thresholds that cannot be read"):
            Decision.from_json({k: v for k, v in whole.items() if k != name}, ["a", "b"], "best.safetensors")
    with pytest.raises(AevlpError, match="2 thresholds for 3 classes"):
        Decision.from_json(whole, ["a", "b", "c"], "best.safetensors")
    for knots in ({"2": [[0.0], [0.5]]}, {"0": [[0.0, 1.0], [0.5]]}, {"1": [[], []]}):
        with pytest.raises(AevlpError, match="calibration of other classes than its 2"):
            Decision.from_json({**whole, "knots": knots}, ["a", "b"], "best.safetensors")


def test_thresholds_of_a_finished_run_are_chosen_anew_without_training(
    run_path: Path, cache_path: Path, tmp_path: Path
) -> None:
    import shutil

    from aevlp.pipeline.training.run_folder import RunFolder
    from aevlp.stages.stage_two.settings import options_of
    from aevlp.stages.stage_two.train import train

    run = Path(shutil.copytree(run_path, tmp_path / "run"))
    folder, before = RunFolder(run), RunFolder(run).load_best()[0].state_dict()
    assert folder.decision().about["rule"] == "f1"
    train(run, resume=True, threshold_for="0.25")
    assert folder.decision().thresholds.tolist() == [0.25] * 3
    assert options_of(folder).threshold_for == "0.25"  # which a resumed run asks for
    train(run, resume=True)
    assert folder.decision().about["rule"] == "0.25"
    after = folder.load_best()[0].state_dict()
    assert all((after[name] == before[name]).all() for name in before)
    assert folder.metrics() == RunFolder(run_path).metrics()


def test_a_run_of_before_thresholds_labels_at_one_half_and_says_so(
    run_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    import shutil

    from aevlp.pipeline.training.checkpoint import load_tensors, save_tensors
    from aevlp.pipeline.training.run_folder import RunFolder
    from aevlp.stages.stage_two.train import train

    run = Path(shutil.copytree(run_path, tmp_path / "run"))
    folder = RunFolder(run)
    tensors, about = load_tensors(folder.best_file)
    save_tensors(folder.best_file, tensors, {k: v for k, v in about.items() if k != "decision"})
    folder.logits_files["val"].unlink()
    train(run, resume=True, progress=True)
    assert "no val.safetensors to choose thresholds by" in " ".join(capsys.readouterr().err.split())
    assert folder.decision().thresholds.tolist() == [0.5] * 3
