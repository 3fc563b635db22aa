"""Sheets <-> CVAT, in its format "CVAT for images 1.1": a tag for each class that is asked, with the answer as its attribute.

Beside the annotations stand the labels that a task needs, as the editor of labels in CVAT takes them (Raw), and a ZIP of the
images, from which a task has them under the names that the annotations have.
"""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.parsers.expat import ExpatError

from ...pipeline.errors import AevlpError, in_one_line
from ...pipeline.files.atomic_write import replacing
from ...pipeline.files.safe_xml import parsed_xml
from ...pipeline.labels.codes import NEGATIVE, POSITIVE
from .sheet import Returned, Sheet
from .xml_text import checked_for_xml

ANSWERS = {"yes": POSITIVE, "no": NEGATIVE}
ASKED = "asked"  # the value of a tag that nobody answered yet
LABELS, IMAGES = ".labels.json", ".images.zip"  # of the files beside the annotations
# CVAT takes an image whose name no frame of the task has for the frame with its number: one that no task has is refused instead.
FIRST_ID = 1_000_000_000
EXPORTED = "annotations.xml"  # in the ZIP that CVAT gives back


def write(sheets: Sequence[Sheet], classes: Sequence[str], root: Path, path: Path) -> None:
    """Write the annotations, and beside them NAME.labels.json and NAME.images.zip."""
    labels = [_label(checked_for_xml(name)) for name in classes]
    annotations = ElementTree.ElementTree(_annotations(sheets, labels, path))
    with replacing(path.with_suffix(IMAGES)) as temporary, zipfile.ZipFile(temporary, "w") as images:
        for sheet in sheets:
            images.writestr(sheet.path, (root / sheet.path).read_bytes())
    with replacing(path.with_suffix(LABELS)) as temporary:
        temporary.write_text(json.dumps(labels, ensure_ascii=False, indent=1), encoding="utf-8")
    with replacing(path) as temporary:
        annotations.write(temporary, encoding="utf-8", xml_declaration=True)


def _label(name: str) -> dict[str, Any]:
    """Return a label of a task; a tag that a person adds is an answer yes."""
    values = [*ANSWERS, ASKED]
    answer = {
        "name": "answer",
        "mutable": True,
        "input_type": "select",
        "default_value": next(iter(ANSWERS)),
        "values": values,
    }
    chance = {"name": "chance", "mutable": False, "input_type": "text", "default_value": "", "values": [""]}
    return {"name": name, "type": "tag", "attributes": [answer, chance]}


def _annotations(sheets: Sequence[Sheet], labels: Sequence[dict[str, Any]], path: Path) -> ElementTree.Element:
    top = ElementTree.Element("annotations")
    _text(top, "version", "1.1")
    meta = ElementTree.SubElement(ElementTree.SubElement(top, "meta"), "task")
    _text(meta, "name", path.stem)
    _text(meta, "size", str(len(sheets)))
    known = ElementTree.SubElement(meta, "labels")
    for label in labels:
        element = ElementTree.SubElement(known, "label")
        _text(element, "name", label["name"])
        _text(element, "type", label["type"])
        attributes = ElementTree.SubElement(element, "attributes")
        for attribute in label["attributes"]:
            described = ElementTree.SubElement(attributes, "attribute")
            for key, value in attribute.items():
                _text(described, key, "\n".join(value) if key == "values" else str(value))
    for number, sheet in enumerate(sheets, FIRST_ID):
        image = ElementTree.SubElement(top, "image", {"id": str(number), "name": checked_for_xml(sheet.path)})
        for name, chance in sheet.asked.items():
            tag = ElementTree.SubElement(image, "tag", {"label": name, "source": "auto"})
            _text(tag, "attribute", ASKED).set("name", "answer")
            _text(tag, "attribute", f"{chance:.2f}").set("name", "chance")
    ElementTree.indent(top)
    return top


def _text(parent: ElementTree.Element, name: str, text: str) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, name)
    element.text = text
    return element


def read(path: Path) -> list[Returned]:
    """Return what the tags of an export, .xml or the .zip around it, say; those that are still `asked` are passed over.

    Raises AevlpError where it is no such export, declares an entity, or has two answers of one pair.
    """
    try:
        top = parsed_xml(_exported(path) if path.suffix.lower() == ".zip" else path.read_bytes())
    except (OSError, ExpatError, ValueError, LookupError, zipfile.BadZipFile) as error:  # LookupError: an encoding
        raise AevlpError(f"cannot read {path}: {in_one_line(error, 200)}") from error
    if top.tag != "annotations" or top.find("image") is None:
        raise AevlpError(f"{path}: expected an export of CVAT in CVAT for images 1.1, found {_seems(top)}")
    found = []
    for image in top.iter("image"):
        where = f"image {image.get('name')!r}"
        if answers := _answers(image, f"{path}, {where}"):
            found.append(Returned(None, image.get("name"), None, answers, where))
    return found


def _exported(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        if EXPORTED not in archive.namelist():
            raise ValueError(f"there is no {EXPORTED} in it, as there is in what CVAT exports")
        return archive.read(EXPORTED)


def _seems(top: ElementTree.Element) -> str:
    if top.tag == "annotation":
        return "what looks like an annotation of PASCAL VOC"
    if top.tag == "annotations" and top.find("track") is not None:
        return "what looks like CVAT for video"
    return f"the element {top.tag}" + (" without an image" if top.tag == "annotations" else "")


def _answers(image: ElementTree.Element, where: str) -> dict[str, int]:
    answers: dict[str, int] = {}
    for tag in image.iter("tag"):
        said = {attribute.get("name"): (attribute.text or "").strip() for attribute in tag.iter("attribute")}
        answer, label = said.get("answer", "yes" if tag.get("source") == "manual" else ASKED), tag.get("label")
        if answer == ASKED or label is None:
            continue
        if answer not in ANSWERS:
            raise AevlpError(f"{where}: expected the answer yes, no or {ASKED}, found {answer!r}")
        if answers.setdefault(label, ANSWERS[answer]) != ANSWERS[answer]:
            raise AevlpError(f"{where}: {label} is answered yes and no: settle it there")
    return answers
