"""The service that docs/howto/serve.md shows, served: an image is posted to it, and its labels come back."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shown_commands
import torch

from aevlp.pipeline.images.read import read_pixels
from aevlp.stages.export import onnx_file
from aevlp.stages.export.deployable import deployable

PAGE = Path(__file__).parents[1] / "docs" / "howto" / "serve.md"


@pytest.mark.slow
@pytest.mark.process
def test_the_service_answers_with_the_labels_of_the_run(run_path: Path, blocks: Path, tmp_path: Path) -> None:
    [service] = [block for block in shown_commands.blocks(PAGE.read_text("utf-8")) if block.file == "service.py"]
    (tmp_path / "service.py").write_text(service.text)
    subject, pictures = deployable(run_path, preprocessing=True), sorted((blocks / "images").iterdir())
    with torch.inference_mode():
        logits = np.concatenate([subject.net(torch.from_numpy(read_pixels(path)[None]))[0] for path in pictures])
    probabilities = subject.about.decision.probabilities(logits)
    middle = np.sort(probabilities, axis=0)[len(pictures) // 2 - 1 : len(pictures) // 2 + 1].mean(axis=0)
    decision = replace(subject.about.decision, thresholds=middle)  # so that each class is in some pictures
    onnx_file.write(replace(subject, about=replace(subject.about, decision=decision)), tmp_path / "model.onnx")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "service:app", "--port", str(port), "--log-level", "warning"]
    server = subprocess.Popen(command, cwd=tmp_path)
    try:
        for path, chances, labels in zip(pictures, probabilities, decision.labels(probabilities), strict=True):
            answer = _posted(f"http://127.0.0.1:{port}/", path.read_bytes())
            of_labels = zip(subject.about.classes, chances, labels, strict=True)
            assert answer == pytest.approx({name: chance for name, chance, there in of_labels if there}, abs=1e-5)
        with pytest.raises(urllib.error.HTTPError, match="400"):
            _posted(f"http://127.0.0.1:{port}/", b"no picture")
    finally:
        server.terminate()
        server.wait(10)


def _posted(address: str, content: bytes) -> dict[str, float]:
    """Return the answer to a request, once the server listens."""
    for _ in range(100):
        try:
            with urllib.request.urlopen(urllib.request.Request(address, content)) as answer:
                return json.load(answer)
        except urllib.error.HTTPError:
            raise
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"{address} does not answer")
