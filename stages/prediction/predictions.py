"""What a classifier sees in images: rows with labels and probabilities, and the files they are written in."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.errors import AevlpError, counted
from ..console import say
from ..results import Table
from .model import Model, Scored

SUFFIXES = (".csv", ".json", ".parquet")
SHOWN = 10  # reasons why images have no labels


@dataclass(frozen=True, repr=False)
class Predictions(Table):
    """What a classifier sees in images. A row an image: image, status, labels, reason, and p(CLASS) of each class.

    images: a dictionary each, with `probabilities` by class, None where the image cannot be read. output: the file they are in.
    """

    classes: list[str]
    images: list[dict[str, Any]]
    output: Path | None = None

    @property
    def labelled(self) -> int:
        """How many images could be read."""
        return sum(image["status"] == "ok" for image in self.images)

    @property
    def rows(self) -> list[dict[str, Any]]:
        rows = []
        for image in self.images:
            found = image["probabilities"] or dict.fromkeys(self.classes)
            rest = {name: value for name, value in image.items() if name != "probabilities"}
            rows.append({**rest, **{f"p({name})": value for name, value in found.items()}})
        return rows

    def summary(self) -> dict[str, Any]:
        """Return how many images there are, and of how many classes."""
        return {"images": len(self.images), "labelled": self.labelled, "classes": len(self.classes)}

    def to_json(self) -> dict[str, Any]:
        """Return the classes and the images."""
        return {"classes": self.classes, "images": self.images}


def labelled(
    model: Model, names: list[str], scored: Iterator[Scored], threshold: float | None
) -> Iterator[list[dict[str, Any]]]:
    """Yield what a model sees in images as `Predictions.images` has it, some at a time, each image once, in order.

    names: of all images. scored: of them, in any pieces; a piece may name unreadable images of those that follow it.
    """
    there: dict[int, dict[str, Any]] = {}
    following = 0
    for piece in scored:
        for row, fault in piece.unreadable.items():
            there[row] = _image(names[row], fault.status, [], None, fault.reason)
        if len(piece.rows):
            values = model.decision.probabilities(piece.logits)
            chosen = model.decision.labels(values, threshold)
            for row, found, marks in zip(piece.rows.tolist(), values.tolist(), chosen, strict=True):
                labels = [name for name, marked in zip(model.classes, marks, strict=True) if marked]
                probabilities = dict(zip(model.classes, found, strict=True))
                there[row] = _image(names[row], "ok", labels, probabilities, "")
        whole = []
        while following in there:
            whole.append(there.pop(following))
            following += 1
        if whole:
            yield whole
    assert following == len(names) and not there, "a model scores each image once"


def write_predictions(found: Predictions, path: Path, suffix: str) -> None:
    """Write what was found as one .csv, .json or .parquet file; suffix: which of them."""
    if suffix == ".json":
        path.write_text(json.dumps(found.to_json(), ensure_ascii=False, indent=1), "utf-8")
        return
    columns: dict[str, list[Any]] = {
        "image": [image["image"] for image in found.images],
        "status": [image["status"] for image in found.images],
        "labels": [";".join(image["labels"]) for image in found.images],
        "reason": [image["reason"] for image in found.images],
    }
    for name in found.classes:
        columns[f"p({name})"] = [image["probabilities"] and image["probabilities"][name] for image in found.images]
    if suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table(columns), path)
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def require_some(images: list[dict[str, Any]]) -> None:
    """Raise AevlpError where none of the images could be read."""
    if images and all(image["status"] != "ok" for image in images):
        raise AevlpError(f"no image of {len(images):,} can be read, first {images[0]['reason']}")


def say_unlabelled(count: int, reasons: Sequence[str], whole: str) -> None:
    """Say how many images have no labels, and the first `SHOWN` reasons; whole: what has all of them."""
    if not count:
        return
    say(f"{counted(count, 'image')} not labelled:")
    for reason in reasons[:SHOWN]:
        say(f"  {reason}")
    if count > SHOWN:
        say(f"  … and {count - SHOWN:,} more; {whole}")


def names_array(names: list[str]) -> np.ndarray:
    """Return names as one array of text, which processes that decode share without copying it."""
    return np.array(names, dtype=str)


def _image(
    name: str, status: str, labels: list[str], probabilities: dict[str, float] | None, reason: str
) -> dict[str, Any]:
    return {"image": name, "status": status, "labels": labels, "probabilities": probabilities, "reason": reason}
