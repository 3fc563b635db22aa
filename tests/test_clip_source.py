"""A CLIP as the Hugging Face hub has it: a configuration, a folder, or a repository, its weights and its tokenizer."""

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import open_clip
import pytest
import torch
from conftest import TINY_CLIP, call, draw_blocks, stage_one, stage_two
from safetensors.torch import save_file

from aevlp.pipeline.clip.encoder import ClipEncoder, absent_weights
from aevlp.pipeline.clip.source import ClipSource
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.files import absent_files as hub
from aevlp.pipeline.score_cache import ScoreCache, open_cache
from aevlp.stages.cache_origin import scoring_encoder
from aevlp.stages.data import check
from aevlp.stages.experiments import reproduce

CPU = torch.device("cpu")
REPOSITORY = "someone/tiny-clip"
PREPROCESSING = {"mean": [0.5, 0.4, 0.3], "std": [0.3, 0.2, 0.1], "interpolation": "bicubic", "resize_mode": "squash"}
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def lay(folder: Path, name: str = WEIGHTS[0], quick_gelu: bool = False, seed: int = 1, **text: Any) -> Path:
    """Write a CLIP into a folder as it lies in a repository of the hub."""
    config = json.loads(TINY_CLIP)
    config["text_cfg"] |= text
    if quick_gelu:
        config["quick_gelu"] = True
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": PREPROCESSING}))
    torch.manual_seed(seed)
    state = open_clip.create_model(f"local-dir:{folder}", load_weights=False).state_dict()
    if name.endswith(".safetensors"):
        save_file(state, folder / name)
    else:
        torch.save(state, folder / name)
    return folder


def features(encoder: ClipEncoder, pixels: torch.Tensor, sentences: list[str]) -> tuple[np.ndarray, np.ndarray]:
    views = (pixels * 255).byte()
    return encoder.encode_views(views, False, encoder.mean, encoder.std).numpy(), encoder.encode_text(sentences)


def assert_as_open_clip(encoder: ClipEncoder, folder: Path) -> None:
    """Compare with open_clip's own reading of the folder: preprocessing, weights, activation and tokenizer."""
    made: Any = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model, _, preprocess = made
    normalize = preprocess.transforms[-1]
    assert (encoder.mean, encoder.std) == (tuple(normalize.mean), tuple(normalize.std))
    pixels = torch.rand(3, 3, 32, 32, generator=torch.manual_seed(0)).mul(255).byte() / 255
    sentences = ["a photo of a red.", "blue"]
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(sentences)
    with torch.no_grad():
        images = model.eval().encode_image(normalize(pixels), normalize=True).numpy()
        texts = model.encode_text(tokens).numpy()
    found = features(encoder, pixels, sentences)
    np.testing.assert_allclose(found[0], images, atol=1e-5)
    np.testing.assert_allclose(found[1], texts, atol=1e-5)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    draw_blocks(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, and nobody who asks twice."""
    asked: list[str] = []

    def unreachable(url: str, timeout: float) -> None:
        assert not asked and timeout <= 10
        asked.append(url)
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(hub, "get_hf_file_metadata", unreachable)
    monkeypatch.setattr(hub, "hf_hub_download", lambda *_: pytest.fail("a download was begun"))


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty local cache of the hub."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    return folder


def snapshot(hub_cache: Path) -> Path:
    """Return the folder in the hub's local cache where the files of the repository lie."""
    root = hub_cache / f"models--{REPOSITORY.replace('/', '--')}"
    (root / "refs").mkdir(parents=True, exist_ok=True)
    (root / "refs" / "main").write_text("0" * 40)
    return root / "snapshots" / ("0" * 40)


def scored(data: Path, clip: object, weights: object = None, name: str = "c.h5", **options: Any) -> ScoreCache:
    given = {"clip": str(clip), "weights": None if weights is None else str(weights), "storage": "float32", **options}
    return open_cache(stage_one(data, data.parent / name, **given))


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("quick_gelu", [False, True])
@pytest.mark.parametrize("form", ["local-dir:{}", "{}/open_clip_config.json"])
def test_a_folder_is_read_as_open_clip_reads_it(tmp_path: Path, name: str, quick_gelu: bool, form: str) -> None:
    folder = lay(tmp_path / "clip", name, quick_gelu)
    encoder = ClipEncoder(ClipSource(form.format(folder)), CPU)
    assert_as_open_clip(encoder, folder)
    assert (encoder.mean, encoder.std) == (tuple(PREPROCESSING["mean"]), tuple(PREPROCESSING["std"]))
    assert encoder.activation == ("quick_gelu" if quick_gelu else "gelu")
    assert encoder.trained.said_by == "preprocess_cfg of open_clip_config.json"
    assert (encoder.trained.interpolation, encoder.trained.resize_mode) == ("bicubic", "squash")


def test_a_repository_in_the_local_cache_needs_no_network(hub_cache: Path, offline: None) -> None:
    folder = lay(snapshot(hub_cache))
    assert_as_open_clip(ClipEncoder(ClipSource(f"hf-hub:{REPOSITORY}"), CPU), folder)
    assert absent_weights(ClipSource(f"hf-hub:{REPOSITORY}")) is None


@pytest.mark.parametrize("form", ["local-dir:{}", "{}/open_clip_config.json", "hf-hub:"])
def test_weights_may_be_others(tmp_path: Path, hub_cache: Path, offline: None, form: str) -> None:
    folder = lay(snapshot(hub_cache) if form == "hf-hub:" else tmp_path / "clip")
    other = lay(tmp_path / "other", seed=2)
    clip = f"hf-hub:{REPOSITORY}" if form == "hf-hub:" else form.format(folder)
    assert_as_open_clip(ClipEncoder(ClipSource(clip, str(other / WEIGHTS[0])), CPU), other)
    (folder / WEIGHTS[0]).unlink()  # they need not be there then
    assert_as_open_clip(ClipEncoder(ClipSource(clip, str(other / WEIGHTS[0])), CPU), other)
    random = ClipEncoder(ClipSource(clip, "random"), CPU)
    assert random.mean == tuple(PREPROCESSING["mean"])


def test_safetensors_come_before_pickles(tmp_path: Path) -> None:
    folder = lay(tmp_path / "clip", WEIGHTS[1], seed=1)
    lay(folder, WEIGHTS[0], seed=2)
    other = lay(tmp_path / "other", WEIGHTS[0], seed=2)
    assert_as_open_clip(ClipEncoder(ClipSource(f"local-dir:{folder}"), CPU), other)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["local-dir:{}", "{}/open_clip_config.json"])
