"""A decoded picture of any depth -> 8 bits a channel, scaled by the range that its format gives its levels."""

from typing import IO, Any

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from ..errors import ImageError

_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # TIFF tags
_WHITE_IS_ZERO, _SIGNED = 0, 2
_GREATEST = 281  # the TIFF tag MaxSampleValue
_ROUNDING = 1e-6  # that floating-point levels may lie outside their range


def eight_bit(file: ImageFile, content: IO[bytes]) -> Image.Image:
    """Return a picture with levels of 8 bits: of 16 bits the high byte, of 12 the high 8, of numbers from 0 to 1 times 255.

    file: a loaded picture. content: the file that it was read from.
    Raises ImageError "unreadable" where the levels have no range that the file says, or leave it.
    """
    if file.mode == "F":
        levels = _of_floats(np.asarray(file))
    elif file.mode.startswith("I"):
        levels = _of_whole_numbers(np.asarray(file), file, content)
    else:
        return file
    if file.format == "TIFF" and _tag(file, _PHOTOMETRIC) == _WHITE_IS_ZERO:  # which Pillow minds in 8 bits alone
        levels = 255 - levels
    return Image.fromarray(levels)


def _of_floats(levels: np.ndarray) -> np.ndarray:
    advice = "scale them to 0 to 1, or write them as 8 or 16 bits"
    if not np.isfinite(levels).all():
        raise ImageError("unreadable", f"its floating-point levels hold NaN or infinity, expected 0 to 1: {advice}")
    low, high = levels.min(), levels.max()
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise ImageError(
            "unreadable",
            f"its levels are floating-point numbers from {low:.4g} to {high:.4g}, expected 0 to 1: {advice}",
        )
    return np.rint(levels.clip(0, 1) * 255).astype(np.uint8)


def _of_whole_numbers(levels: np.ndarray, file: ImageFile, content: IO[bytes]) -> np.ndarray:
    bits = 16
    if file.format == "TIFF":
        bits = _tag(file, _BITS) or 16
        signed = _tag(file, _SAMPLE_FORMAT) == _SIGNED
        if signed or bits > 16:
            levels = levels if signed else levels.astype(np.int32, copy=False).view(np.uint32)
            raise ImageError(
                "unreadable",
                f"its levels are {'signed ' * signed}{bits}-bit numbers from {levels.min():,} to {levels.max():,}, and nothing "
                f"says from which black to which white: write them as 8 or 16 bits without a sign",
            )
        bits = _bits_of(_tag(file, _GREATEST), levels) or bits
    elif file.format == "PNG":
        bits = _bits_in_use(levels, _significant_bits(content))
    return (levels >> (bits - 8)).clip(0, 255).astype(np.uint8)


def _tag(file: Any, tag: int) -> int | None:
    """Return the first value of a tag of a TIFF, None where it has none."""
    value = file.tag_v2.get(tag)
    return next(iter(value), None) if isinstance(value, tuple) else value


def _bits_of(greatest: int | None, levels: np.ndarray) -> int | None:
    """Return the bits of a greatest level that a file names and its levels keep to, such as 12 of 4095; None for no such."""
    if greatest is None or not 255 < greatest < 65535 or greatest & (greatest + 1) or levels.max() > greatest:
        return None
    return greatest.bit_length()


def _bits_in_use(levels: np.ndarray, significant: int) -> int:
    """Return of how many bits the levels of a 16-bit PNG are.

    significant: how many it says that the camera had. The standard has them spread over all 16, so that the low ones repeat the
    high ones, and are zero in a dark picture; programs that write them as they are fill the low ones and leave the high ones.
    """
    if not 8 < significant < 16 or levels.max() >= 1 << significant:
        return 16
    return significant if (levels & ((1 << (16 - significant)) - 1)).any() else 16


def _significant_bits(content: IO[bytes]) -> int:
    """Return what a PNG says of the bits that its levels had at first (sBIT), 16 where it says nothing."""
    content.seek(8)
    while len(head := content.read(8)) == 8 and head[4:] != b"IDAT":
        length = int.from_bytes(head[:4], "big")
        if head[4:] == b"sBIT":
            return content.read(1)[0]
        content.seek(length + 4, 1)  # and the checksum
    return 16
