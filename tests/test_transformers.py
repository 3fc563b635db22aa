"""CLIP and SigLIP of Hugging Face transformers: the same features as transformers gives, and what is refused in a line."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from conftest import call, draw_blocks, stage_one, stage_two
from refusals import one_line, refusal
from safetensors.torch import load_file, save_file
from test_clip_source import WORDS, lay_tokenizer

from aevlp.pipeline.clip.libraries import absent_weights, check_image_size, image_tower, load_encoder
from aevlp.pipeline.clip.source import ClipSource
from aevlp.pipeline.files import absent_files as hub
from aevlp.pipeline.score_cache import open_cache
from aevlp.pipeline.training.run_folder import RunFolder
from aevlp.stages.stage_two.options import TrainOptions
from aevlp.stages.stage_two.plan import make_plan

transformers = pytest.importorskip("transformers")

CPU = torch.device("cpu")
SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = {**SIZES, "vocab_size": len(WORDS), "max_position_embeddings": 12, "bos_token_id": 0, "eos_token_id": 9}
VISION = {**SIZES, "image_size": 32, "patch_size": 8}
STATISTICS = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.3, 0.2, 0.1], "resample": 3}
KINDS = ("siglip", "clip")
SENTENCES = ["a photo of a red.", "Blue", "green of a"]


def drawn(kind: str, seed: int = 1) -> Any:
    """Return a small random model; SigLIP 2 of a fixed size is of the same class as SigLIP."""
    torch.manual_seed(seed)
    if kind == "siglip":
        text = {**TEXT, "pad_token_id": 0, "projection_size": 32}
        return transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=VISION)).eval()
    config = transformers.CLIPConfig(text_config={**TEXT, "pad_token_id": 0}, vision_config=VISION, projection_dim=16)
    return transformers.CLIPModel(config).eval()


def lay(folder: Path, kind: str, seed: int = 1, **preprocessing: Any) -> Path:
    """Write a model into a folder as it lies in a repository of the hub."""
    drawn(kind, seed).save_pretrained(folder, safe_serialization=True)
    size = {"height": 32, "width": 32} if kind == "siglip" else {"shortest_edge": 32}
    said = {**STATISTICS, "size": size, **preprocessing}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    lay_tokenizer(folder)
    return folder


def encoder_of(folder: Path, weights: str | None = None, **said: Any) -> Any:
    return load_encoder(ClipSource(f"transformers:{folder}", weights, **said), CPU)


def views(size: int = 32) -> torch.Tensor:
    return torch.randint(0, 256, (3, 3, size, size), generator=torch.manual_seed(0)).byte()


def normalised(size: int = 32) -> torch.Tensor:
    mean, std = (torch.tensor(STATISTICS[f"image_{of}"]).view(3, 1, 1) for of in ("mean", "std"))
    return (views(size) / 255 - mean) / std


def unit(features: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(features, dim=-1).numpy()


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_features_are_those_of_transformers(tmp_path: Path, kind: str) -> None:
    encoder, model = encoder_of(lay(tmp_path / "m", kind)), drawn(kind)
    expected = model.get_image_features(pixel_values=normalised()).pooler_output
    found = encoder.encode_views(views(), False, encoder.mean, encoder.std)
    np.testing.assert_allclose(found.numpy(), unit(expected), atol=1e-5)
    mirrored = model.get_image_features(pixel_values=normalised().flip(-1)).pooler_output
    found = encoder.encode_views(views(), True, encoder.mean, encoder.std)
    np.testing.assert_allclose(found.numpy(), unit(mirrored), atol=1e-5)

    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "m")
    if kind == "siglip":
        lowered = [sentence.lower() for sentence in SENTENCES]
        tokens = tokenizer(lowered, padding="max_length", max_length=12, return_tensors="pt")
        text = model.get_text_features(input_ids=tokens["input_ids"]).pooler_output
    else:
        tokens = tokenizer(SENTENCES, padding=True, return_tensors="pt")
        text = model.get_text_features(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        ).pooler_output
    np.testing.assert_allclose(encoder.encode_text(SENTENCES), text.numpy(), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_scores_are_the_models_logits(tmp_path: Path, kind: str) -> None:
    encoder, model = encoder_of(lay(tmp_path / "m", kind)), drawn(kind)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "m")
    filled = {"padding": "max_length", "max_length": 12} if kind == "siglip" else {"padding": True}
    tokens = tokenizer(["red", "green of blue"], return_tensors="pt", **filled)
    seen = {} if kind == "siglip" else {"attention_mask": tokens["attention_mask"]}
    expected = model(input_ids=tokens["input_ids"], pixel_values=normalised(), **seen).logits_per_image
    text = encoder.encode_classes([["red"], ["green of blue"]])
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    cosines = encoder.encode_views(views(), False, encoder.mean, encoder.std).numpy() @ text.T
    assert (encoder.logits.bias is None) == (kind == "clip")
    found = encoder.logits.scale * cosines + (encoder.logits.bias or 0.0)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_at_another_size_the_tower_is_transformers_own(tmp_path: Path, kind: str) -> None:
    encoder, model = encoder_of(lay(tmp_path / "m", kind)), drawn(kind)
    tower = image_tower(encoder.config, False, 64)
    tower.load_state_dict(encoder.model.visual.state_dict())
    pixels = normalised(64)
    expected = model.get_image_features(pixel_values=pixels, interpolate_pos_encoding=True).pooler_output
    np.testing.assert_allclose(tower.eval()(pixels).numpy(), expected.numpy(), atol=1e-5)
    with one_line("cannot take images of 60 x 60 pixels: its patches are 8 pixels a side"):
        check_image_size(encoder.config, 60)
    check_image_size(encoder.config, 64)


def test_what_is_known_of_its_training(tmp_path: Path) -> None:
    siglip = encoder_of(lay(tmp_path / "siglip", "siglip"))
    assert (siglip.mean, siglip.std) == ((0.5, 0.4, 0.3), (0.3, 0.2, 0.1))
    assert (siglip.trained.said_by, siglip.image_size) == ("preprocessor_config.json", 32)
    assert (siglip.trained.interpolation, siglip.trained.resize_mode, siglip.activation) == (
        "bicubic",
        "squash",
        "gelu",
    )
    clip = encoder_of(lay(tmp_path / "clip", "clip"))
    assert (clip.trained.resize_mode, clip.activation) == ("shortest", "quick_gelu")
    said = encoder_of(tmp_path / "clip", mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    assert (said.mean, said.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    for kind, mean in (("siglip", 0.5), ("clip", 0.48145466)):
        (tmp_path / kind / "preprocessor_config.json").unlink()
        unsaid = encoder_of(tmp_path / kind)
        assert unsaid.mean[0] == mean and unsaid.trained.said_by == "transformers' default"
    with one_line("has the activation quick_gelu by its config.json, and cannot have gelu: leave --activation out"):
        encoder_of(tmp_path / "clip", activation="gelu")


def test_weights_may_be_a_file_shards_or_random(tmp_path: Path) -> None:
    folder, other = lay(tmp_path / "one", "siglip"), lay(tmp_path / "other", "siglip", seed=2)
    state = load_file(other / "model.safetensors")
    of_file = encoder_of(folder, str(other / "model.safetensors"))
    assert all(torch.equal(value, state[key]) for key, value in of_file.model.whole.state_dict().items())
    assert of_file.weights_sha256 == encoder_of(other).weights_sha256 != encoder_of(folder).weights_sha256

    names = sorted(state)
    parts = {"a-1.safetensors": names[:9], "a-2.safetensors": names[9:]}
    for file, keys in parts.items():
        save_file({key: state[key] for key in keys}, folder / file)
    where = {key: file for file, keys in parts.items() for key in keys}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    (folder / "model.safetensors").unlink()
    sharded = encoder_of(folder)
    assert all(torch.equal(value, state[key]) for key, value in sharded.model.whole.state_dict().items())
    (folder / "a-2.safetensors").unlink()
    assert "has lost a-2.safetensors" in refusal(encoder_of, folder)

    random = [encoder_of(other, "random") for _ in range(2)]
    assert random[0].weights_sha256 == random[1].weights_sha256 != encoder_of(other).weights_sha256


def test_what_cannot_be_taken_is_one_line(tmp_path: Path) -> None:
    folder = lay(tmp_path / "m", "siglip")
    config = json.loads((folder / "config.json").read_text())

    def with_config(**changed: Any) -> str:
        (folder / "config.json").write_text(json.dumps({**config, **changed}))
        return refusal(encoder_of, folder)

    assert "is a NaFlex SigLIP 2" in with_config(model_type="siglip2")
    assert "expected a model_type in config.json of clip or siglip, found 'bert'" in with_config(model_type="bert")
    assert "cannot be built" in with_config(vision_config={**VISION, "num_attention_heads": 5})
    other = with_config(vision_config={**VISION, "patch_size": 4})
    assert "does not hold weights of" in other and "of another shape" in other
    assert "missing in it" in with_config(vision_config={**VISION, "num_hidden_layers": 3})
    assert "none of its own" in with_config(vision_config={**VISION, "num_hidden_layers": 1})
    (folder / "config.json").write_text(json.dumps(config))
    with one_line("is longer than the 12 tokens of transformers:"):
        encoder_of(folder).encode_text(["red", "a photo of a red of a photo of a red of a"])
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "has no model.safetensors: weights in other formats could run code" in refusal(encoder_of, folder)
    assert "expected a .safetensors file" in refusal(encoder_of, folder, str(folder / "pytorch_model.bin"))
    (folder / "pytorch_model.bin").rename(folder / "model.safetensors")
    (folder / "model.safetensors").write_bytes(b"not weights")
    assert "cannot be read as safetensors" in refusal(encoder_of, folder)
    (folder / "config.json").unlink()
    assert "has no config.json" in refusal(encoder_of, folder)
    assert "no such folder, and no repository" in refusal(encoder_of, tmp_path / "nowhere")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("left", ["", "tokenizer_config.json", "vocab.json"])
def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path, kind: str, left: str) -> None:
    """Of CLIP transformers makes an empty one instead, by which all class names of a length are the same tokens."""
    folder = lay(tmp_path / "m", kind)
    (folder / "vocab.json").write_text('{"red": 0}')
    for name in {"tokenizer.json", "tokenizer_config.json", "vocab.json"} - {left}:
        (folder / name).unlink()
    said = refusal(encoder_of(folder).encode_text, ["red", "green"])
    assert said.startswith(
        f"transformers:{folder} has no tokenizer, so no prompt can be read: {folder} holds no tokenizer.json"
    )
    assert said.endswith("put tokenizer.json and tokenizer_config.json of the model there")
    assert refusal(absent_weights, ClipSource(f"transformers:{folder}")) == said


@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer_without_its_configuration_is_refused_where_it_needs_it(tmp_path: Path, kind: str) -> None:
    folder = lay(tmp_path / "m", kind)
    (folder / "tokenizer_config.json").unlink()
    with one_line(
        "cannot load the tokenizer of transformers:.*: there is no tokenizer_config.json, which says what kind"
    ):
        encoder_of(folder).encode_text(["red", "of a"])


@pytest.mark.parametrize("kind", KINDS)
def test_classes_that_a_tokenizer_does_not_tell_apart_are_refused(tmp_path: Path, kind: str) -> None:
    encoder = encoder_of(lay(tmp_path / "m", kind))
    with one_line(
        "gives all 2 classes the same text feature, from 'a photo of a xx.' to 'a photo of a yyy.', so no score"
    ):
        encoder.encode_classes([["a photo of a xx."], ["a photo of a yyy."]])
    assert encoder.encode_classes([["a xx"], ["a yyy"], ["a red"]]).shape[0] == 3
    assert encoder.encode_classes([["a red"], ["a red"]]).shape[0] == 2  # the sentences are the same: nothing is amiss
    assert encoder.encode_classes([["a xx"]]).shape[0] == 1


def test_no_code_beside_a_model_is_run(tmp_path: Path) -> None:
    folder, ran = lay(tmp_path / "m", "siglip"), tmp_path / "ran"
    for name, keys in (("config.json", "AutoConfig AutoModel"), ("tokenizer_config.json", "AutoTokenizer")):
        content = json.loads((folder / name).read_text())
        content["auto_map"] = {key: ["mine.Mine", "mine.Mine"] if "Tok" in key else "mine.Mine" for key in keys.split()}
        (folder / name).write_text(json.dumps(content))
    (folder / "mine.py").write_text(f"open({str(ran)!r}, 'w').close()\nfrom transformers import SiglipModel as Mine\n")
    assert encoder_of(folder).encode_text(["red"]).shape == (1, 32)
    assert not ran.exists()


def test_a_repository_is_taken_from_the_local_cache_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub, "get_hf_file_metadata", unreachable)
    source = ClipSource("transformers:someone/tiny")
    absent = absent_weights(source)
    assert absent is not None and absent.source.endswith("someone/tiny/resolve/main/config.json")
    said = refusal(load_encoder, source, CPU)
    assert said.startswith(
        "transformers:someone/tiny: no such folder, and as a repository of the hub: cannot fetch config.json"
    )
    root = tmp_path / "hub" / "models--someone--tiny"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("0" * 40)
    lay(root / "snapshots" / ("0" * 40), "siglip")
    assert absent_weights(source) is None
    assert load_encoder(source, CPU).encode_text(["red"]).shape == (1, 32)
    (root / "snapshots" / ("0" * 40) / "tokenizer.json").unlink()
    monkeypatch.setattr(hub, "answers", lambda *_: False)  # the repository has none either
    assert "in a folder of your own, and pass that as transformers:FOLDER" in refusal(absent_weights, source)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of the blocks, scored by a SigLIP whose folder lies beside their manifest, which names it."""
    data = tmp_path_factory.mktemp("transformers") / "data"
    draw_blocks(data)
    lay(data / "siglip", "siglip")
    text = (data / "blocks.yaml").read_text()
    (data / "blocks.yaml").write_text(
        text.replace("clip: {model: tiny-clip.json, weights: random}", "clip: {model: 'transformers:siglip'}")
    )
    return stage_one(data, data / "c.h5", storage="float32")