def test_both_stages_and_a_prediction(data: Path, form: str, capsys: pytest.CaptureFixture) -> None:
    folder = lay(data.parent / "clip", quick_gelu=True)
    cache = scored(data, form.format(folder))
    assert "Nothing says" not in capsys.readouterr().err
    made = cache.provenance
    assert (made["clip"]["weights"], made["activation"]) == (None, "quick_gelu")
    assert made["pixel_statistics"]["mean"] == PREPROCESSING["mean"]
    assert_as_open_clip(scoring_encoder(made, data, CPU), folder)
    for backbone in ("clip", "linear"):
        run = stage_two(cache.path, data.parent / f"run-{backbone}", backbone=backbone)
        assert call("predict", run, data / "images" / "00.png", "--workers", 0) == 0
    assert call("inspect", cache.path) == 0
    assert "its own (SHA-256" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("clip", "folder"),
    [
        pytest.param("model: local-dir:clip", "clip", marks=pytest.mark.slow),
        ("model: 'local-dir:models/clip'", "models/clip"),
        pytest.param("model: clip/open_clip_config.json", "clip", marks=pytest.mark.slow),
        ("model: clip/open_clip_config.json, weights: clip/open_clip_model.safetensors", "clip"),
    ],
)
def test_a_manifest_names_them_relative_to_itself(data: Path, clip: str, folder: str) -> None:
    manifest = data / "blocks.yaml"
    manifest.write_text(manifest.read_text().replace("model: tiny-clip.json, weights: random", clip))
    lay(data / folder)
    cache = open_cache(stage_one(data, data.parent / "c.h5"))
    assert_as_open_clip(scoring_encoder(cache.provenance, data, CPU), data / folder)
    assert call("check", manifest) == 0
    (data / folder / WEIGHTS[0]).unlink()
    assert call("check", manifest) == 1


def test_a_plain_configuration_may_say_its_preprocessing_too(tmp_path: Path) -> None:
    plain = tmp_path / "with-preprocessing.json"
    plain.write_text(json.dumps({**json.loads(TINY_CLIP), "preprocess_cfg": PREPROCESSING}))
    encoder = ClipEncoder(ClipSource(str(plain), "random"), CPU)
    assert (encoder.name, encoder.mean) == ("with-preprocessing", tuple(PREPROCESSING["mean"]))


