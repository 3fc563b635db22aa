"""What runs the towers of a CLIP: the same features, whatever it is, of every view once."""

import copy
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import open_clip
import pytest
import torch
from conftest import TINY_CLIP, call, draw_blocks, stage_one
from hypothesis import given, settings
from hypothesis import strategies as st

from aevlp.pipeline.clip import micro_batch as pass_size
from aevlp.pipeline.clip import towers
from aevlp.pipeline.clip.encoder import ClipEncoder, ClipSource
from aevlp.pipeline.clip.image_tower import LastBlock, image_tower_of
from aevlp.pipeline.clip.micro_batch import PROBE, PassSize
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.runtime import compiler
from aevlp.pipeline.score_cache import open_cache

CPU = torch.device("cpu")
VIT = json.dumps(
    {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
    }
)


@pytest.fixture(params=[VIT, TINY_CLIP], ids=["vit", "resnet"])
def encoder(request: pytest.FixtureRequest, tmp_path: Path) -> ClipEncoder:
    path = tmp_path / f"towers-{'vit' if request.param == VIT else 'resnet'}.json"
    path.write_text(request.param)
    return ClipEncoder(ClipSource(str(path), "random"), CPU)


def views(n: int, size: int = 32) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(n))


def by_open_clip(encoder: ClipEncoder, pictures: torch.Tensor, mirrored: bool) -> torch.Tensor:
    """Return what the plain model makes of pixels normalised one by one, in double precision up to the model."""
    scaled = pictures.double() / 255
    mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (encoder.mean, encoder.std))
    pixels = ((scaled - mean) / std).float()
    with torch.no_grad():
        features = encoder.model.encode_image(pixels.flip(-1) if mirrored else pixels)
    return features / features.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize(
    "tower",
    [towers.TORCH, pytest.param(towers.COMPILE, marks=[pytest.mark.slow, pytest.mark.process]), towers.OPENVINO],
)
@pytest.mark.parametrize("mirrored", [False, True])
def test_every_tower_gives_the_plain_models_features(encoder: ClipEncoder, tower: str, mirrored: bool) -> None:
    encoder.use_tower(tower, threads=2)
    for n in (5, 3, 1):  # a compiled one fills the smaller batches up
        found = encoder.encode_views(views(n), mirrored, encoder.mean, encoder.std)
        assert found.shape == (n, 16)
        np.testing.assert_allclose(found, by_open_clip(encoder, views(n), mirrored), atol=1e-5)


def test_the_last_block_of_a_vision_transformer_computes_the_token_that_is_read(encoder: ClipEncoder) -> None:
    parts = [type(part) for part in image_tower_of(encoder.model).modules()]
    assert (LastBlock in parts) == ("vit" in encoder.name)
    assert LastBlock not in [type(part) for part in encoder.model.modules()], "the model itself is left as it is"
    reads_more = copy.deepcopy(encoder.model.visual)
    reads_more.pool_type = "avg"  # the mean of all tokens
    assert image_tower_of(SimpleNamespace(visual=reads_more)) is reads_more


def test_of_a_tower_that_gives_its_tokens_too_the_features_are_taken(tmp_path: Path) -> None:
    config = json.loads(VIT)
    config["custom_text"] = True
    config["vision_cfg"] |= {
        "attentional_pool": True,
        "attn_pooler_heads": 2,
        "attn_pooler_queries": 4,
        "output_tokens": True,
    }
    config["text_cfg"] |= {"embed_cls": True, "output_tokens": True}
    config["multimodal_cfg"] = {**json.loads(VIT)["text_cfg"], "attn_pooler_heads": 2}
    (tmp_path / "towers-coca.json").write_text(json.dumps(config))
    encoder = ClipEncoder(ClipSource(str(tmp_path / "towers-coca.json"), "random"), CPU)
    assert type(encoder.model).__name__ == "CoCa"
    found = encoder.encode_views(views(3), False, encoder.mean, encoder.std)
    np.testing.assert_allclose(found, by_open_clip(encoder, views(3), False), atol=1e-5)


@pytest.mark.parametrize("precision, atol", [("fp16", 2e-3), ("bf16", 16e-3)])  # which has 3 bits less
def test_mixed_precision_changes_cosines_by_its_rounding(tmp_path: Path, precision: str, atol: float) -> None:
    (tmp_path / "towers-mixed.json").write_text(VIT)
    source = ClipSource(str(tmp_path / "towers-mixed.json"), "random")
    mixed, single = (ClipEncoder(source, CPU, p, seed=1) for p in (precision, "fp32"))
    text = torch.from_numpy(single.encode_text(["a cat", "a dog"]))
    text = text / text.norm(dim=-1, keepdim=True)
    cosines = [e.encode_views(views(20), False, e.mean, e.std) @ text.T for e in (mixed, single)]
    assert cosines[0].dtype == torch.float32 and not torch.equal(*cosines)
    np.testing.assert_allclose(*cosines, atol=atol)


