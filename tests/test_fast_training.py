"""What makes training fast, beside the plain way: the same numbers, and no step that waits for the device."""

import shutil
import signal
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import stage_one, stage_two
from laws import each
from PIL import Image, ImageOps
from torch import nn

from aevlp.pipeline import losses, policies
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.losses import Targets
from aevlp.pipeline.losses.interface import Scheduled
from aevlp.pipeline.policies.labelling import label
from aevlp.pipeline.runtime.ranks import Rank
from aevlp.pipeline.score_cache import open_cache
from aevlp.pipeline.training import classifier as classifiers
from aevlp.pipeline.training import epoch_labels, predictor, trainer
from aevlp.pipeline.training.classifier import Architecture, Classifier, build, create_timm
from aevlp.pipeline.training.distributed import Processes
from aevlp.pipeline.training.epoch_labels import EpochLabels
from aevlp.pipeline.training.inputs import PixelInputs, normalized, scaling
from aevlp.pipeline.training.loop import predict_logits, train_epoch
from aevlp.pipeline.training.run_folder import RunFolder
from aevlp.pipeline.training.state import Progress, TrainingState
from aevlp.stages.stage_two.classifiers import classifier_inputs

ALONE, CPU = Processes(Rank(0, 1, 0)), torch.device("cpu")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASSES, ROWS, WIDTH = 6, 20, 8


def step_on_meta(loss: Any, *, latent: bool) -> None:
    """Train a step where tensors have no content: whoever asks for one, as a wait for a GPU would, raises."""
    head = "latent" if latent else "linear"
    architecture = Architecture("linear", WIDTH, 0, (), (), True, head=head)
    classifier = build(architecture, CLASSES).to("meta")
    learned = [*classifier.parameters(), *(loss.parameters() if isinstance(loss, nn.Module) else ())]

    def codes() -> torch.Tensor:
        return torch.zeros(4, CLASSES, dtype=torch.int8, device="meta")

    def targets(rows: np.ndarray, outputs: Any) -> Targets:
        return Targets(
            observed=codes(), pseudo=codes(), scores=torch.zeros(4, CLASSES, device="meta"), truth=codes(),
            rows=torch.zeros(4, dtype=torch.int64, device="meta"), features=outputs.features, latent=outputs.latent,
            mirrored=torch.zeros(4, CLASSES, device="meta"), mirrored_features=torch.zeros(4, WIDTH, device="meta"),
            strong=outputs.logits,
        )  # fmt: skip

    train_epoch(
        classifier,
        [(np.arange(4), torch.zeros(4, WIDTH, device="meta"))],
        targets,
        loss,
        torch.optim.SGD(learned, lr=0.1),
        torch.amp.GradScaler("cpu", enabled=False),
        nullcontext(),
        Progress(),
        ALONE,
    )


@each(name=losses.loss_names())
def test_no_loss_waits_for_the_device_in_a_step(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which a device without content has not
    loss: Any = losses.create_loss(name, CLASSES, torch.zeros(ROWS, CLASSES, dtype=torch.int8))
    learned: Any = loss
    if isinstance(loss, nn.Module):
        learned.to("meta")
    for table in ("labels", "unknown_at_start"):
        if isinstance(getattr(loss, table, None), torch.Tensor):
            setattr(loss, table, getattr(loss, table).to("meta"))
    for epoch in (1, 7):
        if isinstance(loss, Scheduled):
            told: Scheduled = loss
            told.set_epoch(epoch, 8)
        step_on_meta(loss, latent=losses.entry(name).head == "latent")


def test_a_loss_that_waits_is_found() -> None:
    class Waiting:
        def __call__(self, logits: torch.Tensor, targets: Targets) -> torch.Tensor:
            return logits.mean() if logits.sum().item() > 0 else -logits.mean()

    class Selecting:
        def __call__(self, logits: torch.Tensor, targets: Targets) -> torch.Tensor:
            return logits[targets.observed == 0].mean()

    for loss, said in ((Waiting(), r"item\(\) cannot be called on meta tensors"), (Selecting(), r"torch\.nonzero")):
        with pytest.raises(RuntimeError, match=said):
            step_on_meta(loss, latent=False)


def test_normalised_bytes_are_those_of_the_formula() -> None:
    pixels = torch.randint(0, 256, (2, 9, 9, 3), dtype=torch.uint8)
    pixels[0, 0, 0], pixels[0, 0, 1] = 0, 255
    mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (MEAN, STD))
    found = normalized(pixels, scaling(MEAN, STD, CPU))
    assert found.dtype == torch.float32 and found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(
        found.double(), (pixels.permute(0, 3, 1, 2).double() / 255 - mean) / std, atol=1e-6, rtol=0
    )


