"""An image tower at another size than its own is what open_clip and timm make of the same weights at that size."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import torch
from conftest import call, stage_two
from refusals import one_line, refusal
from timm.layers.pos_embed import resample_abs_pos_embed

from aevlp.pipeline.clip.encoder import ClipEncoder, ClipSource
from aevlp.pipeline.clip.image_size import resize
from aevlp.pipeline.clip.image_tower import without_tokens
from aevlp.pipeline.clip.libraries import check_image_size, image_tower
from aevlp.pipeline.clip.source import registered
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.training import timm_backbones
from aevlp.pipeline.training.classifier import Architecture, build, create_clip, create_timm
from aevlp.pipeline.training.run_folder import RunFolder
from aevlp.stages.stage_two.options import TrainOptions
from aevlp.stages.stage_two.plan import make_plan
from aevlp.stages.stage_two.settings import options_of

CPU = torch.device("cpu")
TEXT = {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
VISIONS: dict[str, dict[str, Any]] = {
    "vit": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "vit-mean": {"image_size": 48, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16, "pool_type": "avg"},
    "coca": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8, "attentional_pool": True}
    | {"attn_pooler_heads": 4, "output_tokens": True},
    "resnet": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 16},
    "timm-vit": {"timm_model_name": "test_vit", "timm_pool": "token", "timm_proj": None, "image_size": 160},
    "timm-convolutions": {
        "timm_model_name": "test_resnet",
        "timm_pool": "avg",
        "timm_proj": "linear",
        "image_size": 160,
    },
}


def config_of(kind: str) -> dict[str, Any]:
    config = {"embed_dim": 16, "vision_cfg": VISIONS[kind], "text_cfg": TEXT}
    if kind == "coca":
        text = {**TEXT, "embed_cls": True, "output_tokens": True}
        config |= {"custom_text": True, "text_cfg": text, "multimodal_cfg": TEXT}
    return config


def drawn(kind: str) -> Any:
    """Return a model of a kind with weights from a fixed seed; those that begin as 0 or 1 are drawn too."""
    torch.manual_seed(2)
    model: Any = open_clip.create_model(registered(config_of(kind)))
    for parameter in model.visual.parameters():
        torch.nn.init.normal_(parameter.data, std=0.2)
    return model.eval()


def pixels(size: int) -> torch.Tensor:
    return torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(size))


@torch.no_grad()
def features(visual: Any, size: int) -> np.ndarray:
    return visual.eval()(pixels(size)).numpy()


@torch.no_grad()
def encoded(model: Any, size: int) -> np.ndarray:
    return model.eval().encode_image(pixels(size), normalize=False).numpy()


def as_open_clip_has_it(kind: str, size: int, folder: Path) -> np.ndarray:
    """Return the features of a model that open_clip builds at a size, from weights of another."""
    state = drawn(kind).state_dict()
    name = "visual.attnpool.positional_embedding"
    if name in state:  # open_clip resizes these of no state, timm's own function does
        grid = (size // 32, size // 32)
        state[name] = resample_abs_pos_embed(state[name][None], list(grid), num_prefix_tokens=1)[0]
    torch.save(state, folder / "weights.pt")
    made: Any = open_clip.create_model(
        registered(config_of(kind)), pretrained=str(folder / "weights.pt"), force_image_size=size
    )
    assert open_clip.get_model_preprocess_cfg(made)["size"] in (size, (size, size))
    return encoded(made, size)


@pytest.mark.parametrize("kind", VISIONS)
def test_at_its_own_size_a_tower_is_open_clips(kind: str) -> None:
    model, size = drawn(kind), VISIONS[kind]["image_size"]
    expected = encoded(model, size)
    tower = image_tower(config_of(kind), False, size)
    tower.load_state_dict(model.visual.state_dict())
    assert np.array_equal(features(tower, size), expected)
    assert np.array_equal(features(resize(without_tokens(model.visual), size), size), expected)


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        ("vit", 64),
        ("vit", 24),
        ("vit-mean", 64),
        ("coca", 64),
        ("resnet", 96),
        ("resnet", 32),
        ("timm-vit", 224),
        ("timm-vit", 96),
        ("timm-convolutions", 128),
    ],
)
def test_at_another_size_a_tower_is_what_open_clip_makes_of_its_weights(kind: str, size: int, tmp_path: Path) -> None:
    expected = as_open_clip_has_it(kind, size, tmp_path)
    resized = resize(without_tokens(drawn(kind).visual), size)
    np.testing.assert_allclose(features(resized, size), expected, rtol=1e-5, atol=1e-6)
    again = image_tower(config_of(kind), False, size)  # as a run builds it, to be filled
    again.load_state_dict(resized.state_dict())
    assert np.array_equal(features(again, size), features(resized, size))
    check_image_size(config_of(kind), size)


def test_positions_are_spread_and_not_cut() -> None:
    """A map that rises from left to right still does at another size, to the same ends; what has no place stays."""
    visual = drawn("vit").visual
    rising = torch.arange(4.0).repeat(4)[:, None].expand(16, 32)
    visual.positional_embedding.data = torch.cat([torch.full((1, 32), 7.0), rising])
    found = resize(visual, 64).positional_embedding.detach()  # type: ignore[union-attr]
    assert found.shape == (65, 32) and (found[0] == 7).all()  # type: ignore[operator]
    grid = found[1:, 0].reshape(8, 8)  # type: ignore[index]
    assert (grid.diff(dim=1) > 0).all() and torch.allclose(grid[0], grid[5])
    assert abs(float(grid.mean()) - 1.5) < 1e-5
    assert visual.grid_size == (8, 8) and visual.image_size == (64, 64)


@pytest.mark.parametrize(
    ("kind", "size", "reason"),
    [
        ("vit", 30, "its patches are 8 pixels a side, expected a multiple of that, such as 24 or 32"),
        ("vit", 5, "such as 8 or 16"),
        (
            "resnet",
            80,
            "the steps of its last feature map are 32 pixels a side, expected a multiple of that, such as 64 or 96",
        ),
        ("timm-vit", 170, "its patches are 16 pixels a side"),
    ],
)
def test_a_size_that_a_tower_does_not_take_is_one_line(kind: str, size: int, reason: str) -> None:
    with one_line(f"the CLIP's image tower cannot take images of {size} x {size} pixels: .*{reason}"):
        check_image_size(config_of(kind), size)
    with one_line(reason):
        resize(drawn(kind).visual, size)


def test_a_tower_of_another_class_says_that_it_cannot() -> None:
    visual = torch.nn.Identity()
    visual.image_size = 32  # type: ignore[assignment]
    with one_line("class Identity, which takes 32 pixels alone"):
        resize(visual, 64)


@pytest.mark.parametrize("kind", ["vit", "coca", "resnet"])
def test_a_classifier_is_built_again_at_its_size(kind: str, tmp_path: Path) -> None:
    (tmp_path / f"{kind}-sized.json").write_text(json.dumps(config_of(kind)))
    encoder = ClipEncoder(ClipSource(str(tmp_path / f"{kind}-sized.json"), "random"), CPU)
    architecture, classifier = create_clip(encoder, 16, 5, 96, (0.5,) * 3, (0.5,) * 3, True)
    assert architecture.size == 96
    assert all(p.requires_grad for p in classifier.parameters())
    again = build(Architecture.from_json(json.loads(json.dumps(architecture.to_json()))), 5)
    again.load_state_dict(classifier.state_dict())
    with torch.no_grad():
        assert torch.equal(again.eval()(pixels(96)), classifier.eval()(pixels(96)))


def test_a_run_at_another_size_is_evaluated_labels_images_and_resumes(
    blocks: Path, cache_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"backbone": "clip", "image_size": 64, "epochs": 2, "image_cache": tmp_path / "images"}
    run = stage_two(cache_path, tmp_path / "run", **options)
    assert "scored at 32 pixels a side and is trained at 64" in capsys.readouterr().err
    assert RunFolder(run).settings()["recipe"]["image_size"] == 64
    assert options_of(RunFolder(run)).image_size == 64
    about = [json.loads(file.read_text()) for file in (tmp_path / "images").glob("*/about.json")]
    assert [of["size"] for of in about] == [64]
    classifier, architecture, _ = RunFolder(run).load_best()
    assert architecture.size == 64
    assert classifier.backbone.attnpool.positional_embedding.shape[0] == 2 * 2 + 1  # type: ignore[union-attr, index]
    assert call("evaluate", run, "--json", "--workers", 0, "--device", "cpu") == 0
    [measured] = [line for line in RunFolder(run).metrics() if "test_map" in line]
    assert json.loads(capsys.readouterr().out)["map"] == pytest.approx(measured["test_map"], abs=1e-6)
    shutil.copytree(run, tmp_path / "alone" / "run")
    given = ("--json", "--workers", 0, "--device", "cpu", blocks / "images" / "00.png")
    assert call("predict", tmp_path / "alone" / "run", *given) == 0
    [found] = json.loads(capsys.readouterr().out)["images"]
    assert found["status"] == "ok" and set(found["probabilities"]) == {"red", "green", "blue"}
    line = refusal(stage_two, cache_path, run, backbone="clip", epochs=2)
    assert "--image-size: 32, not 64" in line


def test_which_size_a_clip_is_trained_at(blocks: Path, cache_path: Path, tmp_path: Path) -> None:
    """The option's; the manifest's where it says one for clip; or the scoring model's."""
    text = (blocks / "blocks.yaml").read_text()
    entries = {
        "own": text,
        "said": text.replace("image_size: 32", "image_size: 96"),
        "unsaid": text.replace("image_size: 32, ", ""),
        "of another": text.replace("backbone: clip, image_size: 32", "backbone: resnet18, image_size: 448"),
    }

    def size(entry: str, image_size: int | None = None) -> int:
        manifest = tmp_path / "blocks.yaml"
        manifest.write_text(entries[entry])
        given = {"manifest": [manifest], "data_root": blocks, "backbone": "clip", "image_size": image_size}
        return make_plan(TrainOptions(cache_path, **given)).recipe["image_size"]

    assert {entry: size(entry) for entry in entries} == {"own": 32, "said": 96, "unsaid": 32, "of another": 32}
    assert {size(entry, 64) for entry in entries} == {64}
    entries["wrong"] = text.replace("image_size: 32", "image_size: 50")
    assert refusal(size, "wrong").startswith("image_size under recipe of the manifest: the CLIP's image tower cannot")
    assert refusal(size, "own", 50).startswith("--image-size: the CLIP's image tower cannot take images of 50 x 50")
    assert size("wrong", 64) == 64


