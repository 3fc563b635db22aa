"""Sheets <-> FiftyOne: a folder that `fo.Dataset.from_dir` reads as FiftyOneDataset, and what it writes as that.

Each class that is asked is a Classification of the field `questions`; a tag `yes` or `no` on it, as the App sets, is its answer.
The folder has the plain form of before FiftyOne 0.8, which FiftyOne still tells by its metadata having no version: the form of
today is the content of its database, and differs from release to release.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ...pipeline.errors import AevlpError
from ...pipeline.files.atomic_write import replacing
from ...pipeline.labels.codes import NEGATIVE, POSITIVE
from .sheet import Returned, Sheet

ANSWERS = {"yes": POSITIVE, "no": NEGATIVE}
FIELD, KNOWN = "questions", "observed"
SAMPLES = "samples.json"


class _Classification(msgspec.Struct):
    label: str | None = None
    tags: list[str] = []


class _Classifications(msgspec.Struct):
    classifications: list[_Classification] = []


class _Sample(msgspec.Struct):
    aevlp_image: str
    aevlp_size: int | None = None
    questions: _Classifications | None = None


def write(sheets: Sequence[Sheet], classes: Sequence[str], root: Path, path: Path) -> None:
    """Write the folder: samples.json and metadata.json; the images stay where they are."""
    samples = [
        {
            "filepath": str(root / sheet.path),
            "tags": [sheet.split],
            FIELD: _labels(sheet.asked),
            KNOWN: _labels(dict.fromkeys(sheet.known)),
            **sheet.carried,
        }
        for sheet in sheets
    ]
    about = {"name": path.stem, "media_type": "image", "info": {"classes": list(classes)}}
    with replacing(path) as temporary:
        temporary.mkdir()
        for name, content in ((SAMPLES, {"samples": samples}), ("metadata.json", about)):
            (temporary / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _labels(found: Mapping[str, float | None]) -> dict[str, Any]:
    of_each = [
        {"_cls": "Classification", "tags": [], "label": name, **({} if chance is None else {"confidence": chance})}
        for name, chance in found.items()
    ]
    return {"_cls": "Classifications", "classifications": of_each}


def read(content: Any, path: Path) -> list[Returned]:
    """Return what the tags of the questions say; those without a tag `yes` or `no` are passed over.

    content: of the file of samples in `path`, which errors name. Raises AevlpError where it is no data set of such samples.
    """
    samples = content.get("samples") if isinstance(content, dict) else None
    if not isinstance(samples, list):
        raise AevlpError(f"{path}: expected a data set of FiftyOne, whose {SAMPLES} has a list of samples")
    found = []
    for number, sample in enumerate(samples, 1):
        where = f"sample {number}"
        if not isinstance(sample, dict) or "aevlp_image" not in sample:
            raise AevlpError(
                f"{path}, {where}: it was not written by aevlp review --export fiftyone, its image is not known"
            )
        try:
            known = msgspec.convert(sample, _Sample)
        except msgspec.ValidationError as error:
            raise AevlpError(f"{path}, {where}: {error}: export it from FiftyOne again") from error
        asked = known.questions.classifications if known.questions else []
        if answers := _answers(asked, f"{path}, {where}"):
            found.append(Returned(known.aevlp_image, None, known.aevlp_size, answers, where))
    return found


def _answers(asked: list[_Classification], where: str) -> dict[str, int]:
    answers: dict[str, int] = {}
    for one in asked:
        for code in {ANSWERS[tag] for tag in one.tags if tag in ANSWERS}:
            if one.label is None:
                raise AevlpError(f"{where}: an answer without a label")
            if answers.setdefault(one.label, code) != code:
                raise AevlpError(f"{where}: {one.label} is tagged yes and no: settle it there")
    return answers