def test_images_are_flipped_after_the_resize(blocks: Path) -> None:
    names = np.array([f"images/{n:02d}.png" for n in range(6)])
    rows, mirrored = np.array([4, 0, 5, 2, 3]), np.array([True, False, True, True, False])
    inputs = PixelInputs(blocks, names, 16, True, (0.5,) * 3, (1 / 255,) * 3, CPU, 0)
    found = torch.cat([batch for _, batch in inputs.batches(rows, 2, mirrored)])
    for row, mirror, pixels in zip(rows, mirrored, found, strict=True):
        image = Image.open(blocks / names[row]).convert("RGB").resize((16, 16), Image.Resampling.BILINEAR)
        expected = np.asarray(ImageOps.mirror(image) if mirror else image).transpose(2, 0, 1) - 127.5
        np.testing.assert_allclose(pixels, expected, atol=1e-3)


def test_labels_made_ahead_are_the_same(cache_path: Path) -> None:
    cache, rows = open_cache(cache_path), np.arange(1, 11)
    constants = {"temperature": 0.1, "eta": 0.1, "threshold": 0.2, "top_k": 2, "negative_ratio": 0.34}
    for policy in (
        policies.create_policy("damp", **constants),
        policies.create_policy("vlpl"),
        policies.create_policy("oracle"),
    ):
        labels = EpochLabels(cache, rows, policy, 3, 7)
        for epoch in (1, 2, 3):
            found, expected = labels.of(epoch), label(cache, rows, policy, epoch, 7)
            assert np.array_equal(found.codes, expected.codes) and np.array_equal(found.scores, expected.scores)
            labels.make_ahead(epoch + 1)
            labels.make_ahead(epoch + 1)


def test_labels_are_made_once_an_epoch_and_not_beyond_the_last(
    cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[int, bool]] = []

    def counted(cache: Any, rows: Any, policy: Any, epoch: int, seed: int) -> Any:
        made.append((epoch, threading.current_thread() is threading.main_thread()))
        return label(cache, rows, policy, epoch, seed)

    monkeypatch.setattr(epoch_labels, "label", counted)
    stage_two(cache_path, tmp_path / "damp", backbone="linear", epochs=3)
    assert made == [(1, True), (2, False), (3, False)]
    made.clear()
    stage_two(cache_path, tmp_path / "propagated", backbone="linear", epochs=2, policy="label-propagation")
    assert made == [(1, True), (2, True)]  # it labels by what the epoch before has learned


