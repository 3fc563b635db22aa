"""A COCO-style annotation file, as any tool writes it -> its records; fields that say nothing of labels may hold anything."""

import json
import mmap
import re
from pathlib import Path
from typing import Any

import msgspec

from ..errors import AevlpError
from ..files.identity import identity_of
from ..files.locations import RemotePath

Id = int | float | str
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # which some editors write
_WHOLE = re.compile(r"-?\d+\.0+", re.ASCII)
_EXACT = 2.0**53  # from here on a float may stand for several whole numbers
INFINITY = float("inf")
_SIDES = (("width", "height"), ("w", "h"))
_CORNERS = (("xmin", "xmax", "ymin", "ymax"), ("x1", "x2", "y1", "y2"))


class OtherJson(AevlpError):
    """A whole JSON file that is none of COCO's: it has no list of images or annotations."""


class Category(msgspec.Struct, gc=False):
    id: Id
    name: str
    supercategory: Any = None


class Image(msgspec.Struct, gc=False):
    id: Id
    file_name: str | None = None  # MS COCO's of 2014 is made from the id


class Annotation(msgspec.Struct, gc=False):
    image_id: Id
    category_id: Id | None
    area: Any = None
    bbox: Any = None  # left, upper, width, height; empty in some files


class AnnotationFile(msgspec.Struct, gc=False):
    """The parts of an annotation file that are read; outlines and captions, most of its bytes, are skipped over.

    annotations: None where the file has no list of them, as those of unlabelled images.
    """

    categories: list[Category] = []
    annotations: list[Annotation] | None = None
    images: list[Image] | None = None


_READ = {"categories", "annotations", "images", *Category.__struct_fields__, *Image.__struct_fields__}
_READ |= {*Annotation.__struct_fields__, *(side for sides in (*_SIDES, *_CORNERS) for side in sides)}


def parsed(path: Path) -> AnnotationFile:
    """Return what an annotation file says; memory is that of its bytes and of the fields that are kept.

    Raises AevlpError for a file that is missing, cut short or of another form; of these OtherJson for a whole one of other JSON.
    """
    try:
        try:
            found = _strictly(path)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if isinstance(error, msgspec.ValidationError) and "out of range" not in str(error):  # 1e999
                raise
            content = _as_python_does(path)
            if content is None:
                size = identity_of(path)[0]
                raise AevlpError(
                    f"{path} ({size:,} bytes) is not a whole COCO annotation file: {error}; fetch or write it again"
                ) from error
            found = msgspec.convert(content, AnnotationFile)
        if not found.categories and found.images is None and found.annotations is None:
            raise OtherJson(f"{path} is no COCO annotation file: it has no `images`, `annotations` and `categories`")
        return found
    except msgspec.ValidationError as error:
        several = "`array` - at" in str(error) and str(error).endswith(".category_id`")
        advice = "; write an annotation for each of its categories" if several else ""
        kind = AevlpError if _has_records(path) else OtherJson
        raise kind(f"{path} is not of the form of a COCO annotation file: {error}{advice}") from error
    except ValueError as error:  # mmap's word for an empty file
        raise AevlpError(f"{path} is empty, expected a COCO annotation file") from error
    except OSError as error:
        raise AevlpError(f"cannot read {path}: {error.strerror or error}") from error


def _strictly(path: Path) -> AnnotationFile:
    if isinstance(path, RemotePath):
        return msgspec.json.decode(path.read_bytes().removeprefix(BYTE_ORDER_MARK), type=AnnotationFile)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        view = memoryview(content)
        try:
            start = len(BYTE_ORDER_MARK) if content[:3] == BYTE_ORDER_MARK else 0
            with view[start:] as text:
                return msgspec.json.decode(text, type=AnnotationFile)
        finally:
            view.release()


def _as_python_does(path: Path) -> Any:
    """Return the content that Python's own json finds, which takes NaN, Infinity and UTF-16; None where it finds none."""
    try:
        return json.loads(path.read_bytes(), object_hook=lambda record: {k: record[k] for k in record.keys() & _READ})
    except (ValueError, RecursionError):
        return None


def _has_records(path: Path) -> bool:
    content = _as_python_does(path)
    return isinstance(content, dict) and any(isinstance(content.get(key), list) for key in ("images", "annotations"))


def id_text(given: Id | None) -> str | None:
    """Return an id as text, the same for 1, 1.0, "1" and "1.0"; None for what is no id, or a number that was rounded."""
    if type(given) is int:
        return str(given)
    if type(given) is str:
        return given[: given.index(".")] if _WHOLE.fullmatch(given) else given
    if isinstance(given, float) and given.is_integer() and abs(given) < _EXACT:
        return str(int(given))
    return None


def object_area(annotation: Annotation) -> float:
    """Return an object's area in pixels: as given, or its box's; 0 where neither is, NaN where what is given is no size."""
    area = annotation.area
    if type(area) is float and 0 < area < INFINITY:  # nearly all of them
        return area
    box, found = annotation.bbox, _number(area)
    if 0 < found < INFINITY:
        return found
    if isinstance(box, list) and len(box) == 4:
        return _number(box[2]) * _number(box[3])
    if isinstance(box, dict):
        return _area_of_named_sides(box)
    return float("nan") if box or (area and found) else 0.0


def _area_of_named_sides(box: dict[str, Any]) -> float:
    for width, height in _SIDES:
        if width in box and height in box:
            return _number(box[width]) * _number(box[height])
    for left, right, upper, lower in _CORNERS:
        if all(corner in box for corner in (left, right, upper, lower)):
            sides = _number(box[right]) - _number(box[left]), _number(box[lower]) - _number(box[upper])
            return sides[0] * sides[1]
    return float("nan")


def _number(value: Any) -> float:
    try:
        return float(value) if isinstance(value, int | float | str) else float("nan")
    except (ValueError, OverflowError):
        return float("nan")