@pytest.mark.parametrize("weights", [None, "random"])
def test_without_a_network_the_files_are_named_at_once(
    data: Path, hub_cache: Path, offline: None, weights: str | None, capsys: pytest.CaptureFixture
) -> None:
    command = [
        "pseudolabel",
        "--dataset",
        "blocks",
        "--manifest",
        data / "blocks.yaml",
        "--clip",
        f"hf-hub:{REPOSITORY}",
    ]
    assert call(*command, *(["--weights", weights] if weights else [])) == 1
    *_, error = capsys.readouterr().err.splitlines()
    assert error.startswith(f"error: hf-hub:{REPOSITORY}: cannot fetch open_clip_config.json")
    for part in ("Name or service not known", "local-dir:FOLDER", "into a folder"):
        assert part in error
    for file in ("open_clip_config.json", WEIGHTS[0]):
        assert f"https://huggingface.co/{REPOSITORY}/resolve/main/{file}" in error


def test_without_a_network_missing_weights_are_named_at_once(hub_cache: Path, offline: None) -> None:
    folder = lay(snapshot(hub_cache))
    (folder / WEIGHTS[0]).unlink()
    with pytest.raises(AevlpError, match=rf"cannot fetch {WEIGHTS[0]} .*local-dir:FOLDER, or --weights FILE"):
        ClipEncoder(ClipSource(f"hf-hub:{REPOSITORY}"), CPU)


def test_without_a_network_a_tags_weights_are_refused_at_once(hub_cache: Path, offline: None) -> None:
    with pytest.raises(AevlpError, match=r"cannot fetch the weights openai of ViT-B-32: .*--weights FILE"):
        ClipEncoder(ClipSource("ViT-B-32", "openai"), CPU)


def test_what_is_absent_is_listed_without_asking_the_hub(
    data: Path, hub_cache: Path, offline: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    source = ClipSource(f"hf-hub:{REPOSITORY}")
    absent = absent_weights(source)
    assert absent is not None and absent.how == f"hf download {REPOSITORY} open_clip_config.json {WEIGHTS[0]}"
    manifest = data / "blocks.yaml"
    manifest.write_text(manifest.read_text().replace("tiny-clip.json, weights: random", f"hf-hub:{REPOSITORY}"))
    assert call("reproduce", "blocks", "--manifest", manifest) == 1
    assert f"hf download {REPOSITORY}" in capsys.readouterr().out
    assert call("check", manifest) == 0  # not here yet is no fault of a data set
    folder = lay(snapshot(hub_cache))
    (folder / WEIGHTS[0]).unlink()
    absent = absent_weights(source)
    assert absent is not None and absent.what == f"weights of hf-hub:{REPOSITORY}"
    numbers = sum(p.numel() for p in open_clip.create_model(f"local-dir:{folder}").parameters())
    assert (absent.how, absent.size) == (f"hf download {REPOSITORY} {WEIGHTS[0]}", 4 * numbers)
    assert absent_weights(ClipSource(f"hf-hub:{REPOSITORY}", "random")) is None


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        ("hf-hub:", "expected hf-hub:ORG/NAME"),
        ("hf-hub:only-a-name", "expected hf-hub:ORG/NAME"),
        ("hf-hub:a/b/c", "expected hf-hub:ORG/NAME"),
        ("hf-hub:../b", "expected hf-hub:ORG/NAME"),
        ("local-dir:", "it has no open_clip_config.json"),
        ("local-dir:nowhere", "no such folder"),
        ("local-dir:empty", "it has no open_clip_config.json; expected a folder with"),
        ("laion/CLIP-ViT-B-32", "is passed as hf-hub:laion/CLIP-ViT-B-32"),
        ("someone/clip", "or transformers:someone/clip where transformers has it; there is no folder someone/clip"),
        ("clip", "is a folder: pass it as local-dir:clip"),
        ("models/theirs", "is a folder of transformers: pass it as transformers:models/theirs"),
        ("local-dir:models/theirs", "config.json is transformers' own: pass it as transformers:models/theirs"),
        ("models/theirs/config.json", "its folder is passed as transformers:models/theirs"),
        ("empty", "empty is a folder without a model: expected open_clip_config.json in it, as local-dir:empty"),
        ("nowhere/open_clip_config.json", "cannot read the model configuration"),
    ],
)
def test_a_model_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: None, clip: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    lay(tmp_path / "clip")
    (tmp_path / "empty").mkdir()
    (tmp_path / "models" / "theirs").mkdir(parents=True)
    (tmp_path / "models" / "theirs" / "config.json").write_text(
        '{"architectures": ["CLIPModel"], "model_type": "clip"}'
    )
    with pytest.raises(AevlpError) as error:
        ClipEncoder(ClipSource(clip, "random"), CPU)
    assert message in str(error.value) and "\n" not in str(error.value)


