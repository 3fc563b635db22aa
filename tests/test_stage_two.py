"""Stage two end to end: training, resuming, judging, predicting, and what each refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import draw_blocks, stage_one, stage_two
from safetensors import safe_open
from sklearn.metrics import average_precision_score

from aevlp.pipeline.errors import AevlpError, Notice
from aevlp.pipeline.evaluation.metrics import mean_average_precision
from aevlp.pipeline.labels.added import added_labels
from aevlp.pipeline.score_cache import open_cache
from aevlp.pipeline.training import run_folder, trainer
from aevlp.pipeline.training.run_folder import RunFolder
from aevlp.pipeline.training.splits import splits
from aevlp.stages.commands import app as cli
from aevlp.stages.prediction import predict
from aevlp.stages.stage_two import evaluate, train
from aevlp.stages.stage_two.classifiers import classifier_inputs
from aevlp.stages.stage_two.options import TrainOptions
from aevlp.stages.stage_two.plan import make_plan
from aevlp.stages.stage_two.run import open_run


def without_times(run: Path) -> list[dict]:
    return [{k: v for k, v in line.items() if k not in ("seconds", "waiting")} for line in RunFolder(run).metrics()]


def test_run_folder_holds_what_it_should(run_path: Path) -> None:
    assert sorted(p.name for p in run_path.iterdir()) == [
        "best.safetensors", "log.txt", "metrics.jsonl", "settings.json", "state-002-000000.safetensors",
        "state-003-000000.safetensors", "test.safetensors", "val.safetensors",
    ]  # fmt: skip
    lines = [json.loads(line) for line in (run_path / "metrics.jsonl").read_text().splitlines()]
    assert [line.get("epoch") for line in lines] == [1, 2, None]
    assert 0 <= lines[-1]["test_map"] <= 1
    with safe_open(run_path / "best.safetensors", framework="pt") as file:
        about = json.loads(file.metadata()["aevlp"])
    assert about["classes"] == ["red", "green", "blue"]
    assert about["architecture"]["backbone"] == "clip" and about["architecture"]["size"] == 32
    settings = json.loads((run_path / "settings.json").read_text())
    assert settings["loss"]["name"] == "gpr" and settings["loss"]["expected_positives"] == 1.5


@pytest.mark.parametrize("loss", ["gpr", "gr", "an", "bce"])
@pytest.mark.parametrize("backbone", ["linear", "clip"])
def test_every_loss_trains_every_backbone(cache_path: Path, tmp_path: Path, loss: str, backbone: str) -> None:
    run = stage_two(cache_path, tmp_path / "run", loss=loss, backbone=backbone, epochs=1)
    assert np.isfinite(RunFolder(run).metrics()[0]["loss"])


def test_a_timm_backbone_with_random_weights(cache_path: Path, tmp_path: Path) -> None:
    run = stage_two(cache_path, tmp_path / "run", backbone="resnet10t", weights="random", epochs=1)
    architecture = RunFolder(run).load_best()[1]
    assert architecture.backbone == "resnet10t" and architecture.size == 32


def test_linear_learns_what_embeddings_tell(cache_path: Path, tmp_path: Path) -> None:
    run = stage_two(cache_path, tmp_path / "run", loss="bce", backbone="linear", epochs=3, lr=0.02)
    losses = [line["loss"] for line in RunFolder(run).metrics() if "loss" in line]
    assert losses[2] < losses[1] < losses[0] - 0.02


@pytest.mark.parametrize("backbone", ["clip", "linear"])
def test_resume_continues_to_the_same_numbers(cache_path: Path, tmp_path: Path, backbone: str, monkeypatch) -> None:
    options = {"backbone": backbone, "epochs": 3, "lr": 0.001}
    whole = stage_two(cache_path, tmp_path / "whole", **options)

    real, calls = trainer.train_epoch, []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(trainer, "train_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stage_two(cache_path, tmp_path / "part", **options)
    monkeypatch.undo()
    assert len(RunFolder(tmp_path / "part").metrics()) == 2
    stage_two(cache_path, tmp_path / "part", resume=True, **options)
    assert without_times(tmp_path / "part") == without_times(whole)
    assert (tmp_path / "part" / "best.safetensors").read_bytes() == (whole / "best.safetensors").read_bytes()


def test_equal_seeds_give_equal_runs_and_others_do_not(cache_path: Path, tmp_path: Path) -> None:
    runs = [stage_two(cache_path, tmp_path / str(n), seed=seed, epochs=1) for n, seed in enumerate((3, 3, 4))]
    losses = [RunFolder(run).metrics()[0]["loss"] for run in runs]
    assert losses[0] == losses[1] != losses[2]


def test_a_run_is_not_trained_with_other_settings_and_a_finished_one_is_left_alone(
    cache_path: Path, run_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run = Path(shutil.copytree(run_path, tmp_path / "run"))
    for resume in (False, True):
        with pytest.raises(AevlpError, match=r"was started differently \(this run has --seed: 9, not 0\)"):
            stage_two(cache_path, run, resume=resume, seed=9)
        before = {file.name: file.read_bytes() for file in run.iterdir()}
        assert stage_two(cache_path, run, resume=resume) == run
        assert "is finished already" in capsys.readouterr().err
        assert {file.name: file.read_bytes() for file in run.iterdir()} == before
    with pytest.raises(AevlpError, match="there is no run"):
        stage_two(cache_path, tmp_path / "none", resume=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(AevlpError, match="is there already and is no training run"):
        stage_two(cache_path, tmp_path / "mine")


def test_evaluate_agrees_with_scikit_learn(run_path: Path, cache_path: Path) -> None:
    found = evaluate.evaluate(run_path, device="cpu", workers=0).to_json()
    cache = open_cache(cache_path)
    plan = make_plan(TrainOptions(cache_path))
    classifier, architecture, _ = RunFolder(run_path).load_best()
    inputs = classifier_inputs(architecture, cache, plan.root, torch.device("cpu"), 0)
    with torch.no_grad():
        logits = torch.cat([classifier(x) for _, x in inputs.batches(plan.test.rows, 3)]).numpy()
    truth = plan.test.truth
    expected = [average_precision_score(t, s) if t.any() else 0.0 for t, s in zip(truth.T, logits.T, strict=True)]
    assert [c["average_precision"] for c in found["classes"].values()] == pytest.approx(expected)
    assert (
        found["map"] == pytest.approx(np.mean(expected)) == pytest.approx(RunFolder(run_path).metrics()[-1]["test_map"])
    )
    assert found["map"] == pytest.approx(mean_average_precision(logits, truth))


@pytest.mark.parametrize("backbone", ["clip", "linear"])
def test_predict_gives_the_probabilities_of_evaluation(
    blocks: Path, cache_path: Path, tmp_path: Path, backbone: str
) -> None:
    run = stage_two(cache_path, tmp_path / "run", backbone=backbone, epochs=1)
    found = predict.predict(run, [str(blocks / "images")], device="cpu", workers=0).images
    plan = make_plan(TrainOptions(cache_path))
    classifier, architecture, _ = RunFolder(run).load_best()
    inputs = classifier_inputs(architecture, plan.cache, plan.root, torch.device("cpu"), 0)
    with torch.no_grad():
        logits = torch.cat([classifier(x) for _, x in inputs.batches(np.arange(16), 16)])
    decision = RunFolder(run).decision()
    calibrated = decision.probabilities(logits.numpy())
    expected = dict(zip((str(blocks / p) for p in plan.cache.paths), calibrated.tolist(), strict=True))
    least = dict(zip(plan.cache.classes, decision.thresholds.tolist(), strict=True))
    assert len(found) == 16
    for image in found:
        assert list(image["probabilities"].values()) == pytest.approx(expected[image["image"]], abs=1e-5)
        assert image["labels"] == [name for name, p in image["probabilities"].items() if p >= least[name]]


def test_predict_takes_files_folders_and_globs_and_writes_every_format(
    blocks: Path, run_path: Path, tmp_path: Path
) -> None:
    import csv

    import pyarrow.parquet as pq

    (tmp_path / "bad.png").write_bytes(b"")
    names = [str(blocks / "images" / "00.png"), str(blocks / "images" / "0[1-3].png"), str(tmp_path / "bad.png")]
    for suffix in ("csv", "json", "parquet"):
        predict.predict(run_path, names, output=tmp_path / f"out.{suffix}", device="cpu", workers=0)
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["ok"] * 4 + ["unreadable"]
    assert [bool(row["reason"]) for row in rows] == [False] * 4 + [True] and "bad.png" in rows[4]["reason"]
    assert rows[4]["p(red)"] == "" and 0 < float(rows[0]["p(red)"]) < 1
    table = pq.read_table(tmp_path / "out.parquet").to_pylist()
    content = json.loads((tmp_path / "out.json").read_text())
    assert [row["image"] for row in table] == [row["image"] for row in rows] == [r["image"] for r in content["images"]]
    assert [row["reason"] for row in table] == [row["reason"] for row in rows]
    assert table[1]["p(blue)"] == pytest.approx(content["images"][1]["probabilities"]["blue"])


def test_predict_refusals(run_path: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    for names, output, message in (
        ([str(tmp_path / "none*.png")], None, "no file, folder or match"),
        ([str(tmp_path / "empty")], None, "no image file in the folder"),
        ([str(tmp_path / "bad.png")], None, "no image of 1 can be read"),
        ([str(tmp_path / "bad.png")], tmp_path / "out.txt", "expected a .csv, .json or .parquet file"),
        (
            [str(tmp_path / "bad.png")],
            tmp_path / "bad.png" / "out.csv",
            r"cannot write .*out\.csv: .*bad\.png is not a folder",
        ),
    ):
        with pytest.raises(AevlpError, match=message):
            predict.predict(run_path, names, output=output, device="cpu", workers=0)
    with pytest.raises(AevlpError, match=r"no best\.safetensors"):
        predict.predict(tmp_path, [str(tmp_path / "bad.png")], device="cpu", workers=0)


def test_training_leaves_unreadable_images_out(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    draw_blocks(tmp_path / "data")
    for name in ("01.png", "14.png"):
        (tmp_path / "data" / "images" / name).write_bytes(b"")
    cache = stage_one(tmp_path / "data", tmp_path / "c.h5")
    plan = make_plan(TrainOptions(cache))
    used = np.concatenate([plan.train.rows, plan.val.rows, plan.test.rows])
    assert sorted(used) == [n for n in range(16) if n not in (1, 14)]
    stage_two(cache, tmp_path / "run", epochs=1, batch_size=9)


def test_a_single_image_left_for_batch_normalisation_is_a_clear_error(cache_path: Path, tmp_path: Path) -> None:
    with pytest.raises(AevlpError, match=r"last batch holds a single image.*--batch-size"):
        stage_two(cache_path, tmp_path / "run", batch_size=9)


def test_without_truth_training_is_judged_by_observed_labels_and_bce_is_refused(
    blocks: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    draw_blocks(tmp_path / "data")
    manifest = tmp_path / "data" / "blocks.yaml"
    manifest.write_text(manifest.read_text().replace("simulate: single-positive", "labels: observed"))
    cache = stage_one(tmp_path / "data", tmp_path / "c.h5")
    assert open_cache(cache).truth is None
    stage_two(cache, tmp_path / "run", epochs=1)
    assert "against observed labels" in capsys.readouterr().out
    with pytest.raises(AevlpError, match="bce needs full labels"):
        stage_two(cache, tmp_path / "other", loss="bce")


def test_number_of_positives_is_taken_from_the_codes_where_nobody_says_it(tmp_path: Path) -> None:
    draw_blocks(tmp_path / "data")
    manifest = tmp_path / "data" / "blocks.yaml"
    manifest.write_text(manifest.read_text().replace("gpr: {expected_positives: 1.5}", "an: {}"))
    cache_path = stage_one(tmp_path / "data", tmp_path / "c.h5")
    plan = make_plan(TrainOptions(cache_path))
    cache = open_cache(cache_path)
    positive = (cache.code(slice(None)) == 1) | (cache.observed == 1)
    assert plan.constants["expected_positives"] == pytest.approx(positive[plan.train.rows].sum(axis=1).mean())


def test_training_refuses_what_does_not_fit(blocks: Path, cache_path: Path, tmp_path: Path) -> None:
    for options, message in (
        ({"loss": "gpt"}, "unknown loss 'gpt': known are gpr"),
        ({"backbone": "resnet51", "weights": "random"}, "unknown backbone 'resnet51': known are resnet5"),
        ({"backbone": "resnet10t", "weights": str(tmp_path / "none")}, "expected pretrained, random or a file"),
        ({"weights": "random"}, "has the weights of the scoring model"),
        ({"device": "cuda:9"}, "is not there"),
        ({"dataset": "bloks"}, "unknown data set 'bloks': known are blocks"),
        ({"data_root": tmp_path / "nowhere"}, "no folder .*pass --data-root"),
        ({"lr": -1.0}, "--lr must be above 0 and finite"),
    ):
        with pytest.raises(AevlpError, match=message):
            stage_two(cache_path, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()
    with pytest.raises(AevlpError, match="no cache"):
        stage_two(tmp_path / "none.h5", tmp_path / "run")


def test_cache_of_other_data_is_refused(cache_path: Path, blocks: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(blocks, tmp_path / "data"))
    table, manifest = other / "labels.csv", other / "blocks.yaml"
    lines = table.read_text().splitlines()
    options = {"manifest": manifest, "data_root": other}
    table.write_text("\n".join([lines[0], *(line.replace("images/", "./images/") for line in lines[1:])]))
    with pytest.raises(
        AevlpError, match=r"lists none of the 16 images of .*first 'images/00.png'.*pass the right --data-root"
    ):
        stage_two(cache_path, tmp_path / "run", **options)
    table.write_text("\n".join([lines[0], lines[1].replace("red;green", "blue"), *lines[2:]]))
    with pytest.raises(AevlpError, match="other labels or splits"):
        stage_two(cache_path, tmp_path / "run", **options)
    table.write_text("\n".join(lines))
    manifest.write_text(manifest.read_text().replace("[red, green, blue]", "[red, green, blue, black]"))
    with pytest.raises(AevlpError, match=r"has other classes than blocks.*'black'"):
        stage_two(cache_path, tmp_path / "run", **options)


def test_evaluate_refuses_another_cache(run_path: Path, blocks: Path, tmp_path: Path) -> None:
    other = stage_one(blocks, tmp_path / "c.h5", grid=1)
    with pytest.raises(AevlpError, match=r"is not the cache that .* was trained from"):
        evaluate.evaluate(run_path, cache=other, device="cpu", workers=0)


def test_an_image_that_went_missing_after_scoring_is_named(tmp_path: Path) -> None:
    draw_blocks(tmp_path / "data")
    cache = stage_one(tmp_path / "data", tmp_path / "c.h5")
    (tmp_path / "data" / "images" / "13.png").unlink()
    with pytest.raises(AevlpError, match=r"1 scored image is not in .* any more, first 'images/13\.png'"):
        stage_two(cache, tmp_path / "run", epochs=1)


def test_an_image_that_changed_after_scoring_is_noticed(tmp_path: Path) -> None:
    draw_blocks(tmp_path / "data")
    cache = stage_one(tmp_path / "data", tmp_path / "c.h5")
    image = tmp_path / "data" / "images" / "00.png"
    whole = image.read_bytes()
    image.write_bytes(whole + b"more")
    with pytest.raises(AevlpError, match="was made from other files"):
        stage_two(cache, tmp_path / "run", epochs=1)
    image.write_bytes(bytes(len(whole)))
    with pytest.raises(AevlpError, match=r"cannot be read any more: .*00\.png"):
        stage_two(cache, tmp_path / "run", epochs=1)


def test_weights_of_another_backbone_are_refused(cache_path: Path, tmp_path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    from aevlp.pipeline.training.classifier import create_timm

    model = timm.create_model("resnet10t", pretrained=False)
    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    save_file(state, tmp_path / "whole.safetensors")
    save_file({k: v for k, v in state.items() if "layer4" not in k}, tmp_path / "part.safetensors")
    (tmp_path / "text.safetensors").write_text("no weights")
    loaded = create_timm("resnet10t", str(tmp_path / "whole.safetensors"), 3, 32, True)[1].backbone.state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in loaded) and "layer4.0.conv1.weight" in loaded
    for backbone, name, message in (
        ("resnet10t", "part", "tensors are missing in it, first layer4"),
        ("resnet18", "whole", "does not hold weights of resnet18"),
        ("resnet10t", "text", "cannot be read as weights"),
    ):
        with pytest.raises(AevlpError, match=message):
            stage_two(cache_path, tmp_path / "run", backbone=backbone, weights=str(tmp_path / f"{name}.safetensors"))
    assert not (tmp_path / "run").exists()


class Trap:
    """What a pickle can do to whoever loads it."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self):
        return (Path.touch, (self.sprung,))


