"""Large pictures: refused before they are decoded, in plain words, and read where --max-pixels says so."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import typer
from conftest import call, draw_blocks
from picture_files import scene, tiff
from PIL import Image

from aevlp.pipeline.errors import ImageError
from aevlp.pipeline.files.image_formats import MAX_PIXELS
from aevlp.pipeline.images import image_opening
from aevlp.pipeline.images.read import read_image, read_pixels
from aevlp.pipeline.images.view_loading import ViewDataset, load_views
from aevlp.pipeline.score_cache import open_cache
from aevlp.stages.option_types import pixels


def jpeg(width: int, height: int) -> bytes:
    """Return a JPEG that says it is of a size."""
    file = io.BytesIO()
    scene().save(file, "JPEG")
    content = file.getvalue()
    place = content.index(b"\xff\xc0") + 5
    return content[:place] + struct.pack(">HH", height, width) + content[place + 4 :]


def png(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + b"\0\0\0\x08IDAT"
    )


SAYS_ITS_SIZE = {
    "jpeg": jpeg,
    "png": png,
    "ppm": lambda width, height: b"P6 %d %d 255\n" % (width, height),
    "tiff": lambda width, height: tiff(bytes(8), width, height, 8),
    "bmp": lambda width, height: (
        b"BM" + struct.pack("<IIIIiiHHIIiiII", 60, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    ),
    "gif": lambda width, height: b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + b"," + bytes(10) + b";",
}


@pytest.mark.parametrize("kind", SAYS_ITS_SIZE)
def test_a_large_picture_is_refused_with_its_size_and_the_option(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "scan"
    for width, height, found in (
        (20000, 20000, "400 megapixels (20,000 x 20,000)"),
        (60001, 3000, "180 megapixels (60,001 x 3,000)"),
    ):
        path.write_bytes(SAYS_ITS_SIZE[kind](width, height))
        for decoder in ("pillow", "simplejpeg"):
            with pytest.raises(ImageError) as caught:
                read_pixels(path, decoder=decoder)
            message = str(caught.value)
            assert message.startswith(f"{path}: {found}")
            assert "more than the limit of 179: pass --max-pixels " in message
            assert not {"bomb", "attack", "DOS"} & set(message.split())
    assert Image.MAX_IMAGE_PIXELS == MAX_PIXELS // 2  # Pillow's own is left alone


def test_a_decoder_that_looks_at_the_size_itself_is_translated(tmp_path: Path, monkeypatch) -> None:
    scene().save(tmp_path / "scan.webp")

    def decoder(*_: object) -> None:
        raise Image.DecompressionBombError("Image size (1200 pixels) exceeds limit of 1000 pixels, could be … attack.")

    monkeypatch.setitem(Image.OPEN, "WEBP", (decoder, None))
    with pytest.raises(
        ImageError, match=r"scan\.webp: 0\.0012 megapixels, more than .* pass --max-pixels 1M if you trust it"
    ):
        read_image(tmp_path / "scan.webp")


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000", "PPM"])
def test_the_limit_that_is_given_counts_not_pillows(tmp_path: Path, monkeypatch, name: str) -> None:
    path = tmp_path / "scan"
    scene().save(path, name)
    expected = np.asarray(read_image(path))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    monkeypatch.setattr(image_opening, "MAX_PIXELS", 200)
    for decoder in ("pillow", "simplejpeg"):
        np.testing.assert_array_equal(read_pixels(path, decoder=decoder, max_pixels=1200), expected)
        with pytest.raises(ImageError, match=r"0\.0012 megapixels \(40 x 30\), more than the limit of 0\.001199"):
            read_pixels(path, decoder=decoder, max_pixels=1199)


@pytest.mark.process
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("resize", ["fast", "exact"])
def test_the_limit_reaches_workers_and_tiles(tmp_path: Path, monkeypatch, workers: int, resize: str) -> None:
    scene().save(tmp_path / "scan.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    monkeypatch.setattr(image_opening, "MAX_PIXELS", 200)
    for limit, status in ((1200, "ok"), (1100, "unreadable")):
        views = ViewDataset([tmp_path / "scan.png"], 2, 16, "paper", resize, max_pixels=limit)
        (batch,) = load_views(views, [[0]], workers)
        assert batch.status == [status]


@pytest.mark.slow
def test_both_stages_take_the_limit_and_the_cache_is_the_same(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = tmp_path / "data"
    draw_blocks(folder)
    scene(200, 150).save(folder / "images" / "scan.png")
    (folder / "labels.csv").write_text((folder / "labels.csv").read_text() + "images/scan.png,train,red\n")
    manifest, cache, whole = folder / "blocks.yaml", tmp_path / "a.h5", tmp_path / "whole.h5"
    given = ("--dataset", "blocks", "--manifest", manifest, "--workers", 0)
    assert call("check", manifest, "--max-pixels", "10k") == 1
    assert "scan.png: 0.03 megapixels (200 x 150)" in capsys.readouterr().out
    assert call("check", manifest, "--max-pixels", "30k") == 0
    assert call("pseudolabel", *given, "--cache", whole) == 0
    assert call("pseudolabel", *given, "--cache", cache, "--max-pixels", "10k") == 0
    assert "pass --max-pixels 1M" in capsys.readouterr().err
    assert (open_cache(cache).status != "ok").sum() == 1
    assert call("pseudolabel", *given, "--cache", cache) == 0  # the limit is no other setting
    assert "made with these very settings" in capsys.readouterr().out
    assert call("cache", "retry", cache, "--workers", 0, "--max-pixels", "10k") == 0
    assert (open_cache(cache).status != "ok").sum() == 1
    assert call("cache", "retry", cache, "--workers", 0, "--max-pixels", "30k") == 0
    assert call("cache", "diff", cache, whole) == 0
    np.testing.assert_array_equal(open_cache(cache).embedding(slice(None)), open_cache(whole).embedding(slice(None)))
    run = tmp_path / "run"
    common = ("--workers", 0, "--max-pixels")
    assert call("train", "--cache", cache, "--epochs", 1, "--run", tmp_path / "none", *common, "10k") == 1
    assert "pass --max-pixels 1M" in capsys.readouterr().err
    assert call("train", "--cache", cache, "--epochs", 1, "--run", run, *common, "30k") == 0
    assert call("evaluate", run, "--split", "train", *common, "1k") == 1
    assert call("evaluate", run, "--split", "train", *common, "30k") == 0
    capsys.readouterr()
    assert call("predict", run, folder / "images" / "scan.png", *common, "10k") == 1
    assert "pass --max-pixels 1M" in capsys.readouterr().err
    assert call("predict", run, folder / "images" / "scan.png", *common, "30k") == 0


@pytest.mark.parametrize(
    "text, number",
    [
        ("400M", 400_000_000),
        ("1.5G", 1_500_000_000),
        ("400_000_000", 400_000_000),
        ("400,000,000", 400_000_000),
        (" 400MP ", 400_000_000),
        ("250k", 250_000),
        ("12", 12),
    ],
)
def test_a_number_of_pixels_is_written_as_people_do(text: str, number: int) -> None:
    assert pixels(text) == number


@pytest.mark.parametrize("text", ["", "0", "many", "-5M", "20000x20000", "1e8", "400T", "M", "0.2"])
def test_what_is_no_number_of_pixels_is_wrong_usage(text: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(typer.BadParameter, match="such as 400M"):
        pixels(text)
    assert call("check", "scenes", f"--max-pixels={text}") == 2
