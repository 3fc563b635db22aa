"""A JPEG file -> its pixels by a faster decoder than Pillow's, where one is installed that gives the very same pixels."""

import io
import warnings
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import ImageError
from ..files.image_formats import HEAD, MAX_PIXELS, format_of
from .image_opening import opened
from .upright import orientation_of, turned

PILLOW, SIMPLEJPEG = "pillow", "simplejpeg"


@cache
def fastest() -> str:
    """Return the decoder to use: simplejpeg (`aevlp[fast]`) where it is installed and decodes as Pillow does, else Pillow.

    Both are built on libjpeg-turbo, though not always on one version of it, so that some pictures are decoded by both first.
    """
    try:
        import simplejpeg  # noqa: F401
    except ImportError:
        return PILLOW
    random = np.random.default_rng(0)
    for size in ((64, 48), (33, 17), (1, 1)):
        smooth = Image.fromarray(random.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize(
            size, Image.Resampling.BICUBIC
        )
        noise = Image.fromarray(random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
        for image in (smooth, noise, noise.convert("L")):
            for subsampling in (0, 1, 2):  # 4:4:4, 4:2:2, 4:2:0
                for progressive in (False, True):
                    file = io.BytesIO()
                    image.save(file, "JPEG", quality=85, subsampling=subsampling, progressive=progressive)
                    pixels = jpeg_pixels(file, upright=False)
                    if pixels is None or not np.array_equal(
                        pixels, np.asarray(Image.open(file, formats=("JPEG",)).convert("RGB"))
                    ):
                        return PILLOW
    return SIMPLEJPEG


def jpeg_pixels(source: Path | io.BytesIO, upright: bool, max_pixels: int = MAX_PIXELS) -> np.ndarray | None:
    """Return the pixels (H, W, 3) uint8 of a JPEG of grey levels or YCbCr; None for all else: Pillow says what that is.

    upright: whether to turn it by its EXIF orientation. max_pixels: width times height of the largest that is decoded.
    """
    import simplejpeg

    # Too large, not whole, or no JPEG; what is wrong with metadata does not matter here.
    with suppress(ImageError, OSError, ValueError, SyntaxError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = source.read_bytes() if isinstance(source, Path) else source.getvalue()
        if format_of(content[:HEAD]) != "JPEG":
            return None
        with opened(io.BytesIO(content), max_pixels) as file:  # reads the header alone
            if file.format != "JPEG" or file.mode not in ("RGB", "L"):
                return None
            orientation = orientation_of(file) if upright else 1
        pixels = simplejpeg.decode_jpeg(content, colorspace="RGB", strict=True)
        return pixels if orientation == 1 else np.array(turned(Image.fromarray(pixels), orientation))
    return None
