"""The faster JPEG decoder: the same pixels as Pillow's, or Pillow."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from laws import each
from PIL import Image

from aevlp.pipeline.errors import ImageError
from aevlp.pipeline.images import decoders
from aevlp.pipeline.images.decoders import PILLOW, SIMPLEJPEG, fastest, jpeg_pixels
from aevlp.pipeline.images.read import read_image, read_pixels
from aevlp.pipeline.images.upright import ORIENTATION

RANDOM = np.random.default_rng(8)


def picture(mode: str = "RGB", size: tuple[int, int] = (50, 35)) -> Image.Image:
    coarse = Image.fromarray(RANDOM.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    return coarse.resize(size, Image.Resampling.BICUBIC).convert(mode)


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    fastest.cache_clear()
    yield
    fastest.cache_clear()  # other tests take what is installed


@each(
    mode=["RGB", "L"], progressive=[False, True], subsampling=[0, 1, 2], orientation=[1, 3, 6, 8], upright=[True, False]
)
def test_it_decodes_as_pillow_does(
    tmp_path: Path, mode: str, progressive: bool, subsampling: int, orientation: int, upright: bool
) -> None:
    path, exif = tmp_path / "x.jpg", Image.Exif()
    exif[ORIENTATION] = orientation
    picture(mode).save(path, quality=90, subsampling=subsampling, progressive=progressive, exif=exif)
    pixels = jpeg_pixels(path, upright)
    assert pixels is not None
    np.testing.assert_array_equal(pixels, np.asarray(read_image(path, upright)))
    np.testing.assert_array_equal(read_pixels(path, upright, SIMPLEJPEG), pixels)


def test_what_is_no_plain_jpeg_is_left_to_pillow(tmp_path: Path) -> None:
    picture("CMYK").save(tmp_path / "cmyk.jpg")
    picture("RGB").save(tmp_path / "png.jpg", "PNG")
    picture("RGB").save(tmp_path / "rgb.jpg", quality=95, keep_rgb=True)
    for name in ("cmyk.jpg", "png.jpg", "rgb.jpg"):
        expected = np.asarray(read_image(tmp_path / name))
        np.testing.assert_array_equal(read_pixels(tmp_path / name, decoder=SIMPLEJPEG), expected)
    assert jpeg_pixels(tmp_path / "cmyk.jpg", True) is None
    assert jpeg_pixels(tmp_path / "png.jpg", True) is None


@pytest.mark.parametrize("name, content", [("cut.jpg", None), ("empty.jpg", b""), ("text.jpg", b"\xff\xd8 no image")])
def test_a_damaged_file_has_the_reason_that_pillow_gives(tmp_path: Path, name: str, content: bytes | None) -> None:
    file = io.BytesIO()
    picture().save(file, "JPEG", quality=95)
    path = tmp_path / name
    path.write_bytes(file.getvalue()[:-300] if content is None else content)
    with pytest.raises(ImageError) as pillow:
        read_pixels(path)
    with pytest.raises(ImageError) as other:
        read_pixels(path, decoder=SIMPLEJPEG)
    assert str(other.value) == str(pillow.value)
    with pytest.raises(ImageError, match="no such file"):
        read_pixels(tmp_path / "none.jpg", decoder=SIMPLEJPEG)


def test_it_is_used_where_it_is_installed_and_gives_the_same_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fastest() == SIMPLEJPEG
    fastest.cache_clear()
    monkeypatch.setattr(decoders, "jpeg_pixels", lambda source, upright: np.zeros((48, 64, 3), dtype=np.uint8))
    assert fastest() == PILLOW
    fastest.cache_clear()
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    assert fastest() == PILLOW