@pytest.mark.parametrize("backbone", ["clip", "linear", "vit_tiny_patch16_224"])
def test_a_wrong_size_is_refused_before_any_image_is_scored(
    blocks: Path, tmp_path: Path, backbone: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "blocks.h5"
    given = ("--manifest", blocks / "blocks.yaml", "--cache", cache, "--backbone", backbone, "--image-size", 50)
    assert call("run", "blocks", *given) == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "image-size" in line and "50" in line
    assert not cache.exists()


def test_a_timm_backbone_of_a_fixed_size_takes_another_where_it_is_asked_for() -> None:
    name = "vit_tiny_patch16_224"
    torch.manual_seed(4)
    expected: Any = timm.create_model(name, num_classes=0)
    expected.set_input_size((96, 96))
    torch.manual_seed(4)
    architecture, classifier = create_timm(name, "random", 3, 96, True)
    assert architecture.size == 96
    assert np.array_equal(features(classifier.backbone, 96), features(expected, 96))
    again = build(architecture, 3)
    again.load_state_dict(classifier.state_dict())
    assert np.array_equal(features(again.backbone, 96), features(expected, 96))
    with pytest.raises(AevlpError, match=r"cannot take images of 100 x 100 pixels \(its patches are 16 .*--image-size"):
        timm_backbones.check_size(name, 100)
    timm_backbones.check_size("resnet18", 100)
