"""One training by several processes, against the same training by one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import draw_blocks, stage_one, stage_two
from laws import each

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.runtime.ranks import Rank
from aevlp.pipeline.training.checkpoint import load_tensors
from aevlp.pipeline.training.distributed import Processes, own_device
from aevlp.pipeline.training.inputs import EmbeddingInputs, PixelInputs
from aevlp.pipeline.training.run_folder import RunFolder

VIT = """
{"embed_dim": 16,
 "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16},
 "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}}
"""
OPTIONS = {"epochs": 3, "batch_size": 3, "lr": 0.0005}  # 10 images: the last batch of an epoch is a single one


def processes(number: int, *arguments: object) -> subprocess.Popen:
    """Start a program or module in several processes."""
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", number)
    return subprocess.Popen(
        [sys.executable, *map(str, (*torchrun, *arguments))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def training(number: int, cache: Path, run: Path, *more: object, **options: object) -> subprocess.Popen:
    """Start a training of the blocks; without the two dashes torchrun would take --run for its own --run-path."""
    given = [word for name, value in {**OPTIONS, **options}.items() for word in (f"--{name.replace('_', '-')}", value)]
    command = ("train", "--cache", cache, "--run", run, "--workers", 0, *given, *more)
    return processes(number, "-m", "--", "aevlp.stages", *command)


@pytest.fixture(scope="module")
def vit_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of blocks scored by a transformer, which has no batch statistics; the head alone learns in epoch 1."""
    folder = tmp_path_factory.mktemp("vit")
    draw_blocks(folder / "data", 13, 5)
    (folder / "data" / "tiny-vit.json").write_text(VIT)
    manifest = folder / "data" / "blocks.yaml"
    text = manifest.read_text().replace("tiny-clip.json", "tiny-vit.json")
    manifest.write_text(text.replace("lr: 0.001", "lr: 0.001, linear_init: 1"))
    return stage_one(folder / "data", folder / "c.h5", storage="float32")


def assert_alike(found: Path, expected: Path) -> None:
    """Losses and maps to 1e-6; the test split's rows in their order, each once."""
    for a, b in zip(RunFolder(found).metrics(), RunFolder(expected).metrics(), strict=True):
        for key in ("epoch", "best", "best_epoch"):
            assert a.get(key) == b.get(key)
        for key in ("loss", "val_map", "test_map"):
            assert a.get(key) == pytest.approx(b.get(key), abs=1e-6)
    (rows, logits), (expected_rows, expected_logits) = (RunFolder(run).load_logits() for run in (found, expected))
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_allclose(logits, expected_logits, atol=2e-5)


@pytest.mark.slow
@pytest.mark.process
def test_no_thread_of_the_group_outlives_a_training(vit_cache: Path, tmp_path: Path) -> None:
    """One that does can abort Python's own end, and with it a training that is done."""
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\nfrom pathlib import Path\nfrom aevlp.stages.stage_two import train\n"
        "train.train(Path(sys.argv[1]), run=Path(sys.argv[2]), workers=0, epochs=2, progress=True)\n"
        "names = [p.read_text().strip() for p in Path('/proc/self/task').glob('*/comm')]\n"
        # In one write: what two processes print may otherwise be mixed.
        "sys.stdout.write(f'threads {[name for name in names if \"gloo\" in name]}\\n')\n"
    )
    out, err = processes(2, program, vit_cache, tmp_path / "run").communicate(timeout=120)
    assert out.count("threads []") == 2, out + err


@pytest.mark.process
@pytest.mark.parametrize(
    ("backbone", "loss"),
    [
        pytest.param("clip", "mulsupcon", marks=pytest.mark.slow),  # reads features of the whole batch
        ("linear", "mulsupcon"),  # features that do not learn
        pytest.param("linear", "virtual-category", marks=pytest.mark.slow),  # reads another view of the whole batch
        pytest.param("clip", "scpnet", marks=pytest.mark.slow),  # reads two, of which one learns
        pytest.param("clip", "gpr", marks=pytest.mark.slow),
        pytest.param("linear", "role", marks=pytest.mark.slow),  # learns a table
        pytest.param("linear", "ll-cp", marks=pytest.mark.slow),  # corrects labels
    ],
)
def test_two_processes_train_as_one_does(vit_cache: Path, tmp_path: Path, backbone: str, loss: str) -> None:
    alone = stage_two(vit_cache, tmp_path / "alone", backbone=backbone, loss=loss, **OPTIONS)
    process = training(2, vit_cache, tmp_path / "two", backbone=backbone, loss=loss)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert_alike(tmp_path / "two", alone)
    for text in (out, err):
        assert "Traceback" not in text and "Warning" not in text
    assert err.count("epoch 2: loss") == 1 and out.count("best validation mAP") == 1  # one of them speaks