def test_code_in_a_weights_file_never_runs(blocks: Path, cache_path: Path, tmp_path: Path) -> None:
    torch.save({"conv1.weight": Trap(tmp_path / "sprung")}, tmp_path / "trap.pt")
    with pytest.raises(AevlpError, match=r"trap\.pt cannot be read as weights"):
        stage_two(cache_path, tmp_path / "run", backbone="resnet10t", weights=str(tmp_path / "trap.pt"))
    with pytest.raises(AevlpError, match=r"trap\.pt does not hold weights"):
        stage_one(blocks, tmp_path / "c.h5", weights=str(tmp_path / "trap.pt"))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("metrics.jsonl", "garbage}\n", "metrics.jsonl is damaged"),
        ("metrics.jsonl", '{"a": 1}\n', "line 1: not what a training run writes"),
        ("settings.json", "[]", "does not hold the settings"),
        ("settings.json", "{", "is not a training run"),
    ],
)
def test_a_damaged_run_is_not_resumed(run_path: Path, cache_path: Path, tmp_path: Path, name, content, message) -> None:
    run = Path(shutil.copytree(run_path, tmp_path / "run"))
    (run / name).write_text(content)
    with pytest.raises(AevlpError, match=message):
        stage_two(cache_path, run, resume=True)


def test_a_state_is_no_classifier(run_path: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(run_path, tmp_path / "run"))
    shutil.copy(run / "state-003-000000.safetensors", run / "best.safetensors")
    with pytest.raises(AevlpError, match="holds no classifier"):
        evaluate.evaluate(run, device="cpu", workers=0)


