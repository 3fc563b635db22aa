"""Rows that name images -> where those are: below `images`, below the data set's folder, or below the table's own."""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path, PurePosixPath

from ..manifest.formats import TableSpec
from .faults import Remark, Report, outside
from .file_tree import FileTree
from .image_names import find_images
from .image_rows import Row

_ELSEWHERE = re.compile(r"/|[A-Za-z]:[\\/]|[A-Za-z][A-Za-z0-9+.-]*://|(.*/)?\.\.(/|$)")  # a path that begins elsewhere
_NOT_BY_ITS_END = (
    ", and by the end of this one no file there is meant by its row alone: say in which folder the files are as `images: "
    "FOLDER`, or write the path anew"
)


def tables_of(spec: TableSpec, root: Path) -> dict[Path, str | None]:
    """Return the files of a table, and the split that each is of; None where a column says it, or all are for training."""
    if isinstance(spec.table, str):
        return {root / spec.table: None}
    return {root / name: split for split, name in spec.table.items()}


def with_places(
    spec: TableSpec, root: Path, tables: Sequence[tuple[Path, list[Row]]], report: Report
) -> tuple[list[Row], list[Remark]]:
    """Return the rows of all tables as `placed` does, and remarks on where their images were found and how."""
    tree = FileTree(root)
    rows: list[Row] = []
    folders: list[str] = []
    remarks: list[Remark] = []
    for path, of_table in tables:
        own = None if spec.images is not None else _own_folder(tree, path, of_table)
        if own is not None:
            text = f"{path}: its images are in its own folder, as if the manifest said `images: {own}`"
            remarks.append(Remark("read differently", text))
        rows += of_table
        folders += [own or _stated(spec, row.split) for row in of_table]
    found, said = placed(tree, rows, folders, report, _NOT_BY_ITS_END)
    return found, remarks + said


def placed(
    tree: FileTree, rows: Sequence[Row], folders: Sequence[str], report: Report, ways: str = ""
) -> tuple[list[Row], list[Remark]]:
    """Return rows with the `path` of each image below the root, and remarks on how they were found.

    folders: in which the image of each row is named. Its id becomes the name as it is written, below its folder; of a path from
    elsewhere the path that was found. A row whose image leads out of the root is reported and left out. ways: what to do then.
    """
    found = find_images(tree.root, [(folder, row.image) for folder, row in zip(folders, rows, strict=True)], tree)
    kept = []
    for row, folder, path in zip(rows, folders, found.paths, strict=True):
        if path is None:
            report(outside(row.image, row.where, ways))
        else:
            kept.append(
                replace(row, image=path if _ELSEWHERE.match(row.image) else _joined(folder, row.image), path=path)
            )
    return kept, found.remarks


def _stated(spec: TableSpec, split: str) -> str:
    return spec.images.get(split, ".") if isinstance(spec.images, dict) else spec.images or "."


def _joined(folder: str, name: str) -> str:
    place = _normal(folder)
    return name if place == "." else f"{place}/{name}"


@cache
def _normal(folder: str) -> str:
    return PurePosixPath(folder).as_posix()


def _own_folder(tree: FileTree, table: Path, rows: list[Row]) -> str | None:
    """Return the table's own folder where more of its images are found from there than from the data set's folder."""
    try:
        own = table.parent.relative_to(tree.root).as_posix()
    except ValueError:  # it is elsewhere
        return None
    if own == "." or ".." in own.split("/"):
        return None
    names = list(dict.fromkeys(row.image for row in rows))
    from_root, from_own = (
        find_images(tree.root, [(folder, name) for name in names], tree).count for folder in (".", own)
    )
    return own if from_own > from_root else None
