"""A path -> RGB pixels, or an error that says in a word and in a line why there are none."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from .errors import ImageError


def read_image(path: Path, upright: bool = True) -> Image.Image:
    """Return the image as 8-bit RGB, turned upright by its EXIF orientation unless `upright` is false.

    CMYK, palette, grey and 16-bit files are converted (16-bit keeps the high byte); an alpha channel is dropped.
    Raises ImageError with status "missing" where there is no file, "unreadable" where there is no whole image in it.
    """
    if file_size(path) is None:
        raise ImageError("missing", f"{path}: no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large, yet below the size that is refused
            file = Image.open(path)
        with file:
            file.load()
            image = ImageOps.exif_transpose(file) if upright else file.copy()
            return _eight_bit(image).convert("RGB")
    except MemoryError:
        raise
    except Exception as error:  # decoders meet damaged files with exceptions of many kinds
        found = "the file is empty" if file_size(path) == 0 else str(error).replace(str(path), "file") or repr(error)
        raise ImageError("unreadable", f"{path}: {found}") from error


def file_size(path: Path) -> int | None:
    """Return a file's size in bytes, None where there is no such file, a name too long for the file system included."""
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def _eight_bit(image: Image.Image) -> Image.Image:
    """Keep the high byte of 16-bit grey levels, which Pillow's own conversion would cut off at 255."""
    if not image.mode.startswith("I"):
        return image
    levels = np.asarray(image).astype(np.int64)
    return Image.fromarray((levels >> 8).clip(0, 255).astype(np.uint8))