NO_CONFIGURATION = [
    ("", "cannot read the model configuration"),
    ("[]", "expected an object"),
    ("3", "expected an object"),
    ('{"model_cfg": 3}', "embed_dim, text_cfg, vision_cfg missing"),
    ('{"model_cfg": {"embed_dim": 16}}', "text_cfg, vision_cfg missing"),
    ('{"model_cfg": {"embed_dim": 16, "vision_cfg": [], "text_cfg": {}}}', "vision_cfg must be an object"),
    (
        '{"architectures": ["CLIPModel"], "text_config": {}}',
        "transformers' own, where open_clip reads open_clip_config",
    ),
    ('{"preprocess_cfg": {}}', "embed_dim, text_cfg, vision_cfg missing"),
    (json.dumps({"model_cfg": json.loads(TINY_CLIP), "preprocess_cfg": 3}), "preprocess_cfg must be an object"),
    (json.dumps({"model_cfg": json.loads(TINY_CLIP), "preprocess_cfg": {"mean": [1]}}), "give both"),
]
UNBUILT = ('{"model_cfg": {"embed_dim": 16, "vision_cfg": {"wings": 2}, "text_cfg": {}}}', "cannot be built")


@pytest.mark.parametrize(("content", "message"), [*NO_CONFIGURATION, UNBUILT])
@pytest.mark.parametrize("form", ["local-dir:{}", "{}/open_clip_config.json"])
def test_a_configuration_that_is_none(tmp_path: Path, content: str, message: str, form: str) -> None:
    (tmp_path / "open_clip_config.json").write_text(content)
    with pytest.raises(AevlpError) as error:
        ClipEncoder(ClipSource(form.format(tmp_path), "random"), CPU)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(("content", "message"), NO_CONFIGURATION)
@pytest.mark.parametrize("form", ["local-dir:{}", "{}/open_clip_config.json"])
def test_a_configuration_that_is_none_is_seen_without_building_it(
    tmp_path: Path, content: str, message: str, form: str
) -> None:
    (tmp_path / "open_clip_config.json").write_text(content)
    with pytest.raises(AevlpError) as error:
        absent_weights(ClipSource(form.format(tmp_path), "random"))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_weights_that_do_not_lie_there(tmp_path: Path) -> None:
    folder = lay(tmp_path / "clip")
    (folder / WEIGHTS[0]).rename(folder / "mine.safetensors")
    for use in (lambda source: ClipEncoder(source, CPU), absent_weights):
        with pytest.raises(AevlpError, match=r"no weights lie in .*: pass others as --weights FILE"):
            use(ClipSource(f"local-dir:{folder}"))
        with pytest.raises(AevlpError, match="is a folder: pass the file in it, or the model as local-dir:"):
            use(ClipSource("ViT-B-32", str(folder)))
        with pytest.raises(AevlpError, match="needs --weights"):
            (tmp_path / "plain.json").write_text(TINY_CLIP)
            use(ClipSource(str(tmp_path / "plain.json")))
    other = json.loads((folder / "open_clip_config.json").read_text())
    other["model_cfg"]["embed_dim"] = 8
    (folder / "open_clip_config.json").write_text(json.dumps(other))
    with pytest.raises(AevlpError, match="does not hold weights of local-dir:"):
        ClipEncoder(ClipSource(f"local-dir:{folder}", str(folder / "mine.safetensors")), CPU)


def test_check_names_a_clip_whose_statistics_must_be_said(tmp_path: Path) -> None:
    from aevlp.pipeline.manifest.load import load_manifest

    (tmp_path / "w.pt").write_bytes(b"")
    lines = {
        "": 1,
        ", mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]": 1,
        ", mean: [0, 0, 0], std: [1, 1, 1], activation: gelu": 0,
    }
    for more, refused in lines.items():
        text = f"datasets: {{x: {{title: X, format: table, table: t.csv, clip: {{model: ViT-L-14, weights: w.pt{more}}}}}}}"
        (tmp_path / "m.yaml").write_text(text)
        spec = load_manifest(tmp_path / "m.yaml")["x"]
        found = [line for line in check.refused_settings(spec, ["a", "b"]) if line.startswith("clip: ")]
        assert len(found) == refused and all("activation under clip in a manifest" in line for line in found)
        if refused:
            with pytest.raises(AevlpError, match="the tags of ViT-L-14 differ"):
                reproduce.absent_files(spec, tmp_path)


