"""How a CLIP is fed: the pixel statistics and the activation that it was trained with, for every model that open_clip knows."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from conftest import TINY_CLIP, call, draw_blocks, stage_one, stage_two
from hypothesis import assume, given
from hypothesis import strategies as st
from open_clip import pretrained
from plain_cosines import plain_cosines
from safetensors.torch import save_file

from aevlp.pipeline.clip.as_trained import as_trained
from aevlp.pipeline.clip.encoder import ClipEncoder
from aevlp.pipeline.clip.source import ClipSource, find_model, find_tag
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.manifest import pixel_statistics
from aevlp.pipeline.manifest.load import load_manifest
from aevlp.pipeline.score_cache import ScoreCache, open_cache
from aevlp.pipeline.scoring.recipe import Recipe
from aevlp.pipeline.training.run_folder import RunFolder
from aevlp.stages.cache_origin import scoring_encoder
from aevlp.stages.caches import inspect, update

CPU = torch.device("cpu")
MODELS = sorted({model for model, _ in open_clip.list_pretrained()})
OPENAI = (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
MOBILE = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def tags(model: str) -> dict[str, dict[str, Any]]:
    """Return what open_clip's own table says of each tag of a model."""
    return {tag: open_clip.get_pretrained_cfg(model, tag) for name, tag in open_clip.list_pretrained() if name == model}


