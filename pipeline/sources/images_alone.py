"""A table, tar shards, annotations or saved files -> the images that they name, for a model to label: no label is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..datasets import DataError, load_images
from ..datasets.file_tree import FileTree
from ..datasets.image_rows import Row
from ..datasets.table_files import TEXT_ENDINGS
from ..datasets.table_images import placed
from ..datasets.webdataset import IMAGE_EXTENSIONS
from ..errors import AevlpError
from ..files.file_reading import is_systems
from ..files.tar_files import tar_members
from ..labels.label_words import BLANK, word
from .checked_entry import checked_entry
from .coco import draft_of_coco
from .columns import image_column, known_column
from .folders import COLUMNS, TABLES, own_files
from .huggingface import draft_of_files, draft_of_saved, holds_images, is_saved
from .look import asking
from .naming import name_of
from .places import are_files, place_of
from .stated_keys import checked_given
from .table_cells import cells_of, form_of
from .understood import Draft, Given, with_options

TAR = ".tar"
ENDINGS = frozenset({*TEXT_ENDINGS, *TABLES, *COLUMNS, ".json", TAR})


@dataclass(frozen=True)
class ImagesAlone:
    """ids: of the images, as the source names them, each once. paths: theirs. left_out: what is wrong with each other row."""

    ids: list[str]
    paths: list[Path]
    left_out: list[AevlpError]


def images_alone(source: Path, given: Given) -> ImagesAlone | None:
    """Return the images that a file with one of `ENDINGS`, or a folder, names; None for a folder that is none of these.

    given: what a person says of it. Raises AevlpError where it cannot be read, and where its images can be meant in two ways.
    """
    try:
        given = checked_given(given)
        with asking(source):
            return _of_folder(source, given) if source.is_dir() else _of_file(source, given)
    except AevlpError as error:
        raise with_options(AevlpError(str(error))) from error


def _of_folder(folder: Path, given: Given) -> ImagesAlone | None:
    if is_saved(folder):
        return _of_draft(folder, draft_of_saved(folder, given), given)
    files = own_files(folder)
    tars = [path for path in files if path.suffix.lower() == TAR]
    if tars:
        return _of_tars(tars, folder)
    columns = [path for path in files if path.suffix.lower() in COLUMNS]
    if columns and holds_images(columns[0]):
        return _of_draft(folder, draft_of_files(columns, folder, given), given)
    return None


def _of_file(file: Path, given: Given) -> ImagesAlone:
    ending = file.suffix.lower()
    if ending == TAR:
        return _of_tars([file], file.parent)
    if ending in COLUMNS and holds_images(file):
        return _of_draft(file, draft_of_files([file], file.parent, given), given)
    if ending == ".json":
        return _of_draft(file, draft_of_coco({None: file}, given), given)
    return _of_table(file, given)


def _of_table(file: Path, given: Given) -> ImagesAlone:
    cells, places = cells_of(file, form_of(file, given.keys))
    if stated := given.keys.get("image_column"):
        column = known_column(stated, list(cells), "--image-column", str(file))
    else:
        column = image_column(cells, partial(are_files, file), str(file))
    left_out: list[AevlpError] = []
    rows: dict[str, Row] = {}
    for value, where in zip(cells[column], places, strict=True):
        if word(value) in BLANK:
            left_out.append(AevlpError(f"{where}: no image is named"))
        else:
            name = str(value).strip()
            rows.setdefault(name, Row(where, name, None, "train"))
    found = {name: Path(name) for name in rows if Path(name).is_absolute() and Path(name).is_file()}
    rest = [row for name, row in rows.items() if name not in found]
    place = place_of(file, [row.image for row in rest], given.keys.get("images"))
    kept, _ = placed(FileTree(place.root), rest, [place.images or "."] * len(rest), left_out.append)
    found |= {row.image: place.root / row.path for row in kept}
    return ImagesAlone(list(found), list(found.values()), left_out)


def _of_tars(shards: Sequence[Path], root: Path) -> ImagesAlone:
    paths = [
        shard / name
        for shard in shards
        for name in tar_members(shard)
        if name.rpartition(".")[2].lower() in IMAGE_EXTENSIONS and not any(map(is_systems, name.split("/")))
    ]
    return ImagesAlone([path.relative_to(root).as_posix() for path in paths], paths, [])


def _of_draft(source: Path, draft: Draft, given: Given) -> ImagesAlone:
    """Return the images of a source that is read as a data set; a fault of its labels costs no image."""
    name = name_of(source)
    entry = {"title": name, **draft.entry, **given.keys}
    spec = checked_entry(source, name, entry, draft.root, given)
    faults: list[DataError] = []
    images = load_images(spec, draft.root, report=faults.append)
    return ImagesAlone(images.ids.tolist(), images.paths.tolist(), [fault for fault in faults if fault.image is None])
