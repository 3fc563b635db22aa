"""A folder -> what is in it: a saved data set, shards, tables or annotations beside images, or pictures alone."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..datasets.coco_file import AnnotationFile, OtherJson, parsed
from ..errors import AevlpError, some
from ..files.file_reading import is_systems
from ..labels.splits import split_of
from .coco import draft_of_coco
from .huggingface import draft_of_files, draft_of_saved, holds_images, is_saved
from .picture_folders import draft_of_pictures
from .split_words import by_split
from .tables import draft_of_table
from .tars import draft_of_tars
from .understood import Draft, Given

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")
COLUMNS = (".parquet", ".arrow")
_NEAR = ("data", "annotations", "labels", "metadata", "shards")  # folders that are looked into, beside those of splits
_OF_PICTURES = ("images", "image_folder")

Shape = Callable[[], Draft]


def draft_of_folder(folder: Path, given: Given) -> Draft:
    """Return what a folder is understood as; AevlpError where it is empty, has no image, or holds labels in two forms."""
    asked = given.keys.get("format")
    if asked in _OF_PICTURES:
        return draft_of_pictures(folder, given)
    if is_saved(folder):
        return draft_of_saved(folder, given)
    found = own_files(folder)
    shapes = _shapes(folder, found, given)
    if asked is not None:
        shapes = {name: shape for name, shape in shapes.items() if name[0] == asked}
        if not shapes:
            raise AevlpError(
                f"{folder}: it holds nothing of `format: {asked}`: leave that out, or pass a manifest as SOURCE"
            )
    if len(shapes) > 1:
        words = " and ".join(words for _, words in shapes)
        raise AevlpError(
            f"{folder} holds {words}, expected labels in one form: pass one of them as SOURCE, or say --key 'format: "
            f"{next(iter(shapes))[0]}'"
        )
    if not shapes:
        return draft_of_pictures(folder, given)
    (kind, words), shape = next(iter(shapes.items()))
    try:
        return shape()
    except AevlpError as error:
        if asked is None and kind in ("table", "coco_json"):
            raise AevlpError(f"{error}; or say --key 'format: images' to take no notice of {words}") from error
        raise


def own_files(folder: Path) -> list[Path]:
    """Return the files of a folder, and of those below it that are named as splits, or as labels often are."""
    folders = [folder]
    for path in sorted(folder.glob("*")):
        named = path.name.lower() in _NEAR or split_of(path.name)
        if named and path.is_dir():
            folders.append(path)
    files = [path for place in folders for path in sorted(place.glob("*")) if path.is_file()]
    return [path for path in files if not is_systems(path.name)]


def _shapes(folder: Path, files: Sequence[Path], given: Given) -> dict[tuple[str, str], Shape]:
    """Return what can be made of the files that hold labels: (format, words for them) -> what reads it."""
    of = {ending: [path for path in files if path.suffix.lower() in ending] for ending in ((".tar",), COLUMNS, TABLES)}
    tars, columns, tables = of.values()
    shapes: dict[tuple[str, str], Shape] = {}
    if tars:
        shapes["webdataset", _few(tars)] = lambda: draft_of_tars(tars, folder, given)
    if columns and holds_images(columns[0]):
        shapes["huggingface", _few(columns)] = lambda: draft_of_files(columns, folder, given)
    elif columns:
        tables = [*tables, *columns]
    if tables:
        shapes["table", _few(tables)] = lambda: draft_of_table(_grouped(tables, folder), given)
    if given.keys.get("format", "coco_json") == "coco_json":
        coco = _of_coco([path for path in files if path.suffix.lower() == ".json"])
        if coco:
            shapes["coco_json", _few(list(coco))] = lambda: draft_of_coco(_grouped(list(coco), folder), given, coco)
    return shapes


def _grouped(files: Sequence[Path], folder: Path) -> Mapping[str | None, Path]:
    """Return one file, under None, or one for each split by their names; AevlpError for several that say no split."""
    if len(files) == 1:
        return {None: files[0]}
    splits = by_split(files, folder)
    if splits is None or any(len(paths) > 1 for paths in splits.values()):
        raise AevlpError(f"{folder} holds {_few(files)}, expected one, or one for each split: pass the one as SOURCE")
    return {split: paths[0] for split, paths in splits.items()}


def _of_coco(files: Sequence[Path]) -> dict[Path, AnnotationFile]:
    """Return what is in the files that are annotations; AevlpError for a damaged file, which may be one."""
    found: dict[Path, AnnotationFile] = {}
    for path in files:
        try:
            content = parsed(path)
        except OtherJson:  # such as a camera's settings
            continue
        except AevlpError as error:
            raise AevlpError(
                f"{error}, or move it away; or say --key 'format: images', or the format of the others, to take no notice of it"
            ) from error
        if content.images or content.annotations:
            found[path] = content
    return found


def _few(files: Sequence[Path]) -> str:
    return some([path.name for path in files], 3)
