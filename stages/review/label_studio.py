"""Sheets <-> Label Studio: tasks in JSON with pre-annotations, and the JSON and JSON_MIN exports of a project.

What was asked goes with each task and comes back with it: a class that was not chosen is an answer only where it was asked about.
"""

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import msgspec

from ...pipeline.errors import AevlpError
from ...pipeline.files.atomic_write import replacing
from ...pipeline.labels.codes import NEGATIVE, POSITIVE
from .sheet import Returned, Sheet
from .tool_json import seems
from .xml_text import checked_for_xml

CONTROL, OBJECT, CHOICES = "classes", "image", "choices"
INTERFACE = ".xml"  # of the file beside the tasks
LIKELY = 0.5  # chance from which on a class is chosen beforehand


class _Chosen(msgspec.Struct):
    choices: list[str] = []


class _Region(msgspec.Struct):
    type: str = ""
    value: Any = None


class _Annotation(msgspec.Struct):
    result: list[_Region] = []
    was_cancelled: bool | None = None


class _Carried(msgspec.Struct):
    """The fields of `Sheet.carried`."""

    aevlp_image: str
    aevlp_asked: list[str]
    aevlp_size: int | None = None


class _Task(msgspec.Struct):
    """A task of the format JSON."""

    data: _Carried
    annotations: list[_Annotation] = []


class _SmallTask(_Carried):
    """An annotation of the format JSON_MIN: one choice is a text, several are an object, none is left out."""

    annotation_id: int | None = None  # None for a task that nobody annotated, which some exports hold too
    classes: str | _Chosen | None = None

    @property
    def annotated(self) -> bool:
        """Whether somebody did."""
        return self.annotation_id is not None or self.classes is not None

    @property
    def chosen(self) -> set[str]:
        """The choices."""
        return {self.classes} if isinstance(self.classes, str) else set(self.classes.choices if self.classes else ())


def write(sheets: Sequence[Sheet], classes: Sequence[str], root: Path, path: Path) -> None:
    """Write the tasks, and beside them the labelling interface, as NAME.xml.

    An image is named from the parent of the root on, as Label Studio takes no folder for its document root and a storage both.
    """
    tasks = [_task(sheet, root.name) for sheet in sheets]
    with replacing(path.with_suffix(INTERFACE)) as temporary:
        temporary.write_text(interface(classes), encoding="utf-8")
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(tasks, ensure_ascii=False, indent=1), encoding="utf-8")


def _task(sheet: Sheet, folder: str) -> dict[str, Any]:
    likely = [name for name, chance in sheet.asked.items() if chance >= LIKELY]
    result = {"id": CONTROL, "from_name": CONTROL, "to_name": OBJECT, "type": CHOICES, "value": {CHOICES: likely}}
    place = quote(PurePosixPath(folder, sheet.path).as_posix())
    return {
        "data": {
            OBJECT: f"/data/local-files/?d={place}",
            "question": f"Does it show {', '.join(sheet.asked)}?",
            **sheet.carried,
        },
        "predictions": [{"model_version": "aevlp", "score": max(sheet.asked.values()), "result": [result]}],
    }


def interface(classes: Sequence[str]) -> str:
    """Return the labelling interface: the question, the image, and a choice for each class."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Header", {"value": "$question"})
    ElementTree.SubElement(view, "Image", {"name": OBJECT, "value": f"${OBJECT}", "zoom": "true"})
    several = {"choice": "multiple", "showInline": "true"}
    choices = ElementTree.SubElement(view, "Choices", {"name": CONTROL, "toName": OBJECT, **several})
    for name in classes:
        ElementTree.SubElement(choices, "Choice", {"value": checked_for_xml(name)})
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def read(content: Any, path: Path) -> list[Returned]:
    """Return what the annotated tasks of an export say; skipped ones and those without an annotation are passed over.

    content: of the file `path`, which errors name. Raises AevlpError where it is no export of such tasks, and where a task was
    annotated with something other than choices, so that what is not chosen says nothing.
    """
    if not isinstance(content, list) or not all(isinstance(task, dict) for task in content):
        raise AevlpError(
            f"{path}: expected an export of Label Studio in JSON or JSON_MIN, a list of tasks, found {seems(content)}"
        )
    found: list[Returned] = []
    small: list[_SmallTask] = []
    for number, task in enumerate(content, 1):
        where = f"task {task.get('id', number)}"
        data = task.get("data", task)
        if not isinstance(data, dict) or not {"aevlp_image", "aevlp_asked"} <= set(data):
            raise AevlpError(
                f"{path}, {where}: it was not written by aevlp review --export label-studio, what was asked is not in it"
            )
        try:
            if "data" in task:
                whole = msgspec.convert(task, _Task)
                found += [_returned(whole.data, chosen, where) for chosen in _choices(whole, f"{path}, {where}")]
            elif (one := msgspec.convert(task, _SmallTask)).annotated:
                small.append(one)
                found.append(_returned(one, one.chosen, where))
        except msgspec.ValidationError as error:
            raise AevlpError(f"{path}, {where}: {error}: export it from Label Studio again") from error
    if small and all(one.classes is None for one in small):
        raise AevlpError(
            f"{path}: no task has a choice of {CONTROL!r}, and JSON_MIN does not say whether none was made: export as JSON"
        )
    return found


def _choices(task: _Task, where: str) -> list[set[str]]:
    """Return the choices of each annotation of a task that was not skipped."""
    found = []
    for annotation in task.annotations:
        if annotation.was_cancelled:
            continue
        kinds = {region.type for region in annotation.result}
        if kinds and CHOICES not in kinds:
            raise AevlpError(f"{where}: expected an annotation of choices, found {', '.join(sorted(kinds))}")
        chosen = [msgspec.convert(r.value, _Chosen).choices for r in annotation.result if r.type == CHOICES]
        found.append({name for names in chosen for name in names})
    return found


def _returned(data: _Carried, chosen: set[str], where: str) -> Returned:
    answers = {name: POSITIVE if name in chosen else NEGATIVE for name in data.aevlp_asked}
    answers |= dict.fromkeys(sorted(chosen), POSITIVE)
    return Returned(data.aevlp_image, None, data.aevlp_size, answers, where)
