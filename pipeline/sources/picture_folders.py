"""A folder of pictures -> the entry that reads it: a folder for each class, or images without labels and the names of classes."""

from collections.abc import Sequence
from pathlib import Path

from ..datasets.class_list_check import key_of
from ..errors import AevlpError, some
from ..files.file_reading import Found, find_pictures, is_systems, kinds_counted
from ..labels.label_words import number
from ..labels.splits import split_of
from .naming import is_general
from .understood import Draft, Given

_ASK_OF_OTHERS = "leave --classes out if each folder is a class, or say --key 'format: images' if none is"
_ASK = "say --key 'format: image_folder' if each folder is a class, or --key 'format: images' with --classes if none is"


def draft_of_pictures(folder: Path, given: Given) -> Draft:
    """Return what a folder of pictures is understood as.

    Folders are classes where no picture lies beside them and no class is given that they are not named for. Raises AevlpError
    where there is no picture, no class is known, or folders may be classes or not.
    """
    found = find_pictures(folder)
    if not found.images:
        there = f"it holds {kinds_counted(found.left_out)}" if found.left_out else "it is empty"
        raise AevlpError(
            f"{folder}: no image in it, {there}; expected pictures (.jpg, .png, …): pass another folder as SOURCE"
        )
    below = [path.relative_to(folder).parts for path in found.images]
    loose = sum(len(parts) == 1 for parts in below)
    folders = sorted({parts[0] for parts in below if len(parts) > 1})
    asked = given.keys.get("format")
    if asked == "images":
        return _images(folder, found, given)
    if folders and not loose and all(map(split_of, folders)):
        deeper = [parts[1:] for parts in below]
        flat = sum(len(parts) == 1 for parts in deeper)
        if not flat:
            return _classes(
                folder, {split_of(name) or "": name for name in folders}, {p[0] for p in deeper}, found, given
            )
        if flat < len(deeper):
            raise AevlpError(
                f"{folder}: pictures lie in its {some(folders, 3)} and in folders below them, expected all in folders of "
                f"classes, or none: {_ASK}"
            )
        return _images(folder, found, given)
    if asked == "image_folder":
        return _classes(folder, {}, set(folders), found, given)
    if not folders:
        return _images(folder, found, given)
    if len(folders) == 1 and not loose and not given.classes and all(len(parts) > 2 for parts in below):
        return draft_of_pictures(folder / folders[0], given)
    if _are_classes(folder, folders, loose, given):
        return _classes(folder, {}, set(folders), found, given)
    return _images(folder, found, given)


def _are_classes(folder: Path, folders: Sequence[str], loose: int, given: Given) -> bool:
    """Return whether the folders are those of classes; AevlpError where that is not certain."""
    if given.classes is not None:
        named = [name for name in folders if name in given.classes]
        if not named and not {key_of(name) for name in folders} & {key_of(name) for name in given.classes}:
            return False
        if loose or len(named) < len(folders):
            other = "pictures lie beside them" if len(named) == len(folders) else f"{_first(folders, named)!r} is none"
            near = named or [name for name in folders if key_of(name) in {key_of(c) for c in given.classes}]
            _require_spelt(folder, folders, given.classes)
            ask = _ASK if len(named) == len(folders) else _ASK_OF_OTHERS
            raise AevlpError(f"{folder}: the folder {near[0]!r} is named as one of --classes, and {other}: {ask}")
        return True
    if len(folders) == 1:
        if is_general(folders[0]) or loose:
            return False
        raise AevlpError(
            f"{folder}: all pictures are in one folder, {folders[0]!r}; expected a folder for each of two classes or more, or "
            f"images without labels: say --key 'format: images', and name their classes as --classes cat,dog"
        )
    if loose:
        raise AevlpError(
            f"{folder}: pictures lie beside the folders {some(folders, 4)}, which may be classes or not: {_ASK}"
        )
    if (
        all(number(name) is not None for name in folders)
        or any(map(is_general, folders))
        or any(map(split_of, folders))
    ):
        raise AevlpError(f"{folder}: the folders {some(folders, 4)} are not named as classes are: {_ASK}")
    return True


def _require_spelt(folder: Path, folders: Sequence[str], classes: Sequence[str]) -> None:
    """Raise AevlpError for a folder that is named nearly as one of the classes."""
    for name in folders:
        meant = [known for known in classes if key_of(known) == key_of(name)]
        if meant and name not in classes:
            raise AevlpError(
                f"{folder}: the folder {name!r} is named nearly as {meant[0]!r} of --classes, expected one name for a class: "
                f"rename the folder, or say --key 'format: images' if the folders are no classes"
            )


def _first(folders: Sequence[str], named: Sequence[str]) -> str:
    return next(name for name in folders if name not in named)


def _classes(folder: Path, splits: dict[str, str], names: set[str], found: Found, given: Given) -> Draft:
    _require_pictures(folder, list(splits.values()) or ["."], names)
    if given.classes is None and len(names) < 2:
        raise AevlpError(
            f"{folder}: a folder for one class, {some(sorted(names), 1)}; expected two or more, or images without labels: say "
            f"--key 'format: images' with --classes"
        )
    entry = {"format": "image_folder", **({"splits": splits} if splits else {})}
    said = None if set(splits) <= {"train"} else "the folders"
    return Draft(entry, folder, f"a folder for each class, {folder}{_left_out(found)}", said)


def _require_pictures(folder: Path, parts: Sequence[str], names: set[str]) -> None:
    """Raise AevlpError for a folder without a picture, which would be a class that no image shows."""
    for part in parts:
        for path in sorted((folder / part).glob("*")):
            if path.is_dir() and path.name not in names and not is_systems(path.name):
                raise AevlpError(
                    f"{path}: a folder without an image among those of classes, expected some in each: remove it, or say --key "
                    f"'format: images' if the folders are no classes"
                )


def _images(folder: Path, found: Found, given: Given) -> Draft:
    if given.keys.get("format") != "images":
        _require_no_labels(folder, found)
    if not given.says("classes"):
        raise AevlpError(
            f"{folder}: {len(found.images):,} images without labels, and no class is named: name what they may show as --classes "
            f"cat,dog or a file with one name a line"
        )
    return Draft({"format": "images"}, folder, f"images without labels, {folder}{_left_out(found)}", labelled=False)


def _require_no_labels(folder: Path, found: Found) -> None:
    """Raise AevlpError where files beside the images, named as they are, may hold their labels."""
    stems = {path.stem for path in found.images}
    for ending, what in ((".xml", "`format: voc` of a manifest reads them"), (".txt", "write them as a table")):
        names = [path for path in folder.glob(f"**/*{ending}") if path.stem in stems]
        if 2 * len({path.stem for path in names}) >= len(stems):
            raise AevlpError(
                f"{folder}: files such as {names[0].name} are named as the images are, and may hold their labels: {what}; or say "
                f"--key 'format: images' to take no notice of them"
            )


def _left_out(found: Found) -> str:
    return f" (left out: {kinds_counted(found.left_out)})" if found.left_out else ""