@pytest.mark.process
@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_processes(vit_cache: Path, tmp_path: Path) -> None:
    """Two processes are terminated, one goes on and is interrupted, and two finish it."""
    options = {**OPTIONS, "epochs": 8, "batch_size": 2, "backbone": "clip"}
    alone = stage_two(vit_cache, tmp_path / "alone", **options)
    folder = RunFolder(tmp_path / "run")
    process = training(2, vit_cache, folder.path, "--save-minutes", 0, **options)
    while not folder.state_files():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    err = process.communicate(timeout=60)[1]
    assert not folder.finished() and "interrupted" in err
    stopped = folder.state_files()[-1]

    class Enough(Exception): ...

    with pytest.MonkeyPatch.context() as patch:
        real, calls = RunFolder.save_state, []

        def save(*given) -> None:
            calls.append(real(*given))
            if len(calls) == 2:
                raise Enough

        patch.setattr(RunFolder, "save_state", save)
        with pytest.raises(Enough):
            stage_two(vit_cache, folder.path, resume=True, save_minutes=0, **options)
    assert folder.state_files()[-1].name > stopped.name
    process = training(2, vit_cache, folder.path, "--resume", **options)
    err = process.communicate(timeout=120)[1]
    assert process.returncode == 0, err
    assert "resuming in epoch" in err
    assert_alike(folder.path, alone)


@pytest.mark.process
@pytest.mark.slow
def test_a_loss_sees_the_whole_batch_in_every_process(tmp_path: Path) -> None:
    script = Path(__file__).with_name("distributed_training.py")
    (tmp_path / "alone").mkdir()
    subprocess.run([sys.executable, str(script), str(tmp_path / "alone")], check=True)
    process = processes(3, script, tmp_path)
    err = process.communicate(timeout=120)[1]
    assert process.returncode == 0, err
    alone = load_tensors(tmp_path / "alone" / "0.safetensors")[0]
    found = [load_tensors(tmp_path / f"{rank}.safetensors") for rank in range(3)]
    rows = alone.pop("given").tolist()
    assert sorted(row for tensors, _ in found for row in tensors.pop("given").tolist()) == sorted(rows)
    for tensors, _ in found:
        assert set(tensors) == set(alone) and {"learned", "remembered", "head.weight"} <= set(alone)
        for name, value in alone.items():
            torch.testing.assert_close(tensors[name], value, rtol=1e-12, atol=1e-12)
    for number, (_, talked) in enumerate(found):
        assert talked["said"] == "from 0: ü"
        assert talked["voted"] == [True, False, True]
        assert talked["rows"] == torch.arange(10.0).view(5, 2).tolist()
        raised, silent = "AevlpError a mistake", "SystemExit 1"
        assert talked["left"] == [(silent, raised, silent)[number], (raised, silent, silent)[number], "went on"]


@pytest.mark.process
@pytest.mark.slow
def test_a_mistake_is_said_once(vit_cache: Path, tmp_path: Path) -> None:
    process = training(2, vit_cache, tmp_path / "run", "--loss", "gpt")
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert err.count("error: --loss: unknown loss 'gpt'") == 1
    assert not (tmp_path / "run").exists()


@each(of=[1, 2, 3, 7], n=[0, 1, 2, 5, 14])
def test_shares_are_those_of_array_split(of: int, n: int) -> None:
    things = np.arange(n)
    shares = [things[Processes(Rank(number, of, number)).share(n)].tolist() for number in range(of)]
    assert shares == [part.tolist() for part in np.array_split(things, of)]


@pytest.mark.parametrize("sizes, expected", [(3, [3, 3, 1]), ([2, 0, 5], [2, 0, 5]), (7, [7]), (9, [7])])
@pytest.mark.process
@pytest.mark.parametrize("workers", [0, 1])
def test_batches_have_the_sizes_asked_for(blocks: Path, sizes, expected: list[int], workers: int) -> None:
    rows, mirrored = np.array([5, 3, 0, 1, 2, 6, 4]), np.arange(7) % 2 == 0
    pixels = PixelInputs(
        blocks / "images",
        np.array([f"{n:02d}.png" for n in range(7)]),
        8,
        True,
        (0, 0, 0),
        (1, 1, 1),
        torch.device("cpu"),
        workers,
    )
    embedding = torch.randn(7, 2, 4).numpy()
    for inputs in (pixels, EmbeddingInputs(embedding, torch.device("cpu"))):
        whole = next(iter(inputs.batches(rows, 7, mirrored)))[1]
        state = torch.get_rng_state()
        found = [batch for batch in inputs.batches(rows, sizes, mirrored) if len(batch[0])]
        assert [len(numbers) for numbers, _ in found] == [size for size in expected if size]
        assert torch.equal(torch.cat([batch for _, batch in found]), whole)
        assert np.concatenate([numbers for numbers, _ in found]).tolist() == rows.tolist()
        assert torch.equal(torch.get_rng_state(), state)  # a pass draws nothing, or a resumed run would draw otherwise
        assert list(inputs.batches(rows[:0], 3)) == []


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    second = Rank(1, 2, 1)
    assert own_device(None, second) == own_device("cuda", second) == torch.device("cuda:1")
    assert own_device("cpu", second) == torch.device("cpu")
    assert own_device("cuda:1", Rank(0, 1, 0)) == own_device("cuda:1", Rank(0, 2, 0)) == torch.device("cuda:1")
    with pytest.raises(AevlpError, match="--device cuda:0 is one GPU, and process 1 of 2 is not alone on it"):
        own_device("cuda:0", second)
    with pytest.raises(AevlpError, match="cuda:2 is not there"):
        own_device(None, Rank(2, 3, 2))