# A tokenizer of transformers, of which a configuration says the name.

WORDS = ["[PAD]", "[UNK]", "a", "photo", "of", "red", "green", "blue", ".", "[END]"]


def lay_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A [END]", special_tokens=[("[END]", 9)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    fast.save_pretrained(folder)


@pytest.mark.parametrize("form", ["local-dir:{}", "{}/open_clip_config.json"])
def test_a_tokenizer_beside_the_configuration_is_its_tokenizer(tmp_path: Path, offline: None, form: str) -> None:
    folder = lay(tmp_path / "clip", hf_tokenizer_name="nobody/nothing", vocab_size=len(WORDS))
    lay_tokenizer(folder)
    assert_as_open_clip(ClipEncoder(ClipSource(form.format(folder)), CPU), folder)


def test_a_tokenizer_that_is_not_here_is_named_at_once(tmp_path: Path, hub_cache: Path, offline: None) -> None:
    folder = lay(tmp_path / "clip", hf_tokenizer_name="nobody/nothing")
    encoder = ClipEncoder(ClipSource(f"local-dir:{folder}"), CPU)
    with pytest.raises(AevlpError, match=r"cannot load the tokenizer .*put them beside") as error:
        encoder.encode_text(["red"])
    assert "hf download nobody/nothing" in str(error.value) and "\n" not in str(error.value)


def test_a_tokenizer_never_runs_code_that_lies_beside_it(tmp_path: Path, offline: None) -> None:
    asks = {"trust_remote_code": True}
    folder = lay(tmp_path / "clip", hf_tokenizer_name="x/y", vocab_size=len(WORDS), tokenizer_kwargs=asks)
    lay_tokenizer(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"tokenizer_class": "Mine", "auto_map": {"AutoTokenizer": ["mine.Mine", "mine.Mine"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    ran = tmp_path / "ran"
    (folder / "mine.py").write_text(
        f"open({str(ran)!r}, 'w').close()\nfrom transformers import PreTrainedTokenizerFast as Mine\n"
    )
    encoder = ClipEncoder(ClipSource(f"local-dir:{folder}"), CPU)
    try:
        encoder.encode_text(["red"])
    except AevlpError as error:
        assert "cannot load the tokenizer" in str(error)
    assert not ran.exists()


# The hub itself, as far as downloads need it.


class Hub(http.server.BaseHTTPRequestHandler):
    folder: Path

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        if content := self._answer():
            self.wfile.write(content)

    def _answer(self) -> bytes | None:
        repository, _, name = self.path.strip("/").partition("/resolve/main/")
        file = self.folder / name
        if repository != REPOSITORY or not file.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound" if repository == REPOSITORY else "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        content = file.read_bytes()
        self.send_response(200)
        for key, value in {"ETag": f'"{name}"', "X-Repo-Commit": "1" * 40, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        return content

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    Hub.folder = lay(tmp_path / "remote", WEIGHTS[1])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.process
@pytest.mark.slow
def test_a_repository_is_fetched_once(data: Path, endpoint: str, tmp_path: Path) -> None:
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}

    def run(repository: str, **changed: str) -> subprocess.CompletedProcess:
        command = [
            "pseudolabel",
            "--dataset",
            "blocks",
            "--manifest",
            "data/blocks.yaml",
            "--cache",
            "c.h5",
            "--workers",
            "0",
        ]
        return subprocess.run(
            [sys.executable, "-m", "aevlp.stages", *command, "--clip", f"hf-hub:{repository}"],
            env={**environment, **changed}, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip

    other = run("someone/else")
    assert other.returncode == 1 and "has no repository someone/else" in other.stderr
    done = run(REPOSITORY)
    assert done.returncode == 0, done.stderr
    made = open_cache(tmp_path / "c.h5").provenance
    assert made["pixel_statistics"]["mean"] == PREPROCESSING["mean"]
    again = run(REPOSITORY, HF_ENDPOINT="http://127.0.0.1:9")  # where nobody answers
    assert again.returncode == 0 and "nothing to do" in again.stdout, again.stderr
