"""An open file -> a picture of which the header has been read, by the one decoder that its first bytes call for."""

import logging
import re
from collections.abc import Callable
from typing import IO

import PIL
from PIL import Image
from PIL.ImageFile import ImageFile

from ..errors import ImageError
from ..files import foreign_files
from ..files.image_formats import FORMATS, HEAD, MAX_PIXELS, format_of

logging.getLogger("PIL").addHandler(logging.NullHandler())  # of a damaged file, what is raised says enough

_NEW_SUBFILE_TYPE, _REDUCED = 254, 1  # TIFF tag, and its bit for a smaller copy of another picture
_WORDS = {"WEBP": "WebP", "JPEG2000": "JPEG 2000", "HEIF": "HEIC"}  # as people write them
_LISTED = [_WORDS.get(name, name) for name in FORMATS if name != "MPO"]
_EXPECTED = f"expected a picture: {', '.join(_LISTED[:-1])} or {_LISTED[-1]}"


def opened(file: IO[bytes], max_pixels: int = MAX_PIXELS) -> ImageFile:
    """Return the picture in a file, not decoded yet; no decoder but that of its format sees the bytes.

    max_pixels: width times height of the largest picture that is opened. A limit above Pillow's own raises that one, which the
    whole process has in common.
    Raises ImageError "unreadable", with what was found, where the file is of no format in `image_formats.FORMATS`, where its
    decoder is not installed, where a TIFF begins with a preview, and where the picture is too large; what a decoder raises of a
    damaged header is passed on.
    """
    head = file.read(HEAD)
    name = format_of(head)
    if name is None:
        found = foreign_files.name_of(head + file.read(foreign_files.HEAD - HEAD))
        raise ImageError("unreadable", f"{found}, {_EXPECTED}")
    decoder = _decoder(name, head)
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > MAX_PIXELS:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels)
    file.seek(0)
    try:
        picture = decoder(file, "")
    except (
        Image.DecompressionBombError
    ) as error:  # some decoders look at the size themselves, and say no more than that
        pixels = re.search(r"\d+", str(error))
        raise ImageError("unreadable", _too_large(int(pixels[0]) if pixels else 0, "", max_pixels)) from error
    if name == "TIFF" and picture.tag_v2.get(_NEW_SUBFILE_TYPE, 0) & _REDUCED:  # type: ignore[attr-defined]
        raise ImageError(
            "unreadable",
            f"its first picture is a preview ({picture.size[0]} x {picture.size[1]}), as in a camera's raw file: convert it to "
            f"JPEG, PNG or a plain TIFF",
        )
    width, height = picture.size
    if width * height > max_pixels:
        raise ImageError("unreadable", _too_large(width * height, f" ({width:,} x {height:,})", max_pixels))
    return picture


def _decoder(name: str, head: bytes) -> Callable[[IO[bytes], str], ImageFile]:
    """Return Pillow's decoder for a format of `FORMATS`, that of pillow-heif for HEIC."""
    if name == "HEIF":
        try:
            from pillow_heif import HeifImageFile
        except ImportError as error:
            raise ImageError("unreadable", "a HEIC picture, which needs pip install 'aevlp[heic]'") from error
        return HeifImageFile
    if name not in Image.OPEN:
        Image.init()
    decoder, accepts = Image.OPEN.get(name, (None, None))
    if decoder is None or (accepts and isinstance(accepts(head), str)):  # the text says what Pillow was built without
        word = _WORDS.get(name, name)
        raise ImageError(
            "unreadable", f"{word}, which Pillow {PIL.__version__} cannot read here: pip install -U pillow"
        )
    return decoder


def _too_large(pixels: int, size: str, max_pixels: int) -> str:
    found, limit = (f"{n / 1e6:,.0f}" if n >= 10**7 else f"{n / 1e6:g}" for n in (pixels, max_pixels))
    enough = -(-pixels // 10**6)
    return f"{found} megapixels{size}, more than the limit of {limit}: pass --max-pixels {enough}M if you trust it"