def statistics(said: dict[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(said["mean"]), tuple(said["std"])


def quick(model: str, said: dict[str, Any]) -> bool:
    config = open_clip.get_model_config(model)
    return bool(config and config.get("quick_gelu")) or bool(said.get("quick_gelu"))


def found(source: ClipSource):
    model = find_model(source.model)
    return as_trained(model, source, find_tag(model, source.weights))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that stands for weights; nothing lies beside it."""
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    path.write_bytes(b"")
    return path


def test_openais_statistics_are_open_clips_default() -> None:
    assert pixel_statistics.OPENAI == OPENAI


def test_every_tag_has_its_own_statistics_and_activation() -> None:
    others = 0
    for model in MODELS:
        for tag, said in tags(model).items():
            trained = found(ClipSource(model, tag))
            assert (trained.mean, trained.std) == statistics(said)
            assert trained.activation == ("quick_gelu" if quick(model, said) else "gelu")
            assert (trained.interpolation, trained.resize_mode) == (said["interpolation"], said["resize_mode"])
            assert trained.said_by == f"tag {tag}"
            others += statistics(said) != OPENAI
    assert others > 40  # the table holds what this is about


def test_a_file_has_what_all_tags_of_its_model_say_and_asks_where_they_differ(file: Path) -> None:
    asked = set()
    for model in MODELS:
        of_tags = tags(model)
        kinds = {statistics(said) for said in of_tags.values()}
        activations = {quick(model, said) for said in of_tags.values()}
        if len(kinds) == len(activations) == 1:
            trained = found(ClipSource(model, str(file)))
            assert (trained.mean, trained.std) == kinds.pop()
            assert (trained.activation == "quick_gelu") == activations.pop()
            assert trained.said_by == f"all tags of {model}"
            continue
        asked.add(model)
        with pytest.raises(AevlpError) as error:
            found(ClipSource(model, str(file)))
        text = str(error.value)
        assert "\n" not in text and all(tag in text for tag in of_tags)
        assert ("--mean" in text) == (len(kinds) > 1) and ("--activation" in text) == (len(activations) > 1)
    assert asked == {"ViT-B-16", "ViT-B-32", "ViT-L-14", "ViT-H-14", "ViT-bigG-14"}


@pytest.mark.parametrize("model", ["ViT-B-16", "ViT-B-32", "ViT-L-14", "ViT-H-14", "ViT-bigG-14"])
@pytest.mark.parametrize("activation", ["gelu", "quick_gelu"])
def test_what_is_asked_for_can_be_said(file: Path, model: str, activation: str) -> None:
    trained = found(ClipSource(model, str(file), *HALF, activation=activation))
    assert (trained.mean, trained.std, trained.said_by, trained.activation) == (*HALF, "--mean/--std", activation)


@pytest.mark.parametrize("model", ["ViT-B-32-quickgelu", "ViT-L-14-quickgelu", "ViT-bigG-14-quickgelu"])
def test_the_name_of_a_model_may_say_its_activation(file: Path, model: str) -> None:
    assert found(ClipSource(model, str(file))).activation == "quick_gelu"


def test_one_of_two_that_are_asked_for_is_not_enough(file: Path) -> None:
    with pytest.raises(AevlpError) as error:
        found(ClipSource("ViT-L-14", str(file), activation="gelu"))
    assert "--mean 0.5,0.5,0.5 --std 0.5,0.5,0.5 (laion2b_s32b_b82k)" in str(error.value)
    assert "--activation" not in str(error.value)
    with pytest.raises(AevlpError, match=r"--activation .* quick_gelu \(openai, .* or gelu \(laion400m_e31, "):
        found(ClipSource("ViT-L-14", str(file), *HALF))


@pytest.mark.parametrize("weights", ["random", "file"])
@pytest.mark.parametrize("model", ["ViT-S-32", "coca_base", "ViT-M-16"])
def test_a_model_without_tags_is_fed_as_openais_and_says_that_this_is_assumed(
    file: Path, weights: str, model: str
) -> None:
    trained = found(ClipSource(model, str(file) if weights == "file" else "random"))
    assert (trained.mean, trained.std, trained.said_by) == (*OPENAI, "assumed")
    assert (trained.interpolation, trained.resize_mode) == (None, None)


@pytest.mark.slow
def test_a_mobileclip_from_a_file_is_fed_as_it_was_trained(tmp_path: Path) -> None:
    model = open_clip.create_model("MobileCLIP-S1", pretrained_image=False, pretrained_text=False)
    torch.save(model.state_dict(), tmp_path / "mobileclip_s1.pt")
    encoder = ClipEncoder(ClipSource("MobileCLIP-S1", str(tmp_path / "mobileclip_s1.pt")), CPU)
    assert (encoder.mean, encoder.std, encoder.activation) == (*MOBILE, "gelu")


def three(number: st.SearchStrategy[float]) -> st.SearchStrategy[list[float]]:
    return st.lists(number, min_size=3, max_size=3)


@given(three(st.floats(0, 1)), three(st.floats(0, 1, exclude_min=True)))
def test_statistics_are_three_numbers_each_for_values_between_0_and_1(mean: list[float], std: list[float]) -> None:
    assert pixel_statistics.checked(mean, std, ("m", "s")) == (tuple(mean), tuple(std))


ANY_NUMBERS = st.lists(st.floats() | st.floats(0, 1), min_size=2, max_size=4)


@given(ANY_NUMBERS, ANY_NUMBERS)
def test_other_statistics_are_refused(mean: list[float], std: list[float]) -> None:
    good = len(mean) == len(std) == 3 and all(0 <= n <= 1 for n in mean) and all(0 < n <= 1 for n in std)
    assume(not good)
    with pytest.raises(AevlpError, match=r"^[ms] must be three numbers"):
        pixel_statistics.checked(mean, std, ("m", "s"))


@given(st.tuples(*[st.floats(0.001, 1)] * 3))
def test_statistics_as_they_are_written_are_read_as_they_were(numbers: tuple[float, ...]) -> None:
    np.testing.assert_allclose(pixel_statistics.parsed(pixel_statistics.written(numbers)), numbers, rtol=1e-7)


# A tiny model in the place of a large one: its file, and tags of it in open_clip's table.


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Blocks and weights of their CLIP as a file in a folder of its own, that a test may change."""
    draw_blocks(tmp_path / "data")
    (tmp_path / "weights").mkdir()
    encoder = ClipEncoder(ClipSource(str(tmp_path / "data" / "tiny-clip.json"), "random"), CPU, seed=3)
    save_file({k: v.clone() for k, v in encoder.model.state_dict().items()}, tmp_path / "weights" / "tiny.safetensors")
    return tmp_path / "data"


def tiny_file(data: Path) -> str:
    return str(data.parent / "weights" / "tiny.safetensors")


def entry(mean: Any = OPENAI[0], std: Any = OPENAI[1], **more: Any) -> dict[str, Any]:
    return {
        "url": "",
        "hf_hub": "",
        "mean": mean,
        "std": std,
        "interpolation": "bicubic",
        "resize_mode": "shortest",
        **more,
    }


def scored(data: Path, name: str = "c.h5", **options: Any) -> ScoreCache:
    given = {"weights": tiny_file(data), "storage": "float32", **options}
    return open_cache(stage_one(data, data.parent / name, **given))


def by_plain_loop(data: Path, cache: ScoreCache, mean: Any, std: Any, quick_gelu: bool = False) -> np.ndarray:
    """Return the cosines of one image, of a model that open_clip itself has built."""
    model: Any = open_clip.create_model("tiny-clip", pretrained=tiny_file(data), force_quick_gelu=quick_gelu).eval()
    return plain_cosines(data, str(cache.paths[1]), cache.prompts, 2, mean, std, model)


@pytest.mark.parametrize("of_tags", [MOBILE, HALF, ((0.48, 0.45, 0.4), (0.229, 0.224, 0.225))])
@pytest.mark.parametrize("quick_gelu", [False, True])
def test_cosines_of_a_file_are_those_of_its_own_preprocessing(
    data: Path, of_tags: Any, quick_gelu: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    more = {"quick_gelu": True} if quick_gelu else {}
    monkeypatch.setitem(
        pretrained._PRETRAINED, "tiny-clip", {"one": entry(*of_tags, **more), "two": entry(*of_tags, **more)}
    )
    cache = scored(data)
    expected = by_plain_loop(data, cache, *of_tags, quick_gelu=quick_gelu)
    np.testing.assert_allclose(cache.similarity([1])[0], expected, atol=1e-5)
    assert np.abs(expected - by_plain_loop(data, cache, *OPENAI)).max() > 1e-4  # it matters
    made = cache.provenance
    mean, std = of_tags
    assert made["pixel_statistics"] == {"mean": list(mean), "std": list(std), "source": "all tags of tiny-clip"}
    assert made["activation"] == ("quick_gelu" if quick_gelu else "gelu")
    assert (made["clip"]["interpolation"], made["clip"]["resize_mode"]) == ("bicubic", "shortest")
    said = capsys.readouterr().err
    assert "fed as all tags of tiny-clip say" in said and "assumed" not in said
    assert "(its own preprocessing: bicubic, shortest side, then cropped)" in said


def test_the_command_asks_where_tags_differ_and_takes_the_answer(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    two = {"one": entry(*HALF), "two": entry(*MOBILE, quick_gelu=True)}
    monkeypatch.setitem(pretrained._PRETRAINED, "tiny-clip", two)
    cache = data.parent / "c.h5"
    command = ["pseudolabel", "--dataset", "blocks", "--manifest", data / "blocks.yaml", "--weights", tiny_file(data)]
    command += ["--cache", cache, "--workers", 0]
    assert call(*command) == 1
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "--mean 0.5,0.5,0.5 --std 0.5,0.5,0.5 (one) or --mean 0,0,0 --std 1,1,1 (two)" in error
    assert "gelu (one) or quick_gelu (two)" in error and not cache.exists()
    assert call(*command, "--mean", "0,0,0", "--std", "1,1,1", "--activation", "quick_gelu") == 0
    made = open_cache(cache).provenance
    assert made["pixel_statistics"] == {"mean": [0, 0, 0], "std": [1, 1, 1], "source": "--mean/--std"}
    assert made["activation"] == "quick_gelu"
    capsys.readouterr()
    inspect.show(inspect.inspect(cache))
    assert "mean 0,0,0, std 1,1,1 (--mean/--std)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--mean", "0.5,0.5,0.5"], "--mean without --std"),
        (["--std", "0.5,0.5,0.5"], "--std without --mean"),
        (["--mean", "0.5,0.5", "--std", "0.5,0.5,0.5"], "--mean must be three numbers"),
        (["--mean", "123.7,116.3,103.5", "--std", "58.4,57.1,57.4"], "divide those for 0 to 255 by 255"),
        (
            ["--mean", "0.5;0.5;0.5", "--std", "0.5,0.5,0.5"],
            "three numbers with commas, such as 0.5,0.5,0.5, found",
        ),
        (["--mean", "0,0,0", "--std", "0,0,0"], "--std must be three numbers above 0"),
        (["--mean", "nan,0,0", "--std", "1,1,1"], "--mean must be three numbers"),
        (["--mean", "0,0,0", "--std", "1,1,1", "--compat", "published"], "ImageNet's under --compat published"),
    ],
)
def test_mistakes_are_one_line(
    blocks: Path, tmp_path: Path, given: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    command = [
        "pseudolabel",
        "--dataset",
        "blocks",
        "--manifest",
        blocks / "blocks.yaml",
        "--cache",
        tmp_path / "no.h5",
    ]
    assert call(*command, *given) == 1
    *_, error = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ") and message in error


def test_another_activation_is_wrong_usage(capsys: pytest.CaptureFixture) -> None:
    assert call("pseudolabel", "--dataset", "scenes", "--activation", "relu") == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("mean: [0.5, 0.5, 0.5]", "mean without std"),
        ("mean: [0, 0], std: [1, 1, 1]", "mean must be three numbers"),
        ("mean: 0.5, std: 0.5", "mean must be three numbers"),
        ("mean: [0, 0, 0], std: [1, 1, x]", "std must be three numbers"),
        ("activation: relu", "gelu"),
    ],
)
def test_mistakes_in_a_manifest_are_named(tmp_path: Path, line: str, message: str) -> None:
    draw_blocks(tmp_path / "data")
    manifest = tmp_path / "data" / "blocks.yaml"
    manifest.write_text(manifest.read_text().replace("weights: random}", f"weights: random, {line}}}"))
    with pytest.raises(AevlpError, match=f"blocks.clip.*{message}"):
        load_manifest(manifest)


