"""Where the Hugging Face hub does not answer: one question, and one line that names the file and where to put it."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file

from aevlp.pipeline.clip.encoder import ClipEncoder
from aevlp.pipeline.clip.source import ClipSource
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.files import absent_files as hub
from aevlp.pipeline.training.classifier import create_timm


class Door:
    """A port of this machine where each connection is counted, and then closed at once or never answered."""

    def __init__(self, closes: bool) -> None:
        self.count, self._closes, self._held = 0, closes, []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = self._socket.accept()
                self.count += 1
                connection.close() if self._closes else self._held.append(connection)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in self._held:
            connection.close()


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty local cache of the hub."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture(params=[True, False], ids=["hangs up", "is silent"])
def door(request: pytest.FixtureRequest, no_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    door = Door(request.param)
    monkeypatch.setattr(hub, "hf_hub_url", lambda repository, file: f"http://127.0.0.1:{door.port}/{repository}/{file}")
    monkeypatch.setattr(hub, "SECONDS", 0.2)
    yield door
    door.close()


def of_timm() -> None:
    create_timm("resnet10t", "pretrained", 3, 32, True)


def of_open_clip() -> None:
    ClipEncoder(ClipSource("ViT-B-32", "openai"), torch.device("cpu"))


def of_a_repository() -> None:
    ClipEncoder(ClipSource("hf-hub:some/model"), torch.device("cpu"))


ASKS = {
    "timm/resnet10t.c3_in1k/resolve/main/model.safetensors and pass it as --weights FILE, or": of_timm,
    "timm/vit_base_patch32_clip_224.openai/resolve/main/open_clip_model.safetensors and pass it as --weights FILE": of_open_clip,
    "some/model/resolve/main/open_clip_config.json": of_a_repository,
}


@pytest.mark.parametrize(("says", "ask"), ASKS.items(), ids=[ask.__name__ for ask in ASKS.values()])
def test_a_hub_that_does_not_answer_is_asked_once(door: Door, says: str, ask: Callable[[], None]) -> None:
    with pytest.raises(AevlpError, match="cannot fetch ") as error:
        ask()
    assert door.count == 1
    assert f"download https://huggingface.co/{says}" in str(error.value) and "\n" not in str(error.value)


def test_a_port_that_refuses_is_said(no_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(True)
    door.close()
    monkeypatch.setattr(hub, "hf_hub_url", lambda *_: f"http://127.0.0.1:{door.port}/")
    with pytest.raises(AevlpError, match=r"cannot fetch the trained weights of resnet10t: .*refused"):
        of_timm()


def test_a_name_server_that_is_silent_is_not_waited_for(no_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda *_, **__: never.wait())
    monkeypatch.setattr(hub, "ALL_SECONDS", 0.05)
    with pytest.raises(AevlpError, match=r"cannot fetch model\.safetensors of a/b .*no answer within 0\.05 s"):
        hub.fetched("a/b", ("model.safetensors",))
    never.set()


@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224"])  # the latter has a format of its makers besides
def test_trained_weights_that_are_here_are_read_without_a_question(
    no_cache: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    config = timm.models.get_pretrained_cfg(name)
    assert config is not None and config.hf_hub_id
    state = timm.create_model(name).state_dict()  # with the head for ImageNet, as it is published
    root = no_cache / f"models--{config.hf_hub_id.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("0" * 40)
    (root / "snapshots" / ("0" * 40)).mkdir(parents=True)
    save_file(state, root / "snapshots" / ("0" * 40) / "model.safetensors")
    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda *_, **__: pytest.fail("the hub was asked"))
    architecture, classifier = create_timm(name, "pretrained", 3, 224, True)
    assert architecture.mean == tuple(config.mean)
    read = classifier.backbone.state_dict()
    assert read.keys() == {key for key in state if not key.startswith(("fc.", "head."))}
    assert all(torch.equal(value, state[key]) for key, value in read.items())
