"""What goes out to a tool, an image and the classes that are asked of it, and what the tool says of an image."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sheet:
    """An image and the classes that are asked of it, each with its chance, in [0, 1].

    image: its id. path: of the file, below the folder of the images. size: of the file in bytes, None where it is not known.
    known: the classes that were observed in it.
    """

    image: str
    path: str
    size: int | None
    split: str
    asked: dict[str, float]
    known: tuple[str, ...] = ()

    @property
    def carried(self) -> dict[str, Any]:
        """What a file of JSON carries of it, so that its answers find back; a tool keeps fields that it does not know."""
        return {"aevlp_image": self.image, "aevlp_size": self.size, "aevlp_asked": list(self.asked)}


@dataclass(frozen=True)
class Returned:
    """What a tool says of one image. image: its id, or `path`: of its file. answers: class -> +1 or -1. where: in the file."""

    image: str | None
    path: str | None
    size: int | None
    answers: dict[str, int]
    where: str
