"""Sheets -> a CSV with a row a pair, whose empty column `answer` a person fills in."""

import csv
from collections.abc import Sequence
from pathlib import Path

from ...pipeline.files.atomic_write import replacing
from .sheet import Sheet

COLUMNS = ("image", "class", "answer", "chance", "observed", "split", "path", "size")


def write(sheets: Sequence[Sheet], classes: Sequence[str], root: Path, path: Path) -> None:
    """Write the table that `read_answer_table` reads; answers are yes, no or skip."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for sheet in sheets:
            for label, chance in sheet.asked.items():
                known = "; ".join(sheet.known)
                writer.writerow((sheet.image, label, "", chance, known, sheet.split, sheet.path, sheet.size))
