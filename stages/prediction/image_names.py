"""What a command is told of new images: files, folders, patterns, - for paths on standard input, or a source -> image files."""

import glob
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...pipeline.errors import AevlpError, counted
from ...pipeline.files.file_reading import Found, find_pictures, kinds_counted
from ...pipeline.files.locations import RemotePath
from ...pipeline.files.whole_text import is_whole
from ..console import say
from .options import PredictOptions

if TYPE_CHECKING:
    from ..source_options import SourceOptions

STDIN = "-"
# Of sources; a folder or a file with another ending holds pictures, or is one.
SOURCES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".parquet", ".arrow", ".json", ".tar", ".yaml", ".yml", ".txt")
MANIFESTS = (".yaml", ".yml")
NAME = re.compile(r"[\w.-]+")  # as a data set may have one


@dataclass(frozen=True)
class NewImages:
    """ids: of images, each once: their paths as they were named, or their names in a source. paths: where to read them."""

    ids: list[str]
    paths: list[str]


def new_images(options: PredictOptions) -> NewImages:
    """Return the images that are meant: by `find_images`, or, where one name stands alone and is a source, all images of it.

    Raises AevlpError as `find_images` does, for a source that cannot be read or is one of several names, and for an option of a
    source where none is given.
    """
    if len(options.images) == 1 and options.images[0] and (found := _of_source(options.images[0], options)) is not None:
        return found
    for name in options.images:
        if name != STDIN and Path(name).suffix.lower() in SOURCES and Path(name).is_file():
            raise AevlpError(
                f"{name} names images and stands among other names: pass it alone, or images alone; a list of paths goes to "
                f"standard input, as in aevlp predict MODEL - < paths.txt"
            )
    paths = [str(path) for path in find_images(options.images)]
    _require_no_source_options(options)
    return NewImages(paths, paths)


def _require_no_source_options(options: PredictOptions) -> None:
    for option in ("image_column", "key", "dataset", "manifest", "data_root"):
        if getattr(options, option) is not None:
            if not Path(options.images[0]).exists() and options.images[0] != STDIN:
                raise AevlpError(f"no such file, folder or data set of the manifest: {options.images[0]}")
            raise AevlpError(
                f"--{option.replace('_', '-')} is said of a table, another source or a data set, and {options.images[0]!r} is "
                f"none: leave it out"
            )


def _of_source(name: str, options: PredictOptions) -> NewImages | None:
    """Return the images of a source, a folder or a data set; None for a picture, a pattern, or nothing."""
    path = Path(name)
    there, ending = path.exists(), path.suffix.lower()
    if name == STDIN or (there and path.is_file() and (ending not in SOURCES or ending == ".txt")):
        return None
    if path.is_dir() and (inside := find_pictures(path)).images:  # a folder of a million is listed once
        _require_no_source_options(options)
        paths = [str(image) for image in _all_in(path, inside)]
        return NewImages(paths, paths)
    if not there and not NAME.fullmatch(name):  # a pattern, or a path to nothing
        return None
    from ...pipeline.sources import Given  # what reads sources takes a while to load, and few predictions need it
    from ...pipeline.sources.images_alone import images_alone
    from ..source_options import SourceOptions
    from ..sources import stated_keys

    asked = SourceOptions(
        source=name,
        image_column=options.image_column,
        key=options.key,
        dataset=options.dataset,
        manifest=options.manifest,
        data_root=options.data_root,
    )
    if there and ending not in MANIFESTS:
        if wrong := next((o for o in ("dataset", "manifest", "data_root") if getattr(options, o) is not None), None):
            raise AevlpError(f"{name} is a source of its own: leave --{wrong.replace('_', '-')} out")
        found = images_alone(path, Given(None, stated_keys(asked)))
        return None if found is None else _said(name, found.ids, found.paths, found.left_out)
    return _of_data_set(name, asked)


