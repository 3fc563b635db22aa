"""Images of a cache -> small JPEGs within a number of bytes, or the reason in words why there is none."""

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ...pipeline.errors import AevlpError, ImageError
from ...pipeline.files.locations import RemoteError
from ...pipeline.images.read import read_image

SIDE = 192  # pixels of the long side
ENOUGH = 2 * SIDE  # pixels a side that an image is decoded to before it is made small
QUALITY = 72
WORKERS = 2  # Pillow decodes outside Python's lock


@dataclass(frozen=True)
class Thumbnail:
    """jpeg: its bytes, empty where there is none; reason: then why, in words. size: its width and height in pixels."""

    jpeg: bytes = b""
    reason: str = ""
    size: tuple[int, int] = (4, 3)


class Thumbnails:
    """Makes each thumbnail once; counts how many bytes and images there are.

    root: the folder of the images, None where it is not known. upright: whether images are turned by their EXIF orientation.
    """

    def __init__(self, root: Path | None, upright: bool) -> None:
        self.root, self.upright = root, upright
        self.bytes, self.made = 0, dict[str, Thumbnail]()
        self._away = "" if root is not None else "the folder of the images is not there"

    def of(self, paths: Sequence[str]) -> list[Thumbnail]:
        """Return the thumbnails of images by their paths below the root; an image that cannot be read has its reason."""
        new = [path for path in dict.fromkeys(paths) if path not in self.made]
        with ThreadPoolExecutor(WORKERS) as pool:
            for path, thumbnail in zip(new, pool.map(self._made, new), strict=True):
                self.made[path] = thumbnail
                self.bytes += len(thumbnail.jpeg)
        return [self.made[path] for path in paths]

    def _made(self, path: str) -> Thumbnail:
        if self.root is None or self._away:
            return Thumbnail(reason=self._away)
        try:
            image = read_image(self.root / path, self.upright, at_least=ENOUGH)
        except ImageError as error:
            missing = error.status == "missing"
            return Thumbnail(reason="the file is not there any more" if missing else self._placeless(error))
        except AevlpError as error:
            if isinstance(error, RemoteError):  # a store that does not answer: the next image would wait as long
                self._away = self._placeless(error)
            return Thumbnail(reason=self._placeless(error))
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        image.info.clear()  # comments and the like stay with the image
        content = io.BytesIO()
        image.save(content, "JPEG", quality=QUALITY, optimize=True)
        return Thumbnail(content.getvalue(), size=image.size)

    def _placeless(self, error: AevlpError) -> str:
        """Return an error's text without the folder: a report may be passed on."""
        return str(error).replace(f"{self.root}/", "")
