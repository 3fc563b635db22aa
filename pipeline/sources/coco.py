"""COCO-style annotation files -> the entry that reads them."""

from collections.abc import Mapping
from pathlib import Path

from ..datasets.coco_file import AnnotationFile, parsed
from ..errors import AevlpError
from .places import place_of
from .understood import Draft, Given


def draft_of_coco(
    files: Mapping[str | None, Path], given: Given, contents: Mapping[Path, AnnotationFile] | None = None
) -> Draft:
    """Return what annotation files are understood as. files: one, under None, or one for each split.

    contents: of files that were parsed already. Raises AevlpError for a file that is no such file, or has no images.
    """
    roots, images = set(), {}
    for split, path in files.items():
        content = (contents or {}).get(path) or _parsed(path)
        if not content.images:
            raise AevlpError(
                f"{path}: a JSON file without a list of images, expected COCO-style annotations: write a table as .jsonl, an "
                f"object a line, and pass that as SOURCE"
            )
        stated = given.keys.get("images")
        place = place_of(path, [image.file_name or "" for image in content.images], None)
        roots.add(place.root)
        if not isinstance(stated, dict) and place.images is not None:
            images[split or "train"] = place.images
    root = min(roots, key=lambda folder: len(folder.parts))
    images = {split: _below(root, files, split, folder) for split, folder in images.items()}
    annotations = {split or "train": path.relative_to(root).as_posix() for split, path in files.items()}
    entry = {"format": "coco_json", "annotations": annotations, **({"images": images} if images else {})}
    what = f"COCO-style annotations, {', '.join(map(str, files.values()))}{_in(images)}"
    return Draft(entry, root, what, None if None in files else "the names of the files")


def _parsed(path: Path) -> AnnotationFile:
    try:
        return parsed(path)
    except AevlpError as error:
        raise AevlpError(
            f"{error}; expected COCO-style annotations, or a table written as .jsonl, an object a line: pass that as SOURCE"
        ) from error


def _below(root: Path, files: Mapping[str | None, Path], split: str, folder: str) -> str:
    """Return a folder, which was found below a file's own or the root, from the root."""
    path = files.get(split) or files[None]
    own = path.parent / folder
    return own.relative_to(root).as_posix() if own.is_dir() else folder


def _in(images: Mapping[str, str]) -> str:
    return f", images in {' and '.join(dict.fromkeys(images.values()))}" if images else ""