@pytest.mark.parametrize(
    "sentences",
    [["a photo of a cat."], ["cat", "a photo of a very long thing"], ["", "a"]],
    ids=["one", "long", "empty"],
)
def test_text_is_computed_to_the_last_token_that_is_used(encoder: ClipEncoder, sentences: list[str]) -> None:
    tokens = open_clip.get_tokenizer(encoder.name)(sentences)
    with torch.no_grad():
        whole = encoder.model.encode_text(tokens)
    seen = []
    encoder.model.transformer.register_forward_hook(lambda m, given, made: seen.append(given[0].shape[1]))
    np.testing.assert_allclose(encoder.encode_text(sentences), whole, atol=2e-6)
    assert seen == [int(tokens.argmax(dim=-1).max()) + 1] and seen[0] <= tokens.shape[1]


@pytest.mark.parametrize("tower", [towers.TORCH, towers.OPENVINO])
def test_stage_one_encodes_each_view_and_flip_once(
    blocks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tower: str
) -> None:
    counted: list[int] = []
    real = ClipEncoder.encode_views

    def counting(self: ClipEncoder, pictures: torch.Tensor, mirrored: bool, *statistics) -> torch.Tensor:
        counted.append((-1 if mirrored else 1) * len(pictures))
        return real(self, pictures, mirrored, *statistics)

    monkeypatch.setattr(ClipEncoder, "encode_views", counting)
    cache = open_cache(stage_one(blocks, tmp_path / "c.h5", tower=tower))
    assert sum(n for n in counted if n > 0) == -sum(n for n in counted if n < 0) == len(cache) * cache.header.views
    assert cache.provenance["tower"].split()[0] == tower


def test_towers_and_resizes_agree_on_the_cosines(blocks: Path, tmp_path: Path) -> None:
    plain, other, fast = (
        open_cache(stage_one(blocks, tmp_path / f"{n}.h5", storage="float32", tower=tower, resize=resize))
        for n, (tower, resize) in enumerate((("torch", "exact"), ("openvino", "exact"), ("openvino", "fast")))
    )
    every = slice(None)
    np.testing.assert_allclose(other.similarity(every), plain.similarity(every), atol=1e-5)
    np.testing.assert_allclose(fast.similarity(every), plain.similarity(every), atol=2e-3)
    assert plain.provenance["resize"].endswith("Pillow") and fast.provenance["resize"].endswith("torch")


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("options", [{}, {"tower": "openvino"}, {"tower": "openvino", "resize": "exact"}])
def test_codes_of_the_scenes_are_those_of_the_plain_path(tmp_path: Path, options: dict) -> None:
    from aevlp.stages.stage_one import pseudolabel

    plain, other = (
        open_cache(pseudolabel.pseudolabel(dataset="scenes", cache=tmp_path / f"{n}.h5", limit=800, **given).path)
        for n, given in enumerate(({"tower": "torch", "resize": "exact"}, options))
    )
    assert (
        np.abs(plain.similarity(slice(None)) - other.similarity(slice(None))).max() <= 1e-3
    )  # a step of half precision
    assert (plain.code(slice(None)) != other.code(slice(None))).mean() < 0.001


@pytest.mark.process
def test_a_cache_goes_on_with_the_tower_and_resize_that_it_was_made_with(tmp_path: Path) -> None:
    blocks = tmp_path / "data"
    draw_blocks(blocks)
    made = stage_one(blocks, tmp_path / "c.h5", tower="openvino", resize="exact")
    before = open_cache(made).provenance
    for name in open_cache(made).ids[:2]:
        path = blocks / "images" / Path(name).name
        path.write_bytes(path.read_bytes() + b"\0")  # of another size, the same picture
    assert call("cache", "append", made) == 0
    after = open_cache(made).provenance
    assert {k: after[k] for k in ("tower", "resize")} == {k: before[k] for k in ("tower", "resize")}


@pytest.mark.parametrize(
    "options, said",
    [
        ({"tower": "steam"}, "--tower: 'steam' is not one of torch, compile, openvino"),
        ({"tower": "openvino", "precision": "bf16"}, r"--tower openvino runs on a CPU in fp32, found cpu in bf16"),
    ],
)
def test_a_tower_that_is_not_there_is_said_before_any_work(blocks: Path, tmp_path: Path, options, said: str) -> None:
    with pytest.raises(AevlpError, match=said):
        stage_one(blocks, tmp_path / "c.h5", **options)
    assert not list(tmp_path.glob("c.h5*"))


