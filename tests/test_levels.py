"""Pictures of more than 8 bits: scaled by the range of their format, or refused with the range that was found."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from picture_files import png, tiff
from PIL import Image

from aevlp.pipeline.errors import ImageError
from aevlp.pipeline.images.read import read_image

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 6))
FEW = settings(max_examples=20, deadline=None)
RAMP = np.linspace(0, 65535, 12).astype(np.uint16).reshape(3, 4)


def of_ints(high: int) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.uint16, SHAPES, elements=st.integers(0, high))


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "picture"
    path.write_bytes(content)
    return path


def grey(path: Path) -> np.ndarray:
    """Return the levels read (H, W), which all channels have in common."""
    pixels = np.asarray(read_image(path))
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0]


def refused(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert caught.value.status == "unreadable" and "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


def packed12(levels: np.ndarray) -> bytes:
    """Return levels below 4096 as TIFF packs them: three bytes for two, each line ending with a whole byte."""
    lines = []
    for line in levels.tolist():
        bits = "".join(f"{level:012b}" for level in line)
        bits = bits.ljust(-(-len(bits) // 8) * 8, "0")
        lines.append(int(bits, 2).to_bytes(len(bits) // 8, "big"))
    return b"".join(lines)


def saved(levels: np.ndarray, name: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(levels).save(file, name, **options)
    return file.getvalue()


SIXTEEN = {
    "png": png,
    "tiff, Intel": lambda a: tiff(a.astype("<u2").tobytes(), a.shape[1], a.shape[0], 16),
    "tiff, Motorola": lambda a: tiff(a.astype(">u2").tobytes(), a.shape[1], a.shape[0], 16, order=">"),
    "tiff, packed": lambda a: saved(a, "TIFF", compression="tiff_lzw"),
    "pgm": lambda a: b"P5 %d %d 65535\n" % a.shape[::-1] + a.astype(">u2").tobytes(),
    "pgm, as text": lambda a: b"P2 %d %d 65535\n" % a.shape[::-1] + " ".join(map(str, a.ravel().tolist())).encode(),
    "jpeg 2000": lambda a: saved(a, "JPEG2000", irreversible=False),
}


@pytest.mark.parametrize("kind", SIXTEEN)
@FEW
@given(data=st.data())
def test_16_bits_keep_their_high_byte(tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject) -> None:
    levels = data.draw(of_ints(65535))
    path = written(tmp_path_factory.getbasetemp(), SIXTEEN[kind](levels))
    np.testing.assert_array_equal(grey(path), levels >> 8)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_16_bits_in_colour_keep_their_high_byte(tmp_path: Path, channels: int) -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (3, 5, channels), dtype=np.uint16)
    pixels = np.asarray(read_image(written(tmp_path, png(levels))))
    np.testing.assert_array_equal(pixels, np.broadcast_to(levels[..., : 3 if channels > 2 else 1] >> 8, pixels.shape))


@FEW
@given(levels=of_ints(4095))
def test_12_bits_of_a_tiff_keep_their_high_8(tmp_path_factory: pytest.TempPathFactory, levels: np.ndarray) -> None:
    content = tiff(packed12(levels), levels.shape[1], levels.shape[0], 12)
    np.testing.assert_array_equal(grey(written(tmp_path_factory.getbasetemp(), content)), levels >> 4)


@pytest.mark.parametrize("maximum", [300, 1023, 4095, 40000])
def test_a_pgm_is_scaled_by_the_range_that_it_says(tmp_path: Path, maximum: int) -> None:
    levels = np.linspace(0, maximum, 12).astype(np.uint16).reshape(3, 4)
    content = b"P5 4 3 %d\n" % maximum + levels.astype(">u2").tobytes()
    assert np.abs(grey(written(tmp_path, content)) - levels * 255.0 / maximum).max() < 1.01


@FEW
@given(levels=of_ints(4095), bits=st.sampled_from([9, 10, 12, 14]))
def test_a_png_with_fewer_bits_in_use_is_read_as_the_standard_has_them(
    tmp_path_factory: pytest.TempPathFactory, levels: np.ndarray, bits: int
) -> None:
    """Its writer has repeated the high bits in the low ones, so that all 16 are used."""
    used = levels & ((1 << bits) - 1)
    spread = (used << (16 - bits)) | (used >> (2 * bits - 16))
    path = written(tmp_path_factory.getbasetemp(), png(spread.astype(np.uint16), (b"sBIT", bytes([bits]))))
    np.testing.assert_array_equal(grey(path), used >> (bits - 8))


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_a_png_that_says_its_bits_and_has_not_spread_them_is_scaled_by_them(tmp_path: Path, bits: int) -> None:
    levels = (RAMP >> (16 - bits)).astype(np.uint16)
    assert grey(written(tmp_path, png(levels))).max() <= 63  # as a file of 16 bits: dark, and `check` says so
    path = written(tmp_path, png(levels, (b"gAMA", bytes(4)), (b"sBIT", bytes([bits]))))
    np.testing.assert_array_equal(grey(path), levels >> (bits - 8))
    path = written(tmp_path, png(RAMP, (b"sBIT", bytes([bits]))))  # it says too little: a level is above
    np.testing.assert_array_equal(grey(path), RAMP >> 8)


FLOATS = {
    "tiff, Intel": lambda a: tiff(a.astype("<f4").tobytes(), a.shape[1], a.shape[0], 32, 3),
    "tiff, Motorola": lambda a: tiff(a.astype(">f4").tobytes(), a.shape[1], a.shape[0], 32, 3, order=">"),
    "tiff, of Pillow": lambda a: saved(a, "TIFF"),
    "pfm": lambda a: b"Pf\n%d %d\n-1.0\n" % a.shape[::-1] + a[::-1].astype("<f4").tobytes(),
}


@pytest.mark.parametrize("kind", FLOATS)
@FEW
@given(data=st.data())
def test_numbers_from_0_to_1_are_scaled_to_255(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    levels = data.draw(arrays(np.float32, SHAPES, elements=st.floats(0, 1, width=32)))
    pixels = grey(written(tmp_path_factory.getbasetemp(), FLOATS[kind](levels)))
    assert np.abs(pixels - levels.astype(np.float64) * 255).max() <= 0.5 + 1e-4


@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize(
    "low, high, found",
    [
        (0, 255, "from 0 to 255, expected 0 to 1"),
        (-1, 1, "from -1 to 1, expected"),
        (0, 1.02, "from 0 to 1.02, expected"),
    ],
)
def test_numbers_of_another_range_are_refused_with_it(
    tmp_path: Path, kind: str, low: float, high: float, found: str
) -> None:
    levels = np.linspace(low, high, 12, dtype=np.float32).reshape(3, 4)
    message = refused(written(tmp_path, FLOATS[kind](levels)))
    assert f"floating-point numbers {found}" in message and "scale them to 0 to 1" in message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_level_that_is_no_number_is_refused(tmp_path: Path, value: float) -> None:
    levels = np.full((3, 4), 0.5, dtype=np.float32)
    levels[1, 2] = value
    for make in FLOATS.values():
        assert "NaN or infinity" in refused(written(tmp_path, make(levels)))


def test_a_number_beyond_1_by_a_rounding_is_white(tmp_path: Path) -> None:
    levels = np.array([[np.nextafter(np.float32(1), np.float32(2)), -np.float32(1e-9)]], dtype=np.float32)
    assert grey(written(tmp_path, saved(levels, "TIFF"))).tolist() == [[255, 0]]


@pytest.mark.parametrize(
    "dtype, kind, bits, values, found",
    [
        ("<i4", 2, 32, (0, 255), "signed 32-bit numbers from 0 to 255"),
        ("<i4", 2, 32, (-5, 70000), "signed 32-bit numbers from -5 to 70,000"),
        ("<u4", 1, 32, (0, 4_000_000_000), "its levels are 32-bit numbers from 0 to 4,000,000,000"),
        ("<i2", 2, 16, (-1024, 3071), "signed 16-bit numbers from -1,024 to 3,071"),
        (">i2", 2, 16, (-2, 9), "signed 16-bit numbers from -2 to 9"),
    ],
)
def test_whole_numbers_without_a_range_are_refused(
    tmp_path: Path, dtype: str, kind: int, bits: int, values: tuple[int, int], found: str
) -> None:
    order = dtype[0]
    message = refused(written(tmp_path, tiff(np.array(values, dtype).tobytes(), 2, 1, bits, kind, order=order)))
    assert found in message and "write them as 8 or 16 bits" in message


def test_a_tiff_in_which_0_is_white_is_turned_round_at_any_depth(tmp_path: Path) -> None:
    eight = tiff((RAMP >> 8).astype(np.uint8).tobytes(), 4, 3, 8, photometric=0)
    sixteen = tiff(RAMP.astype("<u2").tobytes(), 4, 3, 16, photometric=0)
    numbers = tiff((RAMP / 65535).astype("<f4").tobytes(), 4, 3, 32, 3, photometric=0)
    for content in (eight, sixteen, numbers):
        assert np.abs(grey(written(tmp_path, content)).astype(int) - (255 - (RAMP >> 8))).max() <= 1


def test_a_depth_that_pillow_does_not_decode_is_refused_with_its_reason(tmp_path: Path) -> None:
    for bits, kind, order in ((64, 3, "<"), (16, 3, "<"), (12, 1, ">")):
        assert "cannot be decoded: " in refused(written(tmp_path, tiff(bytes(96), 4, 3, bits, kind, order=order)))


def test_orientation_and_depth_go_together(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(
        tmp_path / "a.png", exif=b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    )
    np.testing.assert_array_equal(grey(tmp_path / "a.png"), np.rot90(RAMP >> 8, -1))
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "a.png", upright=False))[..., 0], RAMP >> 8)


@pytest.mark.parametrize(("kind", "is_read"), [(0, True), (1, False), (2, True), (5, False)])
def test_the_preview_in_a_raw_file_is_not_taken_for_the_photograph(tmp_path: Path, kind: int, is_read: bool) -> None:
    """DNG, NEF and ARW are TIFF whose first picture is marked as a smaller copy of the one behind it."""
    levels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    path = written(tmp_path, saved(levels, "TIFF", tiffinfo={254: kind}))
    if is_read:
        np.testing.assert_array_equal(grey(path), levels)
    else:
        assert "its first picture is a preview (4 x 3), as in a camera's raw file" in refused(path)


@pytest.mark.parametrize(
    ("greatest", "bits"), [(4095, 12), (1023, 10), (16383, 14), (65535, 16), (5000, 16), (255, 16)]
)
def test_a_tiff_that_names_its_greatest_level_is_scaled_by_it(tmp_path: Path, greatest: int, bits: int) -> None:
    levels = np.linspace(0, min(greatest, 4000), 12).astype(np.uint16).reshape(3, 4)
    path = written(tmp_path, saved(levels, "TIFF", tiffinfo={281: greatest}))
    np.testing.assert_array_equal(grey(path), levels >> (bits - 8))


def test_levels_above_the_greatest_that_is_named_are_not_cut(tmp_path: Path) -> None:
    path = written(tmp_path, saved(RAMP, "TIFF", tiffinfo={281: 4095}))
    np.testing.assert_array_equal(grey(path), RAMP >> 8)
