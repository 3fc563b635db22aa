"""Views resized together by torch, beside Pillow's own, and what is left to do on a GPU, done here in memory."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.images.resizing import EXACT, FAST, RESIZES, described, resize_of, resized_image, resized_views
from aevlp.pipeline.images.resizing import stretched_in_float as in_float
from aevlp.pipeline.images.view_loading import ViewDataset, load_views
from aevlp.pipeline.images.views import view_boxes, view_bytes

sides = st.integers(1, 60)


def pixels(seed: int, height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def photograph(height: int, width: int) -> torch.Tensor:
    """Smooth shapes with edges and some noise, as a camera gives them."""
    random = np.random.default_rng(3)
    coarse = Image.fromarray(random.integers(0, 256, (7, 9, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    smooth[height // 3 : height // 2, width // 4 : width // 2] = (200, 30, 90)
    return torch.from_numpy((smooth + random.normal(0, 2, smooth.shape)).clip(0, 255).astype(np.uint8))


def by_pillow(image: torch.Tensor, grid: int, size: int, compat: str) -> np.ndarray:
    picture = Image.fromarray(image.numpy())
    boxes = view_boxes(*picture.size, grid, compat)
    return np.stack([view_bytes(picture, box, size) for box in boxes]).transpose(0, 3, 1, 2)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9), sides, sides, st.integers(1, 5), st.integers(1, 40), st.sampled_from(("paper", "published")))
def test_both_resizes_are_pillows(seed: int, height: int, width: int, grid: int, size: int, compat: str) -> None:
    image = pixels(seed, height, width)
    expected = by_pillow(image, grid, size, compat)
    exact, fast = (resized_views(image, grid, size, compat, resize) for resize in (EXACT, FAST))
    np.testing.assert_array_equal(exact.numpy(), expected)
    assert fast.dtype == torch.uint8 and fast.shape == expected.shape
    assert np.abs(fast.numpy().astype(int) - expected).max() <= 2  # noise is the worst that a resize can meet


@pytest.mark.parametrize("shape", [(375, 500), (500, 333), (120, 90)])
def test_on_a_photograph_they_are_a_grey_level_apart_here_and_there(shape: tuple[int, int]) -> None:
    image = photograph(*shape)
    apart = np.abs(resized_views(image, 4, 224).numpy().astype(int) - by_pillow(image, 4, 224, "paper"))
    assert apart.max() <= 2 and apart.mean() < 0.02


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("size", [16, 448])
def test_a_whole_image_is_view_0(resize: str, size: int) -> None:
    image = photograph(100, 150)
    assert torch.equal(resized_image(image, size, resize), resized_views(image, 2, size, resize=resize)[0])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 9), sides, sides, st.integers(1, 40))
def test_what_a_gpu_computes_is_pillows_too(seed: int, height: int, width: int, size: int) -> None:
    image = pixels(seed, height, width)
    found = in_float(image[None].permute(0, 3, 1, 2), size)
    assert found.dtype == torch.uint8
    assert (found[0].int() - resized_image(image, size, EXACT).int()).abs().max() <= 2


def test_a_description_says_which_resize_it_was() -> None:
    assert [resize_of(described(resize)) for resize in RESIZES] == list(RESIZES)
    with pytest.raises(AevlpError, match="unknown resize 'cut out'"):
        resize_of("cut out")


@pytest.mark.process
@pytest.mark.parametrize("workers", [0, 1])
def test_views_made_on_the_device_are_those_that_workers_make(tmp_path: Path, workers: int) -> None:
    paths = [tmp_path / f"{n}.png" for n in range(5)]
    for n, path in enumerate(paths):
        if n != 2:
            Image.fromarray(pixels(n, 20 + n, 31 - n).numpy()).save(path)
    batches = [[0, 1, 2], [2], [3, 4]]
    ready = ViewDataset(paths, 2, 16, "paper", FAST)
    left = ViewDataset(paths, 2, 16, "paper", FAST, decoded_only=True)
    cpu = torch.device("cpu")
    for a, b in zip(load_views(ready, batches, workers), load_views(left, batches, workers), strict=True):
        assert (a.rows, a.status, a.reason) == (b.rows, b.status, b.reason)
        assert b.shapes is not None and len(b.shapes) == a.status.count("ok")
        assert torch.equal(ready.views_on(a, cpu), left.views_on(b, cpu))
        assert left.views_on(b, cpu).shape == (a.status.count("ok"), 5, 3, 16, 16)