def test_statistics_of_the_manifest_are_those_of_its_own_weights_alone(
    data: Path, capsys: pytest.CaptureFixture
) -> None:
    manifest = data / "blocks.yaml"
    own = f"weights: {tiny_file(data)}, mean: [0, 0, 0], std: [1, 1, 1], activation: quick_gelu}}"
    manifest.write_text(manifest.read_text().replace("weights: random}", own))
    cache = scored(data, weights=None)
    assert cache.provenance["pixel_statistics"] == {
        "mean": [0, 0, 0],
        "std": [1, 1, 1],
        "source": "clip of the manifest",
    }
    np.testing.assert_allclose(
        cache.similarity([1])[0], by_plain_loop(data, cache, *MOBILE, quick_gelu=True), atol=1e-5
    )
    assert "pixel statistics" not in capsys.readouterr().err
    other = scored(data, "other.h5", weights="random").provenance
    assert (other["pixel_statistics"]["source"], other["activation"]) == ("assumed", "gelu")


def lay_config_beside(data: Path, **changes: Any) -> None:
    preprocessing = {"mean": HALF[0], "std": HALF[1], "interpolation": "bilinear", "resize_mode": "squash"}
    config = {"model_cfg": json.loads(TINY_CLIP), "preprocess_cfg": preprocessing, **changes}
    (data.parent / "weights" / "open_clip_config.json").write_text(json.dumps(config))


