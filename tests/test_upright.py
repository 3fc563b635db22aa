"""Turning by EXIF: as Pillow does it on clean files, and on files whose other fields are of any odd type."""

import io
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from laws import each
from picture_files import exif, scene, tiff
from PIL import Image, ImageOps

from aevlp.pipeline.images.read import read_image, read_pixels
from aevlp.pipeline.images.upright import ORIENTATION

SHORT, LONG, BYTE, TEXT, RATIONAL, UNDEFINED, DOUBLE = 3, 4, 1, 2, 5, 7, 12
Entry = tuple[int, int, int, bytes]
FORMATS = {"JPEG": {"quality": 95}, "PNG": {}, "WEBP": {"lossless": True}}  # whose EXIF Pillow writes as it is given


def orientation(number: int) -> Entry:
    return (ORIENTATION, SHORT, 1, struct.pack("<HH", number, 0))


def read(path: Path, upright: bool = True) -> np.ndarray:
    """Return the pixels, which both decoders agree on."""
    pixels = np.asarray(read_image(path, upright))
    np.testing.assert_array_equal(read_pixels(path, upright, "simplejpeg"), pixels)
    return pixels


def photo(folder: Path, name: str, entries: bytes) -> Path:
    path = folder / f"photo.{name.lower()}"
    scene().save(path, name, exif=(b"Exif\0\0" if name == "JPEG" else b"") + entries, **FORMATS[name])
    return path


@each(name=["JPEG", "PNG", "WEBP", "AVIF", "TIFF"], number=range(1, 9))
def test_a_clean_file_is_turned_as_pillow_turns_it(tmp_path: Path, name: str, number: int) -> None:
    given = Image.Exif()
    given[ORIENTATION] = number
    path = tmp_path / f"photo.{name.lower()}"
    scene().save(path, name, exif=given)
    with Image.open(path) as file:
        expected = np.asarray(ImageOps.exif_transpose(file))
    pixels = read(path)
    np.testing.assert_array_equal(pixels, expected)
    assert pixels.shape[:2] == ((40, 30) if number > 4 else (30, 40))
    if name != "TIFF":  # which Pillow turns when it decodes it
        assert read(path, upright=False).shape[:2] == (30, 40)


ODD: dict[str, Sequence[Entry]] = {
    "resolution as bytes": [(0x011A, UNDEFINED, 4, b"72/1")],
    "resolution as text": [(0x011A, TEXT, 4, b"72\0\0")],
    "a number as text": [(0x0154, TEXT, 4, b"abc\0")],
    "text as a number": [(0x010F, LONG, 1, struct.pack("<I", 7))],
    "a fraction beyond the end": [(0x011A, RATIONAL, 1, struct.pack("<I", 60000))],
    "a huge count": [(0x010E, TEXT, 0x7FFFFFFF, struct.pack("<I", 8))],
    "an unknown type": [(0x0110, 99, 1, b"\0\0\0\0")],
    "a folder of fields that is not there": [(0x8769, LONG, 1, struct.pack("<I", 0xFFFFFFF0))],
    "a folder of fields as text": [(0x8825, TEXT, 4, b"abc\0")],
    "a folder of fields in itself": [(0x8769, LONG, 1, struct.pack("<I", 8))],
    "a double of four bytes": [(0x0154, DOUBLE, 1, b"\0\0\0\0")],
    "one field twice": [(0x0112, SHORT, 1, struct.pack("<HH", 6, 0))],
}


@each(name=FORMATS, kind=ODD)
def test_a_photo_with_an_odd_field_is_turned(tmp_path: Path, name: str, kind: str) -> None:
    plain = read(photo(tmp_path, name, b""))
    for number, expected in ((1, plain), (6, np.rot90(plain, -1))):
        if number == 1 and kind == "one field twice":
            continue
        entries = exif([orientation(number), *ODD[kind]])
        np.testing.assert_array_equal(read(photo(tmp_path, name, entries)), expected)
        np.testing.assert_array_equal(read(photo(tmp_path, name, entries), upright=False), plain)


