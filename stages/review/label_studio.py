"""Sheets <-> Label Studio: tasks in JSON with pre-annotations, and the JSON and JSON_MIN exports of a project.

What was asked goes with each task and comes back with it: a class that was not chosen is an answer only where it was asked about.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from xml.etree import ElementTree

from ...pipeline.errors import AevlpError
from ...pipeline.files.atomic_write import replacing
from ...pipeline.labels.codes import NEGATIVE, POSITIVE

if TYPE_CHECKING:
    from .exchange import Returned, Sheet

CONTROL, OBJECT = "classes", "image"
LIKELY = 0.5  # chance from which on a class is chosen beforehand


def write(sheets: Sequence["Sheet"], classes: Sequence[str], root: Path, path: Path) -> None:
    """Write the tasks, and beside them the labelling interface, as NAME.xml."""
    from .exchange import as_json

    tasks = [
        {
            "data": {
                OBJECT: f"/data/local-files/?d={quote(sheet.path)}",
                "question": f"Does it show {', '.join(sheet.asked)}?",
                **as_json(sheet),
            },
            "predictions": [
                {
                    "model_version": "aevlp",
                    "score": max(sheet.asked.values()),
                    "result": [
                        {
                            "id": "classes",
                            "from_name": CONTROL,
                            "to_name": OBJECT,
                            "type": "choices",
                            "value": {"choices": [name for name, chance in sheet.asked.items() if chance >= LIKELY]},
                        }
                    ],
                }
            ],
        }
        for sheet in sheets
    ]
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(tasks, ensure_ascii=False, indent=1), encoding="utf-8")
    with replacing(path.with_suffix(".xml")) as temporary:
        temporary.write_text(interface(classes), encoding="utf-8")


def interface(classes: Sequence[str]) -> str:
    """Return the labelling interface: the question, the image, and a choice for each class."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Header", {"value": "$question"})
    ElementTree.SubElement(view, "Image", {"name": OBJECT, "value": f"${OBJECT}", "zoom": "true"})
    choices = ElementTree.SubElement(view, "Choices", {"name": CONTROL, "toName": OBJECT, "choice": "multiple"})
    for name in classes:
        ElementTree.SubElement(choices, "Choice", {"value": name})
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def read(path: Path) -> list["Returned"]:
    """Return what the annotated tasks of an export say; skipped ones and those without an annotation are passed over."""
    try:
        tasks = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AevlpError(f"cannot read {path}: {error}") from error
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise AevlpError(
            f"{path} is no export of Label Studio: expected a list of tasks, as its formats JSON and JSON_MIN are"
        )
    found = []
    for number, task in enumerate(tasks, 1):
        where = f"task {task.get('id', number)}"
        data = task.get("data", task)  # JSON_MIN has the data in the task itself
        if not isinstance(data, dict) or not {"aevlp_image", "aevlp_asked"} <= set(data):
            raise AevlpError(
                f"{path}, {where}: it was not written by aevlp review --export label-studio, what was asked is not in it"
            )
        chosen = _annotated(task, path, where) if "data" in task else [_choices(task.get(CONTROL))]
        for choices in chosen:
            found.append(_returned(data, choices, where))
    return found


def _annotated(task: dict[str, Any], path: Path, where: str) -> list[set[str]]:
    """Return the choices of each annotation of a task that was not skipped."""
    annotations = task.get("annotations", [])
    if not isinstance(annotations, list):
        raise AevlpError(f"{path}, {where}: its annotations are no list")
    return [
        {
            name
            for region in annotation.get("result", [])
            if region.get("type") == "choices"
            for name in region.get("value", {}).get("choices", [])
        }
        for annotation in annotations
        if not annotation.get("was_cancelled")
    ]


def _choices(value: Any) -> set[str]:
    """Return the choices of JSON_MIN: one as a text, several as an object, none left out."""
    if isinstance(value, dict):
        return set(value.get("choices", []))
    return {value} if isinstance(value, str) else set()


def _returned(data: dict[str, Any], chosen: set[str], where: str) -> "Returned":
    from .exchange import Returned

    answers = {name: POSITIVE if name in chosen else NEGATIVE for name in data["aevlp_asked"]}
    answers |= dict.fromkeys(sorted(chosen), POSITIVE)
    return Returned(str(data["aevlp_image"]), None, data.get("aevlp_size"), answers, where)
