"""Files of every kind that people have, sound or damaged, made here with Pillow."""

import os
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from aevlp.pipeline.errors import AevlpError, ImageError
from aevlp.pipeline.files.stamps import file_identity, file_size
from aevlp.pipeline.images.read import read_image

ORIENTATION = 0x0112  # EXIF tag
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),  # a quarter turn clockwise
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


def noise(width: int = 7, height: int = 4) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def rgb(path: Path, upright: bool = True) -> np.ndarray:
    image = read_image(path, upright)
    assert image.mode == "RGB"
    return np.asarray(image)


def oriented(path: Path, orientation: int) -> Path:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(noise()).save(path, exif=exif)
    return path


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".ppm"])
def test_colours_are_read_as_they_are(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image{suffix}"
    Image.fromarray(noise()).save(path)
    np.testing.assert_array_equal(rgb(path), noise())


def test_a_file_needs_no_suffix(tmp_path: Path) -> None:
    Image.fromarray(noise()).save(tmp_path / "image", format="PNG")
    np.testing.assert_array_equal(rgb(tmp_path / "image"), noise())


def test_jpeg_is_read_with_its_size(tmp_path: Path) -> None:
    Image.new("RGB", (33, 21), (200, 30, 90)).save(tmp_path / "image.jpg", quality=95)
    pixels = rgb(tmp_path / "image.jpg")
    assert pixels.shape == (21, 33, 3)
    assert np.abs(pixels.astype(int) - (200, 30, 90)).max() <= 4


def test_one_pixel_is_an_image(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "image.png")
    assert rgb(tmp_path / "image.png").tolist() == [[[1, 2, 3]]]


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    levels = noise()[..., 0]
    Image.fromarray(levels).save(tmp_path / "image.png")
    np.testing.assert_array_equal(rgb(tmp_path / "image.png"), np.stack([levels] * 3, axis=-1))


def test_black_and_white_is_converted(tmp_path: Path) -> None:
    levels = noise()[..., 0] > 127
    Image.fromarray(levels).save(tmp_path / "image.png")
    np.testing.assert_array_equal(rgb(tmp_path / "image.png")[..., 1], levels * 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_dropped_not_blended(tmp_path: Path, mode: str) -> None:
    color = (200, 30, 90, 0) if mode == "RGBA" else (200, 0)
    Image.new(mode, (3, 2), color).save(tmp_path / "image.png")
    assert (rgb(tmp_path / "image.png") == ((200, 30, 90) if mode == "RGBA" else 200)).all()


@pytest.mark.parametrize("transparent", [None, 1])
def test_palette_indices_become_their_colours(tmp_path: Path, transparent: int | None) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    if transparent is not None:
        image.info["transparency"] = transparent
    image.save(tmp_path / "image.png")
    with Image.open(tmp_path / "image.png") as file:
        assert file.mode == "P"
        assert file.info.get("transparency") == transparent
    assert rgb(tmp_path / "image.png").tolist() == [[[10, 20, 30], [200, 100, 50]]]


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    Image.new("CMYK", (3, 2), (0, 255, 255, 0)).save(tmp_path / "image.tif")
    assert (rgb(tmp_path / "image.tif") == (255, 0, 0)).all()
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "image.jpg", quality=95)
    assert np.abs(rgb(tmp_path / "image.jpg").astype(int) - (255, 0, 0)).max() <= 12


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_grey_keeps_the_high_byte(tmp_path: Path, suffix: str) -> None:
    levels = np.array([[0x0000, 0x00FF, 0x0100, 0x1234], [0x7FFF, 0x8000, 0xFEFF, 0xFFFF]], dtype=np.uint16)
    path = tmp_path / f"image{suffix}"
    Image.fromarray(levels).save(path)
    with Image.open(path) as file:
        assert file.mode.startswith("I")
    expected = [[0x00, 0x00, 0x01, 0x12], [0x7F, 0x80, 0xFE, 0xFF]]
    np.testing.assert_array_equal(rgb(path), np.stack([expected] * 3, axis=-1))


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    path = oriented(tmp_path / "image.png", orientation)
    np.testing.assert_array_equal(rgb(path), UPRIGHT[orientation](noise()))


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_ignored_on_request(tmp_path: Path, orientation: int) -> None:
    path = oriented(tmp_path / "image.png", orientation)
    np.testing.assert_array_equal(rgb(path, upright=False), noise())


def test_exif_orientation_of_a_jpeg_swaps_its_sides(tmp_path: Path) -> None:
    path = oriented(tmp_path / "image.jpg", 6)
    assert read_image(path).size == (4, 7)
    assert read_image(path, upright=False).size == (7, 4)


def test_an_unreal_orientation_is_ignored(tmp_path: Path) -> None:
    path = oriented(tmp_path / "image.png", 42)
    np.testing.assert_array_equal(rgb(path), noise())


def failure(path: Path) -> ImageError:
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert isinstance(caught.value, AevlpError)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.count(str(path)) == 1
    assert len(message) > len(f"{path}: ")
    assert "\n" not in message
    return caught.value


def test_a_missing_file(tmp_path: Path) -> None:
    assert failure(tmp_path / "none.jpg").status == "missing"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert failure(tmp_path).status == "missing"


def test_zero_bytes(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    path.touch()
    error = failure(path)
    assert error.status == "unreadable"
    assert "empty" in str(error)


def test_text_that_is_called_an_image(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    path.write_text("not an image\n")
    assert failure(path).status == "unreadable"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp", ".gif"])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_truncated_file(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"image{suffix}"
    Image.fromarray(noise(64, 64)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert failure(path).status == "unreadable"


def test_garbage_after_a_true_signature(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + np.random.default_rng(0).bytes(500))
    assert failure(path).status == "unreadable"


def test_out_of_memory_is_not_blamed_on_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "image.png"
    Image.fromarray(noise()).save(path)

    def load(self: Image.Image) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    with pytest.raises(MemoryError):
        read_image(path)


def contained(kind: str, *files: Path) -> list[Path]:
    """Put files in one container of a kind beside them; return the paths that lead through it."""
    container = files[0].parent / f"all.{kind}"
    if kind == "tar":
        with tarfile.open(container, "w") as tar:
            for file in files:
                tar.add(file, f"some/{file.name}")
        return [container / "some" / file.name for file in files]
    rows = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    content = pa.table({"image": pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))})
    if kind == "parquet":
        pq.write_table(content, container)
    else:
        with pa.OSFile(str(container), "wb") as sink, pa.ipc.new_stream(sink, content.schema) as writer:
            writer.write_table(content)
    return [container / "image" / str(row) for row in range(len(files))]


CONTAINERS = ("tar", "parquet", "arrow")


@pytest.mark.parametrize("kind", CONTAINERS)
def test_pixels_and_sizes_in_a_container_are_those_of_the_files(tmp_path: Path, kind: str) -> None:
    files = [oriented(tmp_path / f"{n}.png", n) for n in UPRIGHT]
    for name in ("a.jpg", "a.gif", "a.bmp", "a.tif", "a.webp"):
        Image.fromarray(noise(40, 30)).save(tmp_path / name)
        files.append(tmp_path / name)
    for path, file in zip(contained(kind, *files), files, strict=True):
        for upright in (True, False):
            np.testing.assert_array_equal(rgb(path, upright), rgb(file, upright))
        assert file_size(path) == file_size(file) == len(file.read_bytes())


@pytest.mark.parametrize("kind", CONTAINERS)
def test_what_is_wrong_in_a_container_is_said_as_of_a_file(tmp_path: Path, kind: str) -> None:
    Image.fromarray(noise(64, 64)).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:900])
    (tmp_path / "text.jpg").write_text("not an image\n")
    (tmp_path / "empty.jpg").touch()
    files = [tmp_path / name for name in ("cut.jpg", "text.jpg", "empty.jpg")]
    paths = contained(kind, *files)
    for path, file in zip(paths, files, strict=True):
        error = failure(path)
        assert error.status == failure(file).status == "unreadable"
        assert "0x" not in str(error)  # an address in memory, another one in each run
    assert "empty" in str(failure(paths[2]))
    for path in (paths[0].parent / "99", paths[0].parent, paths[0].parent.parent / "99" / "0"):
        assert failure(path).status == "missing"
        assert file_size(path) is None