@pytest.mark.process
@pytest.mark.parametrize("workers", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_a_training_is_the_same_with_labels_made_ahead(
    cache_path: Path, tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"backbone": "clip", "epochs": 3, "lr": 0.01, "workers": workers}
    ahead = stage_two(cache_path, tmp_path / "ahead", **options)
    monkeypatch.setattr(EpochLabels, "make_ahead", lambda *_: None)
    plain = stage_two(cache_path, tmp_path / "plain", **options)
    assert (ahead / "best.safetensors").read_bytes() == (plain / "best.safetensors").read_bytes()


def test_what_goes_wrong_ahead_is_raised_where_labels_are_asked_for(
    cache_path: Path, tmp_path: Path, monkeypatch
) -> None:
    def broken(cache: Any, rows: Any, policy: Any, epoch: int, seed: int) -> Any:
        if epoch == 2:
            raise AevlpError("the disk is gone")
        return label(cache, rows, policy, epoch, seed)

    monkeypatch.setattr(epoch_labels, "label", broken)
    with pytest.raises(AevlpError, match="the disk is gone"):
        stage_two(cache_path, tmp_path / "run", backbone="linear", epochs=3)
    assert [line["epoch"] for line in RunFolder(tmp_path / "run").metrics()] == [1]


def test_labels_that_nobody_asks_for_end_with_the_training(cache_path: Path) -> None:
    cache, begun = open_cache(cache_path), threading.Event()

    class Slow:
        reads = ()

        def scores(self, similarity: np.ndarray, observed: np.ndarray) -> Any:
            begun.set()
            stopped.wait(10)
            return np.zeros(observed.shape, np.float32), np.zeros(observed.shape, np.float32)

        def __call__(self, known: Any) -> Any:
            raise AssertionError("it went on")

    labels = EpochLabels(cache, np.arange(8), Slow(), 5, 0)
    labels.make_ahead(2)
    assert labels._ahead is not None
    stopped, thread = labels._ahead._stopped, labels._ahead._thread
    assert begun.wait(10)
    labels.close()
    assert not thread.is_alive() and labels._ahead is None


def test_waiting_is_measured(cache_path: Path, tmp_path: Path) -> None:
    run = stage_two(cache_path, tmp_path / "run", backbone="clip", epochs=2)
    for line in RunFolder(run).metrics()[:-1]:
        assert 0 <= line["waiting"] <= line["seconds"]


def test_a_batch_that_does_not_fit_is_halved() -> None:
    sizes: list[int] = []

    class Tight(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            sizes.append(len(inputs))
            if len(inputs) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return inputs * 2

    inputs = torch.arange(26.0).view(13, 2)
    batches = [(np.arange(10), inputs[:10]), (np.arange(10, 13), inputs[10:])]
    assert np.array_equal(predict_logits(Tight(), batches, nullcontext()), 2 * inputs.numpy())
    assert sizes == [10, 5, 2, 2, 2, 2, 2, 2, 1]


def state_of(classifier: nn.Module, *, fused: bool | None) -> TrainingState:
    optimizer = torch.optim.Adam(classifier.parameters(), lr=0.01, fused=fused)
    return TrainingState(classifier, optimizer, torch.amp.GradScaler("cpu", enabled=False), lambda *_: None)  # type: ignore[arg-type]


@pytest.mark.parametrize("fused_before", [True, None])
def test_a_restored_optimiser_goes_on_in_the_weights_layout(fused_before: bool | None) -> None:
    inputs = torch.randn(4, 3, 32, 32).contiguous(memory_format=torch.channels_last)

    def steps(state: TrainingState, count: int) -> None:
        state.classifier.train()
        for _ in range(count):
            state.optimizer.zero_grad()
            state.classifier(inputs).square().mean().backward()
            state.optimizer.step()

    whole = state_of(create_timm("resnet10t", "random", 3, 32, True)[1], fused=fused_before)
    steps(whole, 2)
    tree = whole.tree()
    stored = {
        key: {n: v.contiguous().clone() if isinstance(v, torch.Tensor) else v for n, v in values.items()}
        for key, values in tree["optimizer"]["state"].items()
    }
    tree["optimizer"] = {**tree["optimizer"], "state": stored}
    tree["classifier"] = {key: value.contiguous().clone() for key, value in tree["classifier"].items()}
    resumed = state_of(create_timm("resnet10t", "random", 3, 32, True)[1], fused=True)
    resumed.restore(tree)
    for parameter, values in resumed.optimizer.state.items():
        assert values["exp_avg"].stride() == values["exp_avg_sq"].stride() == parameter.stride()
    steps(whole, 2)
    steps(resumed, 2)
    for name, value in whole.classifier.state_dict().items():
        assert torch.equal(value, resumed.classifier.state_dict()[name]), name


def test_convolutions_lie_channels_last_and_keep_it(cache_path: Path, tmp_path: Path) -> None:
    run = stage_two(cache_path, tmp_path / "run", backbone="resnet10t", weights="random", epochs=1)
    weights = RunFolder(run).load_best()[0].backbone.layer4[0].conv1.weight
    assert weights.is_contiguous(memory_format=torch.channels_last) and not weights.is_contiguous()
    patches = create_timm("vit_tiny_patch16_224", "random", 3, 224, True)[1].backbone.patch_embed.proj.weight
    assert patches.is_contiguous()


def test_a_run_from_before_there_was_a_choice_was_resized_exactly() -> None:
    architecture = Architecture("clip", 8, 32, (0.0,) * 3, (1.0,) * 3, True)
    values = architecture.to_json()
    assert values.pop("resize") == "exact"
    assert Architecture.from_json(values) == architecture


@pytest.mark.parametrize("stores", ["cosine", "embedding"])
def test_embeddings_are_held_as_they_are_stored(blocks: Path, tmp_path: Path, stores: str) -> None:
    cache = open_cache(stage_one(blocks, tmp_path / "half.h5", storage="float16", store=stores))
    architecture = Architecture("linear", cache.header.width, 32, (), (), True)
    inputs: Any = classifier_inputs(architecture, cache, blocks, CPU, 0)
    assert inputs._embedding.dtype == torch.float16
    rows, mirrored = np.array([5, 0, 9]), np.array([True, False, True])
    [(_, found)] = inputs.batches(rows, 3, mirrored)
    assert found.dtype == torch.float32
    assert np.array_equal(found, cache.embedding(rows)[np.arange(3), mirrored.astype(int)])


def test_curves_are_those_of_the_plain_way_within_noise(
    blocks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def curves(way: str) -> np.ndarray:
        cache = stage_one(blocks, tmp_path / f"{way}.h5", resize="exact" if way == "plain" else "fast")
        runs = [
            stage_two(cache, tmp_path / f"{way}{seed}", epochs=3, seed=seed, backbone="clip", lr=0.003)
            for seed in range(3)
        ]
        assert RunFolder(runs[0]).load_best()[1].resize == ("exact" if way == "plain" else "fast")
        return np.array([[line["loss"] for line in RunFolder(run).metrics() if "loss" in line] for run in runs])

    fast, adam = curves("fast"), torch.optim.Adam
    monkeypatch.setattr(classifiers, "_convolves_maps", lambda _: False)
    monkeypatch.setattr(torch.optim, "Adam", lambda *given, fused: adam(*given))
    plain = curves("plain")
    assert not np.array_equal(fast, plain)
    assert (np.abs(fast - plain) < plain.std(axis=0)).all(), (fast, plain)


def test_without_a_compiler_compile_is_one_line(cache_path: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(AevlpError, match=r"--compile needs a C\+\+ compiler, expected g\+\+ or clang\+\+ on the PATH"):
        stage_two(cache_path, tmp_path / "run", backbone="linear", compile=True)


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("at", ["train_epoch", "predict_logits"])
def test_a_signal_that_ends_the_compiler_too_is_an_interrupt(cache_path: Path, tmp_path: Path, at: str) -> None:
    """As Ctrl-C does, which goes to every program that the terminal runs."""

    def stopped(*given: object) -> None:
        signal.raise_signal(signal.SIGINT)
        raise RuntimeError("g++ was killed")

    options = {"backbone": "linear", "epochs": 2}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer if at == "train_epoch" else predictor, at, stopped)
        with pytest.raises(RuntimeError, match="was killed"):  # nothing is compiled: an error as any other
            stage_two(cache_path, tmp_path / "not", **options)
        patch.setattr(Classifier, "compile", lambda self: None)
        with pytest.raises(KeyboardInterrupt):
            stage_two(cache_path, tmp_path / "stopped", compile=True, **options)
    assert RunFolder(tmp_path / "stopped").state_files()
    whole = RunFolder(stage_two(cache_path, tmp_path / "whole", **options)).load_best()[0].state_dict()
    resumed = RunFolder(stage_two(cache_path, tmp_path / "stopped", resume=True, **options)).load_best()[0].state_dict()
    assert all(torch.equal(resumed[key], whole[key]) for key in whole)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler")
@pytest.mark.process
def test_a_compiled_classifier_learns_the_same(cache_path: Path, tmp_path: Path) -> None:
    runs = [
        RunFolder(stage_two(cache_path, tmp_path / str(compiled), backbone="linear", epochs=2, compile=compiled))
        for compiled in (False, True)
    ]
    (plain, *_), (compiled, *_) = (run.load_best() for run in runs)
    assert list(plain.state_dict()) == list(compiled.state_dict())
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(value, compiled.state_dict()[key], atol=1e-5, rtol=0)
    np.testing.assert_allclose(runs[0].load_logits()[1], runs[1].load_logits()[1], atol=1e-5)
    with pytest.raises(AevlpError, match="was started differently"):
        stage_two(cache_path, tmp_path / "True", backbone="linear", epochs=2)