def test_a_loss_that_is_not_finite_is_an_error(cache_path: Path, tmp_path: Path) -> None:
    with pytest.raises(AevlpError, match="the loss became"):
        stage_two(cache_path, tmp_path / "run", lr=1e30, epochs=2)


def test_damaged_weights_are_refused(run_path: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(run_path, tmp_path / "run"))
    (run / "best.safetensors").write_bytes((run / "best.safetensors").read_bytes()[:100])
    with pytest.raises(AevlpError, match=r"best\.safetensors cannot be read"):
        evaluate.evaluate(run, device="cpu", workers=0)


def test_default_folders_are_numbered_and_a_run_of_equal_settings_is_taken_again(
    cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AevlpError, match=r"there is no run .* to resume"):
        train.train(cache_path, resume=True, workers=0)
    one, other, again = (train.train(cache_path, epochs=n, workers=0).folder for n in (1, 2, 1))
    assert (str(one), str(other), again) == ("runs/blocks-gpr-clip-seed0", "runs/blocks-gpr-clip-seed0-2", one)
    assert "runs/blocks-gpr-clip-seed0 is finished already" in capsys.readouterr().err
    (one / "metrics.jsonl").unlink()  # begun, and not finished
    third = train.train(cache_path, epochs=3, workers=0).folder
    assert (str(third), train.train(cache_path, epochs=1, workers=0).folder) == (f"{one}-3", one)


