"""Which policy a training takes, with which constants, and what of a manifest or a policy file is refused before it begins."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import call, stage_two

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.training import trainer
from aevlp.pipeline.training.early_stopping import EarlyStopping
from aevlp.pipeline.training.run_folder import RunFolder
from aevlp.stages.experiments.calibrate import calibrate
from aevlp.stages.experiments.compare import compare
from aevlp.stages.stage_two.options import TrainOptions
from aevlp.stages.stage_two.plan import make_plan


@pytest.fixture
def policy_file(cache_path: Path, tmp_path: Path) -> Path:
    """A policy that was fitted to fully labelled images."""
    path = tmp_path / "fitted.json"
    calibrate(cache_path, policy="threshold", labelled_truth=6, output=path)
    return path


def plan(cache_path: Path, **options):
    return make_plan(TrainOptions(cache_path, **{"backbone": "linear", **options}))


def with_entries(blocks: Path, folder: Path, text: str) -> Path:
    """Return a copy of the blocks' manifest with more lines in their entry."""
    shutil.copy(blocks / "tiny-clip.json", folder)
    manifest = folder / "mine.yaml"
    manifest.write_text((blocks / "blocks.yaml").read_text() + text)
    return manifest


def test_a_loss_takes_its_own_policy_unless_another_is_asked_for(cache_path: Path) -> None:
    names = {
        ("gpr", None): "damp",
        ("vlpl", None): "vlpl",
        ("vlpl", "damp"): "damp",
        ("gpr", "oracle"): "oracle",
    }
    for (loss, policy), expected in names.items():
        found = plan(cache_path, loss=loss, policy=policy).policy
        assert found is not None and found.name == expected
    assert plan(cache_path, loss="an").policy is None


def test_cap_needs_the_number_of_positives_an_image(cache_path: Path, blocks: Path, tmp_path: Path) -> None:
    with pytest.raises(AevlpError, match=r"policy cap needs .*: say `expected_positives` under blocks in the manifest"):
        plan(cache_path, loss="cap")
    manifest = with_entries(blocks, tmp_path, "    expected_positives: 1.5\n")
    options = {"loss": "cap", "manifest": manifest, "data_root": blocks, "backbone": "linear", "epochs": 1}
    run = RunFolder(stage_two(cache_path, tmp_path / "run", **options))
    assert run.settings()["policy"]["constants"]["expected_positives"] == 1.5


def test_constants_come_from_damp_and_from_policies_of_the_manifest(
    cache_path: Path, blocks: Path, tmp_path: Path
) -> None:
    text = "    policies:\n      top-k: {negative_ratio: 0.5}\n      plain: {neighbours: 2, threshold: 0.4}\n"
    options = {"manifest": with_entries(blocks, tmp_path, text), "data_root": blocks}
    top_k, plain = (plan(cache_path, policy=name, **options).policy for name in ("top-k", "plain"))
    assert top_k is not None and plain is not None
    rules = {"compat": "paper", "half": False}
    assert top_k.constants == {"temperature": 0.1, "eta": 0.1, "top_k": 2, "negative_ratio": 0.5, **rules}
    assert plain.constants["neighbours"] == 2
    assert (plain.constants["threshold"], plain.constants["top_k"]) == (0.4, 2)


def test_every_policy_trains_and_says_so(cache_path: Path, policy_file: Path, tmp_path: Path) -> None:
    for policy in ("global", "vlpl", "top-k", "label-propagation", "mime", "oracle", str(policy_file)):
        run = RunFolder(stage_two(cache_path, tmp_path / "run", backbone="linear", policy=policy, epochs=3))
        assert run.settings()["policy"]["name"] == ("threshold" if policy.endswith(".json") else policy)
        shutil.rmtree(run.path)


@pytest.mark.slow
def test_a_policy_that_looks_at_predictions_goes_on_as_if_it_had_never_stopped(
    cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"backbone": "linear", "epochs": 8, "batch_size": 3, "lr": 0.01}
    monkeypatch.setattr(EarlyStopping, "stops", lambda *_: False)
    for policy in ("apl", "label-propagation", "mime", "ccd", "cdul"):
        whole = RunFolder(stage_two(cache_path, tmp_path / f"{policy}-whole", policy=policy, **options))
        real, calls = trainer.train_epoch, []

        def interrupted(*arguments, real=real, calls=calls):
            calls.append(1)
            after = arguments[-1]

            def stop(images: int) -> None:
                after(images)
                if len(calls) == 7 and arguments[7].steps == 2:
                    raise KeyboardInterrupt

            real(*arguments[:-1], stop)

        monkeypatch.setattr(trainer, "train_epoch", interrupted)
        folder = tmp_path / f"{policy}-parts"
        try:
            stage_two(cache_path, folder, policy=policy, save_minutes=0, **options)
        except KeyboardInterrupt:
            monkeypatch.setattr(trainer, "train_epoch", real)
            stage_two(cache_path, folder, policy=policy, resume=True, **options)
        else:
            pytest.fail(f"{policy} was not interrupted: it had {len(calls)} epochs")
        parts = RunFolder(folder)
        assert [line["loss"] for line in parts.metrics()[:-1]] == [line["loss"] for line in whole.metrics()[:-1]]
        assert (parts.load_logits()[1] == whole.load_logits()[1]).all()


