"""Exports of whole runs: loaded by the library each is for, without aevlp, and equal to PyTorch."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import MANIFEST, call, draw_blocks, stage_one, stage_two
from PIL import Image
from refusals import one_line
from torch import nn

from aevlp.pipeline.evaluation.decision import undecided
from aevlp.pipeline.images.read import read_pixels
from aevlp.pipeline.images.resizing import resized_image
from aevlp.stages.export import int8, onnx_file, program
from aevlp.stages.export.deployable import Deployable, deployable
from aevlp.stages.export.export import FORMATS, export
from aevlp.stages.export.network import Deployed
from aevlp.stages.prediction.exported import CLASSES, DECISION, PROVENANCE, About, ModelInput
from aevlp.stages.prediction.model import Running, open_model

pytestmark = pytest.mark.slow
VISION_TRANSFORMER = """
{"embed_dim": 16,
 "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
 "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}}
"""
RUNS = ("resnet18", "clip", "linear")
PICTURES = 50


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with each kind of backbone, resized as Pillow does; tests do not change it."""
    folder = tmp_path_factory.mktemp("runs")
    draw_blocks(folder / "data", PICTURES - 10, 10)
    (folder / "data" / "small-vit.json").write_text(VISION_TRANSFORMER)
    (folder / "data" / "blocks.yaml").write_text(MANIFEST.replace("tiny-clip", "small-vit"))
    cache = stage_one(folder / "data", folder / "blocks.h5", storage="float32", resize="exact")
    for backbone in RUNS:
        weights = {"weights": "random"} if backbone == "resnet18" else {}
        stage_two(cache, folder / backbone, backbone=backbone, epochs=1, **weights)
    return folder


@pytest.fixture(scope="module")
def pictures(runs: Path) -> list[str]:
    return [str(path) for path in sorted((runs / "data" / "images").iterdir())]


@pytest.fixture(scope="module")
def exports(runs: Path) -> Path:
    """The folder of an export of each run to each format."""
    for run in RUNS:
        for to in FORMATS:
            export(runs / run, to=to, output=runs / "exports" / f"{run}-{to}{Path(FORMATS[to].name).suffix}")
    return runs / "exports"


def logits_of(place: Path, pictures: list[str]) -> np.ndarray:
    model = open_model(place, Running("cpu", 0))
    found = np.concatenate([batch.logits for batch in model.scored(np.array(pictures))])
    model.close()
    return found


# Runs where aevlp is not: without the site module no .pth file is read, by which an editable install is found.
ALONE = """
import json, sys
sys.path += json.loads(sys.argv[1])
sys.modules["aevlp"] = None  # nor one that is installed in another way
folder, runs, pictures = sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])
import numpy as np
import onnxruntime, openvino, timm, torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from transformers import AutoModelForImageClassification, pipeline

found = {}
for run in runs:
    pixels = np.load(f"{folder}/{run}.npy")
    session = onnxruntime.InferenceSession(f"{folder}/{run}-onnx.onnx")
    found[run, "onnx"] = session.run(["logits"], {"pixel_values": pixels})[0]
    found[run, "onnx, calibrated"] = session.run(["probabilities"], {"pixel_values": pixels})[0]
    compiled = openvino.Core().compile_model(f"{folder}/{run}-openvino/model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found[run, "openvino"] = compiled({"pixel_values": pixels})["logits"]
    with torch.inference_mode():
        batch = torch.from_numpy(pixels)
        found[run, "torch"] = torch.export.load(f"{folder}/{run}-torch.pt2").module()(batch)[0].numpy()
        own = f"{folder}/{run}-hf"
        model = AutoModelForImageClassification.from_pretrained(own, trust_remote_code=run == "linear").eval()
        found[run, "transformers"] = model(pixel_values=batch).logits.numpy()
        if run != "linear":
            model = timm.create_model(f"local-dir:{own}", pretrained=True).eval()
            transform = create_transform(**resolve_data_config({}, model=model))
            images = torch.stack([transform(Image.open(path).convert("RGB")) for path in pictures])
            found[run, "timm"] = model(images).numpy()
    classify = pipeline("image-classification", model=own, trust_remote_code=run == "linear")
    names = json.load(open(f"{own}/config.json"))["label_names"]
    scores = [{one["label"]: one["score"] for one in of} for of in classify(pictures, top_k=len(names))]
    found[run, "pipeline"] = np.array([[of[name] for name in names] for of in scores])
try:
    import aevlp
except ImportError:
    np.savez(f"{folder}/found.npz", **{" of ".join(reversed(key)): value for key, value in found.items()})
"""


def alone(tmp: Path, *arguments: str, program: str) -> str:
    """Return what a program prints in a process where aevlp cannot be imported."""
    paths = [path for path in sys.path if path.endswith("site-packages")]
    environment = {**os.environ, "HF_HOME": str(tmp / "hf"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, json.dumps(paths), *arguments],
        capture_output=True, text=True, env=environment, cwd=tmp, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.process
def test_every_export_equals_pytorch_where_aevlp_is_not(
    exports: Path, runs: Path, pictures: list[str], tmp_path: Path
) -> None:
    assert len(pictures) == PICTURES
    expected = {run: logits_of(runs / run, pictures) for run in RUNS}
    for run in RUNS:
        model = open_model(exports / f"{run}-onnx.onnx", Running("cpu", 2))
        fed = deployable(runs / run, False).about.input
        levels = np.stack([resized_image(torch.from_numpy(read_pixels(Path(p))), fed.size, "exact") for p in pictures])
        mean, std = (np.array(values, np.float32).reshape(3, 1, 1) for values in (fed.mean, fed.std))
        np.save(exports / f"{run}.npy", ((levels.astype(np.float32) / 255 - mean) / std).astype(np.float32))
        np.testing.assert_allclose(logits_of(model.place, pictures), expected[run], atol=1e-4)
    alone(tmp_path, str(exports), json.dumps(RUNS), json.dumps(pictures), program=ALONE)
    found = np.load(exports / "found.npz")
    assert len(found.files) == 3 * 6 + 2  # a linear run is no class of timm
    for name in found.files:
        what, _, run = name.partition(" of ")
        logits = expected[run]
        if what in ("onnx, calibrated", "pipeline"):
            decision = undecided(3) if what == "pipeline" else deployable(runs / run, False).about.decision
            # A pipeline may resize by another library, which is a grey level away here and there.
            atol = 0.02 if what == "pipeline" else 1e-4
            np.testing.assert_allclose(found[name], decision.probabilities(logits), atol=atol, err_msg=name)
        else:
            np.testing.assert_allclose(found[name], logits, atol=1e-4, err_msg=name)


def test_every_format_says_what_it_is_and_nothing_of_this_machine(exports: Path, runs: Path) -> None:
    import onnx
    import openvino

    for run in RUNS:
        expected = deployable(runs / run, False).about.to_metadata()
        files = dict.fromkeys(expected, "")
        torch.export.load(exports / f"{run}-torch.pt2", extra_files=files)
        props = {p.key: p.value for p in onnx.load(exports / f"{run}-onnx.onnx").metadata_props}
        model = openvino.Core().read_model(exports / f"{run}-openvino" / "model.xml")
        rt_info = {key: model.get_rt_info(key.split(".")).astype(str) for key in expected}
        assert files == props == expected and rt_info == expected
        provenance = json.loads(expected[PROVENANCE])
        assert provenance["settings"]["loss"]["name"] == "gpr" and len(provenance["weights_sha256"]) == 64
        assert set(provenance["metrics"]) == {"best_epoch", "validation_map", "test_map", "evaluated_by"}
        config = (exports / f"{run}-hf" / "config.json").read_text()
        card = (exports / f"{run}-hf" / "README.md").read_text()
        assert not any(str(runs) in text for text in (*expected.values(), config, card))


@pytest.mark.process
def test_a_model_card_says_what_is_known_and_its_code_runs(exports: Path, tmp_path: Path, pictures: list[str]) -> None:
    for run in RUNS:
        own = exports / f"{run}-hf"
        card = (own / "README.md").read_text()
        _, head, body = card.split("---\n", 2)
        assert yaml.safe_load(head)["license"] == "unknown" and "not known" in body
        assert "32 images to train on, 8 to validate, 10 to test" in body and "test mAP" in body and "interval" in body
        decision = deployable(exports.parent / run, False).about.decision
        table = re.findall(r"^\| (\w+) \| ([\d.]+) \| ([\d.]+) \|", body, re.MULTILINE)
        assert [name for name, *_ in table] == ["red", "green", "blue"]
        assert [float(t) for _, t, _ in table] == pytest.approx(decision.thresholds, abs=5e-5)
        blocks = re.findall(r"```python\n(.*?)```", body, re.DOTALL)
        assert len(blocks) == (2 if run == "linear" else 3)
        Image.open(pictures[0]).save(tmp_path / "photo.jpg")
        head = "import json, sys\nsys.path += json.loads(sys.argv[1])\n"
        code = head + "\n".join(blocks).replace('FOLDER = "."', f"FOLDER = {str(own)!r}")
        printed = alone(tmp_path, program=code).strip().split("\n")
        logits = logits_of(exports.parent / run, [str(tmp_path / "photo.jpg")])
        probabilities = decision.probabilities(logits)
        assert np.abs(probabilities - decision.thresholds).min() > 1e-4  # the test would hang on a grey level
        labels = {name for (name, *_), on in zip(table, decision.labels(probabilities)[0], strict=True) if on}
        said = [set(json.loads(line.replace("'", '"'))) for line in printed]
        assert said == [labels] * (len(blocks) - 1)


class Seen(nn.Module):
    """What a network is fed, as its logits."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.flatten(1)


def odd_pictures(folder: Path) -> dict[str, Path]:
    """Write pictures of kinds that need care, and return their paths."""
    random = np.random.default_rng(1)
    colours = Image.fromarray(random.integers(0, 256, (37, 21, 3), dtype=np.uint8))
    deep = Image.fromarray(random.integers(0, 65536, (20, 31), dtype=np.uint16))
    made = {
        "one pixel.png": colours.crop((3, 3, 4, 4)),
        "one line.png": colours.crop((0, 3, 21, 4)),
        "cmyk.jpg": colours.convert("CMYK"),
        "16 bits.png": deep,
        "16 bits.tif": deep,
        "grey.png": colours.convert("L"),
        "palette.png": colours.convert("P"),
        "alpha.png": colours.convert("RGBA"),
        "large.png": colours.resize((800, 1100)),
    }
    for name, picture in made.items():
        picture.save(folder / name)
    return {name: folder / name for name in made}


@pytest.mark.parametrize("to", ["onnx", "torch", "openvino"])
def test_preprocessing_in_the_model_is_ours_within_a_grey_level(to: str, runs: Path, tmp_path: Path) -> None:
    size = 16
    fed = ModelInput(size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), True, True)
    decision = undecided(3 * size * size)
    subject = deployable(runs / "clip", True)
    subject = Deployable(
        subject.run,
        Deployed(Seen(), fed, decision.calibration).eval(),
        subject.architecture,
        subject.description,
        About([str(n) for n in range(3 * size * size)], decision, fed),
    )
    module = __import__(f"aevlp.stages.export.{FORMATS[to].module}", fromlist=["write"])
    module.write(subject, tmp_path / "seen")
    computed = module.load(tmp_path / "seen")
    for name, path in odd_pictures(tmp_path).items():
        pixels = read_pixels(path)
        ours = resized_image(torch.from_numpy(pixels), size, "exact").numpy() / 255
        seen = computed(pixels[None])[0].reshape(3, size, size)
        assert np.abs(seen - ours).max() <= 1 / 255 + 1e-6, name


@pytest.mark.parametrize("run", RUNS)
def test_an_onnx_file_with_preprocessing_predicts_as_its_run_does(
    run: str, runs: Path, pictures: list[str], tmp_path: Path
) -> None:
    place = export(runs / run, to="onnx", output=tmp_path / "model.onnx", preprocessing=True)
    np.testing.assert_allclose(logits_of(place, pictures), logits_of(runs / run, pictures), atol=1e-4)


@pytest.mark.parametrize("head", ["boostlu", "latent"])
def test_heads_that_no_library_has_go_to_onnx_and_torch(head: str, runs: Path, tmp_path: Path) -> None:
    options = {"backbone": "resnet10t", "weights": "random", "image_size": 64}
    run = stage_two(runs / "blocks.h5", tmp_path / "run", loss="an", head=head, epochs=1, **options)
    assert export(run, to="onnx").name == "model.onnx"
    assert export(run, to="torch").name == "model.pt2"
    with one_line(rf"head {head}: pass --to onnx"):
        export(run, to="hf")
    assert not (run / "huggingface").exists()


def test_what_does_not_agree_gets_no_name(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = program.load

    def off(path: Path):
        computed = load(path)
        return lambda inputs: (computed(inputs)[0] + 2e-4, computed(inputs)[1])

    monkeypatch.setattr(program, "load", off)
    with one_line("does not agree with PyTorch"):
        export(runs / "clip", to="torch", output=tmp_path / "model.pt2")
    monkeypatch.setattr(program, "load", lambda path: lambda inputs: (load(path)(inputs)[0], np.full((1, 3), np.nan)))
    with one_line("does not agree with PyTorch"):
        export(runs / "clip", to="torch", output=tmp_path / "model.pt2")
    assert list(tmp_path.iterdir()) == []


def test_what_a_library_cannot_hold_is_one_line(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def data_dependent(self: Deployed, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return (pixel_values, pixel_values) if pixel_values.sum() > 0 else (pixel_values, -pixel_values)

    monkeypatch.setattr(Deployed, "forward", data_dependent)
    with one_line("model.pt2 cannot be written, try another --to: "):
        export(runs / "clip", to="torch", output=tmp_path / "model.pt2")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("preprocessing", [False, True])
@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_int8_costs_what_it_says(
    to: str, preprocessing: bool, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    from sklearn.metrics import average_precision_score

    place = tmp_path / f"model{Path(FORMATS[to].name).suffix}"
    options = ["--preprocessing"] if preprocessing else []
    asked = ("--to", to, "--quantize", "int8", "--limit", "100", "--output", place, *options)
    assert call("export", runs / "resnet18", *asked) == 0
    said = re.search(r"mAP is ([\d.]+) in int8 and ([\d.]+) in single precision", capsys.readouterr().err)
    assert said
    subject = deployable(runs / "resnet18", preprocessing)
    examples = int8._examples(subject, _asked(runs / "resnet18", to))
    module = onnx_file if to == "onnx" else __import__("aevlp.stages.export.openvino_folder", fromlist=["load"])
    logits = int8._logits(module.load(place), examples.validation, subject.about.input)
    with torch.inference_mode():
        exact = np.concatenate(
            [subject.net(torch.from_numpy(x))[0] for x in int8._inputs(examples.validation, subject.about.input)]
        )
    for text, scores in zip(said.groups(), (logits, exact), strict=True):
        classes = [average_precision_score(examples.truth[:, c] == 1, scores[:, c]) for c in range(3)]
        assert float(text) == pytest.approx(100 * np.mean(classes), abs=0.006)
    assert 1e-6 < np.abs(logits - exact).max() < 0.5  # it is rounded, and it is the same classifier
    if to == "onnx":
        import onnx

        kinds = {node.op_type for node in onnx.load(place).graph.node}
        assert "QuantizeLinear" in kinds
        assert json.loads({p.key: p.value for p in onnx.load(place).metadata_props}[PROVENANCE])["int8"]
        assert open_model(place, Running("cpu")).classes == ["red", "green", "blue"]


@pytest.mark.process
def test_nothing_is_reported_to_the_makers_of_openvino(runs: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "aevlp.stages",
        "export",
        runs / "resnet18",
        "--to",
        "openvino",
        "--quantize",
        "int8",
    ]
    home = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run([*command, "--limit", "100", "--output", tmp_path / "own"], env=home, check=True)
    assert (tmp_path / "own" / "model.xml").exists() and not (tmp_path / "intel").exists()


def _asked(run: Path, to: str):
    from aevlp.stages.export.options import ExportOptions

    return ExportOptions(run, to=to)  # type: ignore[arg-type]


def test_int8_above_the_limit_is_refused_unless_forced(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = iter([0.9, 0.5, 0.9, 0.5])
    monkeypatch.setattr(int8, "mean_average_precision", lambda *_: next(maps))
    place = tmp_path / "model.onnx"
    with one_line("40.00 points lost.*--force"):
        export(runs / "clip", to="onnx", quantize="int8", output=place)
    assert list(tmp_path.iterdir()) == []
    assert export(runs / "clip", to="onnx", quantize="int8", output=place, force=True).is_file()


def test_int8_without_images_or_cache_says_what_is_needed(runs: Path, tmp_path: Path) -> None:
    asked = {"to": "onnx", "quantize": "int8", "output": tmp_path / "model.onnx"}
    with one_line("pass --data-root"):
        export(runs / "clip", data_root=tmp_path / "gone", **asked)
    with one_line("cannot be read any more"):
        export(runs / "clip", data_root=tmp_path, **asked)
    (runs / "blocks.h5").rename(runs / "away.h5")
    try:
        with one_line("which its cache lists"):
            export(runs / "clip", **asked)
    finally:
        (runs / "away.h5").rename(runs / "blocks.h5")
    assert list(tmp_path.iterdir()) == []


def test_thresholds_of_the_decision_reach_the_file(runs: Path, tmp_path: Path) -> None:
    subject = deployable(runs / "clip", False)
    decision = replace(subject.about.decision, thresholds=np.array([0.2, 1 / 3, 0.9]))
    onnx_file.write(replace(subject, about=replace(subject.about, decision=decision)), tmp_path / "model.onnx")
    model = open_model(tmp_path / "model.onnx", Running("cpu"))
    assert model.decision.thresholds.tolist() == [0.2, 1 / 3, 0.9]
    assert json.loads(subject.about.to_metadata()[CLASSES]) == model.classes and DECISION in subject.about.to_metadata()
