"""A path -> RGB pixels, or an error that says in a word and in a line why there are none."""

import io
import warnings
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from PIL import Image

from ..errors import AevlpError, ImageError
from ..files import containers
from ..files.image_formats import MAX_PIXELS
from ..files.locations import RemoteError, RemotePath
from ..files.stamps import require_files_own
from . import decoders
from .image_opening import opened
from .levels import eight_bit
from .upright import orientation_of, turned


class Unreadable(NamedTuple):
    """What is wrong with an image. status: the word for it, as in `ImageError`. reason: a line."""

    status: str
    reason: str


def read_image(
    path: Path, upright: bool = True, max_pixels: int = MAX_PIXELS, at_least: int | None = None
) -> Image.Image:
    """Return the image as 8-bit RGB, turned upright by its EXIF orientation unless `upright` is false.

    path: a file, or a path that leads through a tar, Parquet or Arrow file (`pipeline.files.containers`).
    max_pixels: width times height of the largest image that is decoded. at_least: how many pixels a side are enough: a large
    JPEG is decoded at the half, quarter or eighth of its size that has as many, which is faster.
    Only formats in `pipeline.files.image_formats` are opened, by their first bytes; of several pictures in a file the first
    is read. CMYK, palette, grey and deeper files are converted (`pipeline.images.levels`); an alpha channel is dropped.
    Raises ImageError with status "missing" where there is no file, "unreadable" where there is no whole image in it,
    and another AevlpError where the machine, its disk or a remote store does not say which.
    """
    source = _source(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of metadata and of large pictures below the limit
            if isinstance(source, io.BytesIO):
                return _decoded(source, upright, max_pixels, at_least)
            with source.open("rb") as file:
                return _decoded(file, upright, max_pixels, at_least)
    except MemoryError:
        raise
    except ImageError as error:
        raise ImageError(error.status, f"{path}: {error}") from error
    except Exception as error:  # decoders meet damaged files with exceptions of many kinds
        if isinstance(error, OSError) and error.errno:
            require_files_own(path, error)
            raise ImageError("unreadable", f"{path}: {error.strerror}") from error
        found = " ".join((str(error) or repr(error)).split())
        raise ImageError("unreadable", f"{path}: cannot be decoded: {found}") from error


def _decoded(content: IO[bytes], upright: bool, max_pixels: int, at_least: int | None) -> Image.Image:
    with opened(content, max_pixels) as file:
        if at_least is not None:
            file.draft(None, (at_least, at_least))
        file.load()
        image = eight_bit(file, content).convert("RGB")
        return turned(image, orientation_of(file)) if upright else image


def read_pixels(path: Path, upright: bool = True, decoder: str = "pillow", max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Return the pixels of `read_image`, (H, W, 3) uint8; what is raised is the same.

    decoder: "pillow", or "simplejpeg" for what it decodes to the same pixels, faster (`pipeline.images.decoders`).
    """
    if decoder == "simplejpeg":
        pixels = decoders.jpeg_pixels(_source(path), upright, max_pixels)
        if pixels is not None:
            return pixels
    return np.array(read_image(path, upright, max_pixels))


def _source(path: Path) -> Path | io.BytesIO:
    """Return what Pillow opens: a local file by its path, all else as bytes; ImageError where there is no such file."""
    try:
        if isinstance(path, RemotePath) and containers.locate(path) is None:
            return io.BytesIO(path.read_bytes())  # one request, which also says whether it is there
        return path if path.is_file() else io.BytesIO(containers.read_bytes(path))
    except RemoteError:
        raise
    except OSError as error:
        require_files_own(path, error)
        raise ImageError("missing", f"{path}: no such file") from error
    except AevlpError as error:
        raise ImageError("unreadable", f"{path}: {error}") from error
