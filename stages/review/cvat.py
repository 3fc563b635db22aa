"""Sheets <-> CVAT, in its format "CVAT for images 1.1": a tag for each class that is asked, with the answer as its attribute."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree
from xml.parsers.expat import ExpatError

from ...pipeline.errors import AevlpError
from ...pipeline.files.atomic_write import replacing
from ...pipeline.files.safe_xml import parsed_xml
from ...pipeline.images.read import read_image
from ...pipeline.labels.codes import NEGATIVE, POSITIVE

if TYPE_CHECKING:
    from .exchange import Returned, Sheet

ANSWERS = {"yes": POSITIVE, "no": NEGATIVE}
ASKED = "asked"  # the value of a tag that nobody answered yet


def write(sheets: Sequence["Sheet"], classes: Sequence[str], root: Path, path: Path) -> None:
    """Write the annotations; a task in CVAT is made of the same images, under the same names."""
    top = ElementTree.Element("annotations")
    _text(top, "version", "1.1")
    meta = ElementTree.SubElement(ElementTree.SubElement(top, "meta"), "task")
    _text(meta, "name", path.stem)
    _text(meta, "size", str(len(sheets)))
    labels = ElementTree.SubElement(meta, "labels")
    for name in classes:
        label = ElementTree.SubElement(labels, "label")
        _text(label, "name", name)
        _text(label, "type", "tag")
        attributes = ElementTree.SubElement(label, "attributes")
        _attribute(attributes, "answer", "select", "yes", ["yes", "no", ASKED], mutable=True)
        _attribute(attributes, "chance", "text", "", [""], mutable=False)
    for number, sheet in enumerate(sheets):
        width, height = read_image(root / sheet.path).size
        size = {"width": str(width), "height": str(height)}
        image = ElementTree.SubElement(top, "image", {"id": str(number), "name": sheet.path, **size})
        for name, chance in sheet.asked.items():
            tag = ElementTree.SubElement(image, "tag", {"label": name, "source": "auto"})
            _text(tag, "attribute", ASKED).set("name", "answer")
            _text(tag, "attribute", f"{chance:.2f}").set("name", "chance")
    ElementTree.indent(top)
    with replacing(path) as temporary:
        ElementTree.ElementTree(top).write(temporary, encoding="utf-8", xml_declaration=True)


def _attribute(
    parent: ElementTree.Element, name: str, kind: str, default: str, values: Sequence[str], mutable: bool
) -> None:
    attribute = ElementTree.SubElement(parent, "attribute")
    fields = {
        "name": name,
        "mutable": str(mutable),
        "input_type": kind,
        "default_value": default,
        "values": "\n".join(values),
    }
    for key, value in fields.items():
        _text(attribute, key, value)


def _text(parent: ElementTree.Element, name: str, text: str) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, name)
    element.text = text
    return element


def read(path: Path) -> list["Returned"]:
    """Return what the tags of an export say, those that are still `asked` passed over; no entity is expanded."""
    from .exchange import Returned

    try:
        top = parsed_xml(path.read_bytes())
    except (OSError, ExpatError, ValueError, LookupError) as error:  # LookupError: an encoding unknown
        raise AevlpError(f"cannot read {path}: {error}") from error
    if top.tag != "annotations":
        raise AevlpError(f"{path} is no export of CVAT: expected CVAT for images 1.1, found the element {top.tag}")
    found = []
    for image in top.iter("image"):
        where = f"image {image.get('name')!r}"
        answers: dict[str, int] = {}
        for tag in image.iter("tag"):
            said = {attribute.get("name"): (attribute.text or "").strip() for attribute in tag.iter("attribute")}
            answer, label = said.get("answer", "yes" if tag.get("source") == "manual" else ASKED), tag.get("label")
            if answer == ASKED or label is None:
                continue
            if answer not in ANSWERS:
                raise AevlpError(f"{path}, {where}: expected the answer yes, no or {ASKED}, found {answer!r}")
            if answers.setdefault(label, ANSWERS[answer]) != ANSWERS[answer]:
                raise AevlpError(f"{path}, {where}: {label} is answered yes and no: settle it there")
        if answers:
            found.append(Returned(None, image.get("name"), None, answers, where))
    return found
