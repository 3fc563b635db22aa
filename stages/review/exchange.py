"""Pairs that are to be answered -> a file for a tool that labels images, and its answers back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ...pipeline.errors import AevlpError, counted, some
from ...pipeline.files.stamps import stamped_size
from ...pipeline.labels.codes import POSITIVE
from ...pipeline.review.answer_table import read_answer_table
from ...pipeline.review.answers import Answer
from ...pipeline.review.queue import Pair
from ...pipeline.score_cache import ScoreCache
from . import answer_sheet, cvat, fifty_one, label_studio

# The name of a format -> what writes it: `write(sheets, classes, root, path)`, and how its files end.
FORMATS: dict[str, tuple[ModuleType, str]] = {
    "label-studio": (label_studio, ".label-studio.json"),
    "cvat": (cvat, ".cvat.xml"),
    "fiftyone": (fifty_one, ".fiftyone"),
    "csv": (answer_sheet, ".answers.csv"),
}


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


@dataclass(frozen=True)
class Returned:
    """What a tool says of one image. image: its id, or `path`: of its file. answers: class -> +1 or -1. where: in the file."""

    image: str | None
    path: str | None
    size: int | None
    answers: dict[str, int]
    where: str


def sheets_of(cache: ScoreCache, pairs: Sequence[Pair]) -> list[Sheet]:
    """Return pairs by their images, those first that were first in the order."""
    asked: dict[int, dict[str, float]] = {}
    for pair in pairs:
        asked.setdefault(pair.row, {})[cache.classes[pair.column]] = round(pair.chance, 4)
    return [
        Sheet(
            str(cache.ids[row]),
            str(cache.paths[row]),
            stamped_size(cache.stamps[row]),
            str(cache.split[row]),
            classes,
            tuple(cache.classes[c] for c in (cache.labels("observed", [row])[0] == POSITIVE).nonzero()[0]),
        )
        for row, classes in asked.items()
    ]


def default_place(cache: Path, name: str) -> Path:
    """Return where a format is written that nobody named a place for: beside the cache."""
    return cache.with_name(cache.stem + FORMATS[name][1])


def write_sheets(sheets: Sequence[Sheet], cache: ScoreCache, root: Path, name: str, path: Path) -> None:
    """Write the sheets in a format; AevlpError where the tool could not open an image, as one inside an archive."""
    if name != "csv":
        for sheet in sheets:
            if not (root / sheet.path).is_file():
                raise AevlpError(
                    f"{root / sheet.path} is no file that {name} could open: unpack the images, or take --export csv, which "
                    f"needs none"
                )
    FORMATS[name][0].write(sheets, cache.classes, root, path)


def read_answers(path: Path, cache: ScoreCache) -> tuple[list[Answer], str]:
    """Return the answers in a file or folder that a tool wrote, and the format that it is in.

    Only what was asked is answered by what is not there: a class that nobody asked about, and that nobody chose, has no answer.
    Raises AevlpError where the file is of none of the formats, and for an image or a class that the cache has not.
    """
    if not path.exists():
        raise AevlpError(f"no file {path} with answers")
    if path.suffix == ".csv":
        return _known(read_answer_table(path), path, cache), "csv"
    reads: dict[str, tuple[str, Callable[[Path], list[Returned]]]] = {
        ".json": ("label-studio", label_studio.read),
        ".xml": ("cvat", cvat.read),
        "": ("fiftyone", fifty_one.read),
    }
    name, read = reads.get("" if path.is_dir() else path.suffix, (None, None))
    if name is None or read is None:
        raise AevlpError(
            f"{path}: expected Label Studio's .json, CVAT's .xml (CVAT for images 1.1), a folder of FiftyOne, or a .csv"
        )
    id_of = dict(zip(cache.paths.tolist(), cache.ids.tolist(), strict=True))
    found: dict[tuple[str, str], Answer] = {}
    for returned in read(path):
        image = returned.image if returned.image is not None else id_of.get(returned.path or "")
        if image is None:
            raise AevlpError(f"{path}, {returned.where}: {cache.path} has no image {returned.path!r}")
        for label, code in returned.answers.items():
            before = found.get((image, label))
            if before is not None and before.code != code:
                raise AevlpError(
                    f"{path}, {returned.where}: {image} and {label} have another answer before: settle it there"
                )
            found[image, label] = Answer(image, label, code, returned.size, name)
    return _known(list(found.values()), path, cache), name


def _known(answers: list[Answer], path: Path, cache: ScoreCache) -> list[Answer]:
    if not answers:
        raise AevlpError(f"{path} holds no answer: nothing in it is answered yet")
    images, classes = set(cache.ids.tolist()), set(cache.classes)
    if strange := sorted({answer.image for answer in answers} - images):
        raise AevlpError(
            f"{path} has answers about {counted(len(strange), 'image')} that {cache.path} has not: {some(strange, 3)}"
        )
    if strange := sorted({answer.label for answer in answers} - classes):
        raise AevlpError(f"{path} has answers about classes that {cache.path} has not: {some(strange, 5)}")
    return answers


def as_json(sheet: Sheet) -> dict[str, Any]:
    """Return what a file carries of a sheet so that its answers find back."""
    return {"aevlp_image": sheet.image, "aevlp_size": sheet.size, "aevlp_asked": list(sheet.asked)}
