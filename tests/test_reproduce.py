"""`aevlp reproduce`: the whole protocol in one command, what it reuses, and what it says where files are missing."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import call, draw_blocks
from sklearn.metrics import average_precision_score

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.files import absent_files as hub
from aevlp.pipeline.score_cache import open_cache
from aevlp.pipeline.training import trainer
from aevlp.pipeline.training.run_folder import RunFolder
from aevlp.stages.experiments import reproduce


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with blocks in data/, which is the working directory."""
    draw_blocks(tmp_path / "data")
    manifest = tmp_path / "data" / "blocks.yaml"
    manifest.write_text(manifest.read_text() + "    published: {gpr: 51.5, an: 40}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def arguments(losses: str = "an,gpr", seeds: int = 2) -> list[object]:
    manifest = Path("data") / "blocks.yaml"
    return ["blocks", "--manifest", manifest, "--losses", losses, "--seeds", seeds, "--workers", 0]


def test_every_loss_and_seed_is_trained_and_judged(here: Path, capsys: pytest.CaptureFixture) -> None:
    assert call("reproduce", *arguments(), "--json") == 0
    printed = capsys.readouterr()
    record = json.loads(printed.out)
    assert json.loads((here / "runs" / "reproduce-blocks" / "results.json").read_text()) == record
    cache = open_cache(here / "cache" / "blocks.h5")
    assert record["cache_fingerprint"] == cache.fingerprint
    assert list(record["losses"]) == ["an", "gpr"]
    for name, row in record["losses"].items():
        assert row["published"] == {"an": 0.4, "gpr": 0.515}[name]
        for seed in (0, 1):
            run = RunFolder(here / "runs" / "reproduce-blocks" / f"{name}-seed{seed}")
            settings = run.settings()
            assert (settings["loss"]["name"], settings["seed"]) == (name, seed)
            rows, logits = run.load_logits()
            assert (cache.split[rows] == "test").all() and len(rows) == 4
            assert cache.truth is not None
            truth = cache.truth[rows]
            with np.errstate(all="ignore"):
                expected = [
                    average_precision_score(truth[:, c], logits[:, c]) if truth[:, c].any() else 0 for c in range(3)
                ]
            assert row["each"][seed] == pytest.approx(np.mean(expected))
        assert row["mean"] == pytest.approx(np.mean(row["each"]))
        assert (row["interval"], row["interval_reason"]) == (None, "too few positives, 3 classes below 5")


def test_a_second_call_reuses_everything_and_prints_the_table(here: Path, capsys: pytest.CaptureFixture) -> None:
    assert call("reproduce", *arguments(seeds=1)) == 0
    first = capsys.readouterr().out
    files = {path: path.stat().st_mtime_ns for path in here.glob("runs/*/*/*")}
    assert call("reproduce", *arguments(seeds=1)) == 0
    again = capsys.readouterr()
    assert {path: path.stat().st_mtime_ns for path in here.glob("runs/*/*/*")} == files
    assert "nothing to do" in again.err and again.err.count("is finished already") == 2
    table = [line for line in first.splitlines() if line.startswith("│")]
    assert table == [line for line in again.out.splitlines() if line.startswith("│")]
    assert any("51.50" in line for line in table)
    assert not any("too few positives" in line for line in table)  # a column that says nothing is left out
    assert "no interval: too few positives, 3 classes below 5" in first.splitlines()


def test_fewer_losses_and_seeds_leave_the_earlier_ones_in_the_table(here: Path, capsys: pytest.CaptureFixture) -> None:
    results = here / "runs" / "reproduce-blocks" / "results.json"
    assert call("reproduce", *arguments(seeds=2)) == 0
    before = json.loads(results.read_text())["losses"]
    assert call("reproduce", *arguments("gpr", 1), "--set", "gpr.q3=0.5") == 0
    after = json.loads(results.read_text())["losses"]
    assert set(after) == {"an", "gpr", "gpr[q3=0.5]"}
    assert {name: after[name] for name in before} == before
    (here / "runs" / "reproduce-blocks" / "an-seed1" / "metrics.jsonl").unlink()
    capsys.readouterr()
    assert call("reproduce", *arguments("gpr", 1)) == 0
    assert set(json.loads(results.read_text())["losses"]) == {"gpr", "gpr[q3=0.5]"}
    assert "an is left out: of an earlier call" in capsys.readouterr().err


def test_an_interrupted_run_is_gone_on_with(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("reproduce", *arguments("gpr", 1), "--runs", "whole") == 0
    trained, epochs = trainer.train_epoch, []

    def interrupted(*given: object, **more: object) -> float:
        epochs.append(1)
        if len(epochs) == 2:
            raise KeyboardInterrupt
        return trained(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(trainer, "train_epoch", interrupted)
    assert call("reproduce", *arguments("gpr", 1), "--runs", "parts") == 130
    monkeypatch.setattr(trainer, "train_epoch", trained)
    assert call("reproduce", *arguments("gpr", 1), "--runs", "parts") == 0
    whole, parts = (RunFolder(here / name / "gpr-seed0").load_logits() for name in ("whole", "parts"))
    np.testing.assert_array_equal(whole[1], parts[1])


def test_a_run_with_other_settings_is_not_taken_for_this_one(here: Path, capsys: pytest.CaptureFixture) -> None:
    assert call("reproduce", *arguments("an", 1)) == 0
    manifest = here / "data" / "blocks.yaml"
    manifest.write_text(manifest.read_text().replace("lr: 0.001", "lr: 0.002"))
    assert call("reproduce", *arguments("an", 1)) == 1
    assert "recipe.lr: 0.002, not 0.001): give its settings, choose another folder, or" in capsys.readouterr().err


def test_the_published_rules_have_a_cache_and_runs_of_their_own(here: Path) -> None:
    assert call("reproduce", *arguments("gpr", 1), "--compat", "published") == 0
    cache = open_cache(here / "cache" / "blocks-published.h5")
    assert cache.provenance["method"]["compat"] == "published"
    assert (here / "runs" / "reproduce-blocks-published" / "results.json").is_file()


def test_a_loss_of_ones_own_has_a_row_and_a_folder_of_its_own(here: Path, capsys: pytest.CaptureFixture) -> None:
    (here / "reproduced_losses.py").write_text(
        "class Brier:\n"
        "    paper, reads = 'Brier 1950', ('observed',)\n"
        "    def __init__(self, num_classes):\n"
        "        pass\n"
        "    def __call__(self, logits, targets):\n"
        "        return (logits.sigmoid() - (targets.observed == 1).float()).square().mean()\n"
    )
    assert call("reproduce", *arguments("reproduced_losses:Brier", 1)) == 0
    assert "Brier 1950" in capsys.readouterr().out
    assert (here / "runs" / "reproduce-blocks" / "reproduced_losses-Brier-seed0").is_dir()


def test_without_a_test_split_nothing_is_trained(here: Path, capsys: pytest.CaptureFixture) -> None:
    table = here / "data" / "labels.csv"
    table.write_text(table.read_text().replace(",test,", ",train,"))
    assert call("reproduce", *arguments("an", 1)) == 1
    assert "blocks has no test split" in capsys.readouterr().err
    assert not (here / "runs").exists()


def test_a_run_that_was_killed_before_its_first_file_is_started(here: Path) -> None:
    (here / "runs" / "reproduce-blocks" / "an-seed0").mkdir(parents=True)
    assert call("reproduce", *arguments("an", 1)) == 0


@pytest.mark.parametrize("name", ["voc", "coco", "nuswide", "cub"])
def test_what_is_missing_is_listed_and_nothing_is_done(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_: None)
    assert call("reproduce", name) == 1
    printed = capsys.readouterr()
    _, error = printed.err.splitlines()  # after a line that says what is begun
    assert error.startswith("error: ") and "nothing was done" in error
    for needed in (
        "timm/vit_base_patch16_clip_224.openai/resolve/main/open_clip_model.safetensors",
        "598 MB",  # 149,620,737 parameters of four bytes
        "timm/resnet50.tv_in1k/resolve/main/model.safetensors",
        "102 MB",
    ):
        assert needed in printed.out
    archives = {
        "voc": ["VOCtrainval_11-May-2012.tar, 2,000 MB"],
        "coco": ["train2014.zip, 13,511 MB", "val2014.zip, 6,645 MB", "annotations_trainval2014.zip, 253 MB"],
        "cub": ["CUB_200_2011.tgz, 1,151 MB"],
        "nuswide": ["images and labels of NUS-WIDE", "aevlp datasets nuswide --download prints the steps"],
    }
    for archive in archives[name]:
        assert archive in printed.out
    assert list(tmp_path.iterdir()) == []
    assert call("reproduce", name, "--json") == 1
    missing = json.loads(capsys.readouterr().out)["missing"]
    assert len(missing) == len(archives[name]) + (1 if name == "nuswide" else 2)


def test_weights_in_the_local_cache_are_not_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aevlp.pipeline.manifest.load import load_manifest

    spec = load_manifest()["voc"]
    asked = []

    def cached(repository: str, file: str) -> str | None:
        asked.append((repository, file))
        return "/cache/file" if file in ("open_clip_pytorch_model.bin", "model.safetensors") else None

    monkeypatch.setattr(hub, "try_to_load_from_cache", cached)
    missing = reproduce.absent_files(spec, tmp_path)
    assert [absent.what for absent in missing] == ["VOCtrainval_11-May-2012.tar"]
    assert ("timm/vit_base_patch16_clip_224.openai", "open_clip_model.safetensors") in asked


def test_images_that_are_missing_stop_the_command(here: Path, capsys: pytest.CaptureFixture) -> None:
    (here / "data" / "images" / "03.png").unlink()
    assert call("reproduce", *arguments()) == 1
    printed = capsys.readouterr()
    assert "images/03.png" in printed.out and "one thing is missing" in printed.err
    assert not (here / "cache").exists() and not (here / "runs").exists()


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (["blocks2"], 1, "unknown data set 'blocks2': known are scenes2, voc, "),
        (["voc", "--losses", "an,gpt"], 1, "unknown loss 'gpt': known are gpr, "),
        (["voc", "--compat", "both"], 2, "Invalid value for '--compat'"),
        (["scenes", "--losses", ","], 2, "at least one name is needed"),
        ([], 2, "Missing argument 'DATASET'"),
    ],
)
def test_mistakes(
    given: list[str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("reproduce", *given) == code
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error and (code == 2 or error.count("\n") == 1)


def test_an_unfinished_run_has_no_test_logits(run_path: Path, tmp_path: Path) -> None:
    rows, logits = RunFolder(run_path).load_logits()
    assert logits.shape == (len(rows), 3)
    with pytest.raises(AevlpError, match="its training is not finished"):
        RunFolder(tmp_path).load_logits()


@pytest.mark.process
@pytest.mark.slow
def test_on_scenes_the_order_is_an_below_gpr_below_bce(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("reproduce", "scenes", "--losses", "bce,an,gpr", "--seeds", 3, "--json") == 0
    losses = json.loads(capsys.readouterr().out)["losses"]
    assert losses["an"]["mean"] < losses["gpr"]["mean"] <= losses["bce"]["mean"]
    assert losses["an"]["interval"][1] < losses["gpr"]["interval"][0]