@pytest.mark.parametrize("command", ["evaluate", "train"])
def test_a_mistake_is_one_line_and_exit_1(command: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    given = {"evaluate": [str(tmp_path / "run")], "train": ["--cache", str(tmp_path / "none.h5")]}
    with pytest.raises(SystemExit) as stop:
        cli.main([command, *given[command]])
    assert stop.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1


def test_without_any_positive_there_is_nothing_to_learn(tmp_path: Path) -> None:
    draw_blocks(tmp_path / "data")
    table = tmp_path / "data" / "labels.csv"
    header, *lines = table.read_text().splitlines()
    table.write_text("\n".join([header, *(line.rsplit(",", 1)[0] + "," for line in lines)]))
    cache = stage_one(tmp_path / "data", tmp_path / "c.h5")
    with pytest.raises(AevlpError, match="by its full labels no training image shows any class"):
        stage_two(cache, tmp_path / "run")


def test_where_no_label_is_observed_losses_that_read_pseudo_labels_learn(tmp_path: Path) -> None:
    draw_blocks(tmp_path / "data")
    nothing = "counts,positives=0,negatives=0"
    cache = stage_one(tmp_path / "data", tmp_path / "c.h5", simulate=nothing)
    assert not open_cache(cache).observed.any()
    run = stage_two(cache, tmp_path / "run", loss="gpr", epochs=1)
    assert open_run(run).test_map is not None
    with pytest.raises(
        AevlpError, match="no training image has an observed positive, and the loss an learns from observed"
    ):
        stage_two(cache, tmp_path / "other", loss="an")


def test_no_pseudo_positive_is_said(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    draw_blocks(tmp_path / "data")
    manifest = tmp_path / "data" / "blocks.yaml"
    manifest.write_text(manifest.read_text().replace("threshold: 0.2", "threshold: 1.0"))
    cache = stage_one(tmp_path / "data", tmp_path / "c.h5")
    make_plan(TrainOptions(cache))
    assert "No training image has a pseudo-positive" in capsys.readouterr().err
    make_plan(TrainOptions(cache, loss="an"))
    assert "pseudo-positive" not in capsys.readouterr().err
    manifest.write_text(manifest.read_text().replace("    simulate: single-positive\n", ""))
    make_plan(
        TrainOptions(stage_one(tmp_path / "data", tmp_path / "complete.h5"))
    )  # where all labels are known none is made
    assert "pseudo-positive" not in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        cli.main(["inspect", str(cache)])
    assert stop.value.code == 0
    precision = next(line for line in capsys.readouterr().out.splitlines() if "multi-focus" in line).split("│")[3]
    assert precision.strip() == "-"  # there is none without a pseudo-positive


def test_a_run_is_found_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    draw_blocks(tmp_path / "data")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    cache = stage_one(Path("data"), Path("c.h5"))
    run = stage_two(cache, Path("run"), epochs=1)
    monkeypatch.chdir(tmp_path / "elsewhere")
    evaluate.evaluate(Path("..") / run, device="cpu", workers=0)
    stage_two(Path("..") / cache, Path("other"), epochs=1)
    (tmp_path / "c.h5").rename(tmp_path / "d.h5")
    with pytest.raises(AevlpError, match="if it has moved, pass it as --cache"):
        evaluate.evaluate(Path("..") / run, device="cpu", workers=0)
    evaluate.evaluate(Path("..") / run, cache=tmp_path / "d.h5", device="cpu", workers=0)


def test_a_run_without_a_test_split_ends_too(tmp_path: Path) -> None:
    draw_blocks(tmp_path / "data", 14, 0)
    run = stage_two(stage_one(tmp_path / "data", tmp_path / "blocks.h5"), tmp_path / "run", epochs=1)
    folder = RunFolder(run)
    assert folder.finished() and "test_map" not in folder.metrics()[-1]
    assert "test_map" not in json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert train.train(tmp_path / "blocks.h5", run=run, epochs=1, workers=0).test_map is None


def test_the_published_split_of_two_images_follows_the_cache(tmp_path: Path) -> None:
    draw_blocks(tmp_path / "data", 2, 1)
    for compat in ("paper", "published"):
        stage_one(tmp_path / "data", tmp_path / f"{compat}.h5", compat=compat)
    with pytest.raises(AevlpError, match="leave 0 for validation"):
        stage_two(tmp_path / "paper.h5", tmp_path / "paper", epochs=1)
    train_part, val_part, _ = splits(open_cache(tmp_path / "published.h5"), 0.2)
    assert train_part.rows.tolist() == val_part.rows.tolist() == [0, 1]


def test_a_run_is_trained_by_one_process_at_a_time(
    cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_folder, "LOCK_SECONDS", 0.0)
    folder = RunFolder(tmp_path / "run")
    with folder.alone(), pytest.raises(AevlpError, match=r"another process is training into .*run: wait"):
        stage_two(cache_path, folder.path, backbone="linear")
    assert not folder.path.exists()
    stage_two(cache_path, folder.path, backbone="linear")  # the lock is gone
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_name_that_rich_would_take_for_markup_is_printed_as_it_is(
    cache_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = stage_two(cache_path, tmp_path / "g[" / "]x[red]:smile:", backbone="linear")
    assert f"{run}: best validation mAP" in capsys.readouterr().out


def test_a_run_goes_on_with_a_cache_that_has_moved(
    cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = stage_two(cache_path, tmp_path / "whole", backbone="linear")
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save_logits", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            stage_two(cache_path, tmp_path / "run", backbone="linear")
    shutil.copy(cache_path, tmp_path / "moved.h5")
    run = stage_two(tmp_path / "moved.h5", tmp_path / "run", backbone="linear", resume=True)
    assert without_times(run) == without_times(whole)
    assert json.loads((run / "settings.json").read_text())["cache"] == str(tmp_path / "moved.h5")


@pytest.mark.parametrize("suffix", ["h5", "parquet"])
def test_a_damaged_cache_is_not_trained_from(blocks: Path, tmp_path: Path, suffix: str) -> None:
    path = stage_one(blocks, tmp_path / f"c.{suffix}")
    file = path if path.is_file() else next(path.iterdir())
    content = bytearray(file.read_bytes())
    similarity = open_cache(path).similarity([3])[0].astype(np.float16).tobytes()
    place = content.find(similarity)  # Parquet writes them otherwise
    content[place + 1 if place >= 0 else len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(AevlpError, match="damaged"):
        stage_two(path, tmp_path / "run", backbone="linear")


def test_a_state_of_another_run_is_named(cache_path: Path, tmp_path: Path) -> None:
    other = stage_two(cache_path, tmp_path / "other")
    run = stage_two(cache_path, tmp_path / "run", backbone="linear", epochs=3)
    (run / "metrics.jsonl").unlink()
    newest = RunFolder(run).state_files()[-1]
    newest.write_bytes(RunFolder(other).state_files()[-1].read_bytes())
    with pytest.raises(AevlpError, match=rf"{newest.name} is the state of another run: delete it"):
        stage_two(cache_path, run, backbone="linear", epochs=3, resume=True)


def test_the_state_of_another_run_is_named_where_the_last_one_is_damaged(cache_path: Path, tmp_path: Path) -> None:
    other = stage_two(cache_path, tmp_path / "other")
    run = stage_two(cache_path, tmp_path / "run", backbone="linear", epochs=3)
    (run / "metrics.jsonl").unlink()
    before, newest = RunFolder(run).state_files()
    before.write_bytes(RunFolder(other).state_files()[-1].read_bytes())
    newest.write_bytes(b"damaged")
    with (
        pytest.warns(Notice, match=f"{newest.name} cannot be read"),
        pytest.raises(AevlpError, match=rf"{before.name} is the state of another run: delete it"),
    ):
        stage_two(cache_path, run, backbone="linear", epochs=3, resume=True)


def test_what_pseudo_labels_add_is_counted_once(
    cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    counted: list[int] = []
    monkeypatch.setattr(trainer, "added_labels", lambda parts: counted.append(1) or added_labels(parts))
    stage_two(cache_path, tmp_path / "run", backbone="linear", epochs=3)
    assert counted == [1] and "pseudo-labels used (of damp, latest epoch)" in capsys.readouterr().err
