"""The first images that a model labelled -> a contact sheet of them with their labels and probabilities."""

from pathlib import Path
from typing import Any

from ...pipeline.errors import AevlpError, ImageError
from ...pipeline.images.read import read_image
from ..contact_sheet import Card, draw_sheet
from ..new_files import check_folder, check_unused
from .image_names import NewImages

FIRST, NAME = 24, 34  # images; characters of a name


def check_sheet(path: Path, resumes: bool) -> None:
    """Raise AevlpError where no .png file can be written; one that is there is drawn anew where the command `resumes`."""
    if path.suffix.lower() != ".png" or path.is_dir():
        raise AevlpError(f"--sheet {path}: expected a .png file")
    (check_folder if resumes else check_unused)(path)


def draw_labels(path: Path, images: list[dict[str, Any]], new: NewImages, title: str, max_pixels: int) -> None:
    """Write the first `FIRST` of some images that could be read.

    images: as `Predictions.images` has them, the first of `new`; `probabilities` may be missing. One that is gone since is left
    out.
    """
    cards = []
    for image, place in zip(images, new.paths, strict=False):
        if image["status"] != "ok" or not _is_there(Path(place), max_pixels):
            continue
        known = image.get("probabilities")
        words = [f"{name} {known[name]:.2f}" if known else name for name in image["labels"]]
        name = image["image"]
        cards.append(Card(Path(place), None, {name if len(name) <= NAME else f"…{name[1 - NAME :]}": words}))
        if len(cards) == FIRST:
            break
    draw_sheet(path, title, cards, max_pixels)


def _is_there(place: Path, max_pixels: int) -> bool:
    try:
        read_image(place, max_pixels=max_pixels)
    except ImageError:
        return False
    return True
