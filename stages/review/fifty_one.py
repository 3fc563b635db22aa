"""Sheets <-> FiftyOne: a folder that `fo.Dataset.from_dir` reads as LegacyFiftyOneDataset and writes as that again.

Each class that is asked is a Classification of the field `questions`; a tag `yes` or `no` on it, as the App sets, is its answer.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...pipeline.errors import AevlpError
from ...pipeline.files.atomic_write import replacing
from ...pipeline.labels.codes import NEGATIVE, POSITIVE

if TYPE_CHECKING:
    from .exchange import Returned, Sheet

ANSWERS = {"yes": POSITIVE, "no": NEGATIVE}
FIELD, KNOWN = "questions", "observed"


def write(sheets: Sequence["Sheet"], classes: Sequence[str], root: Path, path: Path) -> None:
    """Write the folder: samples.json and metadata.json; the images stay where they are."""
    from .exchange import as_json

    def labels(found: dict[str, float | None]) -> dict[str, Any]:
        of_each = [
            {"_cls": "Classification", "tags": [], "label": name, **({} if chance is None else {"confidence": chance})}
            for name, chance in found.items()
        ]
        return {"_cls": "Classifications", "classifications": of_each}

    samples = [
        {
            "filepath": os.path.abspath(root / sheet.path),  # noqa: PTH100, resolve() would follow links
            "tags": [sheet.split],
            FIELD: labels({**sheet.asked}),
            KNOWN: labels(dict.fromkeys(sheet.known)),
            **as_json(sheet),
        }
        for sheet in sheets
    ]
    about = {"name": path.stem, "media_type": "image", "info": {"classes": list(classes)}}
    with replacing(path) as temporary:
        temporary.mkdir()
        for name, content in (("samples.json", {"samples": samples}), ("metadata.json", about)):
            (temporary / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def read(path: Path) -> list["Returned"]:
    """Return what the tags of the questions say; those without a tag are passed over."""
    from .exchange import Returned

    file = path / "samples.json" if path.is_dir() else path
    try:
        samples = json.loads(file.read_text(encoding="utf-8"))["samples"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise AevlpError(f"{path} is no folder of FiftyOne with a samples.json: {error}") from error
    found = []
    for number, sample in enumerate(samples, 1):
        where = f"sample {number}"
        if not isinstance(sample, dict) or "aevlp_image" not in sample:
            raise AevlpError(
                f"{path}, {where}: it was not written by aevlp review --export fiftyone, its image is not known"
            )
        answers: dict[str, int] = {}
        for one in (sample.get(FIELD) or {}).get("classifications", []):
            said = {ANSWERS[tag] for tag in one.get("tags", []) if tag in ANSWERS}
            if len(said) > 1:
                raise AevlpError(f"{path}, {where}: {one['label']} is tagged yes and no: settle it there")
            if said:
                answers[one["label"]] = said.pop()
        if answers:
            found.append(Returned(str(sample["aevlp_image"]), None, sample.get("aevlp_size"), answers, where))
    return found
