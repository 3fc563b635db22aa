"""The cache of resized images: what it gives is what was put in, or nothing; trainings with it and without are the same."""

import copy
import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import call, stage_two
from PIL import Image
from test_stage_two import without_times

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.images.image_cache import ImageCache
from aevlp.pipeline.training import inputs as training_data
from aevlp.pipeline.training import trainer
from aevlp.pipeline.training.checkpoint import load_tensors
from aevlp.pipeline.training.inputs import PixelInputs
from aevlp.pipeline.training.run_folder import RunFolder

NAMES = np.array([f"images/{n}.png" for n in range(5)])
OPTIONS = {"backbone": "clip", "epochs": 2}


def image(seed: int, size: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def opened(folder: Path, **other) -> ImageCache:
    return ImageCache(folder, **{"names": NAMES, "size": 6, "upright": True, "resize": "exact", **other})


def refuse(*_: object) -> None:
    raise AssertionError("an image file was opened")


def test_it_gives_what_was_kept_and_nothing_else(tmp_path: Path) -> None:
    cached = opened(tmp_path)
    for row in (3, 0, 4):
        cached.write(row, f"10 {row}", image(row))
    for reader in (cached, opened(tmp_path), copy.copy(cached)):
        for row in range(5):
            found = reader.read(row, f"10 {row}")
            assert found is None if row in (1, 2) else np.array_equal(found, image(row))
        assert reader.read(3, "10 4") is None and reader.read(3, "") is None
    stored = np.load(cached.path / "images.npy", mmap_mode="r", allow_pickle=False)
    assert np.array_equal(stored[3], image(3)) and not stored[1].any()


def test_a_row_that_was_written_in_part_is_not_there(tmp_path: Path) -> None:
    cached = opened(tmp_path)
    cached.write(2, "stamp", image(2))
    for place in (0, 50, 107):
        with (cached.path / "images.npy").open("r+b") as file:
            file.seek(128 + 2 * 108 + place)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 1]))
        assert cached.read(2, "stamp") is None
        cached.write(2, "stamp", image(2))
        assert np.array_equal(cached.read(2, "stamp"), image(2))


def test_what_is_not_written_takes_no_room(tmp_path: Path) -> None:
    cached = opened(tmp_path, names=np.array([str(n) for n in range(1000)]), size=128)
    cached.write(999, "stamp", image(0, 128))
    found = (cached.path / "images.npy").stat()
    assert found.st_size == 128 + 1000 * 128 * 128 * 3 and found.st_blocks * 512 < found.st_size / 100


@pytest.mark.parametrize("other", [{"size": 7}, {"upright": False}, {"resize": "fast"}, {"names": NAMES[::-1]}])
def test_other_images_have_another_folder(tmp_path: Path, other: dict) -> None:
    opened(tmp_path).write(2, "stamp", image(1))
    assert opened(tmp_path, **other).read(2, "stamp") is None
    assert len(list(tmp_path.iterdir())) == 2


def test_a_cache_that_was_begun_is_made_and_a_strange_one_refused(tmp_path: Path) -> None:
    path = opened(tmp_path).path
    (path / "about.json").unlink()  # as a kill leaves it
    (path / "rows.npy").write_bytes(b"half")
    cached = opened(tmp_path)
    assert cached.read(1, "stamp") is None
    cached.write(1, "stamp", image(1))
    assert np.array_equal(opened(tmp_path).read(1, "stamp"), image(1))
    for content in ("{", "{}"):
        (path / "about.json").write_text(content)
        with pytest.raises(AevlpError, match="delete that folder"):
            opened(tmp_path)


def test_a_full_disk_and_a_folder_that_is_none_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = opened(tmp_path / "cache")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(AevlpError, match=r"No space left on device, all images take 0\.0 MB; choose another") as caught:
        cached.write(0, "stamp", image(0))
    assert "\n" not in str(caught.value)
    (tmp_path / "file").touch()
    with pytest.raises(AevlpError, match=r"cannot write the image cache .*Not a directory"):
        opened(tmp_path / "file")


@pytest.mark.process
def test_a_full_disk_ends_a_training_in_one_line(cache_path: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    for workers in (0, 1):
        run, kept = tmp_path / f"run{workers}", tmp_path / "kept"
        code = call("train", "--cache", cache_path, "--run", run, "--workers", workers, "--image-cache", kept)
        assert code == 1
        assert capsys.readouterr().err.splitlines()[-1].startswith("error: cannot write the image cache")


def test_an_image_that_has_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "images").mkdir()
    for n, name in enumerate(NAMES):
        Image.fromarray(image(n, 20)).save(tmp_path / name)

    def pixels(cached: ImageCache | None) -> torch.Tensor:
        inputs = PixelInputs(tmp_path, NAMES, 6, True, (0.5,) * 3, (0.2,) * 3, torch.device("cpu"), 0, "exact", cached)
        return next(iter(inputs.batches(np.array([4, 1, 0]), 3)))[1]

    first = pixels(opened(tmp_path / "kept"))
    assert torch.equal(first, pixels(None))
    Image.fromarray(image(9, 20)).save(tmp_path / NAMES[1])
    second = pixels(opened(tmp_path / "kept"))
    assert torch.equal(second, pixels(None)) and not torch.equal(second, first)
    monkeypatch.setattr(training_data, "read_pixels", refuse)
    assert torch.equal(second, pixels(opened(tmp_path / "kept")))


@pytest.mark.process
@pytest.mark.parametrize("workers", [0, 2])
def test_a_training_is_the_same_and_a_second_one_opens_no_image(
    cache_path: Path, tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(name: str, **options) -> tuple:
        run = stage_two(cache_path, tmp_path / name, workers=workers, **OPTIONS, **options)
        return without_times(run), load_tensors(RunFolder(run).best_file)[0]

    (plain, plain_weights), kept = trained("plain"), {"image_cache": tmp_path / "kept"}
    first, first_weights = trained("first", **kept)
    monkeypatch.setattr(training_data, "read_pixels", refuse)  # forked workers have it too
    second, second_weights = trained("second", **kept)
    assert plain == first == second
    for name, value in plain_weights.items():
        assert torch.equal(value, first_weights[name]) and torch.equal(value, second_weights[name])


def test_a_run_goes_on_with_an_image_cache_or_without(cache_path: Path, tmp_path: Path, monkeypatch) -> None:
    whole = stage_two(cache_path, tmp_path / "whole", **OPTIONS)
    real, calls = trainer.train_epoch, []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "train_epoch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            stage_two(cache_path, tmp_path / "part", **OPTIONS)
    stage_two(cache_path, tmp_path / "part", resume=True, image_cache=tmp_path / "kept", **OPTIONS)
    assert without_times(tmp_path / "part") == without_times(whole)