def test_a_fitted_policy_is_kept_to_its_cache(cache_path: Path, policy_file: Path) -> None:
    for change, expected in (
        ({"cache_fingerprint": "0" * 64}, "was fitted on another cache than"),
        ({"classes": ["red", "green", "grey"]}, "was fitted for other classes than"),
    ):
        other = policy_file.with_name("other.json")
        other.write_text(json.dumps(json.loads(policy_file.read_text()) | change))
        with pytest.raises(AevlpError, match=expected):
            plan(cache_path, policy=str(other))


def test_a_policy_that_was_fitted_to_full_labels_is_set_apart(
    cache_path: Path, policy_file: Path, tmp_path: Path
) -> None:
    small = {"seeds": 1, "backbone": "linear", "epochs": 1, "workers": 0}
    compare(cache_path, losses=["gpr"], policies=[str(policy_file), "damp"], runs=tmp_path / "runs", **small)
    rows = json.loads((tmp_path / "runs" / "results.json").read_text())["methods"]
    assert {row["policy"]: row["oracle"] for row in rows} == {str(policy_file): True, "damp": False}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"loss": "an", "policy": "damp"}, "loss an reads no labels of a policy: leave --policy damp out"),
        ({"policy": "dampp"}, "unknown policy 'dampp': known are damp, "),
        ({"policy": "threshold"}, "policy threshold needs a threshold for each class: run aevlp calibrate"),
        ({"policy": "view-weights"}, "run aevlp calibrate CACHE --policy view-weights first"),
        (
            {"policy": "view-quality"},
            r"reads the embeddings of views, and .* holds their cosines: score the images with --store",
        ),
        ({"policy": "nowhere.json"}, "cannot read the policy file nowhere.json"),
        ({"policy": "apl", "epochs": 5}, "policy apl needs more epochs than warmup_epoch, found 5 and 5"),
        ({"loss": "em-apl", "epochs": 2}, "loss em-apl needs more epochs than warmup_epoch, found 2 and 5"),
        ({"loss": "iu"}, "loss iu learns from observed negatives, and .* has none: score the images with --simulate"),
    ],
)
def test_a_training_that_cannot_be_is_refused_before_it_leaves_a_trace(
    cache_path: Path, tmp_path: Path, options: dict, expected: str
) -> None:
    with pytest.raises(AevlpError, match=expected):
        stage_two(cache_path, tmp_path / "run", **{"backbone": "linear", **options})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("      grp: {reg: 1}\n", "unknown loss 'grp': known are gr, gpr, "),
        ("    policies: {dampp: {}}\n", "unknown policy 'dampp': known are damp, "),
        ("    policies: {damp: {colour: 1}}\n", "unknown constant of policy damp 'colour'"),
        (f"    policies: {{damp: {{eta: 1{'0' * 400}}}}}\n", "eta of policy damp must be a number, found 1000"),
        ("    policies: {damp: {top_k: .inf}}\n", "top_k of policy damp must be a whole number, found inf"),
        ("    policies: {damp: {temperature: .nan}}\n", "temperature of policy damp must be a number, found nan"),
        ("    policies: {damp: {temperature: warm}}\n", "temperature of policy damp must be a number, found 'warm'"),
        ("    expected_positives: 0\n", "expected_positives: Input should be greater than 0"),
    ],
)
def test_a_mistake_in_the_manifest_is_one_clear_line(
    cache_path: Path, blocks: Path, tmp_path: Path, text: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = with_entries(blocks, tmp_path, text)
    for loss in ("gpr", "an") if "unknown" in expected and "constant" not in expected else ("gpr",):
        with pytest.raises(AevlpError, match=expected):
            plan(cache_path, loss=loss, manifest=manifest, data_root=blocks)
    capsys.readouterr()
    assert call("check", "blocks", "--manifest", manifest, "--data-root", blocks) == 1
    assert expected.split(":")[0] in "".join(capsys.readouterr())
