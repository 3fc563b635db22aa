"""Runs that need nothing else: backbones of every family, failed first epochs, copied folders, images without labels."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from conftest import call, stage_one, stage_two

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.labels.single_positive import split_train_val
from aevlp.pipeline.score_cache import open_cache
from aevlp.pipeline.training import classifier as classifiers
from aevlp.pipeline.training import timm_backbones, trainer
from aevlp.pipeline.training.splits import splits
from aevlp.stages.stage_two.options import TrainOptions
from aevlp.stages.stage_two.plan import make_plan
from aevlp.stages.stage_two.settings import settings_of

SIZES = {"tiny": 0, "pico": 0, "atto": 0, "nano": 0, "small": 1, "18": 1}


def smallest(family: str) -> tuple[str, int]:
    """Return a model of a timm module, by its name one of the small ones, and the pixels a side that it is made for."""
    names = timm.list_models(module=family)

    def rank(name: str) -> tuple[bool, int, int, str]:
        config = timm.models.get_pretrained_cfg(name)
        size = config.input_size[1] if config is not None else 224
        return size > 256, min((n for word, n in SIZES.items() if word in name), default=2), len(name), name

    name = min(names, key=rank)
    config = timm.models.get_pretrained_cfg(name)
    return name, 224 if config is None else config.input_size[1]


@pytest.mark.slow
def test_every_family_of_timm_gives_what_its_head_expects() -> None:
    """Shapes alone are computed: the head multiplies what the backbone gives, or torch refuses."""
    wrong: dict[str, str] = {}
    for family in timm.list_modules():
        if not timm.list_models(module=family):
            continue
        name, size = smallest(family)
        try:
            with torch.device("meta"):
                architecture, classifier = classifiers.create_timm(name, "random", 5, size, True)
                logits = classifier.eval()(torch.zeros(2, 3, architecture.size, architecture.size))
            if logits.shape != (2, 5):
                wrong[name] = f"logits of shape {tuple(logits.shape)}"
        except Exception as error:
            wrong[name] = f"{type(error).__name__}: {str(error)[:200]}"
    assert not wrong


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "lcnet_035", "repghostnet_050", "resnet18"])
def test_a_backbone_with_a_layer_after_the_pooling_is_built_and_learns(name: str) -> None:
    architecture, classifier = classifiers.create_timm(name, "random", 3, 64, True)
    pixels = torch.randn(2, 3, 64, 64)
    features = classifier.backbone(pixels)
    assert features.shape == (2, architecture.width)
    classifier(pixels).sum().backward()
    assert all(p.grad is not None for p in classifier.head.parameters())
    again = classifiers.build(architecture, 3)
    again.load_state_dict(classifier.state_dict())
    torch.testing.assert_close(again.eval()(pixels), classifier.eval()(pixels))


def test_the_width_is_found_without_changing_the_backbone() -> None:
    """A forward pass in training mode would move the statistics of batch normalisation."""
    torch.manual_seed(3)
    _, classifier = classifiers.create_timm("resnet18", "random", 3, 64, True)
    torch.manual_seed(3)
    plain = timm.create_model("resnet18", num_classes=0)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(classifier.backbone.state_dict()[name], value)
    assert classifier.backbone.training


def test_a_size_that_a_backbone_does_not_take_is_said_and_leaves_nothing(
    blocks: Path, cache_path: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "blocks.yaml"
    text = (blocks / "blocks.yaml").read_text().replace("image_size: 32", "image_size: 50")
    manifest.write_text(text.replace("title:", f"root: {blocks}\n    title:"))
    run = tmp_path / "run"
    given = {"backbone": "halonet26t", "weights": "random", "manifest": manifest, "data_root": blocks, "epochs": 1}
    with pytest.raises(
        AevlpError, match=r"halonet26t cannot take images of 50 x 50 pixels .*image_size. under .recipe"
    ):
        stage_two(cache_path, run, **given)
    assert not run.exists()


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_a_backbone_of_a_fixed_size_keeps_it_whatever_the_manifest_says(name: str) -> None:
    assert timm_backbones.input_size(name, 50) == 224


def test_a_failed_first_epoch_leaves_no_folder_in_the_way(
    cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"

    def broken(*_: object) -> None:
        raise RuntimeError("out of luck")

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "train_epoch", broken)
        with pytest.raises(RuntimeError, match="out of luck"):
            stage_two(cache_path, run)
    assert not run.exists()
    assert stage_two(cache_path, run, epochs=1) == run


def test_a_failure_after_a_saved_epoch_keeps_it(
    cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, through = tmp_path / "run", trainer.train_epoch
    calls: list[int] = []

    def second_fails(*given: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("out of luck")
        through(*given)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "train_epoch", second_fails)
        with pytest.raises(RuntimeError, match="out of luck"):
            stage_two(cache_path, run)
    assert (run / "settings.json").exists() and (run / "best.safetensors").exists()
    assert stage_two(cache_path, run, resume=True) == run


@pytest.mark.parametrize("backbone", ["clip", "linear", "resnet18"])
def test_a_copied_run_labels_images_where_nothing_else_is(
    blocks: Path, tmp_path: Path, backbone: str, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "training"
    shutil.copytree(blocks, there)
    cache = stage_one(there, there / "blocks.h5")
    weights = {"weights": "random"} if backbone == "resnet18" else {}
    run = stage_two(cache, there / "run", backbone=backbone, epochs=1, **weights)
    assert "run holds all that aevlp predict needs" in capsys.readouterr().err
    images = sorted((blocks / "images").iterdir())[:3]
    assert call("predict", run, *images, "--json", "--device", "cpu", "--workers", 0) == 0
    before = json.loads(capsys.readouterr().out)
    shutil.copytree(run, tmp_path / "elsewhere")
    shutil.rmtree(there)
    assert call("predict", tmp_path / "elsewhere", *images, "--json", "--device", "cpu", "--workers", 0) == 0
    assert json.loads(capsys.readouterr().out) == before


def test_a_tower_lies_on_the_disk_once_and_a_damaged_one_is_named(
    blocks: Path, cache_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = (stage_two(cache_path, tmp_path / name, backbone="linear", epochs=1) for name in ("one", "two"))
    assert (one / "tower.safetensors").samefile(two / "tower.safetensors")
    content = bytearray((one / "tower.safetensors").read_bytes())
    content[-5] ^= 1
    (one / "tower.safetensors").write_bytes(bytes(content))
    capsys.readouterr()
    assert call("predict", one, "--workers", 0, "--device", "cpu", blocks / "images" / "00.png") == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "tower.safetensors cannot be read: it is damaged" in error


def test_a_linear_run_without_the_model_says_what_it_lacks(
    blocks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "there"
    shutil.copytree(blocks, there)
    cache = stage_one(there, there / "blocks.h5")
    (there / "tiny-clip.json").unlink()
    capsys.readouterr()
    stage_two(cache, there / "run", backbone="linear", epochs=1)
    shown = capsys.readouterr().err
    assert "is without the image tower of the scoring model, which aevlp predict will need: " in shown
    assert "holds all that" not in shown


def test_a_linear_classifier_is_trained_where_the_images_are_not(
    blocks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "there"
    shutil.copytree(blocks, there)
    cache = stage_one(there, tmp_path / "blocks.h5")
    manifest = tmp_path / "blocks.yaml"
    shutil.copy(there / "blocks.yaml", manifest)
    expected = stage_two(cache, tmp_path / "with", backbone="linear", epochs=2)
    shutil.rmtree(there)
    capsys.readouterr()
    run = stage_two(cache, tmp_path / "without", backbone="linear", epochs=2, manifest=manifest)
    assert "none is opened, the cache is not compared with them" in capsys.readouterr().err
    lines = [
        [{k: v for k, v in json.loads(line).items() if k not in ("seconds", "waiting")} for line in text.splitlines()]
        for text in ((expected / "metrics.jsonl").read_text(), (run / "metrics.jsonl").read_text())
    ]
    assert lines[0] == lines[1]
    for backbone in ("clip", "resnet18"):
        with pytest.raises(AevlpError, match="pass --data-root"):
            stage_two(cache, tmp_path / backbone, backbone=backbone, manifest=manifest)


@pytest.mark.parametrize("gone", [["images/00.png"], ["images/01.png", "images/13.png"], "all"])
def test_a_linear_classifier_is_trained_where_some_images_are_gone(
    blocks: Path, tmp_path: Path, gone: list[str] | str, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "there"
    shutil.copytree(blocks, there)
    cache = stage_one(there, tmp_path / "blocks.h5")
    names = sorted(f"images/{path.name}" for path in (there / "images").iterdir()) if gone == "all" else gone
    for name in names:
        (there / name).unlink()
    capsys.readouterr()
    stage_two(cache, tmp_path / "linear", backbone="linear", epochs=1)
    said = "1 scored image is not in" if len(names) == 1 else f"{len(names)} scored images are not in"
    assert said in capsys.readouterr().err
    with pytest.raises(AevlpError, match=rf"{names[0]}': bring them back"):
        stage_two(cache, tmp_path / "clip", backbone="clip", epochs=1)


def test_a_linear_classifier_is_trained_where_the_folder_of_the_images_is_empty(
    blocks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "there"
    shutil.copytree(blocks, there)
    cache = stage_one(there, tmp_path / "blocks.h5")
    manifest = Path(shutil.move(there / "blocks.yaml", tmp_path / "blocks.yaml"))
    (there / "labels.csv").unlink()
    with pytest.raises(AevlpError, match=r"no .*labels\.csv"):  # the images are there: their labels may have changed
        stage_two(cache, tmp_path / "run", backbone="linear", epochs=1, manifest=manifest)
    shutil.rmtree(there / "images")
    capsys.readouterr()
    run = stage_two(cache, tmp_path / "run", backbone="linear", epochs=1, manifest=manifest)
    assert f"{there} holds none of the images of {cache}, none is opened" in capsys.readouterr().err
    with pytest.raises(AevlpError, match=r"no .*labels\.csv"):
        stage_two(cache, tmp_path / "clip", backbone="clip", epochs=1, manifest=manifest)
    assert call("evaluate", run, "--workers", 0) == 0
    shutil.rmtree(there)
    assert call("evaluate", run, "--workers", 0) == 0


def test_changed_images_are_refused_also_where_none_is_opened(blocks: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    shutil.copytree(blocks, there)
    cache = stage_one(there, tmp_path / "blocks.h5")
    (there / "images" / "00.png").unlink()
    with (there / "images" / "01.png").open("ab") as file:
        file.write(b"more")
    with pytest.raises(AevlpError, match="was made from other files"):
        stage_two(cache, tmp_path / "linear", backbone="linear", epochs=1)


@pytest.fixture
def half_labelled(blocks: Path, tmp_path: Path) -> Path:
    """A cache of blocks of which every second image has no label, and the labels are the observed ones."""
    shutil.copytree(blocks, tmp_path / "half")
    table = tmp_path / "half" / "labels.csv"
    head, *rows = table.read_text().splitlines()
    rows = [row if n % 2 else row.rsplit(",", 1)[0] + "," for n, row in enumerate(rows)]
    table.write_text("\n".join([head, *rows]) + "\n")
    manifest = tmp_path / "half" / "blocks.yaml"
    manifest.write_text(manifest.read_text().replace("simulate: single-positive", "labels: observed"))
    return stage_one(tmp_path / "half", tmp_path / "half.h5", storage="float32")


def test_images_without_a_known_label_train_only(half_labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = open_cache(half_labelled)
    known = (cache.observed != 0).any(axis=1)
    train_part, val, test = splits(cache, 0.2)
    assert known[val.rows].all() and known[test.rows].all()
    pool = np.flatnonzero(cache.split == "train")
    labelled = pool[known[pool]]
    kept, judged = split_train_val(len(labelled), 0.2)
    assert val.rows.tolist() == labelled[judged].tolist()
    assert train_part.rows.tolist() == sorted([*labelled[kept], *pool[~known[pool]]])
    capsys.readouterr()
    stage_two(half_labelled, half_labelled.parent / "run", epochs=1)
    said = capsys.readouterr().err
    assert (
        "8 of 16 images have no known label" in said
        and ", and 2 of them, of the validation and test splits, are left" in said
    )


@pytest.mark.parametrize(("line", "said"), [("", True), ("labels: complete", False), ("labels: observed", False)])
def test_images_without_a_label_are_said_where_nobody_said_that_labels_are_complete(
    blocks: Path, tmp_path: Path, line: str, said: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(blocks, tmp_path / "half")
    table = tmp_path / "half" / "labels.csv"
    head, *rows = table.read_text().splitlines()
    rows = [row if n % 4 else row.rsplit(",", 1)[0] + "," for n, row in enumerate(rows)]
    table.write_text("\n".join([head, *rows]) + "\n")
    manifest = tmp_path / "half" / "blocks.yaml"
    manifest.write_text(manifest.read_text().replace("simulate: single-positive", line))
    stage_one(tmp_path / "half", tmp_path / "half.h5", limit=1)
    assert ("4 of 16 images have no label and are taken to show none" in capsys.readouterr().err) is said


def test_splits_of_full_labels_are_the_published_ones(cache_path: Path) -> None:
    """An image whose full labels are known to be none is judged like any other."""
    cache = open_cache(cache_path)
    pool = np.flatnonzero(cache.split == "train")
    kept, judged = split_train_val(len(pool), 0.2)
    train_part, val, test = splits(cache, 0.2)
    assert train_part.rows.tolist() == pool[kept].tolist()
    assert val.rows.tolist() == pool[judged].tolist()
    assert test.rows.tolist() == np.flatnonzero(cache.split == "test").tolist()


@pytest.mark.parametrize(
    ("backbone", "size"),
    [("clip", 32), ("linear", 32), ("resnet18", 48), ("vit_tiny_patch16_224", 48), ("test_vit3", 48)],
)
def test_settings_say_what_is_really_done(
    cache_path: Path, blocks: Path, tmp_path: Path, backbone: str, size: int
) -> None:
    manifest = tmp_path / "blocks.yaml"
    manifest.write_text((blocks / "blocks.yaml").read_text().replace("image_size: 32", f"image_size: {size}"))
    given = {} if backbone in ("clip", "linear") else {"weights": "random"}
    plan = make_plan(TrainOptions(cache_path, backbone=backbone, manifest=manifest, data_root=blocks, **given))
    settings = settings_of(plan)
    assert settings["precision"] == "float32"
    if backbone in ("clip", "linear"):
        assert settings["recipe"]["image_size"] == size
    else:
        config = timm.models.get_pretrained_cfg(backbone)
        assert config is not None
        assert settings["recipe"]["image_size"] == (config.input_size[1] if config.fixed_input_size else size)


@pytest.mark.parametrize("name", ["labels.csv", "labels.json", "labels.parquet"])
def test_predict_does_not_overwrite(run_path: Path, blocks: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    assert call("predict", run_path, blocks / "images" / "00.png", "--output", tmp_path / name) == 1
    assert (tmp_path / name).read_text() == "mine"