def test_what_a_tower_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "which", lambda name: None)
    with pytest.raises(AevlpError, match=r"--tower compile needs a C\+\+ compiler"):
        towers.check(towers.COMPILE, CPU, "fp32")
    monkeypatch.setattr(towers, "find_spec", lambda name: None)
    with pytest.raises(AevlpError, match=r"pip install 'aevlp\[cpu\]'"):
        towers.check(towers.OPENVINO, CPU, "fp32")


@pytest.mark.process
def test_openvino_is_taken_on_a_cpu_where_it_is_installed_and_reports_nothing(tmp_path: Path) -> None:
    """In another process: the tests' own are told not to take it, for they fork."""
    program = (
        "import sys, torch; from aevlp.pipeline.clip import towers; cpu, gpu = torch.device('cpu'), torch.device('cuda');"
        "print(towers.fitting(cpu, 'fp32'), towers.fitting(cpu, 'bf16'), towers.fitting(gpu, 'fp32'));"
        "print(towers.create('openvino', torch.nn.Flatten(), 2, 1)(torch.ones(1, 3, 2, 2)).sum().item())"
    )
    home = {**os.environ, "HOME": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=home)
    assert run.stdout.split() == ["openvino", "torch", "torch", "12.0"]
    assert not list(tmp_path.iterdir()), "files of its telemetry"


def test_an_interrupt_waits_until_openvino_has_taken_the_model(
    encoder: ClipEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino

    convert, done = openvino.convert_model, []

    def interrupted(*given, **named):
        signal.raise_signal(signal.SIGINT)
        done.append(convert(*given, **named))
        return done[0]

    monkeypatch.setattr(openvino, "convert_model", interrupted)
    with pytest.raises(KeyboardInterrupt):
        encoder.use_tower(towers.OPENVINO, threads=1)
    assert done


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 200), st.integers(1, 100), st.integers(1, 100))
def test_passes_are_halved_until_they_fit_and_no_view_is_left_out(n: int, room: int, first: int) -> None:
    """A GPU that holds `room` views, asked for `first` at a time."""
    size = PassSize(torch.device("cuda"), 224)
    size.views = first
    tried: list[int] = []

    def encode(part: torch.Tensor) -> torch.Tensor:
        tried.append(len(part))
        if len(part) > room:
            raise torch.OutOfMemoryError
        return part * 2

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "empty_cache", lambda: None)
        found = size.over(torch.arange(n), encode)
    assert torch.equal(torch.cat(found), 2 * torch.arange(n))
    assert size.views <= first and max(map(len, found)) <= room
    assert sum(t > room for t in tried) <= 7


def test_a_gpu_that_does_not_hold_one_view_is_an_error() -> None:
    size = PassSize(torch.device("cuda"), 224)
    size.views = 1

    def never(part: torch.Tensor) -> None:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        size.over(torch.arange(3), never)


def test_the_first_pass_on_a_gpu_measures_what_a_view_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A view needs 1 MB, and 100 MB are free."""
    allocated = {"now": 7, "peak": 7}
    for name, value in (
        ("reset_peak_memory_stats", lambda device: None),
        ("memory_allocated", lambda device: allocated["now"]),
        ("max_memory_allocated", lambda device: allocated["peak"]),
        ("mem_get_info", lambda device: (100_000_000, 200_000_000)),
    ):
        monkeypatch.setattr(torch.cuda, name, value)
    seen: list[int] = []

    def encode(part: torch.Tensor) -> int:
        seen.append(len(part))
        allocated["peak"] = 7 + 1_000_000 * len(part)
        return len(part)

    size = PassSize(torch.device("cuda"), 224)
    assert sum(size.over(torch.arange(200), encode)) == 200
    assert seen[0] == PROBE and size.views == int(pass_size.GPU_SHARE * 100) and max(seen) == size.views


@pytest.mark.parametrize("image_size, expected", [(224, 8), (448, 8), (64, 64), (112, 32)])
def test_passes_on_a_cpu_are_as_large_as_its_cache_likes(image_size: int, expected: int) -> None:
    size = PassSize(CPU, image_size)
    assert next(len(p) for p in size.over(torch.arange(70), lambda p: p)) == expected


def test_a_tower_that_overflows_is_an_error_and_names_another_precision(
    blocks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overflowing(self: ClipEncoder, pictures: torch.Tensor, *given) -> torch.Tensor:
        return torch.full((len(pictures), 16), torch.nan)

    monkeypatch.setattr(ClipEncoder, "encode_views", overflowing)
    with pytest.raises(
        AevlpError,
        match=r"tiny-clip gives vectors that are not finite in fp32: pass --precision fp32 or, on a GPU, bf16",
    ):
        stage_one(blocks, tmp_path / "c.h5")
