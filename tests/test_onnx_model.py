"""An .onnx file as a model that labels images: what it computes, what it needs, and what it refuses."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession
from PIL import Image
from refusals import one_line

from aevlp.pipeline.evaluation.decision import Calibration, Decision, undecided
from aevlp.pipeline.images.views import view_pixels
from aevlp.pipeline.runtime.ranks import Rank
from aevlp.stages.prediction.exported import CLASSES, DECISION, INPUT, About, ModelInput
from aevlp.stages.prediction.model import Running, open_model
from aevlp.stages.prediction.reading import BATCH

MEAN, STD, SIZE = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3), 4
COLOURS = ["red", "green", "blue"]
RUNNING = Running("cpu", 2)
ABOUT = About(COLOURS, undecided(3), ModelInput(SIZE, MEAN, STD, True), {"run": "by hand"})


def mean_colours(path: Path, about: About | None = ABOUT, texts: dict[str, str] | None = None) -> Path:
    """Write a model, made by hand, whose logits are the means of the three channels of its input."""
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["pixel_values", "axes"], ["logits"], keepdims=0)],
        "means",
        [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(np.array([2, 3]), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {**(about.to_metadata() if about else {}), **(texts or {})})
    onnx.save(model, path)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return mean_colours(tmp_path / "model.onnx")


def test_logits_are_those_of_the_images_in_their_order(model: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    names, expected = [], []
    for n in range(BATCH + 5):
        pixels = random.integers(0, 256, (3 + n % 7, 2 + n % 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{n}.png")
        names.append(str(tmp_path / f"{n}.png"))
        image = Image.fromarray(pixels)
        expected.append(view_pixels(image, (0, 0, *image.size), SIZE, False, MEAN, STD).mean(axis=(1, 2)))
    names[7] = str(tmp_path / "gone.png")
    (tmp_path / "9.png").write_bytes(b"no picture")
    opened = open_model(model, RUNNING)
    scored = list(opened.scored(np.array(names)))
    opened.close()
    rows = np.concatenate([batch.rows for batch in scored])
    assert rows.tolist() == [n for n in range(BATCH + 5) if n not in (7, 9)]
    np.testing.assert_allclose(np.concatenate([b.logits for b in scored]), np.array(expected)[rows], atol=1e-6)
    faults = {row: fault.status for batch in scored for row, fault in batch.unreadable.items()}
    assert faults == {7: "missing", 9: "unreadable"}
    assert all(batch.logits.dtype == np.float32 and batch.logits.shape[1] == 3 for batch in scored)


def test_a_batch_of_unreadable_images_and_none_at_all(model: Path) -> None:
    opened = open_model(model, RUNNING)
    [batch] = opened.scored(np.array(["a.png", "b.png"]))
    assert batch.logits.shape == (0, 3) and sorted(batch.unreadable) == [0, 1]
    assert list(opened.scored(np.array([], dtype=str))) == []


def test_what_a_file_says_of_itself_comes_back(tmp_path: Path) -> None:
    knots = {1: (np.array([-1.5, 0.25]), np.array([0.1, 1 / 3]))}
    decision = Decision(Calibration(np.array([1.0, 2.0, 0.7]), knots), np.array([0.1, 1 / 3, 0.9]), {"rule": "f1"})
    about = replace(ABOUT, decision=decision, classes=["Grün", "a|b", '"c"'])
    opened = open_model(mean_colours(tmp_path / "model.onnx", about), RUNNING)
    assert opened.classes == about.classes and opened.decision.to_json() == decision.to_json()
    assert len(opened.sha256) == 64


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({CLASSES: json.dumps(["red", "blue"]), DECISION: json.dumps(undecided(2).to_json())}, "names 2 classes"),
        ({CLASSES: json.dumps(["red", "blue"])}, "3 thresholds for 2 classes"),
        ({CLASSES: "[red"}, "damaged"),
        ({CLASSES: "3"}, "damaged"),
        ({INPUT: "{}"}, "damaged"),
        ({INPUT: json.dumps({**vars(ABOUT.input), "mean": [1]})}, "damaged"),
        ({INPUT: json.dumps({**vars(ABOUT.input), "size": 0})}, "damaged"),
        ({DECISION: "[]"}, "cannot be read"),
    ],
)
def test_damaged_metadata_and_other_classes_are_named(tmp_path: Path, texts: dict[str, str], said: str) -> None:
    with one_line(said):
        open_model(mean_colours(tmp_path / "model.onnx", texts=texts), RUNNING)


def test_a_file_that_aevlp_did_not_write_is_refused(tmp_path: Path) -> None:
    with one_line("not of aevlp"):
        open_model(mean_colours(tmp_path / "foreign.onnx", None), RUNNING)


def test_what_is_no_model_is_refused(tmp_path: Path, model: Path) -> None:
    with one_line("no file"):
        open_model(tmp_path / "none.onnx", RUNNING)
    (tmp_path / "text.onnx").write_text("no model")
    with one_line("cannot be loaded by onnxruntime"):
        open_model(tmp_path / "text.onnx", RUNNING)
    (tmp_path / "half.onnx").write_bytes(model.read_bytes()[: model.stat().st_size // 2])
    with one_line("half.onnx"):
        open_model(tmp_path / "half.onnx", RUNNING)


def test_without_onnxruntime_the_extra_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with one_line(r"aevlp\[export\]"):
        open_model(model, RUNNING)


@pytest.mark.parametrize(("device", "said"), [("tpu", "unknown device"), ("cuda:x", "unknown"), ("cuda", "not there")])
def test_a_device_that_is_not_there_is_refused(
    model: Path, device: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with one_line(said):
        open_model(model, Running(device))


@pytest.mark.parametrize(("device", "number"), [(None, 1), ("cuda", 1), ("cuda:3", 3)])
def test_each_process_has_a_gpu_of_its_own_and_none_falls_back(
    model: Path, device: str | None, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[list]()

    class Session(InferenceSession):
        """As onnxruntime does where CUDA cannot be loaded: it computes on the CPU."""

        def __init__(self, place: Path, providers: list) -> None:
            asked.append(providers)
            super().__init__(place, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(
        "onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr("onnxruntime.InferenceSession", Session)
    with one_line("cannot use it.*--device cpu"):
        open_model(model, Running(device, rank=Rank(1, 2, 1)))
    assert asked == [[("CUDAExecutionProvider", {"device_id": number}), "CPUExecutionProvider"]]
    open_model(model, Running("cpu", rank=Rank(1, 2, 1))).close()


@pytest.mark.process
def test_torch_is_not_loaded(model: Path, tmp_path: Path) -> None:
    Image.new("RGB", (5, 5), "red").save(tmp_path / "red.png")
    program = f"""
import sys
import numpy as np
from pathlib import Path
from aevlp.stages.prediction.model import Running, open_model
[batch] = open_model(Path({str(model)!r}), Running("cpu", 1)).scored(np.array([{str(tmp_path / "red.png")!r}]))
print(batch.logits.argmax(), [name for name in ("torch", "torchvision", "timm", "open_clip") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "0 []"
