"""The columns of a table, by name and by what is in them -> which one names images, holds labels, says a split."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from ..datasets.class_list_check import key_of
from ..datasets.column_words import LABELS, SPLIT
from ..errors import AevlpError, some, unknown_name
from ..files.image_formats import ENDINGS
from ..labels.label_words import BLANK, plain, word
from ..labels.splits import split_of
from .separators import SEPARATORS, cut

IMAGE = {
    "image", "images", "img", "imagepath", "imgpath", "imagename", "imgname", "imagefile", "imagefilename", "filename", "file",
    "filepath", "path", "picture", "photo", "imageid", "imgid", "id", "name", "imageurl", "fname",
}  # fmt: skip
SAMPLE = 200  # rows by which a column without endings is looked for among the files

Cells = Mapping[str, Sequence[Any]]


def image_column(cells: Cells, are_files: Callable[[Sequence[str]], bool], where: str) -> str:
    """Return the column that names images: its cells end as pictures do, or are found as files without their endings.

    are_files: whether all of some names are those of files. Raises AevlpError, which names `--image-column`, for none or two.
    """
    ending = [name for name, column in cells.items() if _most(column, looks_like_image)]
    if len(ending) == 1:
        return ending[0]
    if len(ending) > 1:
        raise AevlpError(
            f"{where}: the columns {' and '.join(ending)} all look like images, expected one: say --image-column {ending[0]}"
        )
    found = [name for name, column in cells.items() if (names := _names(column)) and are_files(names)]
    if len(found) > 1:
        found = [name for name in found if key_of(name) in IMAGE] or found
    if len(found) == 1:
        return found[0]
    if found:
        raise AevlpError(
            f"{where}: the columns {' and '.join(found)} may both name images, expected one: say --image-column {found[0]}"
        )
    named = [name for name in cells if key_of(name) in IMAGE]
    near = f", such as --image-column {named[0]}" if named else ""
    raise AevlpError(
        f"{where}: no column looks like images (its columns are {some(list(cells), 8)}), expected one with the names of picture "
        f"files: say which as --image-column{near}, and where the files are as --key 'images: FOLDER'"
    )


def split_column(cells: Cells, taken: set[str], where: str) -> str | None:
    """Return the column whose cells all say a split, None where no column does; AevlpError for two."""
    found = []
    for name, column in cells.items():
        if name in taken:
            continue
        said = {split_of(value) if isinstance(value, str) else None for value in column if word(value) not in BLANK}
        if said and None not in said and (len(said) > 1 or key_of(name) in SPLIT):
            found.append(name)
    if len(found) > 1:
        raise AevlpError(
            f"{where}: the columns {' and '.join(found)} both say a split, expected one: say --split-column {found[0]}, or "
            f"--split-column none"
        )
    return found[0] if found else None


def stated_split(name: str, cells: Cells, where: str) -> str:
    """Return a column that a person says holds the splits; AevlpError where none of its cells does."""
    known_column(name, list(cells), "--split-column", where)
    values = [value for value in cells[name] if word(value) not in BLANK]
    if not any(isinstance(value, str) and split_of(value) for value in values):
        found = some([repr(value)[:60] for value in dict.fromkeys(map(str, values))], 4) or "nothing"
        raise AevlpError(
            f"{where}: the column {name}, named as --split-column, holds no split but {found}, expected train, val or valid, and "
            f"test: name another column as --split-column, or say --split-column none"
        )
    return name


def label_column(cells: Cells, taken: set[str], classes: tuple[str, ...] | None, where: str) -> str | None:
    """Return the column of labels: by its name, or as the only one whose texts are all `classes`.

    None where none is, so that each class may have a column. Raises AevlpError, which names `--label-column`, for two.
    """
    rest = {name: column for name, column in cells.items() if name not in taken}
    named = [name for name in rest if key_of(name) in LABELS]
    if len(named) > 1 and classes:
        named = [name for name in named if _of_classes(rest[name], classes)] or named
    if len(named) > 1:
        raise AevlpError(
            f"{where}: the columns {' and '.join(named)} may both hold the labels, expected one: say --label-column {named[0]}"
        )
    if named:
        return named[0]
    if classes and not set(classes) & set(rest):
        fitting = [name for name, column in rest.items() if _of_classes(column, classes)]
        if len(fitting) == 1:
            return fitting[0]
    return None


def known_column(name: str, columns: Sequence[str], option: str, where: str) -> str:
    """Return a column that was named by a person; AevlpError where the table has none of that name."""
    if name not in columns:
        raise AevlpError(f"{where}: {unknown_name('column', name, columns)}: say which it is as {option}")
    return name


def maybe_classes(cells: Cells, taken: set[str]) -> list[str]:
    """Return the columns in which every cell says present, absent or not known, as one of a class does."""
    yes_or_no = {"0", "1", "true", "false", *BLANK, "-1"}
    return [
        name
        for name, column in cells.items()
        if name not in taken and _all(column, lambda value: word(value) in yes_or_no)
    ]


def _all(column: Sequence[Any], says: Any) -> bool:
    values = [value for value in column if word(value) not in BLANK]
    return bool(values) and all(map(says, values))


def _most(column: Sequence[Any], says: Any) -> bool:
    values = [value for value in column if word(value) not in BLANK]
    return 2 * sum(map(says, values)) > len(values)


def looks_like_image(value: Any) -> bool:
    """Return whether a cell is a name with the ending of a picture."""
    text = value.split("?")[0] if isinstance(value, str) else ""
    return PurePosixPath(text.replace("\\", "/")).suffix.lower() in ENDINGS


def _names(column: Sequence[Any]) -> list[str]:
    """Return the different names in a column, [] where a cell is none."""
    names = [_name(value) for value in column[:SAMPLE] if word(value) not in BLANK]
    return list(dict.fromkeys(name for name in names if name)) if all(names) else []


def _name(value: Any) -> str | None:
    value = plain(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value.strip() if isinstance(value, str) and "\0" not in value else None


def _of_classes(column: Sequence[Any], classes: tuple[str, ...]) -> bool:
    """Return whether every cell is one of the classes, or several with the same sign between them."""
    texts = {value.strip() for value in column if isinstance(value, str) and value.strip()}
    known = set(classes)
    others = [value for value in column if not isinstance(value, str) and word(value) not in BLANK]
    if others:
        return all(isinstance(value, list | tuple) and set(map(str, value)) <= known for value in others) and not texts
    return bool(texts) and any(all(part in known for text in texts for part in cut(text, sign)) for sign in SEPARATORS)
