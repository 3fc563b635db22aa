"""aevlp review as a command and a function: ports, what it says at its end, what is missing, a run that takes part."""

import socket
from pathlib import Path

import numpy as np
import pytest
import review_page as rp
from conftest import call
from starlette.testclient import TestClient

import aevlp
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.review.answers import Answer, AnswerStore
from aevlp.pipeline.score_cache import open_cache
from aevlp.stages.caches.inspect import cached_settings
from aevlp.stages.review import review as command
from aevlp.stages.review import serving
from aevlp.stages.review.explained import Explainer, training_rows
from aevlp.stages.review.predictions import training_logits
from aevlp.stages.review.serving import bound


def test_without_the_packages_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = rp.make_cache(tmp_path)
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert call("review", path) == 1
    assert capsys.readouterr().err == "error: the page needs starlette and uvicorn: pip install 'aevlp[review]'\n"


def test_a_port_that_is_taken_gives_way_to_the_next() -> None:
    with bound(20000) as first:
        port = first.getsockname()[1]
        with bound(port) as second:
            assert second.getsockname() == ("127.0.0.1", port + 1) or second.getsockname()[1] > port


def test_a_port_that_may_not_be_used_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: object, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", denied)
    with pytest.raises(AevlpError, match="--port 80: cannot listen there: Permission denied"):
        bound(80)


def test_a_review_that_is_ended_says_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = rp.make_cache(tmp_path)
    with AnswerStore(path.with_name(rp.ANSWERS)) as store:
        store.give([Answer("image_0001.jpg", "cat", 1), Answer("image_0002.jpg", "cat", 0)])

    class Ended:
        def __init__(self, config: object) -> None: ...

        def run(self, sockets: object) -> None:
            with AnswerStore(path.with_name(rp.ANSWERS)) as store:
                store.give([Answer("image_0003.jpg", "cat", -1)])
            raise KeyboardInterrupt

    monkeypatch.setattr(serving.uvicorn, "Server", Ended)
    assert call("review", path, "--data-root", tmp_path / "data") == 0
    shown = capsys.readouterr()
    assert "open http://127.0.0.1:" in shown.err and "?token=" in shown.err
    assert "2 answers (1 yes, 1 no), 1 skipped" in shown.out
    assert f"aevlp train {path} --corrections {path.with_name('pairs.review.sqlite')}" in shown.out
    done = aevlp.review(path, data_root=tmp_path / "data")
    assert (done.yes, done.no, done.skipped, done.given) == (1, 1, 1, 0)
    assert done.to_json()["file"] == str(path.with_name(rp.ANSWERS))


def test_a_second_review_of_one_cache_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = rp.make_cache(tmp_path)

    class Second:
        def __init__(self, config: object) -> None: ...

        def run(self, sockets: object) -> None:
            with pytest.raises(AevlpError, match=r"another aevlp review of .*pairs\.h5 is open"):
                aevlp.review(path, data_root=tmp_path / "data")
            raise KeyboardInterrupt

    monkeypatch.setattr(serving.uvicorn, "Server", Second)
    assert aevlp.review(path, data_root=tmp_path / "data").given == 0
    assert aevlp.review(path, data_root=tmp_path / "data", export="csv").pairs > 0  # which asks nobody


def test_refusals_stand_in_the_log_and_the_token_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, tokens = rp.make_cache(tmp_path), []

    class Asked:
        def __init__(self, config: serving.uvicorn.Config) -> None:
            self.client = TestClient(config.app, base_url="http://evil.example")

        def run(self, sockets: object) -> None:
            assert self.client.get("/").status_code == 421

    monkeypatch.setattr(serving.uvicorn, "Server", Asked)
    monkeypatch.setattr(serving, "say", tokens.append)
    aevlp.review(path, data_root=tmp_path / "data")
    log = (tmp_path / "pairs.log.txt").read_text()
    [address] = [line.partition("token=")[2] for line in tokens if "token=" in line]
    assert "refused GET '/': its Host is 'evil.example'" in log and address not in log


def test_where_the_images_or_the_pairs_are_gone_it_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = rp.make_cache(tmp_path, rows=6)
    assert call("review", path) == 1
    assert "no folder data/fake" in capsys.readouterr().err
    cache = open_cache(path)
    with AnswerStore(path.with_name(rp.ANSWERS)) as store:
        store.give([Answer(str(cache.ids[p.row]), cache.classes[p.column], 0) for p in rp.find_all(cache, ())])
    assert call("review", path, "--data-root", tmp_path / "data") == 1
    assert "no pair of a training image and a class is without a label or an answer" in capsys.readouterr().err


def test_a_run_predicts_the_training_images_as_predict_does(cache_path: Path, run_path: Path, tmp_path: Path) -> None:
    cache, root = open_cache(cache_path), cache_path.parent / "data"
    logits = training_logits(run_path, cache, root, "cpu", 0, 10**8)
    rows = training_rows(cache)
    seen = aevlp.predict(run_path, [str(root / path) for path in cache.paths[rows]], device="cpu", workers=0)
    expected = [[image["probabilities"][name] for name in cache.classes] for image in seen.images]
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), expected, atol=1e-4)
    other = open_cache(rp.make_cache(tmp_path, rows=3))
    with pytest.raises(AevlpError, match=f"--run {run_path} was trained from another cache than"):
        training_logits(run_path, other, root, "cpu", 0, 10**8)
    reason = Explainer(cache, cached_settings(cache), logits).of(int(rows[4]), 1).reason
    assert reason.endswith(f"The run says {expected[4][1]:.2f}.")
