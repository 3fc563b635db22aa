"""Every benchmark runs at a toy size and writes its figures; the one-stage baseline computes labels and loss as aevlp does."""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY_CLIP

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.labels.damp import DampSettings, codes_from_scores, damp_scores
from aevlp.pipeline.losses import Targets, create_loss

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let benchmarks import each other, as they do when one is run as a command."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture
def figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return what runs a benchmark with some words on its command line, and returns the JSON that it wrote."""

    def run(name: str, *words: object) -> dict[str, Any]:
        path = tmp_path / "figures.json"
        script = str(BENCHMARKS / f"{name}.py")
        monkeypatch.setattr(sys, "argv", [script, *map(str, words), "--rounds", "1", "--json", str(path)])
        import_module(name).main()
        return json.loads(path.read_text())

    return run


def small_clip(folder: Path) -> Path:
    return import_module("generated").small_clip(folder)


def of_rows(figures: dict[str, Any], key: str) -> dict[str, float]:
    return {row["name"]: row[key] for row in figures["rows"] if key in row}


def test_a_benchmark_times_each_way_as_often_as_the_others_after_a_call_that_does_not_count() -> None:
    bench, calls = import_module("measuring").Bench("calls"), []
    times = bench.alternate({"one": lambda: calls.append(1), "two": lambda: calls.append(2)}, rounds=2)
    assert calls == [1, 2, 1, 2, 2, 1]
    assert {name: len(of) for name, of in times.items()} == {"one": 2, "two": 2}


def test_a_way_that_does_less_than_another_is_refused() -> None:
    measuring = import_module("measuring")
    more, less = measuring.Timed(1.0, 34), measuring.Timed(0.5, 17)
    with pytest.raises(AssertionError, match="not the same amount of work"):
        measuring.Bench("views").alternate({"more": lambda: more, "less": lambda: less}, rounds=1)


def test_the_command_that_is_recorded_names_no_folder_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys, "argv", ["/somewhere/benchmarks/codes.py", "--json", "/somewhere/else/codes.json", "--rounds", "5"]
    )
    assert import_module("measuring").command() == "python benchmarks/codes.py --json codes.json --rounds 5"


def test_operations_of_attention_are_counted_though_inference_would_take_another_path() -> None:
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    tokens, width, hidden = 5, 8, 16
    projections = 4 * tokens * width * width + 2 * tokens * width * hidden
    products = 2 * tokens * tokens * width  # queries by keys, and weights by values
    counted = import_module("measuring").flops(layer, torch.zeros(1, tokens, width))
    assert counted == 2 * (projections + products)


@pytest.mark.parametrize("observed_negatives", (False, True))
def test_the_one_stage_baseline_labels_as_aevlp_does(observed_negatives: bool) -> None:
    one_stage, random = import_module("one_stage"), np.random.default_rng(0)
    cosines = random.normal(0.2, 0.02, (5, 40, 10)).astype(np.float32)
    observed = random.integers(-1 if observed_negatives else 0, 2, (40, 10)).astype(np.int8)
    constants = one_stage.Constants(eta=0.1, threshold=0.2, negative_ratio=0.3)
    codes = one_stage.damp(torch.from_numpy(cosines), torch.from_numpy(observed), constants)
    settings = DampSettings(0.01, 0.1, 0.2, 3, 0.3)
    expected = codes_from_scores(*damp_scores(cosines.transpose(1, 0, 2), observed, settings), settings)
    assert {-1, 0, 1} <= set(expected.ravel().tolist())
    assert np.array_equal(codes.numpy().astype(np.int8), expected)


def test_the_one_stage_baseline_has_the_loss_of_aevlp_and_its_gradient() -> None:
    one_stage, random = import_module("one_stage"), np.random.default_rng(1)
    logits = torch.from_numpy(random.normal(0, 2, (6, 20)))
    observed, pseudo = (torch.from_numpy(random.integers(least, 2, (6, 20)).astype(np.int8)) for least in (0, -1))
    loss = create_loss(
        "gpr",
        20,
        observed,
        q3=1.0,
        lam_1=0.7,
        lam_2=0.4,
        rho=0.9,
        reg=0.05,
        expected_positives=1.5,
        beta=(0, 2, -2, -2),
    )
    loss.set_epoch(3, 8)  # type: ignore[attr-defined]
    values, gradients = [], []
    for of in (
        lambda x: one_stage.gpr(x, observed, pseudo.double(), 3, one_stage.Constants()),
        lambda x: loss(x, Targets(observed=observed, pseudo=pseudo)),
    ):
        given = logits.clone().requires_grad_()
        value = of(given)
        values.append(value.item())
        gradients.append(torch.autograd.grad(value, given)[0])
    assert values[0] == pytest.approx(values[1], rel=1e-5)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-7)


def test_data_side(figures) -> None:
    found = figures("data_side", "--count", 2, "--grid", 2, "--size", 32)
    ratios = of_rows(found, "times_plain_10")
    assert ratios["plain loop, 10 views"] == 1
    assert {"aevlp, pillow", "aevlp, exact resize, pillow"} <= set(ratios)
    assert found["machine"]["versions"]["torch"] == torch.__version__.split("+")[0]


@pytest.mark.slow
def test_image_tower(figures, tmp_path: Path) -> None:
    clip = small_clip(tmp_path)
    found = figures("image_tower", "--clip", clip, "--towers", "torch", "--views", 40)
    assert set(of_rows(found, "views_a_second")) == {"plain open_clip loop", "aevlp, torch"}
    assert str(tmp_path) not in json.dumps(found)


@pytest.mark.slow
def test_the_size_that_a_clip_takes_is_known_of_resnets_too(tmp_path: Path) -> None:
    generated = import_module("generated")
    (tmp_path / "benchmark-resnet.json").write_text(TINY_CLIP)
    for path in (tmp_path / "benchmark-resnet.json", small_clip(tmp_path)):
        assert generated.input_size(generated.random_clip(str(path), torch.device("cpu"))[1]) == 32


@pytest.mark.slow
@pytest.mark.process
def test_stage_one(figures, tmp_path: Path) -> None:
    found = figures(
        "stage_one", "--clip", small_clip(tmp_path), "--count", 3, "--grid", 2, "--workers", 1, "--tower", "torch"
    )
    assert set(of_rows(found, "images_a_second")) == {"plain loop", "aevlp, torch"}
    assert "was the limit" in found["notes"][0]


@pytest.mark.process
@pytest.mark.slow
def test_one_stage_or_two(figures, tmp_path: Path) -> None:
    words = ("--backbone", "test_resnet", "--size", 32, "--count", 6, "--batch", 3, "--grid", 2, "--tower", "torch")
    found = figures("one_stage_or_two", "--clip", small_clip(tmp_path), *words, "--workers", 1, "--losses", 2)
    each, times = of_rows(found, "seconds_an_image"), of_rows(found, "times")
    one, first, second = (each[name] for name in ("one stage, an epoch", "stage one", "stage two, an epoch"))
    assert times["2 losses, 8 epochs"] == pytest.approx(16 * one / (first + 16 * second))
    assert times["each further loss"] == pytest.approx(one / second)


@pytest.mark.process
@pytest.mark.slow
def test_training(figures) -> None:
    found = figures("training", "--backbone", "test_resnet", "--size", 32, "--count", 6, "--batch", 3, "--workers", 1)
    waiting = of_rows(found, "percent_waiting")
    assert set(waiting) == {"plain loop", "aevlp", "aevlp, image cache"}
    assert all(0 < share < 100 for share in waiting.values())


@pytest.mark.process
@pytest.mark.slow
def test_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, script = tmp_path / "figures.json", str(BENCHMARKS / "memory.py")
    monkeypatch.setattr(sys, "argv", [script, "--images", "400", "--workers", "1", "--json", str(path)])
    import_module("memory").main()
    found = json.loads(path.read_text())
    own, children = (of_rows(found, key) for key in ("process_MB", "children_MB"))
    assert len(own) == 3 and min(own.values()) > 100  # torch alone takes more
    assert children["aevlp pseudolabel"] > 0 and children["aevlp train, linear"] == 0


@pytest.mark.process
@pytest.mark.slow
def test_report_of_a_million(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, script = tmp_path / "figures.json", str(BENCHMARKS / "report_of_a_million.py")
    toy = ["--rows", "1500", "--classes", "3", "--pictures", "4", "--folder", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [script, *toy, "--json", str(path)])
    import_module("report_of_a_million").main()
    [row] = json.loads(path.read_text())["rows"]
    assert row["seconds"] > 0 and 0.1 < row["page_MB"] < 15 and row["peak_MB"] > 100


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_its_benchmark_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    with pytest.raises(SystemExit, match="needs a GPU, and torch sees none"):
        import_module("gpu").main()


@pytest.mark.parametrize(
    "words, said",
    [
        (("--rounds", "0"), "expected a number from 1 on, found '0'"),
        (("--json", "no-such-folder/x.json"), "'no-such-folder/x.json' cannot be written"),
        (("--device", "gpu"), "expected cpu"),
    ],
)
def test_what_a_benchmark_cannot_do_is_said_before_it_measures(words, said: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        import_module("measuring").parser("", rounds=1).parse_args(words)
    assert stop.value.code == 2 and said in capsys.readouterr().err


def test_a_mistake_in_a_benchmark_is_one_line() -> None:
    def main() -> None:
        raise AevlpError("no such\nbackbone")

    with pytest.raises(SystemExit, match=r"^error: no such backbone$"):
        import_module("measuring").run(main)


@pytest.mark.slow
@pytest.mark.process
def test_first_prediction(figures, run_path: Path, blocks: Path) -> None:
    found = figures("first_prediction", run_path, blocks / "images" / "00.png")
    beside = of_rows(found, "beside_torch")
    assert beside["run, through torch"] == 1 and "exported model" in beside
    assert found["notes"] == ["torch is loaded by: run, through torch"]
