"""Pairs that are to be answered -> a file for a tool that labels images, and its answers back."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...pipeline.errors import AevlpError, counted, some
from ...pipeline.files.locations import RemotePath
from ...pipeline.files.stamps import stamped_size
from ...pipeline.labels.codes import POSITIVE
from ...pipeline.review.answer_table import read_answer_table
from ...pipeline.review.answers import Answer
from ...pipeline.review.queue import Pair
from ...pipeline.score_cache import ScoreCache
from ..new_files import check_unused
from . import answer_sheet, cvat, fifty_one, label_studio
from .sheet import Returned, Sheet
from .tool_json import tool_json


@dataclass(frozen=True)
class Format:
    """How a tool is written to. write: sheets, classes, the folder of the images and a place -> files, or a folder.

    ending: of the default place; a place has the last part of it. beside: the endings of further files at that place.
    images: whether the tool opens the images.
    """

    write: Callable[[Sequence[Sheet], Sequence[str], Path, Path], None]
    ending: str
    beside: tuple[str, ...] = ()
    images: bool = True

    def files(self, path: Path) -> list[Path]:
        """Return all files that stand for a place."""
        return [path, *(path.with_suffix(ending) for ending in self.beside)]


FORMATS = {
    "label-studio": Format(label_studio.write, ".label-studio.json", (label_studio.INTERFACE,)),
    "cvat": Format(cvat.write, ".cvat.xml", (cvat.LABELS, cvat.IMAGES)),
    "fiftyone": Format(fifty_one.write, ".fiftyone"),
    "csv": Format(answer_sheet.write, ".answers.csv", images=False),
}
FOLDER = "fiftyone"  # the format that is a folder, of any name


def sheets_of(cache: ScoreCache, pairs: Sequence[Pair]) -> list[Sheet]:
    """Return pairs by their images, those first that were first in the order."""
    asked: dict[int, dict[str, float]] = {}
    for pair in pairs:
        asked.setdefault(pair.row, {})[cache.classes[pair.column]] = round(pair.chance, 4)
    rows = np.array(sorted(asked), dtype=np.int64)
    known = dict(zip(rows.tolist(), cache.labels("observed", rows) == POSITIVE, strict=True))
    return [
        Sheet(
            str(cache.ids[row]),
            str(cache.paths[row]),
            stamped_size(cache.stamps[row]),
            str(cache.split[row]),
            classes,
            tuple(cache.classes[column] for column in np.flatnonzero(known[row])),
        )
        for row, classes in asked.items()
    ]


def place_for(name: str, given: Path | None, cache: Path) -> Path:
    """Return where a format is written, beside the cache where no place is given.

    Raises AevlpError where the place has an ending by which it would not be read again, or where something is there already.
    """
    path = given or cache.with_name(cache.stem + FORMATS[name].ending)
    ending = Path(FORMATS[name].ending).suffix
    if name == FOLDER and path.suffix in (".csv", ".json", ".xml", ".zip"):
        raise AevlpError(f"{path}: expected a name for a folder, which --export {name} writes")
    if name != FOLDER and path.suffix != ending:
        raise AevlpError(f"{path}: expected a name that ends in {ending}, as what --export {name} writes")
    for file in FORMATS[name].files(path):
        check_unused(file)
    return path


def write_sheets(sheets: Sequence[Sheet], cache: ScoreCache, root: Path, name: str, path: Path) -> None:
    """Write the sheets in a format; AevlpError where the tool could not open an image, as one in an archive or a store."""
    if FORMATS[name].images:
        if isinstance(root, RemotePath):
            raise AevlpError(f"{root}: {name} needs the images on a disk: name a copy of them with --data-root")
        root = Path(os.path.abspath(root))  # noqa: PTH100, resolve() would follow links
        for sheet in sheets:
            if not (root / sheet.path).is_file():
                raise AevlpError(
                    f"{root / sheet.path} is no file that {name} could open: unpack the images, or take --export csv, which "
                    f"needs none"
                )
    FORMATS[name].write(sheets, cache.classes, root, path)


def read_answers(path: Path, cache: ScoreCache) -> tuple[list[Answer], str]:
    """Return the answers in a file or folder that a tool wrote, and the format that it is in.

    Only what was asked is answered by what is not there: a class that nobody asked about, and that nobody chose, has no answer.
    Raises AevlpError where the file is of none of the formats, where it says yes and no of a pair, and for an image or a class
    that the cache has not.
    """
    if not path.exists():
        raise AevlpError(f"no file {path} with answers")
    if path.suffix.lower() == ".csv":
        return _known(read_answer_table(path), path, cache), "csv"
    name, all_returned = _returned(path)
    ids_of: dict[str, list[str]] = {}
    for image, file in zip(cache.ids.tolist(), cache.paths.tolist(), strict=True):
        ids_of.setdefault(file, []).append(image)
    found: dict[tuple[str, str], Answer] = {}
    for returned in all_returned:
        images = ids_of.get(returned.path or "", []) if returned.image is None else [returned.image]
        if not images:
            raise AevlpError(
                f"{path}, {returned.where}: {cache.path} has no image of this name: the images of the tool must have the names "
                f"that they had in what --export wrote"
            )
        for image in images:
            for label, code in returned.answers.items():
                before = found.setdefault((image, label), Answer(image, label, code, returned.size, name))
                if before.code != code:
                    raise AevlpError(
                        f"{path}, {returned.where}: {image} and {label} have another answer before: settle it there"
                    )
    return _known(list(found.values()), path, cache), name


def _returned(path: Path) -> tuple[str, list[Returned]]:
    """Return the format that a file or folder is in, and what it says."""
    suffix = path.suffix.lower()
    if path.is_dir() or suffix == ".json":
        content = tool_json(path / fifty_one.SAMPLES if path.is_dir() else path)
        if path.is_dir() or (isinstance(content, dict) and "samples" in content):
            return "fiftyone", fifty_one.read(content, path)
        return "label-studio", label_studio.read(content, path)
    if suffix in (".xml", ".zip"):
        return "cvat", cvat.read(path)
    raise AevlpError(
        f"{path}: expected Label Studio's .json, CVAT's .xml or .zip (CVAT for images 1.1), a folder of FiftyOne, or a .csv"
    )


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
