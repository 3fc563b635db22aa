"""An XML file of PASCAL VOC or of a labelling tool, one an image -> what it says."""

from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from xml.etree.ElementTree import Element
from xml.parsers.expat import ExpatError

from ..files.safe_xml import parsed_xml
from .faults import DataError

_YES, _NO = {"1", "true", "yes"}, {"", "0", "false", "no", "unspecified"}


@dataclass(frozen=True)
class Thing:
    """One object of an image; box: the texts of xmin, ymin, xmax and ymax, None for one that is not there."""

    name: str
    difficult: bool
    box: tuple[str | None, ...]

    def area(self) -> float:
        """Return the area of the box in pixels, NaN where there is none; ValueError for a side that is no number."""
        left, upper, right, lower = (float("nan") if side is None else float(side) for side in self.box)
        return (right - left) * (lower - upper)


@dataclass(frozen=True)
class Annotation:
    """What one file says: the name of its picture, if any, and the objects, those marked as deleted left out."""

    picture: str | None
    things: list[Thing]


def read_annotation(path: Path) -> Annotation:
    """Return what an XML file says; DataError for one that cannot be read, declares entities or is of another form."""
    try:
        root = parsed_xml(path.read_bytes())
        if root.tag.lower() != "annotation":
            raise ValueError(f"its outermost element is <{root.tag}>, expected <annotation>")
        things = [_thing(element) for element in root.findall("object") if not _flag(element, "deleted")]
    except (OSError, ExpatError, ValueError, LookupError) as error:  # LookupError: an encoding unknown
        found = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise DataError("bad row", f"cannot read the boxes in {path}: {found}") from error
    name = PureWindowsPath((root.findtext("filename") or "").strip()).name  # of either kind of slash
    return Annotation(name or None, things)


def _thing(element: Element) -> Thing:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise ValueError("an <object> has no <name>, so what it shows is not known")
    sides = tuple(element.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax"))
    return Thing(name, _flag(element, "difficult"), sides)


def _flag(element: Element, key: str) -> bool:
    text = (element.findtext(key) or "").strip().lower()
    if text not in _YES | _NO:
        raise ValueError(f"<{key}> is {text!r}, expected 0 or 1")
    return text in _YES
