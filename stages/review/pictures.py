"""A row of a cache -> its image as JPEG, or one of its views; never a path that a page names."""

import io
from pathlib import Path, PurePath

from PIL import Image

from ...pipeline.errors import AevlpError, ImageError
from ...pipeline.images.read import read_image
from ...pipeline.score_cache import ScoreCache

SIDES = {"large": 1280, "small": 360}  # pixels of the long side, at most
QUALITY = 88


class OutsideError(AevlpError):
    """A path in a cache that leads out of the folder of its images."""


class Pictures:
    """The images of a cache below a folder, turned as they were scored. max_pixels: of the largest that is opened."""

    def __init__(self, cache: ScoreCache, root: Path, max_pixels: int) -> None:
        self._cache, self._root, self._max_pixels = cache, root, max_pixels
        self._upright = cache.provenance["method"].get("compat", "paper") == "paper"

    def jpeg(self, row: int, side: str, view: int = 0) -> bytes:
        """Return an image, or the part of it that a view shows. side: of `SIDES`. view: 0 is the whole image.

        Raises OutsideError where the cache's path has "..", or starts at the root of a disk; a link in the user's own folder is
        followed, as it was when the image was scored. Raises LookupError for a row or a view that there is not, ImageError where
        the file is missing or unreadable.
        """
        if not (0 <= row < len(self._cache) and 0 <= view < len(self._cache.boxes)):
            raise LookupError(f"row {row}, view {view}")
        image = read_image(self._path(row), self._upright, self._max_pixels)
        if view:
            left, upper, right, lower = self._cache.boxes[view]
            width, height = image.size
            box = [round(left * width), round(upper * height), round(right * width), round(lower * height)]
            if box[0] >= box[2] or box[1] >= box[3]:
                raise ImageError("unreadable", f"{self._cache.paths[row]}: too small to have tiles")
            image = image.crop((box[0], box[1], box[2], box[3]))
        image.thumbnail((SIDES[side], SIDES[side]), Image.Resampling.LANCZOS)
        image.info.clear()  # what a camera wrote stays with the file
        content = io.BytesIO()
        image.save(content, "JPEG", quality=QUALITY)
        return content.getvalue()

    def _path(self, row: int) -> Path:
        text = str(self._cache.paths[row])
        path = PurePath(text)
        if path.anchor or ".." in path.parts:
            raise OutsideError(f"the path {text!r} of row {row} leads out of the folder of the images")
        return self._root / text