@pytest.mark.parametrize("name", FORMATS)
def test_odd_places_of_a_photo_do_not_matter(tmp_path: Path, name: str) -> None:
    """Latitude and altitude as text, in fields of their own."""
    plain = read(photo(tmp_path, name, b""))
    own = exif([orientation(8), (0x8825, LONG, 1, struct.pack("<I", 8 + 2 + 24 + 4))])
    places = exif([(0x0002, TEXT, 2, b"N\0\0\0"), (0x0006, TEXT, 4, b"abc\0")])[8:]
    np.testing.assert_array_equal(read(photo(tmp_path, name, own + places)), np.rot90(plain))


@each(kind=[kind for kind in ODD if kind not in ("one field twice", "a huge count")])
def test_a_tiff_with_an_odd_field_is_turned(tmp_path: Path, kind: str) -> None:
    levels = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    content = tiff(levels.tobytes(), 4, 3, 8, t274=6)
    (tmp_path / "plain.tif").write_bytes(content)
    count = struct.unpack_from("<H", content, 8)[0]
    fields = [content[10 + 12 * n : 22 + 12 * n] for n in range(count)]
    fields += [struct.pack("<HHI", tag, kind, n) + value for tag, kind, n, value in ODD[kind]]
    fields.sort(key=lambda field: struct.unpack_from("<H", field))
    moved = [
        field[:8] + struct.pack("<I", struct.unpack_from("<I", field, 8)[0] + 12) if field[:2] == b"\x11\x01" else field
        for field in fields
    ]
    odd = content[:8] + struct.pack("<H", len(moved)) + b"".join(moved) + bytes(4) + levels.tobytes()
    (tmp_path / "odd.tif").write_bytes(odd)
    for path in ("plain.tif", "odd.tif"):
        np.testing.assert_array_equal(read(tmp_path / path)[..., 0], np.rot90(levels, -1))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "entry",
    [
        (ORIENTATION, LONG, 1, struct.pack("<I", 6)),
        (ORIENTATION, BYTE, 1, b"\6\0\0\0"),
        (ORIENTATION, UNDEFINED, 1, b"\6\0\0\0"),
        (ORIENTATION, SHORT, 2, struct.pack("<HH", 6, 6)),
    ],
)
def test_an_orientation_of_another_type_is_understood(tmp_path: Path, name: str, entry: Entry) -> None:
    plain = read(photo(tmp_path, name, b""))
    np.testing.assert_array_equal(read(photo(tmp_path, name, exif([entry]))), np.rot90(plain, -1))


@each(
    name=FORMATS,
    entries=[
        b"\1\2 no EXIF at all",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        exif([orientation(6)])[:14],
        exif([(ORIENTATION, TEXT, 4, b"six\0")]),
        exif([orientation(0)]),
        exif([orientation(42)]),
        exif([(ORIENTATION, SHORT, 0, b"\6\0\0\0")]),
    ],
)
def test_a_photo_whose_exif_cannot_be_read_lies_as_it_is(tmp_path: Path, name: str, entries: bytes) -> None:
    plain = read(photo(tmp_path, name, b""))
    np.testing.assert_array_equal(read(photo(tmp_path, name, entries)), plain)


def test_an_orientation_in_xmp_alone_counts_as_it_does_for_pillow(tmp_path: Path) -> None:
    text = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    file = io.BytesIO()
    scene().save(file, "JPEG", quality=95, xmp=text)
    (tmp_path / "photo.jpg").write_bytes(file.getvalue())
    with Image.open(tmp_path / "photo.jpg") as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))
    assert expected.shape == (40, 30, 3)
    np.testing.assert_array_equal(read(tmp_path / "photo.jpg"), expected)


def test_the_files_themselves_are_left_as_they_are(tmp_path: Path) -> None:
    path = photo(tmp_path, "JPEG", exif([orientation(6), *ODD["a number as text"]]))
    before = path.read_bytes()
    read(path)
    assert path.read_bytes() == before