def test_a_config_beside_the_file_comes_before_the_tags(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    two = {"one": entry(*OPENAI), "two": entry(*MOBILE, quick_gelu=True)}
    monkeypatch.setitem(pretrained._PRETRAINED, "tiny-clip", two)
    lay_config_beside(data)
    cache = scored(data)
    half = {"mean": [0.5] * 3, "std": [0.5] * 3, "source": "preprocess_cfg of open_clip_config.json"}
    assert (cache.provenance["pixel_statistics"], cache.provenance["activation"]) == (half, "gelu")
    np.testing.assert_allclose(cache.similarity([1])[0], by_plain_loop(data, cache, *HALF), atol=1e-5)
    assert "own preprocessing" not in capsys.readouterr().err  # it is how views are made
    lay_config_beside(data, model_cfg={**json.loads(TINY_CLIP), "quick_gelu": True})
    made = scored(data, "quick.h5").provenance
    assert (made["pixel_statistics"], made["activation"]) == (half, "quick_gelu")


@pytest.mark.parametrize("key", ["embed_dim", "vision_cfg", "text_cfg"])
def test_a_config_of_another_model_beside_the_file_says_nothing_of_it(data: Path, key: str) -> None:
    other = json.loads(TINY_CLIP)
    other[key] = 32 if key == "embed_dim" else {**other[key], "width": 32}
    lay_config_beside(data, model_cfg=other)
    assert scored(data).provenance["pixel_statistics"]["source"] == "assumed"


@pytest.mark.parametrize("preprocessing", [None, {}, {"interpolation": "bicubic"}])
def test_a_config_that_says_no_statistics_leaves_them_to_be_assumed(
    data: Path, preprocessing: Any, capsys: pytest.CaptureFixture
) -> None:
    lay_config_beside(data, preprocess_cfg=preprocessing)
    made = scored(data).provenance["pixel_statistics"]
    assert made == {"mean": list(OPENAI[0]), "std": list(OPENAI[1]), "source": "assumed"}
    assert "assumed are OpenAI's, mean 0.48145466,0.4578275,0.40821073" in capsys.readouterr().err


@pytest.mark.parametrize(
    "preprocessing", [{"mean": [0.5] * 3}, {"mean": 0.5, "std": 0.5}, {"mean": [124] * 3, "std": [58] * 3}]
)
def test_statistics_in_a_config_that_cannot_be_are_refused(data: Path, preprocessing: Any) -> None:
    lay_config_beside(data, preprocess_cfg=preprocessing)
    with pytest.raises(AevlpError, match=r"preprocess_cfg\.(mean|std) of open_clip_config\.json"):
        scored(data)


def test_published_rules_feed_imagenets_statistics_and_ask_for_none(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(pretrained._PRETRAINED, "tiny-clip", {"one": entry(*HALF), "two": entry(*MOBILE)})
    made = scored(data, compat="published").provenance["pixel_statistics"]
    assert made == {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "source": "--compat published"}
    assert "statistics" not in capsys.readouterr().err


@pytest.mark.parametrize("backbone", ["clip", "linear"])
def test_what_was_said_once_holds_for_all_that_is_made_of_the_cache(
    data: Path, backbone: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Tags that differ would have every later command ask again, or take another activation."""
    two = {"one": entry(*HALF), "two": entry(*OPENAI, quick_gelu=True)}
    monkeypatch.setitem(pretrained._PRETRAINED, "tiny-clip", two)
    options: Any = {"mean": MOBILE[0], "std": MOBILE[1], "activation": "quick_gelu", "store": "embedding"}
    cache = scored(data, **options)
    encoder = scoring_encoder(cache.provenance, data, CPU)
    assert (encoder.mean, encoder.std, encoder.activation) == (*MOBILE, "quick_gelu")
    run = stage_two(cache.path, data.parent / "run", backbone=backbone)
    _, architecture, description = RunFolder(run).load_best()
    assert (architecture.mean, architecture.std) == MOBILE
    assert scoring_encoder(description, data, CPU).activation == "quick_gelu"
    assert architecture.quick_gelu == (backbone == "clip")
    assert call("predict", run, data / "images", "--workers", 0) == 0
    table = data / "labels.csv"
    shutil.copy(data / "images" / "03.png", data / "images" / "new.png")
    table.write_text(table.read_text() + "images/new.png,train,red\n")
    capsys.readouterr()
    update.show(update.append(cache.path, workers=0))
    assert "statistics" not in capsys.readouterr().err
    longer = open_cache(cache.path)
    assert longer.provenance["pixel_statistics"] == cache.provenance["pixel_statistics"]
    rows = {name: row for row, name in enumerate(longer.ids.tolist())}
    both = longer.similarity([rows["images/03.png"], rows["images/new.png"]])
    np.testing.assert_allclose(both[0], both[1], atol=1e-6)


def of_before(provenance: dict[str, Any]) -> dict[str, Any]:
    """Return a cache's provenance as it was before statistics had a source."""
    clip = {key: provenance["clip"][key] for key in ("model", "weights", "config")}
    pixels = {key: provenance["pixel_statistics"][key] for key in ("mean", "std")}
    return {**provenance, "clip": clip, "pixel_statistics": pixels}


def test_caches_of_before_are_gone_on_with(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    provenance = Recipe.provenance
    with monkeypatch.context() as patch:
        patch.setattr(Recipe, "provenance", lambda recipe: of_before(provenance(recipe)))
        old = scored(data, weights="random")
    assert "source" not in old.provenance["pixel_statistics"]
    stage_one(data, old.path, storage="float32", weights="random")  # nothing to do
    new = scored(data, "new.h5", weights="random")
    assert call("cache", "diff", old.path, new.path) == 0
    table = data / "labels.csv"
    shutil.copy(data / "images" / "03.png", data / "images" / "new.png")
    table.write_text(table.read_text() + "images/new.png,train,red\n")
    update.show(update.append(old.path, workers=0))
    assert open_cache(old.path).provenance["pixel_statistics"]["source"] == "not recorded"


def test_runs_of_before_are_fed_as_they_were(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then a file had the activation of its model's name, whatever the tags say, and nothing asked."""
    made = of_before(scored(data).provenance)
    description = {key: made[key] for key in ("clip", "weights_sha256", "seed")}
    two = {"one": entry(*HALF), "two": entry(*MOBILE, quick_gelu=True)}
    for of_tags in ({"one": entry(*MOBILE, quick_gelu=True)}, two):
        monkeypatch.setitem(pretrained._PRETRAINED, "tiny-clip", of_tags)
        assert scoring_encoder(description, data, CPU).activation == "gelu"


def test_the_packaged_scenes_say_how_their_clip_was_trained() -> None:
    clip = load_manifest()["scenes"].clip
    assert (clip.mean, clip.std) == OPENAI
    source = ClipSource(**clip.model_dump()).located(load_manifest()["scenes"].manifest_path.parent)
    encoder = ClipEncoder(source, CPU)
    assert encoder.trained.said_by == "--mean/--std"