def _of_data_set(name: str, asked: "SourceOptions") -> NewImages | None:
    from ...pipeline.datasets import load_images
    from ...pipeline.manifest.load import load_manifest
    from ..sources import find_source

    if not Path(name).is_file() and name not in load_manifest(asked.manifest):
        return None
    spec = find_source(asked).spec
    faults: list[Any] = []
    images = load_images(spec, asked.data_root, report=faults.append)
    return _said(name, images.ids.tolist(), images.paths.tolist(), [fault for fault in faults if fault.image is None])


def _said(name: str, ids: list[str], paths: list[Path], left_out: Sequence[AevlpError]) -> NewImages:
    """Return the images of a source, and say what of it is left out; AevlpError where none is left."""
    if not ids:
        raise AevlpError(f"{name} names no image" + (f": {left_out[0]}" if left_out else ""))
    if left_out:
        say(f"left out of {name}: {counted(len(left_out), 'row')}, first {left_out[0]}")
    if any(isinstance(path, RemotePath) for path in paths):
        raise AevlpError(f"{name} is in a remote store, expected images on a local disk: copy them there")
    return NewImages(ids, [str(path) for path in paths])


def find_images(names: list[str]) -> list[Path]:
    """Return the image files meant by files, folders (searched through) and glob patterns, each once, in order.

    A name of - stands for the paths on standard input, one a line, which are taken as they are. What lies in a folder and is
    no picture is said, by kind. Raises AevlpError where a name means nothing.
    """
    if not names:
        raise AevlpError("no images: expected files, folders or quoted glob patterns")
    found: dict[Path, None] = {}
    for name in names:
        if not name:
            raise AevlpError("an image has an empty name: expected files, folders or quoted glob patterns")
        found.update(dict.fromkeys(_meant_by(name)))
    whole = [path for path in found if is_whole(str(path))]
    if len(whole) < len(found):  # no output could hold the others' names
        first = next(ascii(str(path)) for path in found if not is_whole(str(path)))
        left_out = f"left out: {counted(len(found) - len(whole), 'image')} whose name is not UTF-8 text, first {first}"
        if not whole:
            raise AevlpError(f"no image is left; {left_out}: rename {'it' if len(found) == 1 else 'them'}")
        say(left_out)
    return whole


def _meant_by(name: str) -> list[Path]:
    if name == STDIN:
        return _from_stdin()
    path = Path(name)
    if path.is_dir():
        return _all_in(path, find_pictures(path))
    if path.exists():
        return [path]
    matching = [Path(p) for p in sorted(glob.glob(name, recursive=True)) if Path(p).is_file()]  # noqa: PTH207
    if not matching:
        raise AevlpError(f"no file, folder or match for {name!r}")
    return matching


def _all_in(folder: Path, inside: Found) -> list[Path]:
    left_out = f"left out of {folder}: {kinds_counted(inside.left_out)}" if inside.left_out else ""
    if not inside.images:
        raise AevlpError(f"no image file in the folder {folder}" + (f"; {left_out}" if left_out else ""))
    if left_out:
        say(left_out)
    return inside.images


def _from_stdin() -> list[Path]:
    """Return the paths on standard input, one a line; those that are not there become rows that say so."""
    if sys.stdin is None or sys.stdin.closed:
        raise AevlpError("- reads paths from standard input, which is closed: pass files or folders instead")
    try:
        if isinstance(sys.stdin, TextIOWrapper):
            sys.stdin.reconfigure(errors="surrogateescape")  # a name that is no text costs no other
        lines = [line.rstrip("\r\n") for line in sys.stdin]
    except (OSError, ValueError) as error:
        raise AevlpError(f"- reads paths from standard input, one a line: it cannot be read ({error})") from error
    if lines:
        lines[0] = lines[0].removeprefix("\ufeff")  # by which some programs begin a file of text
    paths = [Path(line) for line in lines if line.strip()]
    if not paths:
        raise AevlpError("- reads paths from standard input, one a line, found none")
    if any("\0" in line for line in lines):
        raise AevlpError(
            "- reads paths from standard input, one a line, found a zero byte: use find … -print, not -print0"
        )
    return paths
