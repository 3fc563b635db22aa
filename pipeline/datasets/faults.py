"""What is wrong with a data set's own files, said as a kind and a line, so that a reader can refuse it or go on past it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import AevlpError
from ..files.whole_text import is_whole
from ..manifest.formats import DatasetSpec


class DataError(AevlpError):
    """A fault in a row of a data set, of a `kind` that `aevlp check` lists; `image` is the id of a row that is kept."""

    def __init__(self, kind: str, text: str, image: str | None = None) -> None:
        super().__init__(text)
        self.kind, self.image = kind, image


@dataclass(frozen=True)
class Remark:
    """What a reader did that a person should know, and that is no fault: a `kind` that `aevlp check` lists, and a line."""

    kind: str
    text: str


Report = Callable[[DataError], None]


def refuse(error: DataError) -> None:
    """Stop at the first fault: what reading a data set does unless told otherwise."""
    raise error


def not_there(spec: DatasetSpec, root: Path, path: Path) -> AevlpError:
    """Return the error for a data set whose file or folder `path` is not below `root`, with what a user can do."""
    ways = ["pass the folder that it is below as --data-root"]
    if spec.downloads:
        archives = ", ".join(download.file for download in spec.downloads)
        ways.insert(0, f"aevlp datasets {spec.name} --download fetches {archives} into {root}")
    elif spec.steps:
        ways.insert(0, f"aevlp datasets {spec.name} --download says how to get it")
    return AevlpError(f"{spec.name}: no {path}: {'; or '.join(ways)}")


def image_below_root(image: str, where: str) -> str:
    """Return an image's relative path with forward slashes; DataError where it leads out of the data set's folder."""
    image_name(image, where)
    path = PurePosixPath(image)
    if path.is_absolute() or ".." in path.parts:
        raise outside(image, where)
    return image


def image_name(image: str, where: str) -> str:
    """Return an image's name as a label file writes it; DataError where no file can have it."""
    if not image.strip():
        raise DataError("bad row", f"{where}: no image is named, its path is needed")
    if "\0" in image or not is_whole(image):
        raise DataError("bad row", f"{where}: the image {image!r} holds a character that no file name can have")
    return image


def outside(image: str, where: str, more: str = "") -> DataError:
    """Return the fault of an image whose path leads out of the data set's folder. more: what else may be meant, and done."""
    text = f"{where}: {image!r} is not below the data set's folder; paths are relative to it{more}"
    return DataError("outside the folder", text)