def test_a_cache_says_what_scored_it(scored: Path) -> None:
    made = open_cache(scored).provenance
    model = drawn("siglip").requires_grad_(False)
    assert made["clip"]["model"] == "transformers:siglip" and made["clip"]["weights"] is None
    assert made["logits"]["scale"] == pytest.approx(float(model.logit_scale.exp()))
    assert made["logits"]["bias"] == pytest.approx(float(model.logit_bias))
    assert call("cache", "append", scored) == 0
    plan = make_plan(TrainOptions(scored, backbone="linear", policy="sigmoid"))
    assert plan.policy is not None and plan.policy.constants == made["logits"]
    make_plan(TrainOptions(scored, backbone="clip", loss="scpnet"))  # its relation of classes is of this model too


@pytest.mark.parametrize(("backbone", "size"), [("clip", None), ("clip", 48), ("linear", None)])
def test_a_classifier_of_it_labels_images_where_nothing_else_is(
    scored: Path, tmp_path: Path, backbone: str, size: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    run = stage_two(scored, tmp_path / "run", backbone=backbone, image_size=size, epochs=1)
    classifier, architecture, _ = RunFolder(run).load_best()
    assert architecture.size == (size or 32)
    shutil.copytree(run, tmp_path / "alone")
    images = sorted((scored.parent / "images").iterdir())[:2]
    capsys.readouterr()
    assert call("predict", tmp_path / "alone", *images, "--json", "--device", "cpu", "--workers", 0) == 0
    assert len(json.loads(capsys.readouterr().out)["images"]) == 2
    assert call("evaluate", run, "--json", "--device", "cpu", "--workers", 0) == 0
    if backbone == "clip":
        assert classifier.backbone.image_size == (size or 32)


def test_check_knows_it(scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = scored.parent
    assert call("check", "blocks", "--manifest", data / "blocks.yaml") == 0
    other = tmp_path / "other.yaml"
    text = (data / "blocks.yaml").read_text().replace("transformers:siglip", "transformers:nowhere")
    other.write_text(text.replace("title:", f"root: {data}\n    title:"))
    call("check", "blocks", "--manifest", other)
    assert "clip: transformers:nowhere: no such folder" in capsys.readouterr().out


def test_without_transformers_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = lay(tmp_path / "m", "siglip")
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert "need transformers: pip install 'aevlp[transformers]'" in refusal(encoder_of, folder)
