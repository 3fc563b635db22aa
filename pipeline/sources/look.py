"""A source -> what it is understood as, or why it is none."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..datasets import DataError
from ..datasets.table_files import TEXT_ENDINGS
from ..errors import AevlpError
from ..files.file_reading import KINDS
from ..files.image_formats import ENDINGS, HEAD, format_of
from ..files.locations import location
from .coco import draft_of_coco
from .folders import TABLES, draft_of_folder
from .huggingface import draft_of_files, holds_images
from .naming import name_of
from .reading import read
from .stated_keys import checked_given
from .tables import draft_of_table
from .tars import draft_of_tars
from .understood import Draft, Given, Understood, with_options

_STARTS = {b"%PDF": "a PDF"} | dict.fromkeys((b"PK\3\4", b"\x1f\x8b", b"Rar!", b"7z\xbc\xaf"), "an archive")
_SPREADSHEETS = (".xlsx", ".xls", ".ods", ".numbers")
_ADVICE = {
    "a video": "save pictures of it into a folder, and pass that as SOURCE",
    "an archive": "unpack it, and pass its folder as SOURCE",
    "a spreadsheet": "save it as .csv, and pass that as SOURCE",
    "a PDF": "save its pages as pictures in a folder, and pass that as SOURCE",
    "a picture": "pass its folder as SOURCE, or label it by a trained run: aevlp predict RUN IMAGE",
}
EXPECTED = (
    "expected a folder of images or of one folder a class, a .csv, .tsv, .jsonl or .parquet, a COCO-style .json, tar shards, a "
    "manifest .yaml, or a name in the manifest"
)


def look(
    source: str | Path, given: Given | None = None, name: str | None = None, forgiving: bool = False
) -> Understood:
    """Return what a folder or file is understood as; nothing is written.

    given: what a person says of it. name: of the data set, None for one made of the source's. forgiving: whether faulty
    rows and images that are missing are passed over, for a check that lists them. Raises AevlpError, in one line
    that names the option which settles it, for what is no source, for what can be meant in two ways, and for faulty labels.
    """
    path = location(source)
    try:
        given = checked_given(given or Given())
        with asking(path):
            return read(path, name or name_of(path), _draft(path, given), given, forgiving)
    except DataError as error:
        raise with_options(AevlpError(str(error))) from error
    except AevlpError as error:
        raise with_options(error) from error


@contextmanager
def asking(path: Path) -> Iterator[None]:
    """Raise AevlpError, in one line, where the system does not give a source, or say whether it is there."""
    try:
        yield
    except OSError as error:
        file = "" if error.filename is None or str(error.filename) == str(path) else f", {error.filename}"
        raise AevlpError(
            f"{path}: cannot be read{file}: {error.strerror or error}; expected a SOURCE that can be read: mend that, or pass "
            f"another"
        ) from error


def _draft(path: Path, given: Given) -> Draft:
    if path.is_dir():
        return draft_of_folder(path, given)
    if not path.is_file():
        raise AevlpError(f"{path}: no such file or folder; {EXPECTED}")
    ending = path.suffix.lower()
    if (kind := _not_a_source(path)) is not None:
        raise AevlpError(f"{path} is {kind}, {EXPECTED}: {_ADVICE[kind]}")
    if (asked := given.keys.get("format")) in ("images", "image_folder"):
        raise AevlpError(
            f"{path} is a file, and --key 'format: {asked}' reads a folder: pass the images' folder as SOURCE"
        )
    if ending == ".tar":
        return draft_of_tars([path], path.parent, given)
    if ending in (".parquet", ".arrow") and holds_images(path):
        return draft_of_files([path], path.parent, given)
    if ending in (*TEXT_ENDINGS, *TABLES, ".parquet"):
        return draft_of_table({None: path}, given)
    if ending == ".json":
        return draft_of_coco({None: path}, given)
    raise AevlpError(f"{path} is no source, {EXPECTED}: pass one of these as SOURCE")


def _not_a_source(path: Path) -> str | None:
    """Return what a file is, by its first bytes and its ending, where it is none that holds labels."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if format_of(head) or path.suffix.lower() in ENDINGS:
        return "a picture"
    ending = path.suffix.lower()
    if ending in _SPREADSHEETS:
        return "a spreadsheet"
    for start, kind in _STARTS.items():
        if head.startswith(start):
            return kind
    kinds = {"videos": "a video", "archives": "an archive"}
    found = next((kind for kind, endings in KINDS.items() if ending in endings.split()), "")
    if ending == ".pdf":
        return "a PDF"
    return None if ending == ".tar" else kinds.get(found) or ("a video" if head[4:8] == b"ftyp" else None)