@pytest.mark.parametrize("kind", CONTAINERS)
def test_an_image_in_a_damaged_container_is_unreadable(tmp_path: Path, kind: str) -> None:
    Image.fromarray(noise()).save(tmp_path / "a.png")
    path = contained(kind, tmp_path / "a.png")[0]
    container = tmp_path / f"all.{kind}"
    container.write_bytes(container.read_bytes()[:300])
    assert failure(path).status == "unreadable"
    assert file_size(path) is None
    container.unlink()
    assert failure(path).status == "missing"


def test_the_identity_of_a_file_changes_when_it_is_written_anew(tmp_path: Path) -> None:
    file = tmp_path / "image.png"
    file.write_bytes(b"1234")
    os.utime(file, ns=(5, 1_700_000_000_123_456_789))
    assert file_identity(file) == (4, "1700000000123456789")
    os.utime(file, ns=(5, 1_700_000_000_123_456_790))  # the same size, a nanosecond later
    assert file_identity(file) == (4, "1700000000123456790")
    file.write_bytes(b"12345")
    os.utime(file, ns=(5, 1_700_000_000_123_456_790))
    assert file_identity(file) == (5, "1700000000123456790")


def test_the_identity_of_what_a_container_holds_is_its_size_and_the_containers_time(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(b"1234")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(tmp_path / "image.png", "in/image.png")
    pq.write_table(pa.table({"image": pa.array([b"123", None])}), tmp_path / "a.parquet")
    for name in ("a.tar", "a.parquet"):
        os.utime(tmp_path / name, ns=(5, 7_000_000_001))
    assert file_identity(tmp_path / "a.tar" / "in" / "image.png") == (4, "7000000001")
    assert file_identity(tmp_path / "a.parquet" / "image" / "0") == (3, "7000000001")
    nothing = (
        "none.png",
        "a.tar/none.png",
        "a.tar/in",
        "a.parquet/image/1",
        "a.parquet/image/2",
        "none.tar/a",
        "x" * 300,
    )
    for name in nothing:
        assert file_identity(tmp_path / name) is None, name
    assert file_identity(tmp_path) is None
